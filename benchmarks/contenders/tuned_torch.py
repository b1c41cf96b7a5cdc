"""PyTorch tuned by hand: batches indexed from uint8 tensors, fused Adam, no DataLoader."""

import itertools

import protocol
import torch
import torch.nn.functional as F
from torch import nn

told = protocol.task()
x = torch.from_numpy(protocol.images(told))


def mlp(sizes):
    layers = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = mlp([784, *told.hidden, 2 * told.latent])
        self.decoder = mlp([told.latent, *told.hidden[::-1], 784])

    def forward(self, x):
        mean, log_variance = self.encoder(x).chunk(2, 1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decoder(z), mean, log_variance


model = VAE()
optimizer = torch.optim.Adam(model.parameters(), lr=told.rate, fused=True)
report = protocol.Reporter()
for _ in range(told.epochs):
    total = 0.0
    for indices in torch.randperm(len(x)).split(told.batch):
        batch = x[indices].float() / 255
        logits, mean, log_variance = model(batch)
        bce = F.binary_cross_entropy_with_logits(logits, batch, reduction="sum")
        kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        loss = bce + kl
        optimizer.zero_grad()
        (loss / len(batch)).backward()
        optimizer.step()
        total += loss.item()
    report(len(x), total / len(x))
