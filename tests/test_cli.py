"""The command line, as a user meets it."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from typer.main import get_command

import lowerbound as lb
from lowerbound import cli, recipes
from lowerbound.cli.app import fail
from lowerbound.cli.compress import _negative_elbo
from lowerbound.cli.recipes import explain_part, explain_recipe
from lowerbound.data.reading import KINDS
from lowerbound.files import write_sealed
from lowerbound.parts import REGISTRY

PIXEL = lb.plots.png_bytes(Figure(figsize=(0.01, 0.01)))
SMALL = ("--set", "hidden=32", "--set", "epochs=2", "--set", "latent_dim=2")


def exit_code(*arguments: object) -> int:
    """Of the command line, called in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lowerbound", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.run(name="lowerbound")
    return int(stop.value.code or 0)


@pytest.fixture
def run(capfd):
    """Call the command line; return its exit code, output and errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = exit_code(*arguments)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run on digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert exit_code("train", "mlp", "--data", "digits", "--out", folder, *SMALL) == 0
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Reports and diagnoses with figures that are made, but not turned into pixels."""
    monkeypatch.setattr("lowerbound.plots.png_bytes", lambda figure: PIXEL)


def test_help_needs_no_torch():
    code = (
        "import sys; sys.argv = ['lowerbound', '--help']\n"
        "from lowerbound.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'matplotlib', 'pydantic'} & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "Train a RECIPE" in shown.stdout


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_letters_that_a_terminal_lacks_are_shown_by_others(encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    code = (
        "from lowerbound.cli.output import print_json, show_every_letter\n"
        "show_every_letter()\n"
        "print('\\u2212ELBO \\u2192 \\u0142')\n"
        "print_json('\\u2212')"
    )
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, env=environment, check=True, capture_output=True)
    assert shown.stdout.splitlines() == [b"-ELBO -> \\u0142", b'"\\u2212"']


def test_docstrings_that_python_leaves_out_are_not_needed():
    command = [sys.executable, "-OO", "-m", "lowerbound", "recipes", "mlp"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(command, env=environment, check=True, capture_output=True)
    assert shown.stdout.startswith(b"mlp")
    assert not shown.stderr


def test_version(run):
    code, out, _ = run("--version")
    assert (code, out.split()[0]) == (0, "lowerbound")


COMMANDS = [
    *("train", "evaluate", "rates", "report", "explore", "diagnose", "outliers", "impute"),
    *("reconstruct", "sample", "embed", "interpolate", "vary"),
    *("compress", "decompress", "serve", "export", "recipes", "data list", "data get"),
]


def test_every_command_is_told_of(run):
    _, out, _ = run("-h")
    named = [
        line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line[2:3] > " "
    ]
    assert named == list(dict.fromkeys(name.split()[0] for name in COMMANDS))
    assert run()[:2] == (0, out)
    assert "..." not in out.partition("Commands:")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_reads_well_at_80_columns_and_its_examples_are_understood(run, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(*command.split(), "-h")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    for option in ("-q, --quiet", "--json", "-h, --help"):
        assert f"  {option} " in out
    examples = out.partition("Examples:\n")[2].splitlines()
    assert examples
    for example in examples:
        program, *words = shlex.split(example)
        assert program == "lowerbound"
        assert " ".join(words).startswith(command)
        parsed = get_command(cli.app).commands[words.pop(0)]
        if command.startswith("data"):
            parsed = parsed.commands[words.pop(0)]
        parsed.make_context(command, words)


@pytest.mark.parametrize(
    "command", ["evaluate", "rates", "outliers", "impute", "reconstruct", "sample", "embed", "vary"]
)
def test_a_file_that_is_there_is_replaced_with_force_alone(run, tmp_path, monkeypatch, command):
    """Each is refused before any work is done."""
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "there.csv"
    out.write_text("mine")
    words = ["r", *["--data", "d.csv"] * (command in ("outliers", "impute")), "--out", out]
    if command == "vary":
        words[1:1] = ["0"]
    code, _, err = run(command, *words)
    assert (code, out.read_text()) == (4, "mine")
    assert err.startswith(f"error: expected a new file, got {out}, which exists; ")
    assert err.endswith("or replace it with --force\n")
    code, _, err = run(command, *words, "-f")
    assert (code != 0, "which exists" in err, out.read_text()) == (True, False, "mine")


def test_what_is_no_regular_file_is_never_replaced(run, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for there in (tmp_path / "pipe", tmp_path, Path(os.devnull)):
        for more in ([], ["--force"]):
            code, _, err = run("sample", "r", "--out", there, *more)
            assert code == 4
            assert err == (
                f"error: expected a new file, got {there}, which is a folder, pipe, socket or "
                "device; choose another with --out\n"
            )


@pytest.mark.parametrize("length", [50, 300, 480, 900])
def test_a_long_error_keeps_its_beginning_and_its_remedy(capsys, length):
    remedy = f"do {'so ' * length}"[:length]
    with pytest.raises(SystemExit):
        fail(f"expected one, got {'x' * 5000}; {remedy}", 3)
    line = capsys.readouterr().err
    assert len(line) < 620
    assert line.startswith("error: expected one, got x")
    assert line.endswith(f"{remedy[-500:]}\n")


def test_a_long_error_without_a_remedy_keeps_as_much_of_either_end(capsys):
    with pytest.raises(SystemExit):
        fail(f"expected one, got {'x' * 290}{'y' * 5000}{'z' * 290}", 3)
    told = capsys.readouterr().err.removeprefix("error: ").rstrip()
    assert [len(end) for end in told.split(" … ")] == [300, 300]


def test_recipes_lists_every_setting(run):
    code, out, _ = run("recipes")
    assert code == 0
    assert "latent_dim=20" in out
    assert "learning_rate=0.001" in out
    values = json.loads(run("recipes", "--json")[1])
    assert values["mlp"]["settings"]["network"]["hidden"] == [512]


def test_every_setting_is_explained(run):
    """With its meaning, what it takes and its default, in the words of the docstrings."""
    ours = [name for name, cls in REGISTRY.items() if cls.__module__.startswith("lowerbound.")]
    parts = [part for axis in recipes.AXES for part in recipes.choices(axis) if part in ours]
    explained = [explain_recipe(name)[0] for name in recipes.RECIPES]
    for told in (*explained, *(explain_part(name)[0] for name in parts)):
        for key, setting in (told["settings"] | told.get("training", {})).items():
            assert setting["meaning"], (told, key)
            assert setting["takes"], (told, key)
    _, out, _ = run("recipes", "vampprior")
    assert "prior.components=500\n      K, of which a recipe takes no more than" in out
    assert "objective.beta=Linear\n" in out
    assert "objective.beta.duration=100.0\n      epochs of the rise, above 0; a finite num" in out
    assert (
        "latent_dim=40\n      the dimensions of z; a whole number from 1 to 2,147,483,647\n" in out
    )
    assert "optimizer=adam\n" in out
    assert max(map(len, out.splitlines())) <= 80
    told = json.loads(run("recipes", "iwae", "--json")[1])
    assert told["training"]["batch_size"]["default"] == 20
    assert told["settings"]["objective.gradient"]["takes"] == "standard or dreg"
    code, _, err = run("recipes", "vamppriorr")
    assert (code, "did you mean VampPrior or vampprior?" in err) == (2, True)


def test_settings_are_options(run, tmp_path):
    """Those of training, of the recipe, and of parts; a switch needs no value."""
    start = ("train", "mlp", "--data", "digits", "--latent-dim", 2, "--hidden=16")
    more = ("--objective", "IWAE", "--objective.samples", 2, "--conditional", "--epochs", 1)
    code, out, err = run(*start, *more, "--out", tmp_path / "run", "--quiet")
    assert (code, err) == (0, "")
    assert out.startswith("trained; now: ")
    kept = json.loads((tmp_path / "run/run.json").read_text())
    assert kept["settings"] == {
        "latent_dim": 2,
        "hidden": 16,
        "objective": "IWAE",
        "objective.samples": 2,
        "conditional": True,
        "epochs": 1,
    }
    names = {
        name for option in get_command(cli.app).commands["train"].params for name in option.opts
    }
    settings = {
        f"--{key.replace('_', '-')}" for r in recipes.RECIPES.values() for key in r.defaults
    }
    training = {f"--{f.name.replace('_', '-')}" for f in dataclasses.fields(lb.Training)}
    assert not names & (settings | training)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("recipes ia", ["iaf"]),
        ("train ml", ["mlp"]),
        ("train mlp --data fash", ["fashion-mnist"]),
        ("train mlp --set learn", ["learning_rate="]),
        ("train mlp --set prior=Va", ["prior=VampPrior"]),
        ("train mlp --warm", ["--warmup-epochs"]),
        ("train mlp --schedule co", ["constant", "cosine"]),
        ("evaluate run --dec", ["--decompose"]),
    ],
)
def test_a_shell_can_complete(run, monkeypatch, words, found):
    monkeypatch.setenv("_LOWERBOUND_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"lowerbound {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    assert run()[1].split() == found


def test_quiet_leaves_the_result_alone(run, trained, tmp_path):
    code, out, err = run("evaluate", trained, "--samples", 2, "-q")
    assert (code, err, "ELBO" in out) == (0, "", True)
    for command in ("embed", "sample", "reconstruct"):
        arguments = (command, trained, "--out", tmp_path / "x.npy", "--force")
        assert run(*arguments, "--quiet") == (0, "", "")
        assert run(*arguments)[2].startswith(f"wrote {tmp_path / 'x.npy'}: ")
        told = json.loads(run(*arguments, "--json")[1])
        assert told["file"] == str(tmp_path / "x.npy")
        assert tuple(told["shape"]) == np.load(tmp_path / "x.npy").shape


def test_evaluate(run, trained):
    code, out, _ = run("evaluate", trained, "--samples", 5)
    assert code == 0
    assert "± " in out
    assert "bits per dimension" in out
    values = json.loads(run("evaluate", trained, "--samples", 5, "--json")[1])
    assert values["examples"] == 360
    assert values["importance_weighted"]["value"] >= values["elbo"]["value"]
    kept = json.loads((trained / "evaluation.json").read_text())
    weights = json.loads((trained / "model.json").read_text())["weights"]["sha256"]
    assert kept == values | {"weights": weights, "sha256": kept["sha256"]}


@pytest.mark.slow
def test_evaluate_more_on_fewer_examples(run, trained):
    path = trained / "evaluation.json"
    kept = path.exists() and path.read_bytes()  # of another test
    more = ("--first", 12, "--ais", 6, "--chains", 3, "--bracket", 5, "--gap", "--decompose")
    arguments = ("evaluate", trained, "--samples", 20, *more)
    code, out, _ = run(*arguments)
    assert code == 0
    for name in ("annealed, 6 steps", "on 5 x of the model", "amortisation gap", "correlation"):
        assert name in out
    values = json.loads(run(*arguments, "--json")[1])
    assert values["examples"] == values["gaps"]["examples"] == values["kl_parts"]["examples"] == 12
    assert values["annealed"]["evidence"]["value"] > values["elbo"]["value"]
    assert values["bracket"]["lower"]["value"] < values["bracket"]["upper"]["value"] + 1
    assert values["gaps"]["evidence"]["value"] >= values["annealed"]["evidence"]["value"]
    assert (path.exists() and path.read_bytes()) == kept


def test_a_bracket_is_of_labels_in_all_their_places(run, tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((60, 4)))
    np.save(tmp_path / "y.npy", np.repeat(np.arange(3), 20))
    monkeypatch.chdir(tmp_path)
    options = ("--data", "x.npy", "--labels", "y.npy", "--test", 30, *SMALL, "--set", "epochs=1")
    assert run("train", "mlp", "--out", "r", *options, "--set", "conditional=True")[0] == 0
    described = json.loads((tmp_path / "r" / "run.json").read_text())
    assert described["source"]["labels"] == str(tmp_path / "y.npy")
    assert run("sample", "r", "-n", 4, "--out", "x.csv")[0] == 0
    head, *rows = (tmp_path / "x.csv").read_text().replace('"', "").split()
    assert head == "x0,x1,x2,x3,label"
    assert [row.split(",")[4] for row in rows] == ["0", "1", "2", "0"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    _, _, err = run("evaluate", tmp_path / "elswhere")
    assert err.endswith(f"got no such folder; did you mean {tmp_path / 'elsewhere'}?\n")
    (tmp_path / "people.csv").touch()
    _, _, err = run("embed", tmp_path / "people.csv", "--out", tmp_path / "c.npy")
    assert err.endswith("got a file; check the path\n")
    _, _, err = run("evaluate", tmp_path / "r", "--data", tmp_path / "xx.npy")
    assert f"did you mean {tmp_path / 'x.npy'}" in err
    assert run("evaluate", tmp_path / "r", "--samples", 1)[0] == 0  # its labels are found
    given, bracket = [], lb.evaluation.bracket

    def watched(model, n, labels, **annealing):
        given.extend(labels.tolist())
        return bracket(model, n, labels, **annealing)

    monkeypatch.setattr(lb.evaluation, "bracket", watched)
    arguments = ("--ais", 1, "--chains", 1, "--bracket", 6, "--samples", 1)
    more = ("--data", tmp_path / "x.npy", "--labels", tmp_path / "y.npy")
    assert run("evaluate", tmp_path / "r", *arguments, *more)[0] == 0
    assert given == [0, 0, 1, 1, 2, 2]


def test_bracket_is_of_ais(run, trained):
    code, _, err = run("evaluate", trained, "--bracket", 5)
    assert (code, err.count("\n")) == (2, 1)
    assert "--ais" in err


def test_rates_of_runs_at_several_weights(run, trained, tmp_path):
    other = tmp_path / "beta-9"
    train = ("train", "mlp", "--data", "digits", "--out", other, *SMALL)
    assert run(*train, "--set", "objective.beta=9")[0] == 0
    code, out, _ = run("rates", trained, other, "--out", tmp_path / "rates.png")
    assert code == 0
    assert out.index("beta-9") < out.index(trained.name)
    assert Image.open(tmp_path / "rates.png").width > 100
    places = json.loads(run("rates", trained, other, "--json")[1])
    assert places[0]["rate"]["value"] < places[1]["rate"]["value"]
    assert places[0]["distortion"]["value"] > places[1]["distortion"]["value"]
    code, _, err = run("rates", trained, other, "--out", tmp_path / "rates.txt")
    assert (code, err.count("\n")) == (2, 1)
    code, _, err = run("rates", trained, trained)
    assert (code, err.count("\n")) == (2, 1)


def test_evaluate_other_data(run, trained, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8))
    data = tmp_path / "x.npy"
    values = json.loads(run("evaluate", trained, "--data", data, "--samples", 2, "--json")[1])
    assert values["examples"] == 20


@pytest.mark.slow
def test_report_is_one_self_contained_page(run, trained):
    code, out, _ = run("report", trained)
    assert code == 0
    page = Path(out.strip())
    html = page.read_text()
    pictures = sorted(p.name for p in page.parent.glob("*.png"))
    assert pictures == sorted(
        f"{name}.png"
        for name in (
            *("curves", "reconstructions", "worst", "scores", "samples", "nearest", "latent"),
            *("aggregate", "manifold", "traversals", "kl", "importance"),
        )
    )
    assert html.count("data:image/png;base64,") == len(pictures)
    assert 'src="http' not in html
    assert "lowerbound train" in html or "command" in html
    report = json.loads((page.parent / "report.json").read_text())
    assert [p["file"] for p in report["pictures"]]
    assert len(report["history"]) == 2
    first = page.read_bytes()
    run("report", trained)
    assert page.read_bytes() == first


@pytest.mark.usefixtures("undrawn")
def test_a_prior_without_a_closed_form_goes_through_every_command(run, tmp_path):
    folder, chosen = tmp_path / "vamp", ("--set", "prior=VampPrior", "--set", "prior.components=6")
    assert run("train", "mlp", "--data", "digits", "--out", folder, *SMALL, *chosen)[0] == 0
    values = json.loads(run("evaluate", folder, "--samples", 5, "--json")[1])
    assert values["kl_per_dimension"] is None
    assert values["kl"]["value"] > 0
    code, out, _ = run("report", folder)
    assert code == 0
    pictures = {path.stem for path in Path(out.strip()).parent.glob("*.png")}
    assert pictures == {
        *("curves", "reconstructions", "worst", "scores", "samples", "nearest", "latent"),
        *("manifold", "traversals", "importance"),
    }
    assert run("embed", folder, "--out", tmp_path / "z.npy")[0] == 0
    assert np.load(tmp_path / "z.npy").shape == (360, 2)
    assert run("sample", folder, "--out", tmp_path / "x.npy", "-n", 3)[0] == 0
    assert np.load(tmp_path / "x.npy").shape == (3, 1, 8, 8)
    bits = ("--set", "objective.free_bits=0.5")
    new = tmp_path / "no"
    code, _, err = run("train", "mlp", "--data", "digits", "--out", new, *SMALL, *chosen, *bits)
    assert code == 2
    assert "factorise over latent dimensions" in err


@pytest.mark.slow
def test_diagnose_is_one_self_contained_page(run, trained):
    code, out, err = run("diagnose", trained)
    assert code == 0
    assert "25 checks, " in out
    page = Path(err.strip().splitlines()[-1].removeprefix("wrote "))
    html = unescape(page.read_text())
    kept = json.loads((page.parent / "diagnosis.json").read_text())
    found = [finding["name"] for finding in kept["findings"]]
    assert sorted(found) == sorted(path.stem for path in page.parent.glob("*.png"))
    assert html.count("data:image/png;base64,") == len(found)
    assert 'src="http' not in html
    for finding in kept["findings"]:
        assert finding["severity"] in out
        assert finding["code"] in out
    assert all(check["answer"] and check["question"] in html for check in kept["checks"])
    first = page.read_bytes()
    values = json.loads(run("diagnose", trained, "--json")[1])
    assert values == kept["findings"]
    assert page.read_bytes() == first


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_diagnose_takes_what_fit_kept(run, tmp_path):
    """A folder without run.json: its data by the name it tells, or --data."""
    splits = lb.data.load("digits")
    model = recipes.mlp(splits.train, hidden=(8,), latent_dim=2).model
    training = lb.Training(epochs=1)
    one, other = tmp_path / "one", tmp_path / "other"
    lb.fit(model, splits.train, training=training, out=one, callbacks=[])
    part = dataclasses.replace(splits.train.take(100), name="mine")
    lb.fit(model, part, training=training, out=other, callbacks=[])

    def unanswered(folder, page="diagnosis"):
        kept = json.loads((folder / page / "diagnosis.json").read_text())
        return [check["name"] for check in kept["checks"] if "not at hand" in check["answer"]]

    assert run("diagnose", one)[0] == 0
    assert unanswered(one) == []
    code, _, err = run("diagnose", other)
    assert code == 4
    assert "trained on mine; name its data with --data" in err
    assert run("diagnose", other, "--data", "digits")[0] == 0
    # Which of the digits it was trained on is not known: they are held out, all the same.
    encoder = ["kl-weight", "stated-variance", "kl-formula"]
    missing = ["other-data", "repeated-rows", "reconstruction", *encoder, "overfitting"]
    assert unanswered(other, "diagnosis-digits") == missing


def test_diagnose_refuses_data_that_are_not_the_model_s(run, trained, tmp_path):
    page = trained / "diagnosis" / "index.html"
    before = page.read_bytes() if page.exists() else None
    np.save(tmp_path / "wide.npy", np.arange(1620).astype(np.uint8).reshape(20, 9, 9))
    for arguments, status, message in (
        (("--data", tmp_path / "wide.npy"), 3, "expected images of shape (1, 8, 8)"),
        (("--data", "digits"), 2, "leave --data out"),
        (("--labels", "city"), 2, "expected --labels with --data"),
    ):
        code, _, err = run("diagnose", trained, *arguments)
        assert (code, message in err) == (status, True), err
    assert before == (page.read_bytes() if page.exists() else None)


def test_diagnose_asks_for_the_labels_of_a_conditional_model(run, tmp_path):
    digits = lb.data.load("digits").test
    lb.save(recipes.mlp(digits, hidden=(8,), conditional=True).model, tmp_path / "model")
    np.save(tmp_path / "x.npy", digits.x[:30].numpy())
    code, _, err = run("diagnose", tmp_path / "model", "--data", tmp_path / "x.npy")
    assert (code, "as this model is conditional, got none" in err) == (2, True)
    assert not list((tmp_path / "model").glob("diagnosis*"))


def test_an_error_is_one_short_line_whatever_it_is_about(run):
    """It begins with what was expected and ends with the remedy."""
    code, _, err = run("evaluate", "/".join(10 * [40 * "long\n"]))
    assert code == 4
    assert len(err.splitlines()) == 1
    assert len(err) < 700
    assert err.startswith(r"error: expected a saved model in long\nlong")
    assert err.endswith("; check the path\n")


def test_embed_sample_reconstruct(run, trained, tmp_path):
    assert run("embed", trained, "--out", tmp_path / "z.npy")[0] == 0
    assert np.load(tmp_path / "z.npy").shape == (360, 2)
    assert run("embed", trained, "--out", tmp_path / "z.csv")[0] == 0
    lines = (tmp_path / "z.csv").read_text().splitlines()
    assert lines[0].replace('"', "") == "z0,z1,label"
    assert len(lines) == 361
    for command, n in (("sample", 7), ("reconstruct", 5)):
        out = tmp_path / command
        assert run(command, trained, "--out", out.with_suffix(".npy"), "-n", n)[0] == 0
        assert np.load(out.with_suffix(".npy")).shape == (n, 1, 8, 8)
        assert run(command, trained, "--out", out.with_suffix(".png"), "-n", n)[0] == 0
        assert Image.open(out.with_suffix(".png")).width > 100


def test_samples_are_seeded(run, trained, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("sample", trained, "--out", tmp_path / f"{name}.npy", "--seed", seed)
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def write_table(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 1))
    x = np.hstack([z + 0.1 * rng.normal(size=(200, 1)), 3 - 2 * z, rng.normal(size=(200, 1))])
    rows = [",".join(f"{v:.5f}" for v in row) + f",{int(row[0] > 0)}" for row in x]
    path = folder / "table.csv"
    path.write_text("height,weight,noise,label\n" + "\n".join(rows) + "\n")
    return path


def write_array(folder: Path) -> Path:
    path = folder / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (120, 12, 12), np.uint8))
    return path


def write_images(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for kind in ("cats", "dogs"):
        (folder / "pictures" / kind).mkdir(parents=True)
        for i in range(40):
            pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / kind / f"{i}.png")
    return folder / "pictures"


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("write", [write_table, write_array, write_images])
def test_a_users_own_data_go_from_train_to_report(run, tmp_path, write):
    data, out = write(tmp_path), tmp_path / "run"
    code, _, err = run("train", "mlp", "--data", data, "--out", out, *SMALL)
    assert code == 0, err
    assert "for test" in err
    assert run("evaluate", out, "--samples", 3)[0] == 0
    code, page, err = run("report", out)
    assert code == 0, err
    assert Path(page.strip()).exists()


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_conditional_model(run, tmp_path):
    out = tmp_path / "run"
    conditional = ("--set", "conditional=true")
    assert run("train", "mlp", "--data", "digits", "--out", out, *SMALL, *conditional)[0] == 0
    assert run("sample", out, "--out", tmp_path / "x.npy", "--label", 5, "-n", 4)[0] == 0
    code, _, err = run("sample", out, "--out", tmp_path / "y.npy", "--label", 10)
    assert (code, "expected a class of the model, got '10'" in err) == (2, True)
    assert run("reconstruct", out, "--out", tmp_path / "fives.npy", "--label", 5, "-n", 4)[0] == 0
    model, test = lb.load(out), lb.data.load("digits").test
    fives = model.decode(model.embed(test.x[:4], test.labels[:4]), [5] * 4).detach()
    np.testing.assert_allclose(np.load(tmp_path / "fives.npy"), fives, rtol=1e-4)
    assert run("sample", out, "--out", tmp_path / "all.npy", "-n", 20)[0] == 0
    five = np.load(tmp_path / "all.npy")
    assert five.shape == (20, 1, 8, 8)
    assert run("report", out)[0] == 0


def test_the_columns_of_a_table_and_of_its_labels(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"n{i},{i % 7 + 0.5},{'ab'[i % 3 > 0]},{'uv'[i % 2]}" for i in range(60)]
    Path("t.csv").write_text("\n".join(["name,mass (g),city,species", *rows]) + "\n")
    options = ("--data", "t.csv", "--set", "epochs=1", "--set", "latent_dim=1")
    _, _, err = run("train", "table", *options, "--out", "a")
    assert err.count("left out: column 'name'") == 1
    _, _, err = run("evaluate", "a", "--samples", 2)
    assert "left out" not in err
    told = ("--labels", "species", "--outlier", "v", "--samples", 2, "--rate", 0.2)
    assert run("outliers", "a", "--data", "t.csv", *told, "--out", "o.csv")[0] == 0
    assert len(Path("o.csv").read_text().splitlines()) == 61
    Path("odd.csv").write_text(Path("t.csv").read_text() + "n,heavy,a,u\n")
    code, _, err = run("impute", "a", "--data", "odd.csv", "--out", "whole.csv")
    assert (code, err.endswith("correct such cells or leave them empty\n")) == (3, True)
    _, _, err = run("train", "table", *options[2:], "--data", "odd.csv", "--out", "x")
    assert "(--kind 'mass (g)=categories'), or ignore, or labels='mass (g)' (--labels 'mass " in err
    conditional = ("--labels", "species", "--set", "conditional=true")
    assert run("train", "table", *options, *conditional, "--out", "c")[0] == 0
    assert run("sample", "c", "-n", 2, "--out", "s.csv")[0] == 0
    head, *drawn = Path("s.csv").read_text().replace('"', "").split("\n")
    assert head == "mass (g),city,species"
    assert [row.rpartition(",")[2] for row in drawn] == ["u", "v", ""]
    assert run("embed", "c", "--out", "z.csv")[0] == 0
    assert Path("z.csv").read_text().replace('"', "").startswith("z0,species\n")


def test_every_kind_of_column_is_in_the_help(run):
    _, out, _ = run("train", "--help")
    assert [kind for kind in KINDS if kind not in out] == []


@pytest.mark.usefixtures("undrawn")
def test_a_model_of_the_library_is_used_by_the_command_line(run, tmp_path):
    data = lb.data.load("digits")
    lb.save(lb.recipes.mlp(data.train, latent_dim=2, hidden=(8,)).model, tmp_path / "model")
    assert run("sample", tmp_path / "model", "--out", tmp_path / "x.npy")[0] == 0
    code, out, _ = run("evaluate", tmp_path / "model", "--data", "digits", "--samples", 2)
    assert (code, "360 examples" in out) == (0, True)
    code, _, err = run("report", tmp_path / "model")
    assert (code, "name its data with --data" in err) == (4, True)
    assert run("report", tmp_path / "model", "--data", "digits")[0] == 0
    page = (tmp_path / "model/report-digits/index.html").read_text()
    assert "<h1>model, on digits</h1>" in page
    assert "360 held-out examples" in page
    assert "Learning curves" not in page
    assert not (tmp_path / "model/evaluation.json").exists()


@pytest.mark.usefixtures("undrawn")
def test_data_that_moved_are_named(run, tmp_path):
    data, moved, out = write_array(tmp_path), tmp_path / "moved.npy", tmp_path / "run"
    assert run("train", "mlp", "--data", data, "--out", out, *SMALL)[0] == 0
    data.rename(moved)
    code, _, err = run("report", out)
    assert (code, str(data) in err) == (3, True)
    for command, folder in (("report", "report"), ("diagnose", "diagnosis")):
        code, _, err = run(command, out, "--data", moved)
        assert code == 0, err
        assert (out / f"{folder}-moved.npy" / "index.html").exists()
        assert not (out / folder).exists()


def test_a_setting_of_the_objective_is_pointed_to(run, tmp_path):
    start = ("train", "mlp", "--data", "digits", "--out", tmp_path / "run")
    code, _, err = run(*start, "--set", "beta=4")
    assert (code, "did you mean objective.beta" in err) == (2, True)


def test_an_autoencoders_number_is_called_what_it_is(run, tmp_path):
    code, _, err = run("train", "autoencoder", "--data", "digits", "--out", tmp_path / "r", *SMALL)
    assert code == 0
    assert "epoch 1: reconstruction (−log p(x|z)) " in err
    assert "bound" not in err


def test_a_finished_run_says_so_when_resumed(run, trained):
    code, _, err = run("train", "--resume", "--out", trained)
    assert (code, "nothing is left to train; for more epochs add --set epochs=4" in err) == (
        0,
        True,
    )
    code, _, err = run("train", "--resume", "--out", trained, "--set", "hidden=4")
    assert (code, "expected --resume with --out, and perhaps --set epochs=N" in err) == (2, True)


def test_ctrl_c_at_any_moment_of_the_start_is_quiet(tmp_path):
    for delay in (0.3, 0.8, 1.5):
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "lowerbound",
                "train",
                "mlp",
                "--data",
                "digits",
                "--out",
                str(tmp_path / str(delay)),
                "--set",
                "epochs=400",
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert process.returncode in (130, -signal.SIGINT)
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "mpl", "--data", "digits", "--out", "r"], 2, "did you mean mlp"),
        (["train", "mlp", "--data", "digit", "--out", "r"], 3, "did you mean digits"),
        (["train", "mlp", "--out", "r"], 2, "expected a recipe and --data"),
        (["train", "--resume", "--out", "r"], 4, "expected a run"),
        (["train", "mlp", "--data", "x.npy", "--out", "r"], 3, "x.npy"),
        (["train", "mlp", "--data", "digits", "--out", "r", "--set", "epoch=1"], 2, "epochs"),
        (["train", "mlp", "--data", "digits", "--out", "r", "--epoch", "1"], 2, "mean --epochs"),
        (["train", "mlp", "--data", "digits", "--out", "r", "--beta", "1"], 2, "objective.beta"),
        (["train", "mlp", "--data", "digits", "--out", "r", "--epochs"], 2, "a value after --epo"),
        (["train", "mlp", "--data", "digits", "--out", "r", "--epochs", "--json"], 2, "a value"),
        (["train", "mlp", "--data", "digits", "--out", "r", "--foo=1"], 2, "see lowerbound train"),
        (["train", "mlp", "--resume-it"], 2, "did you mean --resume"),
        (["train", "MLP", "--data", "digits", "--out", "r"], 2, "did you mean mlp?"),
        (["train", "mlp", "--data", "MNIST", "--out", "r"], 3, "did you mean mnist?"),
        (
            ["train", "mlp", "--data", "digits", "--out", "r", "--likelihood", "bernoulli"],
            2,
            "did you mean Bernoulli?",
        ),
        (["trian"], 2, "did you mean train?"),
        (["evaluate"], 2, "missing argument 'RUN'; see lowerbound evaluate --help"),
        (
            ["evaluate", "x", "--samples", "y"],
            2,
            "--samples to be a whole number of at least 1, got",
        ),
        (
            ["train", "mlp", "--data", "digits", "--out", "r", "--hidden=x"],
            2,
            "see lowerbound recip",
        ),
        (
            ["evaluate", "x", "--split", "tests"],
            2,
            "expected --split to be train, validation or test",
        ),
        (
            ["sample", "x", "--out", "x.npy", "--seed", "-1"],
            2,
            "expected --seed to be a whole number from 0 to 9",
        ),
        (["train", "mlp", "--data", "digits", "--out", "r", "--validation", "-1"], 2, "hold out"),
        (["train", "mlp", "--data", "digits", "--out", "r", "--device", "tpu"], 2, "use cpu"),
        (["evaluate", "no\nwhere"], 4, r"in no\nwhere"),
        (["train", "mlp", "--data", "/dev/zero", "--out", "r"], 3, "got a pipe, socket or device"),
        (["train", "mlp", "--data", "digits", "--out", "r", "--resize", "a"], 2, "square's side"),
        (["train", "mlp", "--data", "digits", "--out", "r", "--header", "yes"], 2, "no header="),
        (
            ["train", "mlp", "--data", "digits", "--out", "r", "--test", "nan"],
            2,
            "to hold out, got",
        ),
        (["train", "mlp", "--data", "digits", "--out", "r", "--device", "meta"], 2, "use cpu"),
        (["evaluate", "nowhere"], 4, "expected a"),
        (["report", "nowhere"], 4, "expected a run"),
        (["export", "x", "--onnx", "y", "--points", "5"], 2, "expected --points with --page"),
        (["data", "get", "minst"], 3, "did you mean mnist"),
    ],
)
def test_errors_are_one_sentence_with_a_code(run, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    found, _, err = run(*arguments)
    assert found == code
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert not (tmp_path / "r").exists()


def test_an_occupied_folder_is_left_alone(run, trained, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in trained.rglob("*")}
    code, _, err = run("train", "mlp", "--data", "digits", "--out", trained)
    assert (code, "holds a run" in err) == (4, True)
    assert {p: p.stat().st_mtime_ns for p in trained.rglob("*")} == before
    (tmp_path / "mine.txt").write_text("precious")
    code, _, err = run("train", "mlp", "--data", "digits", "--out", tmp_path)
    assert (code, "empty folder" in err) == (4, True)


def test_wrong_file_endings_are_refused(run, trained, tmp_path):
    code, _, err = run("embed", trained, "--out", tmp_path / "z.txt")
    assert (code, "ending in .npy or .csv" in err) == (2, True)


def test_other_data_are_matched_to_the_run(run, tmp_path):
    """Classes by their names, values by their range."""
    x = np.random.default_rng(0).integers(0, 256, (40, 6, 6), np.uint8)
    np.savez(tmp_path / "ten.npz", x=x, labels=np.arange(40) % 10)
    model = tmp_path / "run"
    settings = ["--set", "conditional=true", "--set", "epochs=1", "--set", "hidden=8"]
    assert run("train", "mlp", "--data", tmp_path / "ten.npz", "--out", model, *settings)[0] == 0
    np.savez(tmp_path / "two.npz", x=x, labels=np.where(np.arange(40) % 2, 3, 7))
    np.savez(tmp_path / "odd.npz", x=x, labels=np.full(40, 12))
    np.savez(tmp_path / "unit.npz", x=x / 255.0, labels=np.arange(40) % 10)
    assert run("embed", model, "--data", tmp_path / "two.npz", "--out", tmp_path / "z.csv")[0] == 0
    labels = {line.split(",")[-1] for line in (tmp_path / "z.csv").read_text().split()[1:]}
    assert {label.strip('"') for label in labels} == {"3", "7"}
    code, _, err = run("evaluate", model, "--data", tmp_path / "odd.npz")
    assert (code, "got '12'" in err) == (3, True)
    code, _, err = run("evaluate", model, "--data", tmp_path / "unit.npz")
    assert (code, "expected grey values up to 255" in err) == (3, True)
    np.save(tmp_path / "table.npy", np.random.default_rng(0).normal(size=(40, 3)))
    code, _, err = run("evaluate", model, "--data", tmp_path / "table.npy")
    assert (code, "expected images of shape (1, 6, 6), as the model" in err) == (3, True)
    assert "got 40 rows of 3 numbers, real" in err
    np.save(tmp_path / "wide.npy", np.arange(9 * 63, dtype=np.uint8).reshape(9, 7, 9))
    code, _, err = run("embed", model, "--data", tmp_path / "wide.npy", "--out", tmp_path / "z.npy")
    assert (code, "wide.npy: expected images of shape (1, 6, 6), as" in err) == (3, True)
    assert err.count("wide.npy") == 1
    code, _, err = run("evaluate", model, "--labels", "y")
    assert (code, "expected --labels with --data" in err) == (2, True)


def test_a_refused_start_leaves_the_folder_free_and_tensorboard_may_be_in_it(run, tmp_path):
    start = ["train", "mlp", "--data", "digits", "--out", tmp_path / "run", "--set", "epochs=1"]
    code, _, err = run(*start, "--set", "patience=2", "--validation", 0)
    assert (code, "expected validation data" in err) == (2, True)
    assert run(*start, "--tensorboard")[0] == 0
    assert list((tmp_path / "run/tensorboard").glob("events*"))


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_an_evaluation_of_older_weights_is_not_reported(run, tmp_path):
    folder = tmp_path / "run"
    start = ["train", "mlp", "--data", "digits", "--out", folder, "--set", "epochs=1"]
    assert run(*start)[0] == 0
    assert run("evaluate", folder, "--samples", 2)[0] == 0
    path = folder / "evaluation.json"
    stale = json.loads(path.read_text()) | {"weights": "0" * 64, "samples": 2}
    write_sealed(path, stale)
    assert run("report", folder)[0] == 0
    assert json.loads(path.read_text())["samples"] == 100


def test_changed_data_are_refused(run, tmp_path):
    data, out = write_array(tmp_path), tmp_path / "run"
    assert run("train", "mlp", "--data", data, "--out", out, *SMALL)[0] == 0
    np.save(data, np.random.default_rng(1).integers(0, 256, (120, 12, 12), np.uint8))
    code, _, err = run("evaluate", out)
    assert (code, "have changed" in err) == (3, True)


@pytest.mark.slow
def test_ctrl_c_saves_and_resume_ends_where_an_unbroken_run_does(run, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fresh = ("train", "mlp", "--data", "digits", *SMALL, "--set", "epochs=60", "--out")
    assert run(*fresh, whole)[0] == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "lowerbound", *fresh, str(broken)],
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    metrics = broken / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err.decode()
    assert b"lowerbound train --resume --out" in err
    assert b"Traceback" not in err
    assert run("train", "--resume", "--out", broken)[0] == 0
    (weights,) = whole.glob("weights-*.safetensors")
    assert (broken / weights.name).read_bytes() == weights.read_bytes()


def test_data_list_names_every_source(run):
    code, out, _ = run("data", "list")
    assert code == 0
    assert {"digits", "mnist", "fashion-mnist"} <= set(out.split())
    assert json.loads(run("data", "list", "--json")[1])["digits"][0]["state"] == "found"


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_training_data_may_stay_on_disk(run, tmp_path, monkeypatch):
    x = np.random.default_rng(0).integers(0, 256, (300, 4, 4), np.uint8)
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "run"
    code, _, err = run(
        "train", "mlp", "--data", tmp_path / "x.npy", "--on-disk", "--set", "epochs=1", "--out", out
    )
    assert code == 0, err
    assert "300 examples stay on disk" in err
    shown = []

    @contextmanager
    def bar(title, at_once=True):
        yield lambda done, total: shown.append((title, done, total))

    monkeypatch.setattr("lowerbound.cli.output.progress", bar)
    for command in (["report", out], ["evaluate", out], ["train", "--resume", "--out", out]):
        shown.clear()
        code, _, err = run(*command)
        assert code == 0, err
        assert shown.count(("checking the data", 300, 300)) == 1
    code, _, err = run("evaluate", out, "--split", "train")
    assert code == 3
    assert "are on disk; choose the validation or test split" in err


@pytest.fixture
def coded(run, tmp_path) -> tuple[Path, Path]:
    """A model of binary digits, and an array that was compressed with it."""
    shape = (1, 8, 8)
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(lb.MLP(64, (8,), 4), 2),
        lb.Bernoulli(lb.MLP(2, (8,), 64), shape),
        lb.Binarise(),
    )
    lb.save(model, tmp_path / "model")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 2, (300, 8, 8), np.uint8))
    code, out, err = run("compress", tmp_path / "model", tmp_path / "x.npy")
    assert code == 0, err
    assert "bits per dimension (the file is +" in out
    return tmp_path / "model", tmp_path / "x.npy.lb"


def test_compress_and_decompress(run, coded, tmp_path):
    model, file = coded
    assert run("decompress", model, file, "--out", tmp_path / "y.npy")[0] == 0
    assert (tmp_path / "y.npy").read_bytes() == (tmp_path / "x.npy").read_bytes()
    again = run("compress", model, tmp_path / "x.npy", "--force", "--json")
    values = json.loads(again[1])
    assert values["bytes"] == file.stat().st_size
    assert values["bits_per_dimension"] == 8 * values["bytes"] / (300 * 64)
    bits = values["negative_elbo_bits_per_dimension"] * (1 + values["over_negative_elbo"])
    assert bits == pytest.approx(values["bits_per_dimension"])
    told = json.loads(run("decompress", model, file, "--force", "--json")[1])
    assert (told["file"], told["images"]) == (str(tmp_path / "x.npy"), 300)


def test_compress_of_one_image_and_of_others_than_the_model_knows(run, coded, tmp_path):
    model, _ = coded
    np.save(tmp_path / "one.npy", np.load(tmp_path / "x.npy")[:1])
    code, out, err = run("compress", model, tmp_path / "one.npy")
    assert (code, "bits per dimension" in out) == (0, True), err
    assert (tmp_path / "one.npy.lb").exists()
    noise = np.random.default_rng(0).integers(0, 2, (40, 8, 8), np.uint8)
    np.save(tmp_path / "noise.npy", noise)
    sure = lb.load(model)
    with torch.no_grad():
        for weight in sure.likelihood.network.parameters():
            weight.mul_(5)
    lb.save(sure, model)
    code, out, _ = run("compress", model, tmp_path / "noise.npy")
    assert (code, "does not know such images, which are deflated" in out) == (0, True)
    assert run("decompress", model, tmp_path / "noise.npy.lb", "--out", tmp_path / "y.npy")[0] == 0
    assert np.array_equal(np.load(tmp_path / "y.npy"), noise)


def test_compress_tells_no_bound_of_fewer_images(coded):
    model = lb.load(coded[0]).double()
    with torch.no_grad():
        model.likelihood.network.layers[-1].bias[:2] = -1.5e308  # their sum is beyond float64
    images = np.zeros((5, 8, 8), np.uint8)
    assert _negative_elbo(model, images, lambda done, total: None) > 0
    images[0] = 1
    assert _negative_elbo(model, images, lambda done, total: None) is None


def test_compress_refuses_what_it_should(run, coded, tmp_path):
    model, file = coded
    for arguments, status, message in (
        (("compress", model, tmp_path / "x.npy"), 4, "which exists; choose another with --out"),
        (("decompress", model, file), 4, "or replace it with --force"),
        (("compress", model, "digits"), 3, "binarise them"),
        (("compress", model, tmp_path / "none.npy"), 3, "nothing there"),
        (("decompress", model, tmp_path / "none.lb"), 4, "got no none.lb there; check the path"),
        (("decompress", model, "."), 4, "a regular file with compressed images, got a folder"),
        (("decompress", model, "/dev/zero"), 4, "pipe, socket or device; choose another"),
        (("decompress", model, file, "--out", tmp_path / "y.png"), 2, "expected a .npy file"),
        (("decompress", model, tmp_path / "x.npy", "-f"), 4, "that lowerbound compress made"),
        (("compress", tmp_path, tmp_path / "x.npy", "-f"), 4, "expected a saved model"),
    ):
        code, _, err = run(*arguments)
        assert (code, message in err) == (status, True), err


def test_what_a_model_cannot_be_asked_is_refused_before_the_work(run, tmp_path):
    out = tmp_path / "run"
    chosen = ("--set", "posterior=FullGaussian")
    assert run("train", "mlp", "--data", "digits", "--out", out, *SMALL, *chosen)[0] == 0
    for option in ("--gap", "--decompose"):
        code, told, err = run("evaluate", out, option)
        assert (code, told) == (2, "")
        assert f"leave {option} out" in err
    code, _, err = run(
        "train", "mlp", "--data", "digits", "--out", tmp_path / "b", "--set", "prior.components=5"
    )
    assert code == 2
    assert "unknown argument 'components'" in err
