"""common.py - small data sets, networks and run files for the tests of the program."""
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["SUNUP_PROGRAM"]
MPIEXEC = os.environ.get("SUNUP_MPIEXEC", "")
MPICH = "mpich" in MPIEXEC or "hydra" in MPIEXEC  # spins when ranks share cores: at most two of them
# What the launcher gives when a job with a stopped rank ends itself. MPICH's may give the signal by which that rank ended:
# it kills it, or Linux hangs up on a stopped process when its parent is gone.
ABORT_EXIT = (124, 9, 1) if MPICH else (124,)

NET = """
model:
  input: {name: x, shape: [8, 8, 1]}
  layers:
    - conv: {name: conv1, out_channels: 4, kernel_size: 3, padding: same, bias: false}
    - batch_norm:
    - relu: {name: r1}
    - max_pool: 2
    - conv: {name: conv2, out_channels: 4, kernel_size: 3, padding: same}
    - relu: {name: r2}
    - flatten:
    - dropout: 0.2
    - linear: {name: fc, out_features: 3}
"""

RUN = """
model: net.yaml
data:
  train:
    - {name: x, path: x.idx, shape: [8, 8, 1], scale: 0.00392156862745098}
    - {name: label, path: y.idx, label: true}
  eval:
    - {name: x, path: x.idx, shape: [8, 8, 1], scale: 0.00392156862745098}
    - {name: label, path: y.idx, label: true}
batch: 24
shards: 12
epochs: 20
seed: 3
augment: {flip: true}
optimizer: {type: sgd, lr: 0.05, momentum: 0.9}
schedule: {type: cosine, warmup_steps: 4}
run_dir: %s
checkpoint_steps: 7
"""


def idx(values, shape):
    """Bytes of an idx file of unsigned bytes."""
    return struct.pack(">HBB", 0, 8, len(shape)) + struct.pack(f">{len(shape)}I", *shape) + bytes(values)


def pictures(n):
    """n pictures 8 x 8 of three kinds: a bright row, column or corner under noise."""
    rng = random.Random(1)
    x, y = [], []
    for i in range(n):
        kind, at = i % 3, rng.randrange(6)
        for r in range(8):
            for c in range(8):
                on = (r == at, c == at, r < 3 and c < 3)[kind]
                x.append(min(255, rng.randrange(60) + 180 * on))
        y.append(kind)
    return idx(x, (n, 8, 8)), idx(y, (n,))


class Case(unittest.TestCase):
    """A test with a folder of its own that holds net.yaml, run.yaml and data; gone afterwards."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sunup-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.run_dir = self.folder / "out"
        x, y = pictures(240)
        self.write("x.idx", x)
        self.write("y.idx", y)
        self.write("net.yaml", NET)
        self.write("run.yaml", RUN % self.run_dir)

    def write(self, name, content):
        mode = "wb" if isinstance(content, bytes) else "w"
        with open(self.folder / name, mode) as f:
            f.write(content)

    def command(self, *args, ranks=0):
        launch = []
        if ranks:
            flags = [] if MPICH else ["--oversubscribe", "--mca", "btl", "self,vader"]
            launch = [MPIEXEC, *flags, "-n", str(ranks)]
        return launch + [PROGRAM, *map(str, args)]

    def environment(self, **more):
        return dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", **more)

    def sunup(self, *args, ranks=0, status=0, env=None, timeout=120):
        """Run the program in the folder; check its exit status; give the finished process."""
        done = subprocess.run(self.command(*args, ranks=ranks), cwd=self.folder, capture_output=True, text=True,
                              timeout=timeout, env=self.environment(**(env or {})))
        self.assertEqual(done.returncode, status, f"{args}\n{done.stdout}\n{done.stderr}")
        return done

    def processes(self):
        """Process of each rank of the training in this folder, as far as they have started."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/cwd") != str(self.folder):
                    continue
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    program = f.read().split(b"\0")[0].decode()
                with open(f"/proc/{pid}/environ", "rb") as f:
                    environment = f.read().split(b"\0")
            except OSError:
                continue
            rank = [v.split(b"=")[1] for v in environment
                    if v.startswith((b"OMPI_COMM_WORLD_RANK=", b"PMI_RANK="))]
            if program == PROGRAM and rank:
                found[int(rank[0])] = int(pid)
        return found

    def checkpoints(self, folder=None):
        """Paths of a run's checkpoints, oldest first."""
        return sorted((folder or self.run_dir).glob("checkpoints/step-*.safetensors"))

    def train(self, *args, **more):
        """Train and give the result; a run that is not resumed starts in an empty folder."""
        if "--resume" not in args:
            shutil.rmtree(self.run_dir, ignore_errors=True)
        return json.loads(self.sunup("train", "run.yaml", "--json", *args, **more).stdout)


def main():
    unittest.main(verbosity=2)
