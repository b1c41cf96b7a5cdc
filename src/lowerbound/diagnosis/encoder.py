"""What was the encoder trained to minimise, and can its outputs take any value?

An encoder at rest at E_q[−log p(x|z)] + β KL(q(z|x) ‖ p(z)) shows its β along any direction in
which its outputs can move: to scale its means, say, or to shift its log-variances,

    β = −(d/dt E[−log p(x|z)]) / (d/dt KL),

both derivatives averaged over the training data.  Where it is not at rest, `readings` asks what
else it may have been trained as.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from lowerbound.diagnosis import thresholds
from lowerbound.diagnosis.families import unfit
from lowerbound.diagnosis.finding import Measured, NotChecked, say
from lowerbound.diagnosis.formulas import WRONG_KLS, cause_of
from lowerbound.diagnosis.readings import DRAWN, Reading, derivatives, explanation, stated
from lowerbound.diagnosis.trained import TrainedModel
from lowerbound.distributions import as_diagonal
from lowerbound.divergences import standard_normal_kl_terms
from lowerbound.objectives import ELBO


def kl_weight(trained: TrainedModel) -> Measured:
    """The KL's weight that the encoder is at rest with, where it is not the objective's."""
    reading, measured = _reading(trained)
    wanted = trained.last_beta
    if reading is None or reading.beta == wanted:
        return Measured(None, "answer" if reading is None else "explained", **measured)
    elements, latent = math.prod(trained.model.shape), trained.model.latent_dim
    factor = reading.beta / wanted
    if factor == -1:
        widest = trained.codes.variance.mean(0).max().item()
        return Measured("sign", beta=reading.beta, widest=widest, **measured)
    reason = cause_of(factor, elements, latent, tolerance=thresholds.WEIGHT_CLOSE)
    is_none = not reason and factor < thresholds.NO_WEIGHT
    return Measured(
        "none" if is_none else "", beta=reading.beta, reason=reason, kl=trained.kl.value, **measured
    )


def stated_variance(trained: TrainedModel) -> Measured:
    """Whether z was drawn, and the KL computed, with the variance that q states."""
    reading, measured = _reading(trained)
    if reading is None or Reading(reading.beta) == reading or reading.paid in WRONG_KLS:
        return Measured(None, "answer" if reading is None else "explained", **measured)
    h = trained.codes.variance.double().log()
    better = derivatives(trained, reading)
    means, variances = better.beta(0), better.beta(2)
    bars = {"means": means.value, "variances": variances.value}
    measured["readings"][f"μ + {reading.drawn}, {reading.paid}"] = bars
    return Measured(
        "consistent" if reading.is_consistent else "",
        drawn=reading.drawn,
        paid=reading.paid,
        deviation=(DRAWN[reading.drawn](h).log() - h / 2).mean().exp().item(),
        read_by_means=means,
        read_by_variances=variances,
        **measured,
    )


def kl_formula(trained: TrainedModel) -> Measured:
    """Whether the KL was computed by its formula."""
    reading, measured = _reading(trained)
    if reading is None or reading.paid not in WRONG_KLS:
        return Measured(None, "answer" if reading is None else "explained", **measured)
    sigma = torch.linspace(0.1, 3, 100, dtype=torch.float64)
    mean, s = torch.full_like(sigma, 0.5), 2 * sigma.log()
    at = torch.tensor(0.5), torch.tensor(2 * math.log(2.0))
    wrong = WRONG_KLS[reading.paid]
    return Measured(
        "of-an-encoder",
        fault=say("formula", reading.paid),
        value=wrong(*at).item(),
        exact=standard_normal_kl_terms(*at).item(),
        x=sigma,
        lines={"as trained": wrong(mean, s), "exact": standard_normal_kl_terms(mean, s)},
        xlabel="σ, where μ = 0.5",
        **measured,
    )


def clipped_heads(trained: TrainedModel) -> Measured:
    """Means or log-variances of which many are exactly 0 and none is on one side of it."""
    heads = {"mean": trained.codes.mean, "log σ²": trained.codes.variance.log()}
    shares = {}
    for head, outputs in heads.items():
        one_sided = bool((outputs >= 0).all() or (outputs <= 0).all())
        shares[head] = (outputs == 0).double().mean().item() if one_sided else 0.0
    clipped = [head for head, share in shares.items() if share > thresholds.CLIPPED]
    return Measured(
        "" if clipped else None,
        mean=heads["mean"].min().item(),
        log_variance=heads["log σ²"].min().item(),
        mean_clipped=shares["mean"],
        variance_clipped=shares["log σ²"],
        worst=max(shares.values()),
        heads=" and ".join(clipped),
        outputs=heads,
    )


def explained(trained: TrainedModel) -> Reading | None:
    """What the encoder was trained as, if not as stated; None too where that cannot be told."""
    try:
        return _reading(trained)[0]
    except NotChecked:
        return None


def expect_as_stated(trained: TrainedModel) -> None:
    """Refuse to judge by draws of q, where others were trained with.

    Raises:
        NotChecked: the encoder was trained with another variance than q states.
    """
    reading = explained(trained)
    if reading and reading != Reading(reading.beta) and reading.paid not in WRONG_KLS:
        raise NotChecked("other-reading")


def expect_settled(trained: TrainedModel) -> None:
    """Refuse to take for a fault what a model has not learned yet.

    Raises:
        NotChecked: the training took fewer than `SETTLED` steps.
    """
    if trained.steps < thresholds.SETTLED:
        raise NotChecked("few-steps", steps=trained.steps)


def _reading(trained: TrainedModel) -> tuple[Reading | None, dict[str, Any]]:
    """What the encoder was trained as, if not as stated, and what its outputs say as stated.

    Raises:
        NotChecked: that cannot be told.
    """
    objective = trained.objective
    if unfit(trained)[0] == "no-probability":
        raise NotChecked("other-likelihood")
    plain = isinstance(objective, ELBO) and not objective.free_bits and not objective.corruption
    if not plain or not 0 < trained.last_beta < math.inf:
        raise NotChecked("other-objective")
    if trained.train is None:
        raise NotChecked("no-training-data")
    if trained.is_autoencoder or as_diagonal(trained.posterior) is None:
        raise NotChecked("no-diagonal")
    wanted, found = trained.last_beta, stated(trained)
    means, variances = found.beta(0), found.beta(2)
    return explanation(trained), {
        "by_means": means,
        "by_variances": variances,
        "wanted": wanted,
        "rest": found.unrest(wanted),
        "digits": max(3, 3 - math.floor(math.log10(wanted))),
        "readings": {"as stated": {"means": means.value, "variances": variances.value}},
    }
