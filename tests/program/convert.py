"""convert.py - networks as ONNX files and weights between files: `sunup convert`, and ONNX in every verb."""
import json
import pathlib
import struct
import sys
import unittest
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
import common  # noqa: E402
import onnx_file as o  # noqa: E402


def net(batch="N", ratio=0.25):
    """Convolution, batch norm, dropout, linear; the last shape holds the batch."""
    wave = [((7 * i) % 13 - 6) / 20 for i in range(400)]
    nodes = [o.node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
             o.node("BatchNormalization", ["c", "bn.weight", "bn.bias", "bn.mean", "bn.var"], ["n"]),
             o.node("Relu", ["n"], ["r"]), o.node("MaxPool", ["r"], ["p"], kernel_shape=[4, 4], strides=[4, 4]),
             o.node("Dropout", ["p", "ratio"], ["d"]), o.node("Reshape", ["d", "flat"], ["f"]),
             o.node("Gemm", ["f", "fc.weight", "fc.bias"], ["scores"], transB=1)]
    first = batch if isinstance(batch, int) else -1
    weights = [o.floats("conv.weight", [4, 1, 3, 3], wave[:36]), o.floats("conv.bias", [4], wave[:4]),
               o.floats("bn.weight", [4], [1, 2, 1, 0.5]), o.floats("bn.bias", [4], wave[:4]),
               o.floats("bn.mean", [4], wave[:4]), o.floats("bn.var", [4], [1, 1, 2, 1]),
               o.floats("fc.weight", [3, 16], wave[:48]), o.floats("fc.bias", [3], wave[:3]),
               o.tensor("ratio", o.FLOAT, [], [ratio]), o.wholes("flat", [first, 16])]
    return o.model(nodes, [o.value("x", [batch, 1, 8, 8])], [o.value("scores", [batch, 3])], weights)


def tensors(path):
    """Names and shapes of a safetensors file."""
    data = path.read_bytes()
    head = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
    return {name: entry["shape"] for name, entry in head.items() if name != "__metadata__"}


class Convert(common.Case):
    def setUp(self):
        super().setUp()
        self.write("net.onnx", net())
        run = (self.folder / "run.yaml").read_text().replace("model: net.yaml", "model: net.onnx")
        self.write("onnx.yaml", run.replace("[8, 8, 1]", "[1, 8, 8]").replace("augment: {flip: true}\n", "")
                   .replace("epochs: 20", "epochs: 1"))

    def trained(self, name, *more):
        self.sunup("train", name, "--quiet", "--set", f"run_dir={self.folder}/{name}.out", *more)
        return self.checkpoints(self.folder / f"{name}.out")[-1]

    def test_onnx_trains_and_goes_back(self):
        said = self.sunup("summary", "net.onnx").stdout
        self.assertIn("1 batch norms are frozen", said)
        last = self.trained("onnx.yaml")
        shapes = tensors(last)
        self.assertEqual(shapes["conv.weight"], [3, 3, 1, 4])
        self.assertEqual(shapes["fc.weight"], [16, 3])
        self.sunup("convert", "net.onnx", "--weights", last, "--output", "back.onnx")
        old, new = (self.folder / "net.onnx").read_bytes(), (self.folder / "back.onnx").read_bytes()
        self.assertNotEqual(old, new)
        self.assertEqual(len(old), len(new)) # the same message with other numbers
        self.sunup("convert", "back.onnx", "--output", "again.safetensors")
        self.sunup("convert", "back.onnx", "--weights", "again.safetensors", "--output", "same.onnx")
        self.assertEqual(new, (self.folder / "same.onnx").read_bytes())
        self.sunup("predict", "onnx.yaml", "--weights", "again.safetensors", "--output", "a.npy")
        self.sunup("predict", "onnx.yaml", "--weights", last, "--output", "b.npy")
        self.assertEqual((self.folder / "a.npy").read_bytes(), (self.folder / "b.npy").read_bytes())

    def test_statistics_move_only_when_asked(self):
        for more, moves in (((), False), (("--train-bn",), True)):
            last = self.trained("onnx.yaml", *more)
            self.sunup("convert", "net.onnx", "--weights", last, "--output", "back.onnx")
            kept = o.floats("bn.mean", [4], [((7 * i) % 13 - 6) / 20 for i in range(4)])
            self.assertEqual(kept not in (self.folder / "back.onnx").read_bytes(), moves)
            for path in sorted((self.folder / "onnx.yaml.out").rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()

    def test_dropout_drops_in_training_only(self):
        self.write("dry.onnx", net(ratio=0.0))
        hashes = set()
        for name in ("net.onnx", "dry.onnx"):
            self.sunup("predict", "onnx.yaml", "--set", f"model={name}", "--output", f"{name}.npy")
            hashes.add(json.loads(self.sunup("train", "onnx.yaml", "--json", "--set", f"model={name}", "--set",
                                             f"run_dir={self.folder}/{name}.out").stdout)["hash"])
        self.assertEqual(len(hashes), 2)
        self.assertEqual((self.folder / "net.onnx.npy").read_bytes(), (self.folder / "dry.onnx.npy").read_bytes())

    def test_a_fixed_batch_follows(self):
        self.write("one.onnx", net(1))
        for name, output in (("net.onnx", "a.npy"), ("one.onnx", "b.npy")):
            self.sunup("predict", "onnx.yaml", "--set", f"model={name}", "--output", output)
        self.assertEqual((self.folder / "a.npy").read_bytes(), (self.folder / "b.npy").read_bytes())

    def test_channels_last(self):
        text = (self.folder / "onnx.yaml").read_text().replace("[1, 8, 8]", "[8, 8, 1]")
        self.write("last.yaml", text.replace("model: net.onnx", "model: {name: net.onnx, channels_last: true}"))
        for name, output in (("onnx.yaml", "a.npy"), ("last.yaml", "b.npy")):
            self.sunup("predict", name, "--output", output)
        self.assertEqual((self.folder / "a.npy").read_bytes(), (self.folder / "b.npy").read_bytes())

    def test_yaml_network_to_onnx_and_back(self):
        self.sunup("convert", "net.yaml", "--output", "w.npz")
        with zipfile.ZipFile(self.folder / "w.npz") as z:
            self.assertIn("conv1.weight.npy", z.namelist())
        self.sunup("convert", "w.npz", "--output", "w.safetensors")
        self.sunup("convert", "net.yaml", "--weights", "w.npz", "--output", "yaml.onnx")
        self.assertEqual(tensors(self.folder / "w.safetensors")["conv2.weight"], [3, 3, 4, 4])
        self.sunup("predict", "run.yaml", "--weights", "w.safetensors", "--output", "a.npy")
        self.sunup("predict", "onnx.yaml", "--set", "model=yaml.onnx", "--output", "b.npy")
        a, b = (self.folder / "a.npy").read_bytes(), (self.folder / "b.npy").read_bytes()
        self.assertEqual(len(a), len(b))
        for x, y in zip(struct.iter_unpack("<f", a[128:]), struct.iter_unpack("<f", b[128:])):
            self.assertAlmostEqual(x[0], y[0], places=4)

    def test_pytorch_order(self):
        self.sunup("convert", "net.yaml", "--to", "pytorch", "--output", "t.safetensors")
        self.assertEqual(tensors(self.folder / "t.safetensors")["conv2.weight"], [4, 4, 3, 3])
        self.assertEqual(tensors(self.folder / "t.safetensors")["fc.weight"], [3, 64])
        self.sunup("convert", "net.yaml", "--weights", "t.safetensors", "--from", "pytorch", "--output", "o.safetensors")
        self.sunup("convert", "net.yaml", "--output", "w.safetensors")
        self.assertEqual((self.folder / "o.safetensors").read_bytes(), (self.folder / "w.safetensors").read_bytes())

    def test_names_that_do_not_match(self):
        self.write("other.yaml", common.NET.replace("fc", "head"))
        self.sunup("convert", "net.yaml", "--output", "w.safetensors")
        said = self.sunup("convert", "other.yaml", "--weights", "w.safetensors", "--output", "x.npz", status=1).stderr
        self.assertIn("head.weight", said)
        self.assertRegex(said, r"fc\.weight +file only")
        said = self.sunup("convert", "net.yaml", "--weights", "w.safetensors", "--from", "pytorch", "--output", "x.npz",
                          status=1).stderr
        self.assertIn("conv1.weight", said)

    def test_mistakes(self):
        for file, word in ((o.model([o.node("Einsum", ["x"], ["y"])], [o.value("x", [1])], [o.value("y", [1])]), "Einsum"),
                           (net()[:500], "ONNX file"), (b"\x08\x08\x3a\x00", "no output"),
                           (o.model([o.node("Relu", ["z"], ["y"])], [o.value("x", [1])], [o.value("y", [1])]), "'z'"),
                           (b"\x08\x08" + b"\x3a\x7f" * 90, "ONNX file")):
            self.write("bad.onnx", file)
            said = self.sunup("summary", "bad.onnx", status=1).stderr
            self.assertIn(word, said)
            self.assertIn("bad.onnx", said)
        self.sunup("convert", "net.yaml", status=1)
        self.sunup("convert", "net.yaml", "--output", "x.txt", status=1)


if __name__ == "__main__":
    common.main()
