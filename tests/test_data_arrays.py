"""The user's .npy, .npz and IDX files, and what `load` and `read` make of paths."""

import gzip
import logging
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lowerbound.data import conversion, load, read
from lowerbound.errors import ConfigurationError, DataError

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(20, 3)).astype(np.float32)
IMAGES = RNG.integers(0, 256, (20, 4, 5), dtype=np.uint8)
LABELS = np.arange(20) % 3


def idx(array):
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    sizes = np.array(array.shape, ">u4").tobytes()
    return (
        bytes((0, 0, code, array.ndim))
        + sizes
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def whole(splits):
    """The training and test parts together, in the order of the file."""
    x = np.concatenate([splits.train.x.numpy(), splits.test.x.numpy()])
    return x[np.lexsort(x.reshape(len(x), -1).T)]


def in_order(x):
    return x[np.lexsort(x.reshape(len(x), -1).T)]


def test_npy_round_trip(tmp_path):
    np.save(tmp_path / "t.npy", TABLE)
    splits = load(tmp_path / "t.npy", validation=0)
    np.testing.assert_array_equal(whole(splits), in_order(TABLE))
    assert (len(splits.train), len(splits.test), splits.validation) == (18, 2, None)
    assert splits.train.name == "t.npy"
    assert splits.test.name == "t.npy test"
    np.testing.assert_array_equal(read(str(tmp_path / "t.npy")).x, TABLE)


def test_npy_images_and_labels_file(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    np.save(tmp_path / "y.npy", LABELS)
    data = read(tmp_path / "x.npy", labels=str(tmp_path / "y.npy"))
    np.testing.assert_array_equal(data.x[:, 0], IMAGES)
    assert data.labels.tolist() == LABELS.tolist()
    assert data.kind == "grey"
    assert data.summary().endswith("3 classes from file y.npy")


@pytest.mark.parametrize("kept", [0, 5, 50, 128, 200])
def test_npy_truncated(tmp_path, kept):
    path = tmp_path / "t.npy"
    np.save(path, TABLE)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"t\.npy: expected a whole array, .*numpy\.save$"):
        load(path)


@pytest.mark.parametrize("name", ["t.npy", "t.npz"])
def test_pickled_objects_are_never_read(tmp_path, name):
    save = np.save if name.endswith("npy") else np.savez
    save(tmp_path / name, np.array([{"a": 1}, None], dtype=object))
    with pytest.raises(DataError, match="got pickled Python objects, which are not read"):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (TABLE.astype(complex), "complex"),
        (np.zeros((0, 3)), r"got shape \(0, 3\)"),
        (np.zeros((1, 3)), "t.npy: expected at least 2 examples, to train and to test, got 1"),
        (np.arange(5), r"got shape \(5,\)"),
        (np.array([[1, 2], [np.nan, 3]]), r"t\.npy: expected finite numbers, got nan in row 1"),
    ],
)
def test_npy_contents_that_are_refused(tmp_path, array, message):
    np.save(tmp_path / "t.npy", array)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "t.npy")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "names", [("x", "y"), ("images", "label"), ("values", "target"), ("X", "Y")]
)
def test_npz_of_one_part(tmp_path, save, names):
    x, y = names
    save(tmp_path / "t.npz", **{x: IMAGES, y: LABELS})
    data = read(tmp_path / "t.npz")
    np.testing.assert_array_equal(data.x[:, 0], IMAGES)
    assert data.labels.tolist() == LABELS.tolist()
    assert data.labels_from == f"array {y!r}"


def test_npz_labels_are_named(tmp_path):
    np.savez(tmp_path / "t.npz", x=TABLE, y=LABELS, other=LABELS[::-1])
    assert read(tmp_path / "t.npz", labels="other").labels.tolist() == LABELS[::-1].tolist()
    with pytest.raises(ConfigurationError, match="got 'othr'; did you mean other"):
        read(tmp_path / "t.npz", labels="othr")


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test", "x_val", "y_val"),
        (
            "train_images",
            "train_labels",
            "test_images",
            "test_labels",
            "val_images",
            "val_labels",
        ),
    ],
)
def test_npz_of_parts(tmp_path, names, caplog):
    arrays = (IMAGES[:12], LABELS[:12], IMAGES[12:16], LABELS[12:16], IMAGES[16:], LABELS[16:])
    np.savez(tmp_path / "t.npz", **dict(zip(names, arrays, strict=True)))
    with caplog.at_level(logging.INFO, "lowerbound"):
        splits = load(tmp_path / "t.npz", validation=3)
    parts = splits.train, splits.test, splits.validation
    assert [len(part) for part in parts] == [12, 4, 4]
    np.testing.assert_array_equal(np.concatenate([part.x for part in parts])[:, 0], IMAGES)
    assert np.concatenate([part.labels for part in parts]).tolist() == LABELS.tolist()
    assert "its own validation part of 4 is used, not validation=3" in caplog.text
    assert len(read(tmp_path / "t.npz")) == 4
    with pytest.raises(ConfigurationError, match=r"t\.npz: expected no test=, .* got 0\.5"):
        load(tmp_path / "t.npz", test=0.5)


def test_npz_with_a_training_part_only(tmp_path):
    np.savez(tmp_path / "t.npz", x_train=TABLE)
    assert len(load(tmp_path / "t.npz").test) == 2
    assert len(read(tmp_path / "t.npz")) == 20


def test_npz_parts_share_dtype_kind_and_classes(tmp_path):
    train, test = np.array([[[0, 1]], [[1, 1]]]), np.array([[[0.5, -2]], [[1, 1]]])
    np.savez(tmp_path / "t.npz", x_train=train, x_test=test, y_train=[8, 9], y_test=[9, 7])
    splits = load(tmp_path / "t.npz")
    assert splits.train.x.dtype == splits.test.x.dtype
    assert splits.train.kind == splits.test.kind == "real"
    assert splits.train.classes == splits.test.classes == ("7", "8", "9")
    assert splits.test.labels.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "expected one array of values, or one called x, got no array"),
        ({"a": TABLE, "b": TABLE}, r"got a \(20, 3\), b \(20, 3\); call it x"),
        ({"x": TABLE, "y": LABELS[1:]}, r"one label for each of 20 .*, got labels .*\(19,\)"),
        ({"x": TABLE, "y": TABLE}, r"t\.npz labels: expected one class label per example"),
        ({"x_train": TABLE, "x_test": TABLE, "y_train": LABELS}, "for train, none for test"),
        ({"x_train": TABLE, "x_test": TABLE[:, :2]}, r"shape \(3,\) in float32, got shape \(2,\)"),
        ({"x": np.array([["a"]])}, r"t\.npz, array 'x': expected real numbers, got .* text"),
    ],
)
def test_npz_contents_that_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "t.npz")


@pytest.mark.parametrize("kept", [0, 30, 300])
def test_npz_truncated(tmp_path, kept):
    path = tmp_path / "t.npz"
    np.savez_compressed(path, x=TABLE)
    path.write_bytes(path.read_bytes()[:-kept] if kept else b"")
    with pytest.raises(DataError, match=r"t\.npz: expected a whole \.npz file, .*numpy\.savez$"):
        load(path)


@pytest.mark.parametrize("name", ["a-idx3-ubyte", "a.idx", "a.idx3", "a-ubyte.gz", "a.idx.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_idx_round_trip(tmp_path, name, dtype):
    array = (IMAGES // 2).astype(dtype)
    pack = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(pack(idx(array)))
    np.testing.assert_array_equal(read(tmp_path / name).x[:, 0], array)


def test_idx_labels_file(tmp_path):
    (tmp_path / "x-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "y-ubyte.gz").write_bytes(gzip.compress(idx(LABELS.astype(np.uint8))))
    data = read(tmp_path / "x-ubyte", labels=str(tmp_path / "y-ubyte.gz"))
    assert data.labels.tolist() == LABELS.tolist()


def claiming(shape):
    return bytes((0, 0, 8, len(shape))) + np.array(shape, ">u4").tobytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with 00 00, a type 08–0e and a rank, got an empty file"),
        (b"\x89PNG1234", "got 89 50 4e 47; check what the file is"),
        (b"\0\0\x07\x01", "got 00 00 07 01"),
        (b"\0\0\x08\x00", "got 00 00 08 00"),
        (b"\0\0\x08\x03\0\0", "expected 12 more bytes, got 2; the file is truncated"),
        (idx(IMAGES)[:-1], r"400 bytes of values .* \(20, 4, 5\), got a file that|more bytes, got"),
        (idx(IMAGES) + b"1", "to end after its 400 bytes of values .*, got more"),
        (claiming((2**32 - 1,) * 3), "got a file that cannot hold more than 16"),
        (claiming((0, 28, 28)), r"got shape \(0, 28, 28\)"),
    ],
)
def test_idx_contents_that_are_refused(tmp_path, data, message):
    (tmp_path / "a.idx").write_bytes(data)
    with pytest.raises(DataError, match=rf"a\.idx.*: .*({message})"):
        load(tmp_path / "a.idx")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(idx(IMAGES))[:-30], "got one that is truncated or damaged"),
        (gzip.compress(idx(IMAGES))[:12], "got one that is truncated or damaged"),
        (gzip.compress(idx(IMAGES)) + b"junk", "got one that is truncated or damaged"),
        (gzip.compress(idx(IMAGES)[:-1]), "expected 400 more bytes, got 399; .* truncated"),
        (gzip.compress(idx(IMAGES) + b"1"), "expected the file to end after its 400 bytes"),
        (gzip.compress(claiming((60_000, 2**15, 2**15))), "cannot hold more than"),
    ],
    ids=["cut", "header only", "junk behind", "a byte short", "a byte more", "too large"],
)
def test_packed_idx_contents_that_are_refused(tmp_path, data, message):
    (tmp_path / "a.idx.gz").write_bytes(data)
    with pytest.raises(DataError, match=rf"a\.idx\.gz: .*{message}"):
        load(tmp_path / "a.idx.gz")


def test_data_larger_than_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    (tmp_path / "a.idx").write_bytes(idx(IMAGES))
    monkeypatch.setattr("os.sysconf", lambda name: 10)
    with pytest.raises(DataError, match=r"a\.idx: expected data that fit in memory .*use fewer"):
        load(tmp_path / "a.idx")


def test_folder_of_four_idx_files(tmp_path):
    for part, rows in (("train", slice(0, 15)), ("t10k", slice(15, 20))):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(IMAGES[rows]))
        packed = gzip.compress(idx(LABELS.astype(np.uint8)[rows]))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(packed)
    splits = load(tmp_path, validation=5)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (10, 5, 5)
    assert splits.test.labels.tolist() == LABELS[15:].tolist()
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(DataError, match=r"expected the four files .*, got only .*; add the others"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mnits", "got 'mnits'; did you mean mnist"),
        ("MNIST", "got 'MNIST'; did you mean mnist"),
        ("cifar", "got 'cifar'; known: digits, fashion-mnist, folk-tunes, mnist"),
        ("", "got ''"),
        ("nowhere.npy", r"nowhere\.npy: expected a file or folder, got a path with nothing there"),
        ("no/where", "no/where: expected a file or folder"),
    ],
)
def test_sources_that_are_not_there(source, message):
    with pytest.raises(DataError, match=message):
        load(source)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.xyz", r"a\.xyz: expected a folder of images, of .*, or a file .*, got a file \.xyz$"),
        ("a", "got a file without suffix$"),
        ("a.png", r"got a file \.png; put the images into a folder and name that"),
        ("a.csv.gz", r"got a file \.gz"),
    ],
)
def test_files_of_unknown_formats(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"1")
    with pytest.raises(DataError, match=message):
        load(tmp_path / name)


def test_arguments_that_do_not_fit_a_path(tmp_path):
    np.save(tmp_path / "t.npy", TABLE)
    with pytest.raises(ConfigurationError, match="folder= only with a known data set"):
        load(tmp_path / "t.npy", folder=tmp_path)
    with pytest.raises(ConfigurationError, match="no labels= with a folder"):
        load(tmp_path, labels="a")
    with pytest.raises(ConfigurationError, match=r"t\.npy: expected test= fewer than the 20"):
        load(tmp_path / "t.npy", test=20)


def test_digits():
    splits = load("digits")
    assert (len(splits.train), splits.validation, len(splits.test)) == (1437, None, 360)
    assert splits.train.summary() == "digits: 1,437 images of 1×8×8, grey levels 0–255, 10 classes"
    assert splits.train.x.unique().numel() == 17
    again = load("digits", seed=5, validation=0.1)
    assert again.test.fingerprint == splits.test.fingerprint
    assert again.test.fingerprint.startswith("9e249ca4c245bbd7")
    assert len(again.validation) == 144
    assert read("digits").fingerprint == splits.test.fingerprint
    with pytest.raises(ConfigurationError, match="digits: expected no test="):
        load("digits", test=10)
    with pytest.raises(ConfigurationError, match="digits: expected no labels="):
        load("digits", labels="class")


def with_header(path, header):
    raw = header.encode()
    raw += b" " * (-(len(raw) + 11) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\1\0" + len(raw).to_bytes(2, "little") + raw + bytes(4096))
    return path


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("(2**70, 8)", "header is truncated or damaged"),
        (f"({2**70}, 8)", "fewer than its header tells of"),
        ("(-3, 8)", "fewer than its header tells of"),
        ("(1," * 200 + ")" * 200, "header is truncated or damaged"),
    ],
)
@pytest.mark.parametrize("on_disk", [False, True])
def test_npy_headers_are_checked_before_they_are_believed(tmp_path, shape, message, on_disk):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    with pytest.raises(DataError, match=f"expected a whole array, .*{message}") as caught:
        load(with_header(tmp_path / "t.npy", header), on_disk=on_disk)
    assert len(str(caught.value).splitlines()) == 1


def test_members_of_an_npz_that_are_no_arrays(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, x=TABLE)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README.txt", "hello")
    assert read(path).x.shape == TABLE.shape
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", "hello")
    with pytest.raises(DataError, match=r"t\.npz, array 'x': expected a whole array"):
        read(path)


@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
def test_sparse_matrices_of_scipy_are_arrays(tmp_path, layout):
    sparse = pytest.importorskip("scipy.sparse")
    counts = np.random.default_rng(0).poisson(0.3, (30, 7)).astype(np.int16)
    path = tmp_path / "t.npz"
    sparse.save_npz(path, sparse.csr_matrix(counts).asformat(layout))
    data = read(path)
    assert (data.kind, data.x.tolist()) == ("counts", counts.tolist())
    members = dict(np.load(path))
    np.savez(path, **members, y=np.arange(30) % 3)
    assert read(path).labels.tolist() == [i % 3 for i in range(30)]
    with pytest.raises(ConfigurationError, match="name an array for the labels of the sparse mat"):
        read(path, labels="x")
    index = "col" if layout == "coo" else "indices"
    for name, values in (
        (index, members[index] + 30),
        (index, members[index][:-1]),
        (index, members[index] * 1.0),
        ("shape", np.array([7])),
        ("shape", np.array([-7, 30])),
    ):
        np.savez(path, **members | {name: values})
        with pytest.raises(DataError, match="arrays that do not fit each other"):
            read(path)
    np.savez(path, **members | {"shape": np.array([10**9, 10**9])})
    with pytest.raises(DataError, match=r"expected data that fit in memory"):
        read(path)
    np.savez(path, data=[], indices=[0][:0], indptr=[0][:0], shape=[0, 5], format=b"csr")
    with pytest.raises(DataError, match="arrays that do not fit each other"):
        read(path)
    np.savez(path, **members | {"format": b"c\xff"})
    with pytest.raises(DataError, match="format csr, csc or coo, got 'c\ufffd'"):
        read(path)
    np.savez(path, **members | {"format": b"dia"})
    with pytest.raises(DataError, match=r"format csr, csc or coo, got 'dia'; write .*tocsr\(\)"):
        read(path)


def test_elements_of_sparse_matrices_that_are_met_twice_are_refused(tmp_path):
    path = tmp_path / "t.npz"
    members = {"data": [1.0, 2.0], "row": [0, 0], "col": [1, 1], "shape": [2, 3], "format": b"coo"}
    np.savez(path, **members)
    with pytest.raises(DataError, match=r"each element .* once, got .*sum_duplicates"):
        read(path)


def test_fortran_order_and_big_endian_members(tmp_path):
    path = tmp_path / "t.npz"
    np.savez_compressed(path, x=np.asfortranarray(TABLE.astype(">f8")), y=np.arange(len(TABLE)))
    data = read(path)
    np.testing.assert_array_equal(data.x.numpy(), TABLE.astype(np.float32))
    assert data.labels.tolist() == list(range(len(TABLE)))


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    np.save(tmp_path / "x.npy", TABLE)
    for source in (tmp_path / "pipe.npy", "/dev/zero"):
        with pytest.raises(DataError, match="expected a file or folder, got a pipe, socket or dev"):
            read(source)
    with pytest.raises(DataError, match="got a pipe"):
        read(tmp_path / "x.npy", labels=str(tmp_path / "pipe.npy"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("~nobody-of-this-name/x.npy", "~nobody-of-this-name/x.npy: expected a file"),
        ("x\0.npy", "cannot be read: .*null"),
        ("x" * 5000 + ".npy", "cannot be read: File name too long"),
        (os.fsdecode(b"\xff.npy"), r"a path in UTF-8, got b'.*\\xff.npy'; rename"),
    ],
)
def test_paths_that_no_file_can_have(tmp_path, monkeypatch, source, message):
    monkeypatch.chdir(tmp_path)
    Path(os.fsdecode(b"\xff.npy")).touch()
    with pytest.raises(DataError, match=message):
        read(source)


@pytest.mark.parametrize(
    ("dtype", "bytes_each"), [(np.uint8, 2), (np.float32, 8), (np.float64, 16), (np.int16, 8)]
)
def test_memory_is_that_of_all_copies(tmp_path, monkeypatch, dtype, bytes_each):
    path = tmp_path / "t.npz"
    np.savez(path, x=np.ones((100, 10), dtype))
    monkeypatch.setattr(conversion, "memory", lambda: 1000 * bytes_each)
    read(path)
    monkeypatch.setattr(conversion, "memory", lambda: 1000 * bytes_each - 1)
    with pytest.raises(DataError, match=r"data that fit in memory .* while they are read"):
        read(path)


def test_memory_is_what_a_container_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "CONTAINER", tmp_path / "memory.max")
    (tmp_path / "memory.max").write_text("1000000\n")
    assert conversion.memory() == 1e6
    (tmp_path / "memory.max").write_text("max\n")
    assert conversion.memory() > 1e6
