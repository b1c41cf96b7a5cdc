"""``lowerbound compress`` and ``lowerbound decompress``."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowerbound.cli.options import Force, Json, Quiet, expect_new
from lowerbound.cli.output import note, print_json, progress, show
from lowerbound.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    import numpy as np

    from lowerbound import VAE
    from lowerbound.evaluation.walk import Progress

SUFFIX = ".lb"
UNLIKELY = -0.05  # of the −ELBO below which no file of data that the model knows can be
DEFLATED = {"deflate": ", which are deflated as that takes less", "bits-back": ""}
Folder = Annotated[Path, typer.Argument(help="The folder of the model, which both sides need.")]


def compress(
    run: Folder,
    file: Annotated[
        str, typer.Argument(help="Binary images or grey levels 0–255: .npy or other data.")
    ],
    out: Annotated[Path | None, typer.Option(help="The file to write. [FILE.lb]")] = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compress images without loss, to about as many bits as the model's −ELBO.

    Bits-back coding: the better the model knows such images, the smaller the file.

    Examples:
        lowerbound compress runs/first images.npy
        lowerbound compress runs/first images.npy --out images.lb --force
    """
    from lowerbound import compression, data
    from lowerbound.files import write_atomic
    from lowerbound.runs import Run

    target = out or Path(f"{Path(file)}{SUFFIX}")
    expect_new(target, force=force)
    model = Run.open(run, "cpu").model
    array = data.read_array(file)
    started = time.perf_counter()
    with progress("compressing") as advance:
        made = compression.compress(model, array, progress=advance)
    speed = made.examples / (time.perf_counter() - started)
    with progress("measuring the ELBO") as advance:
        bound = _negative_elbo(model, array, advance)
    write_atomic(target, made.content)
    over = None if bound is None else made.nats_per_example / bound - 1
    bits = None if bound is None else bound / (made.dimensions * math.log(2))
    figures = {
        "file": str(target),
        "bytes_before": array.nbytes,
        "bytes": len(made.content),
        "images": made.examples,
        "method": made.method,
        "bits_per_dimension": made.bits_per_dimension,
        "negative_elbo_bits_per_dimension": bits,
        "over_negative_elbo": over,
        "initial_bits": made.initial_bits,
        "images_per_second": speed,
    }
    elbo = "infinite" if bits is None else f"{bits:>8.4f} bits per dimension"
    if made.method == "deflate" or over is None or over < UNLIKELY:
        elbo += f"; the model does not know such images{DEFLATED[made.method]}"
    else:
        elbo += f" (the file is {over:+.2%})"
    show(
        figures,
        f"{file}: {array.nbytes:,} → {len(made.content):,} bytes in {target}\n"
        f"  {'size':<22}{made.bits_per_dimension:>8.4f} bits per dimension\n"
        f"  {'−ELBO':<22}{elbo}\n"
        f"  {'initial bits':<22}{made.initial_bits:>8,}\n"
        f"  {'images/s':<22}{speed:>8,.0f}",
        json,
    )


def decompress(
    run: Folder,
    file: Annotated[Path, typer.Argument(help="What lowerbound compress wrote.")],
    out: Annotated[
        Path | None, typer.Option(help="The .npy file to write. [FILE without .lb]")
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Restore what was compressed, to the last bit, as a .npy file.

    Examples:
        lowerbound decompress runs/first images.npy.lb
        lowerbound decompress runs/first images.lb --out again.npy
    """
    from lowerbound import compression
    from lowerbound.cli.exports import write_array
    from lowerbound.files import read_regular
    from lowerbound.runs import Run

    content = read_regular(file, "compressed images")
    target = out or _restored(file)
    if target.suffix != ".npy":
        raise ConfigurationError(f"expected a .npy file to write to, got {target}")
    expect_new(target, force=force)
    model = Run.open(run, "cpu").model
    started = time.perf_counter()
    with progress("decompressing") as advance:
        array = compression.decompress(model, content, progress=advance)
    speed = len(array) / (time.perf_counter() - started)
    write_array(target, array)
    if json:
        print_json({"file": str(target), "images": len(array), "images_per_second": speed})
    else:
        note(f"wrote {target}: {array.dtype} {array.shape}, {speed:,.0f} images/s")


def _negative_elbo(model: VAE, array: np.ndarray, advance: Progress) -> float | None:
    """−ELBO of the images, nats each; None where that of any of them is infinite."""
    from lowerbound import compression, evaluation

    x = compression.as_data(model, array)
    if len(x) == 1:
        x = x.repeat(2, *[1] * (x.ndim - 1))  # `evaluate` wants two, for its standard errors
    try:
        found = evaluation.evaluate(model, x, samples=1, progress=advance)
    except DataError:
        return None
    return None if found.elbo is None or found.left_out else -found.elbo.value


def _restored(file: Path) -> Path:
    """digits.npy.lb and digits.lb are both restored to digits.npy."""
    bare = file.with_suffix("") if file.suffix == SUFFIX else file
    return bare if bare.suffix == ".npy" else bare.with_name(f"{bare.name}.npy")
