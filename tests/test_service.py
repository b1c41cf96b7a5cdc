"""The service: every answer is the library's, what is wrong is one sentence, and it stays up."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

import forks
from lowerbound.errors import ConfigurationError, StorageError
from lowerbound.ports import listen
from lowerbound.service.batching import Batcher
from lowerbound.service.http.app import Service, application
from lowerbound.service.http.bodies import JSON, NPY, read_json
from lowerbound.service.http.guard import Guard, is_loopback, token_for
from lowerbound.service.http.limits import Limited, Limits
from test_calls import digits, people  # noqa: F401

pytestmark = pytest.mark.slow
OF_IMAGES = ("POST /embed", "POST /reconstruct", "POST /score")
DEFAULT = Limits()
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
"""Of float32 through two layers, whose products may be summed in another order."""


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def asked(client, path, body, accept=None, **query):
    """The answer to JSON or to an array."""
    form = JSON if isinstance(body, dict) else NPY
    content = json.dumps(body).encode() if isinstance(body, dict) else npy(body)
    headers = {"Content-Type": form} | ({"Accept": accept} if accept else {})
    answer = client.post(path, content=content, headers=headers, params=query)
    if answer.headers["content-type"] == NPY:
        return np.load(io.BytesIO(answer.content))
    return answer.json() if answer.status_code == 200 else (answer.status_code, answer.json())


def client_of(calls, limits=DEFAULT, **guard) -> TestClient:
    app = Limited(application(Service(calls, limits)), limits)
    return TestClient(Guard(app, **guard) if guard else app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(digits):  # noqa: F811
    return client_of(digits)


def test_each_call_answers_as_the_library_does(client, digits):  # noqa: F811
    x = digits.run.data("test").x.numpy()[:4]
    z = digits.embed(x)
    for body in ({"x": x.tolist()}, x):
        for accept in (JSON, NPY, None, "text/html, application/*;q=0.5"):
            found = asked(client, "/embed", body, accept)
            found = found["z"] if isinstance(found, dict) else found
            np.testing.assert_array_equal(np.array(found, np.float32), z)
    np.testing.assert_array_equal(asked(client, "/decode", z), digits.decode(z))
    np.testing.assert_array_equal(asked(client, "/reconstruct", x), digits.reconstruct(x))
    drawn = asked(client, "/sample", {"n": 3, "seed": 7}, NPY)
    np.testing.assert_array_equal(drawn, digits.sample(3, seed=7))
    drawn = asked(client, "/sample", {"n": 2, "mean": True})["x"]
    np.testing.assert_array_equal(np.array(drawn, "f4"), digits.sample(2, seed=0, mean=True))
    wanted = digits.score(x)
    found, table = asked(client, "/score", {"x": x.tolist()}), asked(client, "/score", x)
    assert list(found) == list(table.dtype.names) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values.astype(float))
        np.testing.assert_array_equal(table[name], values)
    told = client.get("/metadata").json()
    assert told["score"]["inliers"] == 360
    assert told["shape"] == [1, 8, 8]
    assert client.get("/health").json() == {"status": "ok"}


def test_rows_of_a_table_are_records(people):  # noqa: F811
    client = client_of(people)
    drawn = asked(client, "/sample", {"n": 6, "seed": 1, "labels": ["a", "b"] * 3})["x"]
    assert drawn == people.records(people.sample(6, ["a", "b"] * 3, seed=1))
    labels = ["b"] * 6
    z = asked(client, "/embed", {"x": drawn, "labels": labels})["z"]
    x = people.read(drawn, labels).x.numpy()
    np.testing.assert_array_equal(np.array(z, np.float32), people.embed(x, labels))
    np.testing.assert_array_equal(asked(client, "/embed", x, label="b"), people.embed(x, labels))
    rebuilt = asked(client, "/reconstruct", {"x": [drawn[0] | {"height": None}], "labels": ["a"]})
    assert list(rebuilt["x"][0]) == ["city", "height", "children", "member", "born"]
    status, told = asked(client, "/embed", {"x": drawn, "labels": labels}, label="b")
    assert (status, "expected ?label= beside .npy" in told["error"]) == (422, True)
    status, told = asked(client, "/embed", {"x": drawn})
    assert (status, "as this model is conditional" in told["error"]) == (422, True)


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/embed", b"{", 422, "expected JSON in UTF-8"),
        ("/embed", b'{"x": [[[NaN]]]}', 422, "null where a cell is missing, .*NaN is not a finite"),
        ("/embed", b"[" * 100_000, 422, "expected JSON"),
        ("/embed", b"[1]", 422, "expected a JSON object of x, labels"),
        ("/embed", b'{"y": []}', 422, "got 'y' in it"),
        ("/embed", b'{"x": 3}', 422, "expected x to be a list, got 3"),
        ("/embed", b'{"x": [[1e999]]}', 422, "expected finite numbers, got inf"),
        ("/embed", b'{"x": [[1, 2], [3]]}', 422, "of one length"),
        ("/decode", b'{"z": [["\\ud800"]]}', 422, "expected real numbers"),
        ("/decode", b'{"z": [[0, 0]], "labels": [1]}', 422, "expected no labels"),
        ("/sample", b'{"n": 0}', 422, "expected n to be a whole number from 1 to 1,000, got 0"),
        ("/sample", b'{"n": 1, "seed": -1}', 422, "expected seed"),
        ("/sample", b'{"n": 1, "mean": 1}', 422, "expected mean to be true or false"),
        ("/nothing", b"{}", 404, "expected a path of this service, got '/nothing'"),
        ("/health", b"{}", 405, "expected GET at /health, got POST"),
    ],
)
def test_what_is_wrong_is_one_sentence(client, path, body, status, message):
    answer = client.post(path, content=body, headers={"Content-Type": JSON})
    assert answer.status_code == status
    ((key, sentence),) = answer.json().items()
    assert key == "error"
    assert re.search(message, sentence), sentence


def test_arrays_are_checked_by_their_headers(client):
    pickled, vast, whole = io.BytesIO(), io.BytesIO(), npy(np.zeros((1, 2)))
    np.save(pickled, np.array([{}], object), allow_pickle=True)
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(vast, header)
    for content, message in (
        (pickled.getvalue(), "pickled Python objects, which are not read"),
        (vast.getvalue(), "fewer than its header tells of"),
        (whole[:-4], "fewer than its header tells of"),
        (b"nonsense", "header is truncated or damaged"),
        (npy(np.array(["a"])), "expected an array of numbers, got one of text"),
        (npy(np.zeros(1, "V0")), "expected an array of numbers"),
        (npy(np.array(3.0)), r"codes z of shape"),
        (npy(np.zeros((10**9, 0))), "expected an array with elements, got shape"),
    ):
        answer = client.post("/decode", content=content, headers={"Content-Type": NPY})
        assert answer.status_code == 422
        assert message in answer.json()["error"]
    for headers in ({"Content-Type": "text/plain"}, {}):
        assert client.post("/decode", content=b"1", headers=headers).status_code == 415
    status, told = asked(client, "/decode", {"z": [[0, 0]]}, "text/html")
    assert (status, "expected Accept" in told["error"]) == (406, True)


def test_limits(digits):  # noqa: F811
    client = client_of(digits, Limits(bytes=1000, rows=3, seconds=0.5, requests=1))
    status, told = asked(client, "/decode", np.zeros((4, 2)))
    assert (status, "at most 3 rows at a time, got 4" in told["error"]) == (422, True)
    too_large = b" " * 1001
    for content in (too_large, iter([too_large])):  # whose length is told, and not
        answer = client.post("/decode", content=content, headers={"Content-Type": JSON})
        assert answer.status_code == 413
        assert "at most 1,000 bytes" in answer.json()["error"]
    for path in ("/sample", "/decode"):
        answer = client.post(path, content=b" " * 251, headers={"Content-Type": JSON})
        assert answer.status_code == 413
        assert "at most 250 bytes as JSON, got 251" in answer.json()["error"]
    with digits._lock, ThreadPoolExecutor(1) as thread:  # which nobody else has a turn meanwhile
        slow = thread.submit(asked, client, "/decode", {"z": [[0, 0]]})
        time.sleep(0.2)
        answer = client.get("/health")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "at most 1 requests at a time" in answer.json()["error"]
        status, told = slow.result()
    assert (status, "expected to answer within 0.5 s" in told["error"]) == (503, True)
    assert client.get("/health").status_code == 200


def test_bodies_are_read_beside_the_event_loop(client, monkeypatch):
    threads = []

    def noted(*given):
        threads.append(threading.current_thread().name)
        return read_json(*given)

    monkeypatch.setattr("lowerbound.service.http.app.read_json", noted)
    for path, body in (("/sample", {"n": 1}), ("/decode", {"z": [[0, 0]]})):
        assert asked(client, path, body).keys() == {"x"}
    assert {name.partition("_")[0] for name in threads} == {"lowerbound-reader"}


def test_a_fault_of_the_service_is_told_without_details(client, monkeypatch):
    monkeypatch.setattr("lowerbound.service.calls.Calls.drawn", lambda *a, **k: 1 / 0)
    status, told = asked(client, "/sample", {"n": 1})
    assert status == 500
    assert told == {
        "error": "the service failed at this request (ZeroDivisionError); its log tells more"
    }


def test_strangers_are_refused(digits, tmp_path, monkeypatch):  # noqa: F811
    here = client_of(digits, hosts={"localhost", "127.0.0.1", "::1"}, token=None)
    for host, status in (
        ("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:1", 200), ("LOCALHOST", 200),
        ("evil.com", 421), ("localhost.evil.com:80", 421), ("", 421),
    ):  # fmt: skip
        assert here.get("/health", headers={"Host": host}).status_code == status
    away = client_of(digits, hosts=None, token="0123456789abcdef", free=("/health",))
    for told, status in (
        (None, 401), ("Bearer 0123456789abcdeg", 401), ("Basic 0123456789abcdef", 401),
        ("Bearer 0123456789abcdef", 200), ("bearer 0123456789abcdef", 200), ("Bearer \xe9", 401),
    ):  # fmt: skip
        headers = {} if told is None else {"Authorization": told.encode("latin-1")}
        answer = away.get("/metadata", headers=headers)
        assert answer.status_code == status
    assert away.get("/health").status_code == 200

    monkeypatch.delenv("LOWERBOUND_TOKEN", raising=False)
    assert token_for("127.0.0.1", None) is None
    with pytest.raises(ConfigurationError, match="which other machines reach, got none"):
        token_for("0.0.0.0", None)
    (tmp_path / "token").write_text("short\n")
    with pytest.raises(ConfigurationError, match="at least 16 letters and digits, got 5"):
        token_for("0.0.0.0", tmp_path / "token")
    monkeypatch.setenv("LOWERBOUND_TOKEN", "0123456789abcdef")
    assert token_for("::", None) == "0123456789abcdef"
    assert [*map(is_loopback, ("::1", "127.8.9.1", "localhost", "0.0.0.0", "::", "me"))] == [
        *(True, True, True, False, False, False)
    ]


def test_a_busy_port_is_one_sentence():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        with pytest.raises(ConfigurationError, match=f"expected a free port at .*, got {port} "):
            listen("127.0.0.1", port)


def test_calls_that_wait_are_answered_by_one(digits, monkeypatch):  # noqa: F811
    """But for one that fails alone, and no more rows at a time than are allowed."""
    x = digits.read(digits.run.data("test").x.numpy()[:12]).x
    wanted, sizes, by_rows = digits.embed(x.numpy()), [], digits.by_rows

    def noted(call, given, labels):
        sizes.append(len(given))
        return by_rows(call, given, labels)

    monkeypatch.setattr(digits, "by_rows", noted)
    batcher = Batcher(digits, 8)
    held, waits = threading.Event(), []
    first = batcher.alone(held.wait)
    for i in range(12):
        waits.append(batcher.by_rows("embed", x[i : i + 1], None))
    odd = batcher.by_rows("decode", digits.codes([[0, 0]]), None)
    far = batcher.by_rows("embed", x[:1].double() * 1e308 * 10, None)
    waits[3].cancel()
    held.set()
    assert first.result()
    assert odd.result().shape == (1, 1, 8, 8)
    with pytest.raises(Exception, match="finite codes"):
        far.result()
    for i in {*range(12)} - {3}:
        np.testing.assert_allclose(waits[i].result(), wanted[i : i + 1], **TOLERANCE)
    assert sizes == [8, 3, 1, 1]
    batcher.close()


def test_joined_calls_keep_their_own_labels(people, monkeypatch):  # noqa: F811
    x, sizes, by_rows = people.run.data("test").take(6).x.numpy(), [], people.by_rows

    def noted(call, given, labels):
        sizes.append(len(given))
        return by_rows(call, given, labels)

    classes = ["a", "a", "b", "b", "b", "a"]
    wanted = people.embed(x, classes)
    assert not np.allclose(wanted, people.embed(x, classes[::-1]), **TOLERANCE)
    monkeypatch.setattr(people, "by_rows", noted)
    batcher, held = Batcher(people, 8), threading.Event()
    batcher.alone(held.wait)
    data = [people.read(x[i : i + n], classes[i : i + n]) for i, n in ((0, 1), (1, 2), (3, 3))]
    waits = [batcher.by_rows("embed", own.x, own.context) for own in data]
    held.set()
    found = np.concatenate([wait.result() for wait in waits])
    np.testing.assert_allclose(found, wanted, **TOLERANCE)
    assert sizes == [6]
    batcher.close()


def validated(strategy, unsure) -> None:
    """Whether what the ``strategy`` asks is answered as the document says."""

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def asks(case):
        case.call_and_validate(excluded_checks=unsure)

    asks()


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("name", ["digits", "people"])
def test_whatever_the_document_allows_or_not_is_answered_as_it_says(name, mode, request):
    client = client_of(request.getfixturevalue(name), Limits(rows=4))
    document = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    operations = [result.ok() for result in document.get_all_operations()]
    assert len(operations) == 7
    for operation in operations:
        if operation.method == "get" and (mode is GenerationMode.NEGATIVE or name == "people"):
            continue  # of which nothing can be wrong, or which is asked already
        # An image of levels 0 and 1 alone is refused, as one of another scale; labels of another
        # number than rows are, too.
        unsure = [positive_data_acceptance] * (operation.label in OF_IMAGES or name == "people")
        validated(operation.as_strategy(generation_mode=mode), unsure)


def test_the_document_asks_for_what_a_conditional_model_needs(people, tmp_path):  # noqa: F811
    told = client_of(people).get("/openapi.json").json()["paths"]

    def schema(call):
        return told[f"/{call}"]["post"]["requestBody"]["content"][JSON]["schema"]

    assert schema("decode")["required"] == ["z", "labels"]
    both, own = schema("embed")["anyOf"]
    assert (both["required"], own["required"]) == (["x", "labels"], ["x"])
    assert own["properties"]["x"]["items"]["required"][-1] == "group"
    assert own["properties"]["x"]["items"]["properties"]["group"] == {"enum": ["a", "b"]}
    assert "rounded" in told["/reconstruct"]["post"]["responses"]["200"]["description"]


def test_a_fault_of_the_servers_disk_is_not_told(client, monkeypatch):
    def gone(*args, **named):
        raise StorageError("/secret/place: expected a file")

    monkeypatch.setattr("lowerbound.service.calls.Calls.describe", gone)
    answer = client.get("/metadata")
    assert answer.status_code == 500
    assert "secret" not in answer.text


MAIN = "from lowerbound.__main__ import main; main()"


@pytest.fixture
def served(digits, tmp_path):  # noqa: F811
    """The service in a process of its own, its process and its address."""
    log = tmp_path / "log"
    arguments = ("serve", digits.run.folder, "--port", 0, "--json")
    arguments += ("--max-seconds", 4, "--max-requests", 16)
    process = forks.start(MAIN, *arguments, log=log)
    try:
        while not (told := re.search(r'"url": "(.*)",', log.read_text() if log.exists() else "")):
            assert process.is_alive(), log.read_text()
            time.sleep(0.05)
        yield process, httpx.URL(told[1]), log
    finally:
        process.kill()
        process.join()


def memory_of(process) -> float:
    """Resident, MB."""
    told = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", told)[1]) / 1024


def begun(url, size: int) -> socket.socket:
    """A connection by which the head of a request for codes of that size has been sent."""
    connection = socket.create_connection((url.host, url.port))
    head = f"POST /decode HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: {JSON}\r\n"
    connection.sendall(f"{head}Content-Length: {size}\r\nConnection: close\r\n\r\n".encode())
    return connection


def test_a_process_answers_many_outlives_killed_clients_and_stops_in_order(digits, served):  # noqa: F811
    process, url, log = served
    x = digits.run.data("test").x.numpy()
    z, rebuilt = digits.embed(x), digits.reconstruct(x)
    drawn = {seed: digits.sample(2, seed=seed) for seed in range(5)}
    body = json.dumps({"z": [[0.0] * 2] * 100}).encode()

    def killed(i):
        """A client that goes in the middle of a request, or before its answer."""
        with begun(url, len(body)) as connection:
            connection.sendall(body[: len(body) // (1 + i % 2)])

    def right(i):
        here = slice(i, i + 1 + i % 3)
        with httpx.Client(base_url=url, timeout=60) as own:
            np.testing.assert_allclose(asked(own, "/embed", x[here]), z[here], **TOLERANCE)
            found = asked(own, "/reconstruct", {"x": x[here].tolist()})["x"]
            np.testing.assert_allclose(found, rebuilt[here], **TOLERANCE, err_msg=str(i))
            found = asked(own, "/sample", {"n": 2, "seed": i % 5}, NPY)
            np.testing.assert_array_equal(found, drawn[i % 5])
        return True

    def at_once(times):
        with ThreadPoolExecutor(4) as right_ones, ThreadPoolExecutor(2) as others:
            killed_ones = others.map(killed, range(2 * times))
            assert all(right_ones.map(right, range(times)))
            list(killed_ones)

    halves = [socket.create_connection((url.host, url.port), timeout=8) for _ in range(3)]
    for half, head in zip(
        halves, ("", "POST /decode HT", "GET /health HTTP/1.1\r\nA"), strict=True
    ):
        half.sendall(head.encode())
    at_once(8)
    before = memory_of(process)
    at_once(24)
    assert memory_of(process) < before + 40
    assert [half.recv(1) for half in halves] == [b""] * 3

    crowd = [socket.create_connection((url.host, url.port), timeout=3) for _ in range(16 * 16 + 1)]
    assert crowd[-1].recv(1) == b""
    crowd[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        crowd[0].recv(1)
    for connection in crowd:
        connection.close()

    with begun(url, len(body)) as connection:
        connection.sendall(body[:10])
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((url.host, url.port))
        connection.sendall(body[10:])
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["x"]) == 100
    process.join()
    assert process.exitcode == 0
    assert "Traceback" not in log.read_text()
    assert log.read_text().endswith("\nstopped, once what had begun was answered\n")
