"""lowerbound's `fit`, on its own: no validation, no folder, no progress bar."""

import lowerbound as lb  # before torch, which reads how threads wait when it is loaded

# isort: split
import protocol
import torch

from lowerbound.training import Callback

told = protocol.task()
x = protocol.images(told)
K = told.latent
model = lb.VAE(
    lb.StandardNormal(K),
    lb.DiagonalGaussian(lb.MLP(784, tuple(told.hidden), 2 * K), K),
    lb.Bernoulli(lb.MLP(K, tuple(told.hidden[::-1]), 784), (784,)),
    lb.Scale(),
)


class Report(Callback):
    def start(self, model, epochs, steps, step):
        self.report = protocol.Reporter()

    def epoch(self, model, record):
        self.report(len(x), -record["train"]["bound"])


lb.fit(
    model,
    torch.from_numpy(x),
    training=lb.Training(told.epochs, told.batch, learning_rate=told.rate),
    callbacks=[Report()],
)
