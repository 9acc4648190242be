"""spatial.py - volumes cut into parts: the same bits whoever holds them, less memory a rank, failures told."""
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import common

UNET = pathlib.Path(__file__).resolve().parents[2] / "bench" / "parts" / "unet3d" / "run.yaml"

NET = """
model:
  input: {name: x, shape: [%s, 1]}
  layers:
    - conv: {name: c1, out_channels: 4, kernel_size: 3, padding: 1, bias: false}
    - batch_norm:
    - relu: {name: top}
    - max_pool: 2
    - conv: {name: c2, out_channels: 8, kernel_size: 3, padding: 2, dilation: 2}
    - batch_norm:
    - relu:
    - dropout: 0.2
    - conv_transpose: {name: up, out_channels: 4, kernel_size: 2, stride: 2}
    - concat: {inputs: [up, top]}
    - conv: {name: out, out_channels: 3, kernel_size: 1}
"""

PICTURES = """
model:
  input: {name: x, shape: [8, 8, 1]}
  layers:
    - conv: {out_channels: 8, kernel_size: 3, padding: 1, bias: false}
    - batch_norm:
    - relu:
    - max_pool: 2
    - global_avg_pool:
    - dropout: 0.2
    - linear: {name: fc, out_features: 3}
"""

RUN = """
model: net.yaml
data:
  train:
    - {name: x, random: 12, shape: [%(shape)s, 1]}
    - {name: label, random: 12, shape: [%(shape)s], label: true, classes: %(classes)d}
  eval:
    - {name: x, random: 5, shape: [%(shape)s, 1]}
    - {name: label, random: 5, shape: [%(shape)s], label: true, classes: 3}
batch: 4
shards: 2
parts: 4
epochs: 2
seed: 3
hash_steps: 1
optimizer: {type: adam, lr: 0.01}
run_dir: %(folder)s
checkpoint_steps: 2
"""


class Spatial(common.Case):
    def setUp(self):
        super().setUp()
        self.volumes("14, 8, 6")  # 14 rows in 4 parts: ragged

    def volumes(self, shape, classes=3):
        self.write("net.yaml", NET % shape)
        self.write("run.yaml", RUN % {"shape": shape, "classes": classes, "folder": self.run_dir})

    def figures(self, *args, **more):
        got = self.train(*args, **more)
        return got["hash"], got["loss"], got["accuracy"]

    def test_same_bits(self):
        want = self.figures()
        self.assertEqual(self.figures(env={"SUNUP_THREADS": "1"}), want, "a thread")
        for ranks in (1, 2) if common.MPICH else (1, 2, 4, 8):
            self.assertEqual(self.figures(ranks=ranks), want, ranks)
        ranks = 2 if common.MPICH else 8
        for name, value in ("SUNUP_MESSAGES", "1"), ("SUNUP_NODE_RANKS", "2"), ("SUNUP_NODE_RANKS", "1"):
            self.assertEqual(self.figures(ranks=ranks, env={name: value}), want, (name, value))

    def test_same_bits_of_every_cut(self):
        self.volumes("8, 14, 6")
        ranks = 2 if common.MPICH else 4
        seen = set()
        for cut in (["parts=2"], ["parts=4", "split=H"], ["parts=2", "split=W"], ["parts=4", "numerics=exact"],
                    ["shards=1", "accumulate=2"]):
            cut = [word for option in cut for word in ("--set", option)]
            want = self.figures(*cut)
            self.assertEqual(self.figures(*cut, ranks=ranks), want, cut)
            seen.add(want[0])
        self.assertEqual(len(seen), 5)

    def confusion(self):
        return re.search(r"<h2>Confusion</h2>.*?</table>", (self.run_dir / "report.html").read_text(), re.S).group()

    def test_counts_of_classes(self):
        """Of each pixel's, and of a picture's after a mean over its space: none twice."""
        for kind in "pixels", "pictures":
            if kind == "pictures":
                self.write("net.yaml", PICTURES)
                self.write("run.yaml", common.RUN % self.run_dir)
            options = ["--set", "parts=4", "--set", "shards=2", "--set", "epochs=2"]
            want = self.figures(*options), self.confusion()
            for ranks in (2,) if common.MPICH else (2, 4, 8):
                self.assertEqual((self.figures(*options, ranks=ranks), self.confusion()), want, (kind, ranks))
            self.assertEqual(sum(map(int, re.findall(r"%,transparent\)\">(\d+)", want[1]))),
                             {"pixels": 5 * 14 * 8 * 6, "pictures": 240}[kind])

    def test_parts_are_close_to_the_whole(self):
        whole, parts = self.train("--set", "parts=1"), self.train()
        self.assertNotEqual(whole["hash"], parts["hash"])  # dropout draws other numbers
        self.write("net.yaml", (NET % "14, 8, 6").replace("    - dropout: 0.2\n", ""))
        whole, parts = self.train("--set", "parts=1"), self.train()
        self.assertAlmostEqual(whole["loss"], parts["loss"], delta=2e-5)

    def test_parts_of_samples(self):
        """Batch norm over all samples of a shard, whoever holds them: `split: N`."""
        self.write("net.yaml", common.NET)
        self.write("run.yaml", common.RUN % self.run_dir)
        several = (1, 2) if common.MPICH else (1, 2, 4)
        options = ["--set", "shards=1", "--set", "parts=4", "--set", "split=N", "--set", "epochs=2"]
        want = self.figures(*options), self.confusion()
        for ranks in several:
            self.assertEqual((self.figures(*options, ranks=ranks), self.confusion()), want, ranks)
        whole = self.train("--set", "shards=1", "--set", "epochs=2")
        self.assertAlmostEqual(whole["loss"], want[0][1], delta=1e-5)  # also dropout draws the same numbers
        apart = self.train("--set", "shards=4", "--set", "epochs=2")
        self.assertGreater(abs(apart["loss"] - want[0][1]), 1e-4)
        for before, after in zip(several, several[1:] + several[:1]):
            self.train(*options, "--set", "max_steps=13", ranks=before)
            self.assertEqual(self.figures(*options, "--resume", ranks=after), want[0], (before, after))
        groups = ["--set", "shards=3", "--set", "parts=2", "--set", "split=N", "--set", "epochs=2"]
        ranks = 2 if common.MPICH else 6
        self.assertEqual(self.figures(*groups, ranks=ranks), self.figures(*groups))
        done = self.sunup("train", "run.yaml", *options, "--set", "parts=16", status=1)
        self.assertIn("do not fall into 16 equal parts", done.stderr)
        done = self.sunup("train", "run.yaml", *options, "--set", "run_dir=nan", "--set", "optimizer.lr=1.0e+30",
                          ranks=several[-1], status=1)
        self.assertEqual(done.stderr.count("not finite"), 1, done.stderr)

    def test_stopped_and_resumed_on_other_ranks(self):
        want = self.train("--set", f"run_dir={self.folder}/whole")
        for before, after in ((2, 1),) if common.MPICH else ((8, 1), (1, 4), (4, 2)):
            self.train("--set", "max_steps=3", ranks=before)
            self.assertEqual(self.train("--resume", ranks=after)["hash"], want["hash"], (before, after))
        self.train("--set", "max_steps=3")
        done = self.sunup("train", "run.yaml", "--resume", "--set", "parts=2", status=1)
        self.assertIn("parts 4, this one has 2", done.stderr)

    def test_mistakes(self):
        for options, says in ((["parts=3"], "parts is 3"), (["split=X"], 'split is "X"'),
                              (["sum=int32"], "use sum tree"),
                              (["parts=16"], "16 parts of an axis of 14 rows"),
                              (["parts=8"], "too short for a row in each part")):
            args = [word for option in options for word in ("--set", option)]
            self.assertIn(says, self.sunup("train", "run.yaml", *args, status=1).stderr)
        if not common.MPICH:
            done = self.sunup("train", "run.yaml", ranks=3, status=1)
            self.assertEqual(done.stderr.count("3 ranks cannot share 2 shards of 4 parts"), 1, done.stderr)
        self.volumes("8, 8, 6")
        rolled = "roll: {name: top, axis: 1, shift: 1}"
        self.write("net.yaml", (NET % "8, 8, 6").replace("relu: {name: top}", rolled))
        self.assertIn("slice 'top' in 4 parts", self.sunup("train", "run.yaml", status=1).stderr)

    def test_failures_are_told_to_the_group(self):
        ranks = 2 if common.MPICH else 4
        few = ["--set", "shards=1"]
        done = self.sunup("train", "run.yaml", *few, "--set", "optimizer.lr=1.0e+30", ranks=ranks, status=1)
        self.assertEqual(done.stderr.count("not finite"), 1, done.stderr)
        self.volumes("14, 8, 6", classes=9)  # the network has no output for some labels
        done = self.sunup("train", "run.yaml", *few, ranks=ranks, status=1)
        self.assertIn("there are 3 classes", done.stderr)

    def test_stopped_rank_is_named(self):
        p = subprocess.Popen(
            self.command("train", "run.yaml", "--set", "epochs=100000", "--set", "shards=1", "--set", "timeout_s=2",
                         "--quiet", ranks=2 if common.MPICH else 4),
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.environment(SUNUP_THREADS="1"))
        while not list(self.run_dir.glob("checkpoints/*")):
            time.sleep(0.01)
        os.kill(self.processes()[1], signal.SIGSTOP)
        start = time.time()
        _, err = p.communicate(timeout=60)
        self.assertIn(p.returncode, common.ABORT_EXIT, err)
        self.assertLess(time.time() - start, 20)
        self.assertIn("absent: rank 1", err)
        self.assertIn("stopped", err)
        lost = [json.loads(line)["lost"] for line in (self.run_dir / "lost.jsonl").read_text().splitlines()]
        self.assertTrue(lost)
        for report in lost:
            self.assertEqual([rank["rank"] for rank in report], [1])

    def test_u_net_that_one_rank_cannot_hold(self):
        if common.MPICH:
            self.skipTest("four ranks share these cores")
        steps = ["--set", "max_steps=3", "--set", "epochs=1", "--json"]
        arena = {ranks: max(json_values(self.sunup("plan", UNET, "--json", ranks=ranks).stdout, "arena_bytes"))
                 for ranks in (1, 2, 4)}
        self.assertLess(arena[2], 0.55 * arena[1])
        self.assertLess(arena[4], 0.31 * arena[1])
        limit = ["--set", f"memory_bytes={arena[4]}"]
        done = self.sunup("train", UNET, *steps, *limit, status=1)
        self.assertIn("do not fit into memory_bytes", done.stderr)
        self.assertIn("parts on more ranks", done.stderr)
        held = self.sunup("train", UNET, *steps, *limit, ranks=4).stdout
        whole = self.sunup("train", UNET, *steps).stdout
        self.assertEqual(json_values(held, "hash"), json_values(whole, "hash"))
        # Less memory than the pass needs on four ranks, too: they make values again, and no bit changes.
        less = ["--set", f"memory_bytes={arena[4] * 3 // 4}"]
        self.assertEqual(json_values(self.sunup("train", UNET, *steps, *less, ranks=4).stdout, "hash"),
                         json_values(whole, "hash"))


def json_values(text, key):
    """The values of a key, also where the lines of ranks are mixed."""
    return [json.loads(value) for value in re.findall(rf'"{key}": ([^,\n]+)', text)]


common.main()
