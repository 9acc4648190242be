"""app_vision.py - the Fashion-MNIST workload."""
import re

import common
from app_case import AppCase


class Vision(AppCase):
    app = "vision"
    small = {"epochs": 1}

    def test_all(self):
        scores = self.check_all()
        self.assertGreater(scores["accuracy"], 0.05)
        self.check_picture(scores["accuracy"])

    def check_picture(self, accuracy):
        """The confusion matrix: ten rows of 1,000 images, so the mean of its diagonal is the accuracy."""
        svg = (self.folder / "scored" / "confusion.svg").read_text()
        cells = re.findall(r'<rect class="cell".*fill-opacity="([0-9.]+)"', svg)
        self.assertEqual(len(cells), 100)
        self.assertAlmostEqual(sum(float(cells[11 * i]) for i in range(10)) / 10, accuracy, places=3)


common.main()
