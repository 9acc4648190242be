#!/usr/bin/env python3
"""onnx_networks.py - networks that PyTorch exports, in sunup: the same outputs, and the same first three training steps.

    python3 tests/conformance/onnx_networks.py build/sunup [NAME...]

Needs torch, onnx and onnxscript (development only). For each network: outputs of `sunup predict` against PyTorch's in
evaluation mode, then three steps of plain SGD: losses, and weights after them by name. Exit status 1 if one differs.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import torch
from onnx import numpy_helper
from torch import nn

BATCH = 4


class Bottleneck(nn.Module):
    def __init__(self, inside, width, stride):
        super().__init__()
        out = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
        self.shortcut = nn.Identity() if stride == 1 and inside == out else \
            nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


class ResNet50(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        blocks, inside = [], 64
        for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for i in range(count):
                blocks.append(Bottleneck(inside, width, stride if i == 0 else 1))
                inside = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inside, 1000)

    def forward(self, x):
        x = self.blocks(self.pool(torch.relu(self.bn1(self.conv1(x)))))
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


class Encoder(nn.Module):
    """A transformer encoder over words."""
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(97, 64)
        self.places = nn.Parameter(torch.randn(1, 12, 64) * 0.1)
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, activation="gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(64, 7)

    def forward(self, x):
        return self.out(self.layers(self.words(x) + self.places).mean(1))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        def two(i, o):
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.GroupNorm(4, o), nn.ReLU(),
                                 nn.Conv2d(o, o, 3, padding=1), nn.ReLU())
        self.down1, self.down2, self.bottom = two(1, 8), two(8, 16), two(16, 32)
        self.up2, self.up1 = nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
        self.join2, self.join1 = two(32, 16), two(16, 8)
        self.out = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(nn.functional.max_pool2d(a, 2))
        c = self.bottom(nn.functional.max_pool2d(b, 2))
        b = self.join2(torch.cat([self.up2(c), b], 1))
        return self.out(self.join1(torch.cat([self.up1(b), a], 1)))


class ChannelsLast(nn.Module):
    """As TensorFlow's files are: pictures N H W C, turned around each convolution."""
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1, stride=2)
        self.scale = nn.Parameter(torch.rand(16) + 0.5)
        self.fc = nn.Linear(16 * 8 * 8, 10)

    def forward(self, x):
        x = self.conv1(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = torch.relu(x * self.scale)
        x = self.conv2(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.fc(torch.tanh(x).flatten(1))


def pictures():
    return torch.randn(BATCH, 3, 64, 64)


def words():
    return torch.randint(0, 97, (BATCH, 12), dtype=torch.int32)


# Name: module, input (made by a seed), loss, exporter, learning rate, batch norms by the batch's statistics. ResNet-50 with
# those is chaotic on few pictures (PyTorch's own f32 and f64 are 2 % apart after one step of 0.01), so it goes in f64.
NETWORKS = {
    "resnet50": (ResNet50, lambda: pictures().double(), "cross_entropy", "dynamo plain", 0.01, True),
    "resnet50_frozen": (ResNet50, pictures, "cross_entropy", "dynamo plain", 1e-3, False), # plain: norms stay
    "resnet50_script": (ResNet50, lambda: pictures().double(), "cross_entropy", "script", 0.01, True),
    "encoder": (Encoder, words, "cross_entropy", "dynamo", 0.01, False),
    "encoder_script": (Encoder, words, "cross_entropy", "script", 0.01, False),
    "unet": (UNet, lambda: torch.randn(BATCH, 1, 32, 32), "mse", "dynamo", 0.01, False),
    "unet_script": (UNet, lambda: torch.randn(BATCH, 1, 32, 32), "mse", "script", 0.01, False),
    "channels_last": (ChannelsLast, lambda: torch.randn(BATCH, 16, 16, 3), "cross_entropy", "dynamo", 0.01, False),
}

RUN = """
model: {name: net.onnx, train_bn: %s}
loss: %s
data:
  train: [{name: x, path: x.npy%s}, {name: y, path: y.npy%s}]
  eval: [{name: x, path: x.npy%s}, {name: y, path: y.npy%s}]
batch: 4
shards: 1
shuffle: false
epochs: 3
log_steps: 1
numerics: exact
optimizer: {type: sgd, lr: %g}
run_dir: out
"""


def export(model, x, path, way):
    batch = torch.export.Dim("batch", min=2, max=4096)
    if way.startswith("dynamo"):
        torch.onnx.export(model, (x,), path, dynamo=True, input_names=["x"], output_names=["y_hat"],
                          dynamic_shapes=({0: batch},), optimize=way == "dynamo", verbose=False)
    else:
        torch.onnx.export(model, (x,), path, dynamo=False, input_names=["x"], output_names=["y_hat"],
                          dynamic_axes={"x": {0: "batch"}}, opset_version=18, do_constant_folding=False,
                          training=torch.onnx.TrainingMode.PRESERVE)


def three_steps(model, x, y, loss, rate):
    losses, optimizer = [], torch.optim.SGD(model.parameters(), lr=rate)
    for _ in range(3):
        optimizer.zero_grad()
        value = getattr(nn.functional, {"mse": "mse_loss"}.get(loss, loss))(model(x), y)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def sunup(program, folder, *arguments):
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"sunup {' '.join(arguments)}: {done.stderr}{done.stdout[-300:]}")
    return done.stdout


def read_weights(path):
    """Floating initializers of an ONNX file, by name."""
    tensors = onnx.load(path).graph.initializer
    return {t.name: numpy_helper.to_array(t) for t in tensors 
            if t.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)}


def apart(ours, theirs):
    """The largest difference, in units of the largest number."""
    return float(numpy.abs(ours - theirs).max() / max(1e-30, numpy.abs(theirs).max()))


def check(program, name, folder):
    module, make, loss, way, rate, by_batch = NETWORKS[name]
    torch.manual_seed(1)
    model, x = module().eval(), make()
    if x.dtype == torch.float64:
        model = model.double()
    with torch.no_grad():
        for p in model.parameters(): # exporters make one tensor of equal ones, and fold those of ones
            p.add_(torch.randn_like(p) * 0.02)
        for m in model.modules(): # statistics that are not those of nothing
            if isinstance(m, nn.BatchNorm2d):
                m.running_mean.normal_(0, 0.1)
                m.running_var.uniform_(0.5, 1.5)
        expected = model(x)
        y = torch.randint(0, expected.shape[1], (BATCH,), dtype=torch.int32) if loss == "cross_entropy" \
            else torch.randn_like(expected)
    export(model, x, str(folder / "net.onnx"), way)
    numpy.save(folder / "x.npy", x.numpy().astype("f4") if x.dtype.is_floating_point else x.numpy())
    numpy.save(folder / "y.npy", y.numpy())
    label = ", label: true" if loss == "cross_entropy" else ""
    words_ = ", label: true" if x.dtype == torch.int32 else ""
    (folder / "run.yaml").write_text(RUN % ("true" if by_batch else "false", loss, words_, label, words_, label, rate))
    if by_batch:
        model.train()
    sunup(program, folder, "convert", "net.onnx", "--output", "start.safetensors")
    sunup(program, folder, "predict", "run.yaml", "--weights", "start.safetensors", "--output", "out.npy")
    differs = apart(numpy.load(folder / "out.npy"), expected.numpy())
    losses = three_steps(model, x, y.long() if loss == "cross_entropy" else y, loss, rate)
    sunup(program, folder, "train", "run.yaml", "--quiet")
    rows = [json.loads(line) for line in (folder / "out/metrics.jsonl").read_text().splitlines()]
    got = [r["loss"] for r in rows if not r.get("eval")]
    loss_differs = max(abs(a - b) / abs(b) for a, b in zip(got, losses))
    last = sorted((folder / "out/checkpoints").glob("*.safetensors"))[-1]
    sunup(program, folder, "convert", "net.onnx", "--weights", str(last), "--output", "back.onnx")
    weights, moved, found = read_weights(folder / "back.onnx"), 0.0, 0
    for key, value in model.state_dict().items():
        if key not in weights or not value.dtype.is_floating_point:
            continue
        found += 1
        moved = max(moved, apart(weights[key], value.numpy()))
    good = differs < 1e-5 and loss_differs < 1e-5 and len(got) == 3 and moved < 1e-4
    print(f"{name:16s} outputs {differs:.1e}  losses of 3 steps {loss_differs:.1e}  {found} of {len(weights)} tensors by "
          f"name, apart by {moved:.1e}  {'ok' if good else 'DIFFERS'}", flush=True)
    if not good:
        print("   losses", got, losses)
    return good


SMALL = """
model:
  input: {name: x, shape: [8, 8, 3]}
  layers:
    - conv: {name: a, out_channels: 6, kernel_size: 3, padding: same}
    - batch_norm: {name: n}
    - relu:
    - max_pool: 2
    - conv_transpose: {name: b, out_channels: 4, kernel_size: 2, stride: 2}
    - gelu:
    - flatten:
    - dropout: 0.5
    - linear: {name: c, out_features: 5}
"""


def check_weights(program, folder):
    """A state_dict of PyTorch, as NPZ, in a network of ours by `convert --from pytorch`, and back."""
    torch.manual_seed(3)
    parts = nn.ModuleDict({"a": nn.Conv2d(3, 6, 3, padding=1), "n": nn.BatchNorm2d(6), "b": nn.ConvTranspose2d(6, 4, 2, 2),
                           "c": nn.Linear(4 * 64, 5)}).eval()
    x = torch.randn(BATCH, 3, 8, 8)
    with torch.no_grad():
        for t in (*parts.parameters(), parts["n"].running_mean):
            t.add_(torch.randn_like(t) * 0.1)
        y = nn.functional.max_pool2d(torch.relu(parts["n"](parts["a"](x))), 2)
        y = parts["c"](torch.flatten(nn.functional.gelu(parts["b"](y)), 1))
    state = {k: v.numpy() for k, v in parts.state_dict().items()}
    numpy.savez(folder / "torch.npz", **state)
    numpy.save(folder / "x.npy", numpy.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1)))
    (folder / "net.yaml").write_text(SMALL)
    (folder / "run.yaml").write_text("model: net.yaml\nloss: mse\ndata: {train: [{name: x, path: x.npy}]}\n")
    sunup(program, folder, "convert", "net.yaml", "--weights", "torch.npz", "--from", "pytorch", "--output", "w.safetensors")
    sunup(program, folder, "predict", "run.yaml", "--weights", "w.safetensors", "--output", "out.npy")
    sunup(program, folder, "convert", "net.yaml", "--weights", "w.safetensors", "--to", "pytorch", "--output", "back.npz")
    differs, back = apart(numpy.load(folder / "out.npy"), y.numpy()), numpy.load(folder / "back.npz")
    same = all(numpy.array_equal(back[k], v) for k, v in state.items() if k in back) and len(back) == len(state) - 1
    print(f"{'weights':16s} outputs {differs:.1e}  back {'the same' if same else 'DIFFERENT'}")
    return differs < 1e-5 and same


def main():
    program, names = str(pathlib.Path(sys.argv[1]).resolve()), sys.argv[2:] or ["weights", *NETWORKS]
    torch.set_num_threads(2)
    good = True
    for name in names:
        with tempfile.TemporaryDirectory(prefix="sunup-onnx-") as folder:
            try:
                folder = pathlib.Path(folder)
                good = (check_weights(program, folder) if name == "weights" else check(program, name, folder)) and good
            except RuntimeError as error:
                print(f"{name}: {error}")
                good = False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
