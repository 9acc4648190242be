#!/usr/bin/env python3
"""Golden change points of src/track/points.c: what Apache Otava 0.8 finds. make_points.py OTAVA

OTAVA is the unpacked source of apache-otava 0.8.0 (its package must be installed too): the Tigerbeetle series is read
from its tests. Writes points.txt beside this file; run again only when a case is added. With --many N it instead
prints N further series, for a comparison that is too large to keep.

A series is a line "series NAME VALUE ...", followed by lines "points WINDOW MAX_P MIN_MAGNITUDE : INDEX ...".
Otava is given a list, as its own series.py does: of a NumPy array its detector would see the whole series instead of
the window. Synthetic values are integers or short decimals, so that both programs read the same numbers.
"""
import pathlib
import random
import sys
import warnings

from otava.analysis import compute_change_points

HEAD = """# Made by make_points.py with apache-otava %s, numpy %s, scipy %s; do not edit.
# Series named otava_* are numbers of the tests of Apache Otava (https://github.com/apache/otava, tests/*_test.py), which
# stands under the Apache License, Version 2.0; Copyright The Apache Software Foundation.
"""
ONE = [1.02, 0.95, 0.99, 1.00, 1.12, 0.90, 0.50, 0.51, 0.48, 0.48, 0.55]
TWO = [2.02, 2.03, 2.01, 2.04, 1.82, 1.85, 1.79, 1.81, 1.80, 1.76, 1.78]
STEP = [1.02, 0.95, 0.99, 1.00, 1.12, 1.00, 1.01, 0.98, 1.01, 0.96,
        0.50, 0.51, 0.48, 0.48, 0.55, 0.50, 0.49, 0.51, 0.50, 0.49]
FLAT = [0.0, 0.0, 0.0, 1.00, 1.12, 0.90, 0.50, 0.51, 0.48, 0.48, 0.55]
THREE = [0.3, 2.4, 1.5, -0.9, -0.5, 99.7, 98.3, 99.1, 149.0, 149.7, 149.5, 149.1, 148.8, 150.0]
TIGERBEETLE = [(30, 0.01, 0.05), (30, 0.05, 0.05), (30, 0.1, 0.05), (30, 0.2, 0.05), (30, 0.2, 0), (30, 0.1, 0),
               (30, 0.01, 0), (30, 0.001, 0), (30, 0.0001, 0), (30, 0.00001, 0),  # those of Otava's test
               (50, 0.001, 0), (50, 0.001, 0.02), (1000, 0.001, 0)]
OPTIONS = [(50, 0.001, 0), (50, 0.001, 0.02), (30, 0.01, 0), (10, 0.05, 0.05), (7, 0.2, 0), (2, 0.5, 0), (100, 1e-5, 0)]


def quiet(f, *arguments):
    with warnings.catch_warnings():  # of segments without variance
        warnings.simplefilter("ignore")
        return f(*arguments)


def points(x, window, max_p, least):
    found, _ = quiet(compute_change_points, list(x), window, max_p, least)
    return [int(c.index) for c in found]


def synthetic(kind, r):
    n = r.choice([r.randint(1, 12), r.randint(13, 60), r.randint(60, 130)])
    noise = r.choice([0, 1, 5, 20, 60])
    level = [1000.0] * n
    if kind in ("steps", "outliers", "coarse"):
        for _ in range(r.randint(0, 4)):
            at, by = r.randrange(n), r.choice([20, 50, 100, 300]) * r.choice([-1, 1])
            level = [v + by if i >= at else v for i, v in enumerate(level)]
    if kind == "drift":
        level = [v + i * r.choice([1, 3]) for i, v in enumerate(level)]
    if kind == "waves":
        level = [v + 30 * (i // 7 % 2) for i, v in enumerate(level)]
    x, last = [], 0.0
    for v in level:
        last = 0.5 * last + r.gauss(0, noise) if kind == "rough" else r.gauss(0, noise)
        x.append(v + last)
    if kind == "outliers":
        x = [v * 1.3 if r.random() < 0.06 else v for v in x]
    if kind == "constant":  # and some of two values only
        x = [0.1 * r.choice([3, 3, 3, 3, 7]) if noise > 5 else 0.3 for _ in x]
    if kind == "coarse":  # many equal values and distances
        return [f"{round(v / 50) / 10:g}" for v in x]
    if kind == "signs":
        return [f"{round(v - 1000)}" for v in x]
    return [f"{v:.4g}" for v in x]


def series(count, seed):
    r = random.Random(seed)
    kinds = ["steps", "noise", "drift", "outliers", "rough", "constant", "coarse", "waves", "signs"]
    for i in range(count):
        kind = kinds[i % len(kinds)]
        yield f"{kind}_{i}", synthetic(kind, r), r.sample(OPTIONS, 3)


def lines(name, words, options):
    x = [float(w) for w in words]
    yield "series " + name + " " + " ".join(words)
    for o in options:
        yield "points %g %g %g : " % o + " ".join(map(str, points(x, *o)))


def own(folder):
    sys.path.insert(0, folder)
    from tests import tigerbeetle_test
    for name, test in vars(tigerbeetle_test).items():
        if name.startswith("test_"):  # what is written here is what Otava's authors expect
            test()
    yield from lines("otava_tigerbeetle", [str(v) for v in tigerbeetle_test._get_series()], TIGERBEETLE)
    more = [(50, 0.001, 0.2), (10, 0.0001, 0)]
    for name, x in (("one", ONE), ("two", TWO), ("one_longer", ONE + [0.5, 0.51]), ("two_longer", TWO + [1.97, 33.33, 46.46]),
                    ("step", STEP), ("flat", FLAT), ("three", THREE)):
        yield from lines("otava_" + name, [f"{v:g}" for v in x], OPTIONS + more)


def main():
    if sys.argv[1] == "--many":
        for s in series(int(sys.argv[2]), 2):
            print("\n".join(lines(*s)))
        return
    import importlib.metadata as versions
    out = [HEAD % tuple(versions.version(p) for p in ("apache-otava", "numpy", "scipy"))]
    out += [line + "\n" for line in own(sys.argv[1])]
    out += [line + "\n" for s in series(207, 1) for line in lines(*s)]
    pathlib.Path(__file__).with_name("points.txt").write_text("".join(out))


main()
