"""resume.py - a run that is stopped or killed anywhere goes on to the same bits."""
import random
import signal
import subprocess
import time

import common


class Resume(common.Case):
    def start(self, *args):
        return subprocess.Popen(self.command("train", "run.yaml", "--json", *args), cwd=self.folder,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.environment())

    def kept(self):
        """Step of the newest checkpoint, -1 if there is none."""
        names = sorted(p.name for p in (self.run_dir / "checkpoints").glob("step-*.safetensors"))
        return int(names[-1][5:13]) if names else -1

    def test_signal_saves_and_resumes(self):
        whole = self.train("--set", f"run_dir={self.folder}/whole", "--set", "epochs=60")
        for number in (signal.SIGTERM, signal.SIGINT):
            before = self.kept()
            p = self.start("--set", "epochs=60", *(["--resume"] if before >= 0 else []))
            while self.kept() <= before and p.poll() is None:
                time.sleep(0.002)
            p.send_signal(number)
            _, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, 128 + number, err)
            self.assertIn(b"stopped on request", err)
        self.assertEqual(self.train("--resume", "--set", "epochs=60")["hash"], whole["hash"])

    def test_sums_of_integers(self):
        """What a sum foresees goes on; neither kind of sum goes on from the other's checkpoint."""
        by = "--set", "sum=int32"
        whole = self.train(*by, "--set", f"run_dir={self.folder}/whole", "--set", "max_steps=40")
        self.train(*by, "--set", "max_steps=21")
        got = self.train(*by, "--resume", "--set", "max_steps=40", ranks=2)
        self.assertEqual((got["hash"], got["repeated"]), (whole["hash"], 0))
        says = "run with sum: int32, this one has sum: tree"
        self.assertIn(says, self.sunup("train", "run.yaml", "--resume", status=1).stderr)
        self.train("--set", "max_steps=5")
        says = "run with sum: tree, this one has sum: int32"
        self.assertIn(says, self.sunup("train", "run.yaml", "--resume", *by, status=1).stderr)
        done = self.sunup("train", "run.yaml", "--set", "sum=integers", status=1)
        self.assertIn("there is no sum 'integers'", done.stderr)

    def test_sums_in_bf16(self):
        by = "--set", "wire=bf16"
        whole = self.train(*by, "--set", f"run_dir={self.folder}/whole", "--set", "max_steps=40")
        self.train(*by, "--set", "max_steps=21")
        self.assertEqual(self.train(*by, "--resume", "--set", "max_steps=40", ranks=2)["hash"], whole["hash"])
        says = "run with wire: (bits of a float) 16, this one has 32"
        self.assertIn(says, self.sunup("train", "run.yaml", "--resume", status=1).stderr)
        self.train("--set", "max_steps=5")
        says = "run with wire: (bits of a float) 32, this one has 16"
        self.assertIn(says, self.sunup("train", "run.yaml", "--resume", *by, status=1).stderr)
        for more, says in ("wire=bf1", "there is no wire 'bf1'"), ("sum=int32", "do not travel in bf16"):
            self.assertIn(says, self.sunup("train", "run.yaml", *by, "--set", more, status=1).stderr)

    def test_killed_twenty_times(self):
        rng = random.Random(5)
        long = ["--set", "epochs=300", "--set", "log_steps=10"]
        whole = self.train("--set", f"run_dir={self.folder}/whole", *long)
        killed = 0
        for _ in range(20):
            before = self.kept()
            p = self.start("--resume" if before >= 0 else "--quiet", *long)
            while self.kept() <= before and p.poll() is None:  # alive at least until one more checkpoint
                time.sleep(0.001)
            time.sleep(rng.random() * 0.03)
            killed += p.poll() is None
            p.kill()
            p.communicate()
            self.assertGreaterEqual(self.kept(), before)
            for path in (self.run_dir / "checkpoints").glob("step-*.safetensors"):
                self.sunup("eval", "run.yaml", "--json", "--weights", path)  # whole, whenever the kill came
        self.assertGreaterEqual(killed, 10)
        self.assertEqual(self.train("--resume", *long)["hash"], whole["hash"])
        self.assertEqual(self.rows(self.run_dir), self.rows(self.folder / "whole"))

    def rows(self, folder):
        """Metrics without times: a resumed run's file must read like the uninterrupted one's."""
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        return [line.split(', "step_s"')[0] for line in lines]


common.main()
