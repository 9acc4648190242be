"""app_braggnn.py - Bragg peaks: a simulated workload."""
import common
from app_case import AppCase


class BraggNN(AppCase):
    app = "braggnn"
    small = {"data.train": "{source: braggnn, samples: 512}", "data.eval": "{source: braggnn, samples: 300}",
             "batch": 64}

    def test_all(self):
        scores = self.check_all()
        self.assertLess(scores["median"], 3)

    def test_bad_keys(self):
        self.write("run.yaml", "model: net.yaml\ndata:\n  train: {source: braggnn, samples: 9, knd: easy}\n")
        done = self.sunup("train", "run.yaml", status=1)
        self.assertIn("run.yaml:3:10: the source 'braggnn' has no key 'knd'; did you mean 'kind'?", done.stderr)
        for value, says in (("kind: soft", "kind is 'soft'"), ("samples: many", "'samples' must be a number")):
            done = self.sunup("train", "run.yaml", "--set", f"data.train={{source: braggnn, {value}}}", status=1)
            self.assertIn(says, done.stderr)


common.main()
