"""C2–C6: lab 11, a VAE with squared error, 784-512-32, 32-512-784: its collapse and the cures."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowerbound import evaluation, plots, storage
from lowerbound.data import Dataset
from lowerbound.data.examples import examples
from lowerbound.evaluation import Evaluation
from lowerbound.likelihoods import Gaussian
from lowerbound.networks import MLP
from lowerbound.objectives import ELBO
from lowerbound.parts import Size, part
from lowerbound.posteriors import DiagonalGaussian
from lowerbound.priors import StandardNormal
from lowerbound.recipes.experiment import Sigma
from lowerbound.reproduce.bench import Bench
from lowerbound.reproduce.system import system
from lowerbound.schedules import Linear
from lowerbound.training import Training, batches
from lowerbound.transforms import Scale
from lowerbound.vae import VAE

PIXELS, LATENT_DIM = 784, 32
UNIT = "nats per image"
TWO_EPOCHS = Training(epochs=2, batch_size=32)
TWENTY_EPOCHS = Training(epochs=20, batch_size=128)
# 784 (MSE + KL/784) = ‖x − y‖² + KL, and −log N(x; y, σ²) = ‖x − y‖²/(2σ²) + constant.
DIVIDED = math.sqrt(1 / 2)
# MSE + KL = ‖x − y‖²/784 + KL.
UNDIVIDED = math.sqrt(PIXELS / 2)


@part
class Dense(nn.Module):
    """y = xW + b with Glorot-normal W and b = 0: a dense layer of one's own.

    Source: Glorot & Bengio, Understanding the difficulty of training deep feedforward neural
    networks, 2010.
    """

    def __init__(self, in_features: Size, out_features: Size) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.xavier_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


@part
class DenseNetwork(nn.Module):
    """Two layers of one's own with a ReLU between them."""

    def __init__(self, in_features: Size, hidden: Size, out_features: Size) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Dense(in_features, hidden), nn.ReLU(), Dense(hidden, out_features)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))


def gaussian_vae(sigma: Sigma, own_layers: bool = False) -> VAE:
    """784-512-32, 32-512-784 with a linear output, whose squared error is a Gaussian's."""
    if own_layers:
        encoder: nn.Module = DenseNetwork(PIXELS, 512, 2 * LATENT_DIM)
        decoder: nn.Module = DenseNetwork(LATENT_DIM, 512, PIXELS)
    else:
        encoder, decoder = MLP(PIXELS, (512,), 2 * LATENT_DIM), MLP(LATENT_DIM, (512,), PIXELS)
    return VAE(
        StandardNormal(LATENT_DIM),
        DiagonalGaussian(encoder, LATENT_DIM),
        Gaussian(decoder, (1, 28, 28), sigma),
        Scale(),
    )


@system("C2", "A dense layer of one's own: a classifier, and a VAE")
def c2(bench: Bench) -> None:
    data = bench.data("mnist")
    torch.manual_seed(bench.seed)
    network = DenseNetwork(PIXELS, 32, 10)
    train_classifier(network, data.train, epochs=2, seed=bench.seed)
    assert data.test.labels is not None
    with torch.no_grad():
        right = network(data.test.x / 255).argmax(1) == data.test.labels
    accuracy = right.double()
    error = evaluation.Estimate(
        accuracy.mean().item(), accuracy.std().item() / len(accuracy) ** 0.5
    )
    bench.row("test accuracy, 784-32-10, 2 epochs", error, "", better="higher")
    for name, own in (("our MLP", False), ("own layers", True)):
        model, _ = bench.train(
            f"lab11-dense-{own}",
            partial(gaussian_vae, DIVIDED, own),
            data.train,
            training=TWO_EPOCHS,
        )
        bench.row(
            f"mean squared error of the VAE, {name}",
            evaluation.reconstruction_error(model, data.test),
            "",
        )
    bench.note(
        "The classifier has a loop of its own: it models p(y|x), has no latent variable, and so is "
        "no VAE for `fit`. The VAE takes the same layers as its networks."
    )


def train_classifier(network: nn.Module, data: Dataset, epochs: int, seed: int) -> None:
    """Minimise the cross-entropy −log p(y|x) with Adam, in batches of 32."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for epoch in range(epochs):
        order = batches.key(seed, batches.ORDER, epoch)
        for x, labels in examples(data, data.x.device).shuffled(order, 32, 0):
            assert labels is not None
            loss = F.cross_entropy(network(x / 255), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def trained(
    bench: Bench, name: str, sigma: Sigma, training: Training, objective: ELBO = ELBO()
) -> VAE:
    """One of the lab's VAEs."""
    train = bench.data("mnist").train
    model, _ = bench.train(f"lab11-{name}", lambda: gaussian_vae(sigma), train, objective, training)
    return model


def picture(bench: Bench, name: str, heading: str, model: VAE) -> None:
    """Ten test images and their reconstructions."""
    some = bench.data("mnist").test.take(10)
    rows = {"original": some.x.numpy(), "reconstruction": model.reconstruct(some.x).numpy()}
    figure = plots.reconstructions(rows, value_range=(0, 255), title=heading)
    bench.picture(name, heading, "The first ten test images.", figure)


def rows(bench: Bench, name: str, model: VAE) -> Evaluation:
    """KL, active units and squared error of one cure."""
    test = bench.data("mnist").test
    result = bench.evaluate(model, test)
    assert result.kl is not None
    bench.row(f"KL, {name}", result.kl, UNIT)
    bench.row(f"active units, {name}", result.active_units, "of 32", better="higher")
    bench.row(
        f"mean squared error, {name}", evaluation.reconstruction_error(model, test), "per pixel"
    )
    return result


def spread_of_means(bench: Bench) -> float:
    """The mean squared error of the mean training image, which needs no code."""
    data = bench.data("mnist")
    mean = data.train.x.float().mean(0)
    return (data.test.x.float() - mean).div(255).square().mean().item()


@system("C3", "A sampling layer, and mean squared error + KL/784")
def c3(bench: Bench) -> None:
    model = trained(bench, "divided-2", DIVIDED, TWO_EPOCHS)
    error = evaluation.reconstruction_error(model, bench.data("mnist").test)
    nothing = spread_of_means(bench)
    bench.row("mean squared error", error, "per pixel", goal=nothing / 2)
    bench.row("mean squared error of the mean training image", nothing, "per pixel")
    picture(bench, "reconstructions", "After 2 epochs", model)
    bench.note(
        "784 (MSE + KL/784) = ‖x − y‖² + KL. That is −ELBO, but for a constant, of a Gaussian "
        "likelihood with σ² = ½: the weight 1/784 is no weight on the KL but the choice σ = 0.71."
    )


@system("C4", "Collapse: the same without the division")
def c4(bench: Bench) -> None:
    model = trained(bench, "undivided-2", UNDIVIDED, TWO_EPOCHS)
    result = rows(bench, "undivided", model)
    data = bench.data("mnist")
    mean = data.train.x.float().mean(0)
    blob = (model.reconstruct(data.test.take(1000).x) - mean).div(255).square().mean().item()
    bench.row("squared distance of reconstructions from the mean image", blob, "per pixel")
    bench.row("mean squared error of the mean training image", spread_of_means(bench), "per pixel")
    bench.row("active units", result.active_units, "of 32", goal=0, better="equal")
    picture(bench, "reconstructions", "Every reconstruction is the mean image", model)
    kl_picture(bench, "kl", result)
    bench.note(
        "MSE + KL = ‖x − y‖²/784 + KL: a Gaussian likelihood with σ² = 392. Pixels lie in [0, 1], "
        "so noise of σ = 19.8 leaves nothing for a code to say, and the best code says nothing."
    )


def kl_picture(bench: Bench, name: str, result: Evaluation) -> None:
    """KL per dimension as bars."""
    assert result.kl_per_dimension is not None
    kl = torch.tensor(result.kl_per_dimension).numpy()
    figure = plots.kl_per_dimension(kl, unit=UNIT)
    bench.picture(name, "KL per dimension", "Mean over the test set.", figure)


@system("C5", "KL annealing, and the other cures")
def c5(bench: Bench) -> None:
    weight = Linear(start=4, duration=8)
    annealed = ELBO(beta=weight)
    test = bench.data("mnist").test
    for epochs in (4, 5, 8, 12, 20):
        stopped = replace(TWENTY_EPOCHS, epochs=epochs)
        model = trained(bench, f"annealed-{epochs}", UNDIVIDED, stopped, annealed)
        result = bench.evaluate(model, test)
        assert result.kl is not None
        bench.row(f"KL, annealed, after {epochs} epochs", result.kl, UNIT)
        bench.row(
            f"mean squared error after {epochs} epochs",
            evaluation.reconstruction_error(model, test),
            "",
        )
        if epochs in (4, 20):
            heading = f"Annealed, after {epochs} epochs (weight {weight(epochs):g})"
            picture(bench, f"annealed-{epochs}", heading, model)
    bench.row("weight from which a linear VAE collapses, λ₁/392", collapse_weight(bench), "")
    cures: dict[str, tuple[Sigma, ELBO]] = {
        "annealed to 1/784": (UNDIVIDED, ELBO(beta=Linear(start=4, duration=8, final=1 / PIXELS))),
        "weight 1/784": (DIVIDED, ELBO()),
        "learned σ": ("learned", ELBO()),
        "optimal σ": ("optimal", ELBO()),
    }
    for number, (name, (sigma, objective)) in enumerate(cures.items()):
        model = trained(bench, f"cure-{number}", sigma, TWENTY_EPOCHS, objective)
        result = rows(bench, name, model)
        picture(bench, f"cure-{number}", f"Cure: {name}", model)
        kl_picture(bench, f"kl-{number}", result)
    bench.note(
        "Annealing alone does not undo C4. While the weight min(1, (epoch − 4)/8) is 0 the codes "
        "carry hundreds of nats. But collapse is no bad start here. For a linear VAE it is the "
        "best solution as soon as the weight exceeds λ₁/392, where λ₁ is the largest eigenvalue of "
        "the images' covariance and 392 the σ² of the undivided loss. The weight is past that a "
        "tenth of an epoch after it begins to rise; one epoch later the codes are gone, in this "
        "network too. Annealing to 1/784 works, since that is the divided loss of C3 in the end. "
        "Dividing by 784 sets σ = 0.71; a learned σ finds the noise that the data have, and needs "
        "neither cure."
    )


def collapse_weight(bench: Bench) -> float:
    """λ₁/σ²: the KL weight at which the last dimension of a linear VAE collapses."""
    x = bench.data("mnist").train.x.flatten(1).double() / 255
    return (torch.linalg.eigvalsh(x.T.cov())[-1] / UNDIVIDED**2).item()


@system("C6", "The encoder on its own")
def c6(bench: Bench) -> None:
    model = trained(bench, "divided-2", DIVIDED, TWO_EPOCHS)
    test = bench.data("mnist").test
    codes = evaluation.embed(model, test)
    again = storage.load(storage.save(model, bench.models / "lab11-encoder"))
    difference = (evaluation.embed(again, test) - codes).abs().max().item()
    bench.row(
        "difference after saving and loading",
        difference,
        "",
        goal=0,
        better="equal",
        setting="exact",
    )
    first, second = evaluation.most_active(bench.evaluate(model, test))[:2]
    assert test.labels is not None
    figure = plots.latent_scatter(
        codes[:, [first, second]].numpy(),
        test.labels.numpy(),
        x_name=f"z[{first}]",
        y_name=f"z[{second}]",
    )
    bench.picture("codes", "Codes", "The two most active of 32 dimensions.", figure)
