"""Ingest on the wire: what a client sees when it waits, drips, cuts or sends too much."""

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.processes import COLLECTOR_TOKEN, LOOKING, SENDING, Service, environment_for, service
from tests.support.servers import S3Server

MEBI = 1024 * 1024


@pytest.fixture
def running(migrated_url: str, seaweed: S3Server, tmp_path: Path) -> Iterator[Service]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    limits = {"SPOOL_MAX_BYTES": str(8 * MEBI), "MAX_BATCH_BYTES": str(4 * MEBI), "MAX_IMAGE_BYTES": str(2 * MEBI)}
    environment = environment_for(migrated_url, seaweed, tmp_path, **limits)
    with service(environment, port=port, folder=tmp_path) as started:
        yield started


def connect(at: Service) -> socket.socket:
    url = httpx2.URL(at.url)
    return socket.create_connection((url.host, url.port), timeout=60)


def head(length: int | None, *, path: str = "/v1/detections", **more: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked",
        *(f"{name}: {value}" for name, value in more.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer_of(connection: socket.socket) -> tuple[int, bytes]:
    """(status, all bytes until the head and its body are complete)."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        assert more, f"closed without an answer: {data!r}"
        data += more
    return int(data.split(b" ", 2)[1]), data


def test_a_client_that_asks_before_it_sends_is_told_to_go_on_at_once(running: Service) -> None:
    body = a_batch().body()
    with connect(running) as connection:
        connection.sendall(head(len(body), Authorization=f"Bearer {COLLECTOR_TOKEN}", Expect="100-continue"))
        begun = time.monotonic()
        status, _ = answer_of(connection)
        assert status == 100
        assert time.monotonic() - begun < 10
        connection.sendall(body)
        status, _ = answer_of(connection)
        assert status == 201


def test_a_client_that_asks_before_it_sends_is_spared_the_trouble_when_it_would_be_refused(running: Service) -> None:
    with connect(running) as connection:
        connection.sendall(head(1000, Authorization="Bearer wrong", Expect="100-continue"))
        assert answer_of(connection)[0] == 401
    with connect(running) as connection:
        connection.sendall(head(100 * MEBI, Authorization=f"Bearer {COLLECTOR_TOKEN}", Expect="100-continue"))
        assert answer_of(connection)[0] == 413


@pytest.mark.parametrize("length", [100 * MEBI, 3 * MEBI])
def test_a_client_that_sends_before_it_listens_still_sees_why_it_is_refused(running: Service, length: int) -> None:
    token = COLLECTOR_TOKEN if length > 4 * MEBI else "wrong"
    with connect(running) as connection:
        connection.sendall(head(length, Authorization=f"Bearer {token}"))
        sent = 0
        try:
            while sent < 2 * MEBI:
                sent += connection.send(b"x" * 65536)
        except OSError:
            pass
        assert answer_of(connection)[0] == (413 if length > 4 * MEBI else 401)


NEXT = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def both_answers(connection: socket.socket, first: bytes) -> list[int]:
    """The statuses of what is sent first and of the next request, for which the client waits for the first answer."""
    connection.sendall(first)
    _, data = answer_of(connection)
    with contextlib.suppress(OSError):
        connection.sendall(NEXT)
        while data.count(b"HTTP/1.1 ") < 2 and (more := connection.recv(65536)):
            data += more
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


@pytest.mark.parametrize(
    ("path", "length", "more"),
    [
        ("/v1/detections", 1000, {"Expect": "100-continue"}),
        ("/v1/detections", None, {}),
        ("/v1/detections", 3 * MEBI, {}),
        ("/v1/nothing", None, {}),
        ("/healthz", 1000, {"Expect": "100-continue"}),
    ],
)
def test_after_an_answer_without_a_look_at_the_body_the_next_request_is_never_taken_for_the_body(
    running: Service, path: str, length: int | None, more: dict[str, str]
) -> None:
    with connect(running) as connection:
        assert len(both_answers(connection, head(length, path=path, **more))) == 1, "the connection ends"


def test_a_refused_body_that_is_small_costs_no_connection(running: Service) -> None:
    for first in (head(1000) + b"x" * 1000, head(0), head(1000, path="/v1/nothing") + b"x" * 1000):
        with connect(running) as connection:
            assert both_answers(connection, first)[1:] == [200]


def test_a_client_that_sends_a_batch_and_closes_its_side_has_its_answer(running: Service) -> None:
    body = a_batch().body()
    with connect(running) as connection:
        connection.sendall(head(len(body), Authorization=f"Bearer {COLLECTOR_TOKEN}") + body)
        connection.shutdown(socket.SHUT_WR)
        assert answer_of(connection)[0] == 201
        while connection.recv(65536):
            pass


def test_a_connection_that_ends_in_the_middle_of_the_body_leaves_nothing(running: Service, tmp_path: Path) -> None:
    batch = a_batch()
    body = batch.body()
    for cut in (1, len(body) // 2, len(body) - 1):
        with connect(running) as connection:
            connection.sendall(head(len(body), Authorization=f"Bearer {COLLECTOR_TOKEN}") + body[:cut])
            time.sleep(0.1)
    end = time.monotonic() + 5
    while any((tmp_path / "spool" / "tmp").iterdir()) and time.monotonic() < end:
        time.sleep(0.05)
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []
    assert list((tmp_path / "spool" / "ready").iterdir()) == []
    found = httpx2.get(f"{running.url}/v1/collectors/gate-1/batches/{batch.batch_id}", headers=SENDING)
    assert found.status_code == 404


def test_a_body_of_unknown_length_is_taken_too(running: Service) -> None:
    body = a_batch().body()
    sent = httpx2.post(
        f"{running.url}/v1/detections",
        content=(body[start : start + 1000] for start in range(0, len(body), 1000)),
        headers={**SENDING, "Content-Type": CONTENT_TYPE},
    )
    assert sent.status_code == 201


def test_without_room_in_the_spool_a_client_gets_503_and_when_to_come_back_and_later_it_is_taken(
    running: Service, tmp_path: Path
) -> None:
    usage = tmp_path / "spool" / "usage"
    before = usage.read_bytes()
    usage.write_bytes((8 * MEBI).to_bytes(8, "big"))
    body = a_batch().body()
    full = httpx2.post(f"{running.url}/v1/detections", content=body, headers={**SENDING, "Content-Type": CONTENT_TYPE})
    assert full.status_code == 503
    assert int(full.headers["Retry-After"]) > 0
    assert full.json()["type"] == "urn:platevault:problem:spool-full"
    assert httpx2.get(f"{running.url}/readyz").status_code == 503
    usage.write_bytes(before)
    again = httpx2.post(f"{running.url}/v1/detections", content=body, headers={**SENDING, "Content-Type": CONTENT_TYPE})
    assert again.status_code == 201


def test_a_refusal_names_the_part_and_tells_the_reasons_of_each_detection(running: Service) -> None:
    batch = a_batch(camera_id="")
    refused = httpx2.post(
        f"{running.url}/v1/detections", content=batch.body(), headers={**SENDING, "Content-Type": CONTENT_TYPE}
    )
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["part"] == "batch"
    assert "camera_id" in json.dumps(problem["refused"])


def test_the_status_of_a_batch_is_for_collectors(running: Service) -> None:
    batch = a_batch()
    sent = httpx2.post(
        f"{running.url}/v1/detections?durability=stored",
        content=batch.body(),
        headers={**SENDING, "Content-Type": CONTENT_TYPE},
    )
    path = f"{running.url}/v1/collectors/gate-1/batches/{batch.batch_id}"
    assert httpx2.get(path, headers=SENDING).json() == sent.json()
    assert httpx2.get(path, headers=LOOKING).status_code == 403, "who looks uses the routes that write it down"
    assert httpx2.get(path).status_code == 401
    for odd in ("gate-1/batches/%00", "a%00/batches/b", "gate-1/batches/" + "x" * 500):
        assert httpx2.get(f"{running.url}/v1/collectors/{odd}", headers=SENDING).status_code == 404


def test_a_refused_body_is_not_read_for_ever(running: Service) -> None:
    with connect(running) as connection:
        connection.sendall(head(100_000 * MEBI, Authorization=f"Bearer {COLLECTOR_TOKEN}"))
        sent, began = 0, time.monotonic()
        with contextlib.suppress(OSError):
            while sent < 512 * MEBI and time.monotonic() - began < 20:
                sent += connection.send(b"x" * 65536)
        assert sent < 64 * MEBI, "the connection was closed"


def test_a_query_parameter_that_is_not_known_is_refused(running: Service) -> None:
    sent = httpx2.post(
        f"{running.url}/v1/detections?durability=maybe",
        content=a_batch().body(),
        headers={**SENDING, "Content-Type": CONTENT_TYPE},
    )
    assert sent.status_code == 422
