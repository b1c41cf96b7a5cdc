"""results/*.json as docs/benchmarks.md and its picture."""

from __future__ import annotations

import textwrap
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from harness import read

from lowerbound import plots
from lowerbound.plots import style
from lowerbound.plots.style import minus

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
BOUND = "matrix products alone"


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def on(values: dict[str, Any]) -> str:
    """Where it was measured."""
    return f"{values['processor']}, {values['cores']} cores, PyTorch {values['torch']}"


def threads(values: dict[str, Any]) -> str:
    cells = [
        [name, f"{row['free']:,.0f}", f"{row['shared']:,.0f}", f"{row['kept']:.0%}"]
        for name, row in values["rows"].items()
    ]
    header = ["", "images/s alone", "with a core taken", "kept"]
    return f"{on(values)}:\n\n{table(header, cells)}\n\n`{values['command']}`"


def training(values: dict[str, Any]) -> str:
    parts = [f"On {on(values)}:"]
    for task, measured in values["tasks"].items():
        ordered = sorted(
            measured["contenders"].items(), key=lambda item: -item[1]["images_per_second"]
        )
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
        how = (
            f"{measured['images']:,} images, {measured['epochs']} epochs, {measured['rounds']} "
            f"rounds: `{measured['command']}`"
        )
        parts.append(f"### {task}\n\n{table(header, cells)}\n\n{how}")
    return "\n\n".join(parts)


def gpu(values: dict[str, Any]) -> str:
    parts = [f"On an {values['gpu']}, beside {on(values)}:"]
    for task, rows in values["tasks"].items():
        ordered = sorted(rows.items(), key=lambda item: -item[1]["images_per_second"])
        cells = [
            [
                name,
                f"{row['images_per_second']:,.0f}",
                f"{row['compiled_over_it']:.2f}",
                f"{row['loss']:.1f}",
            ]
            for name, row in ordered
        ]
        header = [task, "images/s", "fit compiled over it", "loss, nats"]
        parts.append(table(header, cells))
    how = f"{values['epochs']} epochs, rounds: {values['rounds']}; `{values['command']}`"
    return "\n\n".join([*parts, how])


def sequences(values: dict[str, Any]) -> str:
    ordered = sorted(values["rows"].items(), key=lambda item: -item[1]["windows_per_second"])
    cells = [
        [
            name,
            f"{row['windows_per_second']:,.0f}",
            f"{row['of_bound']:.0%}",
            f"{row['ours_over_it']:.2f}",
        ]
        for name, row in ordered
    ]
    header = ["", "windows/s", "of the bound", "fit over it"]
    how = f"{values['windows']:,} windows, {values['rounds']} rounds: `{values['command']}`"
    return f"On {on(values)}:\n\n{table(header, cells)}\n\n{how}"


def time_to_result() -> str:
    """Its section, once it has been measured."""
    if not (HERE / "results" / "time_to_result.json").exists():
        return ""
    values = read("time_to_result")
    ordered = sorted(values["rows"].items(), key=lambda item: item[1]["seconds"])
    cells = [
        [
            name,
            f"`{row['setting']}`",
            f"{row['validation']:.2f}" + ("" if row["reached"] else " (missed)"),
            f"{row['seconds']:.1f}",
            f"{row['after_start']:.1f}",
            f"{row['it_over_ours']:.2f}",
        ]
        for name, row in ordered
    ]
    header = ["", "setting", "sum, nats", "seconds", "from the first step", "seconds over fit's"]
    return (
        (HERE / "time_to_result.md")
        .read_text()
        .format(
            goal=values["goal"],
            rounds=values["rounds"],
            table=table(header, cells),
            command=values["command"],
        )
    )


def defaults(values: dict[str, Any]) -> str:
    """The gap to the truth, by rows; the truth itself is that of the most rows' test set."""
    sizes = [f"{row['rows']:,} rows" for row in next(iter(values["rows"].values()))]
    cells = [
        [name, f"{rows[-1]['truth']:.3f}", *(f"{r['ours']:.3f} ({r['gap']:+.3f})" for r in rows)]
        for name, rows in values["rows"].items()
    ]
    return table(["", "truth", *sizes], cells)


def photographs(values: dict[str, Any]) -> str:
    """Means over the seeds; the squared error in units of 10⁻⁴."""
    cells = [
        [
            name,
            f"{rows[0]['patches']:,}",
            f"{fmean(row['seconds'] for row in rows):.0f}",
            f"{1e4 * fmean(row['squared_error'] for row in rows):.1f}",
            f"{fmean(row['bits'] for row in rows):.3f}",
        ]
        for name, rows in values["rows"].items()
    ]
    header = ["", "patches", "seconds", "squared error, 10⁻⁴", "−ELBO, bits per dimension"]
    return table(header, cells)


def growth(values: dict[str, Any]) -> str:
    cells = [
        [
            f"{row['examples']:,} × {row['width']}",
            "on disk" if row["on_disk"] else "in memory",
            f"{row['microseconds_per_example']:.1f}",
            f"{row['peak_mb']:,.0f}",
            f"{row['checking_s']:.2f}",
        ]
        for row in values["rows"]
    ]
    return table(["examples", "", "µs per example", "peak, MB", "load and check, s"], cells)


def service() -> str:
    """Its section, once it has been measured."""
    if not (HERE / "results" / "service.json").exists():
        return ""
    values = read("service")
    cells = [
        [
            row["call"],
            str(row["clients"]),
            f"{row['requests_per_second']:,.0f}",
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
        ]
        for row in values["rows"]
    ]
    told = table(["", "clients", "requests/s", "p50, ms", "p99, ms"], cells)
    return (HERE / "service.md").read_text().format(table=told, command=values["command"]) + "\n"


def explorer() -> str:
    """Its section, once it has been measured."""
    if not (HERE / "results" / "explorer.json").exists():
        return ""
    values = read("explorer")
    cells = [
        ["decoded images shown a second", f"{median(values['decoded_per_second']):.0f}"],
        ["frames of the browser a second", f"{median(values['frames_per_second']):.0f}"],
        [f"a map of {values['points']:,} points, ms", f"{median(values['map_ms']):.0f}"],
    ]
    if alone := values.get("alone_per_second"):
        cells.insert(1, ["the same, by a page without Python", f"{median(alone):.0f}"])
    told = {key: values[key] for key in ("seconds", "rounds", "command")}
    return (HERE / "explorer.md").read_text().format(table=table(["", ""], cells), **told)


def tables() -> str:
    """Its section, once it has been measured."""
    if not (HERE / "results" / "tables.json").exists():
        return ""
    values = read("tables")
    parts = {job: by_table(found) for job, found in values["found"].items()}
    jobs = ("density", "validation", "outliers", "synthetic", "speed")
    missing = dict.fromkeys(jobs, "(not measured)")
    return (HERE / "tables.md").read_text().format(**missing | parts, command=values["command"])


def by_table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """A row for each table, a column for each method: the mean over seeds ± their deviation.

    Of a method with fewer seeds than others of its table there is none.  Shares, which are of one
    unit, have a mean over the tables as well.
    """
    whole = {}
    for name, by in found.items():
        most = max(map(len, by.values()))
        whole[name] = {m: list(seeds.values()) for m, seeds in by.items() if len(seeds) == most}
    methods = [m for m in next(iter(found.values())) if any(m in by for by in whole.values())]
    rows = [
        [name, *(spread(by[m]) if m in by else "–" for m in methods)] for name, by in whole.items()
    ]
    means = {m: [fmean(by[m]) for by in whole.values() if m in by] for m in methods}
    if all(0 < value < 1 for values in means.values() for value in values):
        rows.append(["mean", *(f"**{fmean(values):.3f}**" for values in means.values())])
    return table(["", *methods], rows)


def spread(values: list[float]) -> str:
    if abs(fmean(values)) >= 1000:
        return minus(f"{fmean(values):,.0f}")
    if 0 < fmean(values) < 1:
        return f"{fmean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")
    told = f"{fmean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")
    return minus(told)


@style.styled
def picture(values: dict[str, Any]) -> None:
    task, measured = next(iter(values["tasks"].items()))
    rows = measured["contenders"]
    names = sorted(rows, key=lambda name: rows[name]["images_per_second"])
    speeds = [rows[name]["images_per_second"] for name in names]
    figure, axes = style.one_panel(3.8, xlabel=f"images per second in training, {task}")
    colours = [style.BLUE if "lowerbound" in name else style.MUTED for name in names]
    bars = axes.barh(names, speeds, color=colours)
    axes.bar_label(bars, [f" {speed:,.0f}" for speed in speeds])
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    plots.save(figure, DOCS / "images" / "training-speed.png")


def main() -> None:
    evaluation, start = map(read, ("evaluation", "start"))
    grown, simulated, patches = read("growth"), read("defaults"), read("photographs")
    machines, shared = read("training"), read("threads")
    picture(next(iter(machines.values())))
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
        training="\n\n".join(map(training, machines.values())),
        gpu=gpu(read("gpu")),
        sequences=sequences(read("sequences")),
        time_to_result=time_to_result(),
        cost=growth(grown),
        cost_command=grown["command"],
        defaults=defaults(simulated),
        defaults_command=simulated["command"],
        samples=simulated["samples"],
        test=f"{simulated['test']:,}",
        tables=tables(),
        service=service(),
        explorer=explorer(),
        photographs=photographs(patches),
        photographs_command=patches["command"],
        multiplications=f"{patches['multiplications'] / 1e9:.0f}",
        threads="\n\n".join(map(threads, shared.values())),
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
