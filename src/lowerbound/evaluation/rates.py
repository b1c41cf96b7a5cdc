"""Rate and distortion: what codes cost, and what they leave unsaid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lowerbound.errors import ConfigurationError
from lowerbound.evaluation.bounds import evaluate, measures
from lowerbound.evaluation.estimates import Estimate
from lowerbound.evaluation.walk import Progress
from lowerbound.vae import VAE


@dataclass(frozen=True)
class Rate:
    """One model's place in the plane of rate and distortion, nats per example.

    Attributes:
        name: of the model.
        rate: R = E KL(q(z|x) ‖ p(z)), at least what the code tells of x.
        distortion: D = −E log p(x|z).
        elbo: −R − D ≤ log p(x).
    """

    name: str
    rate: Estimate
    distortion: Estimate
    elbo: Estimate


def rate_distortion(
    models: Mapping[str, VAE],
    data: Any,
    *,
    samples: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Rate]:
    """Rate and distortion of each of the named ``models`` on the same data, by rising rate.

    Models of one architecture that were trained with several β trace its curve: each has the least
    D + βR, so that −1/β is the slope of R(D) there.

    Args:
        models: by their names.
        data: the examples, as in `evaluate`.
        samples: draws z ~ q(z|x) for each.
        seed: of all noise.
        progress: called with the examples done, of all models, and their number.

    Source: Alemi et al., Fixing a broken ELBO, 2018, arXiv 1711.00464.

    Raises:
        ConfigurationError: no models, one whose posterior is deterministic and has no rate, or
            models whose bounds are of different quantities.
    """
    if not models:
        raise ConfigurationError("expected at least one model, got none")
    quantities = {
        (measures(model), model.transform.log_slopes(model.shape).sum().item())
        for model in models.values()
    }
    if len(quantities) > 1:
        raise ConfigurationError(
            "expected models whose bounds are of one quantity, got bounds on the "
            f"{' and on the '.join(sorted({words for words, _ in quantities}))}, by other units or "
            "transforms; compare models of one likelihood's support and one transform"
        )
    places: list[Rate] = []

    def advance(done: int, total: int) -> None:
        if progress:
            progress(len(places) * total + done, len(models) * total)

    for name, model in models.items():
        found = evaluate(model, data, samples=samples, seed=seed, progress=advance)
        if found.kl is None or found.elbo is None:
            raise ConfigurationError(
                f"expected a posterior with a density, got a deterministic one in {name}, whose "
                "rate is infinite"
            )
        if found.left_out:
            raise ConfigurationError(
                f"expected a finite bound of every example from {name}, got "
                f"{len(found.left_out):,} of {len(data):,} without; leave these out, so that all "
                "models are measured by the same"
            )
        places.append(Rate(name, found.kl, found.reconstruction, found.elbo))
    return sorted(places, key=lambda place: place.rate.value)
