"""Judges `diagnose` by models that are sound, and by models with a known fault.

A model is trained once and kept in ``--cache``; what is said of it is found afresh at each run, and
takes the place of what was said before in results/diagnosis.json and its table in the docs.
"""

from __future__ import annotations

import lowerbound as lb

# isort: split
import argparse
import json
import multiprocessing
import re
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import harness
import torch
from judged import System
from page import table
from safetensors.torch import load_file, save_file
from systems import FAULTY, SOUND

from lowerbound.diagnosis import Finding

Row = dict[str, Any]

SYSTEMS = [*SOUND, *FAULTY]
HALVES = ("tuned on", "held back")
HELD_BACK = 3
"""One of so many systems is judged again, with other data, sizes and seeds."""
QUICK = "150 rows"


def diagnosed(system: System, half: int, cache: Path) -> list[Finding]:
    """What is said of a system."""
    judged = system.make(half)
    kept = cache / f"{system.kind}, {system.name}, {half}.safetensors".replace("/", "∕")
    records = kept.with_suffix(".json")
    if kept.exists():
        judged.model.load_state_dict(load_file(kept))
        history = json.loads(records.read_text())
    else:
        history = list(judged.fit())
        records.write_text(json.dumps(history))
        save_file({n: t.clone() for n, t in judged.model.state_dict().items()}, kept)
    return lb.diagnose(judged.model, judged.test, judged.train, history, judged.objective)


def title(system: System) -> str:
    """What it is, in the results."""
    return f"{system.kind}: {system.name}"


def judge(i: int, half: int, cache: Path) -> Row:
    """A row: what was found of one of `SYSTEMS`, and whether that is right."""
    torch.set_num_threads(1)
    system = SYSTEMS[i]
    started = time.process_time()
    findings = diagnosed(system, half, cache)
    faults = [f for f in findings if f.severity == "fault"]
    others = [f for f in faults if f.name not in system.causes]
    right = [f for f in findings if f.name in system.causes and system.words in f.sentence]
    is_right = bool(right) if system.causes else not faults
    told = ", ".join(f"{f.severity} {f.name}" for f in findings)
    seconds = time.process_time() - started
    mark = "✓" if is_right else "✗"
    print(f"{mark} {title(system)}, {HALVES[half]} ({seconds:.0f} s): {told}", flush=True)
    for f in findings if system.causes and not is_right else others:
        print(f"    {f.severity}: {f.sentence}", flush=True)
    return {
        "kind": system.kind,
        "half": half,
        "right": is_right,
        "other faults": [f.name for f in others],
        "warnings": [f.name for f in findings if f.severity == "warning"],
        "seconds": seconds,
    }


def tables(rows: list[Row]) -> str:
    """Of sound systems, their faults and warnings; of the others, how many were found."""
    parts = []
    for systems, header, counts in (
        (SOUND, ["sound models", "models", "faults", "warnings"], ("other faults", "warnings")),
        (FAULTY, ["fault", "models", "found", "other faults"], ("right", "other faults")),
    ):
        cells = []
        kinds = dict.fromkeys(system.kind for system in systems)
        groups = {kind: [r for r in rows if r["kind"] == kind] for kind in kinds}
        every = [r for group in groups.values() for r in group]
        groups |= {name: [r for r in every if r["half"] == h] for h, name in enumerate(HALVES)}
        for name, group in groups.items():
            numbers = [len(group), *(sum(bool(r[c]) for r in group) for c in counts)]
            cells.append([name, *map(str, numbers)])
        parts.append(table(header, cells))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, help="a folder for the trained models")
    parser.add_argument("--half", type=int, choices=(0, 1), help="only the first, or the second")
    parser.add_argument("--jobs", type=int, default=1, help="processes, each with one thread")
    parser.add_argument("--only", default="", help="kinds or names that this pattern is found in")
    parser.add_argument("--quick", action="store_true", help="check that it runs: one system")
    told = parser.parse_args()
    cache = told.cache or Path(tempfile.mkdtemp())
    cache.mkdir(parents=True, exist_ok=True)
    path = harness.HERE / "results" / "diagnosis.json"
    every = {
        f"{title(system)}, {HALVES[half]}": (i, half)
        for i, system in enumerate(SYSTEMS)
        for half in ((0,) if told.quick or i % HELD_BACK else (0, 1))
    }
    kept = harness.read("diagnosis")["rows"] if path.exists() and not told.quick else {}
    rows: dict[str, Row] = {name: row for name, row in kept.items() if name in every}
    asked = [
        (i, half)
        for i, half in every.values()
        if re.search(told.only, title(SYSTEMS[i]))
        and (not told.quick or SYSTEMS[i].name == QUICK)
        and told.half in (half, None)
    ]
    with ProcessPoolExecutor(told.jobs, multiprocessing.get_context("spawn")) as pool:
        judged = {pool.submit(judge, i, half, cache): (i, half) for i, half in asked}
        for future in as_completed(judged):
            i, half = judged[future]
            rows[f"{title(SYSTEMS[i])}, {HALVES[half]}"] = future.result()
            if not told.quick:
                harness.write("diagnosis", {"rows": rows, **harness.machine()})
    text = tables(list(rows.values()))
    print(text)
    if not told.quick:
        path.with_suffix(".md").write_text(text + "\n")


if __name__ == "__main__":
    main()
