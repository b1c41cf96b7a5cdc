"""Where a known set's files come from: tried in order, checked, and kept in the cache.

1. the cache: ``$LOWERBOUND_CACHE``, or ``lowerbound/data`` in ``$XDG_CACHE_HOME`` or ``~/.cache``
2. a folder the user names: ``folder=``, or ``$LOWERBOUND_DATA``
3. the system's data package
4. public mirrors, by HTTP
5. the npm package

Nothing is used, and nothing enters the cache, before its decoded contents have the right SHA-256.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from lowerbound.data.checks import Damaged, Files, Unusable, decode, packed_limit
from lowerbound.data.known import FETCHED, File, KnownSet, known
from lowerbound.data.remote import read_mirror, read_npm
from lowerbound.errors import DataError, DataUnavailable, near

log = logging.getLogger("lowerbound")

DEBIAN = Path("/etc/debian_version")
State = Literal["found", "failed", "damaged", "not tried"]
NAMES = {
    "cache": "the cache",
    "folder": "the folder named",
    "system": "the system's data package",
    "mirror": "the mirror",
    "npm": "the npm package",
}


@dataclass(frozen=True)
class Attempt:
    """What came of one source.

    Attributes:
        source: cache, folder, system, mirror, npm, or embedded.
        place: the folder, address or package.
        state: found; failed: not to be had there; damaged: there, with wrong contents; not tried.
        reason: why it failed; empty otherwise.
    """

    source: str
    place: str
    state: State
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.source:<8} {self.place}: {self.reason or self.state}"


@dataclass(frozen=True)
class Fetched:
    """Where a known set lies now (None where a library embeds it), and what was tried for it."""

    path: Path | None
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Source:
    kind: str
    place: str
    read: Callable[[], Files]
    remote: bool = False


def cache_folder() -> Path:
    """The folder that known sets are kept in; it need not exist."""
    if chosen := os.environ.get("LOWERBOUND_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "lowerbound" / "data"


def get(name: str, *, folder: Path | None = None) -> Fetched:
    """Fetch the known set ``name`` into the cache, unless it is there already.

    Raises:
        DataError: an unknown name, or a cache that cannot be written.
        DataUnavailable: no source has the set; the message lists what was tried.
    """
    if _entry(name) is None:
        return Fetched(None, status(name))
    entry = FETCHED[name]
    files, attempts = obtain(entry, folder)
    if attempts[-1].source != "cache":
        _keep(entry, files)
    return Fetched(cache_folder() / name, attempts)


def status(name: str, *, folder: Path | None = None) -> tuple[Attempt, ...]:
    """Where the known set ``name`` is to be had, looking only on this machine.

    Raises:
        DataError: an unknown name.
    """
    entry = _entry(name)
    if entry is None:
        return (Attempt("embedded", "scikit-learn", "found"),)
    return tuple(attempt for attempt, _ in _walk(entry, folder, remote=False))


def read_known(name: str, folder: Path | None) -> list[np.ndarray]:
    """The four arrays of the known set ``name``, in the order of its files."""
    entry = FETCHED[name]
    files, attempts = obtain(entry, folder)
    if attempts[-1].source != "cache":
        try:
            _keep(entry, files)
        except DataError as error:
            log.warning("%s; they are used from memory this time", error)
    return [
        np.frombuffer(files[file.name], np.uint8, offset=file.header).reshape(file.shape)
        for file in entry.files
    ]


def obtain(entry: KnownSet, folder: Path | None) -> tuple[Files, tuple[Attempt, ...]]:
    """The decoded files from the first source that has them, and what was tried up to it."""
    attempts = []
    for attempt, files in _walk(entry, folder, remote=True):
        attempts.append(attempt)
        if attempt.state == "found":
            log.info("%s: from %s %s, checked", entry.name, NAMES[attempt.source], attempt.place)
            return files, tuple(attempts)
        if attempt.state == "damaged":
            log.warning("%s: %s is not used: %s", entry.name, attempt.place, attempt.reason)
    raise DataUnavailable(_unavailable(entry, attempts))


def _walk(entry: KnownSet, folder: Path | None, *, remote: bool) -> Iterator[tuple[Attempt, Files]]:
    """Each source in order, and what it holds; none is tried after one was found."""
    found = False
    for source in _sources(entry, folder):
        if found or (source.remote and not remote):
            yield Attempt(source.kind, source.place, "not tried"), {}
            continue
        if source.remote:
            log.info("%s: trying %s %s", entry.name, NAMES[source.kind], source.place)
        try:
            files = source.read()
        except Unusable as error:
            state: State = "damaged" if isinstance(error, Damaged) else "failed"
            yield Attempt(source.kind, source.place, state, str(error)), {}
        else:
            found = True
            yield Attempt(source.kind, source.place, "found"), files


def _entry(name: str) -> KnownSet | None:
    """The set's declaration; None where a library embeds it."""
    if name not in known():
        raise DataError(f"expected a known data set, got {name!r}; {near(name, known())}")
    return FETCHED.get(name)


def _sources(entry: KnownSet, folder: Path | None) -> list[Source]:
    def local(kind: str, path: Path) -> Source:
        return Source(kind, str(path), partial(read_folder, path, entry.files))

    def remote(kind: str, place: str, read: Callable[[str, tuple[File, ...]], Files]) -> Source:
        return Source(kind, place, partial(read, place, entry.files), remote=True)

    named = _named_folders(entry, folder)
    return [
        local("cache", cache_folder() / entry.name),
        *(
            [local("folder", path) for path in named]
            or [Source("folder", "folder= or LOWERBOUND_DATA", _none_named)]
        ),
        *(local("system", Path(path)) for path in entry.system),
        *(remote("mirror", address, read_mirror) for address in entry.mirrors),
        *([remote("npm", entry.npm, read_npm)] if entry.npm else []),
    ]


def _none_named() -> Files:
    raise Unusable("none named")


def _named_folders(entry: KnownSet, folder: Path | None) -> list[Path]:
    """The folder the user named, or those below it that hold the set."""
    named = folder or os.environ.get("LOWERBOUND_DATA")
    if not named:
        return []
    folders = [Path(named).expanduser() / layout for layout in entry.layouts]
    return [path for path in folders if _holds(path, entry)] or folders[:1]


def _holds(folder: Path, entry: KnownSet) -> bool:
    name = entry.files[0].name
    return any((folder / f"{name}{end}").exists() for end in ("", ".gz"))


def read_folder(folder: Path, files: tuple[File, ...]) -> Files:
    """The files of a folder, each plain or .gz."""
    try:
        paths = {file: _find(folder, file) for file in files}
        return {file.name: decode(paths[file].read_bytes(), file) for file in files}
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror or error}") from None


def _find(folder: Path, file: File) -> Path:
    if not folder.is_dir():
        raise Unusable("no such folder")
    for path in (folder / file.name, folder / f"{file.name}.gz"):
        if path.is_file():
            if path.stat().st_size > packed_limit(file):
                raise Damaged(
                    f"{path.name}: expected at most {file.size:,} bytes, "
                    f"got {path.stat().st_size:,}"
                )
            return path
    raise Unusable(f"no {file.name} in it, plain or .gz")


def _keep(entry: KnownSet, files: Files) -> None:
    """Write the checked files to the cache, each whole or not at all."""
    target = cache_folder() / entry.name
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            _replace(target / name, data)
    except OSError as error:
        size = sum(file.size for file in entry.files)
        raise DataError(
            f"{entry.name}: expected a cache folder with {size / 1e6:.0f} MB free, got {target}: "
            f"{error.strerror or error}; name another one with LOWERBOUND_CACHE"
        ) from None


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _unavailable(entry: KnownSet, attempts: list[Attempt]) -> str:
    lines = [f"{entry.name}: none of its sources could be used:"]
    lines += [f"  {attempt}" for attempt in attempts]
    if entry.package and DEBIAN.exists():
        lines.append(f"`apt-get install {entry.package}` provides it; or")
    names = ", ".join(file.name for file in entry.files)
    lines.append(
        f"put {names} (plain or .gz) into a folder and name it with folder= or LOWERBOUND_DATA"
    )
    return "\n".join(lines)
