"""The loop: what it reaches, what it keeps, what it refuses."""

from __future__ import annotations

import functools
import json
import math
import os
import signal
import sys
import types

import pytest
import safetensors
import torch
from rich.console import Console
from torch import nn

import lowerbound as lb
from lowerbound import streams
from lowerbound.data import as_dataset
from lowerbound.errors import (
    ConfigurationError,
    DataError,
    LowerboundError,
    NonFiniteLoss,
    StorageError,
)
from lowerbound.streams import Stream
from lowerbound.training import (
    Callback,
    Course,
    ProgressBar,
    TensorBoard,
    batches,
    callbacks,
    fit,
)
from lowerbound.training.adam import Adam


def data(n: int = 203) -> torch.Tensor:
    return torch.randn(n, 3) @ torch.randn(3, 6) + 0.3 * torch.randn(n, 6)


def model(**settings) -> lb.VAE:
    torch.manual_seed(1)
    return lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(lb.MLP(6, (8,), 4), 2),
        lb.Gaussian(lb.MLP(2, (8,), 6), (6,), **settings),
    )


def quick(**settings) -> lb.Training:
    return lb.Training(**{"epochs": 3, "batch_size": 50} | settings)


def parameters(module: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.slow
def test_a_linear_vae_reaches_the_evidence_of_probabilistic_pca():
    """Tipping & Bishop 1999: the maximum of log p(x) in closed form, from eigenvalues."""
    n, d, k = 1000, 6, 2
    torch.manual_seed(0)
    x = torch.randn(n, k) @ (torch.randn(k, d) * torch.tensor([[2.0], [1.0]]))
    x = x + 0.5 * torch.randn(n, d) + 1
    centred = (x - x.mean(0)).double()
    eigenvalues = torch.linalg.eigvalsh(centred.T @ centred / n).flip(0)
    variance = eigenvalues[k:].mean()
    evidence = -0.5 * (
        d * math.log(2 * math.pi) + eigenvalues[:k].log().sum() + (d - k) * variance.log() + d
    )
    torch.manual_seed(0)
    vae = lb.VAE(
        lb.StandardNormal(k),
        lb.DiagonalGaussian(lb.MLP(d, (), 2 * k), k),
        lb.Gaussian(lb.MLP(k, (), d), (d,)),
    )
    training = lb.Training(
        epochs=400, batch_size=250, learning_rate=3e-2, schedule="cosine", ema=0.99
    )
    fit(vae, x, objective=lb.ELBO(samples=8), training=training, callbacks=[])
    assert exact_elbo(vae, x) == pytest.approx(evidence.item(), abs=1e-3)
    W = vae.likelihood.network.layers[0].weight.double()
    cosine = torch.cosine_similarity(W[:, 0], W[:, 1], dim=0)
    assert abs(cosine.item()) < 0.03


@torch.no_grad()
def exact_elbo(vae: lb.VAE, x: torch.Tensor) -> float:
    """The ELBO of a linear decoder, whose expectation over q is closed."""
    q, layer = vae.encode(x), vae.likelihood.network.layers[0]
    mean, variance, W = q.mean.double(), q.variance.double(), layer.weight.double()
    noise = 2 * vae.likelihood.log_sigma.double()
    error = (x - mean @ W.T - layer.bias.double()).square().sum(1) + variance @ W.square().sum(0)
    log_p = -0.5 * (error * (-noise).exp() + x.shape[1] * (noise + math.log(2 * math.pi)))
    kl = 0.5 * (mean.square() + variance - variance.log() - 1).sum(1)
    return (log_p - kl).mean().item()


def test_records_are_means_per_example_over_all_batches():
    x, vae = data(), model(sigma=1.0)
    vae.posterior = lb.Deterministic(lb.MLP(6, (8,), 2), 2)
    still = quick(epochs=1, learning_rate=1e-30)
    (record,) = fit(vae, x, x[:70], lb.Reconstruction(), still, callbacks=[])
    for split, part in (("train", x), ("validation", x[:70])):
        expected = lb.Reconstruction()(vae, part).reconstruction.mean().item()
        assert record[split]["reconstruction"] == pytest.approx(expected, rel=1e-6)
        assert set(record[split]) == {"objective", "reconstruction"}
        assert record[split]["objective"] == -record[split]["reconstruction"]
    assert record["step"] == 5


def in_epoch(x, batch_size, seed, epoch):
    """The batches of one epoch."""
    order = streams.key(seed, Stream.ORDER, epoch)
    return [batch for batch, _ in as_dataset(x).batches(batch_size, seed=order)]


def test_every_epoch_sees_every_example_once_in_another_order():
    x = torch.arange(100.0).view(100, 1)
    passes = [in_epoch(x, 30, seed=3, epoch=epoch) for epoch in range(3)]
    orders = [torch.cat(batched).flatten().tolist() for batched in passes]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert orders[0] != orders[1]
    assert [len(batch) for batch in passes[0]] == [30, 30, 30, 10]
    for batch in passes[0]:
        shares = [batches.share((batch, batch), rank, 2) for rank in (0, 1)]
        assert all(torch.equal(torch.cat(halves), batch) for halves in zip(*shares, strict=True))


def test_training_is_a_function_of_the_seed_alone():
    x = data()
    ends = []
    for seed, validation in ((0, None), (0, x[:50]), (1, None)):
        vae = model()
        fit(vae, x, validation, training=quick(seed=seed), callbacks=[])
        ends.append(parameters(vae))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_the_users_generator_is_left_alone():
    before = torch.get_rng_state()
    x, vae = data(), model()
    torch.set_rng_state(before)
    fit(vae, x, training=quick(), callbacks=[])
    assert torch.equal(torch.get_rng_state(), before)


def test_fit_is_adam_on_the_mean_objective():
    x, ours, by_hand = data(120), model(), model()
    settings = quick(epochs=2, batch_size=40, clip_norm=0.5, seed=4)
    fit(ours, x, training=settings, callbacks=[])
    scales = [by_hand.likelihood.log_sigma]
    others = [p for p in by_hand.parameters() if p is not scales[0]]
    optimizer = torch.optim.Adam([{"params": others}, {"params": scales, "lr": 1e-2}], lr=1e-3)
    step = 0
    for epoch in range(2):
        for batch in in_epoch(x, 40, seed=4, epoch=epoch):
            streams.seed_noise(torch.device("cpu"), 4, Stream.NOISE, step, 0)
            loss = -lb.ELBO()(by_hand, batch).objective.mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(by_hand.parameters(), 0.5)
            optimizer.step()
            step += 1
    torch.testing.assert_close(parameters(ours), parameters(by_hand))


def test_a_shared_sigma_arrives_in_three_hundred_steps():
    """One column z + 0.1 ε beside its copy: σ moves tenfold, as 0.001 a step would not arrive."""
    x = torch.randn(640, 1) + 0.1 * torch.randn(640, 2)
    experiment = lb.recipes.mlp(x, latent_dim=2, hidden=(32,), epochs=60, learning_rate=3e-3)
    fit(experiment.model, x, training=experiment.training, callbacks=[])
    assert 0.07 < experiment.model.likelihood.log_sigma.exp() < 0.2


def test_weight_decay_leaves_scales_alone():
    sigma, weight = (nn.Parameter(torch.ones(())) for _ in range(2))
    sigma.grad = weight.grad = torch.zeros(())
    Adam([sigma, weight], weight_decay=0.5, scales=[sigma]).step(0.1)
    assert (sigma.item(), weight.item()) == (1, pytest.approx(0.95))


def test_averaged_weights_follow_their_recursion():
    x, seen = data(), []

    class Watch(Callback):
        def step(self, vae, step, loss):
            seen.append(parameters(vae).clone())

    vae = model()
    average = parameters(vae).clone()
    fit(vae, x, training=quick(ema=0.9), callbacks=[Watch()])
    for t, weights in enumerate(seen):
        decay = min(0.9, (1 + t) / (10 + t))
        average = decay * average + (1 - decay) * weights
    torch.testing.assert_close(parameters(vae), average)


def test_early_stopping_keeps_the_best_weights(tmp_path):
    x, kept, said = data(60), {}, []

    class Watch(Callback):
        def epoch(self, vae, record):
            kept[record["epoch"]] = parameters(vae).clone()

        def note(self, text):
            said.append(text)

    vae = model()
    settings = quick(epochs=500, learning_rate=0.05, patience=4)
    history = fit(vae, x, data(60), training=settings, callbacks=[Watch()], out=tmp_path)
    bounds = [record["validation"]["bound"] for record in history]
    best = bounds.index(max(bounds)) + 1
    assert len(history) == best + 4 < 500
    assert torch.equal(parameters(vae), kept[best])
    told = f"the weights of epoch {best} of {len(history)} are kept, by its validation, "
    assert said == [f"{told}{-max(bounds):.2f}: 4 more were no better"]
    assert json.loads((tmp_path / "model.json").read_text())["metrics"]["epoch"] == best


def test_a_loss_that_blows_up_is_told_once():
    said = []

    class Blow(Callback):
        """In epoch 3, σ is divided by e³; then it is given back."""

        def epoch(self, vae, record):
            with torch.no_grad():
                vae.likelihood.log_sigma -= {2: 3.0, 3: 0.0, 4: -3.0}.get(record["epoch"], 0.0)

        def note(self, text):
            said.append(text)

    settings = quick(epochs=6, learning_rate=1e-3)
    history = fit(model(sigma="learned"), data(), training=settings, callbacks=[Blow()])
    costs = [-record["train"]["bound"] for record in history]
    assert min(costs[2:4]) > 5 * max(costs[:2] + costs[4:])
    assert len(said) == 1
    assert said[0].startswith(
        f"the loss on training data was {costs[1]:.2f} in epoch 2 and is {costs[2]:,.2f} in epoch 3"
    )


@pytest.mark.parametrize(
    ("objective", "bound", "found"),
    [
        ((-300, -100, -220), (-300, -100, -220), 2),
        ((-1e6, -300, -250, -100, -220), (-1e6, -300, -250, -100, -220), 4),
        ((-300, -100, -190), (-300, -100, -190), None),  # not yet half of what was won
        ((-100, -100.5, -109), (-100, -100.5, -109), None),  # noise of a trained model
        ((-200, -90, -180), (-600, -500, -250), None),  # the KL's weight rises
        ((-200, -150, -90), (-250, -240, -900), None),  # there is no weight yet
        ((-200, -90, -180), None, 2),
    ],
)
def test_most_of_what_was_learned_is_lost(objective, bound, found):
    courses = {"objective": objective} | ({} if bound is None else {"bound": bound})
    records = [
        {"epoch": i + 1, "train": {name: float(course[i]) for name, course in courses.items()}}
        for i in range(len(objective))
    ]
    course = Course(elements=100)
    best = [course.lost(record) for record in records][-1]
    assert (best and best["epoch"]) == found


def test_without_a_bound_the_best_epoch_is_the_one_of_the_best_objective():
    x, vae = data(60), model()
    vae.posterior = lb.Deterministic(lb.MLP(6, (8,), 2), 2)
    settings = quick(epochs=500, learning_rate=0.05, patience=2)
    objective = lb.Reconstruction(sparsity=3.0)
    history = fit(vae, x, data(60), objective, settings, callbacks=[])
    values = [record["validation"]["objective"] for record in history]
    assert len(history) == values.index(max(values)) + 3 < 500


@pytest.mark.parametrize("epochs", [math.inf, math.nan, -1.0])
def test_a_warm_up_ends(epochs):
    with pytest.raises(
        ConfigurationError, match="expected warmup_epochs to be a finite number of at least 0"
    ):
        lb.Training(warmup_epochs=epochs)


def test_the_learning_rate_is_scheduled():
    rates = []

    class Watch(Callback):
        def epoch(self, vae, record):
            rates.append(record["learning_rate"])

    settings = quick(epochs=4, learning_rate=1.0, schedule="cosine", warmup_epochs=1)
    assert settings.learning_rate_at(0.5) == 0.5
    assert settings.learning_rate_at(1) == 1
    assert settings.learning_rate_at(2.5) == pytest.approx(0.5)
    assert settings.learning_rate_at(4) == pytest.approx(0)
    fit(model(), data(), training=settings, callbacks=[Watch()])
    assert rates == [settings.learning_rate_at((5 * e - 1) / 5) for e in (1, 2, 3, 4)]


def test_callbacks_are_called_in_order():
    calls = []

    class Watch(Callback):
        def start(self, vae, epochs, steps, step):
            calls.append(("start", epochs, steps, step))

        def step(self, vae, step, loss):
            assert math.isfinite(loss)
            calls.append(("step", step))

        def epoch(self, vae, record):
            calls.append(("epoch", record["epoch"]))

        def end(self):
            calls.append(("end",))

    fit(model(), data(), training=quick(epochs=2, batch_size=150), callbacks=[Watch()])
    steps = [("step", 1), ("step", 2), ("epoch", 1), ("step", 3), ("step", 4), ("epoch", 2)]
    assert calls == [("start", 2, 2, 0), *steps, ("end",)]


def test_a_term_that_is_not_finite_is_named_and_the_checkpoint_stays(tmp_path):
    x = data()

    class Poison(Callback):
        def step(self, vae, step, loss):
            if step == 7:
                with torch.no_grad():
                    vae.likelihood.log_sigma.fill_(math.nan)

    with pytest.raises(NonFiniteLoss, match="reconstruction became NaN at step 3 of epoch 2"):
        fit(model(), x, training=quick(), callbacks=[Poison()], out=tmp_path)
    assert not (tmp_path / "model.json").exists()
    history = fit(model(), x, training=quick(), callbacks=[], out=tmp_path, resume=True)
    assert len(history) == 3


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    class Poison(Callback):
        def step(self, vae, step, loss):
            if step == 10:
                with torch.no_grad():
                    next(vae.parameters()).fill_(math.inf)

    with pytest.raises(NonFiniteLoss, match=r"network\.layers.* became infinite"):
        fit(model(), data(), training=quick(), callbacks=[Poison()], out=tmp_path)


def test_an_occupied_folder_is_refused(tmp_path):
    fit(model(), data(), training=quick(epochs=1), callbacks=[], out=tmp_path)
    with pytest.raises(StorageError, match="holds a run"):
        fit(model(), data(), training=quick(epochs=1), callbacks=[], out=tmp_path)


def test_resuming_with_other_settings_is_refused_by_name(tmp_path):
    x = data()
    fit(model(), x, training=quick(), callbacks=[], out=tmp_path)
    changes = [
        ({"training": quick(seed=3)}, "the training .*seed: 0, got 3"),
        ({"objective": lb.ELBO(beta=2.0), "training": quick()}, "the objective .*beta: 1.0, got 2"),
    ]
    for change, message in changes:
        with pytest.raises(ConfigurationError, match=message):
            fit(model(), x, callbacks=[], out=tmp_path, resume=True, **change)
    with pytest.raises(ConfigurationError, match="the data"):
        fit(model(), x + 1, training=quick(), callbacks=[], out=tmp_path, resume=True)
    with pytest.raises(ConfigurationError, match="the model"):
        fit(model(sigma=1.0), x, training=quick(), callbacks=[], out=tmp_path, resume=True)


def test_a_finished_run_can_be_trained_longer(tmp_path):
    x, whole = data(), model()
    fit(whole, x, training=quick(epochs=4), callbacks=[])
    longer = model()
    fit(longer, x, training=quick(epochs=2), callbacks=[], out=tmp_path)
    fit(longer, x, training=quick(epochs=4), callbacks=[], out=tmp_path, resume=True)
    assert torch.equal(parameters(longer), parameters(whole))


def test_nothing_to_resume_is_refused(tmp_path):
    with pytest.raises(StorageError, match="expected a checkpoint"):
        fit(model(), data(), training=quick(), callbacks=[], out=tmp_path, resume=True)
    with pytest.raises(ConfigurationError, match="expected out"):
        fit(model(), data(), training=quick(), callbacks=[], resume=True)


def test_patience_needs_validation():
    with pytest.raises(ConfigurationError, match="expected validation data"):
        fit(model(), data(), training=quick(patience=2), callbacks=[])


def test_any_module_is_a_network_and_any_loop_will_do():
    network = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))
    vae = model()
    vae.posterior = lb.DiagonalGaussian(network, 2)
    x = data()
    history = fit(vae, x, training=quick(epochs=20, learning_rate=1e-2), callbacks=[])
    assert history[-1]["train"]["bound"] > history[0]["train"]["bound"] + 1
    optimizer = torch.optim.SGD(vae.parameters(), lr=1e-4)
    before = parameters(vae)
    (-lb.ELBO()(vae, *vae.prepare(x)).objective.mean()).backward()
    optimizer.step()
    assert not torch.equal(parameters(vae), before)


def test_what_could_not_be_saved_is_refused_before_training(tmp_path):
    vae = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(nn.Sequential(nn.Linear(6, 4)), 2),
        lb.Gaussian(lb.MLP(2, (8,), 6), (6,)),
    )
    before = parameters(vae)
    with pytest.raises(ConfigurationError, match=r"Sequential.*@lb\.part"):
        fit(vae, data(), training=quick(), callbacks=[], out=tmp_path)
    assert torch.equal(parameters(vae), before)


def test_a_network_of_the_wrong_size_is_named():
    vae = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(lb.MLP(6, (8,), 5), 2),
        lb.Gaussian(lb.MLP(2, (8,), 6), (6,)),
    )
    with pytest.raises(ConfigurationError, match="expected MLP to return 4 numbers per example"):
        fit(vae, data(), training=quick(), callbacks=[])


def test_mixed_precision_trains():
    history = fit(model(), data(), training=quick(epochs=30, precision="bfloat16"), callbacks=[])
    assert history[-1]["train"]["bound"] > history[0]["train"]["bound"]


@pytest.mark.parametrize(("multiplies", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_automatic_precision_is_that_of_the_hardware_where_the_run_was_begun(
    multiplies, precision, tmp_path, monkeypatch
):
    """Its bits are those of the same precision, told; resumed elsewhere, it goes on as it began."""
    x, told, ended = data(), model(), model()
    fit(told, x, training=quick(precision=precision), callbacks=[])
    hardware = "lowerbound.training.state.multiplies_bfloat16"
    monkeypatch.setattr(hardware, lambda device: multiplies)
    fit(model(), x, training=quick(epochs=1, precision="auto"), out=tmp_path, callbacks=[])
    monkeypatch.setattr(hardware, lambda device: not multiplies)
    longer = quick(precision="auto")
    fit(ended, x, training=longer, out=tmp_path, resume=True, callbacks=[])
    assert torch.equal(parameters(ended), parameters(told))


def test_tensorboard_gets_every_term(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    x = data()
    fit(model(), x, x[:20], training=quick(epochs=2), callbacks=[TensorBoard(tmp_path)])
    events = EventAccumulator(str(tmp_path)).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"bound/train", "bound/validation", "kl/train", "learning_rate"} <= tags
    assert [e.step for e in events.Scalars("bound/train")] == [1, 2]


def test_a_validation_figure_that_is_not_finite_is_named():
    wild = data(20)
    wild[3] = 1e25
    with pytest.raises(NonFiniteLoss, match=r"in validation after epoch 1; .* outliers in"):
        fit(model(), data(), wild, training=quick(), callbacks=[])


def test_weights_that_are_not_finite_are_not_saved_when_stopped(tmp_path):
    class Spoil(Callback):
        def step(self, model, step, loss):
            if step == 7:
                with torch.no_grad():
                    next(model.parameters()).fill_(math.nan)
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(NonFiniteLoss):
        fit(model(), data(), training=quick(), out=tmp_path, callbacks=[Spoil()])
    with safetensors.safe_open(tmp_path / "checkpoint.safetensors", "pt") as file:
        assert all(file.get_tensor(name).isfinite().all() for name in file.keys())  # noqa: SIM118


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.empty(0, 6), "expected a tensor of examples"),
        (torch.zeros(6).numpy(), "expected a table"),
        (torch.full((4, 6), math.nan), "expected finite numbers, got nan in row 0"),
    ],
)
def test_what_is_no_data_is_refused(x, message):
    with pytest.raises(DataError, match=message):
        fit(model(), x, callbacks=[])
    if isinstance(x, torch.Tensor):
        with pytest.raises(LowerboundError):
            lb.evaluate(model(), x)


def test_evaluate_takes_a_tensor_and_rows_far_away():
    vae, x = model(), data(40)
    from_tensor = lb.evaluate(vae, x, samples=3)
    assert from_tensor == lb.evaluate(vae, lb.data.Dataset(x), samples=3)
    x[17] = 1e25
    far = lb.evaluate(vae, x, samples=3)
    assert not far.left_out
    assert -math.inf < far.elbo.value < -1e45  # more than float32 holds


def test_tied_weights_are_checkpointed_and_saved(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(2, 6)
            self.two = self.one

        def forward(self, z):
            return self.one(z) + self.two(z)

    @lb.part
    class TiedNetwork(Tied):
        def __init__(self):
            super().__init__()

    encoder = lb.DiagonalGaussian(lb.MLP(6, (), 4), 2)
    vae = lb.VAE(lb.StandardNormal(2), encoder, lb.Gaussian(TiedNetwork(), (6,)))
    fit(vae, data(), training=quick(), out=tmp_path, callbacks=[])
    loaded = lb.load(tmp_path).likelihood.network
    assert loaded.one.weight is loaded.two.weight


@pytest.mark.parametrize(
    ("begun", "resumed", "message"),
    [
        ({"schedule": "cosine"}, {"schedule": "cosine", "epochs": 5}, "epochs: 3, got 5"),
        ({"patience": 4}, {"patience": 2}, "patience: 4, got 2"),
    ],
)
def test_what_is_part_of_a_run_stays_when_it_is_resumed(tmp_path, begun, resumed, message):
    x = data()
    fit(model(), x, x, training=quick(**begun), out=tmp_path, callbacks=[])
    with pytest.raises(ConfigurationError, match=message):
        fit(model(), x, x, training=quick(**resumed), out=tmp_path, resume=True, callbacks=[])


LONG = {"bound": -123456.78, "reconstruction": 120000.12, "kl": 3456.66}


def test_an_epoch_is_one_line_of_a_file(capsys):
    record = {"epoch": 1234, "step": 1, "train": LONG, "validation": LONG, "seconds": 9.0}
    bar = ProgressBar()
    bar.start(None, 1, 1, 0)
    bar.epoch(None, record)
    bar.end()
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1234: −bound 123456.78 = reconstruction 120000.12 + KL 3456.66; validation 123456.78"
    ]


@pytest.mark.parametrize(("epochs", "told"), [(20, range(1, 21)), (300, [*range(1, 47, 4), 47])])
def test_many_epochs_have_a_line_every_two_seconds_and_the_last_has_one(capsys, epochs, told):
    bar = ProgressBar()
    bar.start(None, epochs, 1, 0)
    for epoch in range(1, min(epochs, 47) + 1):  # of half a second
        bar.epoch(None, {"epoch": epoch, "step": epoch, "train": LONG, "seconds": epoch / 2})
    bar.end()
    lines = capsys.readouterr().err.splitlines()
    assert [int(line.split(":")[0].removeprefix("epoch ")) for line in lines] == [*told]


def test_a_notebook_has_a_bar_that_needs_no_widgets(monkeypatch):
    class Bar:
        def __init__(self, total):
            self.total, self.shown, self.progress = total, 0, 0
            bars.append(self)

        def display(self):
            self.shown += 1

    bars = []
    display = types.SimpleNamespace(ProgressBar=Bar, display=lambda *shown: None)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=display))
    monkeypatch.setattr(callbacks, "Console", functools.partial(Console, force_jupyter=True))
    fit(model(), data(100), training=quick())
    (bar,) = bars
    assert (bar.total, bar.shown, bar.progress) == (6, 1, 6)


def test_a_batch_of_one_row_is_refused_for_batchnorm_in_a_sentence():
    likelihood = lb.Gaussian(
        nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)), (4,)
    )
    own = lb.VAE(lb.StandardNormal(2), lb.DiagonalGaussian(lb.MLP(4, (), 4), 2), likelihood)
    x = torch.randn(9, 4)
    fit(own, x, training=quick(epochs=1, batch_size=3), callbacks=[])
    message = r"two rows or more .*BatchNorm, got one of a single row \(9 rows in batches of 4\)"
    with pytest.raises(ConfigurationError, match=message):
        fit(own, x, training=quick(epochs=1, batch_size=4), callbacks=[])
