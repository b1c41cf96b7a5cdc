"""Context: what a conditional model knows besides x; class labels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowerbound.data.columns import D, quoted
from lowerbound.errors import ConfigurationError, DataError, near
from lowerbound.lazy import lazy
from lowerbound.parts import Size, part

Names = Annotated[tuple[str, ...], pydantic.Field(min_length=1)]


class Known(nn.Module):
    """A context by names: from class labels or covariates to features, (batch, width).

    Attributes:
        remedy: what to do where there are none.
    """

    remedy: str

    @property
    @abstractmethod
    def what(self) -> str:
        """What it takes, in words."""

    @property
    @abstractmethod
    def width(self) -> int:
        """The number of features."""

    @abstractmethod
    def expect(self, data: D) -> D:
        """``data``, what this takes of them numbered by its names."""

    @abstractmethod
    def numbers(self, context: Any) -> Any:
        """``context``, in whatever form, as the numbers that this takes."""


@part
class Labels(Known):
    """Class labels 0 … K − 1, (batch,), to one-hot features (batch, K).

    Args:
        classes: the names of the K classes, in the order of their numbers; or K alone, of classes
            called 0, 1, ….

    Raises:
        ConfigurationError: two classes of one name.

    >>> Labels(("cat", "dog"))(torch.tensor([1, 0]))
    tensor([[0., 1.],
            [1., 0.]])
    """

    what, remedy = "class labels", "pass context= (--labels)"

    def __init__(self, classes: Size | Names) -> None:
        super().__init__()
        self._given = classes
        self.classes = classes if isinstance(classes, int) else len(classes)
        if not isinstance(classes, int) and len(set(classes)) < len(classes):
            raise ConfigurationError(
                f"expected classes of different names, got {quoted(classes)}; rename them"
            )

    @property
    def width(self) -> int:
        """K."""
        return self.classes

    @lazy
    def names(self) -> tuple[str, ...]:
        """What the classes are called."""
        given = self._given
        return tuple(map(str, range(given))) if isinstance(given, int) else given

    def expect(self, data: D) -> D:
        """``data``, their labels numbered by the names of their classes, where these have names.

        Raises:
            DataError: some example's class is none of these.
        """
        if data.labels is None or data.classes is None or data.classes == self.names:
            return data
        used = data.labels.unique()
        numbers = torch.zeros(len(data.classes), dtype=torch.int64, device=data.labels.device)
        try:
            numbers[used] = self.numbers([data.classes[i] for i in used.tolist()]).to(numbers)
        except ConfigurationError as error:
            unnamed = isinstance(self._given, int)
            remedy = "; name them: context=Labels(data.classes)" if unnamed else ""
            raise DataError(f"{data.name}: {error}{remedy}") from None
        return replace(data, labels=numbers[data.labels], classes=self.names)  # type: ignore[type-var]

    def numbers(self, labels: Any) -> Any:
        """``labels``, numbers or names of classes, as numbers.

        Raises:
            ConfigurationError: a name of no class, or what is neither a name nor a whole number.
        """
        if isinstance(labels, Tensor):
            return labels
        given = _array(labels)
        if not self.are_names(given):
            whole = all(isinstance(n, int | np.integer) and n is not True for n in given.flat)
            if given.dtype.kind not in "iu" and not (given.dtype == object and whole):
                raise ConfigurationError(
                    f"expected class labels, whole numbers or names, got {str(labels)[:60]}"
                )
            self._refuse(given[(given < 0) | (given >= self.classes)])
            return torch.from_numpy(given.astype(np.int64))
        known = {name: i for i, name in enumerate(self.names)}
        found, place = np.unique(given.astype(np.str_), return_inverse=True)
        if unknown := [name for name in found.tolist() if name not in known]:
            more = f" and {len(unknown) - 1:,} more" if len(unknown) > 1 else ""
            raise ConfigurationError(
                f"expected a class of the model, got {unknown[0]!r}{more}; "
                f"{near(unknown[0], self.names)}"
            )
        return torch.tensor([known[name] for name in found.tolist()])[torch.from_numpy(place)]

    @staticmethod
    def are_names(labels: Any) -> bool:
        """Whether ``labels`` are names of classes, and not their numbers."""
        if isinstance(labels, Tensor):
            return False
        given = _array(labels)
        return given.dtype.kind in "UO" and all(isinstance(name, str) for name in given.flat)

    def _refuse(self, wrong: Any) -> None:
        if len(wrong):
            named = "" if isinstance(self._given, int) else f" (or names: {quoted(self.names)})"
            raise ConfigurationError(
                f"expected class labels from 0 to {self.classes - 1}{named}, got {int(wrong[0])}"
            )

    def forward(self, labels: Tensor) -> Tensor:
        if labels.dtype.is_floating_point or labels.dtype == torch.bool or labels.ndim != 1:
            raise ConfigurationError(
                f"expected labels as integers of shape (batch,), got {labels.dtype} of shape "
                f"{tuple(labels.shape)}"
            )
        labels = labels.long()
        # A compiler cannot look at values; it refuses wrong ones in words of its own.
        if not torch.compiler.is_compiling():
            self._refuse(labels[(labels < 0) | (labels >= self.classes)])
        return F.one_hot(labels, self.classes).float()


def values_of(part: nn.Module, context: Any, n: int | None) -> Any:
    """``context`` of n examples as ``part`` takes it; a mapping may be that of all of them.

    Raises:
        ConfigurationError: there is none, or as in `Known.numbers`.
    """
    if context is None:
        told: Any = part if isinstance(part, Known) else Labels
        raise ConfigurationError(
            f"expected {told.what}, as this model is conditional, got none; {told.remedy}"
        )
    if not isinstance(part, Known):
        return context
    values = part.numbers(context)
    of_all = isinstance(context, Mapping) and len(values) == 1 and n is not None
    return values.expand(n, -1) if of_all else values


def _array(labels: Any) -> np.ndarray:
    try:
        return np.asarray(labels)
    except ValueError:
        raise ConfigurationError(
            f"expected class labels of shape (n,), got a {type(labels).__name__} that makes no "
            "array; give one number or name for each example"
        ) from None
