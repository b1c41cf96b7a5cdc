"""Sound files of every kind that lowerbound reads, and what it does with them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attack import box

SMALL = ("--set", "hidden=4", "--set", "latent_dim=1", "--set", "epochs=1")


@dataclass(frozen=True)
class Target:
    """A file to damage, and the commands that read it.

    ``exact``: a command that still succeeds must write what it wrote of the sound file.
    """

    name: str
    file: str
    commands: tuple[tuple[str, ...], ...]
    exact: bool = False


def build(folder: Path) -> None:
    """Write the sound files to ``folder``."""
    box.warm()
    rng = np.random.default_rng(0)
    grey = (rng.random((240, 1, 6, 6)) * 255).astype(np.uint8)
    table = np.round(rng.normal(5, 2, (240, 3)), 3)
    labels = rng.integers(0, 3, 240)
    np.save(folder / "grey.npy", grey)
    np.save(folder / "table.npy", table)
    np.save(folder / "labels.npy", labels)
    np.savez(folder / "both.npz", x=grey, y=labels)
    (folder / "x-images-idx3-ubyte").write_bytes(
        b"\0\0\x08\x03" + np.array([240, 6, 6], ">i4").tobytes() + grey.tobytes()
    )
    _write_tables(folder, table)
    _write_images(folder, grey[:8, 0])
    for run, data, more in (
        ("images", "grey.npy", ("--labels", "labels.npy", "--set", "likelihood=Bernoulli")),
        ("rows", "table.csv", ()),
        ("bits", "grey.npy", ("--set", "likelihood=DiscretisedLogistic")),
    ):
        _sound(folder, "train", "mlp", "--data", data, "--out", run, *SMALL, *more)
        _sound(folder, "evaluate", run, "--samples", "2")
    _sound(folder, "compress", "bits", "grey.npy", "--out", "grey.lb")


def targets(folder: Path) -> list[Target]:
    """The files in ``folder`` to damage; everything is named relative to it."""
    files = [
        *("grey.npy", "both.npz", "x-images-idx3-ubyte", "pictures/a/3.png"),
        *("table.csv", "table.parquet", "table.npy"),
    ]
    return [
        *(_data(file, "images" if i < 4 else "rows") for i, file in enumerate(files)),
        Target("labels", "labels.npy", (_train("grey.npy", "--labels", "labels.npy"),)),
        Target("on disk", "table.npy", (_train("table.npy", "--on-disk"),)),
        Target(
            "compressed",
            "grey.lb",
            (("decompress", "bits", "grey.lb", "--out", "o.npy"),),
            exact=True,
        ),
        *(t for run in ("images", "rows") for t in _run(folder, run)),
    ]


def _sound(folder: Path, *arguments: str) -> None:
    outcome = box.run(arguments, folder)
    if outcome.status:
        raise RuntimeError(f"{' '.join(arguments)}: {outcome.err}")


def _train(data: str, *more: str) -> tuple[str, ...]:
    return ("train", "mlp", "--data", data, *more, "--out", "new", *SMALL)


def _data(file: str, run: str) -> Target:
    source = "pictures" if file.endswith("png") else file
    return Target(
        source,
        file,
        (
            _train(source),
            ("embed", run, "--data", source, "--out", "o.npy"),
            ("evaluate", run, "--data", source, "--samples", "2"),
        ),
    )


def _run(folder: Path, run: str) -> list[Target]:
    """Each file of a run, with what reads it."""
    judge = (
        ("embed", run, "--out", "o.npy"),
        ("sample", run, "--out", "o.npy"),
        ("reconstruct", run, "--out", "o.npy"),
        ("evaluate", run, "--samples", "2", "--json"),
        ("diagnose", run),
        ("report", run),
    )
    resume = (("train", "--resume", "--out", run),)
    commands = {"metrics.jsonl": judge[5:] + resume, "evaluation.json": judge[5:]}
    return [
        Target(
            f"{run}/{path.name if 'weights' not in path.name else 'weights'}",
            str(path.relative_to(folder)),
            resume if "checkpoint" in path.name else commands.get(path.name, judge),
            exact=path.name not in commands,
        )
        for path in sorted((folder / run).iterdir())
        if path.is_file()
    ]


def _write_tables(folder: Path, table: np.ndarray) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    names = ("height", "weight", "age")
    pyarrow.parquet.write_table(
        pa.table({name: table[:, i] for i, name in enumerate(names)}), folder / "table.parquet"
    )
    lines = [",".join(names), *(",".join(map(str, row)) for row in table)]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")


def _write_images(folder: Path, grey: np.ndarray) -> None:
    from PIL import Image

    for i, image in enumerate(np.concatenate([grey, grey, grey])):
        to = folder / "pictures" / "ab"[i % 2] / f"{i}.png"
        to.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(to)
    shutil.copy(folder / "pictures" / "b" / "1.png", folder / "pictures" / "a" / "3.png")
