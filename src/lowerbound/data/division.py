"""What is held out of a data set for validation and testing."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch

from lowerbound.data.assembly import in_memory
from lowerbound.data.conversion import Part
from lowerbound.data.dataset import Dataset
from lowerbound.data.splits import Splits
from lowerbound.data.stored import Blocks, Progress, Stored, survey
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.logs import log

TEST_FRACTION = 0.1
HELD_OUT_AT_MOST = 10_000


def divide_on_disk(
    name: str,
    blocks: Blocks,
    validation: int | float,
    test: int | float | None,
    seed: int,
    progress: Progress | None,
) -> Splits[Stored]:
    """A training part on disk; what is held out of it, in memory."""
    total = sum(blocks.rows)
    if total < 3:
        raise DataError(f"{name}: expected at least 3 examples, to train and to test, got {total}")
    log.info("%s: %s examples stay on disk; they are read once, to check them", name, f"{total:,}")
    held: dict[str, np.ndarray] = {}
    out = np.array([], np.int64)
    portions = ("test", TEST_FRACTION if test is None else test), ("validation", validation)
    for stream, (part, portion) in enumerate(portions):
        count = _count(name, total - len(out), part, portion)
        if isinstance(portion, float):
            count = min(count, HELD_OUT_AT_MOST)
        if count:
            held[part] = some(total, count, (seed, stream), out)
            out = np.concatenate([out, held[part]])
    if "test" not in held:
        raise _nothing_to_test(name, test)
    train, parts = survey(blocks, name, held, progress)
    return Splits(train, parts.get("validation"), parts["test"])


def split(
    dataset: Any, *, validation: int | float = 0, test: int | float = TEST_FRACTION, seed: int = 0
) -> Splits:
    """``dataset`` divided: ``test`` is held out of it, then ``validation`` of what is left.

    It is whatever `as_dataset` takes.  Both are numbers of examples, or fractions below 1.  Each
    part keeps the order of the whole.

    Raises:
        ConfigurationError: parts that leave nothing for training, or a part of nothing for testing.

    >>> whole = Dataset(torch.arange(20.0).view(10, 2))
    >>> print(split(whole, validation=2, test=0.3, seed=1).summary())
    data: 5 rows of 2 numbers, counts, 0–13; 2 for validation; 3 for test
    """
    check_seed(seed)
    return divide({"all": in_memory(dataset)}, validation, test, seed)


def divide(
    parts: dict[Part, Dataset], validation: int | float, test: int | float | None, seed: int
) -> Splits:
    """Hold out of "all" or "train" what is to be held out and is no part of its own."""
    train = parts.get("all") or parts["train"]
    name, testing, validating = train.name, parts.get("test"), parts.get("validation")
    if testing is None:
        if len(train) < 2:
            raise DataError(f"{name}: expected at least 2 examples, to train and to test, got 1")
        test = TEST_FRACTION if test is None else test
        train, testing = hold_out(train, "test", test, (seed, 0))
    elif test is not None:
        raise ConfigurationError(
            f"{name}: expected no test=, since it has its own test part, got {test}; leave it out"
        )
    if testing is None:
        raise _nothing_to_test(name, test)
    if validating is None:
        train, validating = hold_out(train, "validation", validation, (seed, 1))
    elif validation:
        own = len(validating)
        log.info(
            "%s: its own validation part of %d is used, not validation=%s", name, own, validation
        )
    return Splits(train, validating, testing)


def _nothing_to_test(name: str, test: int | float | None) -> ConfigurationError:
    return ConfigurationError(f"{name}: expected at least one example to test, got test={test}")


def hold_out(
    dataset: Dataset, part: str, portion: int | float, seeds: tuple[int, int]
) -> tuple[Dataset, Dataset | None]:
    """What is left of a data set, and the ``portion`` of it that is called ``part``."""
    count = _count(dataset.name, len(dataset), part, portion)
    if count == 0:
        return dataset, None
    # RandomState: its stream is frozen for good, unlike those of torch and of numpy's Generator.
    random = np.random.RandomState(seeds)
    if dataset.groups is None:
        order = random.permutation(len(dataset))
    else:
        order, count = _whole_groups(dataset, dataset.groups, count, random)
    held, rest = (torch.from_numpy(np.sort(part)) for part in (order[:count], order[count:]))
    return dataset.subset(rest), dataset.subset(held, f"{dataset.name} {part}")


def _whole_groups(
    dataset: Dataset, groups: np.ndarray, count: int, random: np.random.RandomState
) -> tuple[np.ndarray, int]:
    """An order of the examples, group by group, and how many there are once a group ends.

    Groups of more than ``count`` come last, and are not held out unless all are so large.

    Raises:
        DataError: those are all.
    """
    _, member, size = np.unique(groups, return_inverse=True, return_counts=True)
    shuffled = random.permutation(len(size))
    shuffled = shuffled[np.argsort(size[shuffled] > count, kind="stable")]
    ends = np.cumsum(size[shuffled])
    fitting = int(size[size <= count].sum())
    held = int(ends[np.searchsorted(ends, min(count, fitting or count))])
    if len(size) == 1:
        raise DataError(
            f"{dataset.name}: expected two melodies or more, variants of one counted as one, so "
            "that one can be held out, got 1; add others"
        )
    if held == len(groups):
        raise DataError(
            f"{dataset.name}: expected enough melodies, variants of one counted as one, to hold "
            f"{count:,} of {held:,} windows out by melody, got {len(size)}; add some, or hold out "
            "less"
        )
    return np.argsort(np.argsort(shuffled)[member], kind="stable"), held


def _count(name: str, total: int, part: str, portion: int | float) -> int:
    """How many of ``total`` examples ``portion`` stands for."""
    whole = isinstance(portion, Integral) and not isinstance(portion, bool)
    fraction = isinstance(portion, float | np.floating) and 0 <= portion < 1
    if not (fraction or (whole and portion >= 0)):
        raise ConfigurationError(
            f"{name}: expected {part}= a number of examples or a fraction below 1, got {portion!r}"
        )
    count = int(portion) if whole or not portion else max(1, round(portion * total))
    if count >= total:
        raise ConfigurationError(
            f"{name}: expected {part}= fewer than the {total:,} examples there are to hold it out "
            f"of, got {portion}"
        )
    return count


def some(total: int, count: int, seeds: tuple[int, int], without: np.ndarray) -> np.ndarray:
    """``count`` numbers below ``total`` that are not in ``without``, each as likely, rising.

    In memory of the order of ``count``, however large ``total`` is.

    Raises:
        DataError: there are not so many.
    """
    if count + len(without) >= total:
        raise DataError(f"expected more than {count + len(without):,} examples, got {total:,}")
    # RandomState: its stream is frozen for good, unlike those of torch and of numpy's Generator.
    random = np.random.RandomState(seeds)
    found = np.array([], np.int64)
    while len(found) < count:
        drawn = random.randint(0, total, 2 * count, np.int64)
        found = np.setdiff1d(np.concatenate([found, drawn]), without)
    return np.sort(random.permutation(found)[:count])


def check_seed(seed: int) -> None:
    """Refuse what cannot seed a division."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        raise ConfigurationError(f"expected seed= a whole number from 0 to 2³²−1, got {seed!r}")
