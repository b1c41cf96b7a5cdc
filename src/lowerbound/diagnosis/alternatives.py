"""Other likelihoods on the same codes, cheaply: a small decoder is trained afresh for each.

The encoder stays as it is.  Each likelihood gets a decoder of one hidden layer, the same steps and
the same codes z ~ q(z|x) of the training data, and is judged on held-out data by

    −(E_q log p(x|z) − KL(q(z|x) ‖ p(z)))/(D log 2),

bits per dimension of the data as they are kept.  These are upper bounds on what each could reach,
fair to one another, and not the figures of the model itself, whose decoder may be larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Distribution,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

from lowerbound.data import Dataset
from lowerbound.diagnosis.subject import Subject, variance_of
from lowerbound.distributions import ContinuousBernoulli, DiscretisedLogistic
from lowerbound.evaluation.bounds import prepared_batches
from lowerbound.networks import MLP
from lowerbound.transforms import Binary, Dequantise, Identity, Scale, Standardise, Transform

HIDDEN = 256
STEPS = 500
BATCH = 128
LEARNING_RATE = 3e-3
SHARED_RATE = 0.05
"""Of the two shared numbers.  Adam moves each by half of the rate at a step, on average: by 12 in
all, while at the decoder's rate σ could not fall below half of where it starts.
"""
DRAWS = 10
"""Draws of z per held-out example."""

Elements = Callable[[Tensor, Tensor], Distribution]


@dataclass(frozen=True)
class Alternative:
    """A likelihood of transformed data: elementwise, from a decoder's outputs h of the shape of x
    and two numbers s shared by all elements."""

    name: str
    transform: Transform
    elements: Elements


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


def alternatives(data: Dataset) -> list[Alternative]:
    """The likelihoods that are a density, or a probability, of data of this kind."""
    if data.kind == "binary":
        return [
            Alternative("Bernoulli", Binary(data.scale), lambda h, s: Bernoulli(logits=h)),
        ]
    if data.kind in ("grey", "unit"):
        transform = Dequantise() if data.kind == "grey" else Identity()
        continuous = [
            Alternative("ContinuousBernoulli", transform, lambda h, s: ContinuousBernoulli(h)),
            Alternative("Gaussian", transform, lambda h, s: Normal(h, s[0].exp())),
        ]
        if data.kind == "unit":
            return continuous
        logistic = Alternative(
            "DiscretisedLogistic",
            Scale(),
            lambda h, s: DiscretisedLogistic(h.sigmoid(), s[0].expand_as(h) - 3),
        )
        return [*continuous, logistic]
    if data.kind == "counts":
        return _of_counts(data.x.double().float())
    scaled = Standardise.of(data)
    return [
        Alternative("Gaussian", scaled, lambda h, s: Normal(h, s[0].exp())),
        Alternative("StudentT", scaled, lambda h, s: StudentT(2 + s[1].exp(), h, s[0].exp())),
    ]


def _of_counts(x: Tensor) -> list[Alternative]:
    """Means and scales are relative to those of the columns, so that all start from sense."""
    mean, deviation = x.mean(0), x.std(0)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    log_mean = mean.clamp(min=1e-3).log()
    return [
        Alternative(
            "Gaussian",
            Identity(),
            lambda h, s: RoundedNormal(mean + deviation * h, deviation * s[0].exp()),
        ),
        Alternative("Poisson", Identity(), lambda h, s: Poisson((log_mean + h).exp())),
        Alternative(
            "NegativeBinomial",
            Identity(),
            lambda h, s: NegativeBinomial(s[0].exp(), logits=log_mean + h - s[0]),
        ),
    ]


def bits_of_alternatives(subject: Subject) -> dict[str, Tensor]:
    """Held-out bits per dimension of each example, (n,), by likelihood."""
    assert subject.train is not None
    found = {}
    train, test = (_coded(subject, data) for data in (subject.train, subject.test))
    for alternative in alternatives(subject.train):
        torch.manual_seed(subject.seed)
        decoder = _Decoder(subject, alternative.elements).to(subject.device)
        with torch.enable_grad():
            _train(decoder, train, subject.train.x, alternative.transform)
        log_p = _judged(decoder, test, subject.test.x, alternative.transform)
        size = math.prod(subject.model.shape)
        volume = alternative.transform.log_volume(subject.model.shape)
        kl = subject.codes.kl
        cost = subject.log_ratios if kl is None else kl.sum(1)
        found[alternative.name] = (cost - log_p - volume) / (size * math.log(2))
    return found


@dataclass(frozen=True)
class _Coded:
    """q(z|x) of data by mean and deviation, and its context; on the model's device."""

    mean: Tensor
    deviation: Tensor
    context: Tensor | None

    def draw(self, rows: Tensor | slice) -> tuple[Tensor, Tensor | None]:
        mean, deviation = self.mean[rows], self.deviation[rows]
        z = mean + deviation * torch.randn_like(mean)
        return z, None if self.context is None else self.context[rows]


def _coded(subject: Subject, data: Dataset) -> _Coded:
    means, deviations, contexts = [], [], []
    for x, context in prepared_batches(subject.model, data, subject.device):
        q = subject.model.posterior(x, context)
        means.append(q.mean)
        deviations.append(variance_of(q).sqrt().expand_as(q.mean))
        if context is not None:
            contexts.append(context)
    context = torch.cat(contexts) if contexts else None
    return _Coded(torch.cat(means), torch.cat(deviations), context)


class _Decoder(nn.Module):
    """z → p(x|z), elementwise."""

    def __init__(self, subject: Subject, elements: Elements) -> None:
        super().__init__()
        features = 0
        if subject.model.context is not None:
            assert subject.test.labels is not None
            one = subject.model.features(subject.test.labels[:1].to(subject.device))
            assert one is not None
            features = one.shape[-1]
        self.shape, self.elements = subject.model.shape, elements
        outputs = math.prod(self.shape)
        self.network = MLP(subject.model.latent_dim, (HIDDEN,), outputs, context_dim=features)
        self.shared = nn.Parameter(torch.zeros(2))

    def log_prob(self, x: Tensor, z: Tensor, context: Tensor | None) -> Tensor:
        h = self.network(z) if context is None else self.network(z, context)
        p = self.elements(h.reshape(len(z), *self.shape), self.shared)
        return p.log_prob(x).flatten(1).sum(1)


def _train(decoder: _Decoder, codes: _Coded, x: Tensor, transform: Transform) -> None:
    """Maximise E_q log p(x|z) of the training data by Adam, the rate falling to 0."""
    groups = [
        {"params": decoder.network.parameters(), "lr": LEARNING_RATE},
        {"params": [decoder.shared], "lr": SHARED_RATE},
    ]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        rows = torch.randint(len(x), (BATCH,))
        z, context = codes.draw(rows)
        loss = -decoder.log_prob(transform(x[rows].to(z.device)), z, context).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _judged(decoder: _Decoder, codes: _Coded, x: Tensor, transform: Transform) -> Tensor:
    """E_q log p(x|z) of each example, (n,), from `DRAWS` draws."""
    columns = []
    for start in range(0, len(x), BATCH):
        rows = slice(start, start + BATCH)
        total = torch.zeros(len(x[rows]), device=codes.mean.device)
        for _ in range(DRAWS):
            z, context = codes.draw(rows)
            total += decoder.log_prob(transform(x[rows].to(z.device)), z, context)
        columns.append((total / DRAWS).cpu())
    return torch.cat(columns)
