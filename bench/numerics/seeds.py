"""seeds.py SUNUP RUN.yaml SEEDS FOLDER - the same training with several seeds and numerics; one line of CSV each.

Prints run, numerics, seed, loss and accuracy on the evaluation data, for a network of voxels the share of right
voxels and the intersection over union instead, seconds, and the hash of the weights.
"""
import json
import os
import pathlib
import subprocess
import sys

import numpy as np


def voxels(program, run, folder, env):
    """Share of right voxels and intersection over union at logit 0."""
    out = folder / "logits.npy"
    subprocess.run([program, "predict", run.name, "--set", f"run_dir={folder}", "--output", out], check=True,
                   cwd=run.parent, env=env, capture_output=True)
    guess = np.load(out).reshape(-1) > 0
    truth = np.load(run.parent / "test-inside.npy").reshape(-1) > 0.5
    return (guess == truth).mean(), (guess & truth).sum() / (guess | truth).sum()


def train(program, run, numerics, seed, folder):
    env = dict(os.environ, SUNUP_NUMERICS=numerics)
    done = subprocess.run([program, "train", run.name, "--set", f"seed={seed}", "--set", f"run_dir={folder}", "--json"],
                          check=True, cwd=run.parent, env=env, capture_output=True, text=True)
    result = json.loads(done.stdout)
    if "inside" in run.read_text():
        right, union = voxels(program, run, folder, env)
    else:
        right, union = result["accuracy"], float("nan")
    print(f"{run.stem},{numerics},{seed},{result['loss']:.5f},{right:.5f},{union:.5f},{result['seconds']:.1f},{result['hash']}",
          flush=True)


def main():
    program, run, seeds, folder = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve(), int(sys.argv[3]), sys.argv[4]
    print("run,numerics,seed,loss,accuracy,iou,seconds,weights", flush=True)
    for seed in range(1, seeds + 1):
        for numerics in ("exact", "fast"):
            train(program, run, numerics, seed, pathlib.Path(folder).resolve() / f"{run.stem}-{numerics}-{seed}")


main()
