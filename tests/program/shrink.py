"""shrink.py - ranks that are killed while the others go on (`sunup train --shrink`), to the bits of the unbroken run.

One rank, or two in a row, at once or so close that the second dies while the others shrink, of three or four gets
SIGKILL at a random moment of a training, on one node, by messages or on pretended nodes. Then: the job ends with status 0, the last checkpoint has the bytes of the unbroken run's, and the result,
the metrics and the report are complete. Needs an MPI with ULFM (Open MPI 5); elsewhere it is said that there is none.
Moments are drawn from SUNUP_LOST_SEED; SUNUP_LOST_RUNS=20 tries 20 of each.
"""
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import common

RUNS = int(os.environ.get("SUNUP_LOST_RUNS", "3"))
SEED = int(os.environ.get("SUNUP_LOST_SEED", "1"))
TIMEOUT_S = 5
SHRINK_S = 0.03  # about what the others take to go on
LONG = ["--set", "epochs=100", "--set", "checkpoint_steps=20", "--set", "log_steps=1",
        "--set", f"timeout_s={TIMEOUT_S}"]
PLACES = [{}, {"SUNUP_MESSAGES": "1"}, {"SUNUP_NODE_RANKS": "2"}]
LAUNCH = [common.MPIEXEC, "--with-ft", "ulfm", "--map-by", ":OVERSUBSCRIBE"]
ROOT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
ULFM = not common.MPICH and common.MPIEXEC and subprocess.run([*LAUNCH, "-n", "1", "true"], env=ROOT,
                                                              capture_output=True).returncode == 0


@common.unittest.skipUnless(common.MPIEXEC, "no MPI")
class Elsewhere(common.Case):
    def test_says_that_it_cannot(self):
        done = self.sunup("train", "run.yaml", "--shrink", ranks=2, status=1)
        self.assertIn("--with-ft ulfm" if ULFM else "ULFM", done.stderr)

    def test_one_process_needs_nothing(self):
        self.train("--shrink")

    def test_not_by_srun(self):
        self.assertIn("srun", self.sunup("job", "run.yaml", "--slurm", "--shrink", status=1).stderr)


@common.unittest.skipUnless(ULFM, "this MPI has no ULFM (mpiexec --with-ft ulfm)")
class Shrink(common.Case):
    whole = None  # result, checkpoint and metrics of the unbroken run

    def unbroken(self):
        if Shrink.whole is None:
            result = self.train(*LONG, env={"SUNUP_THREADS": "1"})
            Shrink.whole = result["hash"], self.checkpoints()[-1].read_bytes(), self.rows()

    def rows(self):
        """Lines of the metrics without what depends on time."""
        rows = [json.loads(line) for line in (self.run_dir / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in row.items() if not k.endswith("_s")} for row in rows]

    def start(self, ranks, place):
        shutil.rmtree(self.run_dir, ignore_errors=True)
        with open(self.folder / "result", "w") as result, open(self.folder / "said", "w") as said:
            return subprocess.Popen([*LAUNCH, "-n", str(ranks), common.PROGRAM, "train", "run.yaml", "--shrink",
                                     "--json", *LONG], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=result,
                                    stderr=said, env=self.environment(SUNUP_THREADS="1", **place))

    def said(self):
        return (self.folder / "said").read_text(errors="replace")

    def losses(self):
        return self.said().count("ranks go on")

    def strike(self, p, rng, losses, at_once=1, apart_s=0):
        """Kill random ranks that train, after so many losses, at most apart_s one after the other; true if the others
        have gone on."""
        while p.poll() is None and (not self.checkpoints() or self.losses() < losses):
            time.sleep(0.002)
        time.sleep(rng.random() * 0.6)
        alive = sorted(self.processes().items())
        if p.poll() is not None or len(alive) < at_once:
            return False
        start = time.time()
        try:
            for i, (_, pid) in enumerate(rng.sample(alive, at_once)):
                time.sleep(rng.random() * apart_s if i > 0 else 0)
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        while p.poll() is None and self.losses() == losses:
            time.sleep(0.002)
        self.slowest_s = max(self.slowest_s, time.time() - start)
        return self.losses() > losses

    def end(self, p, limit_s=60):
        try:
            return p.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            left = self.processes()
            for pid in [*left.values(), p.pid]:
                os.kill(pid, signal.SIGKILL)
            p.wait()
            self.fail(f"still there: {left}\n{self.said()}")

    def one(self, rng, losses, at_once, apart_s):
        ranks, place = rng.choice([3, 4]), rng.choice(PLACES)
        with self.subTest(ranks=ranks, place=place):
            p = self.start(ranks, place)
            went_on = sum(self.strike(p, rng, n, at_once, apart_s) for n in range(losses))
            self.assertEqual(self.end(p), 0, self.said())
            self.check_results()
            return f"{went_on} times went on, to the same bits"
        return "FAILED"

    def check_results(self):
        weights, checkpoint, rows = self.whole
        self.assertEqual(json.loads((self.folder / "result").read_text())["hash"], weights, self.said())
        self.assertEqual(self.checkpoints()[-1].read_bytes(), checkpoint)
        self.assertEqual(self.rows(), rows)
        self.assertTrue((self.run_dir / "report.html").exists())

    def all(self, losses, at_once=1, apart_s=0):
        rng = random.Random(SEED)
        self.slowest_s = 0
        self.unbroken()
        outcomes = collections.Counter(self.one(rng, losses, at_once, apart_s) for _ in range(RUNS))
        for outcome, n in outcomes.most_common():
            print(f"{losses} in a row, {at_once} within {apart_s} s: {n:4}  {outcome}", file=sys.stderr)
        print(f"slowest to go on {self.slowest_s:.2f} s after the signal", file=sys.stderr)

    def test_one_loss(self):
        self.all(1)

    def test_two_losses(self):
        self.all(2)

    def test_two_at_once(self):
        self.all(1, 2)

    def test_second_within_the_shrink(self):
        self.all(1, 2, SHRINK_S)

    def test_stopped_is_not_dead(self):
        p = self.start(3, {})
        while not self.checkpoints() or len(self.processes()) < 3:
            time.sleep(0.01)
        os.kill(self.processes()[1], signal.SIGSTOP)
        self.assertEqual(self.end(p), 124)
        self.assertRegex(self.said(), "absent: rank 1 .*stopped")


common.main()
