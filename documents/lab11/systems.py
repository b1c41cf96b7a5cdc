"""C1–C6: lab 11, a VAE with squared error: its collapse and the cures."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from documents.assignment import kl
from documents.bench import NATS, PIXELS, Bench, system
from documents.lab11.layers import DIVIDED, UNDIVIDED, DenseNetwork, gaussian_vae, of_own_layers
from lowerbound import evaluation, plots, storage, streams
from lowerbound.data import Dataset
from lowerbound.evaluation import Evaluation, estimate
from lowerbound.likelihoods import Sigma
from lowerbound.objectives import ELBO
from lowerbound.schedules import Linear
from lowerbound.training import Training
from lowerbound.vae import VAE

TWO_EPOCHS = Training(epochs=2, batch_size=32)
TWENTY_EPOCHS = Training(epochs=20, batch_size=128)
PER_PIXEL = "per pixel"


@system("C1", "The two KL derivations")
def c1(bench: Bench) -> None:
    kl.b1(bench)
    kl.b2(bench)


@system("C2", "A dense layer of one's own: a classifier, and a VAE")
def c2(bench: Bench) -> None:
    data = bench.data()
    torch.manual_seed(bench.seed)
    network = DenseNetwork(PIXELS, 32, 10)
    train_classifier(network, data.train, epochs=2, seed=bench.seed)
    with torch.no_grad():
        right = (network(data.test.x / 255).argmax(1) == data.test.labels).double()
    bench.row("test accuracy, 784-32-10, 2 epochs", estimate(right), better="higher")
    for name, own, make in (("our MLP", False, gaussian_vae), ("own layers", True, of_own_layers)):
        model = bench.train(f"lab11-dense-{own}", partial(make, DIVIDED), training=TWO_EPOCHS)
        bench.row(f"mean squared error of the VAE, {name}", squared_error(bench, model))
    bench.note(
        "The classifier has a training loop of its own: it models p(y|x) without a latent "
        "variable, so it is not a VAE that `fit` could train. The VAE takes the same layers as its "
        "networks."
    )


def train_classifier(network: nn.Module, data: Dataset, epochs: int, seed: int) -> None:
    """Minimise the cross-entropy −log p(y|x) with Adam, in batches of 32."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for epoch in range(epochs):
        order = streams.key(seed, streams.Stream.ORDER, epoch)
        for x, labels in data.batches(32, seed=order):
            assert labels is not None
            loss = F.cross_entropy(network(x / 255), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def trained(
    bench: Bench, name: str, sigma: Sigma, training: Training, objective: ELBO = ELBO()
) -> VAE:
    """One of the lab's VAEs."""
    return bench.train(f"lab11-{name}", lambda: gaussian_vae(sigma), objective, training)


def squared_error(bench: Bench, model: VAE) -> float:
    """Mean over test images and pixels."""
    return evaluation.reconstruction_error(model, bench.data().test)


def picture(bench: Bench, name: str, heading: str, model: VAE) -> None:
    """Ten test images and their reconstructions."""
    bench.reconstructions({"reconstruction": model}, name, heading)


def rows(bench: Bench, name: str, model: VAE) -> Evaluation:
    """KL, active units and squared error of one cure."""
    result = bench.evaluate(model)
    bench.row(f"KL, {name}", result.kl, NATS)
    bench.row(f"active units, {name}", result.active_units, "of 32", better="higher")
    bench.row(f"mean squared error, {name}", squared_error(bench, model), PER_PIXEL)
    return result


def kl_picture(bench: Bench, name: str, result: Evaluation) -> None:
    """KL per dimension as bars."""
    values = torch.tensor(result.kl_per_dimension).numpy()
    figure = plots.kl_per_dimension(values, unit=NATS)
    bench.picture(name, "KL per dimension", "Mean over the test set.", figure)


def error_of_the_mean_image(bench: Bench) -> float:
    """The mean squared error of the mean training image, which needs no code."""
    data = bench.data()
    mean = data.train.x.float().mean(0)
    return (data.test.x.float() - mean).div(255).square().mean().item()


@system("C3", "A sampling layer, and mean squared error + KL/784")
def c3(bench: Bench) -> None:
    model = trained(bench, "divided-2", DIVIDED, TWO_EPOCHS)
    nothing = error_of_the_mean_image(bench)
    bench.row("mean squared error", squared_error(bench, model), PER_PIXEL, goal=nothing / 2)
    bench.row("mean squared error of the mean training image", nothing, PER_PIXEL)
    picture(bench, "reconstructions", "After 2 epochs", model)
    bench.note(
        "784 (MSE + KL/784) = ‖x − y‖² + KL. Up to a constant, that is −ELBO with a Gaussian "
        "likelihood with σ² = ½: the 1/784 does not weight the KL, it chooses σ = 0.71."
    )


@system("C4", "Collapse: the same without the division")
def c4(bench: Bench) -> None:
    model = trained(bench, "undivided-2", UNDIVIDED, TWO_EPOCHS)
    result = rows(bench, "undivided", model)
    data = bench.data()
    mean = data.train.x.float().mean(0)
    blob = (model.reconstruct(data.test.take(1000).x) - mean).div(255).square().mean().item()
    bench.row("squared distance of reconstructions from the mean image", blob, PER_PIXEL)
    nothing = error_of_the_mean_image(bench)
    bench.row("mean squared error of the mean training image", nothing, PER_PIXEL)
    bench.row("active units", result.active_units, "of 32", goal=0, better="equal")
    picture(bench, "reconstructions", "Every reconstruction is the mean image", model)
    kl_picture(bench, "kl", result)
    bench.note(
        "MSE + KL = ‖x − y‖²/784 + KL: a Gaussian likelihood with σ² = 392. Pixels lie in [0, 1], "
        "so noise of σ = 19.8 leaves nothing for a code to say, and the best code says nothing."
    )


@system("C5", "KL annealing, and the other cures")
def c5(bench: Bench) -> None:
    weight = Linear(start=4, duration=8)
    for epochs in (4, 5, 8, 12, 20):
        stopped = replace(TWENTY_EPOCHS, epochs=epochs)
        model = trained(bench, f"annealed-{epochs}", UNDIVIDED, stopped, ELBO(beta=weight))
        bench.row(f"KL, annealed, after {epochs} epochs", bench.evaluate(model).kl, NATS)
        bench.row(f"mean squared error after {epochs} epochs", squared_error(bench, model))
        if epochs in (4, 20):
            heading = f"Annealed, after {epochs} epochs (weight {weight(epochs):g})"
            picture(bench, f"annealed-{epochs}", heading, model)
    bench.row("weight from which a linear VAE collapses, λ₁/392", collapse_weight(bench))
    cures: dict[str, tuple[Sigma, ELBO]] = {
        "annealed to 1/784": (UNDIVIDED, ELBO(beta=replace(weight, final=1 / PIXELS))),
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
        "Annealing alone does not undo C4. While the weight min(1, (epoch − 4)/8) is 0, the codes "
        "carry hundreds of nats. But here collapse is not a matter of a bad start: for a linear "
        "VAE it is the best solution as soon as the weight exceeds λ₁/392, where λ₁ is the largest "
        "eigenvalue of the images' covariance and 392 is the σ² of the undivided loss. The weight "
        "passes that a tenth of an epoch after it begins to rise; one epoch later the codes are "
        "gone, in this network too. Annealing to 1/784 works, since it ends at the divided loss of "
        "C3. Dividing by 784 sets σ = 0.71; a learned σ finds the noise that the data have, and "
        "needs neither cure."
    )


def collapse_weight(bench: Bench) -> float:
    """λ₁/σ²: the KL weight at which the last dimension of a linear VAE collapses."""
    x = bench.data().train.x.flatten(1).double() / 255
    return (torch.linalg.eigvalsh(x.T.cov())[-1] / UNDIVIDED**2).item()


@system("C6", "The encoder on its own")
def c6(bench: Bench) -> None:
    model = trained(bench, "divided-2", DIVIDED, TWO_EPOCHS)
    test = bench.data().test
    codes = evaluation.embed(model, test)
    again = storage.load(storage.save(model, bench.models / "lab11-encoder"))
    difference = (evaluation.embed(again, test) - codes).abs().max().item()
    bench.exact("difference after saving and loading", difference, goal=0, better="equal")
    first, second = evaluation.most_active(bench.evaluate(model))[:2]
    assert test.labels is not None
    figure = plots.latent_scatter(
        codes[:, [first, second]].numpy(),
        test.labels.numpy(),
        x_name=f"z[{first}]",
        y_name=f"z[{second}]",
    )
    bench.picture("codes", "Codes", "The two most active of 32 dimensions.", figure)
