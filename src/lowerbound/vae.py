"""The composition: a prior, a posterior and a likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.context import Known, Labels, values_of
from lowerbound.covariates import Covariates
from lowerbound.data import Data, as_dataset
from lowerbound.data.assembly import in_memory, is_plain
from lowerbound.data.columns import D, by_name
from lowerbound.distributions import draw
from lowerbound.divergences import kl
from lowerbound.errors import ConfigurationError, ShapeError, brief, check_count
from lowerbound.lazy import lazy
from lowerbound.likelihoods.support import check_support, decoded_elements, is_density
from lowerbound.parts import part
from lowerbound.streams import Stream, seeded
from lowerbound.transforms import Identity, Transform

SAMPLED, ROWS = 2**24, 2**16  # numbers, and rows, that are decoded at once


@dataclass(frozen=True)
class Draws:
    """k draws z ~ q(z|x) for each x of a batch, and what a bound is made of, in nats.

    Attributes:
        q: q(z|x), batch shape (batch,).
        p: p(z).
        z: (k, batch, latent).
        log_likelihood: log p(x|z), (k, batch).
        drawn_log_q: log q(z|x) of a q that tells it with z; None has `log_q` computed from z.
    """

    q: Distribution
    p: Distribution
    z: Tensor
    log_likelihood: Tensor
    drawn_log_q: Tensor | None = None

    @lazy
    def log_q(self) -> Tensor:
        """log q(z|x), (k, batch)."""
        return self.q.log_prob(self.z) if self.drawn_log_q is None else self.drawn_log_q

    @lazy
    def log_p(self) -> Tensor:
        """log p(z), (k, batch)."""
        return self.p.log_prob(self.z)

    @lazy
    def log_ratio(self) -> Tensor:
        """log q(z|x) − log p(z), (k, batch), whose mean estimates the KL."""
        return self.log_q - self.log_p

    @lazy
    def log_w(self) -> Tensor:
        """log w = log p(x|z) + log p(z) − log q(z|x), (k, batch); E w = p(x)."""
        return self.log_likelihood - self.log_ratio

    @lazy
    def kl(self) -> Tensor:
        """KL(q(z|x) ‖ p(z)), (batch,), in closed form where one is known, else at the drawn z."""
        return kl(self.q, self.p, self.z, self.drawn_log_q)

    def through_z(self) -> Draws:
        """The same draws, log q(z|x) having its gradient by q's parameters through z alone.

        Source: Roeder, Wu & Duvenaud, Sticking the landing, 2017, arXiv 1703.09194.
        """
        if not hasattr(self.q, "detach"):
            raise ConfigurationError(
                f"expected a posterior whose distribution has detach(), which the dreg gradient "
                f"needs, got {type(self.q).__name__}; use gradient='standard'"
            )
        return replace(self, q=self.q.detach(), drawn_log_q=None)


@dataclass(frozen=True)
class Conditioned:
    """A model given prepared x.

    Attributes:
        x: (batch, *shape).
        q: q(z|x), batch shape (batch,).
        p: p(z).
        log_likelihood: from z, (k, batch, latent), to log p(x|z), (k, batch), nats.
    """

    x: Tensor
    q: Distribution
    p: Distribution
    log_likelihood: Callable[[Tensor], Tensor]

    def draws(self, k: int = 1) -> Draws:
        """k draws z ~ q(z|x) for each x, reparameterised where gradients are taken."""
        if hasattr(self.q, "rsample_and_log_prob"):
            return self.at(*self.q.rsample_and_log_prob((k,)))
        return self.at(self.q.rsample((k,)) if torch.is_grad_enabled() else self.q.sample((k,)))

    def at(self, z: Float[Tensor, "k batch latent"], log_q: Tensor | None = None) -> Draws:
        """The same at codes from elsewhere; ``log_q`` is log q(z|x) where it is known."""
        return Draws(self.q, self.p, z, self.log_likelihood(z), log_q)


@part
class VAE(nn.Module):
    """p(x, z) = p(z) p(x|z) with an approximate posterior q(z|x).

    The parts, `draws` and the objectives work on prepared tensors, as `prepare` returns them.
    `encode`, `embed`, `decode`, `reconstruct` and `sample` take and return data.

    Args:
        prior: p(z).
        posterior: q(z|x), over as many dimensions as the prior.
        likelihood: p(x|z); its ``shape`` is that of one x.
        transform: from data as they are kept (grey levels as uint8, say) to what the parts see.
        context: from class labels or covariates to features c, which every part is then given
            too; None makes an unconditional model.  `Labels` and `Covariates` take these by their
            names, one of your own takes the classes' numbers.
        columns: names of a table's columns; other data are taken by them.

    Raises:
        ShapeError: prior and posterior are over different latent spaces.
        ConfigurationError: a posterior without ``latent_dim`` or a likelihood without ``shape``.

    >>> from lowerbound import MLP, Bernoulli, DiagonalGaussian, StandardNormal
    >>> model = VAE(
    ...     StandardNormal(2),
    ...     DiagonalGaussian(MLP(784, (512,), 4), 2),
    ...     Bernoulli(MLP(2, (512,), 784), shape=(1, 28, 28)),
    ... )
    >>> sum(p.numel() for p in model.parameters())
    807700
    """

    def __init__(
        self,
        prior: nn.Module,
        posterior: nn.Module,
        likelihood: nn.Module,
        transform: Transform = Identity(),
        context: nn.Module | None = None,
        columns: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__()
        self.prior, self.posterior, self.likelihood = prior, posterior, likelihood
        self.transform, self.context = transform, context
        self.columns = None if columns is None else tuple(columns)
        for given, name, meaning in (
            (posterior, "latent_dim", "the dimensions of z"),
            (likelihood, "shape", "the shape of one x"),
        ):
            if not hasattr(given, name):
                raise ConfigurationError(
                    f"expected {type(given).__name__} to have {name}, {meaning}, got none; set it "
                    "as an attribute"
                )
        if hasattr(prior, "bind"):
            prior.bind(posterior, likelihood.shape)  # type: ignore[operator]
        for name in ("latent_dim", "sizes"):
            ours, theirs = getattr(prior, name, None), getattr(posterior, name, None)
            if None not in (ours, theirs) and ours != theirs:
                raise ShapeError(
                    f"expected prior and posterior over one latent space, got {name} {ours} and "
                    f"{theirs}"
                )

    @property
    def latent_dim(self) -> int:
        """Dimensions of z."""
        return self.posterior.latent_dim  # type: ignore[return-value]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one x."""
        return self.likelihood.shape  # type: ignore[return-value]

    @property
    def takes_labels(self) -> bool:
        """Whether its context is made of class labels."""
        return not isinstance(self.context, Covariates | None)

    @property
    def is_density(self) -> bool:
        """Whether log p(x|z) is a density, or a probability, of the data itself."""
        return is_density(self.likelihood, self.transform)

    def by_name(self, data: D) -> D:
        """``data``, its columns, categories and classes as the model has them, by their names.

        Raises:
            DataError: a column is missing, or an example's category or class is none of the
                model's.
        """
        known = self.context.expect(data) if isinstance(self.context, Known) else data
        data = by_name(known, self.columns)
        own: Any = getattr(self.likelihood, "by_name", None)
        return own(data) if own else data

    def expect(self, data: Data) -> Data:
        """``data`` as `by_name` takes them; data that do not fit the model are refused.

        Raises:
            ConfigurationError: elements are missing, and the likelihood cannot leave them out.
            DataError: the likelihood gives such values no probability, or as in `by_name`.
        """
        data = self.by_name(data)
        check_support(self.likelihood, self.transform, data)
        return data

    def draws(
        self,
        x: Float[Tensor, "batch ..."],
        k: int = 1,
        context: Float[Tensor, "batch features"] | None = None,
        *,
        seen: Float[Tensor, "batch ..."] | None = None,
    ) -> Draws:
        """k draws z ~ q(z|x) for each prepared x, with log p(x|z), log w, and the KL.

        In training mode a likelihood that tracks its batches takes this one in.

        Args:
            x: as `prepare` returns it.
            k: draws for each example.
            context: features, as `prepare` returns them; None in a model without context.
            seen: x̃, what the encoder sees of x: z is from q(z|x̃), and any q gives a bound.
        """
        return self.given(x, context, seen=seen).draws(k)

    def given(
        self, x: Tensor, context: Tensor | None = None, *, seen: Tensor | None = None
    ) -> Conditioned:
        """What `draws` draws from, with the same x, ``context`` and ``seen``.

        For codes by parts or from elsewhere.
        """
        q = self.posterior(x if seen is None else seen, context)
        return Conditioned(x, q, self.prior(context), partial(self._log_likelihood, x, context))

    def _log_likelihood(self, x: Tensor, context: Tensor | None, z: Tensor) -> Tensor:
        p = self.likelihood(z, context)
        if self.training and hasattr(self.likelihood, "track"):
            self.likelihood.track(p, x)  # type: ignore[operator]
        return p.log_prob(x)

    def prepare(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Data x, (batch, *shape), as the tensors that the parts see.

        ``context`` are class labels, (batch,), or covariates, (batch, C), which a model without
        context ignores.

        Raises:
            ShapeError: x has another shape than the model's, or not one row of context for each.
            ConfigurationError: a conditional model was given no context, or a wrong one.
        """
        self._check(x)
        return self.transform(x).to(self._parameter.dtype), self.features(context, x.shape[0])

    @property
    def _parameter(self) -> Tensor:
        """One whose device and type are the model's."""
        return next(self.parameters())

    def _here(self, values: Any) -> Tensor:
        """Codes or labels, from wherever, on the model's device."""
        try:
            return torch.as_tensor(values, device=self._parameter.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigurationError(
                f"expected a tensor or an array of numbers, got {type(values).__name__} "
                f"({brief(error)})"
            ) from None

    def _check(self, x: Tensor) -> None:
        if x.shape[1:] != self.shape:
            raise ShapeError(f"expected x of shape {('batch', *self.shape)}, got {tuple(x.shape)}")

    def features(self, context: Any, n: int | None = None) -> Tensor | None:
        """``context`` of n examples, as features (n, context_dim); see `prepare`."""
        if self.context is None:
            return None
        context = self._here(values_of(self.context, context, n))
        if n is not None and context.shape[:1] != (n,):
            what = getattr(self.context, "what", Labels.what)
            raise ShapeError(
                f"expected {what} of shape ({n},), one for each example, got {tuple(context.shape)}"
            )
        return self.context(context).to(self._parameter.dtype)

    def encode(self, x: Any, context: Any = None) -> Distribution:
        """The posterior q(z|x) of data x, transformed without noise.

        As everywhere that data go in, x is a tensor of any type, or whatever `data.as_dataset`
        takes: an array, a frame, a data set in memory.  ``context`` are what a conditional model
        needs: class numbers of any type, or names, (batch,), or covariates, as a frame of as many
        rows, or a mapping from their names to the values of all; None takes the data set's.

        Raises:
            ShapeError: x has another shape than the model's.
            ConfigurationError: a conditional model was given no context, or a wrong one; or numbers
                beside a data set that numbers the classes otherwise.
        """
        x, context = self._taken(x, context)
        self._check(x)
        x = self.transform.noiseless(x.to(self._parameter.device)).to(self._parameter.dtype)
        return self.posterior(x, self.features(context, x.shape[0]))

    def _taken(self, x: Any, context: Any) -> tuple[Tensor, Any]:
        """x as a tensor, and its context; a data set's own, where there is no other."""
        if is_plain(x):
            return x, context
        given = as_dataset(x)
        data = in_memory(self.expect(given))
        if context is None:
            return data.x, data.context
        named = isinstance(self.context, Labels) and self.context.are_names(context)
        if data.classes != given.classes and not named:
            raise ConfigurationError(
                f"expected the names of classes as context for {given.name}, which numbers them "
                "otherwise than the model, got numbers; leave context out to take its own labels"
            )
        return data.x, context

    def decode(self, z: Any, context: Any = None) -> Tensor:
        """The mean of p(x|z) for codes z, (*batch, latent), in data units: (*batch, *shape).

        ``context`` is as in `encode`.
        """
        return self.transform.inverse(self.likelihood_at(z, context).mean)

    def likelihood_at(self, z: Any, context: Any = None) -> Distribution:
        """p(x|z) of prepared x, for codes z and their ``context`` as in `decode`."""
        z = self._here(z).to(self._parameter.dtype)
        if z.shape[-1:] != (self.latent_dim,):
            raise ShapeError(
                f"expected codes of shape {('*batch', self.latent_dim)}, got {tuple(z.shape)}"
            )
        return self.likelihood(z, self.features(context, math.prod(z.shape[-2:-1])))

    @torch.no_grad()
    def embed(self, x: Any, context: Any = None) -> Float[Tensor, "batch latent"]:
        """The posterior's mean for data x and their ``context``, see `encode`."""
        return self.encode(x, context).mean

    @torch.no_grad()
    def reconstruct(self, x: Any, context: Any = None) -> Tensor:
        """The mean of p(x|z) at q(z|x)'s, (batch, *shape), x and ``context`` as in `encode`."""
        x, context = self._taken(x, context)
        return self.decode(self.embed(x, context), context)

    def joint(
        self, n: int, context: Float[Tensor, "n features"] | None = None
    ) -> tuple[Float[Tensor, "n latent"], Distribution]:
        """n draws z ~ p(z), and p(x|z) of prepared x at each, given ``context`` features."""
        z = draw(self.prior(context), n)
        return z, self.likelihood(z, context)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Any = None,
        *,
        seed: int | None = None,
        mean: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Tensor:
        """x ~ p(x|z), z ~ p(z), or with ``mean`` the decoder's mean at z; (n, *shape), data units.

        ``seed`` makes the draw repeatable and leaves torch's generator as it was; a conditional
        model's ``context`` is of n examples, or covariates of all; ``progress`` is told how many
        are done.
        """
        n = check_count("samples", n, least=0)
        if context is not None and self.context is None:
            raise ConfigurationError(
                "expected no context, as this model is not conditional, got some; leave it out"
            )
        features, parts = self.features(context, n), []
        size = max(1, min(ROWS, SAMPLED // decoded_elements(self.likelihood)))
        with nullcontext() if seed is None else seeded(self._parameter.device, seed, Stream.SAMPLE):
            for start in range(0, max(n, 1), size):
                end = min(start + size, n)
                _, p = self.joint(end - start, None if features is None else features[start:end])
                parts.append(self.transform.inverse(p.mean if mean else p.sample()))
                progress(end, n)
        return torch.cat(parts)
