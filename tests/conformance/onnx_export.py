#!/usr/bin/env python3
"""onnx_export.py - networks of ours as ONNX files: the checker accepts them, and onnxruntime computes what sunup does.

    python3 tests/conformance/onnx_export.py build/sunup [NAME...]

Needs onnx, onnxruntime and numpy (development only). Each network is written with random weights, run by onnxruntime for
two batches, read back by sunup, and its outputs are compared with those of the network itself.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime

# Name: network, shape of a sample, its channels are last, integers below.
NETWORKS = {
    "pictures": ("""
model:
  input: {name: x, shape: [16, 16, 3]}
  layers:
    - conv: {name: conv1, out_channels: 8, kernel_size: 3, padding: same, bias: false}
    - batch_norm: {name: bn}
    - relu: {name: stem}
    - conv: {out_channels: 8, kernel_size: 3, padding: same, groups: 2, dilation: 2}
    - add: [stem, conv2]
    - max_pool: {kernel_size: 3, stride: 2, padding: 1}
    - group_norm: 4
    - gelu:
    - avg_pool: 2
    - dropout: 0.3
    - flatten:
    - linear: 5
    - softmax:
""", (16, 16, 3), True, 0),
    "unet": ("""
model:
  input: {name: x, shape: [8, 12, 2]}
  layers:
    - conv: {name: a, out_channels: 4, kernel_size: 3, padding: same}
    - leaky_relu: {name: ar}
    - max_pool: 2
    - conv: {out_channels: 6, kernel_size: 3, padding: same}
    - elu:
    - conv_transpose: {name: up, out_channels: 4, kernel_size: 3, stride: 2, padding: 1, output_padding: 1}
    - concat: {inputs: [up, ar]}
    - conv: {out_channels: 3, kernel_size: 1}
""", (8, 12, 2), True, 0),
    "finer": ("""
model:
  input: {name: x, shape: [5, 4, 3]}
  layers:
    - conv: {out_channels: 4, kernel_size: 3, padding: same}
    - upsample: {scale_factor: 2, mode: bilinear}
    - conv: {out_channels: 2, kernel_size: 3, padding: same}
    - upsample: 2
""", (5, 4, 3), True, 0),
    "volume": ("""
model:
  input: {name: x, shape: [6, 6, 6, 1]}
  layers:
    - conv: {out_channels: 4, kernel_size: 3, stride: 2, padding: same}
    - softplus:
    - global_avg_pool:
    - linear: 2
""", (6, 6, 6, 1), True, 0),
    "line": ("""
model:
  input: {name: x, shape: [40, 2]}
  layers:
    - conv: {out_channels: 4, kernel_size: 5, padding: 2}
    - tanh:
    - slice: {axis: 1, start: 4, length: 30}
    - pad: 1
    - permute: [0, 2, 1]
    - mean: {axes: [2]}
    - linear: 3
    - log_softmax:
""", (40, 2), True, 0),
    "words": ("""
model:
  input: {name: x, shape: [10], dtype: i32}
  layers:
    - embedding: {name: e, num_embeddings: 30, embedding_dim: 16}
    - layer_norm: {name: n}
    - linear: {name: q, out_features: 16}
    - linear: {name: k, out_features: 16, inputs: n}
    - linear: {name: v, out_features: 16, inputs: n}
    - attention: {name: att, inputs: [q, k, v], num_heads: 4, causal: true}
    - add: [att, e]
    - mean: {axes: 1}
    - linear: {out_features: 3, bias: false}
""", (10,), False, 30),
    "formulas": ("""
model:
  input: {name: x, shape: [6]}
  layers:
    - scale: {name: s, factor: 0.5, offset: 1}
    - square: {name: a}
    - exp: {name: b, inputs: s}
    - mul: [a, b]
    - sqrt: {name: c}
    - sin: {name: d}
    - div: [c, b]
    - clamp: {name: e, min: -0.25, max: 0.5}
    - sub: [e, d]
    - abs: {name: f}
    - matmul: {inputs: [f, f], transpose_a: true}
    - sum: {axes: [0], keepdim: true}
""", (6,), False, 0),
}

RUN = """
model: {name: %s}
seed: 5
loss: mse
data:
  train: [{name: x, path: x.npy%s}]
  eval: [{name: x, path: x.npy%s}]
"""


def sunup(program, folder, *arguments):
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"sunup {' '.join(arguments)}: {done.stderr}")


def check(program, name, folder):
    network, shape, last, below = NETWORKS[name]
    rng = numpy.random.default_rng(1)
    batch = 1 if name == "formulas" else 5
    x = rng.integers(0, below, (batch, *shape)).astype("i4") if below else \
        rng.standard_normal((batch, *shape)).astype("f4")
    numpy.save(folder / "x.npy", x)
    label = ", label: true" if below else ""
    (folder / "net.yaml").write_text(network)
    (folder / "run.yaml").write_text(RUN % ("net.yaml", label, label))
    sunup(program, folder, "convert", "run.yaml", "--output", "w.safetensors")
    sunup(program, folder, "convert", "run.yaml", "--output", "net.onnx")
    sunup(program, folder, "predict", "run.yaml", "--weights", "w.safetensors", "--output", "ours.npy")
    onnx.checker.check_model(str(folder / "net.onnx"), full_check=True)
    ours = numpy.load(folder / "ours.npy")
    session = onnxruntime.InferenceSession(str(folder / "net.onnx"), providers=["CPUExecutionProvider"])
    first = numpy.ascontiguousarray(numpy.moveaxis(x, -1, 1)) if last else x
    theirs = numpy.concatenate([session.run(None, {"x": part})[0] for part in (first[:2], first[2:]) if len(part)])
    if theirs.ndim > 2 and last:
        theirs = numpy.moveaxis(theirs, 1, -1)
    numpy.save(folder / "x.npy", first)
    (folder / "run2.yaml").write_text(RUN % ("net.onnx", label, label))
    sunup(program, folder, "predict", "run2.yaml", "--output", "back.npy")
    back = numpy.load(folder / "back.npy")
    back = numpy.moveaxis(back, 1, -1) if back.ndim > 2 and last else back
    apart = [float(numpy.abs(a - ours).max() / numpy.abs(ours).max()) for a in (theirs, back)]
    good = max(apart) < 1e-5
    print(f"{name:10s} onnxruntime apart by {apart[0]:.1e}, read back {apart[1]:.1e}  {'ok' if good else 'DIFFERS'}")
    return good


def main():
    program, good = str(pathlib.Path(sys.argv[1]).resolve()), True
    for name in sys.argv[2:] or list(NETWORKS):
        with tempfile.TemporaryDirectory(prefix="sunup-onnx-") as folder:
            try:
                good = check(program, name, pathlib.Path(folder)) and good
            except Exception as error: # a checker's, a runtime's or ours: the network has failed
                print(f"{name}: {error}")
                good = False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
