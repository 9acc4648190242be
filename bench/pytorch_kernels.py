"""pytorch_kernels.py THREADS - times problems of `sunup bench kernel` in PyTorch when it is asked; started by it.

Questions come on standard input, one a line; each answer is a line of JSON:

    problem TEXT     can it be done: {"ok": true}
    time CALLS COLD  after one call that is not timed: {"s": seconds of a call on average}

Convolutions and pools get tensors in channels_last where PyTorch has it (2-D, 3-D), else its own layout; linear layers
weights as [out, in]. Gradients are called as functions (torch.nn.grad's kernels), so that no graph is built or walked.
"""
import json
import re
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
aten = torch.ops.aten
DTYPES = {"f32": torch.float32, "f64": torch.float64}
sweep = torch.zeros(16 << 20)  # 64 MiB


class Problem:
    """The parts of a canonical problem text."""

    def __init__(self, text):
        parts = text.split(":")
        self.op, self.dtype, self.words = parts[0], DTYPES[parts[-1]], parts[2:-1]
        self.sizes = {k: int(v) for k, v in re.findall(r"([a-z])(\d+)", parts[1])}
        self.shapes = []
        if not re.match(r"[a-z]\d", parts[1]):
            for shape in parts[1].split(","):
                self.shapes.append(None if shape == "-" else [] if shape == "scalar" else
                                   [int(d) for d in shape.split("x")])

    def word(self, name, otherwise=None):
        """The numbers after a word: "pad1x1" is [1, 1], "ta" is []."""
        for word in self.words:
            found = re.fullmatch(name + r"([\dx]*)", word)
            if found:
                return [int(d) for d in found[1].split("x") if d]
        return otherwise

    def rand(self, *shape):
        return torch.rand(*shape, dtype=self.dtype) - 0.5


def like_ours(x):
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return x.contiguous(memory_format=formats.get(x.dim(), torch.contiguous_format))


def window(p):
    """n, c, k, in, taps, stride, dilation, before, out of the axes in use."""
    s = p.sizes
    axes = [a for a in "dhw" if a in s]
    taps = [s["trs"["dhw".index(a)]] for a in axes]
    size = [s[a] for a in axes]
    ones = [1] * len(axes)
    stride, dilation = p.word("stride", ones), p.word("dilation", ones)
    before = p.word("pad", [0] * len(axes))
    plain = [i - d * (t - 1) for i, d, t in zip(size, dilation, taps)]
    out = p.word("to", plain)
    after = [max(0, (o - 1) * st + d * (t - 1) + 1 - i - b)
             for o, st, d, t, i, b in zip(out, stride, dilation, taps, size, before)]
    if p.word("circular") is not None:
        raise NotImplementedError("circular padding")
    for i in range(len(axes)):
        reach = dilation[i] * (taps[i] - 1) + 1
        if (size[i] + 2 * before[i] - reach) // stride[i] + 1 == out[i]:
            continue  # what the stride leaves over is no padding
        if after[i] < before[i]:
            raise NotImplementedError("more padding before than after")
        size[i] += after[i] - before[i]  # PyTorch pads one side more by an op of its own: here the image comes padded
    return s["n"], s["c"], s.get("k"), size, taps, stride, dilation, before, out


def conv(p):
    n, c, k, size, taps, stride, dilation, pad, out = window(p)
    groups = (p.word("groups") or [1])[0]
    x, w = like_ours(p.rand(n, c, *size)), like_ours(p.rand(k, c // groups, *taps))
    dy = like_ours(p.rand(n, k, *out))
    bias = p.rand(k) if p.word("bias") is not None else None
    rest = (stride, pad, dilation, False, [0] * len(taps), groups)
    if p.op == "conv":
        return lambda: aten.convolution(x, w, bias, *rest)
    mask = [p.op == "conv_data_grad", p.op == "conv_weight_grad", False]
    return lambda: aten.convolution_backward(dy, x, w, None, *rest, mask)


def pool(p):
    n, c, _, size, taps, stride, _, pad, out = window(p)
    d = len(taps)
    x, dy = like_ours(p.rand(n, c, *size)), like_ours(p.rand(n, c, *out))
    if d == 1:
        x, dy, size, taps, stride, pad = x[:, :, None], dy[:, :, None], [1] + size, [1] + taps, [1] + stride, [0] + pad
    three = d == 3
    if p.op == "max_pool":
        f = aten.max_pool3d_with_indices if three else aten.max_pool2d_with_indices
        return lambda: f(x, taps, stride, pad)
    if p.op == "max_pool_grad":  # the record of where the maxima were is not timed, in PyTorch's favour
        f = aten.max_pool3d_with_indices if three else aten.max_pool2d_with_indices
        g = aten.max_pool3d_with_indices_backward if three else aten.max_pool2d_with_indices_backward
        y, at = f(x, taps, stride, pad)
        return lambda: g(dy, x, taps, stride, pad, [1] * len(taps), False, at)
    count = p.word("count") is not None
    if p.op == "avg_pool":
        f = aten.avg_pool3d if three else aten.avg_pool2d
        return lambda: f(x, taps, stride, pad, False, count)
    g = aten.avg_pool3d_backward if three else aten.avg_pool2d_backward
    return lambda: g(dy, x, taps, stride, pad, False, count, None)


def linear(p):
    m, n, k = (p.sizes[i] for i in "mnk")
    x, w = p.rand(m, k), p.rand(n, k)
    b = p.rand(n) if p.word("bias") is not None else None
    return lambda: F.linear(x, w, b)


def matmul(p):
    m, n, k = (p.sizes[i] for i in "mnk")
    batch = p.word("batch", [])

    def operand(rows, columns, transposed, one):
        shape = [] if p.word(one) is not None else batch
        return p.rand(*shape, columns, rows).mT if transposed else p.rand(*shape, rows, columns)

    a = operand(m, k, p.word("ta") is not None, "one_a")
    b = operand(k, n, p.word("tb") is not None, "one_b")
    return lambda: torch.matmul(a, b)


def channels_first(p, shape):
    """[n, space.., c] as PyTorch's [n, c, space..] in the same memory order."""
    x = p.rand(*shape)
    return x.movedim(-1, 1) if x.dim() > 2 else x


def batch_norm(p):
    shape = p.shapes[0]
    x, dy, c = channels_first(p, shape), channels_first(p, shape), shape[-1]
    gamma, beta = p.rand(c), p.rand(c)
    y, mean, rstd = aten.native_batch_norm(x, gamma, beta, None, None, True, 0.1, 1e-5)
    if p.op == "batch_norm":
        return lambda: aten.native_batch_norm(x, gamma, beta, None, None, True, 0.1, 1e-5)
    mask = [True, True, True]
    return lambda: aten.native_batch_norm_backward(dy, x, gamma, None, None, mean, rstd, True, 1e-5, mask)


def layer_norm(p):
    shape = p.shapes[0]
    row = shape[-(p.word("axes") or [1])[0]:]
    x, dy, gamma, beta = p.rand(*shape), p.rand(*shape), p.rand(*row), p.rand(*row)
    y, mean, rstd = aten.native_layer_norm(x, row, gamma, beta, 1e-5)
    if p.op == "layer_norm":
        return lambda: aten.native_layer_norm(x, row, gamma, beta, 1e-5)
    return lambda: aten.native_layer_norm_backward(dy, x, row, mean, rstd, gamma, beta, [True, True, True])


def softmax(p):
    x, dy = p.rand(*p.shapes[0]), p.rand(*p.shapes[0])
    log = "log" in p.op
    if not p.op.endswith("_grad"):
        return (lambda: aten._log_softmax(x, -1, False)) if log else (lambda: aten._softmax(x, -1, False))
    y = aten._log_softmax(x, -1, False) if log else aten._softmax(x, -1, False)
    f = aten._log_softmax_backward_data if log else aten._softmax_backward_data
    return lambda: f(dy, y, -1, p.dtype)


def attention(p):
    """q [N, L, heads d] as [N, heads, L, d] in the same memory, as PyTorch's own layers hand it over."""
    heads, causal = (p.word("heads") or [1])[0], p.word("causal") is not None
    if p.shapes[3] is not None:
        raise NotImplementedError("bias")
    q, k, v = (p.rand(n, length, heads, c // heads).transpose(1, 2) for n, length, c in p.shapes[:3])
    if p.op == "attention":
        return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    f, g = aten._scaled_dot_product_flash_attention_for_cpu, aten._scaled_dot_product_flash_attention_for_cpu_backward
    y, lse = f(q, k, v, 0.0, causal)
    dy = torch.rand_like(y)
    return lambda: g(dy, q, k, v, y, lse, 0.0, causal)


POINTWISE = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "neg": torch.neg, "exp": torch.exp,
    "log": torch.log, "sqrt": torch.sqrt, "square": torch.square, "abs": torch.abs, "sign": torch.sign,
    "sin": torch.sin, "cos": torch.cos, "relu": torch.relu, "gelu": F.gelu, "sigmoid": torch.sigmoid,
    "tanh": torch.tanh, "softplus": F.softplus,
    "relu_grad": lambda a, b: aten.threshold_backward(b, a, 0), "gelu_grad": lambda a, b: aten.gelu_backward(b, a),
    "sigmoid_grad": lambda a, b: aten.sigmoid_backward(b, a), "tanh_grad": lambda a, b: aten.tanh_backward(b, a),
}


def pointwise(p):
    f, x = POINTWISE[p.op], [p.rand(*s) for s in p.shapes]
    return lambda: f(*x)


def chain(p):
    """Op after op: eager PyTorch has no other way."""
    steps = [step.split(".") for step in p.words[0].split("+")]
    program = [(POINTWISE[name], [int(r) for r in registers]) for name, *registers in steps]
    x = [p.rand(*s) for s in p.shapes]

    def run():
        registers = list(x)
        for f, reads in program:
            registers.append(f(*(registers[r] for r in reads)))
        return registers[-1]
    return run


FAMILIES = {"conv": conv, "conv_data_grad": conv, "conv_weight_grad": conv, "max_pool": pool, "max_pool_grad": pool,
            "avg_pool": pool, "avg_pool_grad": pool, "linear": linear, "matmul": matmul, "batch_norm": batch_norm,
            "batch_norm_grad": batch_norm, "layer_norm": layer_norm, "layer_norm_grad": layer_norm,
            "softmax": softmax, "softmax_grad": softmax, "log_softmax": softmax, "log_softmax_grad": softmax,
            "attention": attention, "attention_grad": attention, "chain": chain, **{name: pointwise for name in POINTWISE}}


def differentiable(p):
    """The op as a network would call it, and its inputs."""
    shape = p.shapes[0] if p.shapes else None
    if p.op == "batch_norm":
        x, gamma, beta = channels_first(p, shape), p.rand(shape[-1]), p.rand(shape[-1])
        return lambda: F.batch_norm(x, None, None, gamma, beta, True), [x, gamma, beta]
    if p.op == "layer_norm":
        x, gamma, beta = p.rand(*shape), p.rand(shape[-1]), p.rand(shape[-1])
        return lambda: F.layer_norm(x, shape[-1:], gamma, beta), [x, gamma, beta]
    if p.op == "linear":
        x, w, b = p.rand(p.sizes["m"], p.sizes["k"]), p.rand(p.sizes["n"], p.sizes["k"]), p.rand(p.sizes["n"])
        b = b if p.word("bias") is not None else None
        return lambda: F.linear(x, w, b), [t for t in (x, w, b) if t is not None]
    if p.op == "conv":
        n, c, k, size, taps, stride, dilation, pad, _ = window(p)
        groups = (p.word("groups") or [1])[0]
        x, w = like_ours(p.rand(n, c, *size)), like_ours(p.rand(k, c // groups, *taps))
        b = p.rand(k) if p.word("bias") is not None else None
        return (lambda: aten.convolution(x, w, b, stride, pad, dilation, False, [0] * len(taps), groups),
                [t for t in (x, w, b) if t is not None])
    f, x = POINTWISE[p.op], [p.rand(*s) for s in p.shapes]
    return lambda: f(*x), x


def pipe(text):
    """"batch_norm+grads:SHAPE:f32|add|relu": eager, op by op, with autograd for the way back."""
    first, *ops = text.split("|")
    f, leaves = differentiable(Problem(first.replace("+grads", "")))
    steps, y = [], f()
    for name in ops:
        more = [torch.rand_like(y) - 0.5 for _ in range(OPERANDS.get(name, 1) - 1)]
        steps.append((POINTWISE[name], more))
        leaves += more

    def forward():
        y = f()
        for step, more in steps:
            y = step(y, *more)
        return y

    if "+grads" not in first:
        return forward
    dy = torch.rand_like(y)
    for leaf in leaves:
        leaf.requires_grad_()

    def both():
        with torch.enable_grad():
            return torch.autograd.grad(forward(), leaves, dy)
    return both


OPERANDS = {"add": 2, "sub": 2, "mul": 2, "div": 2}


def prepare(text):
    run = pipe(text) if "|" in text else FAMILIES[text.split(":")[0]](Problem(text))
    run()
    return run


def measure(run, calls, cold):
    if not cold:
        run()
    took = 0
    block = 1 if cold else calls
    for _ in range(0, calls, block):
        if cold:
            sweep.add_(1)
        start = time.perf_counter()
        for _ in range(block):
            run()
        took += time.perf_counter() - start
    return took / calls


print(json.dumps({"version": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
run = None
with torch.no_grad():
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "problem":
            try:
                run = prepare(rest)
                answer = {"ok": True}
            except (NotImplementedError, KeyError, RuntimeError, ValueError) as why:
                run = None
                answer = {"ok": False, "why": str(why)}
        else:
            calls, cold = rest.split()
            answer = {"s": measure(run, int(calls), cold == "1")}
        print(json.dumps(answer), flush=True)
