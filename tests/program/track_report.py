"""track_report.py - what `sunup track report` writes of a played history, read by other programs' parsers."""
import html.parser
import json
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as tree

import common

PLAY = pathlib.Path(__file__).parent / "track_history.py"
SAMPLE = re.compile(r'[a-z_]+\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\} (?:NaN|[+-]?Inf|-?[0-9.e+-]+)')


class Page(html.parser.HTMLParser):
    """Titles, names of elements, and what is fetched from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.seen, self.fetched = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        self.fetched += [v for k, v in attributes if k in ("src", "href") and not v.startswith("#")]


class Report(common.Case):
    def play(self, *args):
        subprocess.run([sys.executable, "-B", PLAY, self.folder / "track", *args], check=True)
        return json.loads((self.folder / "track/planted.json").read_text())

    def report(self, status):
        self.sunup("track", "report", "--history", "track", "--output", "out", status=status)
        names = ("index.html", "junit.xml", "metrics.txt", "badge.svg")
        return [(self.folder / "out" / name).read_text() for name in names]

    def test_a_failure_and_a_slower_model_are_in_every_report(self):
        planted = self.play("--weeks", "30", "--metrics", "60", "--steps", "2", "--failing", "2")
        hangs = {f["name"] for f in planted["failures"] if f["week"] == 29 and f["outcome"] == "hang"}
        self.assertEqual((len(hangs), len(planted["slower"])), (1, 1))
        page, junit, metrics, badge = self.report(3)
        tree.fromstring(page)  # it is XML as well
        seen = Page(page)
        self.assertEqual(seen.fetched, [])
        self.assertEqual(seen.seen.count("script"), 1)
        self.assertIn("failed and", page)
        failed = {c.get("name").split(",")[0] for c in tree.fromstring(junit).iter("testcase") if len(c)}
        self.assertLessEqual(hangs | set(planted["slower"]), failed)
        self.assertEqual(int(tree.fromstring(junit).get("failures")), junit.count("<failure "))
        lines = metrics.splitlines()
        self.assertEqual(lines[-1], "# EOF")
        samples = [line for line in lines if not line.startswith("#")]
        for line in samples:
            self.assertIsNotNone(SAMPLE.fullmatch(line), line)
        keys = [line.rsplit(" ", 1)[0] for line in samples]
        self.assertEqual(len(keys), len(set(keys)))
        self.assertIn("failed", "".join(tree.fromstring(badge).itertext()))

    def test_one_record(self):
        self.play("--weeks", "1", "--metrics", "20", "--failing", "0")
        page, junit, _, badge = self.report(0)
        tree.fromstring(page)
        self.assertIn("Nothing got worse.", page)
        self.assertEqual(tree.fromstring(junit).get("failures"), "0")
        self.assertIn("nothing got worse", badge)


if __name__ == "__main__":
    common.main()
