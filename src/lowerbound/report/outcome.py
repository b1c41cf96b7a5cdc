"""What a report is about: a model, its data, its figures, and what several pictures share."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound import evaluation
from lowerbound.data import Dataset
from lowerbound.diagnosis.columns import modelled, told
from lowerbound.diagnosis.finding import NotChecked
from lowerbound.diagnosis.trained import TrainedModel
from lowerbound.evaluation import Evaluation
from lowerbound.evaluation.walk import judging
from lowerbound.music import VOCABULARY
from lowerbound.music.windows import MetreName
from lowerbound.objectives import ELBO, InfoVAE, Objective
from lowerbound.plots.style import number
from lowerbound.priors import StandardNormal
from lowerbound.report.rows import Rows
from lowerbound.streams import Stream, generator
from lowerbound.training import Record
from lowerbound.vae import VAE

SCORED = 2000
CODES = 10_000
DRAWS = 2000
ROWS = 5000
ELEMENTS = 20_000_000


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run came to: a model in evaluation mode, and its figures on the ``test`` data.

    ``train`` and ``objective`` are None where they are not known; ``metre`` is that of melodies.
    """

    model: VAE
    test: Dataset
    evaluation: Evaluation
    history: list[Record]
    train: Dataset | None = None
    objective: Objective | None = None
    metre: MetreName = "4/4"
    seed: int = field(default=0, repr=False)

    @cached_property
    def sound(self) -> list[int]:
        """The numbers of the test examples that the figures are of."""
        left_out = set(self.evaluation.left_out)
        return [i for i in range(len(self.test)) if i not in left_out]

    @cached_property
    def data(self) -> Dataset:
        """These test examples, which pictures and tables are of."""
        return self.test.subset(self.sound) if self.evaluation.left_out else self.test

    @property
    def is_image(self) -> bool:
        """Whether examples are images, grey or RGB."""
        return len(self.data.shape) == 3 and self.data.shape[0] in (1, 3)

    @property
    def is_table(self) -> bool:
        """Whether examples are rows of a table."""
        return len(self.data.shape) == 1 and not self.vocabulary

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The names of tokens, where examples are sequences of them."""
        return getattr(self.model.likelihood, "vocabulary", ())

    @property
    def is_melody(self) -> bool:
        """Whether examples are melodies."""
        return self.vocabulary == VOCABULARY

    @property
    def noun(self) -> str:
        """What one example is called."""
        if len(self.data.shape) == 3:
            return "image"
        if self.is_melody:
            return "melody"
        return "sequence" if self.vocabulary else "row" if self.is_table else "example"

    @property
    def nouns(self) -> str:
        """The same of several."""
        return "melodies" if self.is_melody else f"{self.noun}s"

    @property
    def unit(self) -> str:
        """The unit of the figures."""
        return f"nats per {self.noun}"

    @property
    def latent_dim(self) -> int:
        """Dimensions of z."""
        return self.model.latent_dim

    @property
    def trains_prior(self) -> bool:
        """Whether training brought codes and prior together: an autoencoder's has no part in it."""
        if isinstance(self.objective, InfoVAE):
            return True
        return self.evaluation.kl is not None and getattr(self.objective, "beta", 1.0) != 0

    @property
    def has_normal_prior(self) -> bool:
        """Whether p(z) = N(0, I), whatever the context: its circles and quantiles say something."""
        return self.trains_prior and isinstance(self.model.prior, StandardNormal)

    @property
    def kl(self) -> list[float] | None:
        """KL of each dimension, where posterior and prior factorise."""
        return self.evaluation.kl_per_dimension

    @cached_property
    def ranked(self) -> list[int]:
        """Latent dimensions, the most active first."""
        return evaluation.most_active(self.evaluation)

    def named(self, dimension: int) -> str:
        """A latent dimension, and how active it is."""
        if self.kl:
            return f"z[{dimension}], KL {self.kl[dimension]:.2f} nats"
        return f"z[{dimension}], variance {self.evaluation.variance_per_dimension[dimension]:.3g}"

    @property
    def value_range(self) -> tuple[float, float]:
        """The values drawn as black and white."""
        if self.data.kind in ("grey", "binary", "unit"):
            return 0.0, self.data.scale
        return float(self.data.x.min()), float(self.data.x.max())

    @property
    def is_conditional(self) -> bool:
        """Whether the model takes classes."""
        return self.model.takes_labels

    @property
    def of_all(self) -> Any:
        """The context that all walks are decoded with, if any: class 0, or the first covariates."""
        if self.is_conditional:
            return 0
        given = None if self.model.context is None else self.data.given
        return None if given is None else given.x[:1]

    @cached_property
    def class_names(self) -> list[str]:
        """The names of all classes of the model and of the data, or their numbers."""
        names = self.data.classes or getattr(self.model.context, "names", None)
        if names is None and self.data.labels is not None:
            names = map(str, range(int(self.data.labels.max()) + 1))
        return list(names or ())

    @property
    def columns(self) -> list[str]:
        """The names of a table's columns."""
        return list(self.data.columns or (f"x[{i}]" for i in range(self.data.shape[0])))

    @cached_property
    def encoded(self) -> Dataset:
        """The test examples that are encoded: all, or so many at random."""
        return some(self.data, CODES)

    @cached_property
    def means(self) -> np.ndarray:
        """The posterior's mean of each encoded example, (n, latent)."""
        return evaluation.embed(self.model, self.encoded).numpy()

    @cached_property
    def draws(self) -> np.ndarray:
        """One draw from each one's posterior, (n, latent)."""
        return evaluation.embed(self.model, self.encoded, sample=True).numpy()

    @cached_property
    def labels(self) -> np.ndarray | None:
        """Their classes."""
        return None if self.encoded.labels is None else self.encoded.labels.numpy()

    @cached_property
    @torch.no_grad()
    def prior(self) -> bool | np.ndarray:
        """What is drawn behind codes: a normal prior's circles, draws from another, or nothing."""
        if self.has_normal_prior or not self.trains_prior:
            return self.has_normal_prior
        given = None if self.model.context is None else some(self.data, DRAWS).context
        z, _ = self.model.joint(DRAWS if given is None else len(given), self.model.features(given))
        return z.cpu().numpy()

    @cached_property
    def scored_numbers(self) -> list[int]:
        """The numbers of the test examples that are scored: all, or so many at random."""
        return [self.sound[i] for i in chosen(len(self.sound), SCORED)]

    @cached_property
    def scored(self) -> Dataset:
        """These examples."""
        return self.test.subset(self.scored_numbers)

    @cached_property
    def scores(self) -> np.ndarray:
        """The ELBO of each scored example, or log p(x|z) where there is none, (n,).

        −∞ where float64 holds none.
        """
        others = set(range(len(self.test))).difference(self.scored_numbers)
        return self._scores(self.test, others)

    @cached_property
    def train_scores(self) -> np.ndarray | None:
        """The same of as many training examples."""
        return None if self.train is None else self._scores(some(self.train, SCORED))

    @property
    def unscored(self) -> int:
        """How many of these scores are not finite."""
        found = (scores for scores in (self.scores, self.train_scores) if scores is not None)
        return sum(int((~np.isfinite(scores)).sum()) for scores in found)

    def _scores(self, data: Dataset, leave_out: Collection[int] = ()) -> np.ndarray:
        found = evaluation.example_scores(self.model, data, seed=self.seed, leave_out=leave_out)
        score = found.get("elbo", -found["reconstruction"]).double()
        return score.nan_to_num(-torch.inf, torch.inf, -torch.inf).numpy()

    @property
    def score(self) -> str:
        """What the scores are."""
        return "log p(x|z)" if self.evaluation.elbo is None else "ELBO"

    @property
    def categories(self) -> dict[int, tuple[str, ...]]:
        """The names of categories, by the number of their column."""
        schema = self.data.schema
        fields = schema if self.data.columns else schema * self.data.shape[0]
        return {i: field.categories for i, field in enumerate(fields) if field.categories}

    @cached_property
    def rows(self) -> Rows:
        """Some of the test rows, and generated ones whose classes are shared out as theirs are."""
        most = max(100, min(ROWS, ELEMENTS // self.data.shape[0]))
        data = some(self.data, most)
        drawn = None
        if self.model.context is not None and data.context is not None:
            drawn = data.context[torch.arange(most) % len(data)]
        return Rows(
            data.x.double().numpy(),
            self.reconstructed(data).double().numpy(),
            self.sampled(most, drawn, mean=False).double().numpy(),
            None if data.labels is None else data.labels.numpy(),
            drawn.numpy() if drawn is not None and self.is_conditional else None,
            self.categories,
        )

    @cached_property
    def costs(self) -> tuple[np.ndarray, np.ndarray] | None:
        """−log p(xᵢ|z) of each column, nats, (D,), at rows' own codes and at those of others.

        None where the likelihood gives columns no probabilities of their own.
        """
        objective = self.objective or ELBO()
        with judging(self.model, self.seed, Stream.REPORT) as device:
            judged = TrainedModel(
                self.model, self.data, self.train, self.history, objective, device, self.seed
            )
            try:
                modelled(judged)
            except NotChecked:
                return None
            own, others = (costs.mean(0).numpy() for costs in told(judged))
        return own, others

    def worst(self, most: int) -> tuple[Dataset, list[str], list[int]]:
        """The scored examples of the lowest scores, these scores, and the examples' numbers."""
        order = np.argsort(self.scores, kind="stable")[:most].tolist()
        scores = [number(self.scores[i]) for i in order]
        return self.scored.subset(order), scores, [self.scored_numbers[i] for i in order]

    def reconstructed(self, data: Dataset) -> Tensor:
        """The decoder's mean at the posterior's mean of all the data."""
        return evaluation.reconstruct(self.model, data)

    @torch.no_grad()
    def sampled(self, n: int, context: Tensor | None = None, *, mean: bool) -> Tensor:
        """Draws x ~ p(x|z), or their means, at z ~ p(z).

        Where no prior was trained, z is from a Gaussian fitted to the codes.

        A conditional model without ``context`` takes all classes, or covariates, in turn.
        """
        if context is None and self.is_conditional:
            context = torch.arange(n) % len(self.class_names)
        elif context is None and self.data.given is not None and self.model.context is not None:
            context = self.data.given.x[torch.arange(n) % len(self.data)]
        if self.trains_prior:
            return self.model.sample(n, context, seed=self.seed, mean=mean).cpu()
        rng = np.random.default_rng(self.seed)
        covariance = np.atleast_2d(np.cov(self.means, rowvar=False))
        z = rng.multivariate_normal(self.means.mean(0), covariance, n)
        return self.model.decode(torch.from_numpy(z).float(), context).cpu()


def chosen(n: int, most: int) -> list[int]:
    """All numbers below n, or so many at random: files are often in the order of their classes."""
    order = torch.randperm(n, generator=generator(0, Stream.SUBSET))
    return list(range(n)) if n <= most else order[:most].sort().values.tolist()


def some(data: Dataset, most: int) -> Dataset:
    """At most so many of the data."""
    return data.subset(chosen(len(data), most)) if len(data) > most else data
