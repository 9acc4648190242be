"""ffn_patches.py VOLUME.npz TRUTH.npz FOLDER - patches of 17^3 voxels around voxels of FIB-25's objects.

x: the grey values, (grey - 128) / 33, and the seed's logits; inside: 0.95 where a voxel has the middle's object, else
0.05 (as google/ffn has it). Training patches from z < 190, test patches from z >= 210.
"""
import pathlib
import sys

import numpy as np

SIDE = 17


def patches(grey, body, low, high, count, rng):
    half = SIDE // 2
    x = np.empty((count, SIDE, SIDE, SIDE, 2), np.float32)
    inside = np.empty((count, SIDE, SIDE, SIDE, 1), np.float32)
    x[..., 1] = np.log(0.05 / 0.95)
    x[:, half, half, half, 1] = np.log(0.95 / 0.05)
    for i in range(count):
        while True:
            at = rng.integers([low + half, half, half], [high - half, 250 - half, 250 - half])
            if body[tuple(at)] != 0:
                break
        window = tuple(slice(p - half, p + half + 1) for p in at)
        x[i, ..., 0] = (grey[window].astype(np.float32) - 128) / 33
        inside[i, ..., 0] = np.where(body[window] == body[tuple(at)], 0.95, 0.05)
    return x, inside


def main():
    grey, body = np.load(sys.argv[1])["gray"], np.load(sys.argv[2])["body"]
    folder = pathlib.Path(sys.argv[3])
    rng = np.random.default_rng(1)
    for name, low, high, count in (("train", 0, 190, 2000), ("test", 210, 250, 500)):
        x, inside = patches(grey, body, low, high, count, rng)
        np.save(folder / f"{name}-x.npy", x)
        np.save(folder / f"{name}-inside.npy", inside)


main()
