"""Data sets in memory: checks, kinds, parts."""

import numpy as np
import pytest
import torch

from lowerbound.data import Dataset, Field, Splits, from_arrays, split
from lowerbound.data.columns import by_name
from lowerbound.data.conversion import to_tensor
from lowerbound.data.labels import number_labels
from lowerbound.data.schema import Values
from lowerbound.errors import ConfigurationError, DataError

TABLE = torch.tensor([[0.5, -1.0], [2.0, 3.0], [4.0, 5.0]])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (torch.tensor([0.0, 1.0]), "binary"),
        (torch.tensor([0.0, 0.0]), "binary"),
        (torch.tensor([0.0, 255.0]), "binary"),
        (torch.tensor([0, 255], dtype=torch.uint8), "binary"),
        (torch.tensor([0, 1], dtype=torch.uint8), "binary"),
        (torch.tensor([0, 1, 255], dtype=torch.uint8), "grey"),
        (torch.tensor([3], dtype=torch.uint8), "grey"),
        (torch.tensor([0.0, 0.25, 1.0]), "unit"),
        (torch.tensor([0.0, 1.0, 2.0]), "counts"),
        (torch.tensor([1000.0, 0.0]), "counts"),
        (torch.tensor([0.0, 0.5, 2.0]), "real"),
        (torch.tensor([-1.0, 1.0]), "real"),
    ],
)
def test_kind_is_inferred_from_the_values(values, kind):
    assert Values.of(values).kind == kind


def test_kind_of_parts_is_that_of_the_whole():
    whole = from_arrays(np.array([[0, 1], [0, 1], [0, 7]], np.uint8))
    assert whole.kind == "grey"
    assert whole.take(2).kind == "grey"
    both = Values.of(torch.tensor([0.0, 1.0])) | Values.of(torch.tensor([-1.0]))
    assert both.kind == "real"


@pytest.mark.parametrize(
    ("x", "scale"),
    [
        (np.array([[0, 1]], np.uint8), 1),
        (np.array([[0, 255]], np.uint8), 255),
        (np.array([[0, 7]], np.uint8), 255),
        (np.array([[0.5, 7]]), 1),
    ],
)
def test_scale_takes_levels_to_the_unit_interval(x, scale):
    assert from_arrays(x).scale == scale


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 7), (5, 7)),
        ((5, 8, 9), (5, 1, 8, 9)),
        ((5, 8, 9, 1), (5, 1, 8, 9)),
        ((5, 8, 9, 3), (5, 3, 8, 9)),
        ((5, 8, 9, 4), (5, 4, 8, 9)),
        ((5, 3, 8, 9), (5, 3, 8, 9)),
        ((5, 3, 8, 3), (5, 3, 8, 3)),
        ((5, 12, 8, 9), (5, 12, 8, 9)),
    ],
)
def test_layout(shape, expected):
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + 0.5
    out = to_tensor(x, "x")
    assert out.shape == expected
    assert out.is_contiguous()
    if len(shape) == 4 and expected != shape:
        np.testing.assert_array_equal(out.numpy(), np.moveaxis(x, 3, 1))


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.zeros((2, 3), np.uint8), torch.uint8),
        (np.zeros((2, 3), bool), torch.uint8),
        (np.full((2, 3), 7, np.int64), torch.float32),
        (np.full((2, 3, 3), 255, np.int64), torch.uint8),
        (np.full((2, 3, 3), 255.0), torch.uint8),
        (np.full((2, 3, 3), 256, np.int64), torch.float32),
        (np.full((2, 3, 3), -1, np.int16), torch.float32),
        (np.full((2, 3, 3), 0.5), torch.float32),
        (np.full((2, 3), 0.5, np.float16), torch.float32),
        (np.full((2, 3), 0.5, ">f8"), torch.float32),
    ],
)
def test_dtype(array, dtype):
    out = to_tensor(array, "x")
    assert out.dtype == dtype
    np.testing.assert_array_equal(out.numpy().reshape(array.shape), array)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2), complex), "x: expected real numbers, got an array of complex numbers"),
        (np.array([[{}, 1]]), "x: expected real numbers, got {} among Python objects"),
        (np.array([[None, 1]]), "got nan in row 0, column 0"),
        (np.array([[10**400, 1]]), "numbers that float64 holds, got int too large"),
        (np.array([["a", "b"]]), "got an array of text"),
        (np.zeros((2, 2), "M8[s]"), "got an array of datetime64"),
        (np.zeros(3), r"x: expected a table \(n, D\) or images .*, got shape \(3,\); reshape"),
        (np.zeros((2, 2, 2, 2, 2)), r"got shape \(2, 2, 2, 2, 2\)"),
        (np.zeros((0, 3)), r"at least one example with at least one value, got shape \(0, 3\)"),
        (np.zeros((3, 0)), r"got shape \(3, 0\)"),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), "finite numbers, got nan in row 1, column 1"),
        (np.full((1, 2, 2), np.inf), "got inf in image 0, channel 0, y 0, x 0"),
        (np.array([[1.0, -1e300]]), r"below 1e\+150 in size, got -1e\+300 in row 0, column 1"),
    ],
)
def test_arrays_that_are_refused(array, message):
    with pytest.raises(DataError, match=message):
        to_tensor(array, "x")


def test_columns_are_as_many_as_values():
    with pytest.raises(DataError, match=r"one column name per value of shape \(2,\), got 1"):
        from_arrays(TABLE, columns=["a"])


def test_columns_are_named_where_a_value_is_refused():
    with pytest.raises(DataError, match=r"got nan in row 0, column 'height' \(counted from 0\)"):
        from_arrays([[1.0, np.nan]], columns=["age", "height"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": TABLE.long()}, "expected uint8, float32 or float64, got torch.int64"),
        ({"x": TABLE[0]}, r"got shape \(2,\)"),
        ({"x": TABLE[:0]}, r"got shape \(0, 2\)"),
        ({"x": TABLE / 0}, "got inf in row 0, column 0"),
        (
            {"x": TABLE, "schema": (Field("a", "real"),)},
            r"one column name per value of shape \(2,\), got 1",
        ),
        ({"x": TABLE, "labels": torch.zeros(2, dtype=torch.int64)}, "one label for each of 3"),
        ({"x": TABLE, "labels": torch.zeros(3)}, "labels in int64, got torch.float32"),
        ({"x": TABLE, "labels": torch.tensor([0, 1, -1])}, "labels from 0 to K−1, got -1"),
        (
            {"x": TABLE, "labels": torch.tensor([0, 1, 2]), "classes": ("a", "b")},
            "labels from 0 to 1, its last class, got 2",
        ),
    ],
)
def test_data_sets_that_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        Dataset(**arguments)


def test_fingerprint_depends_on_values_labels_names_shape_and_dtype():
    labels = torch.tensor([0, 1, 2])
    variants = [
        Dataset(TABLE),
        Dataset(TABLE, labels),
        Dataset(TABLE, labels.flip(0)),
        Dataset(TABLE + 1),
        Dataset(TABLE.reshape(2, 3)),
        Dataset(torch.zeros(3, 2)),
        Dataset(torch.zeros(3, 8, dtype=torch.uint8)),
        Dataset(TABLE, labels, classes=("a", "b", "c")),
        Dataset(TABLE, labels, classes=("a", "b", "d")),
        from_arrays(TABLE.numpy(), columns=["a", "b"]),
        from_arrays(TABLE.numpy(), columns=["a", "c"]),
    ]
    assert len({variant.fingerprint for variant in variants}) == len(variants)
    assert Dataset(TABLE.clone(), labels, name="other").fingerprint == variants[1].fingerprint
    assert Dataset(TABLE.t().contiguous().t()).fingerprint == variants[0].fingerprint


def test_columns_by_name(caplog):
    table = from_arrays([[1, 2, 3], [4, 5, 6]], columns=["a", "b", "c"])
    with caplog.at_level("INFO", "lowerbound"):
        found = by_name(table, ("c", "a"))
    assert found.x.tolist() == [[3, 1], [6, 4]]
    assert found.columns == ("c", "a")
    assert "data: column 'b' left out" in caplog.text
    bare = Dataset(TABLE)
    assert by_name(bare, ("a", "b")) is bare
    with pytest.raises(
        DataError, match="columns 'a', 'd', got none called 'd'; it has 'a', 'b', 'c'"
    ):
        by_name(table, ("a", "d"))


def test_subset_and_take():
    data = from_arrays(TABLE.numpy(), labels=["b", "a", "c"], columns=["u", "v"])
    part = data.subset([2, 0], name="part")
    assert part.x.tolist() == [[4, 5], [0.5, -1]]
    assert part.labels.tolist() == [2, 1]
    assert (part.name, part.classes, part.columns) == ("part", ("a", "b", "c"), ("u", "v"))
    assert len(data.take(2)) == 2
    assert len(data.take(9)) == 3
    assert data.take(1).name == "data"
    for mask in ([True, False, True], np.array([1, 0, 1], bool), torch.tensor([True, False, True])):
        assert data.subset(mask).x.tolist() == [[0.5, -1], [4, 5]]
    for backwards in (np.arange(3)[::-2], np.array([2, 0], ">i8"), np.array([2, 0], np.uint64)):
        assert data.subset(backwards).x.tolist() == part.x.tolist()


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([], "at least one index"),
        (torch.tensor([[0]]), "at least one index"),
        ([0, 3], "indices from 0 to 2, got 3"),
        ([-1, 1], "indices from 0 to 2, got -1"),
        ([0.0, 1.5], "at least one index, or a mask of 3, got float64"),
        ([True, False], "a mask of 3, got bool of shape"),
        ([False, False, False], "at least one index"),
        ([[0], [1, 2]], "at least one index, .*got "),
        (["a"], "at least one index, .*got text of shape"),
        ([1j], "at least one index, .*got complex numbers of shape"),
        ([10**20], "at least one index, .*got Python objects of shape"),
        ([2**64 - 1], "indices from 0 to 2, got 18446744073709551615"),
        ({0, 1}, "at least one index, .*got Python objects"),
        (slice(2), "at least one index, .*got Python objects"),
        (torch.ones(2, dtype=torch.bfloat16), "at least one index, .*got tensor"),
    ],
)
def test_subsets_that_are_refused(indices, message):
    with pytest.raises(ConfigurationError, match=message):
        Dataset(TABLE).subset(indices)


@pytest.mark.parametrize("number", [0, -1, True])
def test_numbers_of_examples_that_are_refused(number):
    data = Dataset(TABLE)
    for use in (lambda: data.take(number), lambda: list(data.batches(number))):
        with pytest.raises(ConfigurationError, match=r"whole number of examples .*from 1"):
            use()


@pytest.mark.parametrize(
    ("labels", "numbers", "classes"),
    [
        (["b", "a", "b"], [1, 0, 1], ("a", "b")),
        (["10", "9", "9"], [1, 0, 0], ("9", "10")),
        (["01", "1", "1"], [0, 1, 1], ("01", "1")),
        ([7, -1, 7], [1, 0, 1], ("-1", "7")),
        ([1.0, 2.0, 2.0], [0, 1, 1], ("1", "2")),
        ([[4], [5], [4]], [0, 1, 0], ("4", "5")),
        ([True, False, True], [1, 0, 1], ("0", "1")),
        (np.array([b"x", b"y", b"x"]), [0, 1, 0], ("x", "y")),
    ],
)
def test_labels_are_numbered_in_sorted_order(labels, numbers, classes):
    data = from_arrays(TABLE, labels)
    assert data.labels.tolist() == numbers
    assert data.classes == classes


def test_labels_of_parts_are_numbered_together():
    numbers, classes = number_labels([np.array([5, 3]), np.array(["4"])], "x")
    assert [part.tolist() for part in numbers] == [[2, 0], [1]]
    assert classes == ("3", "4", "5")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, 1, 2], "data labels: expected class labels, .*, got 0.5 in row 0"),
        ([np.nan, 1, 2], "got none in row 0"),
        ([[1, 0], [0, 1], [1, 0]], r"one class label per example, .*, got int64 of shape \(3, 2\)"),
        ([1, None, 2], "got none in row 1"),
        ([1, 2], r"one label for each of 3 examples, got labels of shape \(2,\)"),
    ],
)
def test_labels_that_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        from_arrays(TABLE, labels)


@pytest.mark.parametrize(
    ("data", "summary"),
    [
        (
            Dataset(torch.arange(128, dtype=torch.uint8).view(2, 1, 8, 8), name="a"),
            "a: 2 images of 1×8×8, grey levels 0–127",
        ),
        (
            Dataset(torch.arange(192, dtype=torch.uint8).view(1, 3, 8, 8), name="a"),
            "a: 1 image of 3×8×8, levels 0–191",
        ),
        (Dataset(TABLE, name="t"), "t: 3 rows of 2 numbers, real, -1 to 5"),
        (Dataset(TABLE[:1, :1]), "data: 1 row of 1 number, in the unit interval, 0.5–0.5"),
        (
            from_arrays([[0, 1], [1, 1]], labels=[3, 4]),
            "data: 2 rows of 2 numbers, binary, 0 and 1, 2 classes",
        ),
        (
            Dataset(TABLE[1:], torch.tensor([0, 0]), classes=("a",), labels_from="column 'class'"),
            "data: 2 rows of 2 numbers, counts, 2–5, 1 class from column 'class'",
        ),
        (Dataset(torch.tensor([[0.0, 255.0]])), "data: 1 row of 2 numbers, binary, 0 and 255"),
    ],
)
def test_summary(data, summary):
    assert data.summary() == summary
    assert repr(data) == f"Dataset({summary})"


def test_splits_have_one_shape_and_dtype():
    with pytest.raises(
        DataError, match=r"b: expected examples like those of a, shape \(2,\) in fl"
    ):
        Splits(Dataset(TABLE, name="a"), None, Dataset(TABLE[:, :1], name="b"))
    with pytest.raises(DataError, match=r"got shape \(2,\) in uint8"):
        Splits(Dataset(TABLE), Dataset(TABLE.abs().byte()), Dataset(TABLE))


@pytest.mark.parametrize(("validation", "test"), [(0, 1), (10, 0.2), (0.5, 0.5), (0.001, 0.001)])
def test_split_is_disjoint_complete_and_in_order(validation, test):
    whole = Dataset(torch.arange(200.0).view(100, 2))
    splits = split(whole, validation=validation, test=test, seed=3)
    parts = [part for part in (splits.train, splits.validation, splits.test) if part is not None]
    firsts = [part.x[:, 0] for part in parts]
    assert torch.cat(firsts).sort().values.equal(whole.x[:, 0])
    assert all(first.equal(first.sort().values) for first in firsts)
    assert (splits.validation is None) == (validation == 0)


def test_split_depends_on_the_seed_alone():
    whole = Dataset(torch.arange(200.0).view(100, 2), name="w")
    first, again, other = (split(whole, validation=0.1, seed=seed) for seed in (1, 1, 2))
    assert first.test.fingerprint == again.test.fingerprint != other.test.fingerprint
    assert first.validation.fingerprint == again.validation.fingerprint
    assert first.validation.name == "w validation"
    assert split(whole, seed=1).test.fingerprint == first.test.fingerprint
    assert first.test.x[:3, 0].tolist() == [2, 36, 48]  # frozen: runs record only their seed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test": 0}, "at least one example to test, got test=0"),
        ({"test": 3}, "fewer than the 3 examples there are .*, got 3"),
        ({"test": 1.0}, "test= a number of examples or a fraction below 1, got 1.0"),
        ({"test": -1}, "got -1"),
        ({"test": True}, "got True"),
        ({"test": float("nan")}, "got nan"),
        ({"validation": 2}, "fewer than the 2 examples"),
        ({"seed": -1}, "seed= a whole number from 0 to 2³²−1, got -1"),
        ({"seed": True}, "got True"),
    ],
)
def test_splits_that_are_refused(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        split(Dataset(TABLE), **arguments)


def test_one_example_cannot_be_split():
    with pytest.raises(DataError, match=r"expected at least 2 examples, .*, got 1"):
        split(Dataset(TABLE[:1]))


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((2, 8, 8, 3), (3, 8, 8)),
        ((2, 3, 8, 8), (3, 8, 8)),
        ((2, 64, 48, 13), (13, 64, 48)),
        ((2, 13, 64, 48), (13, 64, 48)),
        ((2, 8, 8, 8), (8, 8, 8)),
    ],
)
def test_bands_may_be_the_last_axis(shape, kept):
    assert from_arrays(np.random.default_rng(0).random(shape)).shape == kept


def test_data_show_in_notebooks_as_their_summary_and_columns():
    fields = (Field("a<b", "real"), Field("colour", "categories", categories=("red", "blue")))
    data = Dataset(torch.tensor([[1.5, 0.0], [-2.0, 1.0]]), schema=fields, name="R&D")
    shown = data._repr_html_()
    assert shown.startswith("<pre>R&amp;D: 2 rows of 2 values, 1 real, 1 categories</pre><table>")
    assert "<td>a&lt;b</td><td>real</td><td></td>" in shown
    assert "<td>colour</td><td>categories</td><td>red, blue</td>" in shown
    assert Splits(data, None, data)._repr_html_().endswith("; 2 for test</pre>")
    wide = Dataset(torch.randn(3, 30), schema=tuple(Field(f"c{i}", "real") for i in range(30)))
    assert "<td>c19</td>" in wide._repr_html_()
    assert "<td>and 10 more</td>" in wide._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": ["a", "a"]}, "fields of different names, got 'a' 2 times"),
        ({"columns": "ab"}, "a list of names, got the text 'ab'"),
        ({"columns": [1, 2]}, "text as the name of a field, got 1"),
        ({"observed": [[2, 0], [1, 1]]}, "observed= of truth values"),
        ({"observed": [[np.nan, 0], [1, 1]]}, "observed= of truth values"),
    ],
)
def test_names_and_masks_that_would_be_misread_are_refused(arguments, message):
    with pytest.raises((DataError, ConfigurationError), match=message):
        from_arrays([[1, 2], [3, 4]], **arguments)
