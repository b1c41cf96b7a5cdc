"""Judges `diagnose` by models that are sound, and by models with a known fault.

A model is trained once and kept in ``--cache``; what is said of it is found afresh at each run.
"""

from __future__ import annotations

import lowerbound as lb

# isort: split
import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
import torch
from judged import System
from systems import FAULTY, SOUND

from lowerbound.diagnosis import Finding

HALVES = ("tuned on", "held back")
SEVERITIES = ("fault", "warning", "note")
HELD_BACK = 3
"""One of so many systems is judged again, with other data, sizes and seeds."""
QUICK = (31, 57)


def diagnosed(system: System, half: int, cache: Path) -> tuple[list[Finding], float, float]:
    """What is said of a system, and the seconds that training and diagnosis took."""
    started = time.process_time()
    judged = system.make(half)
    kept = cache / f"{system.kind}, {system.name}, {half}.pt".replace("/", "∕")
    if kept.exists():
        weights, history = torch.load(kept, weights_only=True)
        judged.model.load_state_dict(weights)
    else:
        history = list(judged.fit())
        torch.save((judged.model.state_dict(), history), kept)
    trained = time.process_time()
    findings = lb.diagnose(judged.model, judged.test, judged.train, history, judged.objective)
    return findings, trained - started, time.process_time() - trained


def judge(system: System, half: int, cache: Path) -> dict[str, Any]:
    """A row: what was found, and whether that is right."""
    findings, *seconds = diagnosed(system, half, cache)
    named = [f for f in findings if f.name in system.causes]
    right = any(system.words in f.sentence for f in named)
    faults = [f for f in findings if f.severity == "fault"]
    others = [f.name for f in faults if f.name not in system.causes]
    is_right = right if system.causes else not faults
    row = {
        "kind": system.kind,
        "name": system.name,
        "half": HALVES[half],
        "right": is_right,
        "other faults": others,
        "findings": {f.name: f.severity for f in findings},
    }
    told = ", ".join(f"{f.severity} {f.name}" for f in findings)
    took = " + ".join(f"{s:.1f}" for s in seconds)
    mark = "✓" if is_right else "✗"
    print(f"{mark} {system.kind}: {system.name}, {HALVES[half]} ({took} s): {told}", flush=True)
    if not is_right or others:
        for f in findings if system.causes else faults:
            print(f"    {f.severity}: {f.sentence}", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, help="a folder for the trained models")
    parser.add_argument("--half", type=int, choices=(0, 1), help="only the first, or the second")
    parser.add_argument("--only", default="", help="kinds or names with this in them")
    parser.add_argument("--quick", action="store_true", help="check that it runs: a few systems")
    told = parser.parse_args()
    cache = told.cache or Path(tempfile.mkdtemp())
    cache.mkdir(parents=True, exist_ok=True)
    started, rows = time.process_time(), []
    for i, system in enumerate([*SOUND, *FAULTY]):
        if told.only not in f"{system.kind}: {system.name}" or (told.quick and i not in QUICK):
            continue
        halves = (0,) if told.quick or i % HELD_BACK else (0, 1)
        rows += [judge(system, half, cache) for half in halves if told.half in (half, None)]
    seconds = time.process_time() - started
    sound = {s.kind for s in SOUND}
    for half in HALVES:
        for name, of in (("sound", True), ("faulty", False)):
            some = [r for r in rows if r["half"] == half and (r["kind"] in sound) == of]
            print(f"{half}, {name}: {sum(r['right'] for r in some)} of {len(some)} right")
    print(f"{seconds:.0f} s")
    if told.half is None and not told.only and not told.quick:
        harness.write("diagnosis", {"rows": rows, "seconds": seconds, **harness.machine()})


if __name__ == "__main__":
    main()
