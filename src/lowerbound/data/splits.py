"""A data set divided into what to train on, to choose by and to report on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from typing_extensions import TypeVar

from lowerbound.data.dataset import Data, Dataset
from lowerbound.errors import DataError
from lowerbound.notebooks import Summarised

Train = TypeVar("Train", bound=Data, default=Dataset)


@dataclass(frozen=True, eq=False, repr=False)
class Splits(Summarised, Generic[Train]):
    """The three parts of a data set, all of one shape and dtype, and of the same fields.

    ``train`` may be on disk; ``validation``, to choose by, may be None; ``test`` is to report on.

    Raises:
        DataError: parts that differ in shape or dtype, or in a field's name or categories.
    """

    train: Train
    validation: Dataset | None
    test: Dataset

    def __post_init__(self) -> None:
        for part in filter(None, (self.validation, self.test)):
            if _form(part) != _form(self.train):
                raise DataError(
                    f"{part.name}: expected examples like those of {self.train.name}, "
                    f"{_form(self.train)}, got {_form(part)}"
                )
            for ours, theirs in zip(self.train.schema, part.schema, strict=True):
                if (ours.name, ours.categories) != (theirs.name, theirs.categories):
                    raise DataError(
                        f"{part.name}: expected the fields and categories of {self.train.name}, "
                        f"{ours.name!r} of {ours.categories or 'numbers'}, got {theirs.name!r} of "
                        f"{theirs.categories or 'numbers'}; put them in the same order"
                    )

    def summary(self) -> str:
        """One line: the training part in full, the sizes of the others."""
        held = f"; {len(self.validation):,} for validation" if self.validation else ""
        return f"{self.train.summary()}{held}; {len(self.test):,} for test"


def _form(data: Data) -> str:
    return f"shape {data.shape} in {str(data.dtype).removeprefix('torch.')}"
