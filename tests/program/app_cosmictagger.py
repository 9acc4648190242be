"""app_cosmictagger.py - the neutrino workload on pictures a quarter as wide and high: 80 x 128 pixels a plane."""
import os
import re
import shutil

import app_case
import common

SMALLER = {"net.yaml": [(r"320, 512", "80, 128"), (r"20, 32", "5, 8")],
           "run.yaml": [(r"(train: .*) samples: \d+", r"\1 pool: 16, samples: 16"),
                        (r"(eval: .*) samples: \d+", r"\1 pool: 16, samples: 2")]}


class CosmicTagger(app_case.AppCase):
    app = "cosmictagger"
    small = {"batch": 4, "shards": 4}

    def setUp(self):
        super().setUp()
        self.apps = self.folder / "apps"
        shutil.copytree(app_case.APPS / self.app, self.apps / self.app)
        for name, changes in SMALLER.items():
            path = self.apps / self.app / name
            text = path.read_text()
            for old, new in changes:
                text, times = re.subn(old, new, text)
                self.assertGreater(times, 0, old)
            path.write_text(text)

    def environment(self, **more):
        root = app_case.APPS.parent
        data = [os.environ.get("SUNUP_DATA", ""), *(str(root / p) for p in ("data", "../data", "../shared/data"))]
        return super().environment(SUNUP_APPS=str(self.folder / "apps"), SUNUP_DATA=":".join(filter(None, data)), **more)

    def test_all(self):
        scores = self.check_all()
        self.assertGreater(scores["official accuracy"], 0)
        for events in ("simulated", "plain"):
            self.assertGreaterEqual(scores[f"{events} cosmic IoU"], 0)

    def test_recipe(self):
        run = self.apps / self.app / "run.yaml"
        run.write_text(run.read_text().replace("pool: 16, samples: 2}", "pool: 16, samples: 2, recipe: fancy}"))
        self.assertIn("recipe is 'fancy'", self.sunup("train", run, *self.settings(max_steps=1), status=1).stderr)


common.main()
