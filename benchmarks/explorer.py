"""Decoded frames a second while a browser drags, served and alone; maps of 10⁵ points."""

from __future__ import annotations

import argparse
import functools
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from playwright.sync_api import sync_playwright

import lowerbound as lb
from lowerbound.explorer.static_page import to_page
from lowerbound.runs import Run

ARGUMENTS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
DRAG = """async (seconds) => {
  const overlay = document.querySelector('#overlay'), box = overlay.getBoundingClientRect();
  const pointed = (type, turn) => overlay.dispatchEvent(new PointerEvent(type, {
    pointerId: 1, bubbles: true,
    clientX: box.left + box.width * (0.5 + 0.3 * Math.cos(turn)),
    clientY: box.top + box.height * (0.5 + 0.3 * Math.sin(turn)),
  }));
  overlay.setPointerCapture = () => {};
  pointed('pointerdown', 0);
  const begun = performance.now(), shown = explorer.decoded.shown;
  let frames = 0, now = begun;
  while (now - begun < 1000 * seconds) {
    now = await new Promise(requestAnimationFrame);
    frames += 1;
    pointed('pointermove', (now - begun) / 1000);
  }
  pointed('pointerup', 0);
  const passed = (performance.now() - begun) / 1000;
  return [(explorer.decoded.shown - shown) / passed, frames / passed];
}"""
DRAW = """() => {
  const { points, view } = explorer.map;
  return [...Array(9)].map((_, i) => {
    const begun = performance.now();
    points.draw(view, [255, 255, 255], false);
    return performance.now() - begun;
  });
}"""


def opened(browser: Any, run: Path, data: Path | str) -> tuple[Any, Any]:
    """The page of a run, served by a process of its own, and that process."""
    words = [sys.executable, "-m", "lowerbound", "explore", str(run), "--no-browser"]
    words += ["--data", str(data)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    return shown(browser, process.stdout.readline().strip()), process


def shown(browser: Any, url: str) -> Any:
    """The page at an address, once it has decoded a code."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(url)
    page.wait_for_selector("body.ready", timeout=60_000)
    page.wait_for_function("() => explorer.decoded.shown > 0", timeout=60_000)
    return page


class Files(SimpleHTTPRequestHandler):
    """A folder's files, told to nobody."""

    def log_message(self, *told: Any) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="check that it runs: one round")
    told = parser.parse_args()
    rounds, seconds = (1, 1) if told.quick else (told.rounds, 5)
    data = "digits" if told.quick else "mnist"
    images = lb.data.load(data)
    model = lb.recipes.compose(images.train, latent_dim=20, likelihood="Bernoulli")
    rows = lb.data.from_arrays(torch.randn(1000 if told.quick else 100_000, 4))
    of_rows = lb.recipes.compose(rows, latent_dim=2)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        place = Path(folder)
        lb.save(model, place / "images")
        lb.save(of_rows, place / "rows")
        np.save(place / "rows.npy", rows.x.numpy())
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS.split()
        )
        page, process = opened(browser, place / "images", data)
        dragged = [page.evaluate(DRAG, seconds) for _ in range(rounds)]
        process.terminate()
        to_page(
            Run.open(place / "images"), place / "page", data="digits" if told.quick else "mnist"
        )
        files = functools.partial(Files, directory=str(place / "page"))
        server = ThreadingHTTPServer(("127.0.0.1", 0), files)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = shown(browser, f"http://127.0.0.1:{server.server_port}/")
        alone = [page.evaluate(DRAG, seconds)[0] for _ in range(rounds)]
        server.shutdown()
        page, process = opened(browser, place / "rows", place / "rows.npy")
        drawn = page.evaluate(DRAW)
        process.terminate()
        browser.close()
    decoded, frames = (list(each) for each in zip(*dragged, strict=True))
    print(f"decoded images shown a second  {statistics.median(decoded):6.1f}")
    print(f"the same, by the page alone    {statistics.median(alone):6.1f}")
    print(f"frames of the browser a second {statistics.median(frames):6.1f}")
    print(f"a map of {len(rows):,} points      {statistics.median(drawn):6.1f} ms")
    if not told.quick:
        values = {
            "command": harness.command(),
            "seconds": seconds,
            "rounds": rounds,
            "decoded_per_second": decoded,
            "alone_per_second": alone,
            "frames_per_second": frames,
            "points": len(rows),
            "map_ms": drawn,
        }
        print(harness.write("explorer", values | harness.machine()))


if __name__ == "__main__":
    main()
