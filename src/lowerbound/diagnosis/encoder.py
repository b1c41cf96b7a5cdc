"""Is the encoder the one that the bound wants: its KL weighed by 1, its variances what they say?"""

from __future__ import annotations

import math

import numpy as np

from lowerbound.diagnosis.finding import SURE, Check, Finding, shown
from lowerbound.diagnosis.formulas import Sizes, cause_of
from lowerbound.diagnosis.stationarity import Weights, explained
from lowerbound.diagnosis.subject import Subject, facts
from lowerbound.evaluation import Estimate
from lowerbound.objectives import ELBO

WEIGHT_OFF = 1.5
"""Factor by which the β that the encoder was trained with may differ from the objective's.  The
known faults are factors of 2 (a ½ lost), of the latent size, or of the number of pixels; noise of
training moves a good model's by a tenth to a third."""

WEIGHT_CLOSE = 0.25
"""Logarithm of the factor within which a weight is put down to a known fault."""

CLIPPED = 0.02
"""Share of outputs that are exactly 0 from which a head is clipped: a linear one gives none."""


def kl_weight(subject: Subject) -> Check:
    """β as it can be read off the encoder, see `stationarity`: by the variances, which are sharper,
    and only where the means agree; where they do not, `stated_variance` says why."""
    name, question = "kl-weight", "Was the KL weighed as the objective says?"
    found = _weights(subject)
    if isinstance(found, str):
        return Check(name, question, found)
    wanted = subject.last_beta
    beta = found.of_variances
    digits = max(3, 3 - math.floor(math.log10(wanted)))
    answer = (
        f"β is {shown(beta, digits)} by the encoder's variances and "
        f"{shown(found.of_means, digits)} by its means; the objective's is {wanted:.4g}"
    )
    if not _weighed_otherwise(found, wanted):
        return Check(name, question, answer)
    if explained(subject, wanted):
        return Check(name, question, f"{answer}; its variances are why, see below")
    sizes = Sizes(math.prod(subject.model.shape), subject.model.latent_dim)
    cause = cause_of(beta.value / wanted, sizes, WEIGHT_CLOSE)
    finding = Finding(
        name,
        "fault",
        f"The encoder was trained with the KL weighed by {beta.value:.3g} and not by {wanted:g}"
        f"{': ' + cause if cause else ''}. What was maximised is no bound of this likelihood.",
        beta.value,
        "nats of reconstruction per nat of KL",
        "Sum the reconstruction over all elements of x and the KL over all latent dimensions, then "
        "take the mean over the batch, once.",
        'loss = -lb.ELBO()(model, *model.prepare(x))["objective"].mean()    '
        "# lb.diagnose_loss checks your own",
        lambda: _weights_picture({"as stated": found}, wanted),
        standard_error=beta.standard_error,
        further={"objective's beta": wanted, "beta by the means": found.of_means.value},
    )
    return Check(name, question, answer, finding)


def stated_variance(subject: Subject) -> Check:
    """Whether q's variance is the one it was trained with, and else what its numbers mean.

    Asked where β by the variances is off.  That by the means alone tells little: where q is narrow,
    means that are a thousandth too large change it by their own size.
    """
    name, question = "stated-variance", "Is q's variance the one that it was trained with?"
    found = _weights(subject)
    if isinstance(found, str):
        return Check(name, question, found)
    ratio = found.ratio
    answer = f"β by the variances is {shown(ratio)} times β by the means"
    wanted = subject.last_beta
    if not _side(found.of_variances, wanted, WEIGHT_OFF):
        return Check(name, question, answer)
    reading = explained(subject, wanted)
    if reading is None:
        return Check(name, question, answer + "; no other reading of them explains that")
    drawn, paid, better = reading.drawn.name, reading.paid.name, reading.weights
    finding = Finding(
        name,
        "fault",
        "The encoder's second output h is not the log σ² it was trained as. It is at rest if z was "
        f"drawn as μ + {drawn} and the KL paid for {paid}: draws had {reading.deviation:.3g} times "
        "the deviation that q states.",
        reading.deviation,
        "times the stated deviation",
        "Draw with the deviation whose KL is paid: z = μ + exp(½ h) ε where h is log σ².",
        "z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)    "
        "# lb.diagnose_draws checks your own",
        lambda: _weights_picture({"as stated": found, f"μ + {drawn}, {paid}": better}, wanted),
        further={
            "beta by means, as stated": found.of_means.value,
            "beta by variances, as stated": found.of_variances.value,
            "beta by means": better.of_means.value,
            "beta by variances": better.of_variances.value,
        },
    )
    return Check(name, question, answer, finding)


def clipped_heads(subject: Subject) -> Check:
    """Means or log-variances of which many are exactly 0 and none is on one side of it."""
    name, question = "clipped-heads", "Can means be negative and variances below 1?"
    codes = subject.codes
    heads = {"mean": codes.mean, "log σ²": codes.variance.log()}
    shares = {}
    for head, values in heads.items():
        one_sided = bool((values >= 0).all() or (values <= 0).all())
        shares[head] = (values == 0).double().mean().item() if one_sided else 0.0
    low = {head: values.min().item() for head, values in heads.items()}
    answer = ", ".join(f"{head} from {value:.2f}" for head, value in low.items()).replace("-", "−")
    clipped = [head for head, share in shares.items() if share > CLIPPED]
    if not clipped:
        return Check(name, question, answer)
    worst = max(shares.values())

    def draw():
        from lowerbound import plots

        return plots.score_histograms(
            {head: {"held out": values.flatten().numpy()} for head, values in heads.items()},
            xlabel="output of the encoder",
            title="The encoder's outputs",
        )

    finding = Finding(
        name,
        "fault",
        f"The encoder's {' and '.join(clipped)} cannot pass 0: {100 * worst:.0f} % are exactly 0. "
        "Posteriors with a negative mean, or narrower than the prior, are out of its reach.",
        worst,
        "of the outputs are 0",
        "Let the last layer of each head be linear, with no activation after it.",
        "lb.DiagonalGaussian(lb.MLP(784, (512,), 2 * latent_dim), latent_dim)",
        draw,
        further=facts(**{f"share of 0 in {head}": share for head, share in shares.items()}),
    )
    return Check(name, question, answer, finding)


def _weights(subject: Subject) -> Weights | str:
    """The weights, or why they cannot be had."""
    objective = subject.objective
    plain = isinstance(objective, ELBO) and not objective.free_bits and not objective.corruption
    if not plain or not 0 < subject.last_beta < math.inf:
        return "not checked: the objective is no ELBO with one KL weight in the end"
    if subject.train is None:
        return "not checked: the data it was trained on are not at hand"
    if not subject.codes_say_something:
        return f"not checked: the code says nothing (KL {subject.kl.value:.3f} nats)"
    if subject.was_learning:
        return "not checked: the model was still learning when its training ended"
    found = subject.weights
    if found is None:
        return "not checked: q(z|x) is no diagonal Gaussian"
    return found


def _side(ratio: Estimate, wanted: float, factor: float) -> int:
    """1 where an estimate is surely above what is wanted by more than a factor, −1 where below."""
    if ratio.value - SURE * ratio.standard_error > wanted * factor:
        return 1
    return -1 if ratio.value + SURE * ratio.standard_error < wanted / factor else 0


def _weighed_otherwise(found: Weights, wanted: float) -> bool:
    """Whether both β are surely off the one wanted, to the same side, and not from each other: an
    encoder that is not at rest yet has two that differ."""
    both = found.of_means, found.of_variances
    sides = {_side(each, wanted, WEIGHT_OFF) for each in both}
    alike = min(each.value for each in both) > 0 and not _side(found.ratio, 1.0, WEIGHT_OFF)
    return len(sides) == 1 and 0 not in sides and alike


def _weights_picture(readings: dict[str, Weights], wanted: float):
    from lowerbound import plots

    bars = {
        f"{by},\n{name}": beta.value
        for name, found in readings.items()
        for by, beta in (("means", found.of_means), ("variances", found.of_variances))
    } | {"the\nobjective": wanted}
    return plots.ranked_bars(
        np.array(list(bars.values())),
        list(bars),
        ylabel="β",
        title="The KL's weight by the derivatives of the encoder's means and variances",
    )
