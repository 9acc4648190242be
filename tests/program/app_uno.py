"""app_uno.py - the drug response workload."""
import common
from app_case import APPS, AppCase


class Uno(AppCase):
    app = "uno"
    small = {"data.train": "{source: uno, samples: 3000}", "data.eval": "{source: uno, samples: 600}"}

    def test_all(self):
        scores = self.check_all()
        self.assertGreater(scores["rms error: new pairs"], 0.5)
        self.assertGreater(scores["rms error: unseen lines"], 0.5)

    def test_unknown_table(self):
        done = self.sunup("train", APPS / "uno/run.yaml", "--set", "data.train={source: uno, table: gdsc3}", status=1)
        self.assertIn("table is 'gdsc3'; there are gdsc2, gdsc1, both", done.stderr)


common.main()
