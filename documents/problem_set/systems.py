"""E2–E7: the VAE problem set, a convolutional VAE on Fashion-MNIST."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from documents.bench import NATS, Bench, cost, system
from documents.problem_set import interface
from documents.problem_set.normality import Normality, normality
from documents.problem_set.smoothness import distance_agreement
from lowerbound import evaluation, plots
from lowerbound.data import Dataset
from lowerbound.evaluation import Between, Evaluation
from lowerbound.objectives import ELBO
from lowerbound.plots.style import coordinate
from lowerbound.training import Training
from lowerbound.vae import VAE

DATA = "fashion-mnist"
C1, C2, LATENT_DIM, KERNEL = 16, 32, 10, 3
SIDE = 28 - 2 * (KERNEL - 1)
FEATURES = C2 * SIDE**2
MODEL = f"problem-set-{LATENT_DIM}"
TRAINING = Training(epochs=10, batch_size=128, learning_rate=1e-3)
STEPS = 7
BINS = 50


def untrained() -> interface.VAE:
    """The problem set's VAE, with first weights."""
    return interface.VAE(C1, C2, LATENT_DIM, KERNEL)


def test_set(bench: Bench) -> Dataset:
    """Fashion-MNIST's test images."""
    return bench.data(DATA).test


def trained(bench: Bench) -> VAE:
    """The model that E2–E7 share."""
    data = bench.data(DATA)
    return bench.train(
        MODEL, lambda: untrained().composition, ELBO(), TRAINING, data.train, data.test
    )


def measured(bench: Bench) -> Evaluation:
    """Its figures on the test set, from one draw of z per image."""
    return bench.evaluate(trained(bench), test_set(bench), samples=1)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@system("E2", "The encoder: two convolutions, then mean and standard deviation")
def e2(bench: Bench) -> None:
    encoder = untrained().encoder
    size = encoder.mean.in_features
    bench.row("inputs of mean and std", size, document=FEATURES, setting="exact")
    by_hand = C1 * (KERNEL**2 + 1) + C2 * (C1 * KERNEL**2 + 1) + 2 * LATENT_DIM * (FEATURES + 1)
    bench.exact("parameters", parameters(encoder), goal=by_hand, better="equal")
    result = measured(bench)
    bench.row("KL", result.kl, NATS)
    bench.row("active units", result.active_units, better="higher")
    figure = plots.kl_per_dimension(np.array(result.kl_per_dimension))
    bench.picture("kl", "KL of each dimension", "Test set, posterior against prior.", figure)
    bench.note(
        f"Both linear layers take c₂(d − 2(k − 1))² = {C2}·{SIDE}² = {FEATURES:,} features, as "
        "both convolutions shrink the maps; the printed c(d − (k − 1))² counts one of them and "
        f"gives {C2 * (28 - KERNEL + 1) ** 2:,}. σ = exp(std(h)) makes std(h) = log σ, half the "
        "log-variance that the composition's posterior takes."
    )


@system("E3", "The decoder: a linear layer, then two transposed convolutions")
def e3(bench: Bench) -> None:
    decoder = untrained().decoder
    by_hand = FEATURES * (LATENT_DIM + 1) + C1 * (C2 * KERNEL**2 + 1) + C1 * KERNEL**2 + 1
    bench.exact("parameters", parameters(decoder), goal=by_hand, better="equal")
    model = trained(bench)
    floor = evaluation.grey_entropy(test_set(bench)).double().mean().item()
    bench.row("reconstruction", measured(bench).reconstruction, NATS)
    bench.row("floor: entropy of the grey levels", floor, NATS)
    images = model.sample(50, seed=bench.seed, mean=True).numpy()
    figure = plots.image_grid(images, value_range=(0, 255))
    bench.picture("samples", "Samples", "z ~ N(0, I), decoded: the decoder's mean.", figure)
    bench.note(
        "The reconstruction is summed binary cross-entropy with grey levels as targets, which "
        "cannot fall below the entropy of the grey levels themselves; only what lies above that "
        "floor is the model's doing."
    )


@system("E4", "The VAE: loss, reparameterisation, training")
def e4(bench: Bench) -> None:
    exact_losses(bench)
    model = trained(bench)
    result = measured(bench)
    bench.row("parameters", parameters(model))
    bench.row("KL", result.kl, NATS)
    bench.row("reconstruction", result.reconstruction, NATS)
    bench.row("sum", cost(result), NATS)
    figure = plots.learning_curves(bench.history(MODEL))
    caption = "Train: during each epoch. Validation is the test set, which selected nothing."
    bench.picture("curves", "Learning curves", caption, figure)
    some = test_set(bench).take(10)
    assert some.labels is not None
    assert some.classes is not None
    names = [some.classes[label] for label in some.labels.tolist()]
    bench.reconstructions({"reconstruction": model}, images=some, labels=names)
    bench.note(
        "The problem set's classes are a thin layer over this library's parts: their loss is minus "
        "the ELBO of the composition, up to rounding.  The KL is printed as μ² + σ² − log σ − ½, "
        "which is not 0 at μ = 0, σ = 1; right is ½(μ² + σ² − 1) − log σ."
    )


def exact_losses(bench: Bench) -> None:
    """The loss of the document's class against the composition's ELBO, with the same noise."""
    vae, x = untrained(), test_set(bench).take(64).x
    prepared, _ = vae.composition.prepare(x)
    with torch.no_grad():
        torch.manual_seed(bench.seed)
        vae(prepared)
        torch.manual_seed(bench.seed)
        bound = ELBO()(vae.composition, prepared).objective
        origin, one = torch.zeros(1, LATENT_DIM), torch.ones(1, LATENT_DIM)
        at_prior = vae.kl_loss(origin, one).item()
    error = abs(vae.loss.item() + bound.sum().item()) / len(x)
    bench.exact("loss + ELBO, same noise: error", error, NATS, goal=1e-3)
    bench.exact("KL at μ = 0, σ = 1", abs(at_prior), "nats", goal=0)


@system("E5", "Embedding the test set: the two latent dimensions of highest variance")
def e5(bench: Bench) -> None:
    codes, test = embedded(bench), test_set(bench)
    variances = codes.var(0)
    first, second = widest(codes)
    for dimension in variances.argsort(descending=True).tolist():
        bench.row(f"variance of z[{dimension}]", variances[dimension].item(), better="higher")
    figure = plots.ranked_bars(
        variances.numpy(),
        [str(dimension) for dimension in range(LATENT_DIM)],
        xlabel="dimension of z",
        ylabel="variance of the posterior mean",
        chosen=2,
    )
    bench.picture("variances", "Variances", "The two that E5–E7 keep are in blue.", figure)
    assert test.labels is not None
    figure = plots.latent_scatter(
        codes[:, [first, second]].numpy(),
        test.labels.numpy(),
        test.classes,
        x_name=f"z[{first}]",
        y_name=f"z[{second}]",
    )
    bench.picture("scatter", "Embedding", "Posterior means, coloured by class.", figure)
    bench.note(
        "Under the prior a dimension has variance 1, part of it between images (of the means) and "
        "part within (of the posteriors). Where the means take most of it, little is left to "
        "noise: these are the dimensions that say most about an image, as the KL of E2 does."
    )


@system("E6", "hist2d of the two dimensions: is the aggregate posterior the prior?")
def e6(bench: Bench) -> None:
    model = trained(bench)
    mean, log_variance = evaluation.gaussian_posteriors(model, test_set(bench))
    kept = list(widest(mean))
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(bench.seed))
    draws = mean + (0.5 * log_variance).exp() * noise
    histogram(bench, "means", mean, kept, "Posterior means of the test set")
    histogram(bench, "draws", draws, kept, "Draws z ~ q(z|x) for the test set")
    judged = [normality(draws[:, dimension]) for dimension in kept]
    for dimension, found in zip(kept, judged, strict=True):
        moments(bench, f"z[{dimension}]", found)
    aggregate_rows(bench, "the two", mean[:, kept], log_variance[:, kept])
    all_dimensions = aggregate_rows(bench, f"all {LATENT_DIM}", mean, log_variance)
    error = known_answer(bench.few(10_000, 2000))
    bench.exact("KL estimate where the answer is known: error", error, "nats", goal=0.02)
    bench.note(verdict(judged, len(draws), all_dimensions))


def histogram(bench: Bench, name: str, z: Tensor, kept: list[int], title: str) -> None:
    figure = plots.latent_histogram(
        z[:, kept].numpy(),
        bins=BINS,
        x_name=f"z[{kept[0]}]",
        y_name=f"z[{kept[1]}]",
    )
    caption = f"{BINS} × {BINS} bins; circles and curves are the standard normal's."
    bench.picture(name, title, caption, figure)


def moments(bench: Bench, name: str, z: Normality) -> None:
    bench.row(f"mean of {name}", z.mean)
    bench.row(f"variance of {name}", z.variance)
    bench.row(f"skewness of {name}", z.skewness)
    bench.row(f"excess kurtosis of {name}", z.excess_kurtosis)
    bench.row(f"Kolmogorov–Smirnov distance of {name} from N(0, 1)", z.distance)
    bench.row(f"p-value of the normality test of {name}", z.p_value, better="higher")


def aggregate_rows(bench: Bench, name: str, mean: Tensor, log_variance: Tensor) -> Between:
    """Rows of the KL's two bounds."""
    kl = evaluation.aggregate_kl(mean, log_variance, seed=bench.seed)
    bench.row(f"KL(q(z) ‖ p(z)), {name} dimensions, lower bound", kl.lower, "nats")
    bench.row(f"KL(q(z) ‖ p(z)), {name} dimensions, upper bound", kl.upper, "nats")
    return kl


def known_answer(n: int, spread: float = 0.5, noise: float = 0.2) -> float:
    """The estimator's error on posteriors N(μ, noise) with μ ~ N(0, spread), in two dimensions.

    Their aggregate is N(0, spread + noise), whose KL to N(0, I) is known.
    """
    variance = spread + noise
    exact = 2 * 0.5 * (variance - 1 - math.log(variance))
    mean = spread**0.5 * torch.randn(n, 2, generator=torch.Generator().manual_seed(1))
    kl = evaluation.aggregate_kl(mean, torch.full_like(mean, math.log(noise)))
    return abs((kl.lower.value + kl.upper.value) / 2 - exact)


def verdict(dimensions: list[Normality], n: int, kl: Between) -> str:
    """Centred? Normal?  In words, from the figures."""
    centre = max(abs(z.mean) for z in dimensions)
    skewness = max(abs(z.skewness) for z in dimensions)
    kurtosis = max(abs(z.excess_kurtosis) for z in dimensions)
    variances = " and ".join(f"{z.variance:.2f}" for z in dimensions)
    distances = " and ".join(f"{z.distance:.3f}" for z in dimensions)
    rough = all(
        abs(z.mean) < 0.25
        and 0.75 < z.variance < 1.33
        and abs(z.skewness) < 0.5
        and abs(z.excess_kurtosis) < 1
        and z.distance < 0.15
        for z in dimensions
    )
    lower = (
        f"it is at least {kl.lower.value:.1f}"
        if kl.lower.value > 0
        else f"{n:,} images give no lower bound above 0"
    )
    return (
        f"Centred on 0 and roughly normal: {'yes' if rough else 'no'}, where roughly asks of both "
        "dimensions a mean within 0.25 of 0, a variance from 0.75 to 1.33, a skewness within 0.5 "
        "and an excess kurtosis within 1 of 0, and a distribution function within 0.15 of the "
        f"prior's. The means are within {centre:.2f} of 0, the variances {variances}, the "
        f"skewness within {skewness:.2f} and the excess kurtosis within {kurtosis:.2f} of 0. "
        "The distribution functions differ from "
        f"the prior's by at most {distances}, where with {n:,} draws {1.36 / n**0.5:.3f} could be "
        "chance. So many draws make the normality test reject any shape that is not exactly "
        "normal: its p-value says that there is a departure, the distance how large it is. "
        f"Over all dimensions the KL of the aggregate posterior to the prior is at most "
        f"{kl.upper.value:.1f} nats; {lower}. That is how far draws from the prior are from the "
        "codes of images, which a view of two dimensions does not show."
    )


@system("E7", "Traversing the two dimensions")
def e7(bench: Bench) -> None:
    model = trained(bench)
    first, second = widest(embedded(bench))
    values = evaluation.normal_quantiles(STEPS)
    strip = evaluation.traversals(model, [first], values)
    steps = values.numpy()
    figure = plots.image_grid(
        strip.numpy(),
        row_labels=[f"z[{first}]"],
        column_labels=[coordinate(step) for step in steps],
        value_range=(0, 255),
    )
    caption = f"{STEPS} of the prior's quantiles, from 5 % to 95 %; the other dimensions are 0."
    bench.picture("strip", "One dimension", caption, figure)
    grid = evaluation.manifold(model, values, (first, second))
    figure = plots.manifold(
        grid.numpy(),
        steps,
        steps,
        x_name=f"z[{first}]",
        y_name=f"z[{second}]",
        value_range=(0, 255),
    )
    caption = f"{STEPS} × {STEPS}, the prior's quantiles; the other dimensions are 0."
    bench.picture("grid", "Both dimensions", caption, figure)
    consistency(bench, values, strip[0], grid)


def consistency(bench: Bench, values: Tensor, strip: Tensor, grid: Tensor) -> None:
    """Do images move steadily from end to end, and do near codes have near images?"""
    away = (strip - strip[0]).flatten(1).norm(dim=1).diff()
    steps = STEPS - 1
    name = f"steps of the strip, of {steps}, that lead further from its first image"
    bench.row(name, int((away > 0).sum()), goal=steps, better="higher")
    along = distance_agreement(values.unsqueeze(1), strip)
    across = distance_agreement(torch.cartesian_prod(values, values), grid.flatten(0, 1))
    quantity = "rank correlation of distances between codes and between images"
    bench.row(f"{quantity}, strip", along, better="higher")
    bench.row(f"{quantity}, grid", across, better="higher")
    bench.note(
        "A change is consistent from end to end when each step leads further from the first image, "
        "and when codes further apart have images further apart: a rank correlation near 1."
    )


def embedded(bench: Bench) -> Tensor:
    """Posterior means of the test set, (n, latent)."""
    return evaluation.embed(trained(bench), test_set(bench))


def widest(codes: Tensor) -> tuple[int, int]:
    """The two dimensions of highest variance, the highest first."""
    first, second, *_ = codes.var(0).argsort(descending=True).tolist()
    return first, second
