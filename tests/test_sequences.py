"""Sequences of tokens: read, composed, trained and judged; their density is exact."""

from __future__ import annotations

import itertools
import math
import os
import signal
import sys

import numpy as np
import pytest
import torch
from torch import nn

import lowerbound as lb
from lowerbound import cli, recipes
from lowerbound.data import Dataset, Field, from_arrays, load
from lowerbound.diagnosis.diagnose import CHECKS, examine
from lowerbound.errors import ConfigurationError, DataError, Interrupted
from lowerbound.report.outcome import Outcome
from lowerbound.report.sections import sections
from lowerbound.training import Callback

CODES, LENGTH, LATENT = 3, 4, 2
NAMES = ("a", "b", "c")
SMALL = {
    "latent_dim": LATENT,
    "hidden": 6,
    "likelihood.hidden": 6,
    "likelihood.features": 4,
    "likelihood.embedding": 5,
}
HIERARCHICAL = {"likelihood.segments": 2, "likelihood.network": "Conductor"}


def everything(ends: bool) -> torch.Tensor:
    """Each sequence that there is."""
    rows = itertools.product(range(CODES + ends), repeat=LENGTH)
    end = CODES if ends else -1
    pairs = itertools.pairwise
    return torch.tensor([x for x in rows if all(b == end for a, b in pairs(x) if a == end)])


def sequences(n: int = 60, ends: bool = False) -> Dataset:
    """Of which the second half repeats the first."""
    x = np.random.default_rng(0).integers(0, CODES, (n, 2)).repeat(2, 1)[:, [0, 2, 1, 3]]
    if ends:
        x[:, 2:][np.arange(n) % 2 == 0] = -1
    return from_arrays(x, vocabulary=NAMES, name="words")


def likelihood(segments: int = 1, ends: bool = False, **arguments) -> lb.Autoregressive:
    vocabulary = (*NAMES, "<end>") if ends else NAMES
    network = lb.MLP(LATENT, (), segments * 4)
    made = lb.Autoregressive(network, (LENGTH,), vocabulary, 4, segments, 6, 2, 5, **arguments)
    return made.double()


@pytest.mark.parametrize("x", [[0.5, 0, 1, 2], [-1, 0, 1, 2], [0, 1, 2, CODES]])
def test_a_model_made_by_hand_refuses_what_are_no_codes(x):
    posterior = lb.DiagonalGaussian(lb.MLP(LENGTH, (), 2 * LATENT), LATENT)
    model = lb.VAE(lb.StandardNormal(LATENT), posterior, likelihood()).float()
    with pytest.raises(DataError, match="expected tokens from 0 to 2 for Autoregressive"):
        lb.evaluate(model, torch.tensor([x, [0.0, 1, 2, 0]]))


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("segments", [1, 2])
def test_all_sequences_together_have_probability_one(segments, ends):
    p = likelihood(segments, ends)(torch.randn(2, 3, LATENT).double())
    total = p.log_prob(everything(ends)[:, None, None].double()).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(2, 3).double())


def test_a_log_probability_is_that_of_lstm_cells_one_after_the_other():
    made = likelihood()
    z, x = torch.randn(1, LATENT).double(), torch.tensor([[2, 0, 1, 1]])
    ours, h = made.next_token, made.network(z)
    cells = [nn.LSTMCell(5, 6).double(), nn.LSTMCell(6, 6).double()]
    for i, cell in enumerate(cells):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        cell.load_state_dict({name: getattr(ours.lstm, f"{name}_l{i}") for name in names})
    start = ours.begin(h).tanh().reshape(2, 2, 6)
    states = [(start[0, i : i + 1], start[1, i : i + 1]) for i in range(2)]
    total, before = 0.0, CODES
    for token in x[0].tolist():
        read = ours.embedding.weight[before] + ours.given(h)
        for i, cell in enumerate(cells):
            states[i] = cell(read, states[i])
            read = states[i][0]
        total += ours.output(read).log_softmax(-1)[0, token].item()
        before = token
    assert made(z).log_prob(x.double()).item() == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("ends", [False, True])
def test_draws_are_as_frequent_as_their_probability_says(ends):
    made = likelihood(2, ends).eval()
    nn.init.normal_(made.next_token.output.weight)
    p = made(torch.randn(LATENT).double())
    x, n = everything(ends).double(), 20_000
    drawn, probability = p.sample((n,)), p.log_prob(x).exp()
    found = (drawn.unsqueeze(1) == x).all(-1).double().mean(0)
    assert found.sum().item() == pytest.approx(1)
    error = (probability * (1 - probability) / n).sqrt()
    assert ((found - probability).abs() < 5 * error + 1e-4).all()
    cold = p.sample((200,), temperature=1e-3)
    assert (cold == p.mean).all()


@pytest.mark.parametrize("segments", [1, 2])
def test_the_mean_is_the_chain_of_likeliest_tokens(segments):
    made = likelihood(segments)
    nn.init.normal_(made.next_token.output.weight)
    p = made(torch.randn(7, LATENT).double())
    greedy = p.mean
    told = p.token_log_probs(greedy)
    assert torch.equal(told.argmax(-1).double(), greedy)
    chosen = told.gather(-1, greedy.long().unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(chosen.sum(-1), p.log_prob(greedy))


def test_segments_know_of_each_other_by_their_features_alone():
    made = likelihood(2)
    p = made(torch.randn(1, LATENT).double())
    x = torch.tensor([[0, 1, 2, 0], [2, 2, 2, 0]])
    first, second = p.token_log_probs(x)
    assert not torch.allclose(first[1], second[1])
    torch.testing.assert_close(first[2:], second[2:])
    flat = likelihood(1)(torch.randn(1, LATENT).double()).token_log_probs(x)
    assert not torch.allclose(flat[0, 2], flat[1, 2])


def test_what_follows_an_end_changes_nothing():
    torch.manual_seed(0)
    short = lb.BidirectionalLSTM(CODES + 1, 4, 6, 2, ends=True)
    x = torch.tensor([[0, 2, 3, 3], [1, 3, 3, 3], [3, 3, 3, 3], [0, 1, 2, 0]])
    longer = torch.nn.functional.pad(x, (0, 5), value=CODES)
    torch.testing.assert_close(short(longer[:3].float()), short(x[:3].float()))
    reads_all = lb.BidirectionalLSTM(CODES + 1, 4, 6, 2)
    assert not torch.allclose(reads_all(longer.float()), reads_all(x.float()))
    z = torch.randn(3, LATENT).double()
    made = likelihood(ends=True)
    log_p = made(z).log_prob(x[:3].double())
    made.shape = (9,)
    torch.testing.assert_close(made(z).log_prob(longer[:3].double()), log_p)


def test_an_untold_token_tells_nothing_and_drawn_ones_are_the_models():
    made = likelihood()
    z, x = torch.randn(1, LATENT).double(), torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0]]).double()
    p = made(z)
    p.untold = 1.0
    per_token = p.token_log_probs(x)
    torch.testing.assert_close(per_token[0], per_token[1])
    nn.init.zeros_(made.next_token.output.weight)
    made.next_token.output.bias.data = torch.tensor([0.0, 90.0, 0.0]).double()  # draws 1, always
    made.next_token.output.weight.data[:, 0] = torch.tensor([1.0, 0.0, 0.0]).double()
    p = made(z)
    p.drawn = 1.0
    told = p.token_log_probs(x)
    p.drawn = 0.0
    torch.testing.assert_close(told, p.token_log_probs(torch.ones(2, 4)))


def test_tokens_are_drawn_ever_more_often_in_training():
    made = likelihood(scheduled_sampling=10)
    x = everything(False).double()
    drawn = []
    for _ in range(60):
        p = made(torch.randn(len(x), LATENT).double())
        drawn.append(float(p.drawn))
        made.track(p, x)
    told = [10 / (10 + math.exp(i / 10)) for i in range(60)]
    torch.testing.assert_close(torch.tensor(drawn), 1 - torch.tensor(told))
    assert made.eval()(torch.randn(1, LATENT).double()).drawn == 0


@pytest.mark.parametrize("settings", [{}, HIERARCHICAL])
@pytest.mark.parametrize("conditional", [False, True])
def test_every_weight_of_a_composition_learns(settings, conditional):
    data = sequences(ends=True)
    data = Dataset(data.x, torch.arange(60) % 2, schema=data.schema)
    model = recipes.tokens(data, conditional=conditional, **SMALL, **settings).model
    labels = data.labels if conditional else None
    lb.ELBO()(model, *model.prepare(data.x, labels)).objective.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_the_start_is_each_tokens_share():
    shares = torch.tensor([0.1, 0.2, 0.7])
    x = torch.multinomial(shares, 4000, replacement=True).reshape(1000, LENGTH).to(torch.uint8)
    model = recipes.tokens(from_arrays(x, vocabulary=3), **SMALL).model
    p = model.likelihood(torch.randn(100, LATENT)).token_log_probs(x[:100])
    torch.testing.assert_close(p.exp().mean((0, 1)), shares, atol=0.02, rtol=0)


# Data.


def test_tokens_are_read_from_arrays_and_files(tmp_path):
    x = np.array([[0, 1, -1], [2, -1, -1], [1, 1, 1], [-1, -1, -1]])
    data = from_arrays(x, vocabulary=3)
    assert (data.kind, data.schema[0].categories) == ("tokens", ("0", "1", "2", "<end>"))
    assert data.x.tolist() == [[0, 1, 3], [2, 3, 3], [1, 1, 1], [3, 3, 3]]
    assert data.dtype == torch.uint8
    assert "4 sequences of 3 tokens of 4" in repr(data)
    np.savez(tmp_path / "x.npz", x_train=x, x_test=x[2:3], vocabulary=np.array(["do", "re", "mi"]))
    parts = load(tmp_path / "x.npz")
    assert torch.equal(parts.train.x, data.x)
    assert parts.test.schema == parts.train.schema
    assert parts.test.schema[0].categories == ("do", "re", "mi", "<end>")
    np.savez(tmp_path / "n.npz", x=np.maximum(x, 0), vocabulary=300)
    assert load(tmp_path / "n.npz", test=1).train.schema[0].categories[-1] == "299"


@pytest.mark.parametrize(
    "vocabulary", [np.array(["a", "b", "c"]), np.int64(3), np.array(3), [np.str_("a"), "b", "c"]]
)
def test_a_vocabulary_may_be_of_numpy(vocabulary):
    assert len(from_arrays([[0, 2]], vocabulary=vocabulary).schema[0].categories) == 3


def test_a_vocabulary_in_a_file_is_a_number_or_names(tmp_path, caplog):
    for vocabulary in ("abc", [["a"], ["b"]], 2.0):
        np.savez(tmp_path / "x.npz", x=[[0, 1]], vocabulary=vocabulary)
        with pytest.raises(DataError, match="expected how many tokens there are, or their names"):
            load(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", x=[[0, 1], [1, 1]], vocabulary=["cat", "dog"])
    load(tmp_path / "x.npz")
    assert "if these are counts, one of each token, leave the array vocabulary out" in caplog.text


@pytest.mark.parametrize(
    ("x", "vocabulary", "message"),
    [
        ([[0, 3]], 3, "expected codes from 0 to 2, or −1 .*, got values from 0 to 3"),
        ([[0, -2]], 3, "got values from -2 to 0"),
        ([[0, -1, 1]], 3, "expected nothing after the end of a sequence, .* row 0"),
        ([[0.5, 1]], 3, "expected sequences of tokens, whole numbers"),
        ([0, 1], 3, "expected sequences of tokens"),
        ([[0, 1]], 0, "expected a vocabulary of 1 to 65,536 tokens"),
        ([[0, 1]], 10**9, "expected a vocabulary of 1 to 65,536 tokens"),
        ([[0, 1]], ["a", "a"], "different names"),
        ([[0, 1]], ["a", "<end>"], "none of them '<end>'"),
    ],
)
def test_what_are_no_tokens_is_refused(x, vocabulary, message):
    with pytest.raises(DataError, match=message):
        from_arrays(x, vocabulary=vocabulary)


def test_whole_numbers_are_their_own_codes_and_others_are_refused():
    x = np.array([[0, 5, 2], [1, 4, 3]], np.uint8)
    model = recipes.tokens(x, **SMALL).model
    assert model.likelihood.vocabulary == ("0", "1", "2", "3", "4", "5")
    with pytest.raises(DataError, match=r"expected sequences of tokens.*−1 follows the end"):
        recipes.tokens(np.array([[0, -1], [3, 4]]), **SMALL)
    with pytest.raises(DataError, match="expected sequences of tokens"):
        recipes.tokens(np.zeros((4, 8, 8), np.uint8), **SMALL)
    with pytest.raises(DataError, match=r"expected tokens from 0 to 5 .*got whole numbers .* to 9"):
        model.expect(from_arrays(np.array([[0, 9, 2]], np.uint8)))
    with pytest.raises(ConfigurationError, match="multiple of the 2 segments, got shape"):
        recipes.tokens(x, **SMALL, **HIERARCHICAL)
    with pytest.raises(ConfigurationError, match="expected tokens for the BidirectionalLSTM"):
        recipes.compose(torch.randn(9, 3), network="BidirectionalLSTM")
    with pytest.raises(ConfigurationError, match="expected numbers of one kind for a corruption"):
        lb.ELBO(corruption=lb.Masking(0.5))(model.train(), torch.zeros(2, 3))


def test_an_encoder_reads_what_a_likelihood_made_by_hand_writes():
    made = lb.Autoregressive(lb.MLP(2, (), 256), (4,), ("a", "b", "c", "d", "<end>"))
    model = recipes.compose(np.zeros((5, 4)), 2, network="BidirectionalLSTM", likelihood=made)
    assert (model.posterior.network.codes, model.posterior.network.ends) == (5, True)


def test_tokens_beside_other_columns_are_refused():
    fields = (Field("a", "tokens", categories=NAMES), Field("b", "tokens", categories=("x", "y")))
    with pytest.raises(ConfigurationError, match=r"expected tokens as one field .* got 2 fields"):
        recipes.compose(Dataset(torch.zeros(9, 2), schema=fields), 2)


def test_other_data_are_taken_by_the_names_of_their_tokens():
    model = recipes.tokens(sequences(ends=True), **SMALL).model
    other = from_arrays([[0, 1], [1, -1]], vocabulary=("c", "a"))
    assert model.expect(other).x.tolist() == [[2, 0, 3, 3], [0, 3, 3, 3]]
    with pytest.raises(DataError, match=r"expected the vocabulary 'a', 'b', .* got 'd'"):
        model.expect(from_arrays([[0, 1]], vocabulary=("d", "a")))
    with pytest.raises(DataError, match="expected sequences of at most 4 tokens"):
        model.expect(from_arrays([[0, 1, 0, 0, 1], [0, -1, -1, -1, -1]], vocabulary=NAMES))
    raw = Dataset(torch.tensor([[0, 3, 1, 3]], dtype=torch.uint8))
    with pytest.raises(DataError, match="expected nothing after the end of a sequence"):
        model.expect(raw)


def test_a_multilayer_perceptron_sees_tokens_one_hot():
    model = recipes.mlp(sequences(), latent_dim=2, hidden=(8,)).model
    assert isinstance(model.likelihood, lb.Autoregressive)
    assert model.posterior.network.network.layers[0].in_features == CODES * LENGTH
    assert model.embed(sequences()).shape == (60, 2)


def test_sequences_on_disk_are_trained_on(tmp_path):
    x = np.random.default_rng(0).integers(0, 300, (5000, 4))
    np.save(tmp_path / "x.npy", x)
    parts = load(tmp_path / "x.npy", on_disk=True, test=10)
    experiment = recipes.tokens(parts.train, **SMALL, batch_size=500, epochs=1)
    assert len(experiment.model.likelihood.vocabulary) == x.max() + 1
    history = lb.fit(
        experiment.model, parts.train, None, training=experiment.training, callbacks=[]
    )
    assert history[0]["train"]["reconstruction"] < 4.1 * math.log(300)
    assert lb.evaluate(experiment.model, parts.test, samples=2).elbo.value > -4.1 * math.log(300)


@pytest.mark.parametrize(("name", "length"), [("musicvae-2bar", 32), ("musicvae-16bar", 256)])
def test_musicvae_has_the_papers_parts(name, length):
    x = np.random.default_rng(0).integers(0, 90, (4, length)).astype(np.uint8)
    recipe = recipes.RECIPES[name]
    settings, training = recipe.merged({})
    sizes = {"hidden": 6, "likelihood.hidden": 6, "latent_dim": 4, "embedding": 3}
    if name == "musicvae-16bar":
        sizes |= {"likelihood.network.hidden": 6}
        assert settings["likelihood"]["segments"] == 16
        assert settings["objective"]["free_bits"] == pytest.approx(256 * math.log(2))
    experiment = recipe(from_arrays(x, vocabulary=90), **sizes)
    assert training.batch_size == 512
    assert experiment.objective.beta(math.inf) == 0.2
    model = experiment.model.eval()
    p = model.likelihood(torch.randn(2, 4))
    assert p.h.shape[1] == (16 if name == "musicvae-16bar" else 1)
    assert p.sample().shape == p.mean.shape == (2, length)
    expected = torch.nn.functional.softplus(model.posterior.network(torch.tensor(x).float())[:, 4:])
    torch.testing.assert_close(model.encode(torch.tensor(x)).stddev, expected)


def test_codes_can_be_fitted_with_the_weights_as_they_are():
    """cuDNN takes no gradient through an LSTM in evaluation mode."""
    model = recipes.tokens(sequences(), **SMALL, **HIERARCHICAL).model.eval()
    lstms = [module for module in model.modules() if isinstance(module, nn.LSTM)]
    assert len(lstms) == 3
    assert all(lstm.training for lstm in lstms)
    assert not any(lstm.dropout for lstm in lstms)
    found = lb.evaluation.anneal(model, sequences(4), steps=3, chains=2)
    assert math.isfinite(found.evidence.value)


# Runs.


class Interrupt(Callback):
    def step(self, model, step, loss):
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)


def test_resumed_training_is_the_same_training(tmp_path):
    data = sequences(200, ends=True)
    settings = SMALL | {"likelihood.scheduled_sampling": 2, "epochs": 3, "batch_size": 100}

    def trained(seed: int, **arguments) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        whole = recipes.tokens(data, **settings)
        arguments = {"callbacks": [], **arguments}
        lb.fit(whole.model, data, None, whole.objective, whole.training, **arguments)
        return whole.model.state_dict()

    expected = trained(0)
    with pytest.raises(Interrupted):
        trained(0, out=tmp_path, callbacks=[Interrupt()])
    found = trained(1, out=tmp_path, resume=True)
    assert expected["likelihood.updates"] == 6
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def exit_code(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["lowerbound", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.run(name="lowerbound")
    return int(stop.value.code or 0)


def test_the_command_line_takes_sequences_from_end_to_end(tmp_path, capsys, monkeypatch):
    x = np.random.default_rng(0).integers(0, CODES, (300, 2)).repeat(2, 1).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    run = str(tmp_path / "run")
    settings = [f"--set={key}={value}" for key, value in SMALL.items()]
    train = ["train", "tokens", "--data", str(tmp_path / "x.npy"), "--out", run, *settings]
    for command in (
        ["recipes", "musicvae_2bar"],
        [*train, "--set=epochs=2", "--quiet"],
        ["evaluate", run, "--samples", "4"],
        ["embed", run, "--out", f"{run}/z.npy"],
        ["reconstruct", run, "--out", f"{run}/r.npy"],
        ["sample", run, "-n", "5", "--out", f"{run}/s.npy"],
    ):
        assert exit_code(monkeypatch, *command) == 0, (command, capsys.readouterr().err)
    assert np.load(f"{run}/z.npy").shape == (30, LATENT)


CODES_CHECKS = {"collapsed-dimensions", "vanishing-kl"}


@pytest.mark.parametrize("is_told", [True, False])
def test_a_decoder_that_does_without_the_code_is_found_and_what_helps_is_said(is_told):
    """Each sequence repeats one of three tokens, which the first alone tells."""
    data = from_arrays(np.arange(150).reshape(-1, 1).repeat(8, 1) % 3, vocabulary=3)
    hidden = {"likelihood.word_dropout": 0.0 if is_told else 0.9}
    experiment = recipes.tokens(
        data,
        **SMALL,
        **hidden,
        batch_size=50,
        learning_rate=0.03,
        epochs=170 if is_told else 25,  # it is judged after 500 steps
        **{"objective.beta": 1},
    )
    objective = experiment.objective
    history = lb.fit(experiment.model, data, None, objective, experiment.training, callbacks=[])
    checks = examine(
        experiment.model, data, data, history, objective, leave_out=set(CHECKS) - CODES_CHECKS
    )
    faults = [c.finding for c in checks if c.finding and c.finding.severity == "fault"]
    assert all("word_dropout" in finding.code for finding in faults)
    if is_told:
        assert "vanishing-kl" in [finding.name for finding in faults]
        assert history[-1]["train"]["kl"] < 0.1
    else:
        assert not faults
        assert history[-1]["train"]["kl"] > 0.9  # nearly log 3: it says which of three


def test_the_report_writes_sequences_out():
    data = sequences(ends=True)
    model = recipes.tokens(data, **SMALL).model.eval()
    evaluation = lb.evaluate(model, data, samples=2)
    outcome = Outcome(model, data, evaluation, [], train=data, objective=lb.ELBO())
    shown = {section.name: section for section in sections(outcome)}
    assert {"reconstructions", "worst", "samples", "shares", "latent"} <= shown.keys()
    assert not {"columns", "traversals", "manifold"} & shown.keys()
    written = ["".join(NAMES[code] for code in x if code < CODES) for x in data.x[:2].tolist()]
    rows = shown["reconstructions"].content.rows
    assert [rows[0], rows[2]] == [("1", "test", written[0]), ("2", "test", written[1])]
    assert [row[1] for row in rows[1::2]] == ["rebuilt"] * 10
    assert len(shown["worst"].content.rows) == 20
    assert [row[0] for row in shown["samples"].content.rows] == [str(i + 1) for i in range(10)]
    counts = torch.bincount(data.x.flatten().long())[:CODES]
    listed = {row[0]: row[1] for row in shown["shares"].content.rows}
    assert listed == {n: f"{c / counts.sum():.2%}" for n, c in zip(NAMES, counts, strict=True)}


def test_parts_are_read_and_told_by_the_same_layers():
    reader = lb.EmbeddedMLP(5, 6, 2, (), embedding=3, parts=2, width=4)
    x = torch.tensor([[0.0, 1, 2, 4, 3, 0]])
    halves = [x[:, :3], x[:, 3:]]
    parts = [reader.each(reader.embedding(half.long()).flatten(1)) for half in halves]
    torch.testing.assert_close(reader(x), reader.mlp(torch.cat(parts, 1)))
    teller = lb.SharedMLP(2, (), 6, parts=2, width=4)
    z = torch.randn(3, 2)
    told = torch.cat([teller.each(half) for half in teller.mlp(z).chunk(2, 1)], 1)
    torch.testing.assert_close(teller(z), told)
    with pytest.raises(ConfigurationError, match="in 4 equal parts, got 6"):
        lb.SharedMLP(2, (), 6, parts=4)
