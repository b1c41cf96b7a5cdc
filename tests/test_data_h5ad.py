"""AnnData's files, written by h5py after the specification of their layout on disk."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scipy.sparse
import torch

import lowerbound as lb
from lowerbound.errors import ConfigurationError, DataError, LowerboundError

N, D = 40, 60
GENES = [f"gene{i}" for i in range(D)]
TYPES = np.array(["B cell", "T cell", "monocyte"])


def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(2, (N, D)) * (np.arange(D) > 0)


def encoded(node, kind: str, version: str = "0.2.0"):
    node.attrs["encoding-type"], node.attrs["encoding-version"] = kind, version
    return node


def strings(group, name: str, values) -> None:
    encoded(
        group.create_dataset(name, data=list(values), dtype=h5py.string_dtype()), "string-array"
    )


def array(group, name: str, values, **how) -> None:
    encoded(group.create_dataset(name, data=values, **how), "array")


def matrix(group, x, layout: str) -> None:
    """X as an array, or as the three arrays of a sparse matrix."""
    if layout == "array":
        array(group, "X", x, compression="gzip")
        return
    kept = getattr(scipy.sparse, f"{layout}_matrix")(x)
    node = encoded(group.create_group("X"), f"{layout}_matrix", "0.1.0")
    node.attrs["shape"] = x.shape
    for name in ("data", "indices", "indptr"):
        node.create_dataset(name, data=getattr(kept, name), compression="gzip")


def frame(file, name: str, index) -> h5py.Group:
    group = encoded(file.create_group(name), "dataframe")
    group.attrs["_index"], group.attrs["column-order"] = "_index", []
    strings(group, "_index", index)
    return group


def categorical(group, name: str, codes, categories) -> None:
    node = encoded(group.create_group(name), "categorical")
    node.attrs["ordered"] = False
    array(node, "codes", np.asarray(codes, np.int8))
    strings(node, "categories", categories)


def write(path, layout: str = "csr", x: np.ndarray | None = None, genes=GENES):
    x = counts() if x is None else x
    with h5py.File(path, "w") as file:
        encoded(file, "anndata", "0.1.0")
        matrix(file, x.astype(np.float32), layout)
        frame(file, "var", genes)
        obs = frame(file, "obs", [f"cell{i}" for i in range(len(x))])
        obs.attrs["column-order"] = ["cell_type", "batch", "depth", "kept", "age"]
        categorical(obs, "cell_type", np.arange(len(x)) % 3, TYPES)
        categorical(obs, "batch", np.where(np.arange(len(x)) == 1, -1, np.arange(len(x)) % 2), "ab")
        array(obs, "depth", x.sum(1))
        array(obs, "kept", np.arange(len(x)) % 2 == 0)
        age = encoded(obs.create_group("age"), "nullable-integer", "0.1.0")
        array(age, "values", np.arange(len(x)))
        array(age, "mask", np.arange(len(x)) == 3)
    return path


@pytest.mark.parametrize("layout", ["csr", "csc", "array"])
def test_the_matrix_its_labels_and_its_covariates(layout, tmp_path):
    path = write(tmp_path / "cells.h5ad", layout)
    data = lb.data.read(path, labels="cell_type", given=["batch", "depth", "kept", "age"])
    assert np.array_equal(data.x.numpy(), counts())
    assert data.columns == tuple(GENES)
    assert data.kind == "counts"
    assert data.classes == tuple(TYPES)
    assert data.labels.tolist() == [i % 3 for i in range(N)]
    given = data.given.table(data.given.x)
    assert given["batch"][:4] == ["a", None, "a", "b"]
    assert given["depth"] == counts().sum(1).tolist()
    assert given["kept"][:3] == [True, False, True]
    assert given["age"][:5] == [0, 1, 2, None, 4]
    bare = lb.data.read(path)
    assert (bare.labels, bare.given) == (None, None)
    assert torch.equal(bare.x.double(), data.x.double())


def test_a_model_of_cells_given_their_batch_takes_other_files_by_name(tmp_path, caplog):
    caplog.set_level("INFO", "lowerbound")
    parts = lb.data.load(write(tmp_path / "cells.h5ad"), given=["batch", "depth"])
    assert "left out: column 'gene0' (the same in all rows)" in caplog.text
    model = lb.recipes.compose(parts.train, 2, network={"part": "MLP", "hidden": [8]})
    assert type(model.likelihood).__name__ == "NegativeBinomial"
    lb.fit(model, parts, training=lb.Training(epochs=1))
    turned = write(tmp_path / "turned.h5ad", "csc", counts()[:, ::-1], GENES[::-1])
    own, other = (
        lb.data.read(tmp_path / name, columns=model.columns, given=["batch", "depth"])
        for name in ("cells.h5ad", "turned.h5ad")
    )
    assert turned.exists()
    assert torch.equal(lb.evaluation.embed(model, own), lb.evaluation.embed(model, other))
    few = write(tmp_path / "few.h5ad", x=counts()[:, :1], genes=GENES[:1])
    with pytest.raises(DataError, match="got none called 'gene1'"):
        lb.data.read(few, columns=model.columns, given=["batch"])


def change(path, how):
    with h5py.File(path, "r+") as file:
        how(file)


def replaced(place: str, values):
    def how(file):
        del file[place]
        file[place] = values

    return how


def as_link(file):
    del file["X"]
    file["X"] = h5py.ExternalLink("/etc/hostname.h5", "/X")


def as_old_categories(file):
    del file["obs/cell_type"]
    file["obs/cell_type"] = np.zeros(N, np.int8)


def vast(file):
    file["X"].attrs["shape"] = [10**7, 10**7]


def bomb(file):
    del file["X"]
    size = (2**21, 2**21)
    encoded(file.create_dataset("X", size, "f4", chunks=(64, 64), compression="gzip"), "array")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda f: f.attrs.pop("encoding-type"), "version 0.8 or later, got none or an older one"),
        (lambda f: f["obs"].attrs.modify("encoding-version", "0.1.0"), "got an older layout"),
        (as_old_categories, "in column 'cell_type' of obs, got an older layout"),
        (replaced("X/indptr", np.arange(N + 1)), "arrays that do not fit each other"),
        (replaced("X/indptr", np.arange(3)), "arrays that do not fit each other"),
        (replaced("X/indices", np.full(4, D)), "arrays that do not fit each other"),
        (replaced("X/data", np.zeros((2, 2))), "arrays that do not fit each other"),
        (replaced("X/data", ["a", "b"]), "fit each other|numbers"),
        (lambda f: f.__delitem__("X/indices"), "csr, csc or coo|expected 'indices'"),
        (lambda f: f.__delitem__("X"), "'X'"),
        (lambda f: f.__delitem__("var"), "expected 'var' in /, got none"),
        (as_link, "got a link to elsewhere"),
        (vast, "that fit in memory"),
        (bomb, "that fit in memory"),
        (replaced("obs/cell_type/codes", np.full(N, 9)), "do not fit each other"),
        (replaced("obs/cell_type/codes", np.zeros(3, int)), "do not fit each other"),
        (replaced("var/_index", [f"g{i}" for i in range(3)]), "a column for each of 3 names"),
        (replaced("var/_index", ["same"] * D), "'same' 60 times"),
        (replaced("var/_index", np.zeros(D)), "0.0"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_sentence(how, message, tmp_path):
    path = write(tmp_path / "cells.h5ad")
    change(path, how)
    with pytest.raises(DataError, match=message) as caught:
        lb.data.read(path, labels="cell_type")
    assert "\n" not in str(caught.value)


def test_what_is_asked_for_must_be_there(tmp_path):
    path = write(tmp_path / "cells.h5ad")
    with pytest.raises(ConfigurationError, match="to name a column of obs, got 'type'"):
        lb.data.read(path, labels="type")
    with pytest.raises(ConfigurationError, match=r"expected given= .* got 'donor'"):
        lb.data.read(path, given=["donor"])
    with pytest.raises(DataError, match="expected a class label, got none in row 1"):
        lb.data.read(path, labels="batch")


def test_a_damaged_file_is_one_sentence_wherever_it_breaks(tmp_path):
    whole = write(tmp_path / "cells.h5ad").read_bytes()
    said: list[str] = []
    broken, random = tmp_path / "broken.h5ad", np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(
            whole[: random.integers(1, len(whole))] if random.random() < 0.3 else whole
        )
        for place in random.integers(0, len(content), 20):
            content[place] = random.integers(256)
        broken.write_bytes(content)
        try:
            lb.data.read(broken, labels="cell_type", given=["batch", "age"])
        except LowerboundError as error:
            said.append(str(error))
    assert len(said) > 20
    assert not any("\n" in each for each in said)
