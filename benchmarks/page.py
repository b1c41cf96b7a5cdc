"""results/*.json as docs/benchmarks.md and its picture."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lowerbound import plots

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
BOUND = "matrix products alone"


def read(name: str) -> dict[str, Any]:
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def training(values: dict[str, Any]) -> str:
    parts = []
    for task, rows in values["tasks"].items():
        ordered = sorted(rows.items(), key=lambda item: -item[1]["images_per_second"])
        cells = [
            [
                name,
                f"{row['images_per_second']:,.0f}",
                f"{row['of_bound']:.0%}",
                f"{row['ours_over_it']:.2f}",
                "" if name == BOUND else f"{row['loss']:.1f}",
            ]
            for name, row in ordered
        ]
        header = ["", "images/s", "of the bound", "fit over it", "loss, nats"]
        parts.append(f"### {task}\n\n{table(header, cells)}")
    return "\n\n".join(parts)


def picture(values: dict[str, Any]) -> None:
    task, rows = next(iter(values["tasks"].items()))
    names = sorted(rows, key=lambda name: rows[name]["images_per_second"])
    speeds = [rows[name]["images_per_second"] for name in names]
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(f"Training, {task}: images per second", loc="left", fontsize=11)
    colours = ["#0072b2" if "lowerbound" in name else "#8a8a8a" for name in names]
    bars = axes.barh(names, speeds, color=colours)
    axes.bar_label(bars, [f" {speed:,.0f}" for speed in speeds], fontsize=9)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_xticks([])
    plots.save(figure, DOCS / "images" / "training-speed.png")


def main() -> None:
    speed, threads, evaluation, start = map(read, ("training", "threads", "evaluation", "start"))
    picture(speed)
    shared = table(
        ["threads that wait", "images/s alone", "with a core taken", "kept"],
        [
            [name, f"{row['free']:,.0f}", f"{row['shared']:,.0f}", f"{row['kept']:.0%}"]
            for name, row in threads["rows"].items()
        ],
    )
    judged = table(
        ["", "images/s", "of the bound"],
        [
            [name, f"{row['images_per_second']:,.1f}", f"{row['of_bound']:.0%}"]
            for name, row in evaluation["tasks"].items()
        ],
    )
    begun = sorted(start["first_step_s"])[len(start["first_step_s"]) // 2]
    helped = sorted(start["help_s"])[len(start["help_s"]) // 2]
    text = (HERE / "page.md").read_text()
    filled = text.format(
        machine=f"{speed['cores']} cores ({speed['processor']}), PyTorch {speed['torch']}",
        rounds=speed["rounds"],
        training=training(speed),
        training_command=speed["command"],
        threads=shared,
        threads_command=threads["command"],
        evaluation=judged,
        evaluation_command=evaluation["command"],
        peak=f"{evaluation['peak_mb']:,.0f}",
        growth=f"{evaluation['growth_mb']:,.0f}",
        help=f"{helped:.2f}",
        first=f"{begun:.2f}",
        memory=f"{start['peak_mb']:,.0f}",
        start_command=start["command"],
    )
    (DOCS / "benchmarks.md").write_text(textwrap.dedent(filled))


if __name__ == "__main__":
    main()
