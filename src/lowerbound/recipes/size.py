"""A model that does not fit in memory is refused before it takes any."""

from __future__ import annotations

from lowerbound.allocations import Allocations
from lowerbound.data.conversion import memory
from lowerbound.errors import ConfigurationError

COPIES = 4
"""Of every weight in training: itself, its gradient, and Adam's two moments."""
OVERHEAD = 4096
"""Bytes of the objects around one tensor."""


def within_memory() -> Allocations:
    """Inside the ``with``, tensors are made as long as training them would fit in memory.

    Raises:
        ConfigurationError: the tensors made so far, and the next, would not.
    """
    most = memory()

    def refusal(wanted: int) -> ConfigurationError:
        return ConfigurationError(
            f"expected a model that can be trained in memory ({most / 1e9:,.1f} GB), got sizes "
            f"that need {COPIES * wanted / 1e9:,.1f} GB or more; choose smaller ones, such as "
            "latent_dim or hidden, or the convolutional recipe"
        )

    return Allocations(most / COPIES, OVERHEAD, refusal)
