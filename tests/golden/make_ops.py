#!/usr/bin/env python3
"""Golden values of ops: forward and gradients as PyTorch computes them in f64, channels last.

    python tests/golden/make_ops.py tests/golden/ops_golden.txt

Needed only to remake the file that src/graph/golden_test.c reads. A line is one tensor:

    case NAME
    f|i NAME n d.. : values     an input, floating or i32; "dy" is the gradient that arrives at y
    y NAME n d.. : values       an output, first "y"
    d NAME n d.. : values       the gradient of sum(y dy) with respect to input NAME

Inputs have two decimals, so that they are short and the same in every type.
"""
import sys

import torch
import torch.nn.functional as F

torch.manual_seed(20240229)
torch.set_default_dtype(torch.float64)
out = open(sys.argv[1], "w")


def put(kind, name, t):
    form = "%.2f" if kind == "f" else "%d" if kind == "i" else "%.13g"
    shape = " ".join(str(d) for d in [t.dim(), *t.shape])
    values = " ".join(form % (v + 0.0) for v in t.detach().reshape(-1).tolist())
    print(kind, name, shape, ":", values, file=out)


def two(t):
    return (t * 100).round() / 100


def rand(*shape, low=None, high=None):
    return two(torch.randn(*shape) if low is None else low + (high - low) * torch.rand(*shape))


constant = ("constant", "running")  # inputs of these names have no gradient


def case(name, function, **inputs):
    """function(**inputs) -> y, or a dict with "y" and more outputs."""
    print("case", name, file=out)
    for k, v in inputs.items():
        if v.is_floating_point() and not k.startswith(constant):
            v.requires_grad_()
        put("f" if v.is_floating_point() else "i", k, v)
    y = function(**inputs)
    outputs = y if isinstance(y, dict) else {"y": y}
    y = outputs["y"]
    dy = rand(*y.shape) if y.dim() else torch.tensor(1.5)
    put("f", "dy", dy)
    for k, v in outputs.items():
        put("y", k, v)
    wanted = {k: v for k, v in inputs.items() if v.requires_grad}
    for k, v in zip(wanted, torch.autograd.grad(y, list(wanted.values()), dy, allow_unused=True)):
        if v is not None:
            put("d", k, v)


# Channels last <-> PyTorch's N C space, taps C K <-> K C taps.
def first(x):
    return x.movedim(-1, 1)


def last(y):
    return y.movedim(1, -1)


def kernel(w):
    return w.movedim((-1, -2), (0, 1))


def pads(before, after):
    p = []
    for b, a in reversed(list(zip(before, after))):
        p += [b, a]
    return p


def conv(before, after, mode="constant", **options):
    def f(x, w, b=None):
        function = [F.conv1d, F.conv2d, F.conv3d][x.dim() - 3]
        return last(function(F.pad(first(x), pads(before, after), mode=mode), kernel(w), b, **options))
    return f


def transpose(**options):
    def f(x, w, b=None):
        function = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d][x.dim() - 3]
        return last(function(first(x), kernel(w), b, **options))
    return f


case("conv_line", conv([1], [2], stride=2), x=rand(2, 11, 3), w=rand(4, 3, 5), b=rand(5))
case("conv_plane", conv([1, 1], [1, 1]), x=rand(2, 5, 4, 3), w=rand(3, 3, 3, 4), b=rand(4))
case("conv_space", conv([0, 1, 1], [1, 1, 0], stride=(2, 1, 1)), x=rand(1, 4, 5, 3, 2), w=rand(2, 3, 2, 2, 3), b=rand(3))
case("conv_groups", conv([2, 2], [2, 2], stride=2, dilation=(2, 3), groups=2), x=rand(2, 7, 6, 4), w=rand(3, 3, 2, 6))
case("conv_depthwise_circular", conv([1, 2], [1, 1], mode="circular", groups=3), x=rand(1, 5, 4, 3), w=rand(3, 3, 1, 6))
case("conv_same", conv([1, 0], [1, 1], stride=(2, 3)), x=rand(1, 7, 4, 2), w=rand(3, 2, 2, 3), b=rand(3))
case("conv_one", conv([0, 0], [0, 0], stride=2), x=rand(3, 5, 3, 4), w=rand(1, 1, 4, 2))
case("transpose_line", transpose(stride=2, dilation=2, groups=2), x=rand(2, 5, 4), w=rand(3, 3, 4), b=rand(6))
case("transpose_plane", transpose(stride=(2, 3), padding=1, output_padding=(1, 2)), x=rand(1, 4, 3, 3), w=rand(3, 3, 2, 3), b=rand(2))
case("transpose_space", transpose(stride=(1, 2, 2), padding=(1, 0, 1)), x=rand(1, 3, 2, 3, 2), w=rand(3, 2, 3, 1, 2))

case("max_pool_plane", lambda x: last(F.max_pool2d(first(x), 3, 2, 1)), x=rand(2, 7, 6, 3))
case("max_pool_line", lambda x: last(F.max_pool1d(first(x), 2)), x=rand(2, 7, 2))
case("avg_pool_plane", lambda x: last(F.avg_pool2d(first(x), (3, 2), (2, 1), 1)), x=rand(2, 5, 4, 2))
case("avg_pool_no_pad", lambda x: last(F.avg_pool2d(first(x), (3, 2), (2, 1), 1, count_include_pad=False)), x=rand(1, 5, 4, 2))
case("avg_pool_space", lambda x: last(F.avg_pool3d(first(x), 2, 1)), x=rand(1, 3, 4, 3, 2))
case("global_avg_pool", lambda x: x.mean((1, 2)), x=rand(2, 3, 4, 5))

case("linear", lambda x, w, b: F.linear(x, w.T, b), x=rand(3, 2, 7), w=rand(7, 5), b=rand(5))
case("matmul", lambda a, b: a @ b, a=rand(2, 3, 4), b=rand(2, 4, 5))
case("matmul_transposed", lambda a, b: a.mT @ b.mT, a=rand(2, 4, 3), b=rand(5, 4))


def batch_norm(x, gamma, beta, running_mean, running_var):
    mean, var = running_mean.detach().clone(), running_var.detach().clone()
    y = F.batch_norm(first(x), mean, var, gamma, beta, True, 0.1, 1e-5)
    return {"y": last(y), "running_mean": mean, "running_var": var}


norm = dict(x=rand(3, 4, 2, 5), gamma=rand(5), beta=rand(5))
running = dict(running_mean=rand(5), running_var=rand(5, low=0.5, high=2))
case("batch_norm", batch_norm, **norm, **running)
case("batch_norm_eval", lambda x, gamma, beta, running_mean, running_var:
     last(F.batch_norm(first(x), running_mean, running_var, gamma, beta, False, 0.1, 1e-5)), **norm, **running)
case("layer_norm", lambda x, gamma, beta: F.layer_norm(x, (4, 5), gamma, beta, 1e-5),
     x=rand(3, 4, 5), gamma=rand(4, 5), beta=rand(4, 5))
case("group_norm", lambda x, gamma, beta: last(F.group_norm(first(x), 3, gamma, beta, 1e-5)),
     x=rand(2, 3, 2, 6), gamma=rand(6), beta=rand(6))

case("softmax", lambda x: F.softmax(x, 1), x=rand(2, 5, 3))
case("log_softmax", lambda x: F.log_softmax(x, -1), x=3 * rand(4, 5))


def cross_entropy(smoothing):
    def f(x, label, constant_weight=None):
        return F.cross_entropy(x.movedim(-1, 1) if x.dim() > 1 else x, label.long(), constant_weight, label_smoothing=smoothing)
    return f


def labels(*shape, classes):
    return torch.randint(0, classes, shape, dtype=torch.int32)


case("cross_entropy", cross_entropy(0), x=3 * rand(7, 5), label=labels(7, classes=5))
case("cross_entropy_weight", cross_entropy(0), x=rand(3, 2, 4), label=labels(3, 2, classes=4), constant_weight=rand(4, low=0.1, high=3))
case("cross_entropy_smooth", cross_entropy(0.1), x=rand(6, 3), label=labels(6, classes=3))
case("cross_entropy_both", cross_entropy(0.25), x=rand(6, 4), label=labels(6, classes=4), constant_weight=rand(4, low=0.1, high=3))
case("mse", lambda x, target: F.mse_loss(x, target), x=rand(3, 5), target=rand(3, 5))
case("l1", lambda x, target: F.l1_loss(x, target), x=rand(3, 5), target=rand(3, 5))
unit = dict(x=3 * rand(4, 3), target=rand(4, 3, low=0, high=1))
case("bce", lambda x, target: F.binary_cross_entropy_with_logits(x, target), **unit)
case("bce_weighted", lambda x, target, constant_weight, constant_pos_weight:
     F.binary_cross_entropy_with_logits(x, target, constant_weight, pos_weight=constant_pos_weight),
     constant_weight=rand(4, 1, low=0.1, high=2), constant_pos_weight=rand(3, low=0.2, high=3), **unit)

spread = dict(x=4 * rand(3, 7))
case("gelu", lambda x: F.gelu(x), **spread)
case("elu", lambda x: F.elu(x, 0.7), **spread)
case("softplus", lambda x: F.softplus(x), **spread)
case("leaky_relu", lambda x: F.leaky_relu(x, 0.01), **spread)
case("sigmoid", torch.sigmoid, **spread)
case("tanh", torch.tanh, **spread)

case("gather", lambda table, index: F.embedding(index.long(), table), table=rand(5, 3), index=labels(2, 4, classes=5))
case("scatter_add", lambda x, index: torch.zeros(5, 3).index_add(0, index.long(), x), x=rand(8, 3), index=labels(8, classes=5))


def attention(heads, causal=False):
    """q k v [N, L, heads d]: channels of a head lie together."""
    def split(t):
        return t.unflatten(-1, (heads, -1)).transpose(1, 2)

    def f(q, k, v, bias=None):
        return F.scaled_dot_product_attention(split(q), split(k), split(v), bias, is_causal=causal).transpose(1, 2).flatten(2)
    return f


case("attention_bias", attention(2), q=rand(2, 3, 4), k=rand(2, 5, 4), v=rand(2, 5, 6), bias=rand(1, 2, 3, 5))
case("attention_causal", attention(3, True), q=rand(1, 6, 6), k=rand(1, 6, 6), v=rand(1, 6, 3))


def upsample(mode, *factors):
    corners = None if mode == "nearest" else False
    return lambda x: last(F.interpolate(first(x), scale_factor=factors, mode=mode, align_corners=corners))


case("upsample_line", upsample("linear", 3), x=rand(2, 5, 3))
case("upsample_plane", upsample("bilinear", 2, 2), x=rand(2, 3, 4, 2))
case("upsample_space", upsample("trilinear", 2, 2, 2), x=rand(1, 2, 3, 2, 3))
case("upsample_nearest", upsample("nearest", 4, 1), x=rand(2, 3, 2, 3))

case("erf", torch.erf, **spread)
case("atan2", lambda a, b: torch.atan2(a, b), a=rand(4, 5), b=rand(4, 5))
case("mod", lambda a, b: torch.remainder(a, b), a=7 * rand(4, 5), b=rand(4, 5, low=0.53, high=2.9) * torch.tensor([1.0, -1, 1, -1, -1]))
ties = dict(a=rand(4, 5, low=-0.03, high=0.03), b=rand(4, 5, low=-0.03, high=0.03))
case("minimum", lambda a, b: torch.minimum(a, b), **ties)
case("maximum", lambda a, b: torch.maximum(a, b), **ties)
case("pow", lambda a, b: torch.pow(a, b), a=rand(4, 5, low=0.1, high=3), b=rand(4, 5))

case("gather_rows", lambda x, index: torch.stack([v[i.long()] for v, i in zip(x, index)]),
     x=rand(2, 5, 3), index=labels(2, 5, 4, classes=5))
case("logsumexp", lambda x: torch.logsumexp(x, (0, -1)), x=40 * rand(3, 4, 5))
case("min", lambda x: x.amin(1, keepdim=True), x=rand(3, 7, 2))
case("roll", lambda x: torch.roll(x, -2, 1), x=rand(2, 7, 3))
case("pairwise", lambda x: (x[:, :, None] - x[:, None]).square().sum(-1), x=rand(2, 5, 3))


def local(*stride):
    def f(x, w, b=None):
        n, c = len(stride), x.shape[-1]
        for i, s in enumerate(stride):
            x = x.unfold(1 + i, w.shape[n + i], s)  # N out.. C taps..
        y = torch.einsum("npct,ptck->npk", x.flatten(n + 2).flatten(1, n), w.flatten(n, 2 * n - 1).flatten(0, n - 1))
        y = y.unflatten(1, w.shape[:n])
        return y if b is None else y + b
    return f


case("local_line", local(1), x=rand(3, 7, 2), w=rand(5, 3, 2, 4), b=rand(5, 4))
case("local_plane", local(1, 2), x=rand(2, 4, 7, 2), w=rand(3, 3, 2, 3, 2, 3))
