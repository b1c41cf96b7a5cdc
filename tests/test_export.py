"""Exported models: ONNX files that say what the library says, and folders for a hub."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F

import lowerbound as lb
from lowerbound import export
from lowerbound.distributions import DiscretisedLogistic, Flow
from lowerbound.errors import ConfigurationError, MissingExtra, StorageError
from lowerbound.export import onnx_files, translation
from lowerbound.runs import Run
from test_cli import PIXEL, exit_code

pytestmark = pytest.mark.slow
SETTINGS = ("--likelihood", "Bernoulli", "--hidden", 16, "--latent-dim", 2, "--epochs", 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    data = ("--data", "digits", "--conditional")
    assert exit_code("train", "mlp", *data, "--out", folder, *SETTINGS) == 0
    return folder


@pytest.fixture(scope="module")
def written(trained) -> Path:
    folder = trained.with_name("onnx")
    assert exit_code("export", trained, "--onnx", folder) == 0
    return folder


def session(folder: Path, name: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])


def call(folder: Path, name: str, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    opened = session(folder, name)
    found = opened.run(None, {key: value.numpy() for key, value in inputs.items()})
    names = [output.name for output in opened.get_outputs()]
    return {key: torch.from_numpy(value) for key, value in zip(names, found, strict=True)}


@pytest.mark.parametrize("n", [1, 5])
def test_files_say_what_the_model_says_of_any_number_of_examples(trained, written, n):
    model, data = Run.open(trained).model, lb.data.load("digits").test.take(n)
    label = data.labels
    q = call(written, "encoder", x=data.x, label=label)
    torch.testing.assert_close(q["mean"], model.embed(data))
    p = call(written, "decoder", z=q["mean"], label=label)
    torch.testing.assert_close(p["mean"], model.reconstruct(data), rtol=0, atol=255e-6)
    torch.testing.assert_close(p["mean"], 255 * p["logits"].sigmoid(), rtol=0, atol=255e-6)


def test_the_score_is_the_elbo_at_the_given_noise(written):
    """By torch's cross-entropy, and the KL's closed form."""
    data = lb.data.load("digits").test.take(4)
    noise, given = torch.randn(3, 4, 2), {"x": data.x, "label": data.labels}
    q, found = call(written, "encoder", **given), call(written, "score", **given, noise=noise)
    mean, log_variance = q["mean"], q["log_variance"]
    z = mean + (log_variance / 2).exp() * noise
    costs = []
    for codes in z:
        logits = call(written, "decoder", z=codes, label=data.labels)["logits"]
        cost = F.binary_cross_entropy_with_logits(logits, data.x / 255, reduction="none")
        costs.append(cost.flatten(1).sum(1))
    kl = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum(1)
    torch.testing.assert_close(found["reconstruction"], torch.stack(costs).mean(0))
    torch.testing.assert_close(found["kl"], kl)
    torch.testing.assert_close(found["elbo"], -found["reconstruction"] - kl)


def test_files_are_told_of_in_themselves_and_beside(written):
    with pytest.raises(StorageError, match="got ONNX files of one"):
        lb.load(written)
    told = json.loads((written / "model.json").read_text())
    assert told["files"].keys() == {"encoder.onnx", "decoder.onnx", "score.onnx"}
    assert told["data"]["classes"] == [str(i) for i in range(10)]
    for file, known in told["files"].items():
        opened = session(written, file.removesuffix(".onnx"))
        for values, side in ((opened.get_inputs(), "inputs"), (opened.get_outputs(), "outputs")):
            assert {v.name: v.shape for v in values} == {
                name: value["shape"] for name, value in known[side].items()
            }
        assert 0 <= known["largest_difference"] <= 1e-5
        within = json.loads(opened.get_modelmeta().custom_metadata_map["lowerbound"])
        assert within == told | {"files": {file: known}}
        assert str(Path.cwd()).encode() not in (written / file).read_bytes()


def test_nothing_is_left_of_what_would_be_wrong(trained, written, monkeypatch, tmp_path):
    run = Run.open(trained)
    model, data = run.model, run.data("test")
    with pytest.raises(StorageError, match="expected a new or empty folder, got "):
        export.to_onnx(model, data, written)
    encoder = onnx.load(written / "encoder.onnx")
    monkeypatch.setattr(onnx_files, "translate", lambda *given: encoder)
    monkeypatch.setattr(
        onnx_files, "run", lambda *given: [y + 1e-3 for y in translation.run(*given)]
    )
    with pytest.raises(ConfigurationError, match=r"got 0.001 for the encoder of DiagonalGaussian"):
        export.to_onnx(model, data, tmp_path / "wrong")

    def refuse(*given):
        raise RuntimeError("no form of aten.sort\nmore of it")

    monkeypatch.setattr(onnx_files, "translate", refuse)
    with pytest.raises(ConfigurationError, match=r"DiagonalGaussian \(no form of aten.sort\); use"):
        export.to_onnx(model, data, tmp_path / "wrong")
    assert not list(tmp_path.iterdir())


def test_rows_with_missing_cells_are_exported_with_the_names_of_their_columns(tmp_path):
    """Covariates, categories, and numbers of which one is met often, among them."""
    rng = np.random.default_rng(0)
    frame = pa.table(
        {
            "city": ["Rome", "Oslo", None] * 40,
            "rain": np.where(rng.random(120) < 0.4, 0.0, rng.lognormal(size=120)),
            "height": rng.normal(1.7, 0.1, 120),
        }
    )
    data = lb.data.from_arrays(frame, given=["height"])
    model = lb.recipes.compose(data, latent_dim=2, network={"part": "MLP", "hidden": [8]}).eval()
    made = export.to_onnx(model, data, tmp_path / "onnx")
    assert made.largest_difference <= 1e-5
    told = json.loads((tmp_path / "onnx" / "model.json").read_text())["data"]
    assert [field["name"] for field in told["fields"]] == ["city", "rain"]
    assert told["fields"][0]["categories"] == ["Oslo", "Rome"]
    assert told["fields"][1]["levels"] == [0.0]
    assert [field["name"] for field in told["given"]] == ["height"]
    mean = call(tmp_path / "onnx", "encoder", x=data.x, given=data.context)["mean"]
    torch.testing.assert_close(mean, model.embed(data), rtol=1e-4, atol=1e-5)


def test_an_output_may_be_called_as_something_within(tmp_path):
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    x, y = (helper.make_tensor_value_info(name, kind, [2]) for name in "xy")
    nodes = [helper.make_node("Exp", ["x"], ["mean"]), helper.make_node("Neg", ["mean"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y])
    opset = [helper.make_opsetid("", translation.OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    named = translation._named_outputs(model, ["mean"])
    onnx.save(named, tmp_path / "named.onnx")
    found = call(tmp_path, "named", x=torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(found, {"mean": -torch.tensor([0.0, 1.0]).exp()})


def test_functions_that_onnx_lacks_keep_their_digits():
    x = torch.cat((torch.logspace(-12, 2, 99), -torch.logspace(-12, 2, 99))).double()
    positive = x[x > 0]
    for ours, theirs, at in (
        (translation._lgamma, torch.lgamma, positive),
        (translation._log1p, torch.log1p, x[x > -1]),
        (translation._expm1, torch.expm1, x),
        (translation._softplus, F.softplus, x),
        (translation._log_sigmoid, F.logsigmoid, x),
        (lambda x: translation._logaddexp(x, -2 * x), lambda x: torch.logaddexp(x, -2 * x), x),
    ):
        torch.testing.assert_close(ours(at), theirs(at), rtol=1e-10, atol=1e-12)
    logits, target = torch.randn(7, 5), torch.randint(5, (7,))
    torch.testing.assert_close(
        translation._cross_entropy(logits, target, None, translation.NONE),
        F.cross_entropy(logits, target, reduction="none"),
    )


def test_a_flow_tells_log_q_with_z():
    posterior = lb.FlowPosterior(lb.MLP(4, (8,), 4 + 32), 2)
    q = posterior(torch.randn(5, 4))
    assert isinstance(q, Flow)
    noise = torch.randn(3, 5, 2)
    z, log_q = q.at_and_log_prob(noise)
    torch.testing.assert_close(z, q.at(noise))
    torch.testing.assert_close(log_q, q.log_prob(z), rtol=1e-4, atol=1e-4)


def test_a_mean_over_grey_levels_is_the_same_in_a_graph(monkeypatch):
    p = DiscretisedLogistic(torch.rand(5), torch.randn(5) - 3, 16)
    one_by_one = p.moment(2)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(p.moment(2), one_by_one)


def assert_runs(card: str, folder: Path, x: object, context: object) -> None:
    """The calls on a card, as they stand there."""
    code = card.partition("```python\n")[2].partition("```")[0]
    found = {"x": x, "context": context}
    exec(code.replace("hf://owner/name", str(folder)), found)
    assert len(found["codes"]) == len(found["drawn"]) == len(x)


def test_a_card_tells_what_a_model_is_given(tmp_path):
    rng = np.random.default_rng(0)
    frame = pa.table({"sex": ["f", "m"] * 60, "age": rng.normal(40, 9, 120), "kg": rng.random(120)})
    data = lb.data.from_arrays(frame, given=["sex", "age"])
    model = lb.recipes.compose(data, latent_dim=1, network={"part": "MLP", "hidden": [8]})
    lb.save(model.eval(), tmp_path / "model")
    pq.write_table(frame, tmp_path / "data.parquet")
    folder = export.to_hub(
        Run.open(tmp_path / "model"), tmp_path / "hub", data=str(tmp_path / "data.parquet")
    )
    card = (folder / "README.md").read_text()
    assert "\n- `sex`: f, m\n- `age`: a number\n" in card
    assert_runs(card, folder, frame.select(["kg"]), {"sex": "m", "age": 40.5})


def test_a_folder_for_a_hub_is_loaded_and_tells_the_figures(trained, tmp_path, monkeypatch):
    folder = tmp_path / "hub"
    monkeypatch.setattr("lowerbound.plots.png_bytes", lambda figure: PIXEL)
    assert exit_code("export", trained, "--hub", folder, "--json") == 0
    run, loaded = Run.open(trained), lb.load(folder)
    x = run.data("test").take(3)
    torch.testing.assert_close(loaded.embed(x), run.model.embed(x), rtol=0, atol=0)
    assert {path.suffix for path in folder.iterdir()} == {".json", ".md", ".png", ".safetensors"}
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: lowerbound\n")
    elbo = run.evaluation.elbo
    assert f"| {elbo:.2f} nats per image |".replace("-", "−") in card
    assert "360 held-out examples" in card
    assert "lowerbound train mlp" in card
    assert_runs(card, folder, x.x, x.labels)

    def download(name, *, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        return str(folder)

    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    again = lb.load("hf://someone/digits@v1")
    torch.testing.assert_close(again.embed(x), loaded.embed(x), rtol=0, atol=0)
    assert asked == [("someone/digits", "v1", ["model.json", "weights-*.safetensors"])]


def test_what_a_hub_does_not_have_is_one_sentence(monkeypatch):
    def refuse(name, **how):
        raise RuntimeError("404: no such repository\nRequest ID: 1")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(StorageError, match=r"hf://a/b: cannot be fetched \(404: .*; check its"):
        lb.load("hf://a/b")
    for odd in ("hf://a/b/c", "hf://../b", "hf://a/.."):
        with pytest.raises(ConfigurationError, match="expected hf://owner/name or "):
            lb.load(odd)
    with pytest.raises(StorageError, match=r"got the hub's address 'hf:/a/b'; a program loads it"):
        lb.load(Path("hf://a/b"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"lowerbound\[hub\]"):
        lb.load("hf://a/b")


def test_an_export_needs_somewhere_to_go(capfd):
    assert exit_code("export", "no-run") == 2
    assert "expected --onnx, --hub or --page and a FOLDER, got none" in capfd.readouterr().err
