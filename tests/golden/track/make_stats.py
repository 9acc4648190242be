#!/usr/bin/env python3
"""Golden results of src/track/stats.h by SciPy, NumPy, and where they have none by direct enumeration.

Writes stats.txt beside this file; run again only when a case is added (needs scipy). A line is
    NAME ARGUMENT ... = RESULT ...
with "/" between two samples. Results have 17 digits. Enumerated here, independently of the C code: the centre
with its interval (counts of subsets of ranks as integers), all deals of a spread.
"""
import fractions
import itertools
import math
import pathlib
import random
import warnings

import numpy as np
import scipy
from scipy import special, stats

warnings.simplefilter("ignore")  # of samples without variance, which are among the cases
r = random.Random(4)
out = [f"# Made by make_stats.py with scipy {scipy.__version__}, numpy {np.__version__}; do not edit."]


def add(name, arguments, *results):
    words = ["/" if a == "/" else repr(float(a)).removesuffix(".0") for a in arguments]
    out.append(f"{name} {' '.join(words)} = {' '.join(repr(float(v)).removesuffix('.0') for v in results)}")


def draw(n, mean=0.0, sd=1.0, digits=4):
    return [float(f"{r.gauss(mean, sd):.{digits}g}") for _ in range(n)]


# --- distributions: middles, both tails, tiny and huge parameters
for a, b in ((0.5, 0.5), (1, 1), (2, 3), (0.5, 20.5), (10.5, 0.5), (300, 2), (1e-3, 5), (40, 4000), (2e5, 3e5), (0.5, 1e6)):
    mean, sd = a / (a + b), math.sqrt(a * b / (a + b + 1)) / (a + b)
    for x in {0.5, 1e-6, *(min(max(mean + s * sd, 0.0), 1.0) for s in (-8, -6, -2, -0.1, 0.4, 3, 7))}:
        value = special.betainc(a, b, x)
        if 1e-290 < value or x == 0:
            add("incomplete_beta", (a, b, x), value)
    for p in (1e-12, 1e-6, 0.0005, 0.025, 0.3, 0.5, 0.8, 0.995, 0.999999):
        x = special.betaincinv(a, b, p)
        if x > 1e-290:
            add("beta_quantile", (a, b, p), x)
for shape in (0.5, 1, 1.5, 7, 42, 1000, 123456, 0.01):
    for p in (1e-12, 1e-5, 0.025, 0.4, 0.5, 0.9, 0.975, 0.99999):
        x = special.gammaincinv(shape, p)
        if x > 1e-290:
            add("gamma_quantile", (shape, p), x)
for df in (1, 2, 3.7, 9, 10, 48.25, 256, 1e4, 1e7):
    for t in (-60, -12, -7, -3.2, -1, -1e-3, 0, 0.02, 1.5, 4, 30):
        p = stats.t.cdf(t, df)
        if p > 1e-290:
            add("student_cdf", (t, df), p)
    for p in (1e-12, 1e-8, 5e-4, 0.005, 0.025, 0.2, 0.4999, 0.5, 0.7, 0.975, 0.9995):
        add("student_quantile", (p, df), stats.t.ppf(p, df) if p != 0.5 else 0)  # SciPy: 8e-17

# --- one sample
ONE = [[], [3.5], [1, 2], [2, -1, 7], [4] * 6, [0.1] * 7, [1e300, 1.5e308, -1.6e308], [3e-310, 1e-308, 2e-308],
       [1, math.nan, 2], [1, math.inf, 2], [-0.0, 0.0], draw(8), draw(9), draw(31, 100, 3, 3), [1, 1, 2, 2, 2, 3, 9]]
for x in ONE:
    known = len(x) > 0 and not any(map(math.isnan, x))
    add("median", x, np.median(x) if known else math.nan)
    if not known or all(abs(v) < 1e300 for v in x):
        add("mad", x, stats.median_abs_deviation(x) if known else math.nan)
        for p in (0, 0.1, 0.5, 0.77, 1):
            add("quantile", [p] + x, np.quantile(x, p) if known else math.nan)
add("quantile", [1.5, 1, 2], math.nan)


def hodges_lehmann(x, confidence):
    n = len(x)
    pairs = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(x, 2))
    ways = [1]  # how many sets of the ranks 1 .. n have a sum
    for rank in range(1, n + 1):
        longer = ways + [0] * rank
        for s, w in enumerate(ways):
            longer[s + rank] += w
        ways = longer
    tail, below, k = fractions.Fraction(1 - confidence) / 2, 0, 0
    while below + ways[k] <= tail * 2 ** n:
        below += ways[k]
        k += 1
    return np.median(pairs), *((pairs[k - 1], pairs[-k]) if k else (math.nan, math.nan))


for x in ([2], [1, 4], [1, 2, 4], [5] * 8, [0.1] * 10, draw(5), draw(6), draw(10, 3), draw(20, -1), draw(47, 0.2),
          draw(90, 1, 0.2), [1, 1, 2, 2, 3, 3, 3, 4, 9]):
    for confidence in (0.5, 0.9, 0.95, 0.99):
        if len(x) < 40 or confidence == 0.95:
            add("hodges_lehmann", [confidence] + x, *hodges_lehmann(x, confidence))
add("hodges_lehmann", [0.5] + [v * 1e308 for v in (1, 1.25, 1.5)], *(v * 1e308 for v in hodges_lehmann([1, 1.25, 1.5], 0.5)))
for x in ([], [1, math.nan]):
    add("hodges_lehmann", [0.95] + x, math.nan, math.nan, math.nan)
for x in (draw(2), draw(5, 3), draw(20, 100, 2), [1, 1, 1], [1e300, 2e300, 4e300], [1e-300, 3e-300, 2e-300]):
    for confidence in (0.9, 0.999):
        scale = max(map(abs, x))
        y = [v / scale for v in x]
        half = stats.t.ppf((1 + confidence) / 2, len(x) - 1) * np.std(y, ddof=1) * math.sqrt(1 + 1 / len(x))
        add("prediction_interval", [confidence] + x, (np.mean(y) - half) * scale, (np.mean(y) + half) * scale)
add("prediction_interval", [0.9, 1], math.nan, math.nan)


# --- two samples
def distances(x):
    """From the median; of an odd number one is left out, that of the median itself."""
    d = sorted(abs(v - np.median(x)) for v in x)
    return d[len(d) % 2:]


def uneven(a, b):
    low, high = sorted((np.median(a), np.median(b)))
    return 1.0 if low == high else math.inf if low == 0 else high / low


def spread(x, y):
    a, b = distances(x), distances(y)
    pool, least = a + b, uneven(a, b) * (1 - 1e-12)
    deals = [uneven([pool[i] for i in c], [pool[i] for i in range(len(pool)) if i not in c])
             for c in map(set, itertools.combinations(range(len(pool)), len(a)))]
    mad = stats.median_abs_deviation
    return mad(y) / mad(x), sum(d >= least for d in deals) / len(deals)


for x, y in ((draw(6), draw(6, 9)), (draw(7, 2), draw(8, 0, 4)), (draw(6, 1, 0.02), draw(9)), (draw(5), draw(5)),
             ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]), ([1, 1, 1, 1, 2], draw(8)), (draw(8, 0, 30), draw(8))):
    add("spread_p", x + ["/"] + y, *spread(x, y))
for x, y in (([], [1, 2]), ([1, 1, 1], [2, 2, 2]), ([1, math.nan], [1, 2])):
    add("spread_p", x + ["/"] + y, math.nan, math.nan)

# --- counts
for k, n, j, m in ((0, 5, 0, 5), (1, 5, 4, 5), (8, 10, 1, 6), (3, 9, 3, 9), (0, 52, 6, 52), (5, 1000, 30, 1000), (1, 1, 0, 1),
                   (10, 10, 0, 10), (2, 7, 0, 3), (40, 100, 10, 100), (0, 20, 9, 9), (100, 100000, 300, 100000), (7, 20, 2, 200),
                   (3, 500, 0, 20), (250, 500, 251, 500), (490, 500, 100, 700), (12, 30, 17, 31), (5, 9, 4, 9)):
    add("fisher_p", (k, n, j, m), stats.fisher_exact([[k, n - k], [j, m - j]]).pvalue)
for words in ((0, 0, 1, 5), (6, 5, 0, 5), (-1, 5, 0, 5)):
    add("fisher_p", words, math.nan)
for k, n in ((0, 0), (0, 7), (7, 7), (1, 7), (3, 52), (52, 1000), (1, 1000000), (999999, 1000000), (30000, 60000)):
    for confidence in (0.8, 0.95, 0.999):
        b = stats.beta(k + 0.5, n - k + 0.5)
        add("rate_interval", (k, n, confidence), 0 if k == 0 else b.ppf((1 - confidence) / 2),
            1 if k == n else b.ppf((1 + confidence) / 2))
for k in (0, 1, 2, 10, 365, 20000):
    for confidence in (0.8, 0.95, 0.999):
        add("poisson_interval", (k, 12.5, confidence), 0 if k == 0 else stats.chi2.ppf((1 - confidence) / 2, 2 * k) / 25,
            stats.chi2.ppf((1 + confidence) / 2, 2 * k + 2) / 25)
add("rate_interval", (3, 2, 0.9), math.nan, math.nan)
add("poisson_interval", (1, 0, 0.9), math.nan, math.nan)

# --- many p-values: first the rate, then p; which are found
for p in ([], [0.001], [0.2], [0.01, 0.02, 0.03, 0.04], [0.05, 0.011, 0.04, 0.0099, 0.9], [0.03] * 5, [0, 1, 0.5, 0.012],
          [r.random() ** 4 for _ in range(40)], [r.random() for _ in range(30)] + [1e-5, 1e-4, 2e-3]):
    for rate in (0.01, 0.05):
        found = stats.false_discovery_control(p) <= rate if p else []
        add("benjamini_hochberg", [rate] + p, *found)
add("benjamini_hochberg", [0.05, math.nan, 0.01, math.nan, 0.04], 0, 1, 0, 1)
pathlib.Path(__file__).with_name("stats.txt").write_text("\n".join(out) + "\n")
