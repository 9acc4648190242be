/* vision.c - pictures: Fashion-MNIST by a small convolutional network; its run file names the files, so it makes no
 * samples of its own. Its report's confusion matrix is the picture. */
#include <math.h>

#include "app.h"

struct tally {
    int64_t right, all, classes;
};

static void count(void *arg, int64_t sample, const float *y, const void *const *f)
{
    (void)sample;
    struct tally *t = arg;
    int32_t best = 0;
    for (int32_t c = 1; c < t->classes; c++)
        if (y[c] > y[best]) best = c;
    t->right += best == *(const int32_t *)f[1];
    t->all++;
}

static sunup_status score(struct app_run *r)
{
    struct tally t = {.classes = 10};
    const sunup_status status = app_visit(r, r->eval, count, &t);
    if (status != SUNUP_OK) return status;
    app_score(r, "accuracy", (double)t.right / (double)t.all, APP_AT_LEAST, 0.91,
              "10,000 test images");
    app_beside(r, "accuracy", "PyTorch reference, 3 epochs, one seed", 0.920);
    app_beside(r, "accuracy", "always the same class", 0.1);
    return SUNUP_OK;
}

#define FOLDER "/usr/share/datasets/fashion-mnist/"
const struct app app_vision = {
    .name = "vision",
    .question = "which of ten kinds of clothing is in a picture of 28 x 28?",
    .files = FOLDER "train-images-idx3-ubyte.gz " FOLDER "train-labels-idx1-ubyte.gz " FOLDER
                    "t10k-images-idx3-ubyte.gz " FOLDER "t10k-labels-idx1-ubyte.gz",
    .score = score,
};
