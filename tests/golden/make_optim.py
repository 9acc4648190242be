#!/usr/bin/env python3
"""Golden values of src/optim: what torch.optim and torch.optim.lr_scheduler give on fixed gradients.

Writes optim_golden.h and schedule_golden.h beside this file; run again only when a case is added (needs torch and numpy). What torch lacks
(lars, lamb, lookahead, some schedules) comes from the functions below, written from the papers' algorithms.
"""
import pathlib
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore")
STEPS, MATRIX, VECTOR = 10, (5, 7), 5
COUNT = MATRIX[0] * MATRIX[1] + VECTOR

rng = np.random.default_rng(7)
# Multiples of 1/256: exact in both types, and short in decimal.
W0 = np.round(rng.standard_normal(COUNT) * 256) / 256
G = np.round(rng.standard_normal((STEPS, COUNT)) * np.exp(rng.standard_normal((STEPS, 1))) * 256) / 256
G[:, 3] = 0  # a weight that never gets a gradient


def split(flat, dtype):
    m = MATRIX[0] * MATRIX[1]
    return [torch.tensor(flat[:m].reshape(MATRIX), dtype=dtype), torch.tensor(flat[m:], dtype=dtype)]


def by_torch(make, dtype, clip_norm=0.0, clip_value=0.0):
    """Weights after the first and after the last step."""
    params = [torch.nn.Parameter(p) for p in split(W0, dtype)]
    optimizer = make(params)
    kept = []
    for step in range(STEPS):
        for p, g in zip(params, split(G[step], dtype)):
            p.grad = g.clone()
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(params, clip_norm, foreach=False)
        if clip_value:
            torch.nn.utils.clip_grad_value_(params, clip_value, foreach=False)
        optimizer.step()
        if step in (0, STEPS - 1):
            kept.append(np.concatenate([p.detach().numpy().ravel() for p in params]))
    return kept


def by_numpy(update, dtype):
    params = [p.numpy().astype(np.float64) for p in split(W0, torch.float64)]
    state = [{"m": np.zeros_like(p), "v": np.zeros_like(p)} for p in params]
    kept = []
    for step in range(STEPS):
        for i, g in enumerate(split(G[step], torch.float64)):
            params[i] = update(params[i], g.numpy(), state[i], step + 1)
        if step in (0, STEPS - 1):
            kept.append(np.concatenate([p.ravel() for p in params]))
    return kept


def lars(lr, momentum, weight_decay, trust, eps=1e-8):
    def update(w, g, s, _):
        rate, decay = lr, 0.0
        if w.ndim > 1:
            nw, ng = np.linalg.norm(w), np.linalg.norm(g)
            rate, decay = lr * trust * nw / (ng + weight_decay * nw + eps), weight_decay
        s["m"] = momentum * s["m"] + rate * (g + decay * w)
        return w - s["m"]

    return update


def lamb(lr, weight_decay, betas=(0.9, 0.999), eps=1e-6):
    def update(w, g, s, t):
        s["m"] = betas[0] * s["m"] + (1 - betas[0]) * g
        s["v"] = betas[1] * s["v"] + (1 - betas[1]) * g * g
        m, v = s["m"] / (1 - betas[0] ** t), s["v"] / (1 - betas[1] ** t)
        r = m / (np.sqrt(v) + eps) + weight_decay * w
        return w - lr * np.linalg.norm(w) / np.linalg.norm(r) * r

    return update


class Lookahead:
    """Algorithm 1 of Zhang et al. (2019) around another optimizer."""

    def __init__(self, params, inner, k=6, alpha=0.5):
        self.params, self.inner, self.k, self.alpha, self.t = params, inner, k, alpha, 0
        self.slow = [p.detach().clone() for p in params]

    def step(self):
        self.inner.step()
        self.t += 1
        if self.t % self.k == 0:
            with torch.no_grad():
                for p, s in zip(self.params, self.slow):
                    s.add_(p - s, alpha=self.alpha)
                    p.copy_(s)


O = torch.optim
# C options -> a function from element type to weights
CASES = [
    ('.type = "sgd", .lr = 0.05', lambda d: by_torch(lambda p: O.SGD(p, lr=0.05, foreach=False), d)),
    ('.type = "sgd", .lr = 0.05, .momentum = 0.9',
     lambda d: by_torch(lambda p: O.SGD(p, lr=0.05, momentum=0.9, foreach=False), d)),
    ('.type = "sgd", .lr = 0.05, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.01',
     lambda d: by_torch(lambda p: O.SGD(p, lr=0.05, momentum=0.9, dampening=0.3, weight_decay=0.01, foreach=False), d)),
    ('.type = "sgd", .lr = 0.05, .momentum = 0.8, .nesterov = true, .weight_decay = 0.01',
     lambda d: by_torch(lambda p: O.SGD(p, lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.01, foreach=False), d)),
    ('.type = "adam"', lambda d: by_torch(lambda p: O.Adam(p, foreach=False), d)),
    ('.type = "adam", .lr = 0.02, .betas = {0.8, 0.95}, .eps = 1e-5, .weight_decay = 0.1',
     lambda d: by_torch(lambda p: O.Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-5, weight_decay=0.1, foreach=False), d)),
    ('.type = "adamw"', lambda d: by_torch(lambda p: O.AdamW(p, foreach=False), d)),
    ('.type = "adamw", .lr = 0.02, .weight_decay = 0.2',
     lambda d: by_torch(lambda p: O.AdamW(p, lr=0.02, weight_decay=0.2, foreach=False), d)),
    ('.type = "adamax"', lambda d: by_torch(lambda p: O.Adamax(p, foreach=False), d)),
    ('.type = "adamax", .lr = 0.03, .weight_decay = 0.1',
     lambda d: by_torch(lambda p: O.Adamax(p, lr=0.03, weight_decay=0.1, foreach=False), d)),
    ('.type = "rmsprop"', lambda d: by_torch(lambda p: O.RMSprop(p, foreach=False), d)),
    ('.type = "rmsprop", .lr = 0.003, .momentum = 0.7, .centered = true, .alpha = 0.9, .weight_decay = 0.05',
     lambda d: by_torch(lambda p: O.RMSprop(p, lr=0.003, momentum=0.7, centered=True, alpha=0.9, weight_decay=0.05,
                                            foreach=False), d)),
    ('.type = "adagrad"', lambda d: by_torch(lambda p: O.Adagrad(p, foreach=False), d)),
    ('.type = "adagrad", .lr = 0.1, .eps = 1e-3, .weight_decay = 0.05',
     lambda d: by_torch(lambda p: O.Adagrad(p, lr=0.1, eps=1e-3, weight_decay=0.05, foreach=False), d)),
    ('.type = "radam"', lambda d: by_torch(lambda p: O.RAdam(p, foreach=False), d)),
    ('.type = "radam", .lr = 0.02, .betas = {0.8, 0.95}, .eps = 1e-3, .weight_decay = 0.1',
     lambda d: by_torch(lambda p: O.RAdam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1, foreach=False),
                        d)),
    ('.type = "ranger", .lr = 0.02, .betas = {0.95, 0.999}',
     lambda d: by_torch(lambda p: Lookahead(p, O.RAdam(p, lr=0.02, betas=(0.95, 0.999), foreach=False)), d)),
    ('.type = "sgd", .lr = 0.05, .momentum = 0.9, .clip_norm = 2',
     lambda d: by_torch(lambda p: O.SGD(p, lr=0.05, momentum=0.9, foreach=False), d, clip_norm=2.0)),
    ('.type = "adam", .lr = 0.01, .clip_value = 0.5',
     lambda d: by_torch(lambda p: O.Adam(p, lr=0.01, foreach=False), d, clip_value=0.5)),
    ('.type = "lars", .lr = 0.5, .momentum = 0.9, .weight_decay = 0.05, .trust = 0.02',
     lambda d: by_numpy(lars(0.5, 0.9, 0.05, 0.02), d)),
    ('.type = "lamb", .lr = 0.02, .weight_decay = 0.1', lambda d: by_numpy(lamb(0.02, 0.1), d)),
]

S = torch.optim.lr_scheduler
SCHEDULE_STEPS, LR = 40, 0.4
LOSSES = [1.0, 0.5, 0.5, 0.49999, 0.6, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3,
          0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]


def warmed(o, main, factor=0.1, steps=6):
    return S.SequentialLR(o, [S.LinearLR(o, factor, 1.0, steps), main(o)], [steps])


SCHEDULES = [
    ('.type = "constant"', lambda o: S.LambdaLR(o, lambda t: 1.0)),
    ('.type = "step", .step_size = 7, .gamma = 0.3', lambda o: S.StepLR(o, 7, 0.3)),
    ('.type = "multistep", .gamma = 0.5, .n_milestones = 3, .milestones = (const double[]){5, 6, 30}',
     lambda o: S.MultiStepLR(o, [5, 6, 30], 0.5)),
    ('.type = "cosine", .min_lr = 0.01', lambda o: S.CosineAnnealingLR(o, SCHEDULE_STEPS, 0.01)),
    ('.type = "cosine", .total_steps = 21', lambda o: S.LambdaLR(
        o, lambda t: 0.5 * (1 + np.cos(np.pi * min(t, 21) / 21)))),
    ('.type = "cosine", .warmup_steps = 6, .warmup_factor = 0.1',
     lambda o: warmed(o, lambda o: S.CosineAnnealingLR(o, SCHEDULE_STEPS - 6))),
    ('.type = "constant", .warmup_steps = 6, .warmup_factor = 0.1', lambda o: S.LinearLR(o, 0.1, 1.0, 6)),
    ('.type = "polynomial", .power = 2, .total_steps = 30', lambda o: S.PolynomialLR(o, 30, 2)),
    ('.type = "polynomial", .warmup_steps = 6, .warmup_factor = 0.1',
     lambda o: warmed(o, lambda o: S.PolynomialLR(o, SCHEDULE_STEPS - 6, 1))),
    ('.type = "cosine", .flat = 0.75, .min_lr = 0.01', lambda o: S.SequentialLR(
        o, [S.ConstantLR(o, 1.0, 30), S.CosineAnnealingLR(o, 10, 0.01)], [30])),
    ('.type = "polynomial", .flat = 0.5, .power = 2', lambda o: S.SequentialLR(
        o, [S.ConstantLR(o, 1.0, 20), S.PolynomialLR(o, 20, 2)], [20])),
    ('.type = "exponential", .min_lr = 0.004', lambda o: S.ExponentialLR(o, 0.01 ** (1 / SCHEDULE_STEPS))),
    ('.type = "exponential", .flat = 0.7, .min_lr = 0.004, .warmup_steps = 10, .warmup_factor = 0.1',
     lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.1, 1.0, 10), S.ConstantLR(o, 1.0, 21),
                                  S.ExponentialLR(o, 0.01 ** (1 / 9))], [10, 31])),
    ('.type = "triangular", .step_size_up = 6, .min_lr = 0.1',
     lambda o: S.CyclicLR(o, 0.1, LR, 6, mode="triangular", cycle_momentum=False)),
    ('.type = "triangular2", .step_size_up = 6, .min_lr = 0.1',
     lambda o: S.CyclicLR(o, 0.1, LR, 6, mode="triangular2", cycle_momentum=False)),
    ('.type = "one_cycle"', lambda o: S.OneCycleLR(o, LR, SCHEDULE_STEPS, cycle_momentum=False)),
    ('.type = "one_cycle", .pct_start = 0.45, .div_factor = 10, .final_div_factor = 100',
     lambda o: S.OneCycleLR(o, LR, SCHEDULE_STEPS, pct_start=0.45, div_factor=10, final_div_factor=100,
                            cycle_momentum=False)),
    ('.type = "plateau", .patience = 2, .factor = 0.5, .min_lr = 0.01',
     lambda o: S.ReduceLROnPlateau(o, factor=0.5, patience=2, min_lr=0.01)),
]


def rates(make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    schedule = make(optimizer)
    out = []
    for step in range(SCHEDULE_STEPS):
        out.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if isinstance(schedule, S.ReduceLROnPlateau):
            schedule.step(LOSSES[step])
        else:
            schedule.step()
    return out


def numbers(values, digits=17, indent="    "):
    words = [f"{float(v):.{digits}g}" for v in np.ravel(values)]
    words = [w if "." in w or "e" in w else w + ".0" for w in words]
    lines, line = [], indent
    for w in words:
        if len(line) + len(w) + 2 > 119:
            lines.append(line.rstrip())
            line = indent
        line += w + ", "
    return "\n".join(lines + [line.rstrip(", ")])


def main():
    head = ["/* Made by make_optim.py with torch %s; do not edit. */" % torch.__version__.split("+")[0], "",
            "#include <sunup.h>", ""]
    write("optim_golden.h", head + optimizers())
    write("schedule_golden.h", head + schedules())


def write(name, lines):
    pathlib.Path(__file__).with_name(name).write_text("\n".join(lines + ["};", ""]))


def optimizers():
    out = ["enum { GOLDEN_STEPS = %d, GOLDEN_MATRIX = %d, GOLDEN_COUNT = %d };" % (STEPS, MATRIX[0] * MATRIX[1], COUNT),
           "",
           "static const double golden_weights[GOLDEN_COUNT] = {", numbers(W0), "};",
           "static const double golden_gradients[GOLDEN_STEPS * GOLDEN_COUNT] = {", numbers(G), "};", "",
           "/* Weights after the first and after the last step, in f32 and in f64. */",
           "static const struct golden_optimizer {", "    const char *options;", "    sunup_optimizer_options o;",
           "    double f32[2 * GOLDEN_COUNT], f64[2 * GOLDEN_COUNT];", "} golden_optimizers[] = {"]
    for options, run in CASES:
        filled = "DEFAULTS " + options
        for field, default in (("betas", "{0.9, 0.999}"), ("alpha", "0.99"), ("weight_decay", "-1"),
                               ("trust", "1e-3")):
            if "." + field + " " not in options:
                filled += f", .{field} = {default}"
        filled = filled.replace("DEFAULTS ", ".size = sizeof(sunup_optimizer_options), ")
        out += ["    {%s," % ('"' + options.replace('"', "'") + '"'), "     {%s}," % filled,
                "     {", numbers(run(torch.float32), 9), "     },", "     {", numbers(run(torch.float64)), "     }},"]
    return out


def schedules():
    out = ["enum { GOLDEN_RATES = %d };" % SCHEDULE_STEPS, "#define GOLDEN_LR %r" % LR, "",
           "static const double golden_losses[GOLDEN_RATES] = {", numbers(LOSSES), "};", "",
           "static const struct golden_schedule {", "    const char *options;", "    sunup_schedule_options o;",
           "    double lr[GOLDEN_RATES];", "} golden_schedules[] = {"]
    for options, make in SCHEDULES:
        filled = ".size = sizeof(sunup_schedule_options), " + options
        for field, default in (("gamma", "0.1"), ("power", "1"), ("pct_start", "0.3"), ("step_size_up", "2000"),
                               ("div_factor", "25"), ("final_div_factor", "1e4"), ("factor", "0.1"), ("patience", "10"),
                               ("threshold", "1e-4")):
            if f".{field} " not in options:
                filled += f", .{field} = {default}"
        out += ["    {%s," % ('"' + options.replace('"', "'") + '"'), "     {%s}," % filled, "     {",
                numbers(rates(make)), "     }},"]
    return out


main()
