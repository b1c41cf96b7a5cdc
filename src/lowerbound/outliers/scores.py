"""Scores of single examples, by name: higher is stranger.

Each is a function of what is measured of the examples and of training examples, (n,).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.errors import ConfigurationError
from lowerbound.outliers import draws
from lowerbound.outliers.features import ecod, mahalanobis
from lowerbound.outliers.measures import Measures
from lowerbound.posteriors import Deterministic, DiagonalGaussian
from lowerbound.vae import VAE
from lowerbound.weight_draws import WeightDraws, weight_draws

Scores = Float[Tensor, " n"]
Score = Callable[[Measures, Measures], Tensor]

LARGEST = torch.finfo(torch.float64).max


def reconstruction(x: Measures, train: Measures) -> Scores:
    """−E_q log p(x|z), nats: what the code leaves unsaid."""
    return x.bounds["reconstruction"].double()


def elbo(x: Measures, train: Measures) -> Scores:
    """−ELBO ≥ −log p(x), nats.

    Simple x are cheap, whatever they are: a model of clothes finds digits likelier than clothes.
    """
    return x.cost("elbo")


def importance_weighted(x: Measures, train: Measures) -> Scores:
    """−log (1/k) Σ w ≥ −log p(x), nats, nearer to it than the −ELBO.

    It fails as that does.

    Source: Burda, Grosse & Salakhutdinov, Importance weighted autoencoders, 2015, arXiv 1509.00519.
    """
    return x.cost("importance_weighted")


def excess(x: Measures, train: Measures) -> Scores:
    """−log p(x) above the least that any code could make of it, nats; bounded as above.

    Under a Bernoulli likelihood grey levels cost at least their own entropy, of which dark x have
    little.  Without it, what the model failed to explain is left.  Under others it is −log p(x).
    """
    return x.cost("importance_weighted") - x.floor


def regret(x: Measures, train: Measures) -> Scores:
    """max_q L[q] − L[q(z|x)], nats: what the ELBO gains where q is refitted to this one x.

    It costs a hundred steps of gradients.  It fails where the encoder serves strange x well.

    Source: Xiao, Yan & Amit, Likelihood regret, 2020, arXiv 2003.02977, who refit the encoder's
    weights; here it is q's mean and variance.
    """
    return x.gained


def typicality(x: Measures, train: Measures) -> Scores:
    """|−log p(x) − H|, nats, H the mean of −log p over training examples.

    Too likely is strange too.  It fails where strange x cost as much as training examples do.

    Source: Nalisnick, Matsukawa, Teh & Lakshminarayanan, Detecting out-of-distribution inputs to
    deep generative models using typicality, 2019, arXiv 1906.02994.
    """
    costs = importance_weighted(train, train)
    return (importance_weighted(x, train) - costs[costs.isfinite()].mean()).abs()


def complexity(x: Measures, train: Measures) -> Scores:
    """−log p(x) less what deflate (zlib, level 9) makes of x, nats.

    Simple x are no longer cheap.  It is as good as the compressor.

    Source: Serrà et al., Input complexity and out-of-distribution detection with likelihood-based
    generative models, 2020, arXiv 1909.11480.
    """
    return x.cost("importance_weighted") - x.size


def dose(x: Measures, train: Measures) -> Scores:
    """The Mahalanobis distance of `excess` and `complexity` from those of training examples.

    What is simpler than all that was trained on is strange, even where it is explained well.  Where
    strange x are as complex as others, complexity only blurs what `excess` tells.

    Source: of states of several statistics: Morningstar, Ham, Gallagher, Lakshminarayanan, Alemi &
    Dillon, Density of states estimation for out-of-distribution detection, 2021, arXiv 2006.09273.
    """

    def states(of: Measures) -> Tensor:
        return torch.stack((excess(of, train), complexity(of, train)), 1)

    return mahalanobis(states(x), _finite_rows(states(train)))


def lpath_mahalanobis(x: Measures, train: Measures) -> Scores:
    """The Mahalanobis distance of ‖x − x̂‖, ‖μ‖ and ‖σ‖ from those of training examples.

    Cheap: one pass.  It sees no strangeness that leaves these three as they are.

    Source: the features are those of `Measures.features`.
    """
    return mahalanobis(x.features, _finite_rows(train.features))


def lpath_ecod(x: Measures, train: Measures) -> Scores:
    """−log of the tails in which ‖x − x̂‖, ‖μ‖ and ‖σ‖ lie among those of training examples.

    As `lpath_mahalanobis`, for features of any distribution; beyond all of them it ends.

    Source: `ecod`.
    """
    return ecod(x.features, _finite_rows(train.features))


def level(x: Measures, train: Measures) -> Scores:
    """|mean of x − that of training examples|, in the units of the model's parts: no model needed.

    A score that does no better tells bright from dark.
    """
    return (x.level - train.level.nanmean()).abs()


def size(x: Measures, train: Measures) -> Scores:
    """|deflated size of x − that of training examples|, nats: no model needed.

    A score that does no better tells simple from complex.
    """
    return (x.size - train.size.mean()).abs()


def _of_draws(score: Callable[[Tensor], Tensor]) -> Score:
    def of(x: Measures, train: Measures) -> Tensor:
        return score(x.log_likelihoods)

    return of


def _finite_rows(features: Tensor) -> Tensor:
    return features[features.isfinite().all(1)]


SCORES: dict[str, Score] = {
    score.__name__: score
    for score in (
        reconstruction,
        elbo,
        importance_weighted,
        excess,
        regret,
        typicality,
        complexity,
        dose,
        lpath_mahalanobis,
        lpath_ecod,
        level,
        size,
    )
} | {
    score.__name__: _of_draws(score)
    for score in (
        draws.expected_likelihood,
        draws.waic,
        draws.disagreement,
        draws.entropy,
        draws.std,
    )
}
"""Every score by its name."""

OF_DRAWS = ("expected_likelihood", "waic", "disagreement", "entropy", "std")
"""Those that need draws of the model's weights."""

OF_BOUNDS = ("elbo", "importance_weighted", "excess", "regret", "typicality", "complexity", "dose")
"""Those that need a posterior with a density."""

TRIVIAL = ("level", "size")
"""Those that need no model, which others have to beat."""


def default(model: VAE) -> str:
    """The name of the score to take by a ``model`` where none is asked for.

    docs/outliers.md says why.
    """
    if isinstance(_undrawn(model.posterior), Deterministic):
        return "reconstruction"
    return "entropy" if isinstance(model.likelihood, WeightDraws) else "excess"


def lacks(model: VAE, name: str) -> str | None:
    """What ``model`` lacks for a score, in words; None where it has all."""
    if name in OF_DRAWS:
        try:
            if weight_draws(model) < 2:
                return "expected at least two draws of the weights, got one; draw more"
        except ConfigurationError as error:
            return str(error)
    if name in OF_BOUNDS and isinstance(_undrawn(model.posterior), Deterministic):
        return (
            "expected a posterior with a density, got a deterministic one, by which x has no "
            "bound; choose the score reconstruction or lpath_ecod"
        )
    if name == "regret" and not isinstance(model.posterior, DiagonalGaussian):
        return (
            f"expected a DiagonalGaussian posterior, got {type(model.posterior).__name__}; choose "
            "another score"
        )
    return None


def _undrawn(part: nn.Module) -> nn.Module:
    """The part of which there are draws, or the part itself."""
    return part.module if isinstance(part, WeightDraws) else part


def score(name: str, x: Measures, train: Measures) -> Scores:
    """The score called ``name``, float64; where float64 holds none, the largest number it holds."""
    found = SCORES[name](x, train)
    return torch.where(found.isfinite(), found, LARGEST)
