"""onnx_cases.py - some operators as files made here, with results worked out by hand: a short part of what onnx_nodes.py
checks with the package onnx. SUNUP_ONNX_NODES is the program onnx_nodes."""
import os
import pathlib
import subprocess
import tempfile
import unittest

import onnx_file as o
from onnx_file import floats, node, value, wholes

X23 = floats("x", [2, 3], [1, -2, 3, -4, 5, -6])
COUNT = [float(i) for i in range(16)]

# Name: nodes, inputs (tensors), initializers, outputs (tensors), opset.
CASES = {
    "relu": ([node("Relu", ["x"], ["y"])], [X23], [], [floats("y", [2, 3], [1, 0, 3, 0, 5, 0])]),
    "gemm": ([node("Gemm", ["x", "w", "b"], ["y"], transB=1, alpha=2.0)], [X23],
             [floats("w", [2, 3], [1, 0, 0, 0, 1, 1]), floats("b", [2], [10, 20])],
             [floats("y", [2, 2], [12, 22, 2, 18])]),
    "add_below": ([node("Add", ["x", "b"], ["y"])], [X23], [floats("b", [2, 1], [10, 20])],
                  [floats("y", [2, 3], [11, 8, 13, 16, 25, 14])]),
    "conv": ([node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 0, 0], kernel_shape=[2, 2])],
             [floats("x", [1, 2, 2, 2], COUNT[:8])],
             [floats("w", [1, 2, 2, 2], [1, 2, 3, 4, 1, 0, 0, 0]), floats("b", [1], [0.5])],
             # taps above and left of the picture are zeros
             [floats("y", [1, 1, 2, 2], [0.5, 4.5, 8.5, 24.5])]),
    "conv_then_flatten": ([node("Conv", ["x", "w"], ["c"], kernel_shape=[1, 1]), node("Flatten", ["c"], ["y"])],
                          [floats("x", [1, 1, 1, 3], [1, 2, 3])], [floats("w", [2, 1, 1, 1], [1, 10])],
                          [floats("y", [1, 6], [1, 2, 3, 10, 20, 30])]),
    "transpose_twice": ([node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
                         node("MaxPool", ["t"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
                         node("Transpose", ["p"], ["y"], perm=[0, 2, 3, 1])],
                        [floats("x", [1, 2, 4, 2], COUNT)], [], [floats("y", [1, 1, 2, 2], [10, 11, 14, 15])]),
    "batch_norm": ([node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=0.0)],
                   [floats("x", [1, 2, 2], [1, 2, 3, 4])],
                   [floats("s", [2], [2, 3]), floats("b", [2], [0, 1]), floats("m", [2], [1, 3]),
                    floats("v", [2], [4, 1])], [floats("y", [1, 2, 2], [0, 1, 1, 4])]),
    "shape_arithmetic": ([node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"]),
                          node("Concat", ["n", "minus"], ["t"], axis=0), node("Reshape", ["x", "t"], ["y"])],
                         [floats("x", [2, 2, 2], COUNT[:8])], [wholes("zero", [0]), wholes("minus", [-1])],
                         [floats("y", [2, 4], COUNT[:8])]),
    "slice_backwards": ([node("Slice", ["x", "from", "to", "axes", "steps"], ["y"])], [floats("x", [4], COUNT[:4])],
                        [wholes("from", [3]), wholes("to", [-100]), wholes("axes", [0]), wholes("steps", [-2])],
                        [floats("y", [2], [3, 1])]),
    "where_less": ([node("Less", ["x", "zero"], ["c"]), node("Where", ["c", "zero", "x"], ["y"])], [X23],
                   [floats("zero", [1], [0])], [floats("y", [2, 3], [1, 0, 3, 0, 5, 0])]),
    "integers_divide": ([node("Div", ["x", "two"], ["y"])], [wholes("x", [7, -7, 4])], [wholes("two", [2])],
                        [wholes("y", [3, -3, 2])]),
    "gather": ([node("Gather", ["table", "x"], ["y"])], [wholes("x", [2, 0])],
               [floats("table", [3, 2], [1, 2, 3, 4, 5, 6])], [floats("y", [2, 2], [5, 6, 1, 2])]),
    "reduce_channels": ([node("Conv", ["x", "w"], ["c"], kernel_shape=[1, 1]),
                         node("ReduceSum", ["c", "axes"], ["y"], keepdims=0)],
                        [floats("x", [1, 1, 2, 2], [1, 2, 3, 4])],
                        [floats("w", [2, 1, 1, 1], [1, 1]), wholes("axes", [1])],
                        [floats("y", [1, 2, 2], [2, 4, 6, 8])]),
    "pad_edge": ([node("Pad", ["x", "pads"], ["y"], mode="edge")], [floats("x", [3], [1, 2, 3])],
                 [wholes("pads", [1, 2])], [floats("y", [6], [1, 1, 2, 3, 3, 3])]),
    "resize": ([node("Resize", ["x", "", "scales"], ["y"], mode="linear")], [floats("x", [1, 1, 2], [0, 4])],
               [floats("scales", [3], [1, 1, 2])], [floats("y", [1, 1, 4], [0, 1, 3, 4])]),
    "softmax_before_13": ([node("Softmax", ["x"], ["y"], axis=1)], [floats("x", [1, 2, 2], [0, 0, 0, 0])], [],
                          [floats("y", [1, 2, 2], [0.25] * 4)], 12),
}


def declared(tensor):
    """The declaration of a tensor made by onnx_file: its name, shape and type stand in its first fields."""
    at, dims = 0, []
    while tensor[at] == 8: # dims, below 128
        dims.append(tensor[at + 1])
        at += 2
    kind, length = tensor[at + 1], tensor[at + 3]
    return value(tensor[at + 4:at + 4 + length].decode(), dims, kind)


class Operators(unittest.TestCase):
    def test_all(self):
        with tempfile.TemporaryDirectory(prefix="sunup-onnx-") as top:
            lines = []
            for name, case in CASES.items():
                nodes, inputs, constants, outputs, *opset = case
                folder = pathlib.Path(top) / name
                folder.mkdir()
                file = o.model(nodes, map(declared, inputs), map(declared, outputs), constants, *opset)
                (folder / "model.onnx").write_bytes(file)
                for kind, tensors in (("input", inputs), ("output", outputs)):
                    for i, t in enumerate(tensors):
                        (folder / f"{kind}_{i}.pb").write_bytes(t)
                lines.append(f"{folder} 1e-6 1e-6\n")
            done = subprocess.run([os.environ["SUNUP_ONNX_NODES"]], input="".join(lines), capture_output=True, text=True,
                                  check=False, timeout=120)
        said = done.stdout.splitlines()
        self.assertEqual(len(said), len(CASES), done.stdout + done.stderr)
        for line in said:
            self.assertTrue(line.startswith("pass"), line)


if __name__ == "__main__":
    unittest.main(verbosity=2)
