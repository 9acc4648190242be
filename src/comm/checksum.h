/* checksum.h - 64 bits that tell whether numbers arrived as they were sent: checksum.c. */
#ifndef SUNUP_COMM_CHECKSUM_H
#define SUNUP_COMM_CHECKSUM_H

#include <stdint.h>

/* Of bytes at any address; a last part of less than 4 bytes counts as if zeros followed. */
uint64_t sunup__checksum(const void *data, int64_t bytes);
/* Linear: of integers, wrapping, that are sums of others element by element it is the sum (plus) of theirs. */
uint64_t sunup__checksum_integers(const int32_t *x, int64_t n);
uint64_t sunup__checksum_plus(uint64_t x, uint64_t y);

#endif
