"""operators.py - a network of operators that few others have: the same bits for any number of ranks and threads, on
memory that is guarded, and a sentence where it cannot be cut into parts."""
import common

NET = """
model:
  input: {name: x, shape: [8, 8, 1]}
  layers:
    - conv: {out_channels: 4, kernel_size: 3, padding: same, bias: false}
    - batch_norm: {name: n}
    - random_normal:
    - scale: 0.1
    - add: [n, scale1]
    - relu:
    - max_pool: 2
    - upsample: {scale_factor: 2, mode: bilinear}
    - roll: {axis: 1, shift: 3}
    - local: {out_channels: 4, kernel_size: 3}
    - reshape: {name: points, shape: [36, 4]}
    - pairwise_distance:
    - top_k: {name: near, k: 4, largest: false}
    - gather_rows: [points, near]
    - mean: 2
    - erf:
    - flatten:
    - dropout: 0.2
    - linear: 3
"""


class Operators(common.Case):
    def weights(self, **how):
        self.write("net.yaml", NET)
        return self.train("--set", "max_steps=25", "--set", "checkpoint_steps=0", **how)["hash"]

    def test_same_bits(self):
        want = self.weights()
        for how in ({"SUNUP_THREADS": "3"}, {"SUNUP_DEVICE": "memcheck"}):
            self.assertEqual(self.weights(env=how), want, how)
        for ranks in (1, 2) if common.MPICH else (2, 4):
            self.assertEqual(self.weights(ranks=ranks), want, ranks)

    def test_parts(self):
        self.write("net.yaml", NET)
        done = self.sunup("train", "run.yaml", "--set", "parts=2", status=1)
        self.assertIn("slice 'roll1' in 2 parts: it works along the axis that is split", done.stderr)


if __name__ == "__main__":
    common.main()
