"""Saved models: what cannot be read is refused in one sentence, and nothing is executed."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import signal
import typing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import lowerbound as lb
from lowerbound import files
from lowerbound.errors import ConfigurationError, LowerboundError, StorageError
from lowerbound.hints import takes
from lowerbound.parts import REGISTRY, parameters_of
from lowerbound.training import checkpoint, read_history
from lowerbound.training.processes import Processes


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
    """Change model.json as one who also removes its seal."""
    path = folder / "model.json"
    values = json.loads(path.read_text()) | changes
    del values["sha256"]
    path.write_text(json.dumps(values))


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


@lb.part
class Embedding(nn.Module):
    """Rows to numbers, by way of initialisations of every sort."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.table = nn.Embedding(inputs, outputs)
        self.scale = nn.Parameter(torch.randn(outputs, generator=torch.Generator()))
        nn.init.kaiming_normal_(self.table.weight)
        nn.init.xavier_normal_(self.table.weight)

    def forward(self, x, context=None):
        return self.scale * (x @ self.table.weight)


def test_a_plan_of_a_model_draws_no_numbers(tmp_path):
    """torch would import its compiler for those of the meta device, for seconds."""
    model = lb.VAE(
        lb.GaussianMixture(2, 3),
        lb.DiagonalGaussian(Embedding(4, 4), 2),
        lb.Gaussian(Embedding(2, 4), (4,)),
    )
    drawn = {"cpu": [], "meta": []}

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            if torch.Tag.nondeterministic_seeded in function.tags:
                drawn[made.device.type].append(function)
            return made

    with Seen():
        again = lb.load(lb.save(model, tmp_path))
    assert drawn["cpu"]
    assert not drawn["meta"]
    assert torch.equal(again.likelihood.network.scale, model.likelihood.network.scale)


def test_saving_again_replaces(saved):
    old = weights(saved)
    model = small()
    lb.save(model, saved)
    assert not old.exists()
    assert torch.equal(
        lb.load(saved).posterior.network.layers[0].weight, model.posterior.network.layers[0].weight
    )


def test_saving_again_leaves_the_users_own_weights(saved):
    own = saved / "weights-mine.safetensors"
    own.write_bytes(b"mine")
    lb.save(small(), saved)
    assert own.read_bytes() == b"mine"


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


def test_a_full_disk_leaves_the_old_model(saved, monkeypatch):
    before = {path: path.read_bytes() for path in saved.iterdir()}

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StorageError, match=r"weights-.* cannot be written \(No space left"):
        lb.save(small(), saved)
    assert {path: path.read_bytes() for path in saved.iterdir()} == before


def test_what_is_not_finite_is_not_saved(saved):
    before = {path: path.read_bytes() for path in saved.iterdir()}
    model = small()
    with pytest.raises(ConfigurationError, match="finite numbers, text"):
        lb.save(model, saved, loss=math.nan)
    with pytest.raises(ConfigurationError, match="finite numbers, text"):
        lb.save(model, saved, codes=torch.zeros(2))
    with torch.no_grad():
        model.likelihood.network.layers[0].bias[0] = math.inf
    with pytest.raises(StorageError, match=r"infinity in likelihood\.network\.layers\.0\.bias"):
        lb.save(model, saved)
    assert {path: path.read_bytes() for path in saved.iterdir()} == before


def test_a_model_keeps_its_precision(tmp_path):
    model = small().double()
    again = lb.load(lb.save(model, tmp_path))
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
        assert again.state_dict()[name].dtype == tensor.dtype


def test_names_that_are_not_utf_8_come_back(tmp_path):
    name = os.fsdecode(b"caf\xe9.npy")
    files.write_sealed(tmp_path / "x.json", {"source": name})
    assert files.read_json(tmp_path / "x.json", "a name")["source"] == name


@pytest.mark.parametrize("make", [files.replacing, files.new_folder])
def test_what_fails_within_a_write_says_so_itself(tmp_path, make):
    with pytest.raises(StorageError, match=r"^other\.npz is damaged$"), make(tmp_path / "new"):
        raise StorageError("other.npz is damaged")
    assert not any(tmp_path.iterdir())


def test_a_second_writer_waits_and_a_killed_one_does_not_keep_it(tmp_path):
    path = tmp_path / "x"
    if not (child := os.fork()):
        with files.locked(tmp_path / f".x{files.HALF}") as (file, _):
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [p.name for p in tmp_path.iterdir()] == [".x.half"]
    with ThreadPoolExecutor(4) as pool:
        contents = [bytes([65 + i]) * 10**6 for i in range(8)]
        list(pool.map(lambda content: files.write_atomic(path, content), contents))
    assert path.read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("locks", [True, False])
def test_writers_at_once_write_all_of_one(tmp_path, monkeypatch, locks):
    def flock(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    if not locks:
        monkeypatch.setattr(files.fcntl, "flock", flock)
    both, sync, halves = Barrier(1 if locks else 2, timeout=10), os.fsync, set()

    def meet(number):
        halves.add(os.readlink(f"/proc/self/fd/{number}"))
        both.wait()
        sync(number)

    monkeypatch.setattr(files.os, "fsync", meet)
    contents = [b"a" * 10**6, b"b" * 2000]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda content: files.write_atomic(tmp_path / "x", content), contents))
    assert (tmp_path / "x").read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert len(halves) == (1 if locks else 2)


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
    model["posterior"]["network"]["hidden"] = [2**31 - 1] * 2  # 2⁶⁴ bytes
    edit(folder, model=model)


def beyond_counts(folder: Path) -> None:
    model = json.loads((folder / "model.json").read_text())["model"]
    model["prior"]["latent_dim"] = 2**63
    edit(folder, model=model)


def huge_sizes(folder: Path) -> None:
    model = json.loads((folder / "model.json").read_text())["model"]
    model["posterior"]["network"]["hidden"] = [2 * 10**9]
    edit(folder, model=model)


def many_layers(folder: Path) -> None:
    model = json.loads((folder / "model.json").read_text())["model"]
    model["posterior"]["network"]["hidden"] = [1] * 5000
    edit(folder, model=model)


def nest(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def one_digit(folder: Path) -> None:
    path = folder / "model.json"
    path.write_text(re.sub(r'("mean": \[\s*)1.0', r"\g<1>1.5", path.read_text()))


def sealed_at_length(folder: Path) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": 5000 * "a"}))


def not_a_number(folder: Path) -> None:
    tensors = safetensors.torch.load_file(weights(folder))
    tensors["posterior.network.layers.0.bias"][1] = math.nan
    content = safetensors.torch.save(tensors)
    weights(folder).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit(folder, weights={"file": weights(folder).name, "sha256": digest})


def renamed(folder: Path) -> None:
    edit(folder, weights={"file": "pipe", "sha256": ""})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.json").unlink(), "expected a saved model"),
        (lambda f: (f / "model.json").write_text("{"), "damaged"),
        (lambda f: (f / "model.json").write_text("[]"), r"expected a JSON object, got \[\]"),
        (lambda f: (f / "model.json").write_text("null"), "expected a JSON object, got null"),
        (sealed_at_length, r"\(expected SHA-256 a{64}, got [0-9a-f]{64}\)"),
        (lambda f: (f / "model.json").write_bytes(b"\xff\xfe"), "damaged"),
        (lambda f: edit(f, format=99), "upgrade lowerbound"),
        (lambda f: edit(f, format="one"), r"damaged \(format: "),
        (lambda f: edit(f, weights=None), r"damaged \(weights: "),
        (lambda f: edit(f, model={"part": "MLP"}), "missing argument"),
        (lambda f: edit(f, model={"part": "StandardNormal", "latent_dim": 2}), "expected a VAE"),
        (lambda f: edit(f, weights={"file": "../x", "sha256": ""}), r"damaged \(weights.file: "),
        (lambda f: edit(f, weights={"file": "\0", "sha256": ""}), r"damaged \(weights.file: "),
        (
            lambda f: edit(f, weights={"file": "/etc/passwd", "sha256": ""}),
            r"damaged \(weights.file: ",
        ),
        (lambda f: weights(f).unlink(), r"expected the model's weights in .*; check the path"),
        (cut, "expected SHA-256"),
        (flip, "expected SHA-256"),
        (unknown_part, "did you mean Gaussian"),
        (nested, "damaged"),
        (impossible_sizes, "which is far larger"),
        (
            beyond_counts,
            "expected latent_dim to be a whole number from 1 to 2,147,483,647, got 9223",
        ),
        (huge_sizes, "which is far larger"),
        (many_layers, "which is far larger"),
        (
            lambda f: edit(f, model={"part": "VAE", "prior": nest(90)}),
            "expected prior to be a Module, got",
        ),
        (lambda f: edit(f, model={"part": "VAE", "prior": nest(200)}), "at most 100 levels"),
        (lambda f: (f / "model.json").write_text('{"format": 1e999}'), "not a finite number"),
        (lambda f: (f / "model.json").write_text('{"format": NaN}'), "not a finite number"),
        (one_digit, "was changed after it was written"),
        (not_a_number, "expected finite weights in .*, got NaN in posterior.network"),
        (lambda f: (weights(f).unlink(), os.mkfifo(f / "pipe"), renamed(f)), "a regular file"),
        (other_sizes, "the weights do not fit"),
    ],
)
def test_what_cannot_be_read_is_refused(saved, damage, message):
    damage(saved)
    with pytest.raises(StorageError, match=message) as refusal:
        lb.load(saved)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("wrong", [{"latent_dim": 10**5}, {"hidden": [2**31 - 1]}])
def test_a_flow_is_counted_before_it_takes_memory(tmp_path, wrong):
    """zuko's masks are made of values, so that its sizes cannot be compared without memory."""
    parts = small()
    flow = lb.FlowPrior(2, transforms=1, hidden=(4,))
    lb.save(lb.VAE(flow, parts.posterior, parts.likelihood), tmp_path)
    assert isinstance(lb.load(tmp_path).prior, lb.FlowPrior)
    model = json.loads((tmp_path / "model.json").read_text())["model"]
    model["prior"] |= wrong
    edit(tmp_path, model=model)
    with pytest.raises(StorageError, match="which is far larger"):
        lb.load(tmp_path)


@pytest.mark.parametrize("number", [-1, 2**31, 2**63, 10**30])
def test_whole_numbers_in_descriptions_are_bounded(number):
    """Those of all of lowerbound's parts, so that none is for torch to stumble over."""
    for name, cls in REGISTRY.items():
        hints = typing.get_type_hints(cls.__init__, include_extras=True)
        for argument in parameters_of(cls):
            words = takes(hints[argument], {})
            if cls.__module__.startswith("lowerbound.") and "whole number" in words:
                assert "whole number from" in words or "whole numbers from" in words, (name, words)
    with pytest.raises(ConfigurationError, match="expected padding to be a whole number from 0"):
        lb.Convolutional((1, 8, 8), (2,), 4, padding=number)


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    return resume(folder, resume=False)


def resume(folder: Path, resume: bool = True) -> Path:
    torch.manual_seed(0)
    x, training = torch.randn(20, 4), lb.Training(epochs=1, ema=0.9)
    lb.fit(small(), x, training=training, out=folder, resume=resume, callbacks=[])
    return folder


def without_optimizer(tensors, state):
    del tensors["optimizer"]


def of_one_number(tensors, state):
    tensors["average"]["0"] = tensors["average"]["0"].ravel()[:1]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_optimizer, "damaged in its part optimizer: m/0: .* got nothing"),
        (of_one_number, r"damaged in its part average: 0: .* got numbers of shape \(1,\)"),
        (lambda tensors, state: state.update(step="x"), r"damaged \(step: "),
        (lambda tensors, state: state.update(history=[5]), r"damaged \(history.0: "),
        (lambda tensors, state: state.update(history=[{}]), r"damaged \(0.epoch: field required"),
        (lambda tensors, state: state.update(settings={}), "expected the model that"),
    ],
)
def test_a_checkpoint_that_lacks_something_is_refused(kept, tmp_path, damage, message):
    folder = shutil.copytree(kept, tmp_path / "run")
    tensors, state = checkpoint.read(folder)
    damage(tensors, state)
    checkpoint.write(folder, tensors, state)
    with pytest.raises(LowerboundError, match=message):
        resume(folder)


@pytest.mark.parametrize("place", [100, -1])
def test_a_damaged_checkpoint_is_refused(kept, tmp_path, place):
    folder = shutil.copytree(kept, tmp_path / "run")
    path = folder / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:100])
    with pytest.raises(StorageError, match="damaged"):
        resume(folder)
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(LowerboundError, match=r"damaged|no checkpoint|expected"):
        resume(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "{}", r"damaged \(0.epoch: field required"),
        (lambda text: "null", r"damaged \(0: "),
        (lambda text: "[" * 10**5, "damaged"),
        (lambda text: text + text, "a record for each epoch"),
        (lambda text: re.sub(r'"objective": -\d', '"objective": -9', text), "file was changed"),
        (lambda text: text.replace('"objective"', '"other"'), "among the terms"),
        (lambda text: re.sub(r'"objective": -\d', '"objective": NaN, "x": 1', text), "finite"),
    ],
)
def test_metrics_that_were_changed_are_refused(kept, tmp_path, change, message):
    folder = shutil.copytree(kept, tmp_path / "run")
    path = folder / "metrics.jsonl"
    before = path.read_text()
    path.write_text(change(before))
    with pytest.raises(StorageError, match=message) as refusal:
        read_history(folder)
    assert "\n" not in str(refusal.value)
    resume(folder)
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        (os.mkfifo, "a regular file with a run's records, got a folder, pipe"),
        (lambda path: None, "got no metrics.jsonl there; check the path"),
        (lambda path: (path.touch(), os.truncate(path, 2**27)), "in at most 67,108,864 bytes, got"),
    ],
)
def test_metrics_that_are_no_regular_file_are_refused(tmp_path, replace, message):
    replace(tmp_path / "metrics.jsonl")
    with pytest.raises(StorageError, match=message):
        read_history(tmp_path)


def test_the_first_process_alone_writes_metrics(kept, tmp_path, monkeypatch):
    folder = shutil.copytree(kept, tmp_path / "run")
    (folder / "metrics.jsonl").unlink()
    monkeypatch.setattr(Processes, "is_first", False)
    resume(folder)
    assert not (folder / "metrics.jsonl").exists()


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
