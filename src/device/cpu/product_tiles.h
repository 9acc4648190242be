/* product_tiles.h - products on tiles, of numbers in one part (bf16) or two (bf16x3). */
#ifndef SUNUP_DEVICE_CPU_PRODUCT_TILES_H
#define SUNUP_DEVICE_CPU_PRODUCT_TILES_H

#include "device/cpu/product_words.h"
#include "device/device.h"

sunup_status sunup__make_product_tiles(struct device *d, const struct node *n, struct step *s, int64_t parts);

#endif
