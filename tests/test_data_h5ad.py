"""AnnData's files, written by h5py after the specification of their layout on disk."""

from __future__ import annotations

import base64
import zlib

import h5py
import numpy as np
import pytest
import scipy.sparse
import torch

import lowerbound as lb
from lowerbound.data import h5ad
from lowerbound.errors import ConfigurationError, DataError, LowerboundError

N, D = 40, 60
GENES = [f"gene{i}" for i in range(D)]
TYPES = np.array(["B cell", "T cell", "monocyte"])


@pytest.fixture(autouse=True)
def quick(request, monkeypatch):
    """Files that are known to come to an end are not opened by another process first."""
    if "endless" not in request.node.name:
        monkeypatch.setattr(h5ad, "_refuse_endless", lambda path: None)


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


def as_link_within(file):
    """An index and a column that lie in another file, by a link in the middle of their paths."""
    file["var/away"] = h5py.ExternalLink("other.h5ad", "/var")
    file["var"].attrs["_index"] = "away/_index"


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
        (as_link_within, "expected 'away/_index' in /var, got none"),
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
    write(tmp_path / "other.h5ad")
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


def test_genes_may_be_called_as_columns_are(tmp_path, caplog):
    caplog.set_level("INFO", "lowerbound")
    genes = ["label", "class", "index", "batch", "cell_type", *GENES[5:]]
    path = write(tmp_path / "cells.h5ad", genes=genes)
    bare = lb.data.read(path)
    assert (bare.columns, bare.labels) == (tuple(genes), None)
    data = lb.data.read(path, labels="cell_type", given=["batch"])
    assert data.columns == tuple(name for name in genes if name != "batch")
    assert torch.equal(data.x.double(), torch.from_numpy(np.delete(counts(), 3, 1)).double())
    assert data.classes == tuple(TYPES)
    assert data.given.columns == ("batch",)
    assert "genes 'batch', called as what is given, are left out" in caplog.text


ENDLESS = """
eNrtWk9PG0cUf7s2ZjF/YhMn2ITYTiCJC7ExlDSpqipGCa0PVYPaHnxLXeMCUrGRTSIiVWqP6a0fIcce8wF64Jhjrr3xTejOzp
vdmbe7scEQBXmetJr9/fxmdmb83rz591f16TeT8dk4MLEsiEICZDlBefS5isXvP2NqYPoa039MwUed39LIJ7D8fITjI+R/+mFj
g2mfEBHfeRMT+bUMo1Q31jdZWkOcx/Sdqeq1f+k66ct6B2R9YZ+PTvndJFoctesJqGK5U5ACC5qtRntrt7VdPHi137T5jGE4OR
Puty2lHqMe5XATsInvSbW8l81Od7fdEvXpVe6IVK7p8LFA/xNEzejP/3ZmQfqalmH3PzEOV2Oq3vPd1lbz0LPH6oDf/fH7Z08N
iLj2+z6n+nN6Cf26qNrncUTVs6I8LZA4Ys2pemXEm9nh+F+/ffLsO0PqEGV8sqXeam3VD+pgyuML66fSSqlsp9jNMIYpU/61U9
9rIo768q06+QSOEbsRWJTbWHmg1Mfjv1D+b49/qNTH4/nIH/fxXzrpOOVXyzjOU37FSSd9/KqTTvl4PnG64uPXFDv0+AcYdyjP
2zvt43l7r/p43t6Uj+ftvQZejHB4DIzXKc/VYcbXb2U5jEg875+Mj+f9M+vjef/c8PG8f+ZofTgNNynPuw2ylOfdBjnKP1TnES
7Pqwm3KI/z39uU582Fecrz7oEFAMWOugcdFtXrnU79FcN3Qvzjbg+/uheSrxDiV58h/hfTbWznIqn3NrZnifLYnvs92lMMqVcJ
sfC/RrfzfK9uZz7keDlkfHHXGeM6BmvRokWLFi1atGjRMqiI/U26PzLo/uaYtDiPwMXsb0adciv4+6hTrljv9ConJpUzorR30i
4nDY32by/2WsV2Z6vpbCQn849RvQJr47B2IvaXDCOwXw1b25A+aOBKWeiLdWrWXfemHdWweo9geabJaQvLixhiCXusVGTQ/29C
6p8F8PaN3+JCveZ+KX+KfTzD3a+pZbTvnUUuwo/uoP8EnRO8QwO1+jwnOMSNBn1OcG7y4jJVNuycYJ/sp5/3OYF7roUbYDvnNA
7KcezuBfnfvXOKYwWHHwn047e4MZcg4cqU8s8TfJvgPMG3CJ4j+CbBWYJzBF8j+DrOHQSeIThNcIbgWYJvEBwjeJRgi+AxguME
jxM8QfAkwVMEXyE4QXCS4GmCrxKcIv25RPAiwXzo/vOxPcep8Ie9swcqXsp4qHjvQofqBj1yPqEnvlUhPP0uLftDXBCW2/SmEq
5fqXhzOG//W7zLnBmgJ3OG5KdB+Y0+ypDfxW9mH2UYPeof1h6aJ4p+MYb2PYV2OY32lkK/zKD/53BcWMDxsoB2xWyNDUFsT58d
PbBjHHYEw46XvrKfr+2H/QHrOt5r0fLR1//03sPHXg9HAEh61vXwMR7dliF4PfzfwOvh+9K86mjxfNbDOwVti5/KerjYxzr3/b
I3B9UyfBJ2H7VWVPWcy1O22Mu53Uazy9L9g87g91HpvbdB17lxyf5LF+RXy0o9Y/Z7Gro7dad+CQvceCLHBTonzpI4Ida7YXFF
zCfXSVxJ5nN4Ny0PMxbM/OHWV8QVk8SVBF79iZIA9/qTsktxX1LElaNSr30THMdWPqwnxrnC6nD49+ntKuGoMjuOSiNCuD2l5o
Pt6e9L2R/ifl3uzP2Rxqtyv8Nl6I//Ab2Ib5A=
"""


def test_an_endless_file_is_one_sentence(tmp_path, monkeypatch):
    path = tmp_path / "endless.h5ad"
    path.write_bytes(zlib.decompress(base64.b64decode(ENDLESS)))
    monkeypatch.setattr(h5ad, "SECONDS", 2)
    with pytest.raises(DataError, match="got one that HDF5 did not open in 2 seconds"):
        lb.data.read(path)
    monkeypatch.setattr(h5ad, "SECONDS", 60)
    assert len(lb.data.read(write(tmp_path / "cells.h5ad"))) == N
