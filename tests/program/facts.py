"""facts.py - what --json tells programs: times, counters and kernels of a training, failures as objects; planted faults."""
import json
import re

import common

SHORT = ["--set", "epochs=2", "--json"]
ONE = {"SUNUP_THREADS": "1"}


class Facts(common.Case):
    def failure(self, *args, status=1, **more):
        """The objects that a failing run prints, one a line."""
        done = self.sunup(*args, status=status, **more)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertTrue(found, done.stderr)
        self.assertIn(found[0]["error"][:40], done.stderr)
        return found

    def planted(self, fault, *args, **more):
        env = dict(ONE, SUNUP_FAULT=fault, SUNUP_TIMEOUT="2")
        return self.failure("train", "run.yaml", *SHORT, *args, env=env, **more)[0]

    def test_train(self):
        first, again = (self.train(*SHORT[:2], env=ONE) for _ in range(2))
        self.assertEqual(len(first["step_s"]), 19)
        self.assertTrue(all(0 < s < first["first_step_s"] + first["seconds"] for s in first["step_s"]))
        middle = sorted(first["step_s"])[9]
        self.assertAlmostEqual(first["samples_per_s"], 24 / middle, delta=1e-6 / middle)
        self.assertRegex(first["kernels"], "^[0-9a-f]{16}$")
        self.assertEqual(sum(first["makers"].values()), first["counters"]["plan_steps"])
        counters = first["counters"]
        self.assertEqual(counters["step_allocations"], 0)
        self.assertEqual((counters["messages"], counters["sent_bytes"]), (0, 0))
        self.assertGreater(counters["files_opened"], 6)
        self.assertGreater(counters["planned_bytes"], counters["arena_bytes"])
        for exact in counters.keys() - {"instructions"}:
            self.assertEqual(counters[exact], again["counters"][exact], exact)
        self.assertEqual((first["kernels"], first["hash"]), (again["kernels"], again["hash"]))
        other = self.train(*SHORT[:2], env=dict(ONE, SUNUP_ISA="ref"))
        self.assertNotEqual(first["kernels"], other["kernels"])
        one = self.train("--set", "max_steps=1", env=ONE)
        self.assertEqual(one["step_s"], [])
        self.assertNotIn("messages", one["counters"])

    @common.unittest.skipUnless(common.MPIEXEC, "no MPI")
    def test_messages_are_counted(self):
        by = {m: self.train(*SHORT[:2], ranks=2, env=dict(ONE, SUNUP_MESSAGES=m))["counters"] for m in "01"}
        self.assertEqual(by["0"]["messages"], 0)
        self.assertGreater(by["0"]["meetings"], 0)
        self.assertEqual(by["1"]["meetings"], 0)
        self.assertGreater(by["1"]["sent_bytes"], 4 * 500 / 2)  # half of the gradients, at least
        self.assertGreaterEqual(by["1"]["messages"], by["1"]["collectives"])

    def test_failures_are_objects(self):
        cases = {"argument": ["bench", "kernel", "conv:xx"], "file": ["train", "none.yaml"],
                 "format": ["eval", "run.yaml", "--set", "batch=x"]}
        for status, args in cases.items():
            self.assertEqual(self.failure(*args, "--json")[0]["status"], status)
        for args in (["run.yaml", "--json", "--bogus"], ["--json"], ["--json", "run.yaml", "--set"]):
            self.assertEqual(self.failure("train", *args, status=2)[0]["status"], "argument")
        self.assertEqual(self.sunup("train", "none.yaml", status=1).stdout, "")

    def test_planted_alone(self):
        self.assertEqual(self.planted("slow:conf:5")["status"], "argument")
        self.assertIn("slow:OP:PERCENT", self.planted("crash")["error"])
        nan = self.planted("nan:5")
        self.assertEqual((nan["status"], nan["rank"], nan["step"], nan["layer"]), ("nan", 0, 5, "conv1"))
        oom = self.planted("oom:3", "--set", "run_dir=oom")
        self.assertEqual((oom["status"], oom["step"]), ("oom", 3))
        done = self.sunup("train", "run.yaml", *SHORT, "--set", "run_dir=crash", status=-11, env={"SUNUP_FAULT": "crash:4"})
        self.assertEqual(done.stdout, "")
        bench = ["bench", "kernel", "relu:16", "--seconds", "0.1", "--json"]
        self.sunup(*bench, status=-11, env={"SUNUP_FAULT": "crash:0"})
        self.assertEqual(self.failure(*bench, env={"SUNUP_FAULT": "oom:2"})[0]["status"], "oom")

    def test_slow_bits_are_the_same(self):
        plain = self.train(*SHORT[:2])
        slow = self.train(*SHORT[:2], env={"SUNUP_FAULT": "slow:*:300"})
        self.assertEqual(plain["hash"], slow["hash"])

    @common.unittest.skipUnless(common.MPIEXEC and not common.MPICH, "needs Open MPI")
    def test_planted_on_ranks(self):
        nan = self.planted("nan:5:1", ranks=2)
        self.assertEqual((nan["status"], nan["rank"], nan["step"], nan["layer"]), ("nan", 1, 5, "conv1"))
        flip = self.planted("flip:3:1", "--set", "run_dir=flip", "--set", "hash_steps=5", ranks=2, status=124)
        self.assertEqual((flip["status"], flip["rank"], flip["step"], flip["layer"]), ("mismatch", 1, 4, "conv1.weight"))
        for messages in "01":
            env = dict(ONE, SUNUP_FAULT="wire:4:1", SUNUP_MESSAGES=messages)
            found = self.failure("train", "run.yaml", *SHORT, "--set", "run_dir=wire", "--set", "hash_steps=5", ranks=2,
                                 status=124, env=env)
            self.assertTrue(all((f["status"], f["step"]) == ("mismatch", 4) for f in found))
            self.assertIn("sum of gradients", [f.get("collective") for f in found])  # who saw it; others are told
            said = (r"ranks 0 and 1 add up the slice of rank 1 differently",
                    r"rank 1 received other numbers than rank 0 sent .*in the numbers of '.*conv1.weight'")
            self.assertRegex(found[0]["error"], said[int(messages)])
        hang = self.planted("hang:4:1", "--set", "run_dir=hang", ranks=2, status=124)
        self.assertEqual((hang["status"], hang["rank"], hang["step"]), ("hang", 1, 4))
        self.assertEqual(hang["collective"], "sum of gradients")
        self.assertEqual([(lost["rank"], lost["state"]) for lost in hang["lost"]], [(1, "alive")])

    def test_bench_kernel_samples(self):
        done = self.sunup("bench", "kernel", "matmul:m32n32k32", "gemm:m14n32k9", "--seconds", "0.1", "--json")
        matmul, leaf = json.loads(done.stdout)["rows"]
        way = matmul["ways"][matmul["chosen"]]
        self.assertEqual(len(way["samples_s"]), way["rounds"])
        self.assertEqual(len(matmul["canary_s"]), way["rounds"])
        self.assertEqual(sorted(way["samples_s"])[way["rounds"] // 2], way["median_s"])
        self.assertAlmostEqual(sorted(matmul["canary_s"])[way["rounds"] // 2] / matmul["bound_s"], 1, delta=1e-9)
        self.assertEqual(leaf["ways"][leaf["chosen"]]["samples_s"], [leaf["median_s"]])
        self.assertNotIn("canary_s", leaf)

    @common.unittest.skipUnless(common.MPIEXEC, "no MPI")
    def test_bench_comm_samples(self):
        done = self.sunup("bench", "comm", "1000", "--seconds", "0.1", "--json", ranks=2, env=ONE)
        row, = json.loads(done.stdout)["rows"]
        self.assertEqual((row["ranks"], row["bytes"]), (2, 1000))
        for way in row["ways"].values():
            for what in ("call", "total"):
                self.assertEqual(len(way[what + "_samples_s"]), row["rounds"])
                self.assertEqual(sorted(way[what + "_samples_s"])[row["rounds"] // 2], way[what + "_s"])

    def test_bench_model_rounds(self):
        done = self.sunup("bench", "model", "run.yaml", "--seconds", "0.2", "--json", env=ONE)
        row, = json.loads(done.stdout)["rows"]
        self.assertEqual(len(row["round_s"]), row["rounds"])
        self.assertTrue(re.match("fast|exact|bf16", row["numerics"]))


common.main()
