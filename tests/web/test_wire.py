"""Connections that are silent, drip or never end, against a real uvicorn with our protocol."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from platevault.web import wire
from platevault.web.wire import HEAD_BYTES_MAX, ImpatientProtocol


async def app(scope, receive, send):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(wire, "HEAD_WITHIN_SECONDS", 0.6)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = int(probe.getsockname()[1])
    config = uvicorn.Config(app, port=free, http=ImpatientProtocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield free
    server.should_exit = True
    thread.join()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def all_of(connection: socket.socket) -> bytes:
    data = b""
    while more := connection.recv(65536):
        data += more
    return data


def test_a_silent_connection_and_half_a_head_are_closed(port: int) -> None:
    for sent in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n"):
        with connect(port) as connection:
            connection.sendall(sent)
            began = time.monotonic()
            assert all_of(connection).startswith(b"HTTP/1.1 408 ")
            assert 0.4 < time.monotonic() - began < 3


def test_a_head_that_drips_does_not_earn_time_by_dripping(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        closed = False
        while not closed and time.monotonic() - began < 4:
            try:
                connection.sendall(b"X-Drip: 1\r\n")
            except OSError:
                closed = True
            time.sleep(0.05)
        assert closed
        assert time.monotonic() - began < 3


def test_a_second_request_on_the_same_connection_has_the_same_deadline(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET / HT")
        assert b"408" in all_of(connection)


def test_a_head_without_end_is_refused_at_its_limit_and_one_below_it_is_taken(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * (HEAD_BYTES_MAX // 2) + b"\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    with connect(port) as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nX-Endless: " + b"x" * (4 * HEAD_BYTES_MAX))
            answer = all_of(connection)
        except ConnectionError:
            return  # closed before it was read: refused all the same
        assert answer.startswith(b"HTTP/1.1 431 ")


def test_past_the_cap_a_connection_is_told_when_to_come_back_and_taken_once_there_is_room(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "HEAD_WITHIN_SECONDS", 30)
    monkeypatch.setattr(wire, "connections_max", lambda: 3)
    held = [connect(port) for _ in range(3)]
    time.sleep(0.2)
    with connect(port) as one_more:
        answer = all_of(one_more)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After" in answer
    for connection in held:
        connection.close()
    time.sleep(0.2)
    with connect(port) as again:
        again.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert again.recv(65536).startswith(b"HTTP/1.1 200")
