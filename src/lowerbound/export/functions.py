"""What is exported of a model: functions of tensors alone, their outputs named."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.distributions import FullNormal, as_diagonal, has_density
from lowerbound.vae import VAE

PARTS = {"_mixture_distribution": "mixture", "_component_distribution": "components"}
"""What a mixture of torch's keeps its distributions as, and what they are called here."""


class Function(nn.Module):
    """A function of tensors: its outputs are a tuple when it is called, named when it is asked."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    @abstractmethod
    def named(self, *inputs: Any, **more: Any) -> dict[str, Tensor]:
        """The outputs, by their names."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs, in the order of their names."""
        return tuple(self.named(*inputs).values())


class Encoder(Function):
    """From data x, and their labels of a conditional model, to what q(z|x) is."""

    def named(self, x: Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
        q = self.model.encode(x, label)
        found = {"mean": q.mean}
        if (diagonal := as_diagonal(q)) is not None:
            found["log_variance"] = diagonal.log_variance
        elif isinstance(q, FullNormal):
            found["L"] = q.L
        return found


class Decoder(Function):
    """From codes z, and labels, to what p(x|z) is, and its mean in the data's units."""

    def named(self, z: Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
        p = self.model.likelihood(z, self.model.features(label, z.shape[0]))
        return {"mean": self.model.transform.inverse(p.mean), **parameters(p)}


class Score(Function):
    """From x, and noise ε ~ N(0, I) that makes z of q(z|x), to the terms of the ELBO, in nats.

    x is transformed without noise.  The KL is exact where a closed form is known, and taken at
    those z elsewhere.
    """

    def named(self, x: Tensor, noise: Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
        model = self.model
        seen = model.transform.noiseless(x).to(noise.dtype)
        given = model.given(seen, model.features(label, x.shape[0]))
        if hasattr(given.q, "at_and_log_prob"):
            d = given.at(*given.q.at_and_log_prob(noise))
        else:
            d = given.at(given.q.at(noise))  # type: ignore[attr-defined]
        reconstruction = -d.log_likelihood.mean(0)
        return {"elbo": -reconstruction - d.kl, "reconstruction": reconstruction, "kl": d.kl}


class CodeScore(Function):
    """From x to −log p(x|z) at its code z, in nats: of an autoencoder, which has no ELBO."""

    def named(self, x: Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
        model = self.model
        features = model.features(label, x.shape[0])
        z = model.encode(x, label).mean
        seen = model.transform.noiseless(x).to(z.dtype)
        return {"reconstruction": -model.likelihood(z, features).log_prob(seen)}


def score(model: VAE, q: Distribution) -> Function | None:
    """What scores x; None where ``q``, a posterior of ``model``, makes no z from noise."""
    if not has_density(q):
        return CodeScore(model)
    return Score(model) if hasattr(q, "at") else None


def parameters(p: Distribution, within: str = "") -> dict[str, Tensor]:
    """The tensors that ``p`` is made of by their names, which begin with what they are ``within``.

    >>> import torch
    >>> from lowerbound.distributions import Poisson, ZeroInflated
    >>> list(parameters(ZeroInflated(torch.zeros(3), Poisson(torch.zeros(3)))))
    ['logits', 'other.log_mean']
    """
    found: dict[str, Tensor] = {}
    for name, value in list(vars(p).items()):
        name = PARTS.get(name, name)
        if isinstance(value, Distribution):
            found |= parameters(value, within if name == "base_dist" else f"{within}{name}.")
        elif isinstance(value, Tensor) and not name.startswith("_"):
            found[within + name] = value
        elif name == "fields":
            for i, field in enumerate(value):
                found |= parameters(field, f"{within}{i}.")
    return found
