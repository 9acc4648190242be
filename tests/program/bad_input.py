"""bad_input.py - every mistake ends with a clear sentence, the right exit status, and nothing lost."""
import resource
import struct
import subprocess

import common


class BadInput(common.Case):
    def refused(self, *args, says=(), status=1):
        done = self.sunup(*args, status=status)
        self.assertEqual(done.stderr.count("sunup: ") >= 1, True, done.stderr)
        for part in says:
            self.assertIn(part, done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)

    def edited(self, old, new, name="run.yaml"):
        text = (self.folder / name).read_text()
        self.assertIn(old, text)
        self.write(name, text.replace(old, new, 1))

    def test_usage(self):
        self.refused("trian", says=["did you mean 'train'"], status=2)
        self.refused("train", "run.yaml", "--resmue", says=["did you mean 'resume'"], status=2)
        self.refused("train", "run.yaml", "--set", status=2, says=["needs a value"])
        self.sunup("train", status=2)

    def test_unknown_keys(self):
        self.edited("batch: 24", "bacth: 24")
        self.refused("train", "run.yaml", says=["run.yaml:10:1", "'bacth'", "'batch'"])
        self.edited("bacth: 24", "batch: 24")
        self.edited("lr: 0.05", "rl: 0.05")
        self.refused("train", "run.yaml", says=["run.yaml:15:24", "optimizer.rl", "optimizer.lr"])
        self.edited("rl: 0.05", "lr: fast")
        self.refused("train", "run.yaml", says=["must be a number, not 'fast'"])
        self.edited("lr: fast", "lr: 0.05")
        self.refused("train", "run.yaml", "--set", "optimizer.lr=0.1", "--set", "sede=4", says=["sede", "seed"])
        self.refused("train", "run.yaml", "--set", "batch", says=["KEY=VALUE"])

    def test_network(self):
        self.edited("relu: {name: r1}", "rleu: {name: r1}", "net.yaml")
        self.refused("train", "run.yaml", says=["net.yaml:7", "rleu", "relu"])
        self.edited("rleu: {name: r1}", "conv: {name: r1, out_channels: 3, kernel_size: 99}", "net.yaml")
        self.refused("train", "run.yaml", says=["r1", "net.yaml:7"])
        self.write("net.yaml", "model: [")
        self.refused("summary", "net.yaml", says=["net.yaml:"])

    def test_files(self):
        (self.folder / "x.idx").rename(self.folder / "away")
        self.refused("train", "run.yaml", says=["x.idx", "cannot be opened"])
        data = (self.folder / "away").read_bytes()
        self.write("x.idx", data[:5000])
        self.refused("train", "run.yaml", says=["x.idx"])
        self.write("x.idx", b"nonsense" * 20)
        self.refused("train", "run.yaml", says=["x.idx"])
        self.write("x.idx", struct.pack(">HBB3I", 0, 8, 3, 0xFFFFFFFF, 0xFFFFFFFF, 8) + data[16:])
        self.refused("train", "run.yaml", says=["x.idx"])
        self.write("x.idx", common.idx([], (0, 8, 8)))
        self.write("y.idx", common.idx([], (0,)))
        self.refused("train", "run.yaml", says=["no sample"])
        self.refused("train", "absent.yaml", says=["absent.yaml", "cannot be opened"])

    def test_sizes(self):
        self.refused("train", "run.yaml", "--set", "batch=1200", says=["1200", "240"])
        self.refused("train", "run.yaml", "--set", "shards=7", says=["shards 7", "24"])
        self.refused("train", "run.yaml", "--set", "loss=cross_entrpy", says=["cross_entropy"])
        self.refused("train", "run.yaml", "--set", "optimizer.type=adma", says=["adam"])
        self.refused("train", "run.yaml", "--set", "schedule.type=cosin", says=["cosine"])
        self.edited("shape: [8, 8, 1]", "shape: [8, 9, 1]")
        self.refused("train", "run.yaml", says=["'x'", "[8, 9, 1]"])

    def test_labels_outside(self):
        self.write("y.idx", common.idx([i % 5 for i in range(240)], (240,)))
        self.refused("train", "run.yaml", says=["label", "3"])

    def test_one_sample(self):
        x, y = common.pictures(1)
        self.write("x.idx", x)
        self.write("y.idx", y)
        self.train("--set", "batch=1", "--set", "shards=1", "--set", "epochs=2", "--set", "schedule.type=constant")

    def test_memory(self):
        """Refused before it is taken: weights, then a batch that does not fit (the limit stands for a small machine)."""
        self.edited("- dropout: 0.2", "- linear: {name: big, out_features: 1000000000}", "net.yaml")
        self.refused("train", "run.yaml", says=["weights need", "are free"])
        self.edited("- linear: {name: big, out_features: 1000000000}", "- linear: {name: big, out_features: 400000}",
                    "net.yaml")
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))
        done = subprocess.run(self.command("train", "run.yaml", "--set", "batch=240", "--set", "shards=1"),
                              cwd=self.folder, env=self.environment(), capture_output=True, text=True, preexec_fn=limit)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, "needs .* are free; a smaller batch needs less|MB are free; lower batch")

    def test_nan(self):
        self.edited("lr: 0.05", "lr: 1.0e+30")
        self.refused("train", "run.yaml", says=["step", "rank 0", "not finite"])
        checkpoints = self.run_dir / "checkpoints"
        self.assertEqual(list(checkpoints.glob("*")) if checkpoints.exists() else [], [])

    def test_checkpoints(self):
        self.train("--set", "epochs=1")
        for path in sorted((self.run_dir / "checkpoints").iterdir()):
            data = path.read_bytes()
            for bad in (data[:-1], data[:100], b"", data[:3000] + b"x" + data[3001:]):
                path.write_bytes(bad)
                self.refused("eval", "run.yaml", "--weights", path, says=[path.name])
            path.write_bytes(b"")
        self.refused("train", "run.yaml", "--resume", says=["step-"])
        self.refused("train", "run.yaml", "--resume=none.safetensors", says=["none.safetensors"])

    def test_resume_of_another_run(self):
        self.train("--set", "epochs=1")
        self.refused("train", "run.yaml", says=["earlier run", "--resume"])
        self.refused("train", "run.yaml", "--resume", "--set", "batch=48", says=["batch 24", "48"])
        self.edited("out_channels: 4, kernel_size: 3, padding: same, bias: false", "out_channels: 5, kernel_size: 3",
                    "net.yaml")
        self.refused("train", "run.yaml", "--resume", says=["conv1"])


common.main()
