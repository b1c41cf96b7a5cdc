"""What commands find of each block of the data, here or by the workers of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from lowerbound.errors import ConfigurationError

if TYPE_CHECKING:
    from lowerbound.data import Data
    from lowerbound.evaluation.walk import Progress
    from lowerbound.runs import Run
    from lowerbound.runs.cluster import Columns, Work
    from lowerbound.runs.run import SplitName


def each_block(
    ray: str | None,
    work: Work,
    run: Run,
    examples: Data,
    progress: Progress,
    where: tuple[str | None, str | None, SplitName],
    **settings: Any,
) -> AbstractContextManager[Iterator[Columns]]:
    """What ``work`` finds of each block of the examples: the --data, --labels and split ``where``.

    With ``ray``, by the workers of the cluster at that address.
    """
    if ray is None:
        return nullcontext(work(run, examples, progress, **settings))
    from lowerbound.evaluation.walk import ranges
    from lowerbound.runs.cluster import Job, shared

    job = Job.of(work, run, examples, *where, **settings)
    return shared(ray, job, ranges(run.model, examples), progress)


def on_processors(device: str | None, ray: str | None) -> str | None:
    """The device, which with ``ray`` is the processors, as that of its workers is."""
    if ray is not None and device not in (None, "cpu"):
        raise ConfigurationError(
            f"expected --ray without --device {device}, as workers take processors; leave it out"
        )
    return device if ray is None else "cpu"


def codes(
    run: Run,
    examples: Data,
    progress: Progress | None = None,
    which: Iterable[range] | None = None,
) -> Iterator[Columns]:
    """The posterior means of each block, for ``embed``."""
    from lowerbound import evaluation
    from lowerbound.evaluation.walk import blocks, onwards

    for block in blocks(run.model, examples, which):
        tell = onwards(progress, block.first, len(examples))
        yield {"z": evaluation.embed(run.model, block, progress=tell)}


def scores(
    run: Run,
    examples: Data,
    progress: Progress | None = None,
    which: Iterable[range] | None = None,
    *,
    names: Sequence[str],
    inliers: str | None,
    **how: Any,
) -> Iterator[Columns]:
    """The scores of each block by these names, for ``outliers``."""
    from lowerbound.outliers import Calibration
    from lowerbound.outliers.detection import score_blocks

    calibration = Calibration.of(run.model, *compared(run, examples, inliers), **how)
    yield from score_blocks(run.model, examples, calibration.train, names, progress, which)


def compared(run: Run, examples: Data, inliers: str | None) -> tuple[Data, Data | None]:
    """What examples are compared with: held-out ones that belong, and those of training."""
    belong = run.held_out(examples) if inliers is None else run.streamed("test", inliers)
    return belong, run.training_data(inliers)
