"""The explorer as a folder without Python behind it, in a real browser."""

from __future__ import annotations

import functools
import json
import re
import shlex
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lowerbound as lb
from lowerbound.data.sources import contents
from lowerbound.errors import DataUnavailable
from lowerbound.explorer import Space
from lowerbound.explorer.static_page import RUNTIME, to_page
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
        f"{bool(rng.random() < 0.5)}"
        for _ in range(300)
    ]
    rows[6] = '"Oslo",NA,1.2.2020,True'
    table = "\n".join(["city,height,since,member", *rows])
    (home / "people.csv").write_text(table)
    small = shlex.split("--hidden 16 --latent-dim 2 --epochs 2 -q")
    run = home / "run"
    assert command("train", "mlp", "--data", home / "people.csv", "--out", run, *small) == 0
    made = to_page(Run.open(run), home / "page", data=str(home / "people.csv"), most=100)
    assert (made.examples, made.bytes) == (100, folder_bytes(home / "page"))
    of_all = Run.open(run).other(str(home / "people.csv"))
    space = Space(Run.open(run), of_all.subset(range(0, 300, 3)))
    return home / "page", space, home / "people.csv"


SHOWN = """([z, numbers]) => Promise.all([explorer.model.decode(new Float32Array(z), -1),
  ...numbers.map((number) => explorer.model.example(number))])
  .then((all) => all.map((bytes) => JSON.parse(new TextDecoder().decode(bytes))))"""


def test_rows_are_told_as_the_library_tells_them(browser, of_people, tmp_path):  # noqa: F811
    folder, space, table = of_people
    expected = space.model.embed(space.data.x[:1])[0]
    (tmp_path / "odd.csv").write_text(re.sub('"[A-Z][^"]*"', "Wien", table.read_text()))
    (tmp_path / "short.csv").write_text("city,height\nOslo,170\n")
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
        for name, fault in (
            ("odd.csv", "odd.csv: expected a value of the column city as the data have them, got "),
            ("short.csv", "short.csv: expected a column since, member, got city, height"),
        ):
            page.set_input_files("#file", tmp_path / name)
            page.wait_for_function(
                "(f) => document.querySelector('#status').textContent.startsWith(f)", arg=fault
            )
