#!/usr/bin/env python3
"""Golden values of src/train/samples_test.c: steps of a network with batch norm, statistics of the whole batch, by PyTorch.

Writes batch_norm_golden.h beside this file (needs torch and numpy). PyTorch's SyncBatchNorm over any number of processes
gives these numbers, up to rounding.
"""
import pathlib
import textwrap

import numpy as np
import torch
from torch import nn

SAMPLES, STEPS, IN, HIDDEN, OUT, LR = 16, 3, 3, 4, 3, 0.5
rng = np.random.default_rng(5)


def short(*shape):
    """Multiples of 1/64: exact in f32, and short in decimal."""
    return torch.tensor(np.round(rng.standard_normal(shape) * 64) / 64, dtype=torch.float64)


x, label = short(SAMPLES, IN), torch.tensor(rng.integers(0, OUT, SAMPLES))
first, norm, second = nn.Linear(IN, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.Linear(HIDDEN, OUT, bias=False)
net = nn.Sequential(first, norm, nn.ReLU(), second).double()
first.weight.data, second.weight.data = short(HIDDEN, IN), short(OUT, HIDDEN)
start = [first.weight.detach().T.clone(), second.weight.detach().T.clone()]
optimizer = torch.optim.SGD(net.parameters(), lr=LR)
losses = []
for _ in range(STEPS):
    loss = nn.functional.cross_entropy(net(x), label)
    losses.append(loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

tensors = {"fc1.weight": first.weight.T, "norm.weight": norm.weight, "norm.bias": norm.bias, "fc2.weight": second.weight.T,
           "norm.running_mean": norm.running_mean, "norm.running_var": norm.running_var}


def numbers(values):
    values = values.detach().flatten().tolist() if torch.is_tensor(values) else values
    return textwrap.fill(", ".join(f"{v:.9g}" for v in values), 96, initial_indent="    ", subsequent_indent="    ")


def array(kind, name, values):
    return f"static const {kind} {name} = {{\n{numbers(values)}\n}};\n"


with open(pathlib.Path(__file__).with_name("batch_norm_golden.h"), "w") as f:
    f.write(f"/* Made by make_batch_norm.py with torch {torch.__version__.split('+')[0]}; do not edit. */\n\n#include <sunup.h>\n\n")
    f.write(f"enum {{ SAMPLES = {SAMPLES}, STEPS = {STEPS}, IN = {IN}, HIDDEN = {HIDDEN}, OUT = {OUT} }};\n")
    f.write(f"static const double golden_lr = {LR};\n")
    f.write(array("double", "golden_loss[STEPS]", losses) + array("float", "golden_x[]", x))
    f.write(array("int32_t", "golden_label[]", label))
    f.write(array("float", "golden_fc1[]", start[0]) + array("float", "golden_fc2[]", start[1]))
    f.write("static const struct {\n    const char *name;\n    double x[HIDDEN * 3];\n} golden_after[] = {\n")
    for name, values in tensors.items():
        f.write(f'    {{"{name}",\n     {{\n{numbers(values)}}}}},\n')
    f.write("};\n")
