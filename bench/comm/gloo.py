"""gloo.py RANKS - Gloo's sum of f32 through torch.distributed, timed on demand as tools/bench_comm.c times ours.

Each line on standard input is "BYTES SECONDS"; the answer is one line of JSON. Each call has its whole input written
before it and its whole result read after it; "call" is the call alone, "total" with both; a time is the slowest rank's
mean over a turn of calls, the median of the turns. One thread a rank, which is not pinned: Gloo has threads of its own,
and sums of 1 MiB took 1.2 to 1.8 times as long with them on the rank's core. Ranks wait asleep between questions.
Python's own time is in "call", as it is in training: some microseconds.
"""
import json
import os
import sys
import tempfile
import time

import torch
import torch.distributed as dist

TURNS_LEAST, TURNS_MOST, CALLS_MOST, CALL_BYTES = 7, 200, 256, 8 << 20

ranks, rank = int(sys.argv[1]), 0
torch.set_num_threads(1)
meeting = tempfile.mktemp()
while rank + 1 < ranks and os.fork() == 0:  # a child is the next rank and makes the one after it
    rank += 1
dist.init_process_group("gloo", init_method="file://" + meeting, rank=rank, world_size=ranks)


def turn(data, calls):
    """Slowest rank's seconds of a call, and of a call with its writes and reads."""
    in_calls = 0
    dist.barrier()
    start = time.perf_counter()
    for _ in range(calls):
        data.fill_(rank + 1)
        call = time.perf_counter()
        dist.all_reduce(data)
        in_calls += time.perf_counter() - call
        data.sum()
    times = torch.tensor([in_calls, time.perf_counter() - start], dtype=torch.float64) / calls
    dist.all_reduce(times, dist.ReduceOp.MAX)
    return times.tolist()


def time_sum(size, seconds):
    data = torch.full((size // 4,), float(rank + 1))
    dist.all_reduce(data)
    assert bool((data == ranks * (ranks + 1) / 2).all())
    calls, start, turns = max(1, min(CALLS_MOST, CALL_BYTES // size)), time.perf_counter(), []
    enough = torch.tensor([False])
    while not enough:
        turns.append(turn(data, calls))
        late = time.perf_counter() - start > seconds
        enough[0] = len(turns) >= TURNS_MOST or (len(turns) >= TURNS_LEAST and late)
        dist.broadcast(enough, 0)
    call, total = (sorted(times)[len(turns) // 2] for times in zip(*turns))
    return {"bytes": size, "call_s": call, "total_s": total}


def questions():
    """Size and seconds, to all ranks."""
    while True:
        line = sys.stdin.readline() if rank == 0 else ""
        what = torch.tensor([float(word) for word in line.split()] or [0, 0], dtype=torch.float64)
        dist.broadcast(what, 0)
        if what[0] == 0:
            return
        yield int(what[0]), float(what[1])


def say(what):
    if rank == 0:
        print(json.dumps(what), flush=True)


say({"version": "torch " + torch.__version__})
for question in questions():
    say(time_sum(*question))
dist.destroy_process_group()
