"""The explorer as a folder for any web server: the page, its model as ONNX, and what runs that."""

from __future__ import annotations

import gzip
import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lowerbound.data import Dataset
from lowerbound.data.assembly import in_memory
from lowerbound.data.known import File, FileSet
from lowerbound.data.schema import Schema
from lowerbound.data.sources import contents
from lowerbound.errors import ConfigurationError
from lowerbound.evaluation.walk import Progress
from lowerbound.explorer.app import PAGE
from lowerbound.explorer.forms import Form, form_of
from lowerbound.explorer.space import Space
from lowerbound.explorer.uploads import MOST_BYTES as MOST_UPLOADED
from lowerbound.explorer.uploads import accepted
from lowerbound.export import to_onnx
from lowerbound.files import new_folder, write_atomic, write_json
from lowerbound.notebooks import Printed
from lowerbound.runs import Run
from lowerbound.vae import VAE

STATIC = PAGE.with_name("static")
MOST_BYTES, MOST_EXAMPLES = 20_000_000, 100_000
RUNTIME = FileSet(
    name="onnxruntime-web-1.30.0",
    files=(
        File(
            "ort.wasm.bundle.min.mjs",
            73_054,
            "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
            home="package/dist",
            packed=False,
        ),
        File(
            "ort-wasm-simd-threaded.wasm",
            14_239_897,
            "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
            home="package/dist",
            packed=False,
        ),
    ),
    layouts=("", "onnxruntime-web"),
    mirrors=("https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist/",),
    npm="onnxruntime-web@1.30.0",
)
"""The part of onnxruntime that runs in a browser."""
POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'\">"
)
UNSERVED = (
    "This page needs a web server: run python -m http.server in its folder, and open the address "
    "that it prints."
)


@dataclass(frozen=True)
class StaticPage(Printed):
    """What `to_page` wrote.

    Attributes:
        folder: where.
        bytes: of all its files.
        examples: how many of the data's it holds.
        nouns: what they are.
    """

    folder: Path
    bytes: int
    examples: int
    nouns: str

    def __str__(self) -> str:
        held = (
            f"{self.examples:,} {self.nouns} of the data" if self.examples else "none of the data"
        )
        return (
            f"{self.folder}: {self.bytes / 1e6:.1f} MB for any web server, such as\n"
            f"  python -m http.server --directory {shlex.quote(str(self.folder))}\n"
            f"whoever can open it can have the model and {held}"
        )


def to_page(
    run: Run,
    folder: str | Path,
    *,
    data: str | None = None,
    labels: str | None = None,
    most: int | None = None,
    progress: Progress = lambda done, total: None,
) -> StaticPage:
    """The explorer of ``run`` in a new ``folder``, which a web server shows without Python.

    The model is in it as ONNX files, which onnxruntime's WebAssembly runs in the browser.

    Args:
        run: whose model it is.
        folder: a new one, or an empty one.
        data: other data to show than the run's own test split.
        labels: with ``data``, the column or array of its class labels.
        most: test examples at most; by default as many as keep the folder below 20 MB.
        progress: called with the examples encoded and their number.

    Raises:
        MissingExtra: what ONNX files need is not installed.
        ConfigurationError: the model has no form in ONNX, or is given columns, or its data have
            dates of a format that the page does not know.
        DataUnavailable: onnxruntime's files are nowhere to be had.
        StorageError: the folder is not empty, or cannot be written to.
    """
    with new_folder(Path(folder)) as made:
        examples = run.examples("test", data, labels)
        _expect_dates(examples.schema)
        found = contents(RUNTIME)
        program, wasm = (found[file.name] for file in RUNTIME.files)
        write_atomic(made / "runtime/onnxruntime.js", program)
        _pack(made / "runtime/onnxruntime.wasm", wasm)
        to_onnx(run.model, examples, made / "onnx")
        for path in (*PAGE.iterdir(), *STATIC.iterdir()):
            write_atomic(made / path.name, _served_alone(path))
        form = form_of(run, in_memory(run.model.expect(examples)))
        shown = fitting(examples, form, run.model, MOST_BYTES - _bytes(made), most)
        split = "" if data else "test"

        def told(done: int, total: int) -> None:
            progress(done, total + 1)  # as what is encoded is still to be written

        space = Space(run, shown, name=split, progress=told, form=form)
        _write_data(space, made, named=None not in (run.fields, examples.columns))
        return StaticPage(Path(folder), _bytes(made), len(space.codes), space.form.nouns)


def _expect_dates(schema: Schema) -> None:
    """Dates of formats that dates.js knows."""
    for field in schema:
        if odd := re.search("%[^YymdHMSfz]", field.form):
            raise ConfigurationError(
                f"expected dates in numbers for the page, got {field.form} in {field.name!r}, "
                f"whose {odd[0]} it does not know; write them as 2007-11-30 and train anew, or see "
                "them in lowerbound explore"
            )


def _served_alone(path: Path) -> bytes:
    """A file of the page; the page itself says what it may load, as no server of ours does."""
    content = path.read_bytes()
    if path.name == "index.html":
        for place, more in ((b"<head>", POLICY), (b'role="status">', UNSERVED)):
            before, found, behind = content.partition(place)
            assert found, place
            content = before + found + more.encode() + behind
    return content


def fitting(
    data: Dataset, form: Form, model: VAE, room: int, most: int | None = None
) -> Dataset | None:
    """As many examples as there is room for in bytes, ``most`` at most, evenly from all."""
    own = 1 if form.about["kind"] == "image" else data.x.element_size()
    each = math.prod(model.shape) * own + 4 * model.latent_dim + 8
    n = min(len(data), MOST_EXAMPLES, max(0, room) // each, len(data) if most is None else most)
    return data.subset([i * len(data) // n for i in range(n)]) if n else None


def _write_data(space: Space, folder: Path, *, named: bool) -> None:
    """What the page is told, and the examples that it shows."""
    suffixes, takes = accepted(space, by_browser=True)
    ranges = {
        key: getattr(space.form, key) for key in ("low", "high", "span") if hasattr(space.form, key)
    }
    told = {
        "takes": takes,
        "named": named,
        "accept": ",".join(suffixes),
        "elsewhere": sorted({*accepted(space)[0]} - {*suffixes}),
        "bytes": MOST_UPLOADED,
        "range": {key: np.nan_to_num(value).tolist() for key, value in ranges.items()},
        "missing": getattr(space.model.likelihood, "takes_missing", False),
    }
    write_json(folder / "model.json", space.about | told)
    examples = b""
    if space.data is not None:
        each = space.data.x.split(1) if space.about["kind"] == "image" else ()
        examples = b"".join(map(space.form.of_values, each)) or space.data.x.cpu().numpy().tobytes()
    for name, content in (
        ("codes", space.codes.numpy().astype("<f4").tobytes()),
        ("labels", space.labels.astype("<i4").tobytes()),
        ("scores", space.scores.astype("<f4").tobytes() if len(space.codes) else b""),
        ("examples", examples),
    ):
        _pack(folder / name, content)


def _pack(path: Path, content: bytes) -> None:
    write_atomic(path.with_name(f"{path.name}.gz"), gzip.compress(content, mtime=0))


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
