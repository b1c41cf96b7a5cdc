"""MNIST's test set, binarised and as 8-bit images, compressed and restored; and other formats."""

from __future__ import annotations

import lowerbound as lb

# isort: split
import argparse
import bz2
import gzip
import io
import lzma
import math
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from page import DOCS, read, table
from PIL import Image

from lowerbound import compression

RESULTS = harness.HERE / "results"
CHECKOUT = harness.HERE.parent.resolve()
BINARISED = "scripts/reproduce P4 --out documents"
GREY = (
    "train convolutional --data mnist --validation 1000 --set learning_rate=0.002 "
    "--set schedule=cosine --set warmup_epochs=1 --set ema=0.999 --set likelihood=LogisticMixture "
    "--set likelihood.components=3 --set latent_dim=50 --set hidden=256 --set precision=bfloat16 "
    "--set epochs=8"
)
QUICK = "--data digits --validation 100 --set epochs=2"
QUICK_COMMANDS = {
    "binarised": f"train vampprior {QUICK} --set transform=Binarise --set prior.components=20",
    "8-bit": f"train convolutional {QUICK} --set likelihood=LogisticMixture "
    "--set likelihood.components=3",
}
MODELS = {"binarised": "gated-vampprior", "8-bit": "compression-8-bit"}
Codec = Callable[[bytes], bytes]
CODECS: dict[str, Codec] = {
    "gzip": lambda raw: gzip.compress(raw, 9, mtime=0),
    "bz2": lambda raw: bz2.compress(raw, 9),
    "xz": lambda raw: lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME),
}
IMAGES = {"PNG": {"optimize": True}, "WebP": {"lossless": True, "quality": 100, "method": 6}}


def train(kind: str, folder: Path, quick: bool) -> None:
    """Trains from the command line; when quick, for two epochs on digits."""
    if kind == "binarised" and not quick:
        command = shlex.split(BINARISED)
    else:
        line = QUICK_COMMANDS[kind] if quick else GREY
        command = [sys.executable, "-m", "lowerbound", *shlex.split(line), "--out", str(folder)]
    subprocess.run(command, check=True, cwd=CHECKOUT)


def binarised(x: torch.Tensor) -> np.ndarray:
    """One draw b ~ Bernoulli(x/255) of each pixel, as 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    return torch.bernoulli(x / 255, generator=generator).to(torch.uint8).numpy()


def others(x: np.ndarray, binary: bool) -> dict[str, int]:
    """Bytes that other formats need; binary images are packed into bits where that is smaller."""
    raws = [x.tobytes()] + ([np.packbits(x).tobytes()] if binary else [])
    sizes = {name: min(len(encode(raw)) for raw in raws) for name, encode in CODECS.items()}
    columns = math.isqrt(len(x))  # of the sheet; images that fill no row are counted like the rest
    rows = len(x) // columns
    pixels = x[:, 0] * np.uint8(255 if binary else 1)
    kept = pixels[: rows * columns]
    height, width = kept.shape[1:]
    sheet = kept.reshape(rows, columns, height, width).swapaxes(1, 2)
    share = len(x) / len(kept)
    for name, options in IMAGES.items():
        whole = image_size(sheet.reshape(rows * height, -1), binary, name, options)
        sizes[f"{name}, one sheet"] = round(whole * share)
        each = (image_size(image, binary, name, options) for image in pixels)
        sizes[f"{name}, each image"] = sum(each)
    return sizes


def image_size(pixels: np.ndarray, binary: bool, name: str, options: dict[str, Any]) -> int:
    """Bytes of one image file; a PNG of binary pixels takes one bit for each."""
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    (image.convert("1") if binary and name == "PNG" else image).save(file, name, **options)
    return file.tell()


def restore(folder: Path, content: bytes) -> np.ndarray:
    """Decompressed by another process, with one thread."""
    with tempfile.TemporaryDirectory() as scratch:
        file, out = Path(scratch) / "x.lb", Path(scratch) / "x.npy"
        file.write_bytes(content)
        line = ["-m", "lowerbound", "decompress", str(folder), str(file), "--out", str(out)]
        environment = harness.clean_environment(OMP_NUM_THREADS="1")
        subprocess.run([sys.executable, *line], check=True, env=environment)
        return np.load(out)


def measure(folder: Path, x: np.ndarray, binary: bool) -> dict[str, Any]:
    model = lb.load(folder)
    started = time.perf_counter()
    made = compression.compress(model, x)
    middle = time.perf_counter()
    again = compression.decompress(model, made.content)
    ended = time.perf_counter()
    elsewhere = restore(folder, made.content)
    for y in (again, elsewhere):
        if (y.dtype, y.shape) != (x.dtype, x.shape) or y.tobytes() != x.tobytes():
            raise SystemExit("the images were not restored")
    bound = lb.evaluate(model, compression.as_data(model, x), samples=5).elbo
    assert bound is not None
    nats = math.log(2) * made.dimensions
    return {
        "images": len(x),
        "bytes": len(made.content),
        "bits_per_dimension": made.bits_per_dimension,
        "negative_elbo_nats": -bound.value,
        "negative_elbo": -bound.value / nats,
        "standard_error": bound.standard_error / nats,
        "over_negative_elbo": made.nats_per_example / -bound.value - 1,
        "initial_bits": made.initial_bits,
        "compressed_per_second": len(x) / (middle - started),
        "restored_per_second": len(x) / (ended - middle),
        "others": {name: 8 * size / x.size for name, size in others(x, binary).items()},
    }


def page(report: dict[str, Any]) -> str:
    """docs/compression.md."""
    sizes, columns = [], list(report)
    for name, key in (("**lowerbound**", "bits_per_dimension"), ("−ELBO", "negative_elbo")):
        sizes.append([name, *(f"{report[kind][key]:.4f}" for kind in columns)])
    sizes.append(["file over −ELBO", *(f"{report[k]['over_negative_elbo']:+.2%}" for k in columns)])
    for name in CODECS:
        sizes.append([name, *(f"{report[kind]['others'][name]:.3f}" for kind in columns)])
    for name in IMAGES:
        found = [report[kind]["others"] for kind in columns]
        both = [f"{o[f'{name}, one sheet']:.3f} ({o[f'{name}, each image']:.3f})" for o in found]
        sizes.append([name, *both])
    rows = (
        ("bytes", "bytes"),
        ("initial bits", "initial_bits"),
        ("compressed, images/s", "compressed_per_second"),
        ("restored, images/s", "restored_per_second"),
    )
    speeds = [[name, *(f"{report[kind][key]:,.0f}" for kind in columns)] for name, key in rows]
    where = harness.machine()
    return (
        (harness.HERE / "compression_page.md")
        .read_text()
        .format(
            machine=f"{where['cores']} cores ({where['processor']}), PyTorch {where['torch']}",
            sizes=table(["bits per dimension", *columns], sizes),
            speeds=table(["", *columns], speeds),
            binarised=BINARISED,
            grey=GREY,
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument(
        "--quick", action="store_true", help="check that it runs: 60 digits, two epochs"
    )
    told = parser.parse_args()
    name = "digits" if told.quick else "mnist"
    test = lb.data.load(name).test
    if told.quick:
        test = test.take(60)
    report = {}
    with tempfile.TemporaryDirectory() as scratch:
        models = (Path(scratch) if told.quick else CHECKOUT / "documents") / "models"
        for kind in told.kinds:
            folder = models / MODELS[kind]
            if not (folder / "model.json").exists():
                train(kind, folder, told.quick)
            x = binarised(test.x) if kind == "binarised" else test.x.numpy()
            row = report[kind] = measure(folder, x, kind == "binarised")
            print(f"{kind}: {row['images']:,} images, {row['bytes']:,} bytes")
            print(f"  {'lowerbound':<20}{row['bits_per_dimension']:.4f} bits per dimension")
            told_bound = f"{row['negative_elbo']:.4f} ± {row['standard_error']:.4f}"
            print(f"  {'−ELBO':<20}{told_bound} ({row['negative_elbo_nats']:.2f} nats)")
            print(f"  {'file over −ELBO':<20}{row['over_negative_elbo']:+.2%}")
            print(f"  {'initial bits':<20}{row['initial_bits']:,}")
            for other, size in row["others"].items():
                print(f"  {other:<20}{size:.4f}")
            speeds = row["compressed_per_second"], row["restored_per_second"]
            print(f"  images/s            {speeds[0]:,.0f} compressed, {speeds[1]:,.0f} restored")
    if not told.quick:
        earlier = read("compression")["rows"] if (RESULTS / "compression.json").exists() else {}
        report = {kind: (earlier | report)[kind] for kind in MODELS if kind in earlier | report}
        values = {"command": "benchmarks/run compression", "rows": report}
        print(harness.write("compression", values | harness.machine()))
        (DOCS / "compression.md").write_text(page(report))


if __name__ == "__main__":
    main()
