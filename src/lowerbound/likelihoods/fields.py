"""Likelihoods of rows whose fields are of several kinds."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound import distributions
from lowerbound.data.columns import D, by_category, quoted
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.likelihoods.base import Likelihood, Shape, Support, Takes
from lowerbound.networks import apply, set_output
from lowerbound.parts import NonNegative, Size, part
from lowerbound.transforms import Levels


@part
class Nominal(Likelihood):
    """p(x|z) = ∏ᵢ softmax(θᵢ)ₓᵢ, x the number of one of K categories, which have names.

    Args:
        network: from z, (batch, latent), to θ, a number for each category, (batch, K, *shape).
        shape: of one x.
        categories: their names.
    """

    support: ClassVar[Support] = "categories"

    def __init__(self, network: nn.Module, shape: Shape, categories: tuple[str, ...]) -> None:
        super().__init__(network, shape)
        self.categories, self.numbers = categories, len(categories)

    def constant(self, x: Tensor) -> Tensor:
        categories = torch.arange(self.numbers, device=x.device)
        times = (x.unsqueeze(-1) == categories).sum(0).double()
        return (times + 1 / self.numbers).log()

    def elements(self, theta: Tensor) -> Distribution:
        return distributions.Nominal(theta)


@part
class Ordinal(Likelihood):
    """P(xᵢ ≤ k|z) = 1/(1 + e^(ηᵢ − cᵢₖ)), x the number of one of K levels, which have an order.

    The thresholds cᵢ₀ < cᵢ₁ < … are parameters for each element of x, the same for all z.

    Args:
        network: from z, (batch, latent), to η, (batch, *shape).
        shape: of one x.
        levels: K, at least 2.

    Raises:
        ConfigurationError: fewer levels.

    Source: McCullagh, Regression models for ordinal data, 1980.
    """

    support: ClassVar[Support] = "categories"
    takes: ClassVar[Takes] = {"ordinal": Levels}

    def __init__(self, network: nn.Module, shape: Shape, levels: Size) -> None:
        super().__init__(network, shape)
        if levels < 2:
            raise ConfigurationError(f"Ordinal: expected levels of at least 2, got {levels}")
        self.lowest = nn.Parameter(torch.zeros(shape))
        self.log_gaps = nn.Parameter(torch.zeros(*shape, levels - 2))

    def constant(self, x: Tensor) -> Tensor:
        k = self.log_gaps.shape[-1] + 2
        times = (x.unsqueeze(-1) == torch.arange(k, device=x.device)).sum(0).double() + 1 / k
        below = (times.cumsum(-1) / times.sum(-1, keepdim=True))[..., :-1].logit()
        self.lowest.copy_(below[..., 0])
        self.log_gaps.copy_(below.diff(dim=-1).log())
        return torch.zeros_like(x[0]).unsqueeze(-1)

    def elements(self, theta: Tensor) -> Distribution:
        gaps = self.log_gaps.exp()
        c = torch.cat((self.lowest.unsqueeze(-1), gaps), -1).cumsum(-1)
        # σ(b) − σ(a) = σ(b) σ(−a) (1 − e^(a − b))
        log_p = F.logsigmoid(F.pad(c - theta, (0, 1), value=math.inf))
        log_p = log_p + F.logsigmoid(F.pad(theta - c, (1, 0), value=math.inf))
        return distributions.Nominal(log_p + F.pad((-torch.expm1(-gaps)).log(), (1, 1)))


@part
class Heterogeneous(nn.Module):
    """p(x|z) = ∏ᶠ pᶠ(xᶠ|z) over the observed elements: each group of fields has its own family.

    x is a row, (batch, columns), with NaN where an element is missing.

    Args:
        network: from z, (batch, latent), to what the families take, one after the other.
        families: a likelihood for each group of fields, of shape (k,) for k columns, with
            `networks.Given` as its network.
        columns: the numbers of each group's columns, which together are all of them.

    Raises:
        ConfigurationError: families and columns that do not fit each other.

    Source: Nazábal, Olmos, Ghahramani & Valera, Handling incomplete heterogeneous data using VAEs,
    2018, arXiv 1807.03653.
    """

    takes_missing = True

    def __init__(
        self,
        network: nn.Module,
        families: tuple[Likelihood, ...],
        columns: tuple[tuple[NonNegative, ...], ...],
    ) -> None:
        super().__init__()
        every = sorted(column for group in columns for column in group)
        if not families or every != list(range(len(every))):
            raise ConfigurationError(
                "Heterogeneous: expected a family or more, and every column in one group, got "
                f"{len(families)} families and the columns {columns}"
            )
        for family, group in zip(families, columns, strict=False):
            if family.shape != (len(group),) or len(families) != len(columns):
                raise ConfigurationError(
                    f"Heterogeneous: expected a family of shape ({len(group)},) for the columns "
                    f"{group}, got {type(family).__name__} of shape {family.shape}, and "
                    f"{len(families)} families for {len(columns)} groups"
                )
            if getattr(family, "sigma", None) == "optimal":
                raise ConfigurationError(
                    "Heterogeneous: expected a sigma that is learned, decoded or a number, got "
                    "'optimal', which is the best for whole batches, of which nothing is missing"
                )
        self.network, self.families = network, nn.ModuleList(families)
        self.columns, self.shape = columns, (len(every),)
        self.widths = [
            family.numbers * len(group) for family, group in zip(families, columns, strict=True)
        ]

    def by_name(self, data: D) -> D:
        """``data``, their categories numbered as the families number them, by their names.

        Raises:
            DataError: a category that the families do not have; or numbers where they have
                categories, or the other way round.
        """
        if data.shape != self.shape:
            return data
        known, others, start = self.categories_of(), dict[int, tuple[str, ...]](), 0
        for number, field in enumerate(data.schema):
            wanted = known[start]
            start += field.size
            if field.categories == wanted:
                continue
            if wanted is None or field.categories is None:
                raise DataError(
                    f"{data.name}: expected {_told(wanted)} in {field.name!r}, as the model was "
                    f"made for, got {_told(field.categories)}"
                )
            others[number] = wanted
        return by_category(data, others)

    def categories_of(self) -> dict[int, tuple[str, ...] | None]:
        """The names of the categories of each column, None of one of numbers."""
        return {i: getattr(each, "categories", None) for i, each in self.family_of().items()}

    def family_of(self) -> dict[int, nn.Module]:
        """The family of each column."""
        groups = zip(self.families, self.columns, strict=True)
        return {i: family for family, group in groups for i in group}

    @property
    def outputs(self) -> int:
        """The numbers that ``network`` returns for one code."""
        return sum(self.widths)

    @property
    def numbers(self) -> int:
        """The same for each column, on average and rounded up."""
        return math.ceil(self.outputs / self.shape[0])

    @property
    def support(self) -> tuple[tuple[tuple[int, ...], str], ...]:
        """The support of each group of columns."""
        supports = (family.support for family in self.families)
        return tuple(zip(self.columns, supports, strict=True))  # type: ignore[arg-type]

    @torch.no_grad()
    def start(self, x: Float[Tensor, "n columns"]) -> None:
        """Start at the p(x) that fits prepared examples ``x`` best of those that ignore z."""
        groups = zip(self.families, self.columns, self.widths, strict=True)
        parts = [
            x.new_zeros(width) if theta is None else theta.movedim(-1, 0).flatten()
            for family, group, width in groups
            for theta in (family.constant(x[:, list(group)]),)  # type: ignore[operator]
        ]
        set_output(self.network, torch.cat(parts))

    def forward(
        self,
        z: Float[Tensor, "*batch latent"],
        context: Float[Tensor, "... features"] | None = None,
    ) -> Distribution:
        """p(x|z,c) of z and ``context`` c, batch shape that of z, event shape (columns,)."""
        theta = apply(self.network, z, context, (self.outputs,), z.ndim - 1)
        groups = zip(self.families, theta.split(self.widths, -1), strict=True)
        return distributions.Joint([family(numbers) for family, numbers in groups], self.columns)


def _told(categories: tuple[str, ...] | None) -> str:
    return "numbers" if categories is None else f"the categories {quoted(categories)}"
