"""Fields and kinds, missing elements, batches, and everything that becomes a data set."""

import datetime
import math
import re

import numpy as np
import pytest
import torch

import lowerbound as lb
from lowerbound.data import (
    Batch,
    Dataset,
    Field,
    Splits,
    Stored,
    as_dataset,
    from_arrays,
    load,
    split,
)  # fmt: skip
from lowerbound.data.schema import Values
from lowerbound.errors import ConfigurationError, DataError

pa = pytest.importorskip("pyarrow")
TABLE = torch.tensor([[0.5, -1.0], [2.0, 3.0], [4.0, 5.0]])
TABLE_3 = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
MIXED = (
    Field("age", "positive"),
    Field("colour", "categories", categories=("blue", "green", "red")),
    Field("visits", "counts"),
)


def test_an_array_is_one_field():
    images = from_arrays(np.zeros((4, 5, 6), np.uint8) + np.arange(6, dtype=np.uint8))
    assert images.schema == (Field("x", "grey", (1, 5, 6)),)
    assert images.columns is None
    assert from_arrays([[1.5]]).schema == (Field("x", "real", (1,)),)


def test_a_named_column_is_a_field():
    data = from_arrays(TABLE, columns=["u", "v"])
    assert data.schema == (Field("u", "real"), Field("v", "real"))
    assert data.columns == ("u", "v")
    assert data.kind == "real"
    assert data.subset([0]).schema == data.schema
    assert from_arrays(TABLE[:, :1], columns=["u"]).columns == ("u",)


def test_fields_of_several_kinds():
    x = torch.tensor([[30.5, 0, 2], [41.0, 2, 0]])
    data = Dataset(x, schema=MIXED, name="people")
    assert (data.kind, data.scale, data.shape) == ("mixed", 1.0, (3,))
    assert data.columns == ("age", "colour", "visits")
    assert data.summary() == "people: 2 rows of 3 values, 1 positive, 1 categories, 1 counts"
    tokens = Field("x", "tokens", (3,), categories=("a", "b", "c"))
    assert Dataset(x[:1] * 0 + 2, schema=(tokens,)).summary() == "data: 1 sequence of 3 tokens of 3"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("binary", [0, 0.5]),
        ("binary", [0, 2]),
        ("grey", [0.5, 3]),
        ("grey", [0, 256]),
        ("unit", [0, 1.5]),
        ("unit", [-0.5, 1]),
        ("positive", [0, 1]),
        ("counts", [0, 0.5]),
        ("counts", [-1, 2]),
        ("categories", [0, 3]),
        ("categories", [0.5, 1]),
        ("tokens", [-1, 1]),
    ],
)
def test_values_of_another_kind_are_refused(kind, values):
    names = ("a", "b", "c") if kind in ("categories", "tokens") else None
    field = Field("it", kind, categories=names)
    x = torch.tensor(values, dtype=torch.float32).view(2, 1)
    with pytest.raises(DataError, match=f"d: expected .* in 'it', whose kind is {kind}, got"):
        Dataset(x, schema=(field,), name="d")
    with pytest.raises(DataError, match=f"in 'it', whose kind is {kind}.* in row [01] ") as told:
        Dataset(torch.cat([x, x], 1), schema=(Field("other", "real"), field))
    assert ("--kind it=real" in str(told.value)) == (names is None)


@pytest.mark.parametrize(
    ("kind", "names", "message"),
    [
        ("gray", None, "got 'gray'; did you mean grey"),
        ("real", ("a",), "kind categories or tokens and for no others"),
        ("categories", None, "expected names of categories"),
    ],
)
def test_fields_that_are_refused(kind, names, message):
    with pytest.raises(ConfigurationError, match=message):
        Field("a", kind, categories=names)


@pytest.mark.parametrize("schema", [MIXED, (Field("x", "real", (1, 2)),), MIXED[:1]])
def test_a_schema_of_another_shape_is_refused(schema):
    with pytest.raises(DataError, match=r"per value of shape \(2,\), got"):
        Dataset(TABLE, schema=schema)


# Missing elements


def test_missing_elements():
    x = np.array([[0.5, np.nan], [np.nan, 3.0], [4.0, 5.0]])
    data = from_arrays(x, columns=["u", "v"], missing=True)
    assert data.observed.tolist() == [[True, False], [False, True], [True, True]]
    assert data.x.isnan().equal(~data.observed)
    assert data.summary() == "data: 3 rows of 2 values, 1 real, 1 counts, 33.3% missing"
    torch.testing.assert_close(data.moments.mean, torch.tensor([2.25, 4.0]).double())
    torch.testing.assert_close(data.moments.variance(), torch.tensor([6.125, 2.0]).double())
    assert data.take(1).observed.tolist() == [[True, False]]
    assert data.subset([2]).observed is None
    assert from_arrays([[1.0]], missing=True).observed is None
    with pytest.raises(DataError, match="at least one value in column 'b', got none; leave it"):
        from_arrays([[1.5, np.nan], [2.5, np.nan]], columns=("a", "b"), missing=True)
    assert [batch.x.isnan().sum().item() for batch in data.batches(2)] == [2, 0]


def test_observed_makes_the_others_missing():
    x, observed = np.array([[3, 0, 7]] * 2), np.array([[True, False, True]] * 2)
    data = from_arrays(x, observed=observed)
    assert data.kind == "counts"
    assert data.x[:, 1].isnan().all()
    assert data.observed.numpy().tolist() == observed.tolist()
    assert from_arrays(np.array([[0, 9.5]]), observed=[[True, False]]).kind == "binary"
    with pytest.raises(DataError, match=r"observed= of x's shape \(2, 3\), got \(3,\)"):
        from_arrays(x, observed=observed[0])


def test_images_with_missing_pixels_keep_their_kind():
    x = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4) * 10
    observed = x % 20 == 0
    data = from_arrays(x, observed=observed)
    assert (data.kind, data.scale, data.dtype) == ("grey", 255, torch.float32)
    assert data.observed[:, 0].numpy().tolist() == observed.tolist()
    colour = from_arrays(np.zeros((2, 8, 8, 3)), observed=np.ones((2, 8, 8, 3)) * [1, 0, 1])
    assert colour.observed[:, 1].any().item() is False


@pytest.mark.parametrize("x", [TABLE.numpy() * np.nan, torch.full((2, 2), torch.nan)])
def test_what_is_missing_is_refused_unless_told(x):
    with pytest.raises(DataError, match="expected finite numbers, got nan in row 0, column 0"):
        from_arrays(x)
    with pytest.raises(DataError, match="expected finite numbers, got nan in row 0, column 0"):
        as_dataset(x)
    with pytest.raises(DataError, match="got inf in row 0, column 1"):
        from_arrays([[np.nan, np.inf]], missing=True)
    with pytest.raises(DataError, match="got inf in row 0, column 1"):
        Dataset(torch.tensor([[torch.nan, torch.inf]]), missing=True)


def test_nothing_is_known_of_nothing():
    assert Values.of(torch.tensor([[torch.nan]])) == Values()
    assert Values() | Values.of(TABLE) == Values.of(TABLE)


# Batches


def test_batches_in_order_and_shuffled():
    data = Dataset(torch.arange(20.0).view(10, 2), torch.arange(10))
    batches = list(data.batches(4))
    assert all(isinstance(batch, Batch) for batch in batches)
    assert [len(batch.x) for batch in batches] == [4, 4, 2]
    assert torch.cat([batch.x for batch in batches]).equal(data.x)
    shuffled = list(data.batches(4, seed=1))
    order = torch.cat([batch.context for batch in shuffled])
    assert not order.equal(data.labels)
    assert torch.cat([batch.x for batch in shuffled]).equal(data.x[order])
    assert order.sort().values.equal(data.labels)
    again = list(data.batches(4, seed=1, start=2))
    assert len(again) == 1
    assert again[0].x.equal(shuffled[2].x)


def test_memory_and_disk_have_the_same_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("lowerbound.data.numpy_files.BLOCK_BYTES", 80)
    monkeypatch.setattr("lowerbound.data.stored.WINDOW_BYTES", 800)
    rows = np.arange(400.0).reshape(100, 4) - 7
    np.save(tmp_path / "x.npy", rows)
    np.save(tmp_path / "y.npy", np.arange(100) % 3)
    stored = load(tmp_path / "x.npy", labels=str(tmp_path / "y.npy"), on_disk=True, test=11).train
    assert isinstance(stored, Stored)
    inside = stored.take(1000)
    assert (inside.kind, inside.schema, inside.shape, inside.dtype, inside.classes) == (
        stored.kind, stored.schema, stored.shape, stored.dtype, stored.classes,
    )  # fmt: skip
    assert len(inside) == len(stored) == 89
    for start in (0, 2):
        pairs = zip(stored.batches(10, start=start), inside.batches(10, start=start), strict=True)
        for here, there in pairs:
            assert here.x.equal(there.x)
            assert here.context.equal(there.context)
    picked = [88, 3, 3, 50]
    assert stored.subset(picked).fingerprint == inside.subset(picked).fingerprint
    torch.testing.assert_close(stored.moments.mean, inside.moments.mean)
    torch.testing.assert_close(stored.moments.variance(), inside.moments.variance())
    with pytest.raises(ConfigurationError, match="indices from 0 to 88, got 89"):
        stored.subset([89])


def test_what_is_on_disk_is_evaluated_like_what_is_in_memory(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 4)))
    stored = load(tmp_path / "x.npy", on_disk=True).train
    model = lb.recipes.mlp(stored, latent_dim=2).model
    assert lb.evaluate(model, stored, samples=3) == lb.evaluate(model, stored.take(60), samples=3)


# What becomes a data set


def test_as_dataset():
    data = Dataset(TABLE)
    assert as_dataset(data) is data
    parts = split(Dataset(torch.arange(20.0).view(10, 2)), validation=2, test=2)
    assert as_dataset(parts) is parts.train
    assert as_dataset(parts, "test") is parts.test
    bare = as_dataset(TABLE)
    assert bare.x.data_ptr() == TABLE.data_ptr()
    assert (bare.name, bare.labels) == ("tensor", None)
    assert as_dataset(TABLE.double()).dtype == torch.float64
    assert as_dataset(TABLE.numpy()).fingerprint == bare.fingerprint
    assert as_dataset(TABLE.tolist()).fingerprint == bare.fingerprint
    with pytest.raises(DataError, match="expected a tensor of examples"):
        as_dataset(TABLE[0])


def test_splits_are_trained_and_evaluated_on():
    parts = Splits(Dataset(torch.randn(40, 3)), Dataset(torch.randn(20, 3)), Dataset(TABLE_3))
    model = lb.recipes.mlp(parts.train, latent_dim=2).model
    (record,) = lb.fit(model, parts, training=lb.Training(epochs=1), callbacks=[])
    assert record["validation"] is not None
    assert lb.evaluate(model, parts, samples=2) == lb.evaluate(model, parts.test, samples=2)
    assert lb.evaluate(model, TABLE_3.numpy(), samples=2) == lb.evaluate(
        model, parts.test, samples=2
    )


# Data frames


class Frame:
    """A table that shows itself only through Arrow's stream."""

    def __init__(self, columns):
        self.table = pa.table(columns)

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


class Exchanged:
    """A table that shows itself only through the older protocol."""

    def __init__(self, columns):
        self.table = pa.table(columns)

    def __dataframe__(self, nan_as_null=False, allow_copy=True):
        return self.table.__dataframe__(nan_as_null, allow_copy)


def make(library, columns):
    if library in ("arrow", "exchange"):
        return {"arrow": Frame, "exchange": Exchanged}[library](columns)
    return pytest.importorskip(library).DataFrame(columns)


LIBRARIES = pytest.mark.parametrize("library", ["arrow", "exchange", "pandas", "polars"])


@LIBRARIES
def test_a_frame_of_numbers(library):
    data = from_arrays(make(library, {"a": [0.5, 1.5], "b": [1, -2], "c": [True, False]}))
    assert data.x.tolist() == [[0.5, 1, 1], [1.5, -2, 0]]
    assert data.columns == ("a", "b", "c")
    assert data.kind == "real"
    assert data.observed is None
    assert as_dataset(make(library, {"a": [1, 2]})).x.tolist() == [[1], [2]]


@LIBRARIES
def test_a_frame_of_text_and_gaps(library):
    frame = make(library, {"size": [1, None, 3], "colour": ["red", "blue", None]})
    data = from_arrays(frame, name="things")
    assert data.schema == (
        Field("size", "counts"),
        Field("colour", "categories", categories=("blue", "red")),
    )
    assert data.observed.tolist() == [[True, True], [False, True], [True, False]]
    assert data.x.nan_to_num(-1).tolist() == [[1, 1], [-1, 0], [3, -1]]
    assert data.summary() == "things: 3 rows of 2 values, 1 counts, 1 categories, 33.3% missing"


@LIBRARIES
def test_labels_of_a_frame(library):
    columns = {"a": [1, 2, 3], "class": ["x", "y", "x"]}
    data = from_arrays(make(library, columns))
    assert (data.columns, data.classes, data.labels.tolist()) == (("a",), ("x", "y"), [0, 1, 0])
    assert "from column 'class'" in data.summary()
    other = from_arrays(make(library, columns), labels="a")
    assert (other.columns, other.classes) == (("class",), ("1", "2", "3"))
    given = from_arrays(make(library, columns), labels=["u", "v", "v"])
    assert (given.columns, given.classes) == (("a", "class"), ("u", "v"))
    with pytest.raises(ConfigurationError, match="got 'b'; "):
        from_arrays(make(library, columns), labels="b")


def test_a_frame_of_everything_is_modelled():
    sizes = [None if i % 7 == 0 else i / 3 for i in range(60)]
    data = from_arrays(Frame({"size": sizes, "colour": ["red", "blue", None] * 20}))
    model = lb.recipes.mlp(data, latent_dim=2, hidden=(8,)).model
    parts = split(data, validation=10, test=10)
    (record,) = lb.fit(model, parts, training=lb.Training(epochs=1), callbacks=[])
    assert np.isfinite(record["validation"]["objective"])
    assert np.isfinite(lb.evaluate(model, parts, samples=2).elbo.value)


def test_categories_keep_their_order():
    sizes = pa.DictionaryArray.from_arrays(pa.array([2, 0, None]), ["small", "medium", "large"])
    data = from_arrays(Frame({"size": sizes}))
    assert data.schema[0].categories == ("small", "medium", "large")
    assert data.x.nan_to_num(-1).tolist() == [[2], [0], [-1]]
    assert data.kind == "categories"


def test_dates_are_days():
    days = [datetime.date(1970, 1, 3), None, datetime.date(1969, 12, 31)]
    noons = [datetime.datetime(1970, 1, 1, 12), datetime.datetime(2000, 1, 1), None]
    data = from_arrays(Frame({"day": days, "noon": noons}))
    assert data.x.nan_to_num(-9).tolist() == [[2, 0.5], [-9, 10957], [-1, -9]]


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_dates_of_any_time_are_days(unit):
    day = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000}[unit]
    days = [-719_162, 0, 2_932_896]  # from the year 1 to 9999, by the proleptic calendar
    instants = pa.array([day * n for n in days], pa.timestamp(unit))
    dates = [datetime.date.min, datetime.date(1970, 1, 1), datetime.date.max]
    data = from_arrays(Frame({"instant": instants, "date": dates}))
    assert data.x.tolist() == [[n, n] for n in days]


def test_seconds_beyond_the_calendar_are_days_too():
    far = pa.array([-(2**62), 0, 2**62], pa.timestamp("s"))
    data = from_arrays(Frame({"a": far}))
    assert data.x.ravel().tolist() == pytest.approx([-(2**62) / 86_400, 0, 2**62 / 86_400])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [[1], [2]]}, r"f: expected numbers in column 'a', got \[1\]"),
        (
            {"a": [1.0, float("inf")], "b": [None, 2]},
            "f: expected a finite number, got inf in row 1",
        ),
        ({"a": pa.array([None, None], pa.string())}, "at least one value in column 'a', got none"),
        ({"a": []}, "f: expected at least one row"),
    ],
)
def test_frames_that_are_refused(columns, message):
    with pytest.raises(DataError, match=message):
        from_arrays(Frame(columns), name="f")


def test_what_is_no_frame_is_refused():
    with pytest.raises(ConfigurationError, match="no observed= or vocabulary= with a data frame"):
        from_arrays(Frame({"a": [1]}), observed=[[True]])
    with pytest.raises(DataError, match="expected a data frame, got a ChunkedArray"):
        from_arrays(pa.chunked_array([[1.0, 2.0]]))


def test_pandas_without_its_index():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, None, 3.0], "kind": ["x", "y", "x"]}, index=[5, 3, 9])
    frame.index.name = "number"
    data = from_arrays(frame[["a"]], labels=frame["kind"])
    assert data.columns == ("a",)
    assert data.observed[:, 0].tolist() == [True, False, True]
    assert data.labels.tolist() == [0, 1, 0]
    frame["kind"] = frame["kind"].astype("category")
    assert from_arrays(frame).schema[1] == Field("kind", "categories", categories=("x", "y"))


def test_dictionaries_of_any_text_are_categories_and_their_nulls_missing():
    pa = pytest.importorskip("pyarrow")
    names = pa.array(["b", None, "a"])
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None]), names)
    data = lb.data.from_arrays(pa.table({"letter": coded, "n": [1.0, 2.0, 3.0, 4.0]}))
    assert data.schema[0].categories == ("b", "a")
    assert data.table(data.x)["letter"] == ["b", None, "a", None]
    assert data.observed[:, 0].tolist() == [True, False, True, False]


def test_numbers_that_float64_cannot_hold_are_refused():
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(
        DataError, match=r"expected numbers that float64 tells apart.*in column 'id'"
    ):
        lb.data.from_arrays(pa.table({"id": [2**60 + 1, 2**60 + 3]}))


def test_masked_arrays_and_half_tensors_are_data():
    masked = np.ma.MaskedArray([[1.0, 2.0], [3.0, 4.5]], mask=[[False, True], [False, False]])
    with pytest.raises(DataError, match="got a masked one in row 0, column 1"):
        lb.data.from_arrays(masked)
    data = lb.data.from_arrays(masked, missing=True)
    assert data.observed.tolist() == [[True, False], [True, True]]
    half = lb.data.from_arrays(torch.tensor([[0.5, 1.5]], dtype=torch.bfloat16))
    assert half.x.tolist() == [[0.5, 1.5]]


def test_splits_have_the_same_fields_and_categories():
    train = lb.data.from_arrays(np.eye(3), columns=("a", "b", "c"))
    test = lb.data.from_arrays(np.eye(3), columns=("b", "a", "c"))
    with pytest.raises(DataError, match="expected the fields and categories of data, 'a'"):
        lb.data.Splits(train, None, test)


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ([f"{i / 8}" for i in range(30)], "column 'k' holds numbers as text, .* 30 categories"),
        ([f"r{i}" for i in range(30)], "column 'k' has another text in each row, .* 30 categories"),
        (["1", "2"] * 15, "column 'k' holds numbers as text, .* 2 categories"),
        (["a", "2"] * 15, None),
    ],
)
def test_texts_that_may_be_no_categories_are_told(texts, told, caplog):
    from_arrays(pa.table({"k": texts, "x": [0.5, 2.5] * 15}))
    assert re.search(told, caplog.text) if told else not caplog.text


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_not_finite_is_no_cell_and_what_is_vast_is_none_of_another_sign(dtype):
    x = torch.tensor([2.4, 2.0**70, torch.inf, -torch.inf, torch.nan], dtype=dtype)
    for field, wanted in (
        (Field("n", "counts", form="whole"), [2, 2**70]),
        (Field("x", "real"), [2.4, float(str(x[1].numpy()))]),
        (Field("c", "categories", categories=("a", "b", "c", "d")), ["c", "d"]),
        (Field("t", "binary", form="True"), [True, True]),
        (Field("d", "real", form="%Y-%m-%d"), [datetime.date(1970, 1, 3), datetime.date.max]),
    ):
        assert field.cells(x).tolist() == [*wanted, None, None, None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_are_written_with_the_digits_that_give_them_back(dtype):
    x = torch.tensor([2455197.53125, 1000000.25, 1 / 3, -1e-30, 2.5e12, 39.1], dtype=dtype)
    texts = Field("x", "real").texts(x)
    assert torch.tensor(list(map(float, texts)), dtype=torch.float64).to(dtype).equal(x)
    assert texts[-1] == "39.1"
    assert Field("x", "real").texts(torch.tensor([18.0, torch.nan], dtype=dtype)) == ["18", ""]


def test_dates_stay_within_the_years_that_there_are():
    far = torch.tensor([3e6, -8e5, -700_000.0, torch.inf], dtype=torch.float64)
    day, time = Field("d", "real", form="%d.%m.%Y"), Field("t", "real", form="%Y-%m-%d %H:%M:%S")
    for dtype in (torch.float32, torch.float64):
        found = ["31.12.9999", "01.01.0001", "19.06.0053", ""]
        assert day.texts(far.to(dtype)) == found
    assert time.texts(far)[:3] == [
        *("9999-12-31 23:59:59", "0001-01-01 00:00:00", "0053-06-19 00:00:00")
    ]


def test_numbers_have_the_digits_of_their_dtype():
    for dtype in (torch.float32, torch.float64):
        cells = Field("height", "real").cells(torch.tensor([1.65, 1e-30, math.nan], dtype=dtype))
        assert cells.tolist() == [1.65, 1e-30, None]
