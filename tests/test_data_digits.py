"""Numbers that float32 would round away arrive, and come back, with their digits."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
import torch

import lowerbound as lb
from lowerbound.data import Dataset, as_dataset, from_arrays, load, read
from lowerbound.errors import ConfigurationError, DataError, ShapeError

RNG = np.random.default_rng(0)
N = 120
NORMAL = RNG.normal(size=(N, 2))
FAR = {
    "far from 0": 1e8 + NORMAL,
    "seconds since 1970": 1.7e9 + RNG.integers(0, 60, (N, 2)),
    "metres": np.array([512_345.25, 5_412_345.5]) + NORMAL / 100,
    "cents": np.round(RNG.uniform(1e6, 1e8, (N, 2)), 2),
    "below": -1e12 + NORMAL,
    "whole": 2**24 + RNG.integers(0, 9, (N, 2)),
    "larger whole": 2**53 + 10_000 * RNG.integers(0, 999, (N, 2)),
    "tiny": 1e-50 * NORMAL,
    "large": 1e60 * NORMAL,
}


@pytest.mark.parametrize("name", FAR)
def test_numbers_arrive_as_they_are(name):
    x = FAR[name]
    data = from_arrays(x)
    assert (data.kind, data.dtype) == ("real", torch.float64)
    assert np.array_equal(data.x.numpy(), x)
    model = lb.recipes.mlp(data, latent_dim=1, hidden=(4,)).model
    prepared, _ = model.prepare(data.x)
    z = (x - x.mean(0)) / x.std(0, ddof=1)
    assert prepared.dtype == torch.float32
    np.testing.assert_allclose(prepared.numpy(), z, atol=1e-3 if name == "below" else 1e-4)
    back = model.transform.inverse(prepared).numpy()
    np.testing.assert_allclose((back - x) / x.std(0), 0, atol=1e-3)
    assert model.sample(50, seed=0).std(0).numpy() == pytest.approx(x.std(0), rel=2)


def test_the_log_density_is_that_of_the_data_far_from_zero():
    """A Gaussian that ignores z is N(x; mean, σ² = 1) in the data's own units."""
    x = FAR["far from 0"]
    data = from_arrays(x)
    transform = lb.Standardise.of(data)
    likelihood = lb.Gaussian(lb.MLP(1, (), 2), (2,))
    model = lb.VAE(lb.StandardNormal(1), lb.DiagonalGaussian(lb.MLP(2, (), 2), 1), likelihood)
    model.transform = transform
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    found = lb.evaluate(model, data, samples=2)
    sigma = x.std(0, ddof=1)
    z = (x - x.mean(0)) / sigma
    exact = (-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - np.log(sigma)).sum(1).mean()
    assert found.elbo.value + transform.log_slopes((2,)).sum() == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("form", ["npy", "csv", "parquet", "on disk", "frame", "tensor", "dates"])
def test_digits_arrive_from_every_source(tmp_path, form):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    x = FAR["cents"]
    columns = {"a": x[:, 0], "b": x[:, 1]}
    if form in ("npy", "on disk"):
        np.save(path := tmp_path / "x.npy", x)
    elif form == "csv":
        path = tmp_path / "x.csv"
        path.write_text("a,b\n" + "".join(f"{a!r},{b!r}\n" for a, b in x.tolist()))
    elif form == "parquet":
        money = [[Decimal(f"{v:.2f}") for v in column] for column in x.T]
        parquet.write_table(
            pa.table(dict(zip("ab", money, strict=True))), path := tmp_path / "x.parquet"
        )
    if form == "on disk":
        parts = load(path, on_disk=True, validation=9)
        assert parts.train.dtype == parts.validation.dtype == parts.test.dtype == torch.float64
        kept = np.delete(x, parts.train.held, axis=0)
        assert np.array_equal(next(parts.train.batches(N)).x.numpy(), kept)
        return
    if form == "dates":
        start = datetime(2024, 5, 6, 7, 8, 9)
        dates = [start + timedelta(microseconds=250_000 * i) for i in range(N)]
        x = 19849 + (7 * 3600 + 8 * 60 + 9 + np.arange(N)[:, None] / 4) / 86_400
        data = from_arrays(pa.table({"at": dates}))
    else:
        made = {"frame": lambda: pa.table(columns), "tensor": lambda: torch.from_numpy(x)}
        data = as_dataset(made[form]()) if form in made else read(path)
    assert np.array_equal(data.x.numpy(), x)


def test_what_float32_holds_stays_compact():
    for x in (NORMAL.astype(np.float32), NORMAL.astype(np.float16), NORMAL.round(), [[0.5, 3]]):
        assert from_arrays(x).dtype == torch.float32
    assert from_arrays(NORMAL > 0).dtype == torch.uint8
    parts = lb.data.assembly.assemble(
        {
            "train": lb.data.conversion.Raw(NORMAL, "a"),
            "test": lb.data.conversion.Raw(NORMAL.round(), "b"),
        },
        "parts",
        "parts",
    )
    assert {part.dtype for part in parts.values()} == {torch.float64}


def test_kinds_are_told_from_the_numbers_as_they_came():
    assert from_arrays(np.array([[0.0, 1 - 1e-12]])).kind == "unit"
    assert from_arrays(np.array([[3.0, 1e7 + 1e-4]])).kind == "real"
    assert from_arrays(np.array([[0.5, 1 + 1e-12]])).kind == "real"
    assert from_arrays(np.array([[3, 2**24]])).kind == "counts"
    assert from_arrays(np.array([[3, 2**24 + 1]])).kind == "real"
    assert from_arrays(np.array([[1e-50, 2e-50]])).kind == "real"


@pytest.mark.parametrize("form", ["array", "frame", "npy"])
def test_numbers_that_float64_does_not_tell_apart_are_refused(tmp_path, form):
    pa = pytest.importorskip("pyarrow")
    x = np.stack([np.arange(N), 2**60 + np.arange(N)], 1)
    np.save(tmp_path / "x.npy", x)
    read = {
        "array": lambda: from_arrays(x),
        "frame": lambda: from_arrays(pa.table({"a": x[:, 0], "b": x[:, 1]})),
        "npy": lambda: load(tmp_path / "x.npy", on_disk=True),
    }
    message = r"tells apart, got ones near 1.15292e\+18 in column .?[1b]"
    with pytest.raises(DataError, match=message):
        read[form]()


def test_rounding_of_a_constant_is_not_scaled_up():
    x = np.stack([NORMAL[:, 0], 0.3 + np.where(NORMAL[:, 1] > 0, 5.6e-17, 0)], 1)
    assert lb.Standardise.of(from_arrays(x)).deviation[1] == 1
    for size in (1e-170, 1e170):
        with pytest.raises(ConfigurationError, match=r"from 1e-150 to 1e\+150 in size"):
            lb.Standardise.of(Dataset(torch.from_numpy(size * NORMAL)))


def test_a_model_that_does_not_centre_refuses_what_it_would_round():
    def vae(**parts):
        posterior = lb.DiagonalGaussian(lb.MLP(2, (), 2), 1)
        return lb.VAE(lb.StandardNormal(1), posterior, lb.Gaussian(lb.MLP(1, (), 2), (2,)), **parts)

    for name in ("far from 0", "below", "tiny", "large"):
        with pytest.raises(DataError, match=r"transform=Standardise.of\(data\)"):
            lb.fit(vae(), FAR[name], training=lb.Training(epochs=1), callbacks=[])
    mixed = np.stack([abs(FAR["tiny"][:, 0]), RNG.random(N)], 1)
    with pytest.raises(DataError, match="got column 0"):
        lb.fit(lb.recipes.mlp(from_arrays(mixed)).model, mixed, callbacks=[])
    data, once = from_arrays(FAR["below"]), lb.Training(epochs=1)
    lb.fit(vae(transform=lb.Standardise.of(data)), data, training=once, callbacks=[])
    lb.fit(vae(), NORMAL, training=once, callbacks=[])


@pytest.mark.parametrize(
    "given",
    [
        torch.from_numpy(NORMAL),
        torch.from_numpy(NORMAL).half(),
        torch.from_numpy(NORMAL).bfloat16(),
        torch.from_numpy(NORMAL).requires_grad_(),
        torch.from_numpy(NORMAL).to_sparse(),
        torch.from_numpy(NORMAL.round()).int(),
        NORMAL,
        NORMAL.tolist(),
        Dataset(torch.from_numpy(NORMAL)),
    ],
    ids=["float64", "float16", "bfloat16", "grad", "sparse", "int", "array", "list", "dataset"],
)
def test_whatever_holds_numbers_goes_where_tensors_go(given):
    torch.manual_seed(0)
    model = lb.VAE(
        lb.StandardNormal(1),
        lb.DiagonalGaussian(lb.MLP(2, (4,), 2), 1),
        lb.Gaussian(lb.MLP(1, (4,), 2), (2,)),
    )
    x = as_dataset(given).x.float()
    for f in (model.embed, model.reconstruct, lambda x: lb.evaluation.embed(model, x)):
        torch.testing.assert_close(f(given), f(x))
    assert lb.evaluate(model, given, samples=2).elbo == lb.evaluate(model, x, samples=2).elbo
    error = lb.evaluation.reconstruction_error(model, given)
    assert error == pytest.approx(((model.reconstruct(x) - x) ** 2).mean().item())
    lb.fit(model, given, given, training=lb.Training(epochs=1), callbacks=[])
    codes = model.embed(given).tolist()
    torch.testing.assert_close(model.decode(codes), model.decode(torch.tensor(codes)))
    with pytest.raises(ShapeError, match=r"codes of shape \('\*batch', 1\), got \(120, 2\)"):
        model.decode(x)


def test_complex_numbers_are_refused_where_tensors_go():
    model = lb.recipes.mlp(from_arrays(NORMAL), latent_dim=1, hidden=(4,)).model
    for given in (torch.zeros(3, 2, dtype=torch.complex64), torch.zeros(3, 2).cfloat().conj()):
        for f in (model.embed, from_arrays, lambda x: lb.evaluate(model, x)):
            with pytest.raises(DataError, match="real numbers, got an array of complex numbers"):
                f(given)


def test_labels_go_in_as_any_whole_numbers():
    data = from_arrays(NORMAL, labels=np.arange(N) % 3)
    model = lb.recipes.mlp(data, latent_dim=1, hidden=(4,), conditional=True).model
    expected = model.embed(data.x, data.labels)
    torch.testing.assert_close(model.embed(NORMAL, list(data.labels.numpy())), expected)
    assert model.sample(2, [0, 2]).shape == (2, 2)
    with pytest.raises(
        ConfigurationError, match="a class of the model, got 'a' and 1 more; known: 0, 1, 2"
    ):
        model.sample(2, ["a", "b"])


# Sparse, masked and ragged


def test_sparse_matrices_are_read_within_memory(monkeypatch):
    sparse = pytest.importorskip("scipy.sparse")
    x = NORMAL * (NORMAL > 1)
    for made in (sparse.csr_matrix(x), sparse.coo_array(x), torch.from_numpy(x).to_sparse_csr()):
        assert np.array_equal(from_arrays(made).x.numpy(), x)
    with pytest.raises(DataError, match="that fit in memory"):
        from_arrays(sparse.csr_matrix((10**9, 10**6)))


def test_what_is_masked_is_missing():
    mask = np.zeros((N, 2), bool)
    mask[5, 1] = True
    masked = np.ma.MaskedArray(np.where(mask, -9999, NORMAL), mask)
    with pytest.raises(DataError, match=r"got a masked one in row 5, column 1 .*missing=True"):
        from_arrays(masked)
    assert np.array_equal(from_arrays(masked, missing=True).observed.numpy(), ~mask)
    assert from_arrays(np.ma.MaskedArray(NORMAL)).observed is None
    holes = np.ma.MaskedArray(np.where(np.arange(N) == 3, np.nan, NORMAL.T).T, mask)
    assert from_arrays(holes, missing=True).observed.sum() == 2 * N - 3
    with pytest.raises(DataError, match="got a masked one in row 5, column 1"):
        from_arrays(list(masked))
    listed = from_arrays([[1, None], [2, 3.5]], missing=True)
    assert listed.observed.tolist() == [[True, False], [True, True]]


def test_nan_in_a_frame_is_missing_as_nulls_are():
    pa = pytest.importorskip("pyarrow")
    frame = pa.table({"a": [0.5, np.nan, 2.5], "b": [1.5, 2.5, None]})
    observed = from_arrays(frame).observed
    assert observed.tolist() == [[True, True], [False, True], [True, False]]


def test_ragged_lists_are_refused():
    with pytest.raises(DataError, match="lists of one length, got a list that makes no array"):
        from_arrays([[1, 2], [3]])


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array(["a", "b", "a"], object), ("a", "b")),
        (np.array([b"a", b"b", b"a"]), ("a", "b")),
        (np.array(["é".encode(), b"b", b"b"]), ("b", "é")),
        (np.array([10, 9, 9], object), ("9", "10")),
        ([Decimal(2), Decimal(1), Decimal(1)], ("1", "2")),
        ([2.0, 1.0, 1.0], ("1", "2")),
        (torch.tensor([2, 1, 1], dtype=torch.bfloat16), ("1", "2")),
        (np.ma.MaskedArray([2, 1, 1]), ("1", "2")),
    ],
)
def test_labels_of_any_type(labels, classes):
    assert from_arrays(NORMAL[:3], labels).classes == classes


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ma.MaskedArray([2, 1, 1], [0, 1, 0]), "got none in row 1"),
        (["a", float("nan"), "b"], "got none in row 1"),
        (np.array(["a", None, "b"], object), "got none in row 1"),
        (np.array([b"a", b"\xe9", b"a"]), r"got b'\\xe9' in row 1 .*decode"),
        (np.array(["a", 1, "b"], object), "turn all of them into text"),
        ([slice(0, 1), slice(1, 2), slice(0, 1)], r"got slice\(0, 1, None\) in row 0"),
        ([Decimal("1.5"), Decimal(1), Decimal(1)], "a quantity is no class"),
        (np.array([1.0, 1e300, 1]), r"got 1e\+300 in row 1"),
        (np.array([1, 2**63, 1], np.uint64), "got 9223372036854775808 in row 1"),
        ([1, 10**30, 1], "got 1000000000000000000000000000000 in row 1"),
    ],
)
def test_labels_that_would_lose_something_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        from_arrays(NORMAL[:3], labels)


def test_known_sets_do_not_stay_on_disk():
    with pytest.raises(ConfigurationError, match="digits: expected the path of a file"):
        load("digits", on_disk=True)
