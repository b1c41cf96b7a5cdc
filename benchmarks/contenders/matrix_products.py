"""The bound: only the matrix products of a training step, on the same shapes, in PyTorch.

Forward, the gradient by each weight, and the gradient by each layer's input but the first; with
threads that wait as lowerbound's do.
"""

import lowerbound  # noqa: F401

# isort: split
import itertools

import protocol
import torch

told = protocol.task()
n = len(protocol.images(told))
sizes = [784, *told.hidden, 2 * told.latent], [told.latent, *told.hidden[::-1], 784]
pairs = [(a, b) for net in sizes for a, b in itertools.pairwise(net)]
layers = [
    (torch.rand(told.batch, a), torch.rand(b, a), torch.rand(told.batch, b)) for a, b in pairs
]


def step():
    for x, W, _ in layers:
        torch.mm(x, W.T)
    for i, (x, W, g) in enumerate(reversed(layers)):
        torch.mm(g.T, x)
        if i < len(layers) - 1:
            torch.mm(g, W)


report = protocol.Reporter()
for _ in range(told.epochs):
    for _ in range(n // told.batch):
        step()
    report(n // told.batch * told.batch, 0.0)
