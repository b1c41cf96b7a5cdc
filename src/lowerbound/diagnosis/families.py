"""What family p(x|z) is of, and whether it is a density, or a probability, of such data."""

from __future__ import annotations

from torch.distributions import Distribution, Independent, Normal

from lowerbound import likelihoods
from lowerbound.diagnosis.trained import TrainedModel, once
from lowerbound.distributions import OptimalNormal
from lowerbound.evaluation.walk import prepared_batches


def family_of(trained: TrainedModel) -> str:
    """What p(x|z) is, elementwise: by the likelihood's own name, or by what it returns."""
    own, p = type(trained.model.likelihood).__name__, trained.likelihood
    if hasattr(likelihoods, own):
        return own
    return "Gaussian" if gaussian(p) is not None else type(_elements(p)).__name__


@once
def unfit(trained: TrainedModel) -> tuple[str | None, float, str]:
    """What form of finding a family is for such data, the share it does not fit, and their kind."""
    x, _ = next(prepared_batches(trained.model, trained.test, trained.device, trained.seed))
    family, kind = family_of(trained), trained.test.kind
    is_binary = bool(((x == 0) | (x == 1)).all())
    seen = "binarised" if is_binary and kind != "binary" else kind
    outside = ((x < 0) | (x > 1)).double().mean().item()
    if family in ("Bernoulli", "ContinuousBernoulli") and outside:
        return "no-probability" if family == "Bernoulli" else "no-density", outside, seen
    if family == "Bernoulli" and not is_binary:
        return "soft-targets", ((x > 0) & (x < 1)).double().mean().item(), seen
    if family in ("Gaussian", "ContinuousBernoulli") and is_binary and kind == "binary":
        return "density-of-points", 1.0, seen
    return None, 0.0, seen


def gaussian(p: Distribution) -> Distribution | None:
    """The elementwise Gaussian in p(x|z), if that is what it is."""
    elements = _elements(p)
    return elements if isinstance(elements, Normal | OptimalNormal) else None


def _elements(p: Distribution) -> Distribution:
    return p.base_dist if isinstance(p, Independent) else p
