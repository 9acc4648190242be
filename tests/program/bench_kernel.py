"""bench_kernel.py - `sunup bench kernel` and checks of single problems: what rows hold, never how fast they are."""
import csv
import json
import os

import common

# Answers as bench/pytorch_kernels.py does: softmax takes 2 ms, all else is refused.
PEER = """#!/bin/sh
echo '{"version": "9.9", "threads": 1}'
while read -r word rest; do
    case "$word $rest" in
    "problem softmax"*) echo '{"ok": true}' ;;
    problem*) echo '{"ok": false, "why": "no"}' ;;
    time*) echo '{"s": 0.002}' ;;
    esac
done
"""


class BenchKernel(common.Case):
    def bench(self, *args, **more):
        out = self.sunup("bench", "kernel", *args, "--json", "--seconds", "0.02", **more).stdout
        return json.loads(out)["rows"]

    def test_a_node_by_every_maker(self):
        row, = self.bench("conv:n2h9w9c8k16r3s3:same")
        self.assertEqual(row["problem"], "conv:n2h9w9c8k16r3s3:pad1x1:to9x9:f32")
        self.assertIn("op_run", row["ways"])
        self.assertIn(row["chosen"], row["ways"])
        for way in row["ways"].values():
            self.assertLessEqual(way["q1_s"], way["median_s"])
            self.assertLessEqual(way["median_s"], way["q3_s"])
            self.assertGreater(way["ratio"], 0)
        self.assertEqual(row["ways"][row["chosen"]]["ratio"], 1)
        self.assertGreaterEqual(row["ways"][row["chosen"]]["rounds"], 5)
        # 3 taps over 9 places meet the image 25 times an axis; the rest of 27 are padding
        self.assertEqual(row["flops"], 2 * 2 * 8 * 16 * 25 * 25)
        self.assertEqual(row["bytes"], 4 * (2 * 81 * 8 + 9 * 8 * 16 + 2 * 81 * 16))
        self.assertGreater(row["share"], 0)

    def test_a_leaf(self):
        row, = self.bench("gemm:m64n48k30")
        self.assertEqual(row["problem"], "gemm:m64n48k30")
        self.assertEqual(row["flops"], 2 * 64 * 48 * 30)
        row, = self.bench("leaf:softmax:rows3n5")
        self.assertEqual(row["problem"], "softmax:rows3n5")

    def test_a_pipe(self):
        row, back = self.bench("batch_norm:4x5x6|add|relu", "linear+grads:m4n5k3:bias|gelu")
        self.assertEqual(row["problem"], "batch_norm:4x5x6,6,6:f32|add|relu")
        self.assertEqual(row["bytes"], 4 * (3 * 120 + 2 * 6))
        self.assertEqual(row["chosen"], "plan")
        self.assertIn("op by op", row["ways"])
        self.assertEqual(back["problem"], "linear+grads:m4n5k3:bias:f32|gelu")
        values = 4 * 3 + 3 * 5 + 5  # x, w, b and their gradients; y and dy
        self.assertEqual(back["bytes"], 4 * (2 * values + 2 * 20))

    def test_cold(self):
        row, = self.bench("relu:8x9", "--cold")
        self.assertEqual(row["flops"], 72)

    def test_a_list_with_gradients_to_csv_and_html(self):
        self.write("list.txt", "# a comment\n\nfirst conv+grads:n1w9c2k3s3   # three rows\n"
                               "fc linear+grads:m5n3k4\nsoftmax+grads:4x5\n")
        self.sunup("bench", "kernel", "list.txt", "relu_grad:4x5", "--seconds", "0.02", "--csv", "out.csv", "--html",
                   "out.html")
        lines = (self.folder / "out.csv").read_text().splitlines()
        self.assertIn("sunup", lines[0])
        self.assertIn("bench kernel list.txt", lines[1])
        rows = list(csv.DictReader(lines[2:]))
        chosen = [(r["name"], r["problem"]) for r in rows if r["chosen"] == "1"]
        self.assertEqual(chosen, [
            ("first fwd", "conv:n1w9c2k3s3:f32"), ("first dx", "conv_data_grad:n1w9c2k3s3:f32"),
            ("first dw", "conv_weight_grad:n1w9c2k3s3:f32"), ("fc fwd", "linear:m5n3k4:f32"),
            ("fc dx", "matmul:m5n4k3:tb:f32"), ("fc dw", "matmul:m4n3k5:ta:f32"), ("", "softmax:4x5:f32"),
            ("", "softmax_grad:4x5,4x5:f32"), ("", "relu_grad:4x5,4x5:f32")])
        for r in rows:
            self.assertGreater(float(r["median_us"]), 0)
        html = (self.folder / "out.html").read_text()
        self.assertEqual(html.count('class="ours"'), 9)
        self.assertIn("</svg>", html)

    def test_a_peer_takes_its_turns(self):
        self.write("peer", PEER)
        os.chmod(self.folder / "peer", 0o755)
        env = {"PYTORCH_PYTHON": str(self.folder / "peer")}
        soft, relu = self.bench("softmax:4x5", "relu:4x5", env=env)
        self.assertEqual(soft["ways"]["PyTorch"]["median_s"], 0.002)
        self.assertNotIn("PyTorch", relu["ways"])

    def test_a_peer_that_dies_is_named(self):
        self.write("peer", "#!/bin/sh\necho '{\"version\": \"9.9\"}'\nread -r line\n")
        os.chmod(self.folder / "peer", 0o755)
        done = self.sunup("bench", "kernel", "softmax:4x5", status=1, env={"PYTORCH_PYTHON": str(self.folder / "peer")})
        self.assertIn("PyTorch has ended", done.stderr)

    def test_mistakes(self):
        for text, says in (("conv:n1q2", "'q2' (character 8) is not one of the letters"),
                           ("cnov:n1", "did you mean 'conv'"), ("none.txt", "none.txt"), ("relu:4x5|conv", "pointwise ops follow"),
                           ("linear+grads:n3m5k4", "sizes must be :m<rows>n<out>k<in>")):
            self.assertIn(says, self.sunup("bench", "kernel", text, status=1).stderr)
        self.write("list.txt", "relu:4x5\nname relu:4x5 more\n")
        self.assertIn("list.txt:2: 'more': a line is [NAME] PROBLEM",
                      self.sunup("bench", "kernel", "list.txt", "--seconds", "0.02", status=1).stderr)
        self.assertIn("needs a problem", self.sunup("bench", "kernel", status=1).stderr)
        self.assertIn("not 'conv'", self.sunup("bench", "conv", status=1).stderr)

    def test_check_of_one_problem(self):
        out = self.sunup("check", "conv:n2h9w9c8k16r3s3:same", "batch_norm_grad:6x5x4x11").stdout
        self.assertIn("op_run", out)
        self.assertEqual(out.count("0 failed"), 2)


common.main()
