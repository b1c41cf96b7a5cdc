"""The explorer as a folder without Python behind it, in a real browser."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
import shlex
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import lowerbound as lb
from lowerbound.data.sources import contents
from lowerbound.errors import ConfigurationError, DataError, DataUnavailable
from lowerbound.explorer import Space, static_page
from lowerbound.explorer.forms import form_of, plain
from lowerbound.explorer.static_page import POLICY, RUNTIME, UNSERVED, fitting, to_page
from lowerbound.explorer.uploads import example_of
from lowerbound.runs import Run
from lowerbound.walks import slerp
from test_cli import exit_code as command
from test_explorer import (  # noqa: F401  browser and digits are fixtures
    browser,
    code,
    digits,
    opened,
    pixels,
    settled,
    shows_its_code,
)

pytestmark = pytest.mark.slow


class Quiet(SimpleHTTPRequestHandler):
    """The files of a folder."""

    def log_message(self, *told):
        pass


@contextmanager
def hosted(folder: Path):
    """The address of a folder, which a web server of Python's shows as it lies."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def runtime():
    try:
        contents(RUNTIME)
    except DataUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def of_digits(digits, runtime):  # noqa: F811
    """The page of the digits, and the space that it shows."""
    folder = digits.with_name("digits-page")
    assert command("export", digits, "--page", folder, "-q") == 0
    return folder, Space.open(Run.open(digits), None, None, lambda done, total: None)


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_page_without_python_shows_what_the_library_says(browser, of_digits, tmp_path):  # noqa: F811
    folder, space = of_digits
    assert folder_bytes(folder) < 5_000_000
    markup = (folder / "index.html").read_text()
    assert f"<head>{POLICY}" in markup
    assert f">{UNSERVED}</p>" in markup
    np.save(tmp_path / "digit.npy", space.data.x[5:8].numpy())
    levels = (space.data.x[5, 0].double() * 255 / space.data.scale).round().byte().numpy()
    Image.fromarray(levels).save(tmp_path / "digit.png")
    label = int(space.labels[5])
    expected = space.model.embed(space.data.x[5:6], torch.tensor([label]))[0]
    with hosted(folder) as url, opened(browser, url) as page:
        assert page.evaluate("() => crossOriginIsolated") is False
        embedded = lb.evaluation.embed(space.model, space.data)
        found = torch.tensor(page.evaluate("() => [...explorer.model.codes]"))
        torch.testing.assert_close(found.view(-1, 4), torch.as_tensor(embedded))
        assert page.evaluate("() => [...explorer.model.labels]") == space.labels.tolist()
        box = page.locator("#overlay").bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(*middle)
        page.mouse.down()
        for step in range(1, 4):
            page.mouse.move(middle[0] + 40 * step, middle[1] - 15 * step)
            assert shows_its_code(page, space, within=1)
        page.mouse.up()
        page.select_option("#label", "7")
        page.click("#first")
        page.locator("#dimensions input").first.fill("1.5")
        page.click("#last")
        ends = page.evaluate("() => explorer.walk.ends.map(({ z }) => [...z])")
        path = torch.tensor(page.evaluate("() => explorer.walk.path.map((z) => [...z])"))
        torch.testing.assert_close(path, slerp(*torch.tensor(ends), len(path)), atol=1e-6, rtol=0)
        page.locator("#along").fill("0.4")
        assert shows_its_code(page, space, within=1)

        page.select_option("#colour", "score")
        page.wait_for_function("() => explorer.map.scores")
        scores = page.evaluate("() => [...explorer.map.scores]")
        np.testing.assert_allclose(scores, space.scores, rtol=1e-6)

        page.select_option("#label", str(label))
        one = space.data.subset([5])
        bounds = lb.evaluation.example_scores(space.model, one, samples=1000)
        for name in ("digit.npy", "digit.png"):
            page.set_input_files("#file", tmp_path / name)
            page.wait_for_selector("#encoded .figures")
            assert (code(page)[0] - expected).abs().max() < 1e-5
            assert np.abs(pixels(page, "#encoded figure canvas") - levels).max() == 0
            nearest = page.locator("#encoded .strip button").first.get_attribute("title")
            assert nearest == f"Example 5, {space.classes[label]}"
            told = page.locator("#encoded").inner_text()
            assert ("The first of 3 images in digit.npy." in told) == (name == "digit.npy")
            thumbnail = pixels(page, "#encoded .strip canvas")
            assert (thumbnail == levels).all()
            cells = page.locator("#encoded td").all_text_contents()
            elbo, kl, cost = (float(cell.replace("−", "-").removesuffix(" nats")) for cell in cells)
            assert elbo == pytest.approx(-cost - kl, abs=0.02)
            assert kl == pytest.approx(bounds["kl"].item(), abs=0.006)
            assert elbo == pytest.approx(bounds["elbo"].item(), abs=0.5)


@pytest.fixture(scope="module")
def of_people(tmp_path_factory, runtime):
    """The page of rows of several kinds, some missing, the space that it shows, and their file."""
    rng = np.random.default_rng(0)
    home = tmp_path_factory.mktemp("people")
    rows = [
        f'"{rng.choice(["Rome", "Oslo", "Kyiv, old"])}",{rng.normal(170, 9):.1f},'
        f"{rng.integers(1, 28)}.{rng.integers(1, 13)}.2020,"
        f"{bool(rng.random() < 0.5)},{rng.poisson(60)}"
        for _ in range(300)
    ]
    rows[6] = '"Oslo",NA,1.2.2020,True,60'
    table = "\n".join(["city,height,since,member,visits", *rows])
    (home / "people.csv").write_text(table)
    small = shlex.split("--hidden 16 --latent-dim 2 --epochs 2 -q --kind visits=counts")
    run = home / "run"
    assert command("train", "mlp", "--data", home / "people.csv", "--out", run, *small) == 0
    made = to_page(Run.open(run), home / "page", data=str(home / "people.csv"), most=100)
    assert (made.examples, made.bytes) == (100, folder_bytes(home / "page"))
    opened = Run.open(run)
    of_all = opened.other(str(home / "people.csv"))
    form = form_of(opened, of_all)
    space = Space(opened, of_all.subset(range(0, 300, 3)), form=form)
    return home / "page", space, home / "people.csv"


SHOWN = """([z, numbers]) => Promise.all([explorer.model.decode(new Float32Array(z), -1),
  ...numbers.map((number) => explorer.model.example(number))])
  .then((all) => all.map((bytes) => JSON.parse(new TextDecoder().decode(bytes))))"""


def test_rows_are_told_as_the_library_tells_them(browser, of_people, tmp_path):  # noqa: F811
    folder, space, table = of_people
    expected = space.model.embed(space.data.x[:1])[0]
    (tmp_path / "odd.csv").write_text(re.sub('"[A-Z][^"]*"', "Wien", table.read_text()))
    (tmp_path / "short.csv").write_text("city,height,visits\nOslo,170,60\n")
    for name, since, visits in (("date", "2020-01-31", 60), ("less", "31.01.2020", -3)):
        row = f"city,height,since,member,visits\nOslo,170,{since},True,{visits}\n"
        (tmp_path / f"{name}.csv").write_text(row)
    (tmp_path / "rows.parquet").touch()
    with hosted(folder) as url, opened(browser, url) as page:
        for z in ([0.0, 0.0], [1.5, -0.5], [-2.0, 1.0]):
            decoded, *given = page.evaluate(SHOWN, [z, [0, 1, 2]])
            mine = json.loads(space.decode(np.array(z, np.float32), -1))
            examples = [json.loads(space.example(i)) for i in range(3)]
            for row, wanted in zip([decoded, *given], [mine, *examples], strict=True):
                assert [cell["text"] for cell in row] == [cell["text"] for cell in wanted]
                for cell, own in zip(row, wanted, strict=True):
                    assert (cell["at"] is None) == (own["at"] is None)
                    assert cell["at"] == pytest.approx(own["at"], abs=2e-4)
                    assert cell["shares"] == pytest.approx(own["shares"], abs=2e-4)
        page.set_input_files("#file", table)
        page.wait_for_selector("#encoded .figures")
        assert (code(page)[0] - expected).abs().max() < 1e-4
        told = page.locator("#encoded").inner_text()
        assert "The first of 300 rows in people.csv." in told
        page.wait_for_selector("#encoded .strip button:nth-child(8):not(:empty)")
        nearest = page.locator("#encoded .strip button").first
        row = json.loads(space.example(int(nearest.get_attribute("title").split()[1])))
        assert nearest.text_content() == ", ".join(cell["text"] for cell in row)
        for name, fault in (
            ("odd", "expected one of 'Kyiv, old', 'Oslo', 'Rome' in the column city, got Wien;"),
            (
                "short",
                "expected the columns 'since', 'member', got 'city', 'height', 'visits'; add",
            ),
            ("date", "expected a date such as 31.01.2020 in the column since, got 2020-01-31;"),
            ("less", "expected whole numbers from 0 in the column visits, got -3; correct it or"),
            ("rows", "expected a file ending in .csv, .npy, got rows.parquet; lowerbound explore"),
        ):
            file = tmp_path / f"{name}.{'parquet' if name == 'rows' else 'csv'}"
            page.set_input_files("#file", file)
            page.wait_for_function(
                "(fault) => document.querySelector('#refused').textContent.includes(fault)",
                arg=fault,
            )
            assert page.locator("#encoded").inner_text() == ""
            assert page.locator("#refused").bounding_box()["y"] < page.viewport_size["height"]
        page.set_input_files("#file", table)
        page.wait_for_selector("#encoded .figures")
        assert page.locator("#refused").inner_text() == ""


READ = """([texts, first]) => import("./reading.js").then(({ exampleIn }) => {
  const { about, onnx } = explorer.model, fields = [...onnx.data.fields];
  fields[0] = { ...fields[0], name: first };
  const told = { about, onnx: { ...onnx, data: { ...onnx.data, fields } } };
  return Promise.all(texts.map((text) => exampleIn(new File([text], "a.csv"), told)
    .then(({ x, count }) => [[...x], count], (error) => error.message)));
})"""
NUMBERS = [123456.7, 1234.5, -9999.5, 98.765, 0.1, -1.234567e-5, 1e-9, -0.0, 4e22, 1e14, 2.5e-7]


def test_tables_are_read_as_the_library_reads_them(browser, of_people):  # noqa: F811
    folder, space, table = of_people
    names, row = csv.reader(table.read_text().splitlines()[:2])

    def file(order=(), delimiter=",", end="\n", more=(), **cells):
        rows = [dict(zip(names, names, strict=True)), dict(zip(names, row, strict=True)) | cells]
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerows([each[name] for name in order or names] for each in (*rows, *more))
        return text.getvalue()

    plainly = file(city="Oslo").replace('"', "")
    taken = [
        *(table.read_text(), file(), plainly, plainly[:-1], "\ufeff" + file(), "\n\n" + plainly),
        *(file(order=names[::-1]), file(delimiter=";"), file(delimiter="\t"), file(end="\r\n")),
        *(file(height=height) for height in ("", "NA", " 1e2 ", "+170", "170.", ".5")),
        *(file(member=word) for word in ("true", "0", "FALSE")),
        *(file(since=" 01.02.2020 "), file(city=" NA "), plainly.replace(",", " ,", 2)),
    ]
    refused = [
        *(file(height=height) for height in (" ", "0x10", "1_0", "inf", "17O")),
        *(file(since="30.2.2020"), file(since="2020-01-02"), file(member=" True")),
        *(file(city=" Oslo"), file(city="oslo"), plainly[:-2].rpartition(",")[0], plainly + "1\n"),
        *(file(order=[*names, "height"]), file(order=names[1:]), plainly.splitlines()[0], ""),
        *(plainly + '"', plainly + '"' + "Oslo,1,2\n" * 400_000),
    ]
    complains = "Failed to load resource: net::ERR_FAILED"
    with hosted(folder) as url, opened(browser, url, complains) as page:
        for text, found in zip(taken, page.evaluate(READ, [taken, names[0]]), strict=True):
            example, count = example_of(space, "a.csv", text.encode(), -1)
            assert found == [pytest.approx(example.x[0].tolist(), nan_ok=True), count], text[:200]
        for text, found in zip(refused, page.evaluate(READ, [refused, names[0]]), strict=True):
            assert str(found).startswith("a.csv: expected "), text[:200]
            with pytest.raises(DataError):
                space.model.expect(example_of(space, "a.csv", text.encode(), -1)[0])
        called_x = file(order=names[::-1]).replace(names[0], "x", 1)
        expected = page.evaluate(READ, [[file()], names[0]])
        assert page.evaluate(READ, [[called_x], "x"]) == expected

        tell = "(numbers) => import('./forms.js').then(({ plain }) => numbers.map(plain))"
        assert page.evaluate(tell, NUMBERS) == list(map(plain, NUMBERS))

        judge = "(text) => explorer.model.judge(new File([text], 'a.csv'), -1)"
        page.route("**/score.onnx", lambda route: route.abort())
        failed = page.evaluate(f"(text) => ({judge})(text).catch((error) => error.message)", file())
        assert failed.startswith("onnx/score.onnx cannot be fetched")
        page.unroute("**/score.onnx")
        assert page.evaluate(judge, file())["figures"]


def test_what_is_shown_does_not_follow_from_how_much_is_kept(of_people, tmp_path, monkeypatch):
    folder, space, table = of_people
    monkeypatch.setattr(static_page, "to_onnx", lambda *given: None)
    made = to_page(space.run, tmp_path / "none", data=str(table), most=0)
    told, of_some = (
        json.loads((home / "model.json").read_text()) for home in (made.folder, folder)
    )
    assert made.examples == 0
    assert told["range"] == of_some["range"]
    assert any(told["range"]["span"])
    for channels, own in ((3, 1), (4, 4)):
        data = lb.data.from_arrays(torch.randn(50, channels, 8, 8))
        model = lb.recipes.compose(data, latent_dim=2)
        form = form_of(SimpleNamespace(model=model, fields=None), data)
        each = channels * 64 * own + 4 * 2 + 8
        assert len(fitting(data, form, model, room=10 * each)) == 10

    fields = [replace(f, form=f.form and "%d %b %Y") for f in space.data.schema]
    dated = replace(space.data, schema=tuple(fields))
    monkeypatch.setattr(Run, "examples", lambda *given: dated)
    with pytest.raises(ConfigurationError, match="got %d %b %Y in 'since', whose %b it does not"):
        to_page(space.run, tmp_path / "dated")
