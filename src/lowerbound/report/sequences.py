"""Tables of sequences of tokens, written out by the names of their vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.data.tokens import END
from lowerbound.report.outcome import Outcome, some
from lowerbound.report.tables import WORST, Table

SHOWN, LONGEST, COUNTED, LISTED = 10, 64, 1000, 100


def reconstructions(outcome: Outcome) -> Table:
    """The first test sequences, and below each what the decoder makes of its code."""
    data = outcome.data.take(SHOWN)
    return _beside(outcome, data.x, outcome.reconstructed(data), [str(i + 1) for i in range(SHOWN)])


def worst(outcome: Outcome) -> Table:
    """The test sequences of the lowest score, likewise."""
    data, scores, _ = outcome.worst(WORST)
    return _beside(outcome, data.x, outcome.reconstructed(data), scores)


def samples(outcome: Outcome) -> Table:
    """Draws x ~ p(x|z), z ~ p(z)."""
    drawn = outcome.sampled(SHOWN, mean=False)
    rows = [(str(i + 1), written(outcome, x)) for i, x in enumerate(drawn)]
    return Table(("", "sequence"), rows)


def shares(outcome: Outcome) -> Table:
    """The share of each token in test sequences and in as many that are drawn."""
    data = some(outcome.data, COUNTED)
    names = [name for name in outcome.vocabulary if name != END]
    both = data.x, outcome.sampled(len(data), mean=False)
    counts = [torch.bincount(x.long().flatten(), minlength=len(names) + 1) for x in both]
    counts = [each[: len(names)] for each in counts]  # the end is the last
    found, drawn = (each.double() / each.sum() for each in counts)
    order = found.argsort(descending=True, stable=True)[:LISTED].tolist()
    rows = [(names[i], f"{found[i]:.2%}", f"{drawn[i]:.2%}") for i in order]
    return Table(("token", "share in test sequences", "in drawn ones"), rows)


def agreement(outcome: Outcome) -> float:
    """The share of test tokens that reconstructions have in their place."""
    data = some(outcome.data, COUNTED)
    written = data.x < len(outcome.vocabulary) - (outcome.vocabulary[-1] == END)
    return (outcome.reconstructed(data) == data.x)[written].double().mean().item()


def written(outcome: Outcome, x: Tensor) -> str:
    """A sequence by the names of its tokens, up to its end.

    Letters stand side by side; longer names, and a sequence that is cut, say so.
    """
    names = [outcome.vocabulary[code] for code in x.long().tolist()]
    names = names[: names.index(END)] if END in names else names
    space = "" if all(len(name) == 1 for name in outcome.vocabulary if name != END) else " "
    return space.join(names[:LONGEST]) + (" …" if len(names) > LONGEST else "")


def _beside(outcome: Outcome, original: Tensor, rebuilt: Tensor, first: list[str]) -> Table:
    rows = []
    for cell, x, y in zip(first, original, rebuilt, strict=False):
        rows.append((cell, "test", written(outcome, x)))
        rows.append(("", "rebuilt", written(outcome, y)))
    return Table(("", "", "sequence"), rows)
