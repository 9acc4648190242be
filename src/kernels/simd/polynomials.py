#!/usr/bin/env python3
"""Coefficients of math.h, fitted anew: weighted least squares on Chebyshev points, the weights moved towards the largest
errors (Lawson's iteration), which ends close to the minimax polynomial. Needs numpy and scipy. Prints each list, lowest
power first, rounded to float, and the largest error relative to the function that the polynomial serves."""
import numpy as np
from scipy.special import ndtr

def chebyshev(low, high, n=4000):
    return (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(n) + 0.5) / n)

def fit(name, x, target, scale, powers):
    """target(x) ~ sum_i c_i x^powers[i]; scale: how an error of the polynomial counts"""
    a = np.stack([x ** p for p in powers], 1) * scale[:, None]
    b, w = target * scale, np.ones_like(x)
    for _ in range(200):
        c = np.linalg.lstsq(a * np.sqrt(w)[:, None], b * np.sqrt(w), rcond=None)[0]
        e = np.abs(a @ c - b)
        w = w * e / e.max() + 1e-30
        w /= w.sum() / len(x)
    rounded = c.astype(np.float32).astype(np.float64)
    print(f"{name}: error {np.abs(a @ c - b).max():.2g}, rounded {np.abs(a @ rounded - b).max():.2g}")
    print("   ", ", ".join(f"{float(v).hex()}F" for v in rounded))

def quotient(name, x, target, p, q):
    """target(x) ~ x P(x^2) / Q(x^2), degrees p and q, Q(0) = 1: absolute error; the last denominator divides the weights
    (Sanathanan and Koerner)"""
    top = x.max() ** 2
    s = x * x / top
    columns = np.stack([x * s**i for i in range(p + 1)] + [-target * s**i for i in range(1, q + 1)], 1)
    w, below, best = np.ones_like(x), np.ones_like(x), (np.inf, None)
    for _ in range(800):
        k = np.sqrt(w) / below
        size = np.linalg.norm(columns * k[:, None], axis=0)
        c = np.linalg.lstsq(columns * k[:, None] / size, target * k, rcond=None)[0] / size
        below = 1 + sum(c[p + i] * s**i for i in range(1, q + 1))
        e = np.abs(columns[:, : p + 1] @ c[: p + 1] / below - target)
        if below.min() > 0 and e.max() < best[0]:
            best = e.max(), c
        w *= e / e.max() + 1e-3
        w /= w.mean()
    power = [*range(p + 1), *range(1, q + 1)]
    hexed = [float(np.float32(v / top**i)).hex() + "F" for v, i in zip(best[1], power)]
    print(f"{name}: error {best[0]:.2g}")
    print("    P", ", ".join(hexed[: p + 1]))
    print("    Q 1,", ", ".join(hexed[p + 1 :]))

x = chebyshev(-0.3475, 0.3475)  # exp(x) = 1 + x + x^2 P(x); ln 2 / 2 and a little
fit("exp", x, (np.expm1(x) - x) / x**2, x**2 / np.maximum(np.abs(np.expm1(x)), 1e-9), range(5))

x = chebyshev(np.sqrt(0.5) - 1, np.sqrt(2) - 1)  # log(1 + x) = x - x^2/2 + x^3 P(x)
fit("log", x, (np.log1p(x) - x + x**2 / 2) / x**3, x**3 / np.abs(np.log1p(x)), range(9))

x = chebyshev(0, 1)[:-1]  # log(1 + x) = x + x^2 P(x) for softplus
fit("log1p", x, (np.log1p(x) - x) / x**2, x**2 / np.log1p(x), range(9))

x = chebyshev(1e-3, 5.5)  # normal distribution's share between 0 and x = x P(x^2) / Q(x^2)
quotient("share", x, ndtr(x) - 0.5, 5, 5)

x = chebyshev(1e-3, 6)  # (x share(x))'
quotient("slope", x, ndtr(x) - 0.5 + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi), 5, 5)

x = chebyshev(1e-3, np.pi / 4 + 1e-3)
fit("sin", x, (np.sin(x) - x) / x**3, x**3 / np.sin(x), range(0, 6, 2))  # x + x^3 P(x^2)
fit("cos", x, (np.cos(x) - 1 + x**2 / 2) / x**4, x**4 / np.cos(x), range(0, 6, 2))  # 1 - x^2/2 + x^4 P(x^2)

x = chebyshev(1e-3, 1)
fit("atan", x, (np.arctan(x) - x) / x**3, x**3 / np.arctan(x), range(0, 16, 2))  # x + x^3 P(x^2)
