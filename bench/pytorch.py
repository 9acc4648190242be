"""pytorch.py NAME STEPS - the same network and step in PyTorch; prints JSON: median and quartiles of a step, start, memory.

Data wait in memory as tensors and each batch is an index_select, so that PyTorch's loader is not what is timed.
"""
import time

born = time.time()
import json
import resource
import sys

import torch
from torch import nn


def lenet():
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                         nn.Linear(84, 10))


def fashion():
    def block(c, k):
        return [nn.Conv2d(c, k, 3, padding=1, bias=False), nn.BatchNorm2d(k), nn.ReLU()]
    return nn.Sequential(*block(1, 16), nn.MaxPool2d(2), *block(16, 32), *block(32, 32), nn.MaxPool2d(2),
                         *block(32, 64), nn.Flatten(), nn.Linear(3136, 10))


networks = {"lenet": (lenet, 64), "fashion": (fashion, 128)}
build, batch = networks[sys.argv[1]]
steps = int(sys.argv[2])
torch.set_num_threads(2)
torch.manual_seed(0)
net = build()
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
loss_of = nn.CrossEntropyLoss()
x = torch.rand(60000, 1, 28, 28)
y = torch.randint(0, 10, (60000,))
order = torch.randperm(60000)
times = []
first = None
for step in range(-10, steps):
    start = time.perf_counter()
    at = order[(step + 10) * batch % 59000:][:batch]
    optimizer.zero_grad()
    loss = loss_of(net(x[at]), y[at])
    loss.backward()
    optimizer.step()
    float(loss.detach())
    if first is None:
        first = time.time() - born
    if step >= 0:
        times.append(time.perf_counter() - start)
times.sort()
n = len(times)
print(json.dumps({"median_s": times[n // 2], "spread_s": times[3 * n // 4] - times[n // 4], "first_step_s": first,
                  "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                  "version": torch.__version__}))
