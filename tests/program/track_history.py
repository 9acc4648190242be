"""track_history.py FOLDER [--weeks N] [--metrics M] ... - a history as `sunup track` would have left it.

One JSON Lines record a week, of M timed cases (a quarter of them collectives of several ranks and sizes, some models
with pairs against a baseline, the rest kernels with their bounds), rows of oneDNN beside some of them, and published
rows of a vendor beside others. The machine's pace wanders by 2 % and its canary with it. What is planted is written to
FOLDER/planted.json: steps of the series, failures, counts and words that changed. The same seed gives the same files.
"""
import argparse
import json
import math
import pathlib
import random

PEAK, COPY = 180e9, 24e9  # flops/s and bytes/s of the machine that is played
MONDAY = 1764547200  # 2025-12-01, 00:00 UTC
WEEK = 7 * 86400
SIZES = ("4KiB", "64KiB", "1MiB", "16MiB", "64MiB")
SIZE_BYTES = {"4KiB": 4096, "64KiB": 65536, "1MiB": 1 << 20, "16MiB": 1 << 24, "64MiB": 1 << 26}
MODELS = ("lenet", "resnet50", "unet3d", "uno", "cosmictagger", "ptychonn", "braggnn", "jets", "gw", "phi4")


def kernel_cases(n):
    """Convolutions and products of many sizes: name, flops, bytes."""
    for i in range(n):
        if i % 3 == 0:
            m, k = 64 << i // 3 % 5, 96 + 32 * (i // 15)
            yield f"linear:m{m}n256k{k}", 2.0 * m * 256 * k, 4.0 * (m * k + 256 * k + 256 * m)
        elif i % 3 == 1:
            c, hw = 16 << i // 3 % 4, 14 + 7 * (i // 12)
            name = f"conv:n8c{c}h{hw}w{hw}k{c}r3s3:same"
            yield name, 18.0 * 8 * hw * hw * c * c, 4.0 * (16 * hw * hw * c + 9 * c * c)
        else:
            n = 4096 + 1024 * i
            yield f"relu:{n}x64", 64.0 * n, 8.0 * 64 * n


def make_cases(metrics):
    """Each: suite, name, ranks, seconds, and what else stands in its row."""
    models = min(metrics // 8, 10)
    comm = metrics // 4 // 20 * 20
    cases = []
    for name, flops, data in kernel_cases(metrics - models - comm):
        bound = max(flops / PEAK, data / COPY)
        efficiency = 0.55 + 0.4 * ((len(cases) * 37) % 100) / 100
        cases.append(("kernels", name, 1, bound / efficiency, {"flops": flops, "bytes": data, "bound_s": bound}))
    for i in range(comm):
        what = ("allreduce", "allgather", "reduce_scatter", "broadcast", "alltoall")[i // 20 % 5]
        size, ranks, kind = SIZES[i % 5], (2, 4, 8, 16)[i // 5 % 4], ("f32", "bf16", "f64")[i // 100 % 3]
        seconds = 2e-6 * math.log2(ranks) + SIZE_BYTES[size] * 2 * (ranks - 1) / ranks / 9e9
        name = f"{what}:{kind}{'' if i < 300 else i // 300}:{size}"
        cases.append(("collectives", name, ranks, seconds, {"bytes": float(SIZE_BYTES[size])}))
    for name in MODELS[:models]:
        for ranks in (1,):
            cases.append(("models", name, ranks, 0.01 * (1 + len(name)), {}))
    return cases


def plan(cases, o, rng):
    """Steps of the series, failures, and changes of facts: {case: (week, factor)} and {(case, week): outcome}."""
    steps, outcomes = {}, {}
    for at in rng.sample(range(len(cases)), min(o.steps, len(cases))):
        late = len(steps) % 3 == 0  # some not long ago, so that they are news
        first = o.weeks // 4
        week = o.weeks - rng.randrange(3, 8) if late else rng.randrange(first, max(first + 1, o.weeks - 12))
        steps[at] = (max(1, week), 1 + o.step / 100 * rng.choice((1, 1, 1.5, -0.8)))
    kinds = ("flaky", "crash", "hang", "nan", "oom", "walltime", "infrastructure", "mismatch", "diverged")
    for at in rng.sample(range(len(cases)), min(o.failing, len(cases))):
        for _ in range(rng.randrange(1, 6)):
            outcomes[at, rng.randrange(o.weeks)] = rng.choice(kinds)
    if outcomes:  # one of them fails now
        outcomes[next(iter(outcomes))[0], o.weeks - 1] = "hang"
    return steps, outcomes


def outcome_row(case, kind, rng):
    suite, name, ranks, seconds, _ = case
    row = {"suite": suite, "name": name, "quantity": "outcome", "outcome": kind, "seconds": round(2 + 400 * seconds, 3),
           "failures": 0, "tries": 1}
    if ranks != 1:
        row["ranks"] = ranks
    if kind != "ok":
        row.update(failures=1 if kind == "flaky" else 2, tries=2, message=f"{kind} of {name}: see the log")
    if kind in ("crash", "hang"):
        row.update(rank=rng.randrange(ranks), signal=11 if kind == "crash" else 0)
    if kind in ("nan", "diverged", "hang"):
        row.update(step=rng.randrange(500), layer="conv2")
    if kind == "hang":
        row["collective"] = "sum of gradients, bucket 3"
    return row


def samples(seconds, pace, o, rng):
    return [float(f"{seconds * pace * math.exp(rng.gauss(0, o.noise / 100)):.5g}") for _ in range(o.repeats)]


def extra_rows(case, number, week, o, rng):
    """Counts, words, and pairs of models."""
    suite, name, _, seconds, _ = case
    if suite == "models":
        grown = number % 5 == 0 and week == o.weeks - 1
        effect = math.log(1 + o.step / 100) if grown else 0
        draw = lambda n: [round(effect + rng.gauss(0, 0.006), 6) for _ in range(n)]
        row = {"suite": suite, "name": name, "quantity": "time", "pairs": draw(16), "baseline": "v1.4.0"}
        if grown:
            row.update(confirm=draw(16), moved=[
                {"what": "conv:n16c64h56w56k64r3s3 (layer 3)", "seconds": seconds * o.step / 130, "p": 0.0004},
                {"what": "batch_norm:16x56x56x64 (layer 4)", "seconds": seconds * o.step / 900, "p": 0.002},
                {"what": "relu:16x56x56x64 (layer 5)", "seconds": -seconds * o.step / 2500, "p": 0.04}])
        yield row
        yield {"suite": suite, "name": name, "quantity": "allocations",
               "count": 3 if number % 4 == 1 and week > o.weeks // 2 else 0}
    elif suite == "kernels" and number % 7 == 0:
        yield {"suite": suite, "name": name, "quantity": "maker", "better": "neither",
               "word": "winograd_4" if number % 49 == 0 and week >= o.weeks - 1 else "direct"}


def others(case, number, pace, o, rng):
    """oneDNN ran beside ours; a vendor published what its library does."""
    suite, name, ranks, seconds, more = case
    base = {"suite": suite, "name": name, "quantity": "time", "unit": "s",
            "canary": [float(f"{3.2e-5 * pace:.5g}")], **more}
    if ranks != 1:
        base["ranks"] = ranks
    if suite == "kernels" and number % 2 == 0:
        yield {**base, "engine": "oneDNN", "values": samples(seconds * (1.04 + 0.3 * (number % 5 - 1)), pace, o, rng)}
    if suite == "collectives":
        yield {**base, "engine": "MPI", "values": samples(seconds * (1.3 + 0.1 * (number % 3)), pace, o, rng)}
        if number % 2 == 0:
            yield {**base, "engine": "oneCCL", "source": "vendor", "values": [seconds * 1.12]}


def rows_of(cases, planted, week, pace, o, rng):
    steps, outcomes = planted
    failing = {at for at, _ in outcomes}
    for number, case in enumerate(cases):
        suite, name, ranks, seconds, more = case
        at, factor = steps.get(number, (o.weeks, 1))
        kind = outcomes.get((number, week), "ok")
        if kind in ("ok", "flaky"):
            row = {"suite": suite, "name": name, "quantity": "time", "unit": "s",
                   "values": samples(seconds * (factor if week >= at else 1), pace, o, rng),
                   "canary": samples(3.2e-5, pace, o, rng)[:2], **more}
            if ranks != 1:
                row["ranks"] = ranks
            yield row
        yield from others(case, number, pace, o, rng)
        yield from extra_rows(case, number, week, o, rng)
        if suite == "models" or number % o.outcome_every == 0 or number in failing:
            yield outcome_row(case, kind, rng)


def facts_of(week, o):
    return {"machine": o.machine, "commit": f"{(week + 1) * 2654435761 % (1 << 28):07x}", "nodes": "2", "threads": "8",
            "isa": "avx512", "compiler": "gcc 13.1" if week > o.weeks * 2 // 3 else "gcc 12.2",
            "mpi": f"Open MPI 4.1.{4 + week // 30}", "driver": f"{5 + week // 26}.{week % 26 // 13}",
            "peak_flops_per_s": str(PEAK), "copy_bytes_per_s": str(COPY)}


def write(folder, week, rows, o):
    at = MONDAY + (week - o.weeks) * WEEK + 4 * 3600
    head = {"sunup_track": 1, "id": f"week-{week:04d}", "at": at, "facts": facts_of(week, o)}
    lines = [head, *rows, {"end": len(rows)}]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (folder / f"week-{week:04d}.jsonl").write_text(text)


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("folder", type=pathlib.Path)
    for name, value, says in (("weeks", 52, "records"), ("metrics", 100, "timed cases of ours"),
                              ("repeats", 5, "samples a time"),
                              ("steps", 6, "series that step"), ("failing", 8, "cases that fail now and then"),
                              ("outcome-every", 4, "every n-th case has an outcome when it is well"), ("seed", 1, "")):
        a.add_argument(f"--{name}", type=int, default=value, help=says)
    for name, value, says in (("step", 6.0, "per cent of a step"), ("noise", 0.8, "per cent between samples"),
                              ("pace", 2.0, "per cent that the machine wanders")):
        a.add_argument(f"--{name}", type=float, default=value, help=says)
    a.add_argument("--machine", default="example")
    o = a.parse_args()
    rng = random.Random(o.seed)
    o.folder.mkdir(parents=True, exist_ok=True)
    cases = make_cases(o.metrics)
    planted = plan(cases, o, rng)
    drift = 0.0
    for week in range(o.weeks):
        drift = 0.5 * drift + rng.gauss(0, o.pace / 100)
        write(o.folder, week, list(rows_of(cases, planted, week, math.exp(drift), o, rng)), o)
    what = {"steps": [{"suite": cases[i][0], "name": cases[i][1], "ranks": cases[i][2], "week": w, "factor": f}
                      for i, (w, f) in sorted(planted[0].items())],
            "failures": [{"suite": cases[i][0], "name": cases[i][1], "week": w, "outcome": k}
                         for (i, w), k in sorted(planted[1].items())],
            # In the pairs of the last week.
            "slower": [c[1] for i, c in enumerate(cases) if c[0] == "models" and i % 5 == 0]}
    (o.folder / "planted.json").write_text(json.dumps(what, indent=1))


if __name__ == "__main__":
    main()
