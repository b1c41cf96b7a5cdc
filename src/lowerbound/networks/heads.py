"""The first and last layers of networks that prepare or split their input or output."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.networks.apply import Context
from lowerbound.parts import NonNegative, Positive, Size, part


@part
class GaussianHeads(nn.Module):
    """μ = mean(h) and log σ = std(h), two linear layers on features h = network(x).

    Returns μ, then log σ² = 2 std(h), as `DiagonalGaussian` takes them.

    Args:
        network: from x, and the context if there is one, to h, (batch, in_features).
        in_features: the width of h.
        latent_dim: dimensions of z.
    """

    def __init__(self, network: nn.Module, in_features: Size, latent_dim: Size) -> None:
        super().__init__()
        self.network = network
        self.mean = nn.Linear(in_features, latent_dim)
        self.std = nn.Linear(in_features, latent_dim)

    def forward(
        self, x: Float[Tensor, "batch ..."], context: Context = None
    ) -> Float[Tensor, "batch out"]:
        h = self.network(x) if context is None else self.network(x, context)
        return torch.cat((self.mean(h), 2 * self.std(h)), -1)


@part
class Leading(nn.Module):
    """``network`` of the first ``features`` numbers of z alone: p(x|z₁) where z = (z₁, …, z_L)."""

    def __init__(self, network: nn.Module, features: Size) -> None:
        super().__init__()
        self.network, self.features = network, features

    def forward(
        self, z: Float[Tensor, "batch latent"], context: Context = None
    ) -> Float[Tensor, "batch ..."]:
        z = z[:, : self.features]
        return self.network(z) if context is None else self.network(z, context)


@part
class Given(nn.Module):
    """The numbers it is given: the network of a likelihood that is a field of `Heterogeneous`."""

    def forward(self, theta: Float[Tensor, "batch numbers"]) -> Float[Tensor, "batch numbers"]:
        return theta


@part
class FieldInputs(nn.Module):
    """``network`` of a row's fields, as numbers that a network takes well.

    A missing element, NaN, is 0 throughout.

    Args:
        network: from (batch, width), with `width` as below.
        categories: for each column the number of its categories, which are taken one-hot, or 0
            for a number.
        counts: the columns that are taken as ±log(1 + |x|/u), those of one category beside it.
        missing: whether the network is also told which elements are observed.
        units: u of each of ``counts``; 1 of all if there are none.
    """

    def __init__(
        self,
        network: nn.Module,
        categories: tuple[NonNegative, ...],
        counts: tuple[NonNegative, ...] = (),
        *,
        missing: bool = False,
        units: tuple[Positive, ...] = (),
    ) -> None:
        super().__init__()
        self.network, self.categories, self.counts = network, categories, counts
        self.missing, self.units = missing, units

    @staticmethod
    def width(categories: tuple[int, ...], counts: tuple[int, ...] = (), *, missing: bool) -> int:
        """The numbers that ``network`` is given for each row.

        ``categories``, ``counts`` and ``missing`` are as above.
        """
        both = sum(1 for i in counts if categories[i])
        return sum(max(1, k) for k in categories) + both + missing * len(categories)

    def forward(self, x: Float[Tensor, "batch columns"], context: Context = None) -> Tensor:
        observed = ~x.isnan()
        x = torch.where(observed, x, 0.0)
        numbers = x.clone()
        counts = x[:, self.counts]
        if self.units:
            counts = counts / x.new_tensor(self.units)
        numbers[:, self.counts] = counts.sign() * counts.abs().log1p()
        columns = []
        for i, k in enumerate(self.categories):
            here = slice(i, i + 1)
            if k:
                codes = torch.arange(k, device=x.device)
                columns.append((x[:, here] == codes) & observed[:, here])
            if not k or i in self.counts:
                columns.append(numbers[:, here])
        if self.missing:
            columns.append(observed)
        row = torch.cat([column.to(x) for column in columns], -1)
        return self.network(row) if context is None else self.network(row, context)
