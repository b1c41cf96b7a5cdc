"""The explorer, in a real browser."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import signal
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
import torch
from PIL import Image
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import forks
import lowerbound as lb
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.explorer import Server, Space
from lowerbound.explorer.app import PAGE
from lowerbound.explorer.encoding import encode, judge
from lowerbound.music.midi import midi_bytes
from lowerbound.plots.style import CLASS_COLOURS
from lowerbound.runs import Run
from lowerbound.service.calls import Calls
from lowerbound.walks import slerp
from tests.test_cli import exit_code as command

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@contextmanager
def served(space: Space):
    """The address of a space's page."""
    server = Server()
    inner = server.configured(space)
    thread = threading.Thread(target=inner.run, kwargs={"sockets": [server.socket]})
    thread.start()
    yield server.url
    inner.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A conditional run on digits."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    words = "--latent-dim 4 --hidden 64 --epochs 12 -q --likelihood Bernoulli --conditional"
    assert command("train", "mlp", "--data", "digits", "--out", out, *shlex.split(words)) == 0
    return out


@pytest.fixture(scope="module")
def space(digits):
    run = Run.open(digits)
    return Space.open(run, None, None, lambda done, total: None)


@pytest.fixture(scope="module")
def address(space):
    with served(space) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("expected chromium, got none; install it with apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS.split())
        yield launched
        launched.close()


@contextmanager
def opened(browser, url: str, complains: str = "", **how):
    """The page at ``url``, which must load nothing from elsewhere, and complain of no more."""
    page = browser.new_page(**how)
    page.set_default_timeout(10_000)
    complaints: list[str] = []
    page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda asked: asked.url.startswith((url, "data:")) or complaints.append(asked.url),
    )
    page.goto(url)
    page.wait_for_selector("body.ready")
    settled(page)
    yield page
    assert complaints == [complains] * bool(complains)
    page.close()


def settled(page) -> None:
    """Wait until what was asked for is shown."""
    page.wait_for_function("() => explorer.decoded.isIdle && explorer.decoded.shown > 0")
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def code(page) -> tuple[torch.Tensor, int]:
    """Where the page is."""
    z, label = page.evaluate("() => [[...explorer.z], explorer.label]")
    return torch.tensor(z), label


def pixels(page, selector: str) -> np.ndarray:
    """What a canvas of grey levels shows, (height, width)."""
    values = page.evaluate(
        "(name) => { const c = document.querySelector(name); return [c.height, c.width, "
        "[...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]; }",
        selector,
    )
    return np.array(values[2]).reshape(values[0], values[1], 4)[..., 0]


def mean_of(space: Space, z: torch.Tensor, label: int) -> np.ndarray:
    """The decoder's mean, in levels 0–255."""
    with torch.no_grad():
        mean = space.model.decode(z[None], torch.tensor([label]))[0, 0]
    return (255 * mean.double() / space.data.scale).round().numpy()


def shows_its_code(page, space: Space, within: int = 0) -> bool:
    settled(page)
    difference = pixels(page, "#picture canvas") - mean_of(space, *code(page))
    return bool(np.abs(difference).max() <= within)


def test_dragging_sliding_and_keys_show_the_decoders_mean(browser, address, space):
    with opened(browser, address) as page:
        assert shows_its_code(page, space)
        box = page.locator("#overlay").bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(*middle)
        page.mouse.down()
        seen = [code(page)[0]]
        for step in range(1, 6):
            page.mouse.move(middle[0] + 20 * step, middle[1] - 10 * step)
            seen.append(code(page)[0])
            assert shows_its_code(page, space)
        page.mouse.up()
        # It moves in the plane that is looked at, and under the pointer.
        plane = torch.tensor(
            page.evaluate("() => [[...explorer.map.across], [...explorer.map.up]]")
        )
        assert torch.allclose(plane @ plane.T, torch.eye(2), atol=1e-5)
        moved = seen[-1] - seen[1]
        assert torch.allclose(moved @ plane.T @ plane, moved, atol=1e-5)
        scale = page.evaluate("() => explorer.map.view.scale")
        assert torch.allclose(plane @ moved * scale, torch.tensor([80.0, 40.0]), atol=0.1)

        page.keyboard.press("ArrowRight")
        stepped = code(page)[0] - seen[-1]
        assert torch.allclose(plane @ stepped * scale, torch.tensor([12.0, 0.0]), atol=0.1)
        assert shows_its_code(page, space)
        page.keyboard.press("+")
        assert page.evaluate("() => explorer.map.view.scale") == pytest.approx(1.25 * scale)
        page.mouse.wheel(0, 200)
        page.wait_for_function(f"() => explorer.map.view.scale < {scale}")

        order = space.about["order"]
        names = page.locator("#sliders .name, #inactive .name").all_text_contents()
        assert names == [f"z[{i}]" for i in order]
        nats = page.locator(".nats").all_text_contents()
        assert nats == [f"{space.kl[i]:.2f}" for i in order]
        slider = page.locator("#dimensions input").first
        slider.fill("1.5")
        assert code(page)[0][order[0]] == 1.5
        assert shows_its_code(page, space)
        page.select_option("#label", "7")
        assert code(page)[1] == 7
        assert shows_its_code(page, space)
        page.click("#reset")
        assert not code(page)[0].any()


def test_points_are_the_test_examples(browser, address, space):
    with opened(browser, address) as page:
        page.select_option("#across", label="z[1]")
        page.select_option("#up", label="z[0]")
        x, y = page.evaluate("() => [[...explorer.map.points.x], [...explorer.map.points.y]]")
        embedded = lb.evaluation.embed(space.model, space.data)
        assert np.allclose(np.stack([x, y]), embedded[:, [1, 0]].T, atol=1e-6)
        # Pressing one goes to its code and class.
        third = "const { points, view } = explorer.map, [x, y] = [points.x[3], points.y[3]];"
        place = f"() => {{ {third} return [view.left(x), view.top(y)]; }}"
        page.evaluate(f"() => {{ {third} view.zoom(50, view.left(x), view.top(y)); }}")
        left, top = page.evaluate(place)
        box = page.locator("#overlay").bounding_box()
        page.mouse.move(box["x"] + left, box["y"] + top)
        page.wait_for_selector("#tip:not([hidden])")
        assert page.locator("#tip p").text_content() == f"3, {space.classes[space.labels[3]]}"
        levels = space.data.x[3, 0] * (255 / space.data.scale)
        assert np.abs(pixels(page, "#tip canvas") - levels.numpy()).max() <= 0.5
        page.mouse.click(box["x"] + left, box["y"] + top)
        assert torch.allclose(code(page)[0], embedded[3])
        assert code(page)[1] == space.labels[3]
        assert shows_its_code(page, space)

        hidden = page.locator("#legend button").nth(int(space.labels[3]))
        hidden.click()
        assert hidden.get_attribute("aria-pressed") == "false"
        assert page.evaluate("() => explorer.map.points.isShown(3)") is False
        page.select_option("#colour", "score")
        page.wait_for_function("() => explorer.map.scores")
        scores = page.evaluate("() => [...explorer.map.scores]")
        expected = lb.evaluation.example_scores(space.model, space.data, samples=1)["elbo"]
        assert np.allclose(scores, expected, rtol=1e-5)


def test_the_way_between_two_codes_is_played(browser, address, space):
    with opened(browser, address) as page:
        for name, value, label in (("#first", "1.2", 3), ("#last", "-0.7", 7)):
            page.select_option("#label", str(label))
            page.locator("#dimensions input").first.fill(value)
            page.locator("#dimensions input").nth(1).fill("0.5")
            page.click(name)
        page.wait_for_selector("#play:enabled")
        path = torch.tensor(page.evaluate("() => explorer.walk.path.map((z) => [...z])"))
        order = space.about["order"]
        a, b = torch.zeros(2, 4)
        a[order[:2]], b[order[:2]] = torch.tensor([1.2, 0.5]), torch.tensor([-0.7, 0.5])
        assert torch.allclose(path, slerp(a, b, len(path)), atol=1e-6)
        before = page.evaluate("() => explorer.decoded.shown")
        page.click("#play")
        page.wait_for_timeout(600)
        page.click("#play")
        assert page.evaluate("() => explorer.decoded.shown") > before + 5
        on_the_way = code(page)[0]
        assert (path - on_the_way).norm(dim=1).min() < 1e-6
        assert shows_its_code(page, space)
        # At an end it shows what stood there when it was set, in that class.
        for share, end, label, name in (("1", b, 7, "#last"), ("0", a, 3, "#first")):
            page.locator("#along").fill(share)
            assert torch.allclose(code(page)[0], end)
            assert code(page)[1] == label
            assert shows_its_code(page, space)
            thumbnail = pixels(page, f"{name}-picture canvas")
            assert (thumbnail == pixels(page, "#picture canvas")).all()


def test_a_file_is_encoded(browser, address, space, tmp_path):
    levels = (space.data.x[5, 0].double() * 255 / space.data.scale).round().byte().numpy()
    Image.fromarray(levels).save(tmp_path / "digit.png")
    np.save(tmp_path / "digit.npy", space.data.x[5, 0].numpy())
    (tmp_path / "notes.txt").write_text("no image")
    label = int(space.labels[5])
    expected = space.model.embed(space.data.x[5:6], torch.tensor([label]))[0]
    refused = "Failed to load resource: the server responded with a status of 422 "
    with opened(browser, address, f"{refused}(Unprocessable Entity)") as page:
        page.select_option("#label", str(label))
        for name, off in (("digit.npy", 1e-6), ("digit.png", 0.05)):
            page.set_input_files("#file", tmp_path / name)
            page.wait_for_selector("#encoded .figures")
            assert (code(page)[0] - expected).abs().max() < off
            assert np.abs(pixels(page, "#encoded figure canvas") - levels).max() <= 1
            nearest = page.locator("#encoded .strip button").first.get_attribute("title")
            assert nearest == f"Example 5, {space.classes[label]}"
        told = dict(
            zip(
                *(page.locator(f"#encoded {cell}").all_text_contents() for cell in ("th", "td")),
                strict=True,
            )
        )
        assert 0 < float(told["p, against held-out examples"]) <= 1
        bounds = (told[name].replace("−", "-").removesuffix(" nats") for name in list(told)[:4])
        # By the run's own held-out examples and training data, as the service has it.
        of_calls = Calls(space.run).score(space.data.x[5:6].numpy(), [space.classes[label]])
        assert told["p, against held-out examples"] == f"{of_calls['p_value'].item():.2g}"
        assert told["strangeness (excess)"] == f"{of_calls['score'].item():.2f}".replace("-", "−")
        elbo, kl, reconstruction, weighted = map(float, bounds)
        assert elbo == pytest.approx(-reconstruction - kl, abs=0.02)
        one = space.data.subset([5])
        found = lb.evaluation.example_scores(space.model, one, samples=1000)
        assert weighted == pytest.approx(found["importance_weighted"].item(), abs=0.2)
        page.set_input_files("#file", tmp_path / "notes.txt")
        page.wait_for_selector("#refused:not(:empty)")
        told = page.locator("#refused").text_content()
        assert told.startswith("expected a file ending in .bmp, ")
        page.set_input_files("#file", tmp_path / "digit.npy")
        page.wait_for_selector("#encoded .figures")
        assert page.locator("#refused").text_content() == ""


def test_of_files_one_after_the_other_the_last_is_told(browser, address, space, tmp_path):
    for i in (5, 9):
        np.save(tmp_path / f"{i}.npy", space.data.x[i, 0].numpy())
    with opened(browser, address) as page:
        held, judged = [], []
        late = lambda route: route.continue_() if held else held.append(route)  # noqa: E731
        page.route("**/judge?*", late)
        page.on("requestfinished", lambda asked: "judge?" in asked.url and judged.append(asked))
        page.select_option("#label", "3")
        for i in (5, 9):
            page.set_input_files("#file", tmp_path / f"{i}.npy")
            page.wait_for_function(f"() => explorer.upload.encoded.shown === {1 + (i == 9)}")
            page.select_option("#label", "7")
        held[0].continue_()
        page.wait_for_selector("#encoded .figures")
        page.wait_for_function("() => explorer.upload.judged.isIdle")
        assert [page.locator(f"#encoded {part}").count() for part in (".pair", "table")] == [1, 1]
        asked = [dict(parse_qsl(urlsplit(each.url).query)) for each in judged]
        assert [(each["name"], each["label"]) for each in asked] == [("5.npy", "3"), ("9.npy", "7")]
        last = judge(space, "9.npy", (tmp_path / "9.npy").read_bytes(), 7)
        assert page.locator("#encoded td").all_text_contents() == [v for _, v in last["figures"]]


def test_dark_narrow_and_by_touch(browser, address, space):
    how = {"color_scheme": "dark", "viewport": {"width": 400, "height": 800}, "has_touch": True}
    with opened(browser, address, **how) as page:
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 400
        corner = page.evaluate(
            "() => [...explorer.map.points.context.getImageData(2, 2, 1, 1).data]"
        )
        assert max(corner[:3]) < 80
        box = page.locator("#overlay").bounding_box()
        page.touchscreen.tap(box["x"] + 40, box["y"] + 60)
        assert code(page)[0].any()
        assert shows_its_code(page, space)
        unnamed = page.evaluate(
            "() => [...document.querySelectorAll('button, select, input, #overlay')].filter("
            "(e) => !e.hidden && !e.getAttribute('aria-label') && !e.textContent.trim()"
            " && !e.labels?.length).length"
        )
        assert unnamed == 0


def test_two_fingers_zoom_and_pan_and_leave_the_code(browser, address, space):
    with opened(browser, address, has_touch=True) as page:
        box = page.locator("#overlay").bounding_box()
        left, top = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        fingers = page.context.new_cdp_session(page)

        def touch(kind: str, *apart: float, across: float = 0) -> None:
            points = [{"x": left + across + x, "y": top, "id": i} for i, x in enumerate(apart)]
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        before = page.evaluate("() => ({ ...explorer.map.view, z: [...explorer.z] })")
        touch("touchStart", -40)
        touch("touchStart", -40, 40)
        for half in (50, 60, 70, 80):
            touch("touchMove", -half, half)
        touch("touchMove", -80, 80, across=30)
        touch("touchEnd")
        settled(page)
        after = page.evaluate("() => ({ ...explorer.map.view, z: [...explorer.z] })")
        assert after["scale"] == pytest.approx(2 * before["scale"], rel=0.02)
        assert after["z"] == before["z"]
        moved = (before["centre"][0] - after["centre"][0]) * after["scale"]
        assert moved == pytest.approx(30, abs=1)
        # One finger moves the code again.
        touch("touchStart", -40)
        touch("touchMove", -20)
        touch("touchMove", 0)
        touch("touchEnd")
        assert code(page)[0].any()
        assert shows_its_code(page, space)


def test_many_points_are_drawn_at_once(browser, tmp_path):
    x = torch.randn(100_000, 3)
    model = lb.recipes.compose(lb.data.from_arrays(x[:100]), latent_dim=2)
    lb.save(model, tmp_path / "run")
    with (
        served(Space(Run.open(tmp_path / "run"), lb.data.from_arrays(x))) as url,
        opened(browser, url) as page,
    ):
        assert page.evaluate("() => explorer.map.points.order.length") == 100_000
        drawn, gesture = page.evaluate(
            """async () => {
              const { points, view } = explorer.map;
              return [false, true].map((briefly) => {
                const times = [...Array(5)].map(() => {
                  const begun = performance.now();
                  points.draw(view, [0, 0, 0], briefly);
                  return performance.now() - begun;
                });
                return times.sort((a, b) => a - b)[2];
              });
            }"""
        )
        assert drawn < 500
        assert gesture < 100


def test_a_row_is_told_in_words(browser, tmp_path):
    rng = np.random.default_rng(0)
    table = tmp_path / "people.csv"
    rows = [
        f"{rng.choice(['Rome', 'Oslo', 'Kyiv'])},{rng.normal(170, 9):.1f},{rng.integers(0, 4)},"
        f"2020-0{rng.integers(1, 9)}-11"
        for _ in range(300)
    ]
    table.write_text("\n".join(["city,height,children,since", *rows]))
    out, small = tmp_path / "run", "--hidden 16 --latent-dim 2 --epochs 2 -q"
    assert command("train", "table", "--data", table, "--out", out, *shlex.split(small)) == 0
    space = Space.open(Run.open(out), None, None, lambda done, total: None)
    told = json.loads(space.decode(np.zeros(space.model.latent_dim, np.float32), -1))
    by_name = dict(zip(space.about["columns"], told, strict=True))
    assert by_name["city"]["text"] in ("Rome", "Oslo", "Kyiv")
    assert sum(by_name["city"]["shares"]) == pytest.approx(1, abs=1e-3)
    cities = dict(zip(space.about["categories"][0], by_name["city"]["shares"], strict=True))
    assert max(cities, key=cities.__getitem__) == by_name["city"]["text"]
    assert re.fullmatch(r"2020-\d\d-\d\d", by_name["since"]["text"])
    assert 150 < float(by_name["height"]["text"]) < 190
    odd = b"city,height,children,since\nRome,170,9,2020-01-11\n"
    with pytest.raises(
        DataError, match=r"^odd\.csv, column 'children': expected one of 0, 1, 2, 3"
    ):
        encode(space, "odd.csv", odd, -1)
    # A model in double precision takes codes as the page sends them.
    of_double = deepcopy(space.model).double()
    row = json.loads(space.form.of_code(of_double, torch.zeros(1, space.model.latent_dim), None))
    assert row[0]["shares"] == pytest.approx(told[0]["shares"], abs=2e-4)
    with served(space) as url, opened(browser, url) as page:
        cells = page.locator("#picture td.value").all_text_contents()
        assert cells[1:] == [each["text"] for each in told[1:]]
        page.set_input_files("#file", table)
        page.wait_for_selector("#encoded .figures")
        given = page.locator("#encoded figure").first.locator("td.value").all_text_contents()
        assert given[0] == rows[0].split(",")[0]
        assert given[3] == rows[0].split(",")[3]


def test_a_melody_is_shown_and_played(browser, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(6):
        tokens = np.zeros((1, 96), np.uint8)
        tokens[0, :: (1, 2, 4)[i % 3]] = rng.integers(40, 60, 96 // (1, 2, 4)[i % 3])
        (tmp_path / f"{i}.mid").write_bytes(midi_bytes(tokens))
    small = "--latent-dim 3 --network.hidden 8 --network.embedding 8 --likelihood.hidden 8 "
    small += "--likelihood.embedding 8 --likelihood.features 8 --likelihood.layers 1 --epochs 1 -q"
    out = tmp_path / "run"
    asked = ("--data", tmp_path, "--out", out, "--transpose", 0, "--validation", 0)
    assert command("train", "musicvae-2bar", *asked, *shlex.split(small)) == 0
    space = Space.open(Run.open(out), None, None, lambda done, total: None)
    with served(space) as url, opened(browser, url) as page:
        page.set_input_files("#file", tmp_path / "0.mid")
        page.wait_for_selector("#encoded .figures")
        z, _ = code(page)
        tokens = space.model.decode(z[None])[0].byte().numpy()
        page.wait_for_function("() => explorer.decoded.isIdle")
        for shown in (tokens, space.data.x[0].numpy()):
            notes = lb.music.tokens.notes(shown)
            expected = np.stack([notes.start, notes.end, notes.pitch], 1).tolist()
            each = "explorer.view.notes.map((note) => [note.start, note.end, note.pitch])"
            assert page.evaluate(f"() => {each}") == expected
            page.evaluate("(next) => explorer.view.show(next)", space.data.x[0].tolist())
        assert expected
        page.click("#sound")
        assert page.locator("#sound").text_content() == "Stop"
        page.click("#sound")
        assert page.locator("#sound").text_content() == "Play melody"


def asked(url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_others_are_refused(address, space, monkeypatch):
    assert asked(address, Host="example.org")[0] == 421
    assert asked(address + "codes", Origin="http://example.org")[0] == 403
    assert asked(address + "codes") == (200, space.codes.numpy().tobytes())
    socket = address.replace("http", "ws") + "decode"
    with pytest.raises(InvalidStatus), connect(socket, origin="http://example.org"):
        pass
    with urllib.request.urlopen(address) as page:
        policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; frame-ancestors 'none'; script-src 'self'; ")

    with connect(socket) as calls:
        for frame, told in (
            (b"", "expected 4 finite numbers, got 0"),
            (b"123", "expected 4 finite numbers, got 0"),
            (bytes(19), "expected float32 numbers, got 15 bytes"),
            (bytes(4) + np.full(4, np.nan, "<f4").tobytes(), "expected 4 finite numbers, got 4"),
            ((10).to_bytes(4, "little") + bytes(16), "expected a class from 0 to 9, got 10"),
            ("0000", "expected 4 finite numbers, got 0"),
        ):
            calls.send(frame)
            assert calls.recv() == told
        # A fault is told too, and those after it are answered.
        with monkeypatch.context() as broken:
            broken.setattr(space, "form", None)
            calls.send(bytes(20))
            assert calls.recv().startswith("expected an answer, got AttributeError ('NoneType' ")
        calls.send(bytes(20))
        assert calls.recv() == mean_of(space, torch.zeros(4), 0).astype(np.uint8).tobytes()

    for number, told in (
        (360, "expected the number of an example below 360, got 360"),
        ("9" * 5000, "expected a whole number, got "),
    ):
        code, answer = asked(address + f"examples/{number}")
        assert (code, json.loads(answer)["error"][: len(told)]) == (404, told)
    for path, body, told in (
        ("encode?name=x.npy&label=x", bytes(32), "expected a whole number, got 'x'"),
        (
            "encode?name=x.npy&label=0",
            b"no array",
            "x.npy: expected a whole array, got one whose header",
        ),
        (
            "encode?name=../../x.png&label=0",
            b"no image",
            "x.png: expected a whole image, got one that is",
        ),
        (
            "encode?name=x.npy&label=0",
            bytes(33 * 2**20),
            "expected a file of at most 32 MiB, got more",
        ),
    ):
        code, answer = asked(address + path, body)
        assert (code, json.loads(answer)["error"][: len(told)]) == (422, told)


def test_the_command_serves_the_page_until_it_is_stopped(digits, space, tmp_path):
    log, words = tmp_path / "log", ("explore", digits, "--data", "digits", "--no-browser", "--json")
    process = forks.start("from lowerbound.__main__ import main; main()", *words, log=log)
    while not (told := re.search(r'"url": "(.*)"', log.read_text() if log.exists() else "")):
        assert process.is_alive(), log.read_text()
        time.sleep(0.05)
    about = json.loads(asked(told[1] + "model.json")[1])
    os.kill(process.pid, signal.SIGINT)
    process.join(20)
    assert process.exitcode == 130
    out = log.read_text()
    assert (about["title"], about["conditional"]) == ("mlp on digits", True)
    assert about["lead"] == "4 latent dimensions, 360 images"
    assert space.about["lead"] == "4 latent dimensions, 360 test images"
    assert out.endswith("\nstopped\n")
    assert "Traceback" not in out


def test_a_port_that_is_taken_is_told():
    server = Server()
    taken = server.socket.getsockname()[1]
    with pytest.raises(ConfigurationError, match=f"expected a free port at .*, got {taken} "):
        Server(taken)
    server.socket.close()


def test_a_run_without_its_data_is_explored_all_the_same(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(100, 3)).astype("f4"))
    words = ("--data", tmp_path / "x.npy", "--out", tmp_path / "run", "--epochs", 1, "-q")
    assert command("train", "mlp", *words, "--latent-dim", 2) == 0
    (tmp_path / "x.npy").unlink()
    space = Space.open(Run.open(tmp_path / "run"), None, None, lambda done, total: None)
    assert space.about["note"].startswith("Without test data: ")
    assert space.about["lead"] == "2 latent dimensions, no test data"
    row = json.loads(space.decode(np.zeros(2, np.float32), -1))
    assert len(row) == 3
    found = io.BytesIO()
    np.save(found, np.zeros(3, "f4"))
    from lowerbound.explorer.encoding import encode, judge

    assert encode(space, "x.npy", found.getvalue(), -1)["count"] == 1
    assert judge(space, "x.npy", found.getvalue(), -1)["figures"][0][0] == "ELBO"


def test_the_page_has_the_colours_of_the_figures():
    script = (PAGE / "colours.js").read_text()
    light = script.partition("const LIGHT = [")[2].partition("]")[0]
    assert tuple(re.findall(r"#[0-9a-f]{6}", light)) == CLASS_COLOURS
    assert not re.search(r"https?://", "".join(path.read_text() for path in Path(PAGE).iterdir()))
