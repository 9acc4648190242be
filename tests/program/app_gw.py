"""app_gw.py - gravitational waves in real strain: four steps, keys, and what is said without the data."""
import common
from app_case import AppCase


class Waves(AppCase):
    app = "gw"
    small = {"data.train": "{source: gw, samples: 256, noise: GW150914}",
             "data.eval": "{source: gw, samples: 100, noise: GW170104}", "batch": 32}

    def test_all(self):
        scores = self.check_all()
        self.assertGreater(scores["auc"], 0)
        self.assertIn("GW150914 L1", scores)

    def test_bad_keys(self):
        self.write("run.yaml", "model: net.yaml\ndata:\n  train: {source: gw, samples: 9}\n")
        for value, says in (("noise: GW1", "'GW1' must be names of events"), ("rate: 100", "rate is 100 Hz"),
                            ("merger: late", "merger is 'late'"), ("snr_min: 30", "snr_min is 30, snr_max 20")):
            done = self.sunup("train", "run.yaml", "--set", f"data.train={{source: gw, {value}}}", status=1)
            self.assertIn(says, done.stderr)


common.main()
