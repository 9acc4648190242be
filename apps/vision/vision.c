/* vision.c - pictures: Fashion-MNIST by a small convolutional network; its run file names the files, so it makes no
 * samples of its own. The picture is the confusion matrix. */
#include "app.h"

enum { CLASSES = 10 };
static const char *const names[CLASSES] = {"T-shirt", "trouser", "pullover", "dress", "coat",
                                           "sandal",  "shirt",   "sneaker",  "bag",   "boot"};

static void count(void *arg, int64_t sample, const float *y, const void *const *f)
{
    (void)sample;
    int64_t(*said)[CLASSES] = arg; /* [what is] */
    int32_t best = 0;
    for (int32_t c = 1; c < CLASSES; c++)
        if (y[c] > y[best]) best = c;
    const int32_t is = *(const int32_t *)f[1];
    if (is >= 0 && is < CLASSES) said[is][best]++; /* others have made the loss NaN */
}

static sunup_status score(struct app_run *r)
{
    int64_t said[CLASSES][CLASSES] = {0}, right = 0, all = 0;
    const sunup_status status = app_visit(r, r->eval, count, said);
    if (status != SUNUP_OK) return status;
    for (int i = 0; i < CLASSES; i++) {
        right += said[i][i];
        for (int j = 0; j < CLASSES; j++) all += said[i][j];
    }
    app_score(r, "accuracy", (double)right / (double)all, APP_AT_LEAST, 0.91, "10,000 test images");
    app_beside(r, "accuracy", "PyTorch reference, 3 epochs, one seed", 0.920);
    app_beside(r, "accuracy", "always the same class", 0.1);
    const struct app_confusion picture = {"what clothes (rows) were said to be (columns), per cent",
                                          CLASSES, names, &said[0][0]};
    return app_confusion(r, "confusion.svg", &picture);
}

#define FOLDER "/usr/share/datasets/fashion-mnist/"
const struct app app_vision = {
    .name = "vision",
    .question = "which of ten kinds of clothing is in a picture of 28 x 28?",
    .files = FOLDER "train-images-idx3-ubyte.gz " FOLDER "train-labels-idx1-ubyte.gz " FOLDER
                    "t10k-images-idx3-ubyte.gz " FOLDER "t10k-labels-idx1-ubyte.gz",
    .score = score,
};
