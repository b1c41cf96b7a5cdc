"""The bound: only the products and convolutions of a training step, same shapes, in PyTorch.

Forward, the gradient by each weight, and the gradient by each layer's input but the first; with
threads that wait as lowerbound's do.
"""

import lowerbound  # noqa: F401

# isort: split
import itertools
from functools import partial

import protocol
import torch

told = protocol.task()
n = len(protocol.images(told.data))


def product(a, b):
    """Forward, gradient by weight and gradient by input of a linear layer."""
    x, W, g = torch.rand(told.batch, a), torch.rand(b, a), torch.rand(told.batch, b)
    return partial(torch.mm, x, W.T), partial(torch.mm, g.T, x), partial(torch.mm, g, W)


def convolution(a, b, layer, transposed):
    """The same of the convolution from a to b channels, or of the one back from b to a.

    Channels come last in memory, which is the faster of torch's layouts for these.
    """
    wide, narrow, k = protocol.side(told, layer), protocol.side(told, layer + 1), protocol.KERNEL
    large, small, W = (
        torch.rand(*shape).contiguous(memory_format=torch.channels_last)
        for shape in ((told.batch, a, wide, wide), (told.batch, b, narrow, narrow), (b, a, k, k))
    )
    x, g = (small, large) if transposed else (large, small)
    settings = [1, 1], [0, 0], [1, 1], transposed, [0, 0], 1
    gradient = partial(torch.ops.aten.convolution_backward, g, x, W, None, *settings)
    return (
        partial(torch.convolution, x, W, None, *settings),
        partial(gradient, [False, True, False]),
        partial(gradient, [True, False, False]),
    )


encoder, decoder = (
    [product(*pair) for pair in itertools.pairwise(s)] for s in protocol.sizes(told)
)
for layer, pair in reversed(list(enumerate(itertools.pairwise([1, *told.channels])))):
    encoder.insert(0, convolution(*pair, layer, False))
    decoder.append(convolution(*pair, layer, True))
layers = encoder + decoder


def step():
    for forward, _, _ in layers:
        forward()
    for i, (_, by_weight, by_input) in enumerate(reversed(layers)):
        by_weight()
        if i < len(layers) - 1:
            by_input()


report = protocol.Reporter()
with torch.no_grad():
    for _ in range(told.epochs):
        for _ in range(n // told.batch):
            step()
        report(n // told.batch * told.batch, 0.0)
