"""track_run.py - `sunup track run`: suites, what is found of planted faults, and what launchers and schedulers say.

A stand-in for mpiexec plays the launchers and schedulers: it prints what they print, or starts the program as one process.
Faults on real ranks need mpiexec and are left out without it.
"""
import subprocess

import common

TRAIN = "train ./run.yaml --set epochs=2"
FAULTS = """
one                                        : %(train)s
two     ranks=2 same_as=one SUNUP_THREADS=1 : %(train)s
nan     SUNUP_FAULT=nan:4                  : %(train)s
oom     SUNUP_FAULT=oom:2                  : %(train)s
crash   ranks=2 SUNUP_FAULT=crash:2:1      : %(train)s
hang    ranks=2 timeout=30 SUNUP_TIMEOUT=1 SUNUP_FAULT=hang:3:1 : %(train)s
flip    ranks=2 SUNUP_FAULT=flip:3:1       : %(train)s --set hash_steps=1
""" % {"train": TRAIN}

# What is printed on standard error (or output, where Hydra does so), the exit status, and what it comes to.
SAID = {
    "slurm_time": ("slurmstepd: error: *** STEP 7.0 ON n1 CANCELLED AT 2026-11-28T20:00:00 DUE TO TIME LIMIT ***", 143,
                   "walltime"),
    "slurm_oom": ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some of the step tasks have been OOM "
                  "Killed.\\nsrun: error: n1: task 1: Out Of Memory", 137, "oom"),
    "slurm_node": ("slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-11-28T20:00:00 DUE TO NODE FAILURE, SEE "
                   "SLURMCTLD LOG FOR DETAILS ***", 1, "infrastructure"),
    "pbs_time": ("=>> PBS: job killed: walltime 3610 exceeded limit 3600", 271 % 256, "walltime"),
    "pbs_oom": ("7.pbs Killed Cgroup mem limit exceeded", 137, "oom"),
    "ompi_daemon": ("ORTE has lost communication with a remote daemon.\\n\\n  HNP daemon   : [[1,0],0] on node n1", 1,
                    "infrastructure"),
    "hydra_start": ("[proxy:0:0@n1] HYDU_create_process (utils/launch/launch.c:73): execvp error on file x (No such file)",
                    255, "infrastructure"),
    "hydra_signal": ("out:YOUR APPLICATION TERMINATED WITH THE EXIT STRING: Segmentation fault (signal 11)", 11, "crash"),
    "ompi_signal": ("mpiexec noticed that process rank 3 with PID 0 on node n1 exited on signal 6 (Aborted).", 134, "crash"),
    "pals_signal": ("n1.cm: rank 2 died from signal 15\\nn2.cm: rank 5 died from signal 11 and dumped core", 139, "crash"),
    "pals_node": ("ping failed on x4616c0s4b0n0: Application 047a3c9f not found", 1, "infrastructure"),
    "lost": ("", 124, "hang"),
    "killed": ("", 137, "crash"),
    "silent": ("", 3, "crash"),
    "quick": ("", 0, "crash"),
    "words": ("sunup: run.yaml:3: no such key\\nmpiexec: a rank has ended", 1, "crash"),
}
STAND_IN = """#!/bin/sh
case "$*" in
%s
*FAKE=flaky*) [ -e flaky ] || { : >flaky; echo "sunup: told to fail" >&2; exit 1; } ;;
*FAKE=other*) shift 2; exec "$@" --set seed=9 ;;
esac
shift 2
exec "$@"
"""


def stand_in():
    lines = []
    for name, (text, status, _) in SAID.items():
        to, text = (1, text[4:]) if text.startswith("out:") else (2, text)
        lines.append(f"*FAKE={name}\\ *) printf '{text}\\n' >&{to}; exit {status} ;;")
    return STAND_IN % "\n".join(lines)


class Run(common.Case):
    def setUp(self):
        super().setUp()
        (self.folder / "bench" / "suites").mkdir(parents=True)
        for name in ("run.yaml", "net.yaml", "x.idx", "y.idx"):
            (self.folder / name).rename(self.folder / "bench" / "suites" / name)
        run = (self.folder / "bench/suites/run.yaml").read_text()
        for line in ("run_dir", "checkpoint_steps"):
            run = "\n".join(one for one in run.split("\n") if not one.startswith(line))
        self.write("bench/suites/run.yaml", run)

    def track(self, suite, text, *args, part="run", **env):
        """Runs a suite; its rows and facts by what they are called, and what was printed."""
        self.write(f"bench/suites/{suite}.txt", text)
        history = self.folder / f"history-{suite}"
        done = subprocess.run(self.command("track", part, *args, "--suites", f"bench/suites/{suite}.txt", "--history",
                                           history), cwd=self.folder, capture_output=True, text=True, timeout=120,
                              env=self.environment(**env))
        rows, facts = {}, {}
        for path in history.glob("*.jsonl"):
            for line in path.read_text().splitlines():
                row = common.json.loads(line)
                facts = row.get("facts", facts)
                if "name" in row:
                    rows[row["name"], row.get("engine", "sunup"), row["quantity"]] = row
        return rows, facts, done

    def outcome(self, rows, name):
        row = rows[name, "sunup", "outcome"]
        return row["outcome"], row.get("rank", -1), row.get("step", -1), row.get("layer", "")

    def test_faults(self):
        if not common.MPIEXEC or common.MPICH:
            self.skipTest("the statuses are those of Open MPI")
        rows, facts, done = self.track("faults", FAULTS,
                                       SUNUP_MPIEXEC=f"{common.MPIEXEC} --oversubscribe --mca btl self,vader")
        shown = done.stdout + done.stderr
        self.assertEqual(self.outcome(rows, "one")[0], "ok", shown)
        self.assertEqual(self.outcome(rows, "two")[0], "ok", shown)
        self.assertEqual(rows["one", "sunup", "weights"]["word"], rows["two", "sunup", "weights"]["word"])
        self.assertEqual(self.outcome(rows, "nan"), ("nan", 0, 4, "conv1"), shown)
        self.assertEqual(self.outcome(rows, "oom")[0::2], ("oom", 2), shown)
        self.assertEqual(self.outcome(rows, "crash")[:2], ("crash", 1), shown)
        self.assertEqual(rows["crash", "sunup", "outcome"]["signal"], 11)
        self.assertEqual(self.outcome(rows, "hang")[:3], ("hang", 1, 3), shown)
        self.assertIn("gradients", rows["hang", "sunup", "outcome"]["collective"])
        self.assertEqual(self.outcome(rows, "flip"), ("mismatch", 1, 3, "conv1.weight"), shown)
        self.assertEqual([rows["nan", "sunup", "outcome"].get(k) for k in ("tries", "failures")], [2, 2])
        one = [key[2] for key in rows if key[0] == "one"]
        for quantity in ("time", "first step", "loss", "accuracy", "rate", "peak memory", "planned_bytes", "flops",
                         "collectives", "files_opened", "step_allocations", "weights", "kernels", "makers"):
            self.assertIn(quantity, one)
        self.assertEqual(len(rows["one", "sunup", "time"]["values"]), 19)
        self.assertEqual(rows["one", "sunup", "step_allocations"]["count"], 0)
        for key in ("machine", "cpu", "host", "kernel", "version", "compiler", "flags", "isa", "threads", "numerics"):
            self.assertTrue(facts[key], key)
        self.assertIn("SUNUP_MPIEXEC", facts)

    def test_launchers(self):
        suite = f"base : {TRAIN}\n"
        suite += "".join(f"{name} ranks=2 FAKE={name} : {TRAIN}\n" for name in SAID)
        suite += f"flaky ranks=2 FAKE=flaky : {TRAIN}\n"
        suite += f"other ranks=2 FAKE=other same_as=base : {TRAIN}\n"
        self.write("launch", stand_in())
        (self.folder / "launch").chmod(0o755)
        rows, _, done = self.track("launchers", suite, SUNUP_MPIEXEC=str(self.folder / "launch"))
        shown = done.stdout + done.stderr
        for name, (_, _, outcome) in SAID.items():
            self.assertEqual(self.outcome(rows, name)[0], outcome, f"{name}\n{shown}")
        of = lambda name: rows[name, "sunup", "outcome"]
        self.assertEqual((of("hydra_signal")["signal"], of("ompi_signal")["signal"], of("ompi_signal")["rank"]), (11, 6, 3))
        self.assertEqual((of("pals_signal")["signal"], of("pals_signal")["rank"]), (11, 5))
        self.assertEqual(of("killed")["signal"], 9)
        self.assertEqual(of("words")["message"], "run.yaml:3: no such key")
        self.assertEqual(of("flaky")["outcome"], "flaky", shown)
        self.assertEqual((of("flaky")["tries"], of("flaky")["failures"]), (2, 1))
        self.assertIn("told to fail", of("flaky")["message"])
        self.assertIn(("flaky", "sunup", "weights"), rows)
        self.assertEqual(of("other")["outcome"], "mismatch", shown)
        self.assertIn(rows["base", "sunup", "weights"]["word"], of("other")["message"])

    def test_kernels_and_limit(self):
        rows, _, done = self.track("kernels", "gemm : kernel linear+grads:m16n16k16 --seconds 0.05\n"
                                              "slow timeout=0.3 : kernel matmul:m512n512k512 --seconds 9\n")
        times = rows["gemm dx", "sunup", "time"]
        self.assertGreaterEqual(len(times["values"]), 5)
        self.assertEqual(len(times["canary"]), len(times["values"]))
        self.assertEqual(times["flops"], 2 * 16 ** 3)
        self.assertIn("linear", rows["gemm fwd", "sunup", "maker"]["word"])
        self.assertEqual(self.outcome(rows, "slow")[0], "hang", done.stdout)
        self.assertIn("0.3 s", rows["slow", "sunup", "outcome"]["message"])

    def test_programs_of_others(self):
        osu = "# OSU MPI Allreduce Latency Test v7.2\\n# Size       Avg Latency(us)\\n4                       1.61\\n"
        self.write("osu_allreduce", f"#!/bin/sh\nprintf '{osu}'\n")
        self.write("nonsense", "#!/bin/sh\necho nothing to see\n")
        for name in ("osu_allreduce", "nonsense"):
            (self.folder / name).rename(self.folder / "bench/suites" / name)
            (self.folder / "bench/suites" / name).chmod(0o755)
        rows, _, done = self.track("others", "osu : exec ./osu_allreduce\nbad : exec ./nonsense\n"
                                             "gone : exec no-such-benchmark\n")
        row, = (r for (name, engine, quantity), r in rows.items() if quantity == "time")
        self.assertEqual((row["suite"], row["source"]), ("others", "vendor"))
        self.assertAlmostEqual(row["values"][0], 1.61e-6)
        self.assertEqual(self.outcome(rows, "osu")[0], "ok", done.stdout)
        self.assertEqual(self.outcome(rows, "bad")[0], "crash", done.stdout)
        self.assertIn("'gone' is left out: there is no program no-such-benchmark", done.stderr)

    def test_bands(self):
        suite = f"near seeds=5 : {TRAIN}\nfar seeds=5 : {TRAIN}\n"
        _, _, done = self.track("bands", suite, "near", part="band")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = (self.folder / "bench/bands/near.csv").read_text().splitlines()
        self.assertEqual(len([line for line in lines if line[0].isdigit()]), 5)
        self.write("bench/bands/far.csv", "seed,loss\n" + "".join(f"{i},{7 + i / 10}\n" for i in range(1, 6)))
        rows, _, done = self.track("bands", suite)
        self.assertEqual(self.outcome(rows, "near")[0], "ok", done.stdout)
        self.assertEqual(self.outcome(rows, "far")[0], "diverged", done.stdout)

    def test_bad_suites(self):
        for text, said in (("a : trian x", "bad.txt:1: a case is kernel, comm, train, app or exec, not 'trian'; did you mean"),
                           ("\na rank=2 : train x", "bad.txt:2: a case has no key 'rank'; did you mean 'ranks'?"),
                           ("a ranks=0 : train x", "ranks is '0'"), ("a : train", "bad.txt:1: train of what?"),
                           ("a: train x", "NAME [KEY=VALUE ...] : KIND WORDS"), ("a : app x\na : app y", "another case 'a'"),
                           ("a same_as=b : app x\nb : app x", "no case above it"), ("# nothing", "holds no case")):
            _, _, done = self.track("bad", text)
            self.assertEqual(done.returncode, 1, text)
            self.assertIn(said, done.stderr)
        _, _, done = self.track("bad", "lenet : train x\n", "lennet")
        self.assertIn("there is no suite or case 'lennet'; did you mean 'lenet'?", done.stderr)


if __name__ == "__main__":
    common.main()
