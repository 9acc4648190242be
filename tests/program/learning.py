"""learning.py - shared weights, weighted losses, frozen parameters, ranger, scaled rates: the same bits on any ranks,
through a resume, and through `sunup config`."""
import json
import shutil

import common

NET = """
model:
  input: {name: x, shape: [8, 8, 1]}
  layers:
    - conv: {name: stem, out_channels: 4, kernel_size: 3, padding: same}
    - batch_norm: {name: norm}
    - repeat: {name: one, times: 1, layers: &tower [conv: {out_channels: 4, kernel_size: 3, padding: same}, batch_norm, relu]}
    - repeat: {name: two, times: 1, inputs: norm, weights: one, layers: *tower}
    - add: [one.1.relu1, two.1.relu1]
    - batch_norm: {name: last, weights: norm}
    - flatten:
    - linear: {name: fc, out_features: 3}
"""

KEYS = """
freeze: ['stem.*', 'norm.bias']
class_weights: [1, 1.5, 10]
focal: 2
accumulate: 2
optimizer: {type: ranger, lr: 0.01, betas: [0.95, 0.999], lr_batch: 12, lr_scaling: sqrt, clip_norm: 0.5, clip_value: 0.1}
schedule: {type: cosine, flat: 0.5, warmup_steps: 2}
"""


class Learning(common.Case):
    def setUp(self):
        super().setUp()
        run = [line for line in (common.RUN % self.run_dir).splitlines() if not line.startswith(("optim", "sched"))]
        self.write("net.yaml", NET)
        self.write("run.yaml", "\n".join(run) + KEYS)

    def files(self):
        return {f.name: f.read_bytes() for f in self.checkpoints()}

    def test_same_bits(self):
        for sum_ in "tree", "int32":
            steps = ["--set", "epochs=3", "--set", "checkpoint_steps=8", "--set", "keep_checkpoints=9",
                     "--set", f"sum={sum_}"]
            want, files = self.train(*steps), self.files()
            for ranks in (1, 2) if common.MPICH else (2, 3):
                got = self.train(*steps, ranks=ranks, env={"SUNUP_THREADS": "1"})
                self.assertEqual((got["hash"], got["loss"]), (want["hash"], want["loss"]), (sum_, ranks))
                self.assertTrue(self.files() == files, (sum_, ranks))
            start = shutil.copy(self.run_dir / "checkpoints/step-00000008.safetensors", self.folder)
            self.assertEqual(self.train(*steps, f"--resume={start}", ranks=2)["hash"], want["hash"], sum_)
        self.assertIn("freeze", self.sunup("train", "run.yaml", *steps, "--set", "freeze=stem.*", f"--resume={start}",
                                           status=1).stderr)

    def test_rates_and_first_weights(self):
        self.train("--set", "epochs=2", "--set", "log_steps=1")
        rows = [json.loads(line) for line in (self.run_dir / "metrics.jsonl").read_text().splitlines()]
        rates = [row["lr"] for row in rows if "lr" in row]
        self.assertAlmostEqual(max(rates), 0.02, 7)  # 48 samples a step, lr is for 12: twice as much
        self.assertEqual(sum(abs(rate - 0.02) < 1e-7 for rate in rates), 5)  # 10 steps: 2 of warm-up, 5 at the peak, 3 below
        first, start = rows[0]["loss"], shutil.copy(self.checkpoints()[-1], self.folder)
        again = self.train("--set", "max_steps=1", "--set", f"weights={start}", "--set", "log_steps=1")
        self.assertLess(again["loss"], 0.9 * first)
        self.sunup("train", "run.yaml", "--set", "weights=nowhere", status=1)

    def test_config_is_a_run_file(self):
        config = self.sunup("config", "run.yaml", "--set", "weight=w", "--set", "pos_weight=[2.5]").stdout
        for line in ("freeze: ['stem.*', 'norm.bias']", "class_weights: [1, 1.5, 10]", "pos_weight: [2.5]", "focal: 2",
                     "weight: 'w'", "lr_scaling: 'sqrt'", "lr_batch: 12", "flat: 0.5"):
            self.assertIn(line, config)
        self.write("again.yaml", config)
        self.assertEqual(self.sunup("config", "again.yaml").stdout, config)

    def test_says_what_is_wrong(self):
        for wrong, part in (("frezze=a", "freeze"), ("class_weight=1", "class_weights"), ("focl=1", "focal"),
                            ("optimizer.lr_skaling=sqrt", "optimizer.lr_scaling"), ("schedule.flatt=1", "schedule.flat"),
                            ("optimizer.lr_scaling=root", "linear, sqrt"), ("freeze=stem.wait", "'stem.weight'"),
                            ("class_weights=[1, 2]", "2 numbers, but the output has 3"),
                            ("schedule.type=triangle", "triangular"), ("optimizer.type=rangr", "'ranger'")):
            self.assertIn(part, self.sunup("train", "run.yaml", "--set", wrong, status=1).stderr, wrong)


common.main()
