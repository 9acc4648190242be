"""generate.py - quark and gluon jets by Pythia 8: generate.py COUNT SEED OUT.npz [PROCESSES]

COUNT jets, half of each kind, shuffled; about 37 ms of a core each. Needs numpy and pythia8mc; the script `data` beside
this one sees to both. pp at 14 TeV, q g -> Z q (u, d, s) and q qbar -> Z g, Z to neutrinos, default tune with multiple
interactions and hadronisation; anti-kT jets of R 0.4 with 500 < pT < 550 GeV and |y| < 1.7; no neutrinos, no detector.
The recipe is that of the EnergyFlow set (Komiske, Metodiev, Thaler, JHEP 01, 121 (2019)) with a narrower pTHat.
"""
import hashlib
import multiprocessing
import os
import sys

import numpy as np

WIDTH = 100
LIGHT = (1, 2, 3)
# Of (COUNT, SEED): SHA-256 of the arrays' bytes. Another C library may round a momentum otherwise: it only warns.
HASHES = {(10000, 1): "acd3675ce7ee335457a8bf9fea826c79efb149a5c7279a396d9a09fe699af1d0"}


def start(kind, seed):
    import pythia8mc
    pythia = pythia8mc.Pythia("", False)
    process = "qg2gmZq" if kind == "quark" else "qqbar2gmZg"
    for line in ("Print:quiet=on", "Beams:eCM=14000.", f"WeakBosonAndParton:{process}=on", "WeakZ0:gmZmode=2",
                 "23:onMode=off", "23:onIfAny=12 14 16", "PhaseSpace:pTHatMin=460.", "PhaseSpace:pTHatMax=650.",
                 "Random:setSeed=on", f"Random:seed={seed}"):
        pythia.readString(line)
    pythia.init()
    return pythia, pythia8mc.SlowJet(-1, 0.4, 400.0, 2.5, 2, 2)


def particles_of(event, cluster, k):
    """[n, 4]: pT, rapidity and azimuth from the jet's axis, PDG code; falling pT."""
    rows = np.array([(event[i].pT(), event[i].y(), event[i].phi(), event[i].id()) for i in cluster.constituents(k)])
    rows = rows[np.argsort(-rows[:, 0], kind="stable")]
    rows[:, 1] -= cluster.y(k)
    rows[:, 2] = (rows[:, 2] - cluster.phi(k) + np.pi) % (2 * np.pi) - np.pi
    return rows


def jets_of(kind, count, seed):
    """count jets, the first fitting one of each event."""
    pythia, cluster = start(kind, seed)
    found = []
    while len(found) < count:
        if not pythia.next():
            continue
        event = pythia.event
        if kind == "quark" and not any(abs(event[i].id()) in LIGHT for i in (5, 6)):
            continue
        cluster.analyze(event)
        for k in range(cluster.sizeJet()):
            if 500 < cluster.pT(k) < 550 and abs(cluster.y(k)) < 1.7:
                rows = particles_of(event, cluster, k)
                found.append((rows, (cluster.pT(k), cluster.y(k), cluster.phi(k), cluster.m(k), len(rows))))
                break
    return found


def work(job):
    kind, count, seed = job
    return kind, jets_of(kind, count, seed)


def check(count, seed, arrays):
    digest = hashlib.sha256()
    for name, x in arrays.items():
        digest.update(f"{name} {x.dtype.str} {x.shape}".encode() + x.tobytes())
    known = HASHES.get((count, seed), digest.hexdigest())
    if digest.hexdigest() != known:
        print(f"warning: contents {digest.hexdigest()}, those known are {known}")


def main(count, seed, out, processes):
    chunk = 250
    jobs = []
    for kind in ("quark", "gluon"):
        half = count // 2
        jobs += [(kind, min(chunk, half - at), 1000 * seed + 2 * (at // chunk) + (kind == "gluon") + 1)
                 for at in range(0, half, chunk)]
    label, particles, jets = [], [], []
    with multiprocessing.Pool(processes) as pool:
        for n, (kind, found) in enumerate(pool.imap(work, jobs), 1):
            for rows, jet in found:
                padded = np.zeros((WIDTH, 4), np.float32)
                padded[:min(WIDTH, len(rows))] = rows[:WIDTH]
                particles.append(padded)
                jets.append(jet)
                label.append(kind == "quark")
            print(f"\r  {len(jets)} of {count} jets", end="", flush=True)
    print()
    order = np.random.default_rng(seed).permutation(len(jets))
    p, j = np.array(particles)[order], np.array(jets, np.float32)[order]
    arrays = dict(pt=p[..., 0].astype(np.float16), dy=p[..., 1].astype(np.float16), dphi=p[..., 2].astype(np.float16),
                  pid=p[..., 3].astype(np.int16), label=np.array(label, np.int8)[order], jet_pt=j[:, 0], jet_y=j[:, 1],
                  jet_phi=j[:, 2], jet_mass=j[:, 3], n_particles=j[:, 4].astype(np.int16))
    check(count, seed, arrays)
    np.savez_compressed(out, **arrays)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3],
         int(sys.argv[4]) if len(sys.argv) > 4 else len(os.sched_getaffinity(0)))
