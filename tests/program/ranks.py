"""ranks.py - the same bits for any number of ranks, threads and bucket size; a rank that stops is named."""
import json
import os
import shutil
import signal
import subprocess
import time
import zlib

import common


# Winograd's tiles span the samples of a shard.
TILES = """
model:
  input: {name: x, shape: [17, 17, 1]}
  layers:
    - conv: {out_channels: 64, kernel_size: 3, padding: same}
    - relu:
    - conv: {name: wide, out_channels: 64, kernel_size: 3, padding: same}
    - relu:
    - global_avg_pool:
    - linear: {out_features: 3}
"""

TILES_RUN = """
model: net.yaml
data:
  train:
    - {name: x, random: 48, shape: [17, 17, 1]}
    - {name: label, random: 48, label: true, classes: 3}
batch: 16
shards: 4
epochs: 2
optimizer: {type: sgd, lr: 0.05, momentum: 0.9}
run_dir: %s
"""


class Ranks(common.Case):
    def test_same_bits(self):
        steps = ["--set", "epochs=100", "--set", "max_steps=200", "--set", "checkpoint_steps=0"]
        want = self.train(*steps)
        for threads in "1", "2":
            got = self.train(*steps, env={"SUNUP_THREADS": threads})
            self.assertEqual((got["hash"], got["loss"]), (want["hash"], want["loss"]), threads)
        for ranks in (1, 2) if common.MPICH else (2, 3, 4, 5, 7, 8):
            bucket = (256, 100000)[ranks % 2]
            got = self.train(*steps, "--set", f"bucket_bytes={bucket}", ranks=ranks, env={"SUNUP_THREADS": "1"})
            self.assertEqual((got["hash"], got["loss"]), (want["hash"], want["loss"]), ranks)
        got = self.train(*steps, ranks=2, env={"SUNUP_THREADS": "1", "SUNUP_MESSAGES": "1"})
        self.assertEqual((got["hash"], got["loss"]), (want["hash"], want["loss"]), "messages")

    def test_same_bits_of_tiles_across_samples(self):
        self.write("net.yaml", TILES)
        self.write("run.yaml", TILES_RUN % self.run_dir)
        winograd = {"SUNUP_ISA": "avx2"}  # with AMX other ways are chosen
        steps = self.sunup("plan", "run.yaml", env=winograd).stdout
        for kernel in "conv_winograd", "conv_data_grad_winograd", "conv_weight_grad_winograd":
            self.assertRegex(steps, rf"\b{kernel}\b")
        for isa in {}, winograd:
            for cut in [], ["--set", "shards=1", "--set", "parts=4", "--set", "split=N"]:
                want = self.train(*cut, env=isa)
                for ranks in (1, 2) if common.MPICH else (1, 2, 4):
                    got = self.train(*cut, ranks=ranks, env={"SUNUP_THREADS": "1", **isa})
                    self.assertEqual((got["hash"], got["loss"]), (want["hash"], want["loss"]), (isa, cut, ranks))

    def test_sums_of_integers(self):
        steps = ["--set", "sum=int32", "--set", "max_steps=60", "--set", "checkpoint_steps=30"]
        want, files = self.train(*steps), self.checkpoints()
        self.assertTrue(1 <= want["repeated"] <= 10)
        self.assertNotEqual(self.train("--set", "max_steps=60")["hash"], want["hash"])
        ways = [(2, {}), (2, {"SUNUP_MESSAGES": "1"})]
        if not common.MPICH:
            ways += [(3, {}), (7, {"SUNUP_MESSAGES": "1"}), (4, {"SUNUP_NODE_RANKS": "2"})]
        for ranks, env in ways:
            got = self.train(*steps, "--set", "bucket_bytes=256", ranks=ranks, env={"SUNUP_THREADS": "1", **env})
            self.assertEqual((got["hash"], got["repeated"]), (want["hash"], want["repeated"]), (ranks, env))
            self.assertTrue(self.checkpoints() == files, (ranks, env))

    def test_sums_in_bf16(self):
        steps = ["--set", "wire=bf16", "--set", "max_steps=60", "--set", "checkpoint_steps=30"]
        want, files = self.train(*steps), self.checkpoints()
        self.assertNotEqual(self.train("--set", "max_steps=60")["hash"], want["hash"])
        for ranks in (1, 2) if common.MPICH else (1, 2, 3, 4):
            for env in {}, {"SUNUP_MESSAGES": "1"}, {"SUNUP_NODE_RANKS": "2"}:
                got = self.train(*steps, "--set", "bucket_bytes=256", ranks=ranks, env={"SUNUP_THREADS": "1", **env})
                self.assertEqual((got["hash"], got["loss"]), (want["hash"], want["loss"]), (ranks, env))
                self.assertTrue(self.checkpoints() == files, (ranks, env))

    def checkpoints(self):
        return {f.name: f.read_bytes() for f in self.run_dir.glob("checkpoints/*")}

    def test_slices_change_no_bit(self):
        """Each rank updates its slices: norms over all of them, added batches, checkpoints with the same bytes."""
        self.write("net.yaml", common.NET.replace("    - dropout", "    - linear: {out_features: 200}\n    - dropout"))
        for kind, accumulate in ("adam", 1), ("rmsprop", 2), ("lars", 1), ("lamb", 2):
            options = ["--set", f"optimizer.type={kind}", "--set", "optimizer.lr=0.01", "--set", "max_steps=9",
                       "--set", "optimizer.clip_norm=0.3", "--set", f"accumulate={accumulate}"]
            if kind != "lars":
                options += ["--set", "optimizer.momentum=0"]
            want = {}
            for ranks in (0, 2) if common.MPICH else (0, 2, 3, 7):
                got = self.train(*options, ranks=ranks, env={"SUNUP_THREADS": "1"})
                files = self.checkpoints()
                self.assertTrue(files)
                want = want or {"hash": got["hash"], "files": files}
                self.assertEqual(got["hash"], want["hash"], (kind, ranks))
                self.assertTrue(files == want["files"], (kind, ranks))

    def test_weights_that_ranks_share(self):
        """Of several MB, once for those beside one memory; a checkpoint is read into them on other ranks."""
        wide = "    - linear: {out_features: 900}\n    - relu:\n" * 2
        self.write("net.yaml", common.NET.replace("    - dropout", wide + "    - dropout"))
        options = ["--set", "optimizer.type=adam", "--set", "optimizer.lr=0.001", "--set", "hash_steps=1",
                   "--set", "max_steps=6", "--set", "checkpoint_steps=2", "--set", "keep_checkpoints=9"]
        ways = [(2, {}), (2, {"SUNUP_MEMORY_RANKS": "1"})]
        if not common.MPICH:
            ways += [(3, {"SUNUP_VERIFY": "always"}), (4, {"SUNUP_NODE_RANKS": "2"}), (5, {"SUNUP_MEMORY_RANKS": "2"})]
        want = self.train(*options)
        files = self.checkpoints()
        for ranks, env in ways:
            env = {"SUNUP_THREADS": "1", **env}
            got = self.train(*options, ranks=ranks, env=env)
            self.assertEqual((got["hash"], got["loss"]), (want["hash"], want["loss"]), (ranks, env))
            self.assertTrue(self.checkpoints() == files, (ranks, env))
            for path in sorted(self.run_dir.glob("checkpoints/*"))[1:]:
                path.unlink()
            got = self.train(*options, "--resume", ranks=ranks, env=env)
            self.assertEqual(got["hash"], want["hash"], (ranks, env))

    def test_bench_of_sums(self):
        ranks = 2 if common.MPICH else 3
        done = self.sunup("bench", "comm", "4", "1000", "64K", "--seconds", "0.01", "--json", ranks=ranks)
        rows = json.loads(done.stdout)["rows"]
        self.assertEqual([(row["bytes"], row["ranks"]) for row in rows], [(n, ranks) for n in (4, 1000, 65536)])
        for row in rows:
            self.assertEqual(set(row["ways"]), {"shared", "messages", "MPI_Allreduce", "copy"})
            for way in row["ways"].values():
                self.assertTrue(0 < way["call_s"] <= way["total_s"])
        self.assertIn("shared", self.sunup("bench", "comm", "4K", "--seconds", "0.01", ranks=2).stdout)
        for operand, says in ("2", "is no size"), ("4X", "is no size"), ("", "is no collective"):
            self.assertIn(says, self.sunup("bench", "comm", operand, ranks=2, status=1).stderr)
        self.assertIn("needs ranks", self.sunup("bench", "comm", "4K", status=1).stderr)
        self.assertIn("needs sizes", self.sunup("bench", "comm", status=1).stderr)

    def test_bench_of_collectives(self):
        problems = ["broadcast:u8:3B", "allgather:f64:64KiB", "alltoall:f32:1KiB", "barrier", "allreduce:f32:1KiB"]
        (self.folder / "list.txt").write_text("# all\n" + "\n".join(problems[1:]))
        args = ["bench", "comm", problems[0], "list.txt", "--seconds", "0.01"]
        rows = json.loads(self.sunup(*args, "--json", ranks=2).stdout)["rows"]
        self.assertEqual([row["problem"] for row in rows], problems)
        self.assertEqual([row["bytes"] for row in rows], [3, 65536, 1024, 0, 1024])
        for row, mpi in zip(rows, ("Bcast", "Allgather", "Alltoall", "Barrier", "Allreduce")):
            self.assertIn(f"MPI_{mpi}", row["ways"])
            self.assertEqual(len(row["ways"]), 4)
        self.assertEqual(rows[1]["ways"]["sunup"]["algorithm"], "shared")
        self.assertEqual(rows[1]["ways"]["messages"]["algorithm"], "direct")
        shown = self.sunup(*args, ranks=2).stdout
        self.assertIn("busbw", shown)
        self.assertIn("MPI_Barrier", shown)
        for problem in ("broadcast", "broadcast:f16:4B", "broadcast:f32:6B", "allreduce:f64:8B", "barrier:u8:4B",
                        "alltoall:u8:0B", "reduce:u8:4B"):
            self.assertIn("is no collective", self.sunup("bench", "comm", problem, ranks=2, status=1).stderr, problem)
        (self.folder / "list.txt").write_text("barrier\nbarrier now and then\n")
        self.assertIn("list.txt:2", self.sunup("bench", "comm", "list.txt", ranks=2, status=1).stderr)

    def test_check_of_collectives(self):
        found = json.loads(self.sunup("check", "comm", "--json", ranks=2).stdout)
        self.assertGreater(found["checked"], 500)
        self.assertEqual(found["failed"], 0)
        self.assertIn("alltoall", self.sunup("check", "comm", ranks=2).stdout)

    def write_tuning(self, name, head, *lines):
        """A whole tuning file: the two lines of `head` and the choices."""
        text = "".join(line + "\n" for line in (*head, *lines)).encode()
        self.write(name, text + b"end %08x\n" % zlib.crc32(text))
        return str(self.folder / name)

    def test_choices(self):
        """Measured, written, followed by all ranks; no choice changes a bit, a wrong one is left out with a warning."""
        ranks = 2 if common.MPICH else 4
        place = f"ranks{ranks}:nodes1:messages"
        self.write("net.yaml", common.NET.replace("    - dropout", "    - linear: {out_features: 400}\n    - dropout"))
        messages = {"SUNUP_THREADS": "1", "SUNUP_MESSAGES": "1"}
        table = self.sunup("tune", "run.yaml", "--output", "tuned.txt", ranks=ranks, env=messages).stdout
        lines = (self.folder / "tuned.txt").read_text().split("\n")
        head, choices = lines[:2], [line for line in lines if place in line]
        for kind in ["broadcast:u8:64KiB", "allgather:u8:256B", "alltoall:u8:1MiB"] + ["barrier"]:
            self.assertEqual(len([line for line in choices if line.startswith(f"{kind}:{place} ")]), 1, choices)
            self.assertIn(f"{kind}:{place}", table)
        steps = ["--set", "max_steps=6", "--set", "checkpoint_steps=0"]
        want = self.train(*steps)["hash"]

        def follows(path, exchange, *more, says="", n=ranks):
            args = ["train", "run.yaml", "--json", *steps, *more]
            shutil.rmtree(self.run_dir, ignore_errors=True)
            done = self.sunup(*args, ranks=n, env=dict(messages, SUNUP_TUNING=path))
            got = json.loads(done.stdout)
            self.assertEqual((got["hash"], got["exchange"]), (want, exchange), path)
            self.assertEqual(done.stderr.count("tune again"), 1 if says else 0, done.stderr)
            self.assertIn(says, done.stderr)

        names = ("direct",) if ranks == 2 else ("direct", "nearest")
        for route in names:
            for bucket in "16KiB", "64KiB":
                path = self.write_tuning("forced.txt", head, f"exchange:f32:100KiB:{place} {route}:bucket{bucket}",
                                         f"barrier:{place} rounds", f"broadcast:u8:4KiB:{place} scatter")
                follows(path, f"{route}:bucket{bucket}, tuned")
        if ranks > 2:  # the fewest that have a wide route
            path = self.write_tuning("forced.txt", head, "exchange:f32:100KiB:ranks12:nodes1:messages wide:bucket64KiB")
            follows(path, "wide:bucket64KiB, tuned", n=12)
        by_integers = ("--set", "sum=int32")
        path = self.write_tuning("int32.txt", head, f"exchange:int32:100KiB:{place} {names[-1]}:bucket16KiB")
        exact = self.train(*steps, *by_integers)["hash"]
        got = self.train(*steps, *by_integers, ranks=ranks, env=dict(messages, SUNUP_TUNING=path))
        self.assertEqual((got["hash"], got["exchange"]), (exact, f"{names[-1]}:bucket16KiB, tuned"))
        done = self.sunup("tune", "run.yaml", "--output", "int32.txt", *by_integers, ranks=ranks, env=messages)
        if ranks > 2:
            self.assertIn("exchange:int32:", done.stdout)
        model = f"{names[0]}:bucket4MiB"
        path = self.write_tuning("forced.txt", head, f"exchange:f32:100KiB:{place} {names[-1]}:bucket64KiB")
        follows(path, f"{names[0]}:bucket30000B", "--set", "bucket_bytes=30000")  # who says a size gets it
        for hostile in "telepathy:bucket1MiB", "blocks:bucket1MiB", "direct:bucket900GiB":
            path = self.write_tuning("hostile.txt", head, f"exchange:f32:100KiB:{place} {hostile}")
            follows(path, model, says=f"'{hostile}' of 'exchange:f32:100KiB:{place}' is no way")
        path = self.write_tuning("hostile.txt", head, f"barrier:{place} telepathy")
        follows(path, model, says="'telepathy' of 'barrier")
        for stale in f"exchange:f32:400KiB:{place}", "exchange:f32:100KiB:ranks3:nodes1:messages", "exchange:f32::":
            follows(self.write_tuning("stale.txt", head, f"{stale} direct:bucket64KiB"), model)
        path = self.write_tuning("other.txt", ["sunup tuning 1 0.0.1", head[1]],
                                 f"exchange:f32:100KiB:{place} direct:bucket64KiB")
        follows(path, model)
        damaged = (self.folder / "forced.txt").read_bytes().replace(b"100KiB", b"101KiB")
        self.write("damaged.txt", damaged)
        follows(str(self.folder / "damaged.txt"), model, says="damaged and not used")

    def test_other_choices_on_another_rank(self):
        """What rank 0's file says holds for all ranks; with another number of buckets they would wait for ever."""
        self.write("net.yaml", common.NET.replace("    - dropout", "    - linear: {out_features: 400}\n    - dropout"))
        env = {"SUNUP_THREADS": "1", "SUNUP_MESSAGES": "1"}
        self.sunup("tune", "run.yaml", "--output", "tuned.txt", ranks=2, env=env)
        head = (self.folder / "tuned.txt").read_text().split("\n")[:2]
        place = "ranks2:nodes1:messages"
        paths = [self.write_tuning(f"{n}.txt", head, f"exchange:f32:100KiB:{place} direct:bucket{bucket}",
                                   f"barrier:{place} {meeting}", f"broadcast:u8:256B:{place} {way}")
                 for n, bucket, meeting, way in ((0, "8KiB", "rounds", "scatter"), (1, "1MiB", "direct", "binomial"))]
        want = self.train("--set", "max_steps=6")["hash"]
        for first, other in (paths, paths[::-1], (paths[0], "")):
            shutil.rmtree(self.run_dir, ignore_errors=True)
            args = self.command("train", "run.yaml", "--json", "--set", "max_steps=6", ranks=1)
            at = args.index(common.PROGRAM)
            program = args[at:]
            args[at:] = ["env", f"SUNUP_TUNING={first}", *program,
                         ":", "-n", "1", "env", f"SUNUP_TUNING={other}", *program]
            done = subprocess.run(args, cwd=self.folder, capture_output=True, text=True, timeout=120,
                                  env=self.environment(**env))
            self.assertEqual(done.returncode, 0, done.stderr)
            got = json.loads(done.stdout)
            bucket = "8KiB" if first == paths[0] else "1MiB"
            self.assertEqual((got["hash"], got["exchange"]), (want, f"direct:bucket{bucket}, tuned"))

    def test_stopped_on_four_resumed_on_three(self):
        before, after = (2, 1) if common.MPICH else (4, 3)
        want = self.train("--set", f"run_dir={self.folder}/whole")
        self.train("--set", "max_steps=95", ranks=before)
        got = self.train("--resume", ranks=after)
        self.assertEqual(got["hash"], want["hash"])

    def test_errors_are_told_once(self):
        done = self.sunup("train", "run.yaml", "--set", "shards=1", "--set", "batch=2", ranks=2, status=1)
        self.assertEqual(done.stderr.count("2 ranks cannot share 1 shards"), 1, done.stderr)
        done = self.sunup("train", "run.yaml", "--set", "optimizer.lr=1.0e+30", ranks=2, status=1)
        self.assertEqual(done.stderr.count("not finite"), 1, done.stderr)
        labels = bytearray((self.folder / "y.idx").read_bytes())
        labels[-5] = 9  # one rank meets it
        self.write("y.idx", bytes(labels))
        for accumulate in 1, 2:
            done = self.sunup("train", "run.yaml", "--set", f"accumulate={accumulate}", ranks=2, status=1)
            self.assertEqual(done.stderr.count("is 9, but there are 3 classes"), 1, done.stderr)

    def test_stopped_rank_is_named(self):
        args = self.command("train", "run.yaml", "--set", "epochs=100000", "--set", "timeout_s=2", "--quiet",
                            ranks=2 if common.MPICH else 3)
        p = subprocess.Popen(args, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=self.environment(SUNUP_THREADS="1"))
        while not list(self.run_dir.glob("checkpoints/*")):
            time.sleep(0.01)
        victim = self.processes()[1]
        os.kill(victim, signal.SIGSTOP)
        start = time.time()
        _, err = p.communicate(timeout=60)
        self.assertIn(p.returncode, common.ABORT_EXIT, err)
        self.assertLess(time.time() - start, 20)
        self.assertIn("rank 1", err)
        self.assertIn("stopped", err)

    def test_trace(self):
        """Steps, kernels and buckets of both ranks on one axis of time; buckets by messages run beside kernels."""
        self.sunup("train", "run.yaml", "--set", "max_steps=9", "--set", "bucket_bytes=64", "--trace=4-6", ranks=2,
                   env={"SUNUP_MESSAGES": "1"})
        spans = [e for e in json.loads((self.run_dir / "trace.json").read_text())["traceEvents"] if e["ph"] == "X"]
        for rank in (0, 1):
            mine = [e for e in spans if e["pid"] == rank]
            steps = [e for e in mine if e["tid"] == 0]
            self.assertEqual([e["name"] for e in steps], ["step 4", "step 5"])
            inside = [e for e in mine if e["tid"] in (1, 2, 3)]
            self.assertEqual({e["tid"] for e in inside}, {1, 2, 3})
            for e in inside:
                self.assertTrue(any(s["ts"] <= e["ts"] and e["ts"] + e["dur"] <= s["ts"] + s["dur"] + 1
                                    for s in steps), e)
            kernels = [e for e in mine if e["tid"] == 2]
            self.assertIn("conv", {e["name"] for e in kernels})
            self.assertIn("conv1", {e["args"]["layer"] for e in kernels})
        self.assertIn("FIRST-LAST", self.sunup("train", "run.yaml", "--trace=5", "--set", "run_dir=other", status=1).stderr)


common.main()
