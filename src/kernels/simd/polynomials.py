#!/usr/bin/env python3
"""Coefficients of math.h, fitted anew: weighted least squares on Chebyshev points, the weights moved towards the largest
errors (Lawson's iteration), which ends close to the minimax polynomial. Needs numpy and scipy. Prints each list, lowest
power first, rounded to float, and the largest error relative to the function that the polynomial serves."""
import numpy as np
from scipy.special import erf, erfc, log_ndtr

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

x = chebyshev(-0.3475, 0.3475)  # exp(x) = 1 + x + x^2 P(x); ln 2 / 2 and a little
fit("exp", x, (np.expm1(x) - x) / x**2, x**2 / np.maximum(np.abs(np.expm1(x)), 1e-9), range(5))

x = chebyshev(np.sqrt(0.5) - 1, np.sqrt(2) - 1)  # log(1 + x) = x - x^2/2 + x^3 P(x)
fit("log", x, (np.log1p(x) - x + x**2 / 2) / x**3, x**3 / np.abs(np.log1p(x)), range(9))

x = chebyshev(1e-3, 0.625)  # tanh x = x + x^3 P(x^2)
fit("tanh", x, (np.tanh(x) - x) / x**3, x**3 / np.tanh(x), range(0, 10, 2))

x = chebyshev(1e-3, 1)  # erf x = x + x P(x^2)
fit("erf", x, (erf(x) - x) / x, x / erf(x), range(0, 14, 2))

x = chebyshev(1, 4)  # erfc x = exp(-x P(x))
log_erfc = np.log(2) + log_ndtr(-x * np.sqrt(2))
fit("erfc", x, -log_erfc / x, x * erfc(x), range(7))

x = chebyshev(1e-3, np.pi / 4 + 1e-3)
fit("sin", x, (np.sin(x) - x) / x**3, x**3 / np.sin(x), range(0, 6, 2))  # x + x^3 P(x^2)
fit("cos", x, (np.cos(x) - 1 + x**2 / 2) / x**4, x**4 / np.cos(x), range(0, 6, 2))  # 1 - x^2/2 + x^4 P(x^2)
