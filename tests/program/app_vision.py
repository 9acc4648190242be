"""app_vision.py - the Fashion-MNIST workload."""
import common
from app_case import AppCase


class Vision(AppCase):
    app = "vision"
    small = {"epochs": 1}

    def test_all(self):
        scores = self.check_all()
        self.assertGreater(scores["accuracy"], 0.05)


common.main()
