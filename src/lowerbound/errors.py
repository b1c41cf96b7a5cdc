"""Everything lowerbound raises on purpose.

    LowerboundError
    ├── ConfigurationError  (ValueError)    a part, argument, recipe or ``--set`` that does not fit
    │   └── ShapeError                      tensors or networks whose shapes do not fit
    ├── DataError           (ValueError)    a data set that cannot be read or used
    │   └── DataUnavailable                 none of its sources could be reached
    ├── StorageError        (OSError)       a run, model or compressed file: missing, damaged, …
    ├── TrainingError       (RuntimeError)
    │   ├── NonFiniteLoss                   a term of the objective became NaN or infinite
    │   └── Interrupted                     stopped by Ctrl-C or SIGTERM, after saving
    └── MissingExtra        (ImportError)   an optional package is not installed

Each message is a sentence: what was expected, what came, what to do.  ``exit_code`` is what the
command line returns for it.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable
from typing import Any

__all__ = [
    "ConfigurationError",
    "DataError",
    "DataUnavailable",
    "Interrupted",
    "LowerboundError",
    "MissingExtra",
    "NonFiniteLoss",
    "ShapeError",
    "StorageError",
    "TrainingError",
]

MOST_KNOWN = 40
MOST_QUOTED = 200


class LowerboundError(Exception):
    """Base of all errors raised by lowerbound."""

    exit_code = 1


class ConfigurationError(LowerboundError, ValueError):
    """A part, argument, recipe or setting does not fit."""

    exit_code = 2


class ShapeError(ConfigurationError):
    """Tensors or networks whose shapes do not fit together."""


class DataError(LowerboundError, ValueError):
    """A data set cannot be read or used."""

    exit_code = 3


class DataUnavailable(DataError):
    """None of the sources of a data set could be reached."""


class StorageError(LowerboundError, OSError):
    """A file of a run, a model or compressed data is missing, damaged, too new, or in the way."""

    exit_code = 4


class TrainingError(LowerboundError, RuntimeError):
    """Training could not go on."""

    exit_code = 5


class NonFiniteLoss(TrainingError):
    """A term of the objective became NaN or infinite."""


class Interrupted(TrainingError):
    """Training was stopped from outside, after its state was saved."""

    exit_code = 130


class MissingExtra(LowerboundError, ImportError):
    """An optional package is not installed."""

    exit_code = 2


def brief(error: Exception) -> str:
    r"""What another library says is wrong, without its details.

    >>> brief(ValueError("no file\n  in line 7"))
    'no file'
    """
    line = str(error).strip().partition("\n")[0]
    return line if len(line) <= MOST_QUOTED else f"{line[:MOST_QUOTED]} …"


def shown(value: object) -> str:
    """A value in a message, in one line."""
    text = " ".join(repr(value).split())
    return text if len(text) < 60 else f"{text[:50]} …, a {type(value).__name__}"


def check_count(name: str, given: Any, least: int = 1, most: int = 10**9) -> int:
    """``given`` as a number of ``name``, neither too few nor more than any machine could finish.

    Raises:
        ConfigurationError: ``given`` is no whole number from ``least`` to ``most``.
    """
    try:
        number = operator.index(given)
    except TypeError:
        number = least - 1
    if isinstance(given, bool) or not least <= number <= most:
        raise ConfigurationError(
            f"expected a whole number of {name} from {least} to {most:,}, got {given!r:.40}"
        )
    return number


def near(word: str, known: Iterable[str]) -> str:
    """A hint naming the known words nearest to ``word``.

    >>> near("latent_dims", ["latent_dim", "hidden"]), near("iwae", ["ELBO", "IWAE"])
    ('did you mean latent_dim?', 'did you mean IWAE?')
    >>> near("qqq", ["latent_dim", "hidden"]), near("height", ["height, cm"])
    ('known: hidden, latent_dim', 'did you mean "height, cm"?')
    """
    known = sorted(known)
    close = closest(word, known)
    if close:
        return f"did you mean {' or '.join(map(_apart, close))}?"
    more = f" and {len(known) - MOST_KNOWN:,} others" if len(known) > MOST_KNOWN else ""
    return f"known: {', '.join(map(_apart, known[:MOST_KNOWN]))}{more}"


def _apart(name: str) -> str:
    """A name, quoted where it could be taken for several."""
    return f'"{name}"' if "," in name else name


def closest(word: str, known: Iterable[str]) -> list[str]:
    """The known words that ``word`` may stand for: itself but for case, or else those nearest."""
    plain: dict[str, list[str]] = {}
    for name in known:
        plain.setdefault(_plain(name), []).append(name)
    wanted = _plain(word)
    found = difflib.get_close_matches(wanted, plain, n=3, cutoff=0.6)
    return [name for text in ([wanted] if wanted in plain else found) for name in plain[text]]


def _plain(word: str) -> str:
    return word.casefold().replace("_", "-").lstrip("-")


def count(n: int, noun: str) -> str:
    """A number of things, in words."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{'' if n == 1 else plural}"
