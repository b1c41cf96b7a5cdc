"""Saved models: what cannot be read is refused in one sentence, and nothing is executed."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import torch

import lowerbound as lb
from lowerbound import files
from lowerbound.errors import StorageError


@pytest.fixture
def saved(tmp_path) -> Path:
    return lb.save(small(), tmp_path / "model", note="kept")


def small() -> lb.VAE:
    return lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(lb.MLP(4, (3,), 4), 2),
        lb.Gaussian(lb.MLP(2, (3,), 4), (4,)),
        lb.Standardise((1.0,), (2.0,)),
    )


def edit(folder: Path, **changes) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def weights(folder: Path) -> Path:
    (path,) = folder.glob("weights-*")
    return path


def test_a_loaded_model_is_the_saved_one(tmp_path):
    model = small()
    again = lb.load(lb.save(model, tmp_path))
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    assert not again.training
    assert again.transform == model.transform


def test_saving_again_replaces(saved):
    old = weights(saved)
    model = small()
    lb.save(model, saved)
    assert not old.exists()
    assert torch.equal(
        lb.load(saved).posterior.network.layers[0].weight, model.posterior.network.layers[0].weight
    )


def test_a_crash_while_saving_leaves_the_old_model(saved, monkeypatch):
    before = lb.load(saved).state_dict()
    replaced = []

    def crash(source, target):
        if str(target).endswith("model.json"):
            raise KeyboardInterrupt
        replaced.append(target)
        os.rename(source, target)

    monkeypatch.setattr(files.os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        lb.save(small(), saved)
    assert replaced
    for name, tensor in lb.load(saved).state_dict().items():
        assert torch.equal(tensor, before[name])
    assert not list(saved.glob(".*"))


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_who_may_read_a_file_is_the_users_choice(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        files.write_json(tmp_path / "x.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "x.json").stat().st_mode & 0o777 == mode


def nested(folder: Path) -> None:
    (folder / "model.json").write_text("[" * 100_000 + "]" * 100_000)


def cut(folder: Path) -> None:
    weights(folder).write_bytes(weights(folder).read_bytes()[:-5])


def flip(folder: Path) -> None:
    content = bytearray(weights(folder).read_bytes())
    content[-1] ^= 1
    weights(folder).write_bytes(bytes(content))


def unknown_part(folder: Path) -> None:
    model = json.loads((folder / "model.json").read_text())["model"]
    model["likelihood"]["part"] = "Gausian"
    edit(folder, model=model)


def other_sizes(folder: Path) -> None:
    model = json.loads((folder / "model.json").read_text())["model"]
    model["posterior"]["network"]["hidden"] = [9]
    edit(folder, model=model)


def impossible_sizes(folder: Path) -> None:
    model = json.loads((folder / "model.json").read_text())["model"]
    model["prior"]["latent_dim"] = 2**63
    edit(folder, model=model)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.json").unlink(), "expected a saved model"),
        (lambda f: (f / "model.json").write_text("{"), "damaged"),
        (lambda f: (f / "model.json").write_text("[]"), "expected a JSON object"),
        (lambda f: (f / "model.json").write_bytes(b"\xff\xfe"), "damaged"),
        (lambda f: edit(f, format=99), "upgrade lowerbound"),
        (lambda f: edit(f, format="one"), "expected a format number"),
        (lambda f: edit(f, weights=None), "expected keys"),
        (lambda f: edit(f, model={"part": "MLP"}), "missing argument"),
        (lambda f: edit(f, model={"part": "StandardNormal", "latent_dim": 2}), "expected a VAE"),
        (lambda f: edit(f, weights={"file": "../x", "sha256": ""}), "inside the folder"),
        (lambda f: edit(f, weights={"file": "\0", "sha256": ""}), "inside the folder"),
        (lambda f: edit(f, weights={"file": "/etc/passwd", "sha256": ""}), "inside the folder"),
        (lambda f: weights(f).unlink(), "cannot be read"),
        (cut, "expected SHA-256"),
        (flip, "expected SHA-256"),
        (unknown_part, "did you mean Gaussian"),
        (nested, "damaged"),
        (impossible_sizes, "that fit in memory"),
        (other_sizes, "the weights do not fit"),
    ],
)
def test_what_cannot_be_read_is_refused(saved, damage, message):
    damage(saved)
    with pytest.raises(StorageError, match=message) as refusal:
        lb.load(saved)
    assert "\n" not in str(refusal.value)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    x = torch.randn(20, 4)
    training = lb.Training(epochs=1)
    lb.fit(small(), x, training=training, out=tmp_path, callbacks=[])
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match="damaged"):
        lb.fit(small(), x, training=training, out=tmp_path, resume=True, callbacks=[])


def test_information_is_kept(saved):
    information = json.loads((saved / "model.json").read_text())
    assert information["note"] == "kept"
    assert information["versions"]["lowerbound"] == lb.__version__


def test_nothing_is_pickled():
    source = Path(lb.__file__).parent
    forbidden = re.compile(
        r"pickle\.(load|dump)|import pickle|allow_pickle=True|joblib"
        r"|(?<!safetensors\.)torch\.(load|save)\("
    )
    for path in source.rglob("*.py"):
        assert not forbidden.search(path.read_text()), path
