"""What scores are made of."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lowerbound.data import Data
from lowerbound.distributions.base import variance_of
from lowerbound.evaluation import example_scores, grey_entropy, weight_log_likelihoods
from lowerbound.evaluation.bounds import example_bounds
from lowerbound.evaluation.refit import PAIRS, refitted
from lowerbound.evaluation.walk import IMAGES_PER_BATCH, Progress, columns, judging, per_example
from lowerbound.streams import Stream
from lowerbound.vae import VAE, Conditioned

SPREAD_DRAWS = 64
ROUNDED_AWAY = 1.0  # nats


@dataclass(frozen=True, eq=False)
class Measures:
    """What scores of the ``data`` by a ``model`` are made of, measured when it is first asked for.

    Attributes:
        model: any VAE.
        data: the examples, in memory or on disk.
        samples: draws z ~ q(z|x) of each, for its bounds.
        seed: of all noise.
        progress: called with the examples done and their number, by each measure.
    """

    model: VAE
    data: Data
    samples: int = 100
    seed: int = 0
    progress: Progress | None = None

    @cached_property
    def bounds(self) -> dict[str, Tensor]:
        """As `evaluation.example_scores` has them."""
        return example_scores(
            self.model, self.data, samples=self.samples, seed=self.seed, progress=self.progress
        )

    def cost(self, bound: str) -> Tensor:
        """Minus the one of the `bounds` called ``bound``, nats, (n,)."""
        return -self.bounds[bound].double()

    @cached_property
    def floor(self) -> Tensor:
        """The least that −log p(x|z) can be by any z, the entropy of grey levels, nats, (n,).

        Of a Bernoulli likelihood, that is; of others it is taken for 0.
        """
        if getattr(self.model.likelihood, "support", None) != "binary":
            return torch.zeros(len(self.data), dtype=torch.float64)
        return grey_entropy(self.data).double()

    @cached_property
    def gained(self) -> Tensor:
        """max L[q] − L[q(z|x)], by refitting a diagonal Gaussian to each x, nats, (n,).

        All x of a batch are refitted at once, in 100 steps of Adam.
        """

        def measure(given: Conditioned) -> dict[str, Tensor]:
            bounds = []
            for q in (given.q, refitted(given)):
                # By the same noise, most of which their difference is then without.
                with torch.random.fork_rng([given.x.device] if given.x.is_cuda else []):
                    of_q = Conditioned(given.x, q, given.p, given.log_likelihood)
                    bounds.append(example_bounds(self.model, of_q, self.samples)["elbo"])
            # Of bounds so large that float32 rounds a nat away, the difference is lost; NaN has
            # them measured in float64.
            lost = bounds[0].abs() * torch.finfo(given.x.dtype).eps > ROUNDED_AWAY
            return {"gained": torch.where(lost, torch.nan, bounds[1] - bounds[0])}

        found = per_example(
            *(self.model, self.data, measure),
            seed=self.seed,
            stream=Stream.GAPS,
            copies=2 * PAIRS,
            progress=self.progress,
        )
        return found["gained"]

    @cached_property
    def log_likelihoods(self) -> Tensor:
        """log p(x|θ_m) of each draw θ_m of the model's weights, nats, float64, (M, n)."""
        return weight_log_likelihoods(
            *(self.model, self.data), samples=self.samples, seed=self.seed, progress=self.progress
        )

    @cached_property
    def features(self) -> Tensor:
        """‖x − x̂‖, ‖μ‖ and ‖σ‖ of q(z|x) = N(μ, σ²), x̂ the decoder's mean at μ, float64, (n, 3).

        In the units of the model's parts.  Tokens, and rows with fields of several kinds, have no
        such distance; of these it is −log p(x|z = μ), nats.

        Source: Shi et al., the features of LPath, 2024.
        """
        model = self.model

        def measure(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
            given = model.given(x, context)
            z = given.q.mean
            if getattr(model.likelihood, "support", None) in MEASURABLE:
                # What is missing of x is left out.
                apart = _norm((x - model.likelihood(z, context).mean).where(~x.isnan(), 0.0))
            else:
                apart = -given.log_likelihood(z.unsqueeze(0))[0].double()
            parts = (apart, _norm(z), variance_of(given.q, SPREAD_DRAWS).double().sum(-1).sqrt())
            return {"features": torch.stack(parts, -1)}

        with judging(model, self.seed, Stream.EVALUATE) as device:
            found = columns(*(model, self.data, measure, device, self.seed), progress=self.progress)
        return found["features"]

    @cached_property
    def level(self) -> Tensor:
        """The mean of what is observed of x, as the model sees it, (n,)."""
        means = [
            self.model.transform.noiseless(x).double().flatten(1).nanmean(1)
            for x, _ in self.model.by_name(self.data).to("cpu").batches(IMAGES_PER_BATCH)
        ]
        return torch.cat(means)

    @cached_property
    def size(self) -> Tensor:
        """Nats of x as it is kept after compression by deflate (zlib, level 9), (n,)."""
        bits = [
            8 * len(zlib.compress(row.tobytes(), 9))
            for x, _ in self.data.to("cpu").batches(IMAGES_PER_BATCH)
            for row in x.numpy()
        ]
        return torch.tensor(bits, dtype=torch.float64) * math.log(2)


MEASURABLE = ("binary", "grey", "continuous", "counts")
"""The supports of which a distance between x and its reconstruction tells something."""


def _norm(x: Tensor) -> Tensor:
    """‖x‖ of each example, float64."""
    return x.double().flatten(1).norm(dim=1)
