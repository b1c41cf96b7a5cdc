"""The VAE of the contenders on PyTorch, as tutorials write it."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn


def mlp(sizes):
    layers = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class VAE(nn.Module):
    def __init__(self, told):
        super().__init__()
        self.encoder = mlp([784, *told.hidden, 2 * told.latent])
        self.decoder = mlp([told.latent, *told.hidden[::-1], 784])

    def loss(self, x):
        """Reconstruction + KL of a batch, summed over its images."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        bce = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        return bce - 0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())


def train(model, optimizer, batches, epochs, report):
    """``batches()`` yields the batches of an epoch."""
    for _ in range(epochs):
        images, total = 0, 0.0
        for batch in batches():
            loss = model.loss(batch)
            optimizer.zero_grad()
            (loss / len(batch)).backward()
            optimizer.step()
            images += len(batch)
            total += loss.item()
        report(images, total / images)
