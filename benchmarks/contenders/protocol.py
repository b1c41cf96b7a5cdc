"""What every contender of the training benchmark does: read its task, report each epoch.

A contender is a script that trains a Bernoulli VAE on images (n, 784), uint8, with Adam, and prints
a JSON line after each epoch: {"epoch", "images", "seconds", "loss"}, where ``seconds`` count from
its first step, and ``loss`` is the epoch's mean of reconstruction + KL per image, in nats.

This module needs nothing but the standard library and numpy, so that it runs in every environment.
"""

import argparse
import json
import time

import numpy as np


def task(argv=None):
    """The command line: data, layers, batch size, epochs, learning rate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help=".npy of uint8, (n, 784)")
    parser.add_argument("--hidden", default="512", help="encoder's hidden widths, comma-separated")
    parser.add_argument("--latent", type=int, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1e-3)
    told = parser.parse_args(argv)
    told.hidden = [int(width) for width in told.hidden.split(",")]
    return told


def images(told):
    """The training images, (n, 784) uint8."""
    return np.load(told.data)


class Reporter:
    """Prints a line per epoch, with the seconds since it was made."""

    def __init__(self):
        self.started = time.perf_counter()
        self.epoch = 0

    def __call__(self, n, loss):
        self.epoch += 1
        line = {
            "epoch": self.epoch,
            "images": int(n),
            "seconds": time.perf_counter() - self.started,
            "loss": float(loss),
        }
        print(json.dumps(line), flush=True)
