#!/usr/bin/env python3
"""Golden values of src/train/loss.c: losses of a linear layer and their gradients on one batch, by PyTorch.

Writes loss_golden.h beside this file; run again only when a case is added (needs torch and numpy). The weighted means
are over the whole batch, which the trainer cuts into shards. The focal losses, which torch lacks, are the formula of
Lin et al. (2017) written with torch's functions.
"""
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

SAMPLES, IN, OUT = 16, 3, 3
rng = np.random.default_rng(11)


def short(a):
    """Multiples of 1/64: exact in f32, and short in decimal."""
    return torch.tensor(np.round(a * 64) / 64, dtype=torch.float64)


X = short(rng.standard_normal((SAMPLES, IN)))
Y = short(1.5 * rng.standard_normal((SAMPLES, OUT)))
SOFT = short(rng.random((SAMPLES, OUT)))
LABEL = torch.tensor(rng.integers(0, OUT, SAMPLES))
BY_SAMPLE = short(rng.random(SAMPLES))
BY_SAMPLE[:5] = 0  # a shard without any weight
BY_ELEMENT = short(rng.random((SAMPLES, OUT)))
START = short(rng.standard_normal((IN, OUT)))
CLASS = torch.tensor([1.0, 1.5, 10.0], dtype=torch.float64)
POS = torch.tensor([2.0, 0.5, 3.0], dtype=torch.float64)


def mean(loss, weight):
    weight = weight.expand_as(loss)
    return (weight * loss).sum() / weight.sum()


def focal(z, gamma, weight=None, sample=None):
    loss = F.cross_entropy(z, LABEL, weight=weight, reduction="none")
    p = torch.softmax(z, -1)[torch.arange(SAMPLES), LABEL]
    rows = torch.ones(SAMPLES, dtype=torch.float64) if weight is None else weight[LABEL]
    sample = torch.ones(SAMPLES, dtype=torch.float64) if sample is None else sample
    return (sample * (1 - p) ** gamma * loss).sum() / (sample * rows).sum()


def binary_focal(z, gamma):
    p = torch.sigmoid(z)
    right = p * SOFT + (1 - p) * (1 - SOFT)
    return ((1 - right) ** gamma * F.binary_cross_entropy_with_logits(z, SOFT, reduction="none")).mean()


CLASS_C = ".class_weights = (const double[]){1, 1.5, 10}, .n_class_weights = 3"
POS_C = ".pos_weight = (const double[]){2, 0.5, 3}, .n_pos_weight = 3"
ONE = BY_SAMPLE[:, None]
# target field, C options, the loss of logits z
CASES = [
    ("label", '.loss = "cross_entropy"', lambda z: F.cross_entropy(z, LABEL)),
    ("label", '.loss = "cross_entropy", ' + CLASS_C, lambda z: F.cross_entropy(z, LABEL, weight=CLASS)),
    ("label", '.loss = "cross_entropy", .label_smoothing = 0.1, ' + CLASS_C,
     lambda z: F.cross_entropy(z, LABEL, weight=CLASS, label_smoothing=0.1)),
    ("label", '.loss = "cross_entropy", .focal = 2', lambda z: focal(z, 2)),
    ("label", '.loss = "cross_entropy", .focal = 1.5, ' + CLASS_C, lambda z: focal(z, 1.5, CLASS)),
    ("label", '.loss = "cross_entropy", .weight = "by_sample"',
     lambda z: mean(F.cross_entropy(z, LABEL, reduction="none"), BY_SAMPLE)),
    ("label", '.loss = "cross_entropy", .focal = 1, .weight = "by_sample", ' + CLASS_C,
     lambda z: focal(z, 1, CLASS, BY_SAMPLE)),
    ("y", '.loss = "mse"', lambda z: F.mse_loss(z, Y)),
    ("y", '.loss = "mse", .weight = "by_element"', lambda z: mean((z - Y) ** 2, BY_ELEMENT)),
    ("y", '.loss = "l1", .weight = "by_sample"', lambda z: mean((z - Y).abs(), ONE)),
    ("y", '.loss = "smooth_l1"', lambda z: F.smooth_l1_loss(z, Y)),
    ("y", '.loss = "smooth_l1", .delta = 0.4', lambda z: F.smooth_l1_loss(z, Y, beta=0.4)),
    ("y", '.loss = "huber", .delta = 1.7', lambda z: F.huber_loss(z, Y, delta=1.7)),
    ("y", '.loss = "huber", .delta = 0.5, .weight = "by_sample"',
     lambda z: mean(F.huber_loss(z, Y, delta=0.5, reduction="none"), ONE)),
    ("soft", '.loss = "bce_with_logits"', lambda z: F.binary_cross_entropy_with_logits(z, SOFT)),
    ("soft", '.loss = "bce_with_logits", ' + POS_C,
     lambda z: F.binary_cross_entropy_with_logits(z, SOFT, pos_weight=POS)),
    ("soft", '.loss = "bce_with_logits", .pos_weight = (const double[]){4}, .n_pos_weight = 1, .weight = "by_element"',
     lambda z: mean(F.binary_cross_entropy_with_logits(z, SOFT, pos_weight=torch.tensor(4.0), reduction="none"),
                    BY_ELEMENT)),
    ("soft", '.loss = "bce_with_logits", .focal = 2', lambda z: binary_focal(z, 2)),
]


def numbers(values):
    words = [f"{float(v):.10g}" for v in np.ravel(values)]
    lines, line = [], "    "
    for w in words:
        if len(line) + len(w) + 2 > 99:
            lines.append(line.rstrip())
            line = "    "
        line += w + ", "
    return "\n".join(lines + [line.rstrip(", ")])


def main():
    out = ["/* Made by make_loss.py with torch %s; do not edit. */" % torch.__version__.split("+")[0], "",
           "#include <sunup.h>", "", "enum { SAMPLES = %d, IN = %d, OUT = %d };" % (SAMPLES, IN, OUT)]
    for name, a in (("x", X), ("y", Y), ("soft", SOFT), ("by_sample", BY_SAMPLE), ("by_element", BY_ELEMENT),
                    ("start", START)):
        out += ["static const float golden_%s[] = {" % name, numbers(a), "};"]
    out += ["static const int32_t golden_label[] = {", numbers(LABEL), "};", "",
            "/* The loss at the start, and its gradient by the weights [IN][OUT]. */",
            "static const struct golden_loss {", "    const char *target;", "    const char *options;",
            "    sunup_train_options o;", "    double loss, gradient[IN * OUT];", "} golden_losses[] = {"]
    for target, options, f in CASES:
        w = START.clone().requires_grad_()
        loss = f(X @ w)
        loss.backward()
        filled = options if ".delta" in options else options + ", .delta = 1"
        out += ['    {"%s",' % target, "     %s," % ('"' + options.replace('"', "'") + '"'), "     {%s}," % filled,
                "     %.10g," % loss.item(), "     {", numbers(w.grad.numpy()), "     }},"]
    out += ["};", ""]
    pathlib.Path(__file__).with_name("loss_golden.h").write_text("\n".join(out))


main()
