"""app_phi4.py - the lattice workload: a network built in C, with a loss of its own and no target."""
import common
from app_case import APPS, AppCase


class Phi4(AppCase):
    app = "phi4"
    small = {"data.train": "{source: phi4, samples: 64, lattice: 8}",
             "data.eval": "{source: phi4, samples: 512, lattice: 8}", "batch": 32, "epochs": 2}

    def test_all(self):
        scores = self.check_all()
        self.assertGreater(scores["loss"], -9.3)  # -log Z is the least there is
        self.assertTrue((self.folder / "scored" / "training.svg").exists())

    def test_bad_shapes(self):
        run = APPS / self.app / "run.yaml"
        for setting, words in (("model.input=[8, 6, 1]", "even L"),
                               ("data.train={source: phi4, samples: 64, lattice: 2}", "lattice is 2"),
                               ("data.train={source: phi4}", "how many samples"),
                               ("data.train={source: phi4, samples: 64, latice: 8}", "latice"),
                               ("data.train={source: phi4, samples: 128, lattice: 16}", "input 'z'")):
            done = self.sunup("train", run, *self.settings(max_steps=1), "--set", setting, status=1)
            self.assertIn(words, done.stderr)


common.main()
