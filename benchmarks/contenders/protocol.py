"""What every contender does: read its task, report each epoch, and what validation gives.

A contender is a script that trains a Bernoulli VAE on images (n, 1, 28, 28), uint8, with Adam, and
prints a JSON line after each epoch: {"epoch", "images", "seconds", "loss"}, where ``seconds`` count
from its first step, and ``loss`` is the epoch's mean of reconstruction + KL per image, in nats.
With ``--validation``, a last line has the same ``loss`` of other images, and ``at``, the time.

This module needs nothing but the standard library and numpy, so that it runs in every environment.
"""

import argparse
import itertools
import json
import time

import numpy as np

KERNEL = 3


def numbers(text):
    return [int(number) for number in text.split(",") if number]


def task(argv=None):
    """The command line: data, layers, batch size, epochs, learning rate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help=".npy of uint8, (n, 1, 28, 28)")
    parser.add_argument("--validation", help="the same, to validate on when trained")
    parser.add_argument(
        "--channels", type=numbers, default=[], help="of 3×3 convolutions, stride 1"
    )
    parser.add_argument("--hidden", type=numbers, default=[512], help="encoder's widths")
    parser.add_argument("--latent", type=int, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--schedule", choices=["constant", "cosine"], default="constant")
    parser.add_argument("--warmup", type=float, default=0.0, help="epochs of linear rise")
    parser.add_argument("--precision", choices=["float32", "bfloat16", "auto"], default="float32")
    parser.add_argument("--compile", default="auto", help="lowerbound's own setting")
    parser.add_argument("--average", type=float, help="decay of an average of the weights")
    return parser.parse_args(argv)


def images(path):
    """Images in a file, (n, 784) uint8."""
    x = np.load(path)
    return x.reshape(len(x), -1)


def sizes(told):
    """Widths of the linear layers of the encoder and of the decoder."""
    inner = [linear_inputs(told), *told.hidden]
    return [*inner, 2 * told.latent], [told.latent, *inner[::-1]]


def side(told, layer):
    """Height and width of the maps before the encoder's convolution number ``layer``."""
    return 28 - (KERNEL - 1) * layer


def linear_inputs(told):
    return [1, *told.channels][-1] * side(told, len(told.channels)) ** 2


def check_parameters(told, number):
    """Refuse a model that is not the task's: every contender has the same parameters."""
    dense = [a * b + b for net in sizes(told) for a, b in itertools.pairwise(net)]
    pairs = list(itertools.pairwise([1, *told.channels]))
    weights = sum(2 * a * b * KERNEL**2 + a + b for a, b in pairs)
    assert number == sum(dense) + weights, (number, sum(dense) + weights)


def rates(told, steps):
    """The learning rate of each of ``steps`` steps an epoch, over all epochs."""
    time = np.arange(told.epochs * steps) / steps
    rising = time / max(told.warmup, 1e-12)
    progress = (time - told.warmup) / max(told.epochs - told.warmup, 1e-12)
    falling = 0.5 * (1 + np.cos(np.pi * np.clip(progress, 0, 1)))
    after = falling if told.schedule == "cosine" else np.ones_like(time)
    return told.rate * np.where(time < told.warmup, rising, after)


class Reporter:
    """Prints a line per epoch, with the seconds since it was made."""

    def __init__(self):
        self.started = time.perf_counter()
        self.epoch = 0

    def __call__(self, n, loss):
        self.epoch += 1
        self._line(epoch=self.epoch, images=int(n), loss=float(loss))

    def validated(self, loss):
        self._line(validation=float(loss), at=time.time())

    def _line(self, **values):
        seconds = time.perf_counter() - self.started
        print(json.dumps(values | {"seconds": seconds}), flush=True)
