"""The VAE of the PyTorch contenders, as tutorials write it."""

import itertools

import protocol
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

ROWS = 1000


def mlp(sizes):
    layers = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def networks(told):
    """Encoder and decoder, from and to (n, 784)."""
    encoder, decoder = map(mlp, protocol.sizes(told))
    if not told.channels:
        return encoder, decoder
    down, up = [nn.Unflatten(1, (1, 28, 28))], []
    for a, b in itertools.pairwise([1, *told.channels]):
        down += [nn.Conv2d(a, b, protocol.KERNEL), nn.ReLU()]
        up = [nn.ReLU(), nn.ConvTranspose2d(b, a, protocol.KERNEL), *up]
    side = protocol.side(told, len(told.channels))
    maps = nn.Unflatten(1, (told.channels[-1], side, side))
    return (
        nn.Sequential(*down, nn.Flatten(), encoder),
        nn.Sequential(decoder, maps, *up, nn.Flatten()),
    )


class VAE(nn.Module):
    def __init__(self, told):
        super().__init__()
        self.encoder, self.decoder = networks(told)
        protocol.check_parameters(told, sum(p.numel() for p in self.parameters()))

    def forward(self, x):
        """Reconstruction + KL of a batch, summed over its images."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        bce = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        return bce - 0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())


@torch.no_grad()
def validated(told, loss):
    """The mean per image of ``loss`` (summed over a batch) on the validation images."""
    x = torch.from_numpy(protocol.images(told.validation)).float() / 255
    return sum(loss(batch).item() for batch in x.split(ROWS)) / len(x)


def train(told, batches, steps, **adam):
    """``batches()`` yields the ``steps`` batches of an epoch."""
    torch.manual_seed(0)
    model = VAE(told)
    optimizer = torch.optim.Adam(model.parameters(), lr=told.rate, **adam)
    rates = iter(protocol.rates(told, steps))
    average = told.average and AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(told.average))
    report = protocol.Reporter()
    for _ in range(told.epochs):
        images, total = 0, 0.0
        for batch in batches():
            optimizer.param_groups[0]["lr"] = next(rates)
            loss = model(batch)
            optimizer.zero_grad()
            (loss / len(batch)).backward()
            optimizer.step()
            if average:
                average.update_parameters(model)
            images += len(batch)
            total += loss.item()
        report(images, total / images)
    if told.validation:
        report.validated(validated(told, average or model))
