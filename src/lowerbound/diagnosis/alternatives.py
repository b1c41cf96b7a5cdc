"""Other likelihoods on the same codes, cheaply: a small decoder is trained afresh for each.

The encoder stays as it is.  Each likelihood gets a decoder of one hidden layer, the same steps and
the same codes z ~ q(z|x) of the training data, and is judged on held-out data by

    −(E_q log p(x|z) − KL(q(z|x) ‖ p(z)))/(D log 2),

bits per dimension of the data as they are kept.  These are upper bounds on what each could reach,
alike for all, and not the figures of the model itself, whose decoder may be larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, NegativeBinomial, Normal, Poisson, StudentT

from lowerbound import likelihoods
from lowerbound.data import Dataset
from lowerbound.diagnosis.trained import Codes, TrainedModel
from lowerbound.distributions import ContinuousBernoulli, DiscretisedLogistic
from lowerbound.networks import MLP
from lowerbound.streams import Stream, seed_noise
from lowerbound.transforms import Identity, Standardise, Transform

HIDDEN = 128
STEPS = 200
BATCH = 128
LEARNING_RATE = 6e-3
SHARED_RATE = 0.1
"""Of the two shared numbers.  Adam moves each by half of the rate at a step, on average: by 10 in
all, while at the decoder's rate σ could not fall below half of where it starts.
"""
DRAWS = 10
"""Draws of z per held-out example."""

Elements = Callable[[Tensor, Tensor], Distribution]
Alternative = tuple[Transform, Elements]
"""A likelihood of transformed data: elementwise, from a decoder's outputs h of the shape of x and
two numbers s shared by all elements."""


class RoundedNormal(Distribution):
    """P(x) = Φ((x + ½ − μ)/σ) − Φ((x − ½ − μ)/σ), x whole: a Gaussian as a probability."""

    def __init__(self, mean: Tensor, sigma: Tensor) -> None:
        self.mu, self.sigma = mean, sigma
        super().__init__(mean.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log P, by the tail on x's own side, where the difference keeps its digits."""
        distance = (value - self.mu).abs()
        upper = torch.special.log_ndtr((0.5 - distance) / self.sigma)
        lower = torch.special.log_ndtr((-0.5 - distance) / self.sigma)
        return upper + torch.log(-torch.expm1((lower - upper).clamp(max=-1e-6)))


ELEMENTS: dict[str, Elements] = {
    "Bernoulli": lambda h, s: Bernoulli(logits=h),
    "ContinuousBernoulli": lambda h, s: ContinuousBernoulli(h),
    "Gaussian": lambda h, s: Normal(h, s[0].exp()),
    "StudentT": lambda h, s: StudentT(2 + s[1].exp(), h, s[0].exp()),
    "DiscretisedLogistic": lambda h, s: DiscretisedLogistic(h.sigmoid(), s[0].expand_as(h) - 3),
}
FAMILIES = {
    "binary": ("Bernoulli",),
    "grey": ("ContinuousBernoulli", "Gaussian", "DiscretisedLogistic"),
    "unit": ("ContinuousBernoulli", "Gaussian"),
    "counts": ("Gaussian", "Poisson", "NegativeBinomial"),
}
"""The likelihoods that are a density, or a probability, of data of such kinds."""
OF_COLUMNS = ("Gaussian", "StudentT")
"""Those of columns of any other numbers."""


def families(kind: str) -> tuple[str, ...]:
    """The names of the likelihoods to compare on data of this kind."""
    return FAMILIES.get(kind, OF_COLUMNS)


def alternatives(data: Dataset, device: torch.device, dtype: torch.dtype) -> dict[str, Alternative]:
    """These likelihoods of the data, by name."""
    kind = data.kind
    if kind == "counts":
        return _of_counts(data.x.to(device).double().to(dtype))
    takes = {n: getattr(likelihoods, n).takes.get(kind, Standardise) for n in families(kind)}
    return {name: (transform.of(data), ELEMENTS[name]) for name, transform in takes.items()}


def _of_counts(x: Tensor) -> dict[str, Alternative]:
    """Means and scales are relative to those of the columns, so that all start from sense."""
    mean, log_mean = x.mean(0), x.mean(0).clamp(min=1e-3).log()
    deviation = torch.where(x.std(0) > 0, x.std(0), 1.0)
    elements: dict[str, Elements] = {
        "Gaussian": lambda h, s: RoundedNormal(mean + deviation * h, deviation * s[0].exp()),
        "Poisson": lambda h, s: Poisson((log_mean + h).exp()),
        "NegativeBinomial": lambda h, s: NegativeBinomial(s[0].exp(), logits=log_mean + h - s[0]),
    }
    return {name: (Identity(), each) for name, each in elements.items()}


def bits_of_alternatives(trained: TrainedModel) -> dict[str, Tensor]:
    """Held-out bits per dimension of each example, (n,), by likelihood."""
    assert trained.train is not None
    known, new = trained.encoded(trained.train), trained.codes
    assert new.kl is not None
    shape = tuple(trained.model.shape)
    dtype = torch.promote_types(known.mean.dtype, torch.float32)
    found = {}
    for name, alternative in alternatives(trained.train, trained.device, dtype).items():
        seed_noise(trained.device, trained.seed, Stream.ALTERNATIVES)
        decoder = Decoder(known, shape, alternative).to(trained.device, dtype)
        with torch.enable_grad():
            decoder.train_on(known, trained.train.x)
        bound = (
            decoder.score(new, trained.test.x)
            - new.kl
            + decoder.transform.log_volume(trained.test.x)
        )
        found[name] = -bound / (math.prod(shape) * math.log(2))
    return found


class Decoder(nn.Module):
    """codes → p(x|z) of an alternative, elementwise, by one hidden layer."""

    def __init__(self, codes: Codes, shape: tuple[int, ...], alternative: Alternative) -> None:
        super().__init__()
        features = 0 if codes.context is None else codes.context.shape[-1]
        latent = codes.mean.shape[-1]
        self.shape, (self.transform, self.elements) = shape, alternative
        self.network = MLP(latent, (HIDDEN,), math.prod(shape), context_dim=features)
        self.shared = nn.Parameter(torch.zeros(2))

    def log_prob(self, x: Tensor, codes: Codes, rows: Tensor | slice) -> Tensor:
        """log p(x|z) of some rows of x, at fresh draws of their codes."""
        here, mean = self.shared, codes.mean[rows]
        z = (mean + codes.variance[rows].sqrt() * torch.randn_like(mean)).to(here)
        context = () if codes.context is None else (codes.context[rows].to(here),)
        h = self.network(z, *context)
        p = self.elements(h.reshape(-1, *self.shape), here)
        return p.log_prob(self.transform(x[rows].to(here.device)).to(here)).flatten(1).sum(1)

    def train_on(self, codes: Codes, x: Tensor) -> None:
        """Maximise E_q log p(x|z) by Adam, the rate falling to 0."""
        groups = [
            {"params": self.network.parameters(), "lr": LEARNING_RATE},
            {"params": [self.shared], "lr": SHARED_RATE},
        ]
        optimizer = torch.optim.Adam(groups)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        for _ in range(STEPS):
            loss = -self.log_prob(x, codes, torch.randint(len(x), (BATCH,))).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    def score(self, codes: Codes, x: Tensor) -> Tensor:
        """E_q log p(x|z) of each example, (n,), from `DRAWS` draws."""
        columns = []
        for start in range(0, len(x), BATCH):
            rows = slice(start, start + BATCH)
            draws = [self.log_prob(x, codes, rows) for _ in range(DRAWS)]
            columns.append(torch.stack(draws).mean(0).cpu())
        return torch.cat(columns)
