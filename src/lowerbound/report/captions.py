"""What captions of several sections say."""

from __future__ import annotations

from lowerbound.plots.columns import PANELS
from lowerbound.report import images, tables
from lowerbound.report.outcome import Outcome


def encoded(s: Outcome) -> str:
    """How many examples the pictures of codes show."""
    return counted(len(s.encoded), len(s.data), f"test {s.nouns}")


def counted(shown: int, all_of_them: int, what: str) -> str:
    """So many, or so many of more.

    >>> counted(20, 20, "rows"), counted(20, 1000, "rows")
    ('20 rows', '20 of 1,000 rows')
    """
    return f"{shown:,} {what}" if shown >= all_of_them else f"{shown:,} of {all_of_them:,} {what}"


def latent_codes(s: Outcome) -> str:
    """Where samples are decoded."""
    if s.trains_prior:
        return "z ~ p(z) from the prior"
    return "z from a Gaussian fitted to the codes of test examples, as no prior was trained"


def behind(s: Outcome) -> str:
    """What is drawn behind codes."""
    if s.has_normal_prior:
        return " The circles are the prior's, at 1σ and 2σ."
    if not s.trains_prior:
        return ""
    return " Grey points are draws from the prior, which spread wider than means do."


def walked(s: Outcome) -> str:
    """Where walks step, and what else is decoded there."""
    whose = "N(0, 1)" if s.has_normal_prior else "the test examples' codes"
    others = "0" if s.has_normal_prior else "at their medians"
    rest = f", the others {others}" if s.latent_dim > 2 else ""
    return f"from the 2 % to the 98 % quantile of {whose}{rest}"


def one_class(s: Outcome) -> str:
    """What a conditional model's walks are of: a class, or covariates."""
    if s.is_conditional:
        return f" All are decoded as class {s.class_names[0]}."
    if s.of_all is None:
        return ""
    return " All are decoded with the covariates of the first test row."


def most_active(s: Outcome, limit: int) -> str:
    """All latent dimensions, or the most active."""
    if s.latent_dim <= limit:
        return f"all {s.latent_dim} dimensions" if s.latent_dim > 1 else "the one dimension"
    return f"the {limit} most active of {s.latent_dim} dimensions"


def first_of(number: int, limit: int, words: str = ",") -> str:
    """Nothing, or how many of more are shown."""
    return "" if number <= limit else f"{words} the first {limit:,} of {number:,}"


def drawn_columns(s: Outcome, most: int = PANELS) -> str:
    """All columns, or those that differ most."""
    if len(s.columns) <= most:
        return "Each column"
    return f"The {most} of {len(s.columns):,} columns that differ most from what is generated,"


def hanging_together(s: Outcome) -> str:
    """What associations are of.

    Ranks of n rows that have nothing to do with each other are correlated by 1/√(n − 1) (s.d.).
    """
    n, columns = len(s.rows.original), len(s.columns)
    others = f"These are columns of the pairs that differ most, of {columns:,}."
    return (
        "The association of each pair of columns: of numbers the correlation of their ranks, "
        "of categories Cramér's V, and of one with the other the correlation ratio, which are "
        "never negative. By chance alone they are off by "
        f"{1 / max(n - 1, 1) ** 0.5:.2f} (s.d.) in so many test rows. "
        f"{others if columns > tables.ASSOCIATED else ''}"
    )


def costs(s: Outcome) -> str:
    """What the nats of columns are."""
    return (
        "The mean over test rows of −log p(xᵢ|z), z ~ q(z|x), in the units of prepared x, of "
        f"the {min(PANELS, len(s.columns))} columns that cost most. Grey is what the "
        "column costs where z is another row's: the code says so much more of it. Densities "
        "may cost less than 0."
    )


def listed_columns(s: Outcome) -> str:
    """What stands in the table of all columns."""
    return (
        f"Each column in {len(s.rows.original):,} test rows and in {len(s.rows.generated):,} "
        "generated ones, the least alike first. The distance is the largest difference of "
        "their cumulative shares, for categories half the sum of the differences of their "
        "shares; by chance alone all stay below the figures beside them in 19 of 20 such "
        "tables. R² is of the reconstruction, nats are −log p(xᵢ|z)."
        + first_of(len(s.columns), tables.LISTED, " Shown are")
    )


def shares(s: Outcome) -> str:
    """What the classes, or the covariates, of generated rows are."""
    if s.is_conditional:
        return ", their classes shared out as the data's are"
    return ", given the covariates of test rows" if s.of_all is not None else ""


def sampled_columns(s: Outcome) -> str:
    """What the pictures of columns show."""
    return (
        f"{drawn_columns(s, tables.DRAWN)} in "
        f"{counted(len(s.rows.original), len(s.data), 'test rows')}, and in "
        f"{len(s.rows.generated):,} rows x ~ p(x|z), {latent_codes(s)}{shares(s)}; the least "
        "alike first. Lengths are shares of the rows; the outermost bins hold all that lies "
        "beyond."
    )


def nearness(s: Outcome) -> str:
    """How near samples and test images come to training images."""
    samples, rebuilt, test = images.closeness(s)
    compared = min(images.COMPARED, len(s.data))
    assert s.train is not None
    return (
        f"The first {images.NEAREST} samples, and below each the nearest of "
        f"{len(s.train):,} training images, with the root mean square difference of their pixels "
        f"(black to white is 1). Its median is {samples:.3f} for {images.SAMPLES} samples, "
        f"{rebuilt:.3f} for the reconstructions of {compared} test images, "
        f"and {test:.3f} for these test images. Blurred pictures are near to many; sharp samples "
        "that come much nearer than test images repeat the training data."
    )


def worth(s: Outcome) -> str:
    """What the importance-weighted bound's draws are worth."""
    found = s.evaluation.effective_samples
    assert found is not None
    return (
        "The bound on log p(x) from k draws z ~ q(z|x); k = 1 gives the ELBO. The band is ± one "
        "standard error over the test examples. Where the bound still rises at the right, log p(x) "
        f"is higher. {s.evaluation.samples:,} draws are worth {found.median:.1f} effective "
        f"ones for the median example, and fewer than {found.limit} for {found.below:.0%} of "
        "examples."
    )
