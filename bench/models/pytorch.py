"""pytorch.py MODEL MODE [THREADS [RANKS]] - the same network and step in PyTorch, run on demand: the peer of `sunup bench model`.

MODE: words joined by +: eager, channels_last, compile, bf16 (autocast). Each line on standard input is a number of
steps; the answer is one line of JSON with their times. The first line out says how long the start took. Batches are
made up and wait in memory, so that PyTorch's loader is not what is timed; as in sunup, the optimizer's own fused form
is used where it has one. With RANKS > 1 the batch is shared out among so many processes of DistributedDataParallel
over Gloo, each with THREADS threads and pinned to cores of its own.
"""
import time

born = time.time()
import contextlib
import json
import math
import os
import resource
import sys
import tempfile

ranks, rank = int(sys.argv[4]) if len(sys.argv) > 4 else 1, 0
if ranks > 1:  # before torch is imported: OpenMP, told to bind threads, confines the first one to the first core then
    meeting = tempfile.mktemp()
    while rank + 1 < ranks and os.fork() == 0:  # a child is the next rank and makes the one after it
        rank += 1
    cores = sorted(os.sched_getaffinity(0))
    each = max(1, len(cores) // ranks)
    os.sched_setaffinity(0, [cores[(rank * each + i) % len(cores)] for i in range(each)])

import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    """y = after(body(x) + short(x))."""

    def __init__(self, body, short=None, after=None):
        super().__init__()
        self.body, self.short, self.after = body, short or nn.Identity(), after or nn.Identity()

    def forward(self, x):
        return self.after(self.body(x) + self.short(x))


def conv_norm(c, k, r, stride=1, padding=0):
    return [nn.Conv2d(c, k, r, stride, padding, bias=False), nn.BatchNorm2d(k)]


def resnet(blocks, bottleneck):
    layers = [*conv_norm(3, 64, 7, 2, 3), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)]
    c = 64
    for stage, (n, w) in enumerate(zip(blocks, (64, 128, 256, 512))):
        for b in range(n):
            s = 2 if stage > 0 and b == 0 else 1
            k = w * (4 if bottleneck else 1)
            if bottleneck:
                body = [*conv_norm(c, w, 1), nn.ReLU(True), *conv_norm(w, w, 3, s, 1), nn.ReLU(True), *conv_norm(w, k, 1)]
            else:
                body = [*conv_norm(c, w, 3, s, 1), nn.ReLU(True), *conv_norm(w, k, 3, 1, 1)]
            short = nn.Sequential(*conv_norm(c, k, 1, s)) if s > 1 or c != k else None
            layers.append(Residual(nn.Sequential(*body), short, nn.ReLU(True)))
            c = k
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 1000))


def ffn():
    def conv(c):
        return nn.Conv3d(c, 32, 3, padding=1)
    modules = [Residual(nn.Sequential(nn.ReLU(), conv(32), nn.ReLU(), conv(32))) for _ in range(11)]
    return nn.Sequential(conv(2), nn.ReLU(), conv(32), *modules, nn.ReLU(), nn.Conv3d(32, 1, 1))


class SmallFfn(nn.Module):
    """The short run's network of apps/ffn: three stages of 16 channels change the seed's logits."""

    def __init__(self):
        super().__init__()

        def conv(c):
            return nn.Conv3d(c, 16, 3, padding=1)
        stages = [Residual(nn.Sequential(nn.ReLU(), conv(16), nn.ReLU(), conv(16))) for _ in range(2)]
        self.net = nn.Sequential(conv(2), nn.ReLU(), conv(16), *stages, nn.ReLU(), nn.Conv3d(16, 1, 1))

    def forward(self, x):
        return x[:, 1:] + self.net(x)


class CosmicTagger(nn.Module):
    def __init__(self):
        super().__init__()

        def block(c, r):
            return Residual(nn.Sequential(*conv_norm(c, c, r, 1, r // 2), nn.LeakyReLU(0.01), *conv_norm(c, c, r, 1, r // 2)),
                            after=nn.LeakyReLU(0.01))
        widths = (16, 32, 64, 128)
        self.stem = nn.Sequential(*conv_norm(1, 16, 5, 1, 2), nn.LeakyReLU(0.01))
        self.down = nn.ModuleList(block(c, 3) for c in widths)
        self.pool = nn.ModuleList(nn.Sequential(*conv_norm(c, 2 * c, 2, 2), nn.LeakyReLU(0.01)) for c in widths)
        self.deep = nn.Sequential(block(256, 5), block(256, 5))
        self.lift = nn.ModuleList(nn.Sequential(nn.ConvTranspose2d(2 * c, c, 2, 2, bias=False), nn.BatchNorm2d(c),
                                                nn.LeakyReLU(0.01)) for c in widths)
        self.up = nn.ModuleList(block(c, 3) for c in widths)
        self.head = nn.Conv2d(16, 3, 1)

    def forward(self, x):
        x, skips = self.stem(x), []
        for down, pool in zip(self.down, self.pool):
            skips.append(down(x))
            x = pool(skips[-1])
        x = self.deep(x)
        for level in (3, 2, 1, 0):
            x = self.up[level](self.lift[level](x) + skips[level])
        return self.head(x)


class ThreePlanes(nn.Module):
    """The network of apps/cosmictagger for one event. Planes are a batch but at the bottom, so its group norm, a channel
    a group, is a batch norm that keeps no statistics."""

    def __init__(self):
        super().__init__()

        def conv(c, k, r, **how):
            return [nn.Conv2d(c, k, r, **how), nn.BatchNorm2d(k, track_running_stats=False), nn.LeakyReLU(0.01)]

        def blocks(c, times):
            return nn.Sequential(*(m for _ in range(times) for m in conv(c, c, 3, padding=1)))

        def lift(c, k):
            first, *rest = conv(c, k, 1)
            return nn.Sequential(first, nn.Upsample(scale_factor=2, mode="bilinear"), *rest)
        widths = (16, 32, 48)
        self.stem = nn.Sequential(*conv(1, 16, 6, stride=2, padding=2))
        self.down = nn.ModuleList(blocks(c, times) for c, times in zip(widths, (1, 2, 2)))
        self.pool = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), *conv(c, c + 16, 1)) for c in widths)
        self.together = nn.Sequential(*conv(192, 128, 1)[:2])
        self.drift = nn.Parameter(torch.zeros(1, 128, 20, 1))
        self.wide = nn.Sequential(*(Residual(nn.Sequential(*conv(128, 128, 3, padding=d, dilation=d)))
                                    for d in (1, 2, 4, 8)))
        self.apart = nn.Sequential(*conv(128, 192, 1))
        self.lift = nn.ModuleList(lift(c + 16, c) for c in widths)
        self.rise = nn.ModuleList(blocks(c, 1) for c in widths)
        self.pixels = nn.ConvTranspose2d(16, 3, 2, 2)

    def forward(self, x):  # [1, planes, height, width]
        picture = x.transpose(0, 1)
        x, levels = self.stem(picture), []
        for down, pool in zip(self.down, self.pool):
            levels.append(x)
            x = pool(down(x))
        deep = F.leaky_relu(self.together(x.reshape(1, -1, *x.shape[2:])) + self.drift, 0.01)
        x = self.apart(self.wide(deep)).reshape(x.shape)
        for level in (2, 1, 0):
            x = self.rise[level](self.lift[level](x) + levels[level])
        background = torch.clamp(11.5 - 22.4 * picture, min=1.5)
        return (self.pixels(x) + F.pad(background, (0, 0, 0, 0, 0, 2))).transpose(0, 1)[None]


class Uno(nn.Module):
    def __init__(self):
        super().__init__()

        def dense(*sizes):
            return nn.Sequential(*(m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.ReLU(True))))
        self.cell, self.drug = dense(942, 1000, 1000, 1000), dense(5270, 1000, 1000, 1000)
        self.top = nn.Sequential(dense(3000, 1000, 1000, 1000), nn.Linear(1000, 1))

    def forward(self, cell, drugs):
        return self.top(torch.cat([self.cell(cell), self.drug(drugs).flatten(1)], 1))


class SmallUno(nn.Module):
    """The short run's network of apps/uno."""

    def __init__(self):
        super().__init__()

        def dense(*sizes):
            return nn.Sequential(*(m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.ReLU(True))))
        self.cell, self.drug = dense(942, 256, 256, 256), dense(2236, 256, 256, 256)
        self.top = nn.Sequential(dense(512, 256), nn.Dropout(0.1), dense(256, 256), nn.Dropout(0.1), dense(256, 256),
                                 nn.Linear(256, 1))

    def forward(self, cell, drug):
        return 2.5 + 3 * self.top(torch.cat([self.cell(cell), self.drug(drug)], 1))


class Combo(nn.Module):
    def __init__(self):
        super().__init__()

        def dense(*sizes):
            return nn.Sequential(*(m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.ReLU(True))))
        self.drug, self.line = nn.Embedding(38, 128), nn.Embedding(39, 64)
        self.pair, self.genes, self.cell = dense(128, 256, 256), dense(942, 64), dense(128, 256, 256)
        self.top = nn.Sequential(dense(512, 256), nn.Dropout(0.2), dense(256, 256), nn.Linear(256, 1))

    def forward(self, drugs, cell, expression):
        line = torch.cat([self.line(cell).flatten(1), self.genes(expression)], 1)
        return 5 + 20 * self.top(torch.cat([self.pair(self.drug(drugs)).sum(1), self.cell(line)], 1))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(256), nn.LayerNorm(256)
        self.qkv, self.mixed = nn.Linear(256, 768), nn.Linear(256, 256)
        self.wide, self.narrow = nn.Linear(256, 1024), nn.Linear(1024, 256)

    def forward(self, x):
        n, length, _ = x.shape
        q, k, v = (t.view(n, length, 8, 32).transpose(1, 2) for t in self.qkv(self.norm1(x)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, 256)
        x = x + self.mixed(y)
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))


def transformer():
    return nn.Sequential(nn.Embedding(1000, 256), *(Layer() for _ in range(6)), nn.LayerNorm(256), nn.Linear(256, 1000))


def nt3():
    return nn.Sequential(nn.Conv1d(1, 128, 20), nn.ReLU(), nn.Conv1d(128, 128, 10), nn.ReLU(), nn.MaxPool1d(10),
                         nn.Flatten(), nn.Linear(128 * 6045, 200), nn.ReLU(), nn.Dropout(0.1), nn.Linear(200, 20),
                         nn.ReLU(), nn.Dropout(0.1), nn.Linear(20, 2))


def gw():
    def block(c, k, r, dilation=1):
        return [nn.Conv1d(c, k, r, dilation=dilation), nn.MaxPool1d(4), nn.ReLU()]
    return nn.Sequential(*block(1, 16, 16), *block(16, 32, 8, 4), *block(32, 64, 8, 4), nn.Flatten(),
                         nn.Linear(1472, 64), nn.ReLU(), nn.Linear(64, 2))


def lenet():
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                         nn.Linear(84, 10))


def vision():
    def block(c, k):
        return [*conv_norm(c, k, 3, 1, 1), nn.ReLU()]
    return nn.Sequential(*block(1, 16), nn.MaxPool2d(2), *block(16, 32), *block(32, 32), nn.MaxPool2d(2),
                         *block(32, 64), nn.Flatten(), nn.Linear(3136, 10))


class BraggNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.leaky = nn.Conv2d(1, 64, 3), nn.LeakyReLU(0.01)
        self.theta, self.phi, self.g = (nn.Conv2d(64, 32, 1) for _ in range(3))
        self.out = nn.Conv2d(32, 64, 1)
        sizes = (200, 16, 8, 4, 2)
        self.rest = nn.Sequential(nn.Conv2d(64, 32, 3), nn.LeakyReLU(0.01), nn.Conv2d(32, 8, 3), nn.LeakyReLU(0.01),
                                  nn.Flatten(), *(m for a, b in zip(sizes, sizes[1:])
                                                  for m in (nn.Linear(a, b), nn.LeakyReLU(0.01))), nn.Linear(2, 2))

    def forward(self, x):
        x = self.first(x)
        theta, phi, g = (f(x).flatten(2) for f in (self.theta, self.phi, self.g))  # [N, 32, 81]
        looked = torch.softmax(theta.transpose(1, 2) @ phi, 2) @ g.transpose(1, 2)
        x = x + self.out(looked.transpose(1, 2).reshape(len(x), 32, 9, 9))
        return 0.45454545454545453 + self.rest(self.leaky(x))


class PtychoNN(nn.Module):
    def __init__(self):
        super().__init__()

        def pair(c, k):
            return [nn.Conv2d(c, k, 3, padding=1), nn.ReLU(), nn.Conv2d(k, k, 3, padding=1), nn.ReLU()]

        def decoder():
            return nn.Sequential(*(m for c, k in ((128, 128), (128, 64), (64, 64))
                                   for m in (*pair(c, k), nn.Upsample(scale_factor=2, mode="bilinear"))),
                                 nn.Conv2d(64, 1, 3, padding=1))
        self.encoder = nn.Sequential(*(m for c, k in ((1, 32), (32, 64), (64, 128)) for m in (*pair(c, k), nn.MaxPool2d(2))))
        self.amplitude, self.phase = decoder(), decoder()

    def forward(self, x):
        x = self.encoder(x)
        return torch.cat([torch.sigmoid(self.amplitude(x)), math.pi * torch.tanh(self.phase(x))], 1)


class ParticleFlow(nn.Module):
    def __init__(self):
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU())
        self.jet = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 64), nn.ReLU(),
                                 nn.Linear(64, 2))

    def forward(self, particles, mask):
        return self.jet(0.05 * (self.phi(particles) * mask).sum(1))


class EdgeConv(nn.Module):
    """x [N, P, C] and the places of each point's neighbours [N, P, k] to [N, P, width]."""

    def __init__(self, c, width):
        super().__init__()
        self.edge = nn.Sequential(*(m for i in range(3)
                                    for m in (*conv_norm(2 * c if i == 0 else width, width, 1), nn.ReLU())))
        self.short = nn.Sequential(*conv_norm(c, width, 1))

    def forward(self, x, near):
        n, points, c = x.shape
        rows = near + points * torch.arange(n)[:, None, None]
        around = x.reshape(n * points, c)[rows]
        centre = x[:, :, None].expand_as(around)
        e = self.edge(torch.cat([centre, around - centre], 3).permute(0, 3, 1, 2)).mean(3)
        return F.relu(e + self.short(x.transpose(1, 2)[..., None])[..., 0]).transpose(1, 2)


class ParticleNet(nn.Module):
    """ParticleNet-Lite of apps/jets: 7 neighbours, 32 and 64 channels."""

    def __init__(self, k=7, widths=(32, 64)):
        super().__init__()
        self.k, self.features = k, nn.BatchNorm1d(13)
        self.blocks = nn.ModuleList(EdgeConv(c, w) for c, w in zip((13, *widths), widths))
        self.top = nn.Sequential(nn.Linear(widths[-1], 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 2))

    @torch.no_grad()
    def neighbours(self, x, absent):
        x = x + 1e3 * absent
        square = x.square().sum(2)
        far = square[:, :, None] + square[:, None] - 2 * x @ x.transpose(1, 2)
        return (far + 1e9 * torch.eye(x.shape[1])).topk(self.k, 2, largest=False).indices

    def forward(self, particles, mask, at):
        x, absent = self.features(particles.transpose(1, 2)).transpose(1, 2), 1 - mask
        for i, block in enumerate(self.blocks):
            x = block(x, self.neighbours(x if i else at, absent))
        return self.top((x * mask).sum(1) / mask.sum(1))


class Phi4(nn.Module):
    """The flow of apps/phi4; returns log w = log p~ - log q."""

    def __init__(self, size=8):
        super().__init__()

        def conv(c, k):
            return nn.Conv2d(c, k, 3, padding=1, padding_mode="circular")
        colour = (torch.arange(size)[:, None] + torch.arange(size)) % 2
        self.register_buffer("masks", torch.stack([colour == 0, colour == 1]).float()[:, None])
        self.nets = nn.ModuleList(nn.Sequential(conv(1, 8), nn.LeakyReLU(0.01), conv(8, 8), nn.LeakyReLU(0.01),
                                                conv(8, 2), nn.Tanh()) for _ in range(2 * size))

    def forward(self, phi):
        sites = phi[0].numel()
        log_q = -0.5 * phi.double().square().sum((1, 2, 3)) - 0.5 * sites * math.log(2 * math.pi)
        for i, net in enumerate(self.nets):
            kept, changed = self.masks[i % 2], self.masks[1 - i % 2]
            s, t = (changed * net(kept * phi)).split(1, 1)
            phi = phi * s.exp() + t
            log_q = log_q - s.double().sum((1, 2, 3))
        x = phi.double()
        ahead = x.roll(-1, 2) + x.roll(-1, 3)
        return -(8 * x ** 4 - 2 * x * ahead).sum((1, 2, 3)) - log_q


def classes(n, k, *shape):
    return torch.randint(0, k, (n, *shape))


cross_entropy = F.cross_entropy
sgd, adam, adamw, adamax = (lambda p: torch.optim.SGD(p, lr=0.01), lambda p: torch.optim.Adam(p, lr=1e-4, fused=True),
                            lambda p: torch.optim.AdamW(p, lr=3e-4, fused=True),
                            lambda p: torch.optim.Adamax(p, lr=1e-4, foreach=True))
# name: (network, batch maker, loss, optimizer)
networks = {
    "mlp": (lambda: nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)),
            lambda: ((torch.randn(64, 784),), classes(64, 10)), cross_entropy, sgd),
    "lenet": (lenet, lambda: ((torch.randn(64, 1, 28, 28),), classes(64, 10)), cross_entropy, sgd),
    "vision": (vision, lambda: ((torch.randn(128, 1, 28, 28),), classes(128, 10)), cross_entropy, sgd),
    "resnet18": (lambda: resnet((2, 2, 2, 2), False),
                 lambda: ((torch.randn(32, 3, 64, 64),), classes(32, 1000)), cross_entropy, sgd),
    "resnet50": (lambda: resnet((3, 4, 6, 3), True),
                 lambda: ((torch.randn(16, 3, 224, 224),), classes(16, 1000)), cross_entropy, sgd),
    "ffn": (ffn, lambda: ((torch.randn(4, 2, 33, 33, 33),), torch.rand(4, 1, 33, 33, 33)),
            F.binary_cross_entropy_with_logits, sgd),
    "ffn1": (ffn, lambda: ((torch.randn(1, 2, 33, 33, 33),), torch.rand(1, 1, 33, 33, 33)),
             F.binary_cross_entropy_with_logits, sgd),
    "ffn_small": (SmallFfn, lambda: ((torch.randn(16, 2, 17, 17, 17),), torch.rand(16, 1, 17, 17, 17)),
                  F.binary_cross_entropy_with_logits, adam),
    "cosmictagger": (CosmicTagger, lambda: ((torch.randn(3, 1, 320, 512),), classes(3, 3, 320, 512)), cross_entropy, sgd),
    "cosmictagger3": (ThreePlanes, lambda: ((torch.randn(1, 3, 320, 512),), classes(1, 3, 3, 320, 512)), cross_entropy,
                      sgd),
    "nt3": (nt3, lambda: ((torch.randn(4, 1, 60483),), classes(4, 2)), cross_entropy, sgd),
    "gw": (gw, lambda: ((torch.randn(64, 1, 2048),), classes(64, 2)), cross_entropy, adam),
    "uno": (Uno, lambda: ((torch.randn(512, 942), torch.randn(512, 2, 5270)), torch.randn(512, 1)), F.mse_loss, adam),
    "uno_small": (SmallUno, lambda: ((torch.randn(256, 942), torch.randn(256, 2236)), torch.randn(256, 1)), F.mse_loss,
                  adamax),
    "combo": (Combo, lambda: ((classes(256, 38, 2), classes(256, 39, 1), torch.randn(256, 942)), torch.randn(256, 1)),
              F.mse_loss, adamw),
    "transformer": (transformer, lambda: ((classes(16, 1000, 256),), classes(16, 1000, 256)),
                    lambda y, t: F.cross_entropy(y.flatten(0, 1), t.flatten()), adamw),
    "stars": (lambda: nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 128),
                                    nn.ReLU(), nn.Linear(128, 10)),
              lambda: ((torch.randn(256, 4),), classes(256, 10)), cross_entropy, adamw),
    "pfn": (ParticleFlow, lambda: ((torch.randn(128, 100, 13), torch.randn(128, 100, 1)), classes(128, 2)), cross_entropy,
            adamw),
    "particlenet": (ParticleNet, lambda: ((torch.randn(128, 100, 13), torch.randn(128, 100, 1), torch.randn(128, 100, 2)),
                                          classes(128, 2)), cross_entropy, adamw),
    "braggnn": (BraggNN, lambda: ((torch.randn(512, 1, 11, 11),), torch.randn(512, 2)), F.mse_loss, adam),
    "ptychonn": (PtychoNN, lambda: ((torch.randn(32, 1, 64, 64),), torch.randn(32, 2, 64, 64)), F.l1_loss, adam),
    "phi4": (Phi4, lambda: ((torch.randn(128, 1, 8, 8),), torch.zeros(128)), lambda log_w, _: -log_w.mean(), adam),
}

build, batch_of, loss_of, optimizer_of = networks[sys.argv[1]]
modes = set(sys.argv[2].split("+"))
unknown = modes - {"eager", "channels_last", "compile", "bf16"}
if unknown:
    sys.exit("pytorch.py: no mode " + ", ".join(sorted(unknown)))
torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) > 3 else 2)
if ranks > 1:
    import torch.distributed as dist
    dist.init_process_group("gloo", init_method="file://" + meeting, rank=rank, world_size=ranks)
torch.manual_seed(0)
net = build()


def share(t):
    """This rank's part of the batch."""
    return t if ranks == 1 else t[len(t) * rank // ranks:len(t) * (rank + 1) // ranks].clone()


batches = [(tuple(share(x) for x in inputs), share(target)) for inputs, target in (batch_of() for _ in range(4))]
if "channels_last" in modes:
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}

    def last(t):
        return t.contiguous(memory_format=layout[t.dim()]) if t.dim() in layout else t
    for p in net.parameters():
        p.data = last(p.data)
    batches = [(tuple(last(x) for x in inputs), target) for inputs, target in batches]
optimizer = optimizer_of(net.parameters())
run = torch.nn.parallel.DistributedDataParallel(net, gradient_as_bucket_view=True) if ranks > 1 else net
run = torch.compile(run) if "compile" in modes else run
autocast = torch.autocast("cpu", torch.bfloat16) if "bf16" in modes else contextlib.nullcontext()
done = 0


def step():
    global done
    inputs, target = batches[done % len(batches)]
    done += 1
    start = time.perf_counter()
    optimizer.zero_grad()
    with autocast:
        loss = loss_of(run(*inputs), target)
    loss.backward()
    optimizer.step()
    float(loss.detach())
    return time.perf_counter() - start


def say(**what):
    if rank == 0:
        print(json.dumps(what), flush=True)


def listen():
    """Numbers of steps, to all ranks."""
    while True:
        line = sys.stdin.readline() if rank == 0 else ""
        n = torch.tensor([int(line) if line else 0])
        if ranks > 1:
            dist.broadcast(n, 0)
        if n.item() == 0:
            return
        yield n.item()


step()
say(first_step_s=time.time() - born, version="PyTorch " + torch.__version__)
for n in listen():
    times = [step() for _ in range(n)]
    say(times_s=times, peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
if ranks > 1:
    dist.destroy_process_group()
