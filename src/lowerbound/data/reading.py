"""How a file or folder is read: the options of its format."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypedDict

from lowerbound.errors import ConfigurationError, DataError, check_count, near
from lowerbound.music.windows import BAR, MetreName

Size = int | tuple[int, int]
KINDS = (
    *("real", "positive", "unit", "counts", "binary", "ordinal", "zero-inflated"),
    *("categories", "dates", "ignore"),
)
"""What may be said of a column: a kind of values, dates (``dates:%d/%m/%y`` names their format), or
to leave it out."""
MOST_BARS, MOST_SEMITONES = 64, 11


class Options(TypedDict, total=False):
    """The keyword arguments of `lowerbound.data.load` and `read` that choose how to read."""

    labels: str | None
    header: bool | None
    crop: Size | None
    resize: Size | None
    skip_broken: bool
    bars: int
    metre: MetreName
    track: str | None
    transpose: int
    kinds: Mapping[str, str]
    given: Sequence[str]


@dataclass(frozen=True)
class Reading:
    """What is asked of a reader.

    Attributes:
        labels: the column, array or file of the class labels.
        header: whether the first line of a CSV file names its columns; None decides by the rows.
        crop: width and height of the middle of each image that is kept, in pixels.
        resize: width and height that each image is brought to after that.
        skip_broken: leave out images that cannot be decoded.
        bars: how long windows of melodies are.
        metre: the metre of melodies that is read.
        track: the name of the track whose top line is the melody.
        transpose: semitones, up and down, by which melodies to train on are moved as well.
        columns: the columns of a table to take, by name and in this order.
        kinds: what columns of a table hold, of `KINDS`, by name; others tell by their values.
        given: the columns of a table that are covariates beside x.
    """

    labels: str | None = None
    header: bool | None = None
    crop: Size | None = None
    resize: Size | None = None
    skip_broken: bool = False
    bars: int = 2
    metre: MetreName = "4/4"
    track: str | None = None
    transpose: int = 5
    columns: tuple[str, ...] | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    given: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("crop", "resize"):
            size = getattr(self, name)
            if size is None:
                continue
            sides = size if isinstance(size, tuple | list) else (size, size)
            whole = all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
            if not whole or len(sides) != 2 or not all(1 <= side < 2**15 for side in sides):
                raise ConfigurationError(
                    f"expected {name}= the pixels of a square's side, or (width, height), got "
                    f"{size!r}"
                )
            object.__setattr__(self, name, tuple(sides))
        if isinstance(self.given, str) or len(set(self.given)) < len(self.given):
            raise ConfigurationError(
                f"expected given= a list of different columns, got {self.given!r}; name each once"
            )
        object.__setattr__(self, "given", tuple(self.given))
        check_count("bars", self.bars, most=MOST_BARS)
        check_count("semitones to transpose by", self.transpose, least=0, most=MOST_SEMITONES)
        for column, kind in self.kinds.items():
            told, _, form = kind.partition(":")
            if told not in KINDS or (form and (told != "dates" or "%" not in form)):
                raise ConfigurationError(
                    f"expected the kind of column {column!r} to be {', '.join(KINDS)}, got "
                    f"{kind!r}; {near(str(kind), KINDS)}"
                )
            try:
                datetime.datetime.strptime("", form)
            except ValueError as error:
                if "format" in str(error) and "match" not in str(error):  # not of the empty text
                    raise ConfigurationError(
                        f"expected a format of dates for column {column!r}, such as %d/%m/%Y, got "
                        f"{form!r}: {error}"
                    ) from None
        if self.metre not in BAR:
            raise ConfigurationError(
                f"expected metre= {', '.join(BAR)}, got {self.metre!r}; {near(self.metre, BAR)}"
            )

    @property
    def taken(self) -> tuple[str, ...] | None:
        """The columns to take, and those given; None takes all."""
        return None if self.columns is None else (*self.columns, *self.given)

    def check(self, takes: Iterable[str], where: Path | str, what: str) -> None:
        """Refuse options that are not among those that ``what`` takes."""
        for option in fields(self):
            name, value = option.name, getattr(self, option.name)
            default = {} if name == "kinds" else option.default
            if name != "columns" and value != default and name not in takes:
                raise ConfigurationError(
                    f"{where}: expected no {name}= with {what}, got {value!r}; leave it out"
                )


@dataclass(frozen=True)
class Stamp:
    """What tells that a file is the one that it was: size, time of the last change, inode."""

    path: Path
    state: tuple[int, ...] | None

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """That of the file as it is; ``state`` is None where there is none."""
        try:
            found = path.stat()
        except OSError:
            return cls(path, None)
        return cls(path, (found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev))

    def check(self) -> None:
        """Raises DataError: the file was changed or removed since."""
        now = Stamp.of(self.path)
        if now != self:
            done = "removed" if now.state is None else "changed"
            raise DataError(
                f"{self.path}: expected the file that reading began with, which was {done} since; "
                "put it back, or start again"
            )
