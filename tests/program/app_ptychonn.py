"""app_ptychonn.py - the Siemens star, where its data are on this machine."""
import common
from app_case import AppCase


class PtychoNN(AppCase):
    app = "ptychonn"
    small = {"data.train": "{source: ptychonn, samples: 16}", "data.eval": "{source: ptychonn, samples: 8}", "batch": 4}
    steps = 2

    def test_all(self):
        scores = self.check_all()
        self.assertEqual(scores["test patterns"], 8)


common.main()
