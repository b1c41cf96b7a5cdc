"""A model of melodies: what lies between, around and along its codes, as files and in a report."""

from __future__ import annotations

import io
import json
import math
import shlex
import wave

import numpy as np
import pytest
import torch

import lowerbound as lb
from lowerbound.errors import ConfigurationError
from lowerbound.music.accuracy import accuracy
from lowerbound.music.midi import midi_bytes
from lowerbound.reproduction import accuracies, smoothness
from lowerbound.runs import Run
from lowerbound.walks import near, slerp
from tests.test_cli import PIXEL
from tests.test_cli import exit_code as command


@pytest.fixture(scope="module")
def tunes(tmp_path_factory):
    """A folder of eight tunes of different density."""
    folder = tmp_path_factory.mktemp("tunes")
    rng = np.random.default_rng(0)
    for i in range(8):
        tokens = np.zeros((1, 96), np.uint8)
        every = (1, 2, 2, 4)[i % 4]
        tokens[0, ::every] = rng.integers(40, 60, 96 // every)
        (folder / f"{i}.mid").write_bytes(midi_bytes(tokens))
    return folder


@pytest.fixture(scope="module")
def folder(tunes, tmp_path_factory):
    """A run on them, of the smallest kind."""
    out = tmp_path_factory.mktemp("runs") / "melodies"
    small = "--latent-dim 3 --network.hidden 8 --network.embedding 8 --likelihood.hidden 8 "
    small += "--likelihood.embedding 8 --likelihood.features 8 --likelihood.layers 1 --epochs 1"
    asked = ("--data", tunes, "--out", out, "--transpose", 1, "--validation", 0, "-q")
    assert command("train", "musicvae-2bar", *asked, *shlex.split(small)) == 0
    return out


def test_a_few_melodies_are_drawn_and_what_was_left_out_is_not_told_again(folder, tmp_path, capsys):
    assert command("sample", folder, "--out", tmp_path / "new.npy") == 0
    assert len(np.load(tmp_path / "new.npy")) == 8
    assert command("reconstruct", folder, "--out", tmp_path / "x.npy") == 0
    assert "left out" not in capsys.readouterr().err
    (tmp_path / "x.npy").touch()
    assert command("compress", folder, tmp_path / "new.npy") == 2
    assert "got one of tokens" in capsys.readouterr().err


@pytest.fixture(scope="module")
def run(folder):
    return Run.open(folder)


def test_the_arc_between_codes_is_walked_evenly():
    a, b = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 3.0, 0.0])
    path = slerp(a, b, 4)
    assert torch.equal(path[[0, 3]], torch.stack([a, b]))
    angles = [math.sin(math.pi / 6 * i) for i in range(4)]
    assert path[:, 0].tolist() == pytest.approx([2 * s for s in angles[::-1]], abs=1e-6)
    assert path[:, 1].tolist() == pytest.approx([3 * s for s in angles], abs=1e-6)
    unit = slerp(a / 2, b / 3, 9)
    assert unit.norm(dim=1).tolist() == pytest.approx([1.0] * 9)
    for other in (a, 2 * a, -a, torch.zeros(3)):
        assert torch.allclose(slerp(a, other, 3)[1], (a + other) / 2)
    with pytest.raises(ConfigurationError, match="steps from 2"):
        slerp(a, b, 1)


def test_draws_around_a_code_have_the_spread_that_is_asked_for():
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(lb.MLP(2, (4,), 4), 2),
        lb.Gaussian(torch.nn.Identity(), (2,), sigma=0.5),
    ).eval()
    code = torch.tensor([1.0, -2.0])
    means = near(model, code, 20_000, 0.3, mean=True, seed=1)
    assert means.mean(0).tolist() == pytest.approx([1, -2], abs=0.01)
    assert means.std(0).tolist() == pytest.approx([0.3, 0.3], abs=0.01)
    draws = near(model, code, 20_000, 0.3, seed=1)
    assert draws.std(0).tolist() == pytest.approx([math.hypot(0.3, 0.5)] * 2, abs=0.01)
    assert torch.equal(draws, near(model, code, 20_000, 0.3, seed=1))


def test_accuracies_are_those_of_the_models_own_tokens(run):
    test, train = run.data("test"), run.data("train")
    found = accuracies(run.model, test, train)
    x = test.x.numpy()
    assert found["greedy"] == accuracy(x, run.model.reconstruct(test.x).numpy())
    with torch.no_grad():
        p = run.model.likelihood(run.model.embed(test.x))
        told = [p.token_log_probs(test.x)[:, t].argmax(-1).numpy() for t in range(x.shape[1])]
    assert found["teacher-forced"] == accuracy(x, np.stack(told, 1))
    assert found["most common"].steps == (x == np.bincount(train.x.flatten()).argmax()).mean()
    assert found.keys() == {
        "teacher-forced", "greedy", "sampled", "copied", "most common", "Markov",
    }  # fmt: skip


def test_smoothness_begins_at_the_reconstruction_and_ends_at_the_other(run):
    x = run.data("test").x
    first, last = x[:3], x[-3:]
    found = smoothness(run.model, first, last, steps=5)
    rebuilt = [run.model.reconstruct(each) for each in (first, last)]
    ends = [(each != first).double().mean().item() for each in rebuilt]
    assert found["slerp"][[0, -1]].tolist() == pytest.approx(ends)
    apart = (first != last).double().mean().item()
    assert found["blend"].tolist() == pytest.approx(
        [share * apart for share in (0, 0.25, 0.5, 0.75, 1)], abs=0.15
    )
    assert found["blend"][[0, -1]].tolist() == [0, apart]


def test_what_is_between_around_and_along_is_written(run, folder, tunes, tmp_path, capsys):
    out = tmp_path / "blend.mid"
    assert command("interpolate", folder, tunes / "0.mid", 1, "--steps", 3, "--out", out) == 0
    a = run.other(str(tunes / "0.mid")).x[:1]
    b = run.data("test").x[1:2]
    path = slerp(run.model.embed(a)[0], run.model.embed(b)[0], 3)
    expected = midi_bytes(run.model.decode(path).detach().numpy().astype(np.uint8))
    assert out.read_bytes() == expected

    heard = tmp_path / "heard.wav"
    assert command("reconstruct", folder, "-n", 2, "--out", heard) == 0
    with wave.open(io.BytesIO(heard.read_bytes())) as file:
        seconds = 4 * 32 / 8  # two melodies and their reconstructions, in eighths of a second
        assert file.getnframes() / file.getframerate() == pytest.approx(seconds, abs=0.1)

    same = tmp_path / "same.npy"
    words = ("--near", tunes / "0.mid", "--spread", 0, "--mean", "-n", 2, "--out", same)
    assert command("sample", folder, *words) == 0
    assert (np.load(same) == run.model.reconstruct(a).numpy()).all()
    assert command("sample", folder, "--near", 0, "--out", tmp_path / "near.png", "-n", 3) == 0

    denser = tmp_path / "denser.npy"
    assert command("vary", folder, 0, "--along", "density", "--steps", 3, "--out", denser) == 0
    middle = run.model.reconstruct(run.data("test").x[:1]).numpy()
    assert (np.load(denser)[1] == middle).all()

    out = tmp_path / "none.mid"
    for words, told in (
        (("interpolate", folder, 0, 999, "--out", out), "number of a test example from 0 to"),
        (("interpolate", folder, 0, 1, "--out", "x.csv"), "ending in .mid or .wav or .png or .npy"),
        (("interpolate", folder, 0, tunes / "no.mid", "--out", out), "nothing there"),
    ):
        capsys.readouterr()
        assert command(*words) in (2, 3)
        assert told in capsys.readouterr().err


def test_images_are_blended_into_a_strip(digits_run, tmp_path, capsys):
    strip = tmp_path / "strip.npy"
    assert command("interpolate", digits_run, 0, 1, "--steps", 4, "--out", strip) == 0
    assert np.load(strip).shape == (4, 1, 8, 8)
    assert command("interpolate", digits_run, 0, 1, "--out", tmp_path / "strip.png") == 0
    capsys.readouterr()
    assert command("vary", digits_run, 0, "--out", tmp_path / "x.png") == 2
    assert "expected a run on melodies" in capsys.readouterr().err


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "digits"
    words = "--latent-dim 2 --hidden 8 --epochs 1 -q --likelihood Bernoulli"
    assert command("train", "mlp", "--data", "digits", "--out", out, *shlex.split(words)) == 0
    return out


@pytest.mark.slow
def test_the_report_is_heard(folder, monkeypatch):
    monkeypatch.setattr("lowerbound.plots.png_bytes", lambda figure: PIXEL)
    assert command("report", folder, "-q") == 0
    page = (folder / "report" / "index.html").read_text()
    assert page.count('<audio controls src="data:audio/wav;base64,') == 4
    told = json.loads((folder / "report" / "report.json").read_text())
    (table,) = [each for each in told["tables"] if each["name"] == "accuracy"]
    assert [row[0] for row in table["rows"]] == [
        "teacher-forced", "greedy", "sampled", "copied", "most common", "Markov",
    ]  # fmt: skip
    with wave.open(str(folder / "report" / "samples.wav")) as file:
        assert file.getnframes() > 30 * file.getframerate()
