"""How fast `lowerbound serve` answers: p50, p99 and requests a second, of clients at once."""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import harness
import numpy as np

import lowerbound as lb

CLIENTS = (1, 8, 32)
NPY = {"Content-Type": "application/x-npy"}
Call = Callable[[HTTPConnection], None]


def bytes_of(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def call(path: str, body: bytes, headers: dict[str, str]) -> Call:
    def once(connection: HTTPConnection) -> None:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {told[:200]!r}")

    return once


def clients(url: str, number: int, seconds: float, once: Call) -> list[float]:
    """The seconds that each request of so many clients took, each asking again when answered."""
    where, end = urlsplit(url), time.perf_counter() + seconds

    def client(_: int) -> list[float]:
        connection, times = HTTPConnection(where.hostname or "", where.port), []
        while (begun := time.perf_counter()) < end:
            once(connection)
            times.append(time.perf_counter() - begun)
        connection.close()
        return times

    with ThreadPoolExecutor(number) as threads:
        return [taken for times in threads.map(client, range(number)) for taken in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="check that it runs: digits")
    told = parser.parse_args()
    seconds, numbers = (0.3, (1, 2)) if told.quick else (told.seconds, CLIENTS)
    data = lb.data.load("digits" if told.quick else "mnist", validation=0.1)
    model = lb.recipes.compose(
        data.train,
        8,
        network={"part": "MLP", "hidden": [64, 32]},
        likelihood="Bernoulli",
    )
    x = data.test.x[:1].numpy()
    calls = {
        "embed, .npy": call("/embed", bytes_of(x), NPY),
        "decode, .npy": call("/decode", bytes_of(np.zeros((1, 8), np.float32)), NPY),
        "decode, JSON": call(
            "/decode",
            json.dumps({"z": [[0.0] * 8]}).encode(),
            {"Content-Type": "application/json"},
        ),
        "score, .npy": call("/score", bytes_of(x), NPY),
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        lb.save(model, Path(folder) / "run")
        process = subprocess.Popen(
            [sys.executable, "-m", "lowerbound", "serve", f"{folder}/run", "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=harness.clean_environment(),
        )
        try:
            assert process.stdout is not None
            url = json.loads("".join(process.stdout.readline() for _ in range(4)))["url"]
            for name, once in calls.items():
                clients(url, 1, seconds / 4, once)
                for number in numbers:
                    begun = time.perf_counter()
                    times = sorted(clients(url, number, seconds, once))
                    row = {
                        "call": name,
                        "clients": number,
                        "requests_per_second": len(times) / (time.perf_counter() - begun),
                        "p50_ms": 1000 * statistics.median(times),
                        "p99_ms": 1000 * times[int(0.99 * len(times))],
                    }
                    rows.append(row)
                    print(
                        f"{name:<14}{number:>4} clients {row['requests_per_second']:>8,.0f} "
                        f"requests/s   p50 {row['p50_ms']:>7.2f} ms   p99 {row['p99_ms']:>7.2f} ms",
                        flush=True,
                    )
        finally:
            process.terminate()
            process.wait()
    if not told.quick:
        values = {"command": harness.command(), "seconds": seconds, "rows": rows}
        print(harness.write("service", values | harness.machine()))


if __name__ == "__main__":
    main()
