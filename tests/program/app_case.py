"""app_case.py - what every science workload of apps/ must do, at a size of seconds."""
import json
import pathlib
import re
import struct

import common

APPS = pathlib.Path(__file__).resolve().parents[2] / "apps"


def npy(code, shape, values):
    """Bytes of a .npy file; code: struct's letter."""
    kind = {"f": "<f4", "h": "<i2", "b": "|i1"}[code]
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * ((-len(head) - 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + struct.pack(f"<{len(values)}{code}", *values)


class AppCase(common.Case):
    """A test derives from it and says which app, and what makes its run short: keys and values for --set."""
    app = ""
    small = {}
    steps = 4  # of the short run; two of them come before a stop
    apps = APPS

    def setUp(self):
        super().setUp()
        listed = self.sunup("app").stdout
        row = re.search(rf"^  {self.app} .*$", listed, re.M)
        self.assertIsNotNone(row, listed)
        if "data missing" in row.group():
            self.skipTest(f"{self.app}: its data are not on this machine; sunup data lists them")

    def settings(self, **more):
        keys = {**self.small, "run_dir": self.run_dir, "log_steps": 1, **more}
        return [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]

    def short(self, *args, ranks=0, **keys):
        run = self.apps / self.app / "run.yaml"
        done = self.sunup("train", run, "--json", *args, *self.settings(**keys), ranks=ranks, timeout=300)
        return json.loads(done.stdout)

    def check_same_bits(self, counts=(2, 4)):
        one = self.short(max_steps=self.steps)["hash"]
        for ranks in counts:
            got = self.short(ranks=ranks, max_steps=self.steps, run_dir=self.folder / f"on{ranks}")
            self.assertEqual(got["hash"], one, f"{ranks} ranks")
        return one

    def check_resume(self, whole):
        other = self.folder / "other"
        self.short(max_steps=self.steps // 2, run_dir=other)
        self.assertEqual(self.short("--resume", ranks=2, max_steps=self.steps, run_dir=other)["hash"], whole)

    def check_scores(self):
        """Scores of the short run: there, and too bad to pass or not; the exit status says which."""
        command = ("app", self.app, "--json", *self.settings(max_steps=self.steps, run_dir=self.folder / "scored"))
        done = common.subprocess.run(self.command(*command), cwd=self.folder, capture_output=True, text=True,
                                     timeout=300, env=self.environment())
        self.assertIn(done.returncode, (0, 1), done.stderr)
        result = json.loads(done.stdout)
        self.assertEqual(all(s["good"] for s in result["scores"]), done.returncode == 0)
        return {s["score"]: s.get("value") for s in result["scores"]}

    def check_all(self):
        self.check_resume(self.check_same_bits())
        return self.check_scores()
