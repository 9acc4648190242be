"""app_ffn.py - the flood-filling workload, whose samples follow from the network's output."""
from app_case import AppCase

import common


class Ffn(AppCase):
    app = "ffn"
    small = {"data.train": "{source: ffn, samples: 64, window: 9, step: 2, threshold: 0.01, z_max: 200}",
             "data.eval": "{source: ffn, samples: 8, window: 9, step: 2, z_min: 200}",
             "model": "net.yaml", "batch": 8, "optimizer.lr": 0.01, "numerics": "exact"}

    def setUp(self):
        super().setUp()
        net = (common.pathlib.Path(__file__).resolve().parents[2] / "apps/ffn/net.yaml").read_text()
        (self.folder / "net.yaml").write_text(net.replace("17, 17, 17", "9, 9, 9").replace("channels: 16", "channels: 4"))
        self.small = {**self.small, "model": self.folder / "net.yaml"}

    def test_all(self):
        scores = self.check_all()
        self.assertGreater(scores["voxel accuracy"], 0.05)

    def test_bad_words(self):
        done = self.sunup("app", "ffn", "--task", "parrot", *self.settings(), status=1)
        self.assertIn("has no task 'parrot'", done.stderr)


common.main()
