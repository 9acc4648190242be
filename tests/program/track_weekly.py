"""track_weekly.py - the whole weekly job, small, twice into a fresh history; between the two a slower kernel, a crash, a
hang and a NaN are planted, and exactly these are found. Then the report of a history of five years, in time and memory.

The program of the second week is a script that plants and becomes the real one, so that only the candidate has the
faults. Without mpiexec the hang is left out.
"""
import json
import pathlib
import re
import resource
import subprocess
import sys
import time

import common

KERNELS = "conv : kernel conv:n1h6w6c8k8r3s3:same --seconds 0.03\nsoft : kernel softmax:8x64 --seconds 0.03\n"
MODELS = """
sound  : train ./run.yaml --set epochs=1
broken : train ./run.yaml --set epochs=1 --set seed=2
sick   : train ./run.yaml --set epochs=1 --set seed=3
"""
STUCK = "stuck ranks=2 timeout=30 SUNUP_TIMEOUT=1 : train ./run.yaml --set epochs=1 --set seed=4\n"
PLANTS = """#!/bin/sh
case "$*" in
*seed=2*) export SUNUP_FAULT=crash:2 ;;
*seed=3*) export SUNUP_FAULT=nan:1 ;;
*seed=4*) export SUNUP_FAULT=hang:2:1 ;;
*conv:*) export SUNUP_FAULT=slow:conv:60 ;;
esac
exec "%s" "$@"
"""


class Weekly(common.Case):
    def setUp(self):
        super().setUp()
        self.suites = self.folder / "bench" / "suites"
        self.suites.mkdir(parents=True)
        for name in ("run.yaml", "net.yaml", "x.idx", "y.idx"):
            (self.folder / name).rename(self.suites / name)
        run = (self.suites / "run.yaml").read_text()
        (self.suites / "run.yaml").write_text("\n".join(line for line in run.split("\n") if not line.startswith(
            ("run_dir", "checkpoint_steps"))))
        self.with_ranks = bool(common.MPIEXEC) and not common.MPICH
        (self.suites / "kernels.txt").write_text(KERNELS)
        (self.suites / "models.txt").write_text(MODELS + (STUCK if self.with_ranks else ""))

    def program(self, name, text):
        self.write(name, text)
        (self.folder / name).chmod(0o755)
        return self.folder / name

    def week(self, program, status):
        done = subprocess.run(
            self.command("track", "weekly", "--json", "--suites", self.suites, "--history", "history", "--candidate",
                         program, "--pairs", "12", "--seconds", "0.03"), cwd=self.folder, capture_output=True, text=True,
            timeout=300, env=self.environment(SUNUP_MPIEXEC=f"{common.MPIEXEC} --oversubscribe --mca btl self,vader"))
        self.assertEqual(done.returncode, status, f"{done.stdout}\n{done.stderr}")
        return json.loads(done.stdout[done.stdout.index("{"):])

    def test_two_weeks(self):
        first = self.week(self.program("good", f'#!/bin/sh\nexec "{common.PROGRAM}" "$@"\n'), 0)
        self.assertEqual((first["runs"], first["worse"]), (1, 0), first)
        self.assertTrue((self.folder / "history/baseline/sunup").exists())
        second = self.week(self.program("bad", PLANTS % common.PROGRAM), 3)
        worse = {(f["gate"], f["name"]): f["text"] for f in second["findings"] if f["new"] and f["worse"]}
        planted = {("pairs", "conv"), ("outcome", "broken"), ("outcome", "sick")}
        planted |= {("outcome", "stuck")} if self.with_ranks else set()
        self.assertEqual(set(worse), planted, second)
        self.assertIn("grew by", worse["pairs", "conv"])
        self.assertIn("conv:n1h6w6c8k8r3s3", worse["pairs", "conv"])
        self.assertIn("crash, signal 11", worse["outcome", "broken"])
        self.assertIn("nan, rank 0, step 1, layer conv1", worse["outcome", "sick"])
        if self.with_ranks:
            self.assertRegex(worse["outcome", "stuck"], "hang, rank 1, step 2.*gradients")
        self.check_report(planted)

    def check_report(self, planted):
        report = self.folder / "history/report"
        page = (report / "index.html").read_text()
        for _, name in planted:
            self.assertIn(name, page)
        failed = re.findall(r'<testcase[^>]*name="([^"]*)"[^>]*>\s*<failure', (report / "junit.xml").read_text())
        for _, name in planted:
            self.assertTrue(any(name in one for one in failed), f"{name}: {failed}")
        self.assertTrue((report / "metrics.txt").read_text().endswith("# EOF\n"))
        self.assertIn("<svg", (report / "badge.svg").read_text())

    def test_five_years(self):
        """1,000 cases a week. The limits are those of the documentation, twice the time for a machine that is busy."""
        history, report = self.folder / "years", self.folder / "report"
        make = pathlib.Path(__file__).with_name("track_history.py")
        subprocess.run([sys.executable, "-B", str(make), str(history), "--weeks", "260", "--metrics", "1000", "--repeats",
                        "5"], check=True, stdout=subprocess.DEVNULL, timeout=200)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        started = time.monotonic()
        done = subprocess.run([common.PROGRAM, "track", "report", "--history", str(history), "--output", str(report)],
                              capture_output=True, text=True, timeout=200, env=self.environment())
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertIn(done.returncode, (0, 3), done.stderr)
        print(f"260 weeks of 1,000 cases: {time.monotonic() - started:.1f} s, of them {used.ru_utime - before:.1f} of the "
              f"processor, at most {used.ru_maxrss / 1024:.0f} MB (of any child)", file=sys.stderr)
        self.assertLess(used.ru_utime - before, 20)
        self.assertLess(used.ru_maxrss / 1024, 500)
        self.assertLess((report / "index.html").stat().st_size, 8e6)


if __name__ == "__main__":
    common.main()
