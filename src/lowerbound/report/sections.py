"""The sections of a report: which outcomes each fits, what it shows, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from lowerbound import plots
from lowerbound.report import bounds, codes, images, melodies, sequences, tables
from lowerbound.report.captions import (
    behind,
    costs,
    counted,
    drawn_columns,
    encoded,
    first_of,
    hanging_together,
    latent_codes,
    listed_columns,
    most_active,
    nearness,
    one_class,
    sampled_columns,
    walked,
    worth,
)
from lowerbound.report.melodies import Heard
from lowerbound.report.outcome import Outcome
from lowerbound.report.tables import Table

Content = Figure | list[Figure] | Heard | Table
"""Of several figures the first is seen, and the others when they are asked for."""


@dataclass(frozen=True)
class Shown:
    """A section of one outcome: figures, or one that is heard, or a table, and what it shows."""

    name: str
    heading: str
    caption: str
    content: Content


class Section(NamedTuple):
    """A row of the report: name, heading, which outcomes it fits, what it shows and says."""

    name: str
    heading: str
    fits: Callable[[Outcome], Any]
    show: Callable[[Outcome], Content]
    caption: Callable[[Outcome], str]


SECTIONS = (
    Section(
        "curves",
        "Learning curves",
        lambda s: s.history,
        lambda s: plots.learning_curves(s.history, unit=s.unit),
        lambda s: (
            "Each term of the objective after each epoch. Training figures are averages over the "
            "epoch, while the weights were changing; validation figures are taken at its end."
        ),
    ),
    Section(
        "reconstructions",
        "Reconstructions",
        lambda s: s.is_image,
        images.reconstructions,
        lambda s: (
            f"The first {counted(min(images.SHOWN, len(s.data)), len(s.data), 'test images')}, and "
            "below each the decoder's mean at the posterior's mean."
        ),
    ),
    Section(
        "reconstructions",
        "Reconstructions",
        lambda s: s.is_table,
        tables.reconstructions,
        lambda s: (
            f"{drawn_columns(s)} of {counted(len(s.rows.original), len(s.data), 'test rows')} as "
            "it is, and as the decoder's mean at the posterior's mean. R² is the share of its "
            "variance that is explained."
        ),
    ),
    Section(
        "worst",
        "Worst rows",
        lambda s: s.is_table,
        tables.worst,
        lambda s: (
            f"Of {counted(len(s.scored), len(s.data), 'test rows')}, the "
            f"{min(tables.WORST, len(s.scored))} of the lowest {s.score}, in nats, by "
            "their numbers from 0, and the three columns of each that are furthest from their "
            "reconstruction, in standard deviations."
        ),
    ),
    Section(
        "reconstructions",
        "Reconstructions",
        lambda s: s.vocabulary and not s.is_melody,
        sequences.reconstructions,
        lambda s: (
            f"The first {counted(min(sequences.SHOWN, len(s.data)), len(s.data), 'sequences')}, "
            "and below each what the decoder writes at the posterior's mean, every token the "
            "likeliest after those before it. Of all such tokens "
            f"{sequences.agreement(s):.1%} are the test sequences' own."
        ),
    ),
    Section(
        "worst",
        "Worst sequences",
        lambda s: s.vocabulary and not s.is_melody,
        sequences.worst,
        lambda s: (
            f"Of {counted(len(s.scored), len(s.data), 'test sequences')}, those of the lowest "
            f"{s.score}, which stands before each in nats."
        ),
    ),
    Section(
        "reconstructions",
        "Reconstructions",
        lambda s: s.is_melody,
        melodies.reconstructions,
        lambda s: (
            f"The first {counted(melodies.shown(s, 2), len(s.data), 'test melodies')}, and below "
            "each what the decoder plays at the posterior's mean, every token the likeliest after "
            "those before it. Each is heard before its reconstruction."
        ),
    ),
    Section(
        "worst",
        "Worst reconstructions",
        lambda s: s.is_image or s.is_melody,
        lambda s: (images if s.is_image else melodies).worst(s),
        lambda s: (
            f"Of {counted(len(s.scored), len(s.data), f'test {s.nouns}')}, those of the lowest "
            f"{s.score}, which is written above each in nats."
        ),
    ),
    Section(
        "accuracy",
        "What is right of test melodies",
        lambda s: s.is_melody and s.train is not None,
        melodies.agreement,
        lambda s: (
            "Shares of steps, of notes and of whole melodies that are said rightly: each token "
            "told the right ones before it (teacher-forced), or after the model's own, the "
            "likeliest or drawn; and by what knows no code: the token before, the most common one, "
            "and the likeliest in training after the bar before. Most steps are holds, so look at "
            "the notes."
        ),
    ),
    Section(
        "scores",
        "Scores of examples",
        lambda s: True,
        bounds.scores,
        lambda s: (
            f"The {s.score} of each of {counted(len(s.scored), len(s.data), f'test {s.nouns}')}"
            + (
                f" and {len(s.train_scores):,} training {s.nouns}"
                if s.train_scores is not None
                else ""
            )
            + (", from 10 draws each" if s.evaluation.elbo else "")
            + (f", but for {s.unscored:,} that have no finite one" if s.unscored else "")
            + bounds.beyond(s)
            + ". Training examples far to the right of test examples are known by heart."
        ),
    ),
    Section(
        "samples",
        "Samples",
        lambda s: s.is_image and not s.is_conditional,
        images.samples,
        lambda s: f"{images.SAMPLES} draws {latent_codes(s)}; each shown as the decoder's mean.",
    ),
    Section(
        "samples",
        "Samples of each class",
        lambda s: s.is_image and s.is_conditional,
        images.class_samples,
        lambda s: (
            f"{images.PER_CLASS} draws {latent_codes(s)} for each class"
            f"{first_of(len(s.class_names), images.CLASSES)}; each shown as the decoder's mean."
        ),
    ),
    Section(
        "nearest",
        "Samples and training images",
        lambda s: s.is_image and s.train is not None,
        images.neighbours,
        nearness,
    ),
    Section(
        "samples",
        "Samples",
        lambda s: s.is_table,
        tables.marginals,
        sampled_columns,
    ),
    Section(
        "associations",
        "How columns hang together",
        lambda s: s.is_table and s.rows.pairs(1),
        tables.associations,
        hanging_together,
    ),
    Section(
        "column-pairs",
        "Pairs of columns",
        lambda s: s.is_table and s.rows.pairs(1),
        tables.pairs,
        lambda s: "The pairs whose association, above each, differs most in generated rows.",
    ),
    Section(
        "costs",
        "What columns cost",
        lambda s: s.is_table and s.costs is not None,
        tables.costs,
        costs,
    ),
    Section(
        "samples",
        "Samples",
        lambda s: s.vocabulary and not s.is_melody,
        sequences.samples,
        lambda s: f"{sequences.SHOWN} draws x ~ p(x|z), {latent_codes(s)}.",
    ),
    Section(
        "samples",
        "Samples",
        lambda s: s.is_melody,
        melodies.samples,
        lambda s: f"{melodies.shown(s)} draws x ~ p(x|z), {latent_codes(s)}.",
    ),
    Section(
        "interpolation",
        "From one melody to another",
        lambda s: s.is_melody and len(s.data) > 1,
        melodies.interpolation,
        lambda s: (
            "The first two test melodies' codes, and those on the arc between them, decoded: 0 is "
            "the one, 1 the other."
        ),
    ),
    Section(
        "shares",
        "Tokens",
        lambda s: s.vocabulary and not s.is_melody,
        sequences.shares,
        lambda s: (
            "How often each token occurs in test sequences and in drawn ones, the most frequent "
            "first" + first_of(len(s.vocabulary), sequences.LISTED) + "."
        ),
    ),
    Section(
        "classes",
        "Samples of each class",
        lambda s: s.is_table and s.is_conditional and s.rows.generated_labels is not None,
        tables.class_means,
        lambda s: (
            f"A point for each column: its mean in the generated rows of a class"
            f"{first_of(len(s.class_names), tables.CLASSES)} over its mean in the test rows of "
            "that class, in standard deviations of the column from its mean over all classes."
        ),
    ),
    Section(
        "columns",
        "All columns",
        lambda s: s.is_table,
        tables.column_table,
        listed_columns,
    ),
    Section(
        "latent",
        "Latent space",
        lambda s: s.latent_dim == 2,
        codes.plane,
        lambda s: f"The posterior's mean of each of {encoded(s)}.{behind(s)}",
    ),
    Section(
        "latent",
        "Latent space",
        lambda s: s.latent_dim > 2,
        codes.components,
        lambda s: (
            f"The posterior's mean of each of {encoded(s)}, in the plane of {s.latent_dim} "
            f"dimensions along which the means vary most (principal components).{behind(s)}"
        ),
    ),
    Section(
        "pairs",
        "Pairs of dimensions",
        lambda s: s.latent_dim > 2,
        codes.pairs,
        lambda s: (
            f"The same codes in {most_active(s, codes.PAIRED)}, each against each.{behind(s)}"
        ),
    ),
    Section(
        "aggregate",
        "Aggregate posterior",
        lambda s: s.has_normal_prior and s.latent_dim == 2,
        codes.aggregate_plane,
        lambda s: (
            f"One draw z ~ q(z|x) for each of {encoded(s)}. Where the prior is likely and no "
            "example is, samples are unlike the data."
        ),
    ),
    Section(
        "aggregate",
        "Aggregate posterior",
        lambda s: s.has_normal_prior and s.latent_dim != 2,
        codes.aggregate_marginals,
        lambda s: (
            f"One draw z ~ q(z|x) for each of {encoded(s)}, in "
            f"{most_active(s, codes.MARGINALS)}, beside the prior. Alike in each "
            "dimension, they may still differ in several at once."
        ),
    ),
    Section(
        "manifold",
        "Decoded plane",
        lambda s: s.latent_dim == 2 and s.is_image,
        codes.manifold,
        lambda s: f"The latent space, decoded {walked(s)}.{one_class(s)}",
    ),
    Section(
        "traversals",
        "Traversals",
        lambda s: s.is_image or s.is_table,
        codes.traversals,
        lambda s: (
            f"One dimension at a time, {walked(s)}, for {most_active(s, codes.TRAVERSED)}."
            + " Colour is the change of each column from the middle step, in its standard "
            "deviations." * s.is_table + one_class(s)
        ),
    ),
    Section(
        "class-traversals",
        "Traversals of each class",
        lambda s: s.is_conditional and s.class_names and (s.is_image or s.is_table),
        codes.class_traversals,
        lambda s: (
            f"The most active dimension, z[{s.ranked[0]}], {walked(s)}, decoded as each class"
            f"{first_of(len(s.class_names), codes.CLASSES)}."
        ),
    ),
    Section(
        "kl",
        "KL per dimension",
        lambda s: s.kl,
        bounds.kl_per_dimension,
        lambda s: (
            f"Mean KL(q(z|x) ‖ p(z)) of each latent dimension over {len(s.data):,} test examples. "
            "An inactive dimension says nothing about x."
        ),
    ),
    Section(
        "importance",
        "Importance-weighted bound",
        lambda s: s.evaluation.samples > 1 and s.evaluation.curve,
        bounds.importance,
        worth,
    ),
)


def sections(outcome: Outcome) -> Iterator[Shown]:
    """All that fits the outcome, in the page's order."""
    for name, heading, fits, show, caption in SECTIONS:
        if fits(outcome):
            yield Shown(name, heading, caption(outcome), show(outcome))
