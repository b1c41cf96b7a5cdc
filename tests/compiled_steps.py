"""A compiled step trains as an eager one; what cannot be compiled is said so and trained anyway.

`test_compiled` runs this in a process without the checks of shapes that the other tests have, which
torch's compiler cannot capture.
"""

from __future__ import annotations

import copy
import dataclasses
import gc
import signal
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch._inductor.graph import GraphLowering
from torch.nn import functional as F

import lowerbound as lb
from lowerbound.compiler.graph import CannotCompile, Graph
from lowerbound.compiler.rewriting import log1p_exp
from lowerbound.corruptions import Masking
from lowerbound.errors import Interrupted
from lowerbound.evaluation import decoding, walk
from lowerbound.training import Callback, compiled
from lowerbound.training.compiled import CompiledStep
from lowerbound.training.state import State
from lowerbound.training.step import TermsOf

ROWS, WIDTH = 72, 6  # the last batch of an epoch is a smaller one


@lb.part
class Normalised(nn.Sequential):
    """Rows to numbers, with buffers that each batch changes."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(
            nn.Linear(inputs, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs)
        )

    def forward(self, x, context=None):
        return super().forward(x if context is None else torch.cat((x, context), -1))


class Notes(Callback):
    def __init__(self):
        self.notes, self.losses = [], []

    def note(self, text):
        self.notes.append(text)

    def step(self, model, step, loss):
        self.losses.append(loss)


@pytest.fixture
def data():
    x = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
    return lb.data.Dataset(x, labels=torch.arange(ROWS) % 3)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(Normalised(WIDTH + 3, 4), 2),
        lb.Gaussian(Normalised(2 + 3, WIDTH), (WIDTH,), sigma="optimal"),
        context=lb.Labels(3),
    )


OBJECTIVE = lb.ELBO(beta=lb.Linear(duration=2.0), free_bits=0.1, corruption=Masking(0.1))
TRAINING = lb.Training(
    epochs=3,
    batch_size=16,
    learning_rate=0.01,
    schedule="cosine",
    warmup_epochs=0.5,
    clip_norm=1.0,
    ema=0.9,
    optimizer="adamw",
    weight_decay=0.1,
    compile=True,
)


def differences(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return max((ours[name] - theirs[name]).abs().max().item() for name in ours)


COMPILING = "compiling the training step: some 20 seconds, or a few if it was done before"


def test_compiled_steps_are_eager_ones_and_resume_to_the_same_bits(model, data, tmp_path):
    eager, stopped = copy.deepcopy(model), copy.deepcopy(model)
    notes, others = Notes(), Notes()
    records = lb.fit(model, data, data, OBJECTIVE, TRAINING, callbacks=[notes])
    plain = dataclasses.replace(TRAINING, compile=False)
    expected = lb.fit(eager, data, data, OBJECTIVE, plain, callbacks=[others])
    assert notes.notes == [COMPILING]
    assert notes.losses == pytest.approx(others.losses, abs=1e-4)
    assert differences(model, eager) < 1e-5
    for ours, theirs in zip(records, expected, strict=True):
        assert ours["train"] == pytest.approx(theirs["train"], abs=1e-4)
        assert ours["validation"] == pytest.approx(theirs["validation"], abs=1e-4)

    with pytest.raises(Interrupted):
        lb.fit(stopped, data, data, OBJECTIVE, TRAINING, out=tmp_path, callbacks=[Stop(at=7)])
    again = lb.fit(
        stopped, data, data, OBJECTIVE, TRAINING, out=tmp_path, resume=True, callbacks=[]
    )
    assert differences(stopped, model) == 0
    assert [r["train"] for r in again] == [r["train"] for r in records]


@pytest.mark.parametrize("share", [0.25, lb.Linear(start=1, duration=1, final=0.5)])
def test_a_trimmed_step_is_compiled_and_leaves_out_what_an_eager_one_does(share, data):
    torch.manual_seed(0)
    posterior = lb.DiagonalGaussian(nn.Linear(WIDTH, 4), 2)
    model = lb.VAE(lb.StandardNormal(2), posterior, lb.Gaussian(nn.Linear(2, WIDTH), (WIDTH,)))
    twin, notes = copy.deepcopy(model), Notes()
    training = lb.Training(epochs=3, batch_size=24, learning_rate=0.01, compile=True)
    lb.fit(model, data, None, lb.Trimmed(share), training, callbacks=[notes])
    plain = dataclasses.replace(training, compile=False)
    lb.fit(twin, data, None, lb.Trimmed(share), plain, callbacks=[])
    assert notes.notes == [COMPILING]
    assert differences(model, twin) < 1e-5


class Stop(Callback):
    def __init__(self, at):
        self.at = at

    def step(self, model, step, loss):
        if step == self.at:
            signal.raise_signal(signal.SIGINT)


class Branching(nn.Sequential):
    def forward(self, x):
        h = super().forward(x)
        return h if h.sum() > 0 else 2 * h


class Counting(nn.Sequential):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * (1 + self.calls)


class CountingFromTheStart(Counting):
    def __init__(self, *layers):
        super().__init__(*layers)
        self.calls = 0


class Listing(nn.Sequential):
    def __init__(self, *layers):
        super().__init__(*layers)
        self.calls = [0]

    def forward(self, x):
        self.calls[0] += 1
        return super().forward(x) * (1 + self.calls[0])


class Reassigning(nn.Sequential):
    def __init__(self, *layers):
        super().__init__(*layers)
        self.register_buffer("average", torch.zeros(4))

    def forward(self, x):
        h = super().forward(x)
        self.average = 0.9 * self.average + 0.1 * h.detach().mean(0)
        return h - self.average


@pytest.mark.parametrize(
    "network", [Branching, Counting, CountingFromTheStart, Listing, Reassigning]
)
def test_what_cannot_be_compiled_is_said_so_and_trained(network, data):
    torch.manual_seed(0)
    layers = nn.Linear(WIDTH, 4)
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(network(layers), 2),
        lb.Gaussian(nn.Linear(2, WIDTH), (WIDTH,)),
    )
    twin, notes = copy.deepcopy(model), Notes()
    training = lb.Training(epochs=1, batch_size=16, compile=True)
    lb.fit(model, data, training=training, callbacks=[notes])
    plain = dataclasses.replace(training, compile=False)
    lb.fit(twin, data, training=plain, callbacks=[])
    assert notes.notes[0] == COMPILING
    assert notes.notes[1].startswith("training goes on without: ")
    assert len(notes.notes) == 2
    assert differences(model, twin) == 0


def test_steps_of_mixed_tables_are_compiled():
    """Transforms of each kind hold figures of their columns."""
    rng = np.random.default_rng(0)
    x = rng.normal(5, 2, (ROWS, 4))
    x[:, 1], x[:, 2] = np.arange(ROWS) % 4, np.where(x[:, 2] > 5, 0, x[:, 2])
    x[::7, 3] = np.nan
    names, kinds = ["a", "b", "c", "d"], {"b": "ordinal", "c": "zero-inflated"}
    table, models = lb.data.from_arrays(pd.DataFrame(x, columns=names), kinds=kinds), []
    notes = Notes()
    for compiles in (True, False):
        torch.manual_seed(0)
        models.append(lb.recipes.table(table, hidden=(8,)).model)
        training = lb.Training(epochs=2, batch_size=24, compile=compiles)
        lb.fit(models[-1], table, training=training, callbacks=[notes])
    assert notes.notes == [COMPILING]
    assert differences(*models) < 1e-5


@pytest.mark.parametrize("wrong", [0.0, 0.1])
def test_in_bfloat16_a_compiled_step_may_be_rounded_otherwise_but_not_wrong(
    wrong, data, monkeypatch
):
    """With 100 pseudo-inputs an encoder's last bias is moved by differences of large numbers."""
    torch.manual_seed(0)
    encoder = lb.DiagonalGaussian(lb.MLP(WIDTH, (64, 64), 8, activation="gated"), 4)
    prior = lb.VampPrior((WIDTH,), 100)
    model = lb.VAE(prior, encoder, lb.Gaussian(lb.MLP(4, (64,), WIDTH), (WIDTH,)))
    whole = compiled.CompiledStep.trial

    def trial(self, batch):
        loss, gradients, buffers = whole(self, batch)
        largest = max(range(len(gradients)), key=lambda i: gradients[i].norm())
        gradients[largest] *= 1 + wrong
        return loss, gradients, buffers

    monkeypatch.setattr(compiled.CompiledStep, "trial", trial)
    notes = Notes()
    settings = {"batch_size": 24, "compile": True, "precision": "bfloat16"}
    lb.fit(model, data, training=lb.Training(epochs=1, **settings), callbacks=[notes])
    assert notes.notes[0] == COMPILING
    assert ["something else" in note for note in notes.notes[1:]] == [True] * bool(wrong)


def test_a_model_with_other_tensors_than_were_compiled_trains_on(data):
    class Clamp(Notes):
        def epoch(self, model, record):
            for parameter in model.parameters():
                parameter.data = parameter.data.clamp(-0.5, 0.5)

    def trained(compile_):
        torch.manual_seed(0)
        model = lb.VAE(
            lb.StandardNormal(2),
            lb.DiagonalGaussian(nn.Linear(WIDTH, 4), 2),
            lb.Gaussian(nn.Linear(2, WIDTH), (WIDTH,)),
        )
        watcher = Clamp()
        training = lb.Training(epochs=3, batch_size=24, learning_rate=0.1, compile=compile_)
        lb.fit(model, data, training=training, callbacks=[watcher])
        return model, watcher.notes

    (ours, notes), (theirs, _) = trained(True), trained(False)
    assert "other tensors" in notes[1]
    assert differences(ours, theirs) < 1e-5


def test_nothing_is_left_behind(data):
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(nn.Linear(WIDTH, 4), 2),
        lb.Gaussian(nn.Linear(2, WIDTH), (WIDTH,)),
    )
    lb.fit(model, data, training=lb.Training(epochs=1, batch_size=24, compile=True), callbacks=[])
    left = weakref.ref(model)
    del model
    gc.collect()
    assert left() is None
    assert gc.get_freeze_count() == 0


def test_without_a_compiler_training_goes_on(data, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    import torch._inductor.config as inductor

    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(nn.Linear(WIDTH, 4), 2),
        lb.Gaussian(nn.Linear(2, WIDTH), (WIDTH,)),
    )
    notes, training = Notes(), lb.Training(epochs=1, batch_size=16, compile=True)
    with inductor.patch({"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}):
        lb.fit(model, data, training=training, callbacks=[notes])
    assert "ompiler" in notes.notes[1]
    assert len(notes.losses) == 5


def test_log1p_exp_has_the_digits_of_float32():
    a = torch.cat((torch.linspace(-100, 100, 20_001), torch.linspace(-1, 1, 20_001)))
    exact = F.softplus(a.double(), threshold=1e3)
    found = log1p_exp(a).double()
    spacing = torch.finfo(torch.float32).eps * exact
    assert (found - exact).abs().div(spacing + torch.finfo(torch.float32).tiny).max() < 2
    assert log1p_exp(torch.tensor([torch.inf, -torch.inf])).tolist() == [torch.inf, 0.0]
    assert log1p_exp(torch.tensor(torch.nan)).isnan()


def test_what_the_compiler_is_slow_at_is_put_in_other_words(tmp_path, monkeypatch):
    codes = []
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(GraphLowering, "save_output_code", codes.append)

    def function(fixed, changing):
        weight, bias = fixed
        x = changing[0].to(torch.float32) / 255
        return F.softplus(F.linear(x, weight, bias)).sum(1).mean()

    torch.manual_seed(0)
    fixed = torch.randn(4, 6), torch.randn(4)
    graph = Graph(function, torch.get_num_threads())
    bytes_ = torch.arange(48, dtype=torch.uint8).reshape(8, 6)
    found = graph(fixed, (bytes_,), same=False)
    (code,) = codes
    assert not any(slow in code for slow in ("uint8_t*", "log1p(", "extern_kernels.addmm("))
    for x in (bytes_, bytes_.flip(0) + 1):
        assert torch.allclose(graph(fixed, (x,), same=True), function(fixed, (x,)))
    assert torch.allclose(found, function(fixed, (bytes_,)))
    graph.close()


@pytest.mark.parametrize("decoder", [nn.Linear(2, WIDTH), Branching(nn.Linear(2, WIDTH))])
def test_a_compiled_evaluation_finds_what_an_eager_one_finds(decoder, data, monkeypatch):
    torch.manual_seed(0)
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(nn.Linear(WIDTH, 4), 2),
        lb.Gaussian(decoder, (WIDTH,)),
    )
    calls = []
    monkeypatch.setattr(walk, "IMAGES_PER_BATCH", 20)  # 72 rows: the last batch is a smaller one
    eager = lb.evaluate(model, data, samples=5)
    monkeypatch.setattr(decoding, "COMPILED_FROM", 0)
    call = Graph.__call__
    monkeypatch.setattr(Graph, "__call__", lambda *a, **k: calls.append(1) or call(*a, **k))
    compiled = lb.evaluate(model, data, samples=5)
    assert len(calls) == (1 if isinstance(decoder, Branching) else 3)
    for name in ("elbo", "kl", "importance_weighted"):
        ours, theirs = getattr(compiled, name), getattr(eager, name)
        assert ours.value == pytest.approx(theirs.value, rel=1e-6)


def test_compiled_annealing_takes_the_same_path(data, monkeypatch):
    torch.manual_seed(0)
    decoder = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, WIDTH))
    posterior = lb.DiagonalGaussian(nn.Linear(WIDTH, 4), 2)
    model = lb.VAE(lb.StandardNormal(2), posterior, lb.Gaussian(decoder, (WIDTH,)))
    some = data.take(20)
    eager = lb.evaluation.anneal(model, some, steps=5, chains=6)
    shapes = []
    monkeypatch.setattr(decoding, "COMPILED_FROM", 0)
    call = Graph.__call__

    def counted(graph, fixed, changing, *, same):
        shapes.append(changing[-1].shape)
        return call(graph, fixed, changing, same=same)

    monkeypatch.setattr(Graph, "__call__", counted)
    compiled = lb.evaluation.anneal(model, some, steps=5, chains=6)
    assert set(shapes) == {(6, 20, 2)}  # not the pilots
    assert torch.allclose(compiled.log_evidence, eager.log_evidence, rtol=1e-5)
    assert compiled.acceptance == pytest.approx(eager.acceptance, rel=1e-5)


def test_a_recording_that_holds_on_to_its_first_batch_is_refused(model, data, monkeypatch):
    terms = TermsOf(model, OBJECTIVE)
    state, (batch, *_) = State(model, TRAINING), data.batches(16)
    step = CompiledStep(terms, state, TRAINING, batch, watched=False)
    step._expect_same_recorded()
    call, first = Graph.__call__, []

    def stale(graph, fixed, changing, *, same):
        if not same:
            return call(graph, fixed, changing, same=False)
        first.append(changing)
        return call(graph, fixed, first[0], same=True)

    monkeypatch.setattr(Graph, "__call__", stale)
    with pytest.raises(CannotCompile, match="the step was another"):
        step._expect_same_recorded()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("mlp", {"transform": "Binarise", "ema": 0.9, "clip_norm": 1.0}),
        ("mlp", {"precision": "bfloat16"}),
        ("convolutional", {}),
        ("iwae", {}),
        ("vampprior", {}),
    ],
)
def test_on_a_gpu_compiled_steps_are_recorded_and_played(recipe, settings, monkeypatch):
    data = lb.data.load("digits").train.take(400)
    settings = {"epochs": 3, "batch_size": 64, "learning_rate": 0.01} | settings
    played, play = [], torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(
        torch.cuda.CUDAGraph, "replay", lambda graph: (played.append(graph), play(graph))
    )

    def run(**changed):
        torch.manual_seed(0)
        made = lb.recipes.prepare(recipe, data, settings | changed)
        records = lb.fit(
            made.model, data, None, made.objective, made.training, callbacks=[], device="cuda"
        )
        return made.model, [r["train"] for r in records]

    (ours, records), (again, _) = run(compile=True), run(compile=True)
    # Two in trials; all but an epoch's first step, and its rest.
    assert len(played) == 2 * (2 + 3 * (400 // 64 - 1))
    assert differences(ours, again) == 0
    eager, expected = run(compile=False)
    close = 1e-4 if settings.get("precision") is None else 1e-2
    for record, other in zip(records, expected, strict=True):
        assert record == pytest.approx(other, rel=close, abs=close)
    assert differences(ours, eager) < 100 * close
