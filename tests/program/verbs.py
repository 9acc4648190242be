"""verbs.py - every verb does what its help says, and the run folder holds what it should."""
import html.parser
import json
import struct

import common


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class Verbs(common.Case):
    def test_help_and_version(self):
        self.assertIn("usage", self.sunup("--help").stdout)
        self.assertIn("0.1.0", self.sunup("--version").stdout)
        for verb in "train eval predict summary plan config check bench doctor".split():
            self.assertIn("usage: sunup " + verb, self.sunup(verb, "--help").stdout)

    def test_summary_plan_config(self):
        self.assertIn("conv2", self.sunup("summary", "net.yaml").stdout)
        self.assertIn("fc", self.sunup("summary", "run.yaml", "--batch", "7").stdout)
        plan = json.loads(self.sunup("plan", "run.yaml", "--ranks", "5", "--json").stdout)
        self.assertEqual(plan["shards_per_rank"], 3)
        self.assertGreater(plan["memory_bytes"], 1000)
        self.assertIn("conv", self.sunup("plan", "run.yaml").stdout)
        config = self.sunup("config", "run.yaml", "--set", "optimizer.lr=0.25").stdout
        self.assertIn("lr: 0.25", config)
        self.write("again.yaml", config)
        self.assertEqual(self.sunup("config", "again.yaml").stdout, config)

    def test_train_eval_predict(self):
        result = self.train()
        self.assertGreater(result["accuracy"], 0.9)
        newest = sorted((self.run_dir / "checkpoints").iterdir())[-1]
        by_run = json.loads(self.sunup("eval", "run.yaml", "--json").stdout)
        by_file = json.loads(self.sunup("eval", "run.yaml", "--json", "--weights", newest).stdout)
        for m in (by_run, by_file):
            self.assertEqual(m["accuracy"], result["accuracy"])
            self.assertEqual(m["loss"], result["loss"])
        self.sunup("predict", "run.yaml", "--output", "p.npy")
        self.check_predictions((self.folder / "p.npy").read_bytes(), result["accuracy"])
        self.check_records(result)

    def check_predictions(self, npy, accuracy):
        self.assertEqual(npy[:6], b"\x93NUMPY")
        (length,) = struct.unpack("<H", npy[8:10])
        self.assertIn(b"(240, 3,", npy[10:10 + length])
        logits = struct.unpack("<720f", npy[10 + length:])
        right = sum(max(range(3), key=lambda k: logits[3 * i + k]) == i % 3 for i in range(240))
        self.assertAlmostEqual(right / 240, accuracy)

    def check_records(self, result):
        rows = [json.loads(line) for line in (self.run_dir / "metrics.jsonl").read_text().splitlines()]
        evals = [r for r in rows if r.get("eval")]
        self.assertEqual(len(evals), 20)
        self.assertAlmostEqual(evals[-1]["loss"], result["loss"], places=6)
        self.assertLess(evals[-1]["loss"], evals[0]["loss"])
        page = (self.run_dir / "report.html").read_text()
        html.parser.HTMLParser().feed(page)
        for part in ("<svg", "Confusion", "Most wrong" if result["accuracy"] < 1 else "Curves", "conv1"):
            self.assertIn(part, page)
        self.assertNotIn("http", page)
        (events,) = self.run_dir.glob("events.out.tfevents.*")
        self.check_events(events.read_bytes())

    def check_events(self, data):
        records = 0
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            self.assertEqual(struct.unpack("<I", data[8:12])[0], crc32c(data[:8]))
            body = data[12:12 + length]
            self.assertEqual(struct.unpack("<I", data[12 + length:16 + length])[0], crc32c(body))
            data = data[16 + length:]
            records += 1
        self.assertGreater(records, 40)

    def test_memcheck_device_gives_the_same_bits(self):
        a = self.train("--set", "epochs=1")
        b = self.train("--set", "epochs=1", env={"SUNUP_DEVICE": "memcheck"})
        self.assertEqual(a["hash"], b["hash"])

    def test_bench_and_doctor(self):
        rows = json.loads(self.sunup("bench", "model", "run.yaml", "--json", "--steps", "5").stdout)["rows"]
        self.assertGreater(rows[0]["flops"], 1000)
        self.assertIn("cores", self.sunup("doctor").stdout)
        self.assertIn("not 'fast'", self.sunup("bench", "model", "--modes", "eager,fast", "run.yaml", status=1).stderr)

    def test_profile_finds_all_time_of_a_step(self):
        row, = json.loads(self.sunup("bench", "profile", "run.yaml", "--json", "--seconds", "0.1").stdout)["rows"]
        self.assertAlmostEqual(sum(line["seconds"] for line in row["lines"]), row["plan_s"], delta=1e-3 * row["plan_s"])
        self.assertLess(row["plan_s"], row["step_s"])
        self.assertIn("conv1", [line["layer"] for line in row["lines"]])
        self.assertIn("outside the plan", self.sunup("bench", "profile", "run.yaml", "--seconds", "0.1").stdout)

    def test_check_of_one_kernel(self):
        self.assertIn("0 failed", self.sunup("check", "gemm:m5n7k3").stdout)

    def test_every_optimizer_and_schedule_trains(self):
        for kind in "sgd adam adamw adamax adagrad rmsprop radam ranger lars lamb".split():
            rate = {"sgd": 0.05, "lars": 1.0, "ranger": 0.03}.get(kind, 0.003)
            result = self.train("--set", f"optimizer.type={kind}", "--set", f"optimizer.lr={rate}", "--set", "epochs=5")
            self.assertLess(result["loss"], 1.09, kind)
        for kind in ("constant step multistep cosine polynomial exponential one_cycle triangular triangular2 "
                     "plateau").split():
            self.train("--set", f"schedule.type={kind}", "--set", "epochs=2", "--set", "schedule.step_size=5",
                       "--set", "schedule.milestones=[5, 9]", "--set", "schedule.min_lr=0.001")


common.main()
