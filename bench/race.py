"""race.py NAME RUN.yaml [ROUNDS [STEPS]] - training steps of sunup and PyTorch in turn, one process each, and their ratio.

The programs alternate (ours, peer, ours, peer ...), so that a slow minute of the machine slows both. PyTorch runs twice:
as it comes, and with glibc told to keep freed memory, which is worth up to 1.4 times to it; the ratio that counts is
against the faster. Needs a Python with torch: PYTORCH_PYTHON=/path/to/python; the program: SUNUP=build/sunup.
"""
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

here = pathlib.Path(__file__).parent
# The images as plain idx files: what is timed is training, not zlib.
data = here.parent / "build" / "data"
data.mkdir(parents=True, exist_ok=True)
for packed in pathlib.Path("/usr/share/datasets/fashion-mnist").glob("train-*.gz"):
    if not (data / packed.stem).exists():
        (data / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
name, run = sys.argv[1], sys.argv[2]
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
steps = sys.argv[4] if len(sys.argv) > 4 else "300"
python = os.environ.get("PYTORCH_PYTHON", "python3")
program = os.environ.get("SUNUP", "build/sunup")
keep = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8589934592"}
torch = [python, str(here / "pytorch.py"), name, steps]
racers = {
    "sunup": ([program, "bench", run, "--json", "--steps", steps], {}),
    "PyTorch": (torch, {}),
    "PyTorch, memory kept": (torch, keep),
}
rows = {racer: [] for racer in racers}
for _ in range(rounds):
    for racer, (command, extra) in racers.items():
        out = subprocess.run(command, env=dict(os.environ, **extra), capture_output=True, text=True, check=True).stdout
        row = json.loads(out)
        rows[racer].append(row["rows"][0] if racer == "sunup" else row)

print(f"{name}, {time.strftime('%Y-%m-%d')}, {rounds} rounds of {steps} steps, PyTorch {rows['PyTorch'][0]['version']}")
for racer, list_ in rows.items():
    medians = [1e3 * r["median_s"] for r in list_]
    print(f"  {racer:22} {statistics.median(medians):8.3f} ms/step (rounds {min(medians):.3f} .. {max(medians):.3f}), "
          f"first step after {1e3 * list_[0]['first_step_s']:.0f} ms, {1e-6 * list_[0]['peak_bytes']:.0f} MB")
for peer in list(racers)[1:]:
    ratios = [p["median_s"] / s["median_s"] for s, p in zip(rows["sunup"], rows[peer])]
    print(f"  sunup is {statistics.median(ratios):.2f} times as fast as {peer} ({min(ratios):.2f} .. {max(ratios):.2f})")
