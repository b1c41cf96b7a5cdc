"""The user's CSV and Parquet files."""

import datetime
import io
import logging

import numpy as np
import pytest
import torch

from lowerbound.data import Field, delimited, from_arrays, load, read
from lowerbound.data import cells as cells_of_text
from lowerbound.data.filled import Filled
from lowerbound.data.kinds import column_table
from lowerbound.data.reading import Reading
from lowerbound.data.rewriting import rewrite
from lowerbound.errors import ConfigurationError, DataError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def csv(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2.5\n3,-4\n",
        "a;b\r\n1;2.5\r\n3;-4\r\n",
        "a\tb\r1\t2.5\r3\t-4",
        '\n"a" , b\n\n1, 2.5\n 3,-4\n\n\n',
        "\ufeffa,b\n1,2.5e0\n3,-4",
        "'a'\t'b'\n1\t2.5\n3\t-4\n",
    ],
)
def test_csv_with_header(tmp_path, text):
    data = read(csv(tmp_path, text))
    assert data.x.tolist() == [[1, 2.5], [3, -4]]
    assert data.columns == ("a", "b")
    assert data.labels is None


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("\ufeff1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("0,1\n2,3\n", [[0, 1], [2, 3]]),
        ("0,1,2,3\n5,6,7,8\n", [[5, 6, 7, 8]]),
        ("1,2,3,4\n5,6,7,8\n", [[5, 6, 7, 8]]),
        ("7\n8\n", [[7], [8]]),
    ],
)
def test_csv_without_header(tmp_path, text, rows):
    assert read(csv(tmp_path, text)).x.tolist() == rows


def test_csv_types_are_those_of_the_whole_column(tmp_path):
    rows = [f"{i},{i}" for i in range(200_000)]
    data = read(csv(tmp_path, "a,b\n" + "\n".join(rows) + "\n0.5,1\n"))
    assert data.x[-1].tolist() == [0.5, 1]
    assert [field.kind for field in data.schema] == ["real", "counts"]


@pytest.mark.parametrize(
    ("values", "kind"), [("0\n1\n", "binary"), ("3\n0\n", "counts"), ("0.5\n1\n", "unit")]
)
def test_csv_kinds(tmp_path, values, kind):
    assert read(csv(tmp_path, f"a\n{values}")).kind == kind


@pytest.mark.parametrize("name", ["label", "class", "Class", "LABEL"])
def test_a_column_called_label_or_class_is_the_labels(tmp_path, name, caplog):
    with caplog.at_level(logging.INFO, "lowerbound"):
        data = read(csv(tmp_path, f"a,{name},b\n1,x,2\n3,y,4\n5,x,6\n"))
    assert data.labels.tolist() == [0, 1, 0]
    assert data.classes == ("x", "y")
    assert data.columns == ("a", "b")
    assert data.x.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert f"from column {name!r}" in data.summary()
    assert f"t.csv: column {name!r} is taken for the class labels" in caplog.text


def test_csv_labels_are_named(tmp_path):
    path = csv(tmp_path, "a,target\n1,9\n3,10\n")
    assert read(path).columns == ("a", "target")
    data = read(path, labels="target")
    assert data.classes == ("9", "10")
    assert data.x.tolist() == [[1], [3]]
    with pytest.raises(
        ConfigurationError, match=r"name a column, got 'taget'; did you mean target"
    ):
        read(path, labels="taget")


@pytest.mark.parametrize(
    ("written", "classes"),
    [
        (["1.0", "2.0"], ("1", "2")),
        (["1.00e+00", "2.00e+01"], ("1", "20")),
        (["1e5", "10e4"], ("10e4", "1e5")),
        (["007", "7"], ("007", "7")),
        (["007", "7.0"], ("007", "7.0")),
        (["9007199254740993.0", "9007199254740992.0"], ("9007199254740992", "9007199254740993")),
        (["v1.5", "2.5"], ("2.5", "v1.5")),
        (["0.25", "1"], "got 0.25 in row 0 .*a quantity is no class"),
        (["1", "inf"], "got inf in row 1 .*a quantity is no class"),
    ],
)
def test_csv_labels_that_are_numbers(tmp_path, written, classes):
    """As those of an array of them: whole ones are classes, and fractions are refused."""
    path = csv(tmp_path, f"a,label\n5,{written[0]}\n6,{written[1]}\n")
    if isinstance(classes, tuple):
        assert read(path).classes == classes
        return
    for refused in (lambda: read(path), lambda: from_arrays([[5], [6]], [*map(float, written)])):
        with pytest.raises(DataError, match=classes):
            refused()


@pytest.mark.parametrize("label", ["9223372036854775808.0", "1.00000000000000000001"])
def test_csv_labels_that_int64_does_not_hold_are_refused(tmp_path, label):
    with pytest.raises(DataError, match=f"that int64 holds .*{label}.* in row 0"):
        read(csv(tmp_path, f"a,label\n5,{label}\n6,2.0\n"))


def test_csv_labels_by_number_without_a_header(tmp_path):
    data = read(csv(tmp_path, "1,2,7\n3,4,8\n"), labels="2")
    assert data.x.tolist() == [[1, 2], [3, 4]]
    assert data.classes == ("7", "8")
    assert data.columns is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a table of numbers, got an empty file"),
        ("\n\n", "got an empty file"),
        ("a,b\n", "expected at least one row of numbers, got none"),
        ("a,b\n1,2\n\n3,x\n", r"numbers in column 'b', got 'x' in line 4; .*--labels b\)"),
        ("1,2\n3,x\n", "column '1', got 'x' in line 2"),
        ("a;b\n1;2\n3;4,5\n", "got '4,5' in line 3"),
        ("a,b\n\n\n-inf,2\n3,4\n", "got -inf in line 4, column 'a'"),
        (
            "a,b\n1,1e199\n",
            r"expected numbers below 1e\+150 .* 1e\+199 in row 0, column 'b'",
        ),
        ('a,"b\nc",d\n1,2,3\n', "first line to end its quotes, got 'b', which goes on in the next"),
        ('a,b\n1,"2\n3"\n4,5\n', r"numbers in column 'b', got '2\\n3' in line 2"),
        ("a,b\n1,2\n3\n4,5\n", "expected 2 fields in every line, got 1 in line 3"),
        ("a,b\n1,2\n3,4,5\n", "got 3 in line 3"),
        ("a,,c\n1,2,3\n", "a name for every column, got '' for column 1"),
        ("a,b,a\n1,2,3\n", "columns of different names, got 'a' 2 times"),
        ("label\n1\n2\n", "one column of numbers besides the labels, got only 'label'"),
        ("a,label\n1,x\n2,\n", "expected a class label, got none in line 3, column 'label'"),
        (b"a,b\n1,\xff\n", "expected text in UTF-8, got byte ff"),
        (b"\xff\xfea\x00", "expected text in UTF-8, got byte ff"),
        ("a,b\n1,2\n", "expected at least 2 examples"),
    ],
)
def test_csv_contents_that_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=rf"t\.csv: (.*{message}|{message})"):
        load(csv(tmp_path, text))


def test_csv_names_that_are_numbers_are_told_from_examples(tmp_path, caplog):
    rng = np.random.default_rng(0)
    wavelengths, years = np.linspace(900, 1700, 30).round(1), np.arange(1990, 2020)
    spectra = np.exp(-(((wavelengths - rng.normal(1200, 30, (40, 1))) / 80) ** 2)).round(4)
    growing = np.cumsum(rng.random((40, 30)), axis=1).round(3) + 1e4 * rng.random((40, 1)).round(3)
    for names, rows in ((wavelengths, spectra), (years, growing), (years, 2000 + spectra)):
        table = "\n".join(",".join(map(str, row)) for row in [names, *rows])
        with caplog.at_level(logging.INFO, "lowerbound"):
            data = read(csv(tmp_path, table))
        assert data.columns == tuple(map(str, names))
        assert len(data) == 40
        assert "is taken for the names of the columns" in caplog.text
        assert len(read(csv(tmp_path, table), header=False)) == 41


@pytest.mark.parametrize(
    ("first", "spread", "named"),
    [
        ([0, 1], 0.5, True),  # pandas' names of columns without names
        ([0.5, 1], 0.5, False),
        ([2019, 2020, 2021], 0.5, True),
        ([900.5, 950.2], 0.5, True),
        (['"3"', '"1"'], 0.5, True),
    ],
)
def test_csv_few_columns(tmp_path, first, spread, named):
    rows = np.random.default_rng(0).normal(0, spread, (20, len(first))).round(3) + 0.0004
    table = "\n".join(",".join(map(str, row)) for row in [first, *rows])
    assert len(read(csv(tmp_path, table))) == 21 - named


@pytest.mark.parametrize(
    "rows",
    [
        [[9e6, 9.1e6, 9.3e6], *([i * 1e5, i * 1.01e5, i * 1.03e5] for i in range(20, 1, -1))],
        np.random.default_rng(1).normal(5, 2, (30, 4)).round(1),  # of no order
        np.sort(np.random.default_rng(2).random((30, 6)).round(3)),  # each in order
        [[i, 2 * i, 3 * i] for i in range(1, 30)],  # the first below all others
        [[1, 2, 3, 4], [2, 1, 4, 3], [4, 3, 2, 1]],  # ranks
        [[5.1, 3.5, 1.4, 0.2], [4.9, 3, 1.4, 0.2], [7, 3.2, 4.7, 1.4], [6.3, 3.3, 6, 2.5]] * 5,
    ],
)
def test_csv_examples_are_told_from_names(tmp_path, rows, caplog):
    with caplog.at_level(logging.INFO, "lowerbound"):
        data = read(csv(tmp_path, "\n".join(",".join(map(str, row)) for row in rows)))
    assert len(data) == len(rows)
    assert data.columns is None
    assert "taken for an example, like the rows below; if it names" in caplog.text


@pytest.mark.parametrize(
    ("text", "rows", "level"),
    [
        ("3,7\n" + "2.5,9.25\n6.2,4.5\n" * 5, 11, "WARNING"),
        ("3,7\n" + "2.5,9.0\n6.2,4.5\n" * 5, 10, "WARNING"),  # 9 is written as 9.0
        ("3,7\n" + "2.50,9.25\n6.20,4.50\n" * 5, 10, "WARNING"),
        ("5.1,3.5\n4.9,3.0\n4.7,3.2\n", 3, "INFO"),
        (",5.1,2.2\n0,4.9,3.0\n1,4.7,3.2\n", 2, "WARNING"),
    ],
)
def test_csv_guesses_are_warned_of(tmp_path, text, rows, level, caplog):
    with caplog.at_level(logging.INFO, "lowerbound"):
        assert len(read(csv(tmp_path, text))) == rows
    assert [r.levelname for r in caplog.records if "its first line" in r.message] == [level]


def test_csv_a_missing_first_value_is_no_name(tmp_path):
    for text in (",5.1,2.2\n7,4.9,3.0\n9,4.7,3.2\n", "5.1,,2.2\n7,4.9,3.0\n9,4.7,3.2\n"):
        data = read(csv(tmp_path, text))
        assert (len(data), int(data.x.isnan().sum())) == (3, 1)


@pytest.mark.parametrize(
    ("text", "how", "name"),
    [
        ("a,b,a\n1,2,3\n", {"columns": ("a", "b")}, "a"),
        ("a,label,label\n1,x,y\n", {}, "label"),
        ("a,b,b\n1,2,3\n", {"labels": "b"}, "b"),
        ("a,b,b\n1,2,3\n", {"columns": ("a",), "labels": "b"}, "b"),
    ],
)
def test_csv_columns_of_one_name_are_refused_where_they_are_read(tmp_path, text, how, name):
    with pytest.raises(DataError, match=f"different names, got '{name}' 2 times; rename them"):
        read(csv(tmp_path, text), **how)


def test_csv_columns_of_one_name_that_are_not_read_may_be_there(tmp_path):
    assert read(csv(tmp_path, "a,b,b\n1,2,3\n"), columns=("a",)).x.tolist() == [[1]]


def test_csv_of_examples_with_a_class_keeps_its_first_line(tmp_path):
    rows = [f"{5 + i / 10:.1f},3.5,{'setosa' if i % 2 else 'virginica'}" for i in range(20)]
    path = csv(tmp_path, "\n".join(rows))
    whole = read(path)
    assert whole.columns == ("0", "1", "2")
    assert whole.schema[2].categories == ("setosa", "virginica")
    data = read(path, labels="2")
    assert len(data) == 20
    assert data.classes == ("setosa", "virginica")


def test_csv_header_is_as_told(tmp_path):
    path = csv(tmp_path, "1,2\n3,4\n5,6\n")
    assert read(path, header=True).columns == ("1", "2")
    assert read(csv(tmp_path, "1990,1991\n9,8\n"), header=False).columns is None
    with pytest.raises(
        DataError, match=r"'0', got 'a' in line 1; likewise 'b' in column '1' in line 1; .*0=categ"
    ):
        read(csv(tmp_path, "a,b\n1,2\n"), header=False)
    with pytest.raises(ConfigurationError, match="no header= with Parquet, got True; leave it out"):
        read(write(tmp_path, {"a": [1.0]}), header=True)


def test_csv_truth_values(tmp_path):
    text = "a,b,c\n" + "0.5,True,false\n1.5,False,true\n" * 2
    assert read(csv(tmp_path, text)).x.tolist() == [[0.5, 1, 0], [1.5, 0, 1]] * 2


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__", "index", "Id"])
def test_columns_that_count_the_rows_are_left_out(tmp_path, name, caplog):
    rows = [f"{i},{7 - i}" for i in range(4)]
    with caplog.at_level(logging.INFO, "lowerbound"):
        data = read(csv(tmp_path, "\n".join([f"{name},a", *rows])))
    assert data.columns == ("a",)
    assert f"column {name!r} only counts the rows, and is left out" in caplog.text
    if name:
        assert read(write(tmp_path, {name: [0, 1, 2], "a": [5, 7, 6]})).columns == ("a",)
        values = csv(tmp_path, f"{name},a\n0.3,1\n0.2,2\n0.3,4\n")
        assert read(values).columns == (name, "a")


def test_columns_by_name(tmp_path, caplog):
    path = csv(tmp_path, "b,note,a,label\n2,x,1,u\n4,y,3,v\n")
    with caplog.at_level(logging.INFO, "lowerbound"):
        data = read(path, columns=("a", "b"))
    assert data.x.tolist() == [[1, 2], [3, 4]]
    assert data.columns == ("a", "b")
    assert data.classes == ("u", "v")
    assert "t.csv: column 'note' left out" in caplog.text
    table = write(tmp_path, {"b.c": [2.0], "b": [9.0], "note": ["x"], "a": [1.0]})
    assert read(table, columns=("a", "b.c")).x.tolist() == [[1, 2]]
    with pytest.raises(DataError, match="got none called 'weight'; did you mean wieght"):
        read(csv(tmp_path, "a,wieght\n1,2\n"), columns=("a", "weight"))
    with pytest.raises(DataError, match="got none called 'weight'; it has 'a', 'size'"):
        read(csv(tmp_path, "a,size\n1,2\n"), columns=("a", "weight"))


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("labels", ["city", "odd"])
def test_a_column_may_be_one_of_the_models_and_the_labels(tmp_path, labels, on_disk):
    columns = {"city": ["u", "v", "v"], "a": [2.5, 4.0, 1.0], "odd": [0, 1, 1]}
    rows = (",".join(map(str, row)) for row in zip(*columns.values(), strict=True))
    how = {"labels": labels, "columns": tuple(columns), "on_disk": on_disk}
    for path in (csv(tmp_path, "\n".join(["city,a,odd", *rows])), write(tmp_path, columns)):
        data = read(path, **how).take(3)
        assert data.x.tolist() == [[0, 2.5, 0], [1, 4, 1], [1, 1, 1]]
        assert data.labels.tolist() == [0, 1, 1]
        if not on_disk:
            assert data.classes == (("u", "v") if labels == "city" else ("0", "1"))


def test_columns_of_a_frame_are_taken_by_name_and_may_be_the_labels_too():
    frame = pa.table({"city": ["u", "v", "v"], "a": [2.5, 4.0, 1.0], "b": [1.5, 2.5, 0.5]})
    data = from_arrays(frame, "city", columns=["b", "city"])
    assert data.columns == ("b", "city")
    assert data.x.tolist() == [[1.5, 0], [2.5, 1], [0.5, 1]]
    assert (data.labels.tolist(), data.classes) == ([0, 1, 1], ("u", "v"))
    assert from_arrays(frame, "city").columns == ("a", "b")
    with pytest.raises(DataError, match="expected the columns 'a', 'c', got none called 'c'"):
        from_arrays(frame, columns=["a", "c"])


def test_csv_in_pieces_is_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 200)
    rows = np.random.default_rng(0).normal(size=(500, 3)).round(3)
    text = "\n".join(["a,b,c", *(",".join(map(str, row)) for row in rows)])
    np.testing.assert_array_equal(read(csv(tmp_path, text)).x.numpy(), rows)
    with pytest.raises(DataError, match="got 'x' in line 502"):
        read(csv(tmp_path, text + "\n1,x,3"))
    assert read(csv(tmp_path, text + "\n1,nan,3")).x[-1].isnan().tolist() == [False, True, False]
    mixed = "\n".join(["a,b", *(f"{'yxz'[i % 3]},{i % 7 or ''}" for i in range(500))])
    data = read(csv(tmp_path, mixed))
    assert data.schema[0].categories == ("x", "y", "z")
    assert data.x[:3, 0].tolist() == [1, 0, 2]
    assert data.x[:, 0].long().bincount().tolist() == [167, 167, 166]
    assert data.x[:, 1].nan_to_num(0).tolist() == [i % 7 for i in range(500)]


def test_csv_lines_have_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "LONGEST_LINE", 1000)
    with pytest.raises(DataError, match="at most 1,000 characters, got a longer one, line 2"):
        read(csv(tmp_path, "a\n" + "1" * 2000 + "\n"))
    monkeypatch.setattr(delimited, "MOST_COLUMNS", 3)
    with pytest.raises(DataError, match="expected at most 3 columns, got 4"):
        read(csv(tmp_path, "a,b,c,d\n1,2,3,4\n"))
    rows = "\n".join(["a", *["1"] * 300, "2" * 900])
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 100)
    with pytest.raises(DataError, match="about as many characters as the first few"):
        read(csv(tmp_path, rows))


def write(tmp_path, columns, **options):
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table(columns), path, **options)
    return path


def test_parquet_round_trip(tmp_path):
    columns = {
        "f": pa.array([0.5, 1.5, 2.5]),
        "i": pa.array([1, 2, 3], pa.int8()),
        "b": pa.array([True, False, True]),
        "class": pa.array(["x", "y", "x"]).dictionary_encode(),
    }
    data = read(write(tmp_path, columns))
    assert data.x.tolist() == [[0.5, 1, 1], [1.5, 2, 0], [2.5, 3, 1]]
    assert data.columns == ("f", "i", "b")
    assert data.classes == ("x", "y")
    assert data.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "labels", [pa.array([4, 2, 4]), pa.array(["4", "2", "4"]), pa.array([4.0, 2.0, 4.0])]
)
def test_parquet_labels(tmp_path, labels):
    path = write(tmp_path, {"a": [1, 2, 3], "k": labels})
    data = read(path, labels="k")
    assert data.classes == ("2", "4")
    assert data.labels.tolist() == [1, 0, 1]


def test_hive_names_in_the_path_are_no_columns(tmp_path):
    folder = tmp_path / "year=2020"
    folder.mkdir()
    assert read(write(folder, {"a": [1, 2]})).columns == ("a",)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [[1], [2]], "b": [{"c": 1}, None]}, r"'a', got \[1\] in .*likewise .* column 'b'"),
        ({"a": [1.0, float("inf")]}, r"got inf in row 1 \(counted from 0\), column 'a'"),
        ({"a": pa.array([], pa.float64())}, "at least one row of numbers, got none"),
        ({"a": [1, 2], "label": ["x", None]}, "expected a class label, got none in row 1"),
        ({"a": [1, 2], "label": [[1], [2]]}, "class labels, .*, in column 'label', got list"),
        ({"a": [1, 2], "label": [0.5, 1.0]}, r" labels: .*got 0\.5 in row 0"),
    ],
)
def test_parquet_contents_that_are_refused(tmp_path, columns, message):
    with pytest.raises(DataError, match=rf"t\.parquet.*{message}"):
        load(write(tmp_path, columns))


@pytest.mark.parametrize("kept", [0, 3, 100, -1])
def test_parquet_truncated(tmp_path, kept):
    path = write(tmp_path, {"a": np.arange(50.0)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"t\.parquet: expected a whole Parquet file"):
        load(path)


def people(n: int = 60) -> str:
    """A table as people have them: each kind of column, a constant, names of rows, free text."""
    rng = np.random.default_rng(0)
    lines = ["name,town,height,children,born,member,grade,country,remarks,income"]
    for i in range(n):
        height = "NA" if i % 9 == 0 else f"{rng.normal(170, 10):.1f}"
        born = datetime.date(1990, 1, 1) + datetime.timedelta(days=int(rng.integers(9000)))
        town = ["Oslo", "Rome", '"Bath, UK"', ""][i % 4]
        remarks = f"seen by the doctor on day {i}" if i % 2 else ""
        fields = (f"P{i}", town, height, rng.poisson(1.5), born.strftime("%d.%m.%Y"))
        more = (i % 3 == 0, 1 + i % 3, "NO", remarks, int(rng.integers(20_000, 90_000)))
        lines.append(",".join(map(str, (*fields, *more))))
    return "\n".join(lines) + "\n"


def test_each_column_is_of_its_own_kind_and_comes_back_as_it_is_written(tmp_path, caplog):
    path = csv(tmp_path, people())
    with caplog.at_level("INFO", "lowerbound"):
        train = load(path).train
    assert [(field.name, field.kind) for field in train.schema] == [
        ("town", "categories"),
        ("height", "real"),
        ("children", "counts"),
        ("born", "real"),
        ("member", "binary"),
        ("grade", "ordinal"),
        ("income", "counts"),
    ]
    assert train.schema[0].categories == ("Bath, UK", "Oslo", "Rome")
    for told in (
        "left out: column 'name' (names of the rows;",
        "left out: column 'country' (the same in all rows)",
        "left out: column 'remarks' (free text;",
    ):
        assert told in caplog.text
    whole = read(path)
    cells = whole.table(whole.x[:4])
    assert cells["town"] == ["Oslo", "Rome", "Bath, UK", None]
    assert cells["height"][0] is None
    assert cells["member"] == [True, False, False, True]
    assert cells["grade"] == [1, 2, 3, 1]
    assert all(isinstance(day, datetime.date) for day in cells["born"])
    first = people().splitlines()[1].split(",")
    born = next(field for field in whole.schema if field.name == "born")
    assert born.texts(whole.x[:1, 4]) == [first[4]]
    table = column_table(train, ["Gaussian"] * 7)
    assert table[0].split() == ["column", "kind", "such", "as", "missing", "family"]
    assert table[1].split()[:3] == ["town", "categories", "(3)"]
    assert "dates" in table[4]
    wide = from_arrays(
        np.random.default_rng(0).poisson(3, (30, 60)), columns=[*map(str, range(60))]
    )
    table = [line.split() for line in column_table(wide, ["Poisson"] * 60)]
    assert table[-1] == ["and", "57", "more", "counts", "Poisson"]
    assert len(table) == 5


def test_kinds_may_be_told(tmp_path):
    path = csv(tmp_path, people())
    kinds = {"name": "categories", "grade": "categories", "children": "real", "town": "ignore"}
    train = load(path, kinds=kinds | {"height": "positive", "born": "dates"}).train
    found = {field.name: field.kind for field in train.schema}
    assert found == {
        "name": "categories",
        "height": "positive",
        "children": "real",
        "born": "real",
        "member": "binary",
        "grade": "categories",
        "income": "counts",
    }
    grade = next(field for field in train.schema if field.name == "grade")
    assert grade.categories == ("1", "2", "3")
    with pytest.raises(ConfigurationError, match=r"its columns, got 'heigth'; did you mean height"):
        load(path, kinds={"heigth": "real"})
    with pytest.raises(ConfigurationError, match=r"kind of column 'height' to be real, .*'reall'"):
        load(path, kinds={"height": "reall"})
    with pytest.raises(DataError, match="numbers in column 'town', got 'Oslo' in line 2"):
        load(path, kinds={"town": "counts"})
    with pytest.raises(ConfigurationError, match=r"got '01/02/2003', in which day and month"):
        read(csv(tmp_path, "a,b\n01/02/2003,1\n03/04/2005,2\n"), kinds={"a": "dates"})
    told = read(csv(tmp_path, "a,b\n01/02/2003,1\n"), kinds={"a": "dates:%d/%m/%Y"})
    assert told.table(told.x)["a"] == [datetime.date(2003, 2, 1)]


def test_parquet_holds_what_csv_does(tmp_path):
    columns = {
        "town": pa.array(["Oslo", None, "Rome", "Oslo"]).dictionary_encode(),
        "age": pa.array([3, None, 5, 4], pa.int8()),
        "height": pa.array([1.5, float("nan"), 2.5, None]),
        "born": [datetime.date(2000, 1, 2), None, datetime.date(1999, 1, 1), None],
        "seen": pa.array([datetime.datetime(2000, 1, 2, 12), None, None, None]),
        "nothing": pa.nulls(4),
    }
    data = load(write(tmp_path, columns), test=1).train
    assert data.columns == ("town", "age", "height", "born", "seen")
    whole = read(write(tmp_path, {k: v for k, v in columns.items() if k != "nothing"}))
    cells = whole.table(whole.x)
    assert cells["town"] == ["Oslo", None, "Rome", "Oslo"]
    assert cells["age"] == [3, None, 5, 4]
    assert cells["height"] == [1.5, None, 2.5, None]
    assert cells["born"] == columns["born"]
    assert cells["seen"][0] == datetime.datetime(2000, 1, 2, 12)


def test_a_frame_s_mixed_columns_are_refused_at_once():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, "x"], "b": [2.0, 3.0], "c": ["y", 4]})
    with pytest.raises(DataError, match=r"column 'a': .*; column 'c': .*each column of one type"):
        from_arrays(frame)
    sparse = pandas.DataFrame({"a": pandas.arrays.SparseArray([0.0, 0.0, 1.5])})
    assert from_arrays(sparse).x.tolist() == [[0], [0], [1.5]]


def test_dates_as_text_in_frames_are_read_as_they_are_told():
    frame = pa.table({"d": ["01/02/2003", None, "13/04/2005"], "a": [1.5, 2.5, 3.5]})
    found = from_arrays(frame, kinds={"d": "dates"})
    assert found.table(found.x)["d"] == [
        datetime.date(2003, 2, 1),
        None,
        datetime.date(2005, 4, 13),
    ]
    assert found.schema[0].texts(found.x[:1, 0]) == ["01/02/2003"]
    with pytest.raises(DataError, match=r"expected dates as %m/%d/%Y .*'d', got '13/04/2005' in a"):
        from_arrays(frame, kinds={"d": "dates:%m/%d/%Y"})


def test_dates_of_no_one_format_are_told(tmp_path, caplog):
    for cells in (["2020-01-31", "31.01.2020"], ["01/02/2003", "03/04/2005"]):
        found = read(csv(tmp_path, "\n".join(["d,a", *(f"{cell},1" for cell in cells)])))
        assert found.schema[0].kind == "categories"
        assert "column 'd' holds dates of several formats" in caplog.text
        caplog.clear()
    read(csv(tmp_path, "d,a\nred,1\nblue,2\n"))
    assert not caplog.text


@pytest.mark.parametrize(
    ("times", "kind"),
    [
        ({1: 3, 2: 20, 3: 200, 4: 300, 5: 100}, "ordinal"),  # rare, but the largest is not
        ({1: 3, 2: 20, 3: 200, 4: 300, 5: 9}, "real"),  # the largest is; and it varies little
        ({0: 200, 1: 200, 2: 80, 3: 30, 4: 9}, "counts"),  # the largest of counts is rare
        ({0: 200, 1: 200, 2: 80, 3: 30, 4: 10}, "ordinal"),
        ({1: 50, 2: 50}, "ordinal"),
        ({0: 50, 1: 50}, "binary"),
        (dict.fromkeys(range(1, 21), 10), "ordinal"),
        (dict.fromkeys(range(1, 22), 10), "counts"),  # too many
        (dict.fromkeys(range(101, 121), 9), "real"),  # not often enough; far from 0
        ({0: 50, 2.5: 50, 5.5: 2}, "ordinal"),
        ({0: 50, 2.5: 50, 5.5: 1}, "real"),
    ],
)
def test_whole_numbers_are_counts_levels_or_measures(times, kind):
    x = np.repeat([*times], [*times.values()])
    frame = pa.table(
        {"x": np.random.default_rng(0).permutation(x), "y": np.linspace(-1, 1, len(x))}
    )
    assert from_arrays(frame).schema[0].kind == kind


def test_dates_that_are_none_are_refused_in_every_row_and_others_are_read_as_written(tmp_path):
    days = [f"{1 + i % 28}.{1 + i % 12}.2020" for i in range(250)]
    good = read(csv(tmp_path, "\n".join(["d", *days, "29.02.2020", "NA", ""])))
    dates = [datetime.datetime.strptime(day, "%d.%m.%Y").date() for day in days]
    assert good.table(good.x)["d"] == [*dates, datetime.date(2020, 2, 29), None]
    for bad in ("30.02.2020", "29.02.2021", "31.04.2020"):
        with pytest.raises(DataError, match=rf"dates as %d.%m.%Y in column 'd', got '{bad}' in li"):
            read(csv(tmp_path, "\n".join(["d", *days, bad])))
    for form, cells in (
        ("%Y-%m-%dT%H:%M:%S.%f", ("2020-03-01T12:00:00.250000", "2021-03-01T00:00:00.000001")),
        ("%Y-%m-%dT%H:%M:%SZ", ("2020-03-01T12:00:00Z", "2021-03-01T00:00:00Z")),
        ("%d.%m.%Y %I:%M %p", ("01.03.2020 12:00 PM", "31.03.2021 05:30 AM")),
        ("%Y-%m-%d %H:%M:%S", ("2020-03-01 00:00:00", "2021-03-01 00:00:00")),  # midnight only
    ):
        for kinds in {"d": f"dates:{form}"}, *[{}] * ("%p" not in form):
            told = read(csv(tmp_path, "\n".join(["d", *cells, "NA", ""])), kinds=kinds)
            assert told.schema[0].texts(told.x[:, 0]) == [*cells, ""]
            assert (told.kind, told.schema[0].form) == ("real", form)
    zoned = csv(tmp_path, "d\n2020-03-01T00:30:00+01:00\n2020-02-29T18:30:00-0500\n")
    (field,), x = (zoned := read(zoned)).schema, zoned.x[:, 0]
    assert field.texts(x) == ["2020-02-29T23:30:00+0000"] * 2
    with pytest.raises(ConfigurationError, match=r"format of dates for column 'd', .* got '%Q'"):
        read(csv(tmp_path, "d\n1\n2\n"), kinds={"d": "dates:%Q"})
    told = read(csv(tmp_path, "d\n2020-061\n2021-060\n"), kinds={"d": "dates:%Y-%j"})
    assert told.table(told.x)["d"] == [datetime.date(2020, 3, 1), datetime.date(2021, 3, 1)]


def test_zones_and_fractions_of_seconds_are_read_by_arrow(tmp_path, monkeypatch):
    cells = ["2020-01-07 04:52:52.881355+00:00", "2020-01-07 05:52:52.5+0100"]
    data = read(csv(tmp_path, "\n".join(["d", *cells, ""])))
    assert data.schema[0].form == "%Y-%m-%d %H:%M:%S.%f%z"
    for form, bad in (
        ("%Y-%m-%dT%H:%M:%S%z", "9999-12-31T23:59:59-05:00"),
        ("%Y-%m-%dT%H:%M:%S%z", "0001-01-01T00:00:00+01:00"),
        ("%Y-%m-%d %H:%M:%S.%f%z", "2020-02-30 00:00:00.5+00:00"),
    ):
        kinds, message = {"d": f"dates:{form}"}, f"dates as {form} in column 'd', got '{bad[:10]}"
        with pytest.raises(DataError, match=message):
            read(csv(tmp_path, f"d\n{bad}\n{bad}\n"), kinds=kinds)
        with pytest.raises(DataError, match=message):
            read(write(tmp_path, {"d": [bad] * 2}), kinds=kinds)
    unpadded = "2020-1-7 5:52:52.5+0100"
    met = []
    known = cells_of_text.instant
    monkeypatch.setattr(cells_of_text, "instant", lambda *told: met.append(told) or known(*told))
    found = cells_of_text.typed(pa.chunked_array([[*cells, unpadded, None]]), data.schema[0].form)
    second = datetime.datetime(2020, 1, 7, 4, 52, 52)
    micro = datetime.timedelta(microseconds=1)
    times = [second + 881_355 * micro, *[second + 500_000 * micro] * 2, None]
    assert found.to_pylist() == times
    assert [cell for cell, _ in met] == [unpadded]


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("t.csv", "1,5", "-2.250,75"),
        ("t.tsv", "1,000", "12,345,678.5"),
        ("t.parquet", "1234,5", "0,1"),
        ("", "1,000", "2,500"),
    ],
)
def test_numbers_with_commas_are_no_categories(tmp_path, name, first, second):
    columns = {"a": [first, second, ""] * 10, "b": list(range(30)), "c": ["x", "1,5", "y"] * 10}
    kinds = {"a": "categories"}
    if name.endswith("v"):
        mark = ";" if name.endswith("csv") else "\t"
        rows = [mark.join(map(str, row)) for row in zip(*columns.values(), strict=True)]
        source = csv(tmp_path, "\n".join([mark.join(columns), *rows]), name)
    else:
        source = write(tmp_path, columns) if name else pa.table(columns)
    ask = read if name else from_arrays
    with pytest.raises(DataError, match=r"decimal point .*, got '.*,.*' in column 'a'; write them"):
        ask(source)
    assert [field.kind for field in ask(source, kinds=kinds).schema][::2] == ["categories"] * 2


def test_categories_of_arrow_are_numbers_where_it_is_told():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": pandas.Categorical([10, 20, None, 10, 30]), "y": list("ababa")})
    told = from_arrays(frame, kinds={"x": "real"})
    assert told.x[:, 0].nan_to_num(-1).tolist() == [10, 20, -1, 10, 30]
    assert told.schema[0].kind == "real"
    assert from_arrays(frame).schema[0].categories == ("10", "20", "30")
    words = frame.assign(y=frame.y.astype("category"))
    with pytest.raises(DataError, match="expected numbers in column 'y', got 'a'"):
        from_arrays(words, kinds={"y": "real"})


def test_vast_numbers_are_no_names_of_categories():
    for value in (1e300, -(2.0**53), float("inf")):
        table = pa.table({"x": [1.0, value, 2.0], "y": [1.0, 2.0, 3.0]})
        with pytest.raises(
            DataError, match=r"whole numbers below 2⁵³, or words, in column 'x', go"
        ):
            from_arrays(table, kinds={"x": "categories"})
    small = from_arrays(pa.table({"x": [2.0**53 - 1, 1.0]}), kinds={"x": "categories"})
    assert small.schema[0].categories == ("1", str(2**53 - 1))


def test_what_is_told_of_columns_holds_by_place_where_a_file_does_not_name_them(tmp_path, caplog):
    kinds = {"town": "categories", "born": "dates:%d.%m.%Y", "age": "real"}
    columns = ("town", "age", "born")
    path = csv(tmp_path, "Oslo,3,01.02.2003\nRome,4,03.02.2001\n")
    with caplog.at_level("INFO", "lowerbound"):
        found = read(path, columns=columns, kinds=kinds, header=False)
    assert "have no names, and are taken in the model's order" in caplog.text
    assert found.columns == columns
    cells = found.table(found.x)
    assert cells["town"] == ["Oslo", "Rome"]
    assert cells["born"] == [datetime.date(2003, 2, 1), datetime.date(2001, 2, 3)]
    labelled = read(
        path, columns=columns[:2], kinds={"town": "categories"}, header=False, labels="2"
    )
    assert (labelled.columns, len(labelled.classes)) == (columns[:2], 2)
    with pytest.raises(DataError, match="expected the columns 'town', 'age', got 3 without names"):
        read(path, columns=columns[:2], kinds={"town": "categories"}, header=False)


def rewritten(path, fields, gaps, tables, reading, **options):
    """What `rewrite` writes of tables that are taken in a row at a time."""
    filled, out = Filled(len(tables)), io.BytesIO()
    for row in range(len(gaps)):
        here = slice(row, row + 1)
        filled.add(gaps[here], [table[here] for table in tables])
    rewrite(path, out, fields, filled, reading, **options)
    return out.getvalue()


def test_cells_are_written_anew_and_the_rest_stays_byte_for_byte(tmp_path):
    text = b'\xef\xbb\xbftown,"age",note\r\n\r\n Oslo ,,"a ""b"", c"\r\n"",7,NA\r\nRome,8.0,x'
    path = tmp_path / "t.csv"
    path.write_bytes(text)
    fields = (
        Field("age", "real", form="whole"),
        Field("town", "categories", categories=("Bath, UK",)),
    )
    gaps = torch.tensor([[True, False], [False, True], [False, False]])
    table = torch.tensor([[41.4, 0], [7, 0], [8, 0]])
    columns = Reading(columns=("age", "town"))
    found = rewritten(path, fields, gaps, [table], columns)
    expected = text.replace(b"Oslo ,,", b"Oslo ,41,").replace(b'"",7', b'"Bath, UK",7')
    assert found == expected
    several = rewritten(path, fields, gaps, [table, table + 1], columns, numbered=True)
    assert several.count(b"\r\n") == several.count(b"\n") == 8
    several = several.decode().removeprefix("\ufeff")
    rows = [line.split(",")[0] for line in several.splitlines() if line]
    assert rows == ["draw", "1", "1", "1", "2", "2", "2"]
    assert "2, Oslo ,42," in several
    with pytest.raises(DataError, match="expected the 2 rows that were read, got 3"):
        rewritten(path, fields, gaps[:2], [table[:2]], columns)
    write(tmp_path, {"town": pa.array(["Bath", None]).dictionary_encode(), "age": [None, 3]})
    bath = (Field("town", "categories", categories=("Bath",)), Field("age", "real", form="whole"))
    holes = torch.tensor([[False, True], [True, False]])
    values = torch.tensor([[0, 2.2], [0, 3]])
    (tmp_path / "u.parquet").write_bytes(
        rewritten(tmp_path / "t.parquet", bath, holes, [values], Reading())
    )
    filled = parquet.read_table(tmp_path / "u.parquet").to_pydict()
    assert filled == {"town": ["Bath", "Bath"], "age": [2, 3]}


@pytest.mark.parametrize("piece", [1, 7, 2**20])
def test_quotes_open_where_a_cell_begins_and_hold_line_breaks(tmp_path, monkeypatch, piece):
    monkeypatch.setattr("lowerbound.data.rewriting.PIECE", piece)
    text = 'a,b,c,d\n1,,5" pipe,2\n,6" x,"y\n,""z"""q,\n2,"u",,5" pipe\n\n3,v,w,2\n'
    path = csv(tmp_path, text)
    data = read(path, kinds={"b": "categories", "d": "categories"})
    gaps = data.x.isnan()
    assert gaps.nonzero().tolist() == [[0, 1], [1, 0], [1, 3], [2, 2]]
    codes = torch.tensor([field.categories is None for field in data.schema]) * 9.0
    found = rewritten(path, data.schema, gaps, [torch.where(gaps, codes, data.x)], Reading())
    names = [field.categories[0] if field.categories else "" for field in data.schema]
    assert names == ["", '6" x', '5" pipe', "2"]
    expected = text.replace("1,,", '1,"6"" x",').replace("\n,6", "\n9,6").replace("q,\n", "q,2\n")
    assert found.decode() == expected.replace('"u",,', '"u","5"" pipe",')


def test_draws_are_numbered_and_the_mark_at_the_start_is_kept_once(tmp_path):
    path = csv(tmp_path, "\ufeff,1.5\n4.2,")
    gaps = torch.tensor([[True, False], [False, True]])
    fields, table = (Field("0", "real"), Field("1", "real")), torch.full((2, 2), 9.0)
    bare = Reading(header=False)
    for draws, expected in {
        1: "\ufeff1,9.0,1.5\n1,4.2,9.0",
        2: "\ufeff1,9.0,1.5\n1,4.2,9.0\n2,9.0,1.5\n2,4.2,9.0",
    }.items():
        found = rewritten(path, fields, gaps, [table] * draws, bare, numbered=True)
        assert found.decode() == expected
    assert rewritten(path, fields, gaps, [table], bare).decode() == "\ufeff9.0,1.5\n4.2,9.0"
    for path in (
        csv(tmp_path, "draw,b\n,1\n4,\n"),
        write(tmp_path, {"draw": [None, 4.0], "b": [1.0, None]}),
    ):
        assert rewritten(path, fields, gaps, [table], Reading())
        with pytest.raises(DataError, match=r"expected no column called 'draw', .*; rename it"):
            rewritten(path, fields, gaps, [table], Reading(), numbered=True)
    with pytest.raises(DataError, match="expected the 2 columns that were read, got 'a', 'b', 'c'"):
        rewritten(csv(tmp_path, "a,b,c\n1,,\n,2,\n"), fields, gaps, [table], Reading())


def test_columns_of_parquet_keep_their_types(tmp_path):
    grades = pa.array(["low", "mid", "high"])
    codes = pa.array([0, None, 2], pa.int8())
    columns = {
        "grade": pa.DictionaryArray.from_arrays(codes, grades, ordered=True),
        "town": pa.array(["Rome", None, "Rome"]).dictionary_encode(),
        "small": pa.array([1, None, -3], pa.int8()),
        "nothing": pa.nulls(3),
        "none": pa.nulls(3),
    }
    path = write(tmp_path, columns)
    fields = (
        Field("grade", "categories", categories=("low", "mid", "high")),
        Field("town", "categories", categories=("Oslo", "Rome")),
        Field("small", "real", form="whole"),
        Field("nothing", "real"),
        Field("none", "categories", categories=("a", "b")),
    )
    gaps = torch.tensor([[False] * 3 + [True] * 2, [True] * 5, [False] * 3 + [True] * 2])
    table = torch.tensor([[1, 0, 300, 2.5, 1.0]]).expand(3, 5)
    draws = [table, table * torch.tensor([2, 0, -1, 1, 0.0])]
    written = tmp_path / "u.parquet"
    written.write_bytes(rewritten(path, fields, gaps, draws, Reading(), numbered=True))
    found = parquet.read_table(written)
    assert found.to_pydict() == {
        "draw": [1] * 3 + [2] * 3,
        "grade": ["low", "mid", "high", "low", "high", "high"],
        "town": ["Rome", "Oslo", "Rome"] * 2,
        "small": [1, 127, -3, 1, -128, -3],
        "nothing": [2.5] * 6,
        "none": ["b"] * 3 + ["a"] * 3,
    }
    assert found.schema.field("grade").type == columns["grade"].type
    assert found["grade"].chunk(0).dictionary == grades
    assert found.schema.field("small").type == pa.int8()
