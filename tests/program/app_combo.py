"""app_combo.py - the workload of pairs of drugs."""
import common
from app_case import AppCase


class Combo(AppCase):
    app = "combo"
    small = {"data.eval": "{source: combo, samples: 600}"}

    def test_all(self):
        scores = self.check_all()
        self.assertGreater(scores["mean square error"], 50)


common.main()
