"""Small damages to the content of a file, by what the file holds."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

Mutation = Callable[[bytes, random.Random], bytes]
NUMBERS = (
    *("nan", "inf", "-inf", "1e400", "-1", "0", "1e-320", "1e38", "9" * 25, "0x1F", "1_0", "٣"),
    *("", " ", "NA", "null", "abc", '"', "'", "1,5", "\0", "\ufeff", "é", "1;2", "=1+1"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 10**9, 2**31, 2**63, 10**30, 0.5, 1e308, -0.0, float("nan")),
    *(float("inf"), "", "x", "/etc/passwd", "../x", "\0", "a" * 5000, [], [[]], [None], {}),
    *({"": {}}, {"class": "MLP"}, [1] * 2000),
)


def flip(content: bytes, rng: random.Random) -> bytes:
    """One to eight bits."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(content: bytes, rng: random.Random) -> bytes:
    """The rest is missing."""
    return content[: rng.randrange(len(content) + 1)]


def insert(content: bytes, rng: random.Random) -> bytes:
    """Bytes that do not belong there."""
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.randbytes(rng.randint(1, 64)) + content[at:]


def remove(content: bytes, rng: random.Random) -> bytes:
    """A stretch is missing."""
    at = rng.randrange(len(content) + 1)
    return content[:at] + content[at + rng.randint(1, 64) :]


def repeat(content: bytes, rng: random.Random) -> bytes:
    """A stretch comes twice."""
    at = rng.randrange(len(content) + 1)
    return content[: at + rng.randint(1, 512)] + content[at:]


def overwrite(content: bytes, rng: random.Random) -> bytes:
    """A stretch of zeros, ones or noise."""
    at, n = rng.randrange(len(content) + 1), rng.randint(1, 64)
    return content[:at] + rng.choice((bytes(n), b"\xff" * n, rng.randbytes(n))) + content[at + n :]


def number(content: bytes, rng: random.Random) -> bytes:
    """Another text in the place of a number."""
    places = list(re.finditer(rb"-?\d+\.?\d*(e[+-]?\d+)?", content))
    if not places:
        return content
    place = rng.choice(places)
    return content[: place.start()] + rng.choice(NUMBERS).encode() + content[place.end() :]


def digit(content: bytes, rng: random.Random) -> bytes:
    """Another digit."""
    places = [i for i, byte in enumerate(content) if 48 <= byte <= 57]
    if not places:
        return content
    at = rng.choice(places)
    return content[:at] + b"%d" % ((content[at] - 48 + rng.randint(1, 9)) % 10) + content[at + 1 :]


def line(content: bytes, rng: random.Random) -> bytes:
    """A line is lost, doubled, cut, or moved; or all line ends change."""
    lines = content.split(b"\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    change = rng.randrange(5)
    if change == 0:
        del lines[i]
    elif change == 1:
        lines.insert(j, lines[i])
    elif change == 2:
        lines[i] = lines[i][: rng.randrange(len(lines[i]) + 1)]
    elif change == 3:
        lines[i], lines[j] = lines[j], lines[i]
    return (b"\r\n", b"\n", b"\r")[rng.randrange(3) if change == 4 else 1].join(lines)


def key_or_value(content: bytes, rng: random.Random) -> bytes:
    """A value of another type, or a key that is lost, doubled or renamed, anywhere in JSON."""
    *before, last = content.strip().split(b"\n") if content.startswith(b'{"') else (content,)
    try:
        whole = json.loads(last)
    except ValueError:
        return flip(content, rng)
    if not whole or rng.random() < 0.03:
        deep = b"[" * 10_000 + b"]" * 10_000
        return rng.choice((b"null", b"[]", b"5", b'""', b"{}", b"", deep))
    _change(whole, rng)
    return b"\n".join([*before, json.dumps(whole).encode()])


def sealed(content: bytes, rng: random.Random) -> bytes:
    """JSON changed likewise by someone who seals it again."""
    values = json.loads(content)
    del values["sha256"]
    _change(values, rng)
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    return json.dumps({**values, "sha256": digest}).encode()


def _change(whole: Any, rng: random.Random) -> None:
    places: list[tuple[Any, Any]] = []
    _walk(whole, places)
    parent, name = rng.choice(places)
    change = rng.randrange(6)
    if change == 0:
        del parent[name]
    elif change == 1 and isinstance(parent, dict):
        parent[rng.choice((name + "x", "", "class", "seed"))] = parent.pop(name)
    elif change == 2 and isinstance(parent[name], (int, float)):
        parent[name] = parent[name] + rng.choice((1, -1, 0.25, 1e6))
    elif change == 3 and isinstance(parent[name], list):
        parent[name] = parent[name] + rng.choice(([], [None], parent[name] or [0]))
    else:
        parent[name] = rng.choice(VALUES)


def _walk(value: Any, places: list[tuple[Any, Any]]) -> None:
    for name in value if isinstance(value, dict) else range(len(value)):
        places.append((value, name))
        if isinstance(value[name], (dict, list)):
            _walk(value[name], places)


def header(content: bytes, rng: random.Random) -> bytes:
    """Another shape, type or name in the header of an .npy or safetensors file."""
    head, rest = content[:400], content[400:]
    change = rng.choice((number, digit, flip, overwrite))
    return change(head, rng) + rest


BYTES: tuple[Mutation, ...] = (flip, truncate, insert, remove, repeat, overwrite)
TEXT: tuple[Mutation, ...] = (number, number, digit, line, *BYTES)
LINES: tuple[Mutation, ...] = (*(key_or_value,) * 3, number, digit, *BYTES)
JSON: tuple[Mutation, ...] = (*(sealed,) * 3, *LINES)
BINARY: tuple[Mutation, ...] = (header, header, *BYTES)
BY_SUFFIX = {".json": JSON, ".jsonl": LINES, ".csv": TEXT}


def mutate(path: Path, rng: random.Random) -> str:
    """Damage the file in place; returns how.  One in fifty becomes something else than a file."""
    if rng.random() < 0.02:
        return _replace(path, rng)
    content = path.read_bytes()
    mutation = rng.choice(BY_SUFFIX.get(path.suffix, BINARY))
    path.write_bytes(mutation(content, rng))
    return mutation.__name__


def _replace(path: Path, rng: random.Random) -> str:
    path.unlink()
    kind = rng.choice(("folder", "pipe", "dangling link", "endless", "empty", "missing"))
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind in ("dangling link", "endless"):
        path.symlink_to("/dev/zero" if kind == "endless" else "nowhere")
    elif kind == "empty":
        path.touch()
    return kind
