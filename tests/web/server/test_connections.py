"""Connections that are silent, drip or never end, against a real uvicorn with our protocol."""

import asyncio
import contextlib
import gc
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from platevault.web.dependencies import DISCARD_BYTES_MAX
from platevault.web.server import connections, remaining_body
from platevault.web.server.connections import HEAD_BYTES_MAX, DeadlineProtocol

# A busy machine takes its time over what is done at once; what waits for a deadline takes longer still.
AT_ONCE_SECONDS = 10
LONG_SECONDS = 25


async def app(scope, receive, send):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Answers at once, without a look at the body; /slow takes its time, /close closes, /echo answers with the body,
    /headers with the headers, once the body has ended."""
    assert scope["type"] == "http"
    answer = b"ok"
    if scope["path"] == "/echo":
        parts = [await receive()]
        while parts[-1]["more_body"]:
            parts.append(await receive())
        answer = b"".join(part["body"] for part in parts)
    if scope["path"] == "/headers":
        while (await receive())["more_body"]:
            pass
        answer = repr(scope["headers"]).encode()
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    headers = [(b"content-length", b"%d" % len(answer))] + (
        [(b"connection", b"close")] if scope["path"] == "/close" else []
    )
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connections, "HEAD_WITHIN_SECONDS", 0.6)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = int(probe.getsockname()[1])
    config = uvicorn.Config(app, port=free, http=DeadlineProtocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield free
    server.should_exit = True
    thread.join()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


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
            assert 0.4 < time.monotonic() - began < 20


def test_a_head_that_drips_does_not_earn_time_by_dripping(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        closed = False
        while not closed and time.monotonic() - began < 20:
            try:
                connection.sendall(b"X-Drip: 1\r\n")
            except OSError:
                closed = True
            time.sleep(0.05)
        assert closed


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
    monkeypatch.setattr(connections, "connections_max", lambda: 3)
    held = [connect(port) for _ in range(3)]
    for connection in held:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    time.sleep(0.2)
    with connect(port) as one_more:
        answer = all_of(one_more)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After" in answer
    for connection in held:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200"), "those that are served stay"
        connection.close()
    time.sleep(0.2)
    with connect(port) as again:
        again.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert again.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_at_the_cap_connections_without_a_request_make_way_for_one_that_has_one(
    port: int, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_WITHIN_SECONDS", 30)
    monkeypatch.setattr(connections, "connections_max", lambda: 3)
    held = [connect(port) for _ in range(3)]
    for connection in held:
        connection.sendall(sent)
    time.sleep(0.2)
    with connect(port) as one_more:
        one_more.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert one_more.recv(65536).startswith(b"HTTP/1.1 200")
    for connection in held:
        all_of(connection)  # it ends
        connection.close()


def post(port: int, length: int, *, path: str = "/") -> socket.socket:
    connection = connect(port)
    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode())
    return connection


def test_an_answer_does_not_wait_for_the_rest_of_the_body_and_the_connection_goes_on(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_WITHIN_SECONDS", LONG_SECONDS)
    with post(port, 200_000) as connection:
        began = time.monotonic()
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began < AT_ONCE_SECONDS
        connection.sendall(b"x" * 200_000 + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200"), "what was left of the body is no request"


def test_a_connection_that_closes_lets_a_client_that_still_sends_see_the_answer(port: int) -> None:
    with post(port, 900_000, path="/close") as connection:
        for _ in range(9):
            connection.sendall(b"x" * 100_000)
            time.sleep(0.02)
        assert all_of(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["/", "/close"])
def test_what_is_left_of_a_body_is_taken_for_a_limited_time_and_to_a_limited_size(
    port: int, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    with post(port, 100 * DISCARD_BYTES_MAX, path=path) as connection:
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 50 * DISCARD_BYTES_MAX:
                sent += connection.send(b"x" * 65536)
        assert sent < 20 * DISCARD_BYTES_MAX
    monkeypatch.setattr(remaining_body, "INTERVAL_SECONDS", 0.4)
    with post(port, 1000, path=path) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 20:
                connection.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - began < 15


def test_requests_sent_behind_a_body_that_was_answered_early_are_all_answered(port: int) -> None:
    """Their bytes do not count as those of the body, and those of one body not as those of the next one."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % DISCARD_BYTES_MAX
    behind = b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: %b\r\n\r\n" % (b"x" * 8000)
    body = b"x" * DISCARD_BYTES_MAX
    for _ in range(5):
        with connect(port) as connection:
            for sent in (head, body + head):
                connection.sendall(sent)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200"), "before its body is here"
            sending = threading.Thread(target=connection.sendall, args=(body + behind * 32,))
            sending.start()
            answers = b""
            while answers.count(b"HTTP/1.1 200") < 32:
                more = connection.recv(65536)
                assert more, f"{answers.count(b'HTTP/1.1 200')} of 32 were answered"
                answers += more
            sending.join()


def test_a_closed_connection_leaves_nothing_for_the_collector_of_cycles(port: int) -> None:
    def alive() -> int:
        return sum(isinstance(one, DeadlineProtocol) for one in gc.get_objects())

    gc.collect()
    before = alive()
    gc.disable()
    try:
        for _ in range(50):
            with connect(port) as connection:
                connection.sendall(b"POST /close HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
                all_of(connection)
        end = time.monotonic() + 5
        while alive() > before + 2 and time.monotonic() < end:
            time.sleep(0.1)
        assert alive() <= before + 2
    finally:
        gc.enable()


def closing_after(port: int, sent: bytes) -> socket.socket:
    connection = connect(port)
    connection.sendall(sent)
    connection.shutdown(socket.SHUT_WR)
    return connection


SLOW = b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"


@pytest.mark.parametrize("requests", [1, 2])
def test_a_client_that_sends_all_and_then_no_more_has_its_answers_and_the_connection_ends(
    port: int, requests: int
) -> None:
    with closing_after(port, requests * SLOW) as connection:
        answers = all_of(connection)
    assert answers.count(b"HTTP/1.1 200") == requests
    assert answers.endswith(b"ok")
    assert answers.count(b"connection: close") == 1


@pytest.mark.parametrize("sent", [b"", b"GET / HT", SLOW[:-1]])
def test_a_client_that_sends_no_more_before_its_request_is_whole_is_closed_at_once(
    port: int, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_WITHIN_SECONDS", LONG_SECONDS)
    with closing_after(port, sent) as connection:
        began = time.monotonic()
        assert all_of(connection) == b""
        assert time.monotonic() - began < AT_ONCE_SECONDS


def test_a_client_that_has_had_its_answer_and_sends_no_more_is_closed_at_once(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_WITHIN_SECONDS", LONG_SECONDS)
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        connection.shutdown(socket.SHUT_WR)
        assert all_of(connection) == b""
        assert time.monotonic() - began < AT_ONCE_SECONDS


def test_clients_that_leave_without_waiting_for_their_answer_keep_no_connection(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "connections_max", lambda: 3)
    for _ in range(3):
        closing_after(port, SLOW).close()
    time.sleep(1.3)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(port)) for _ in range(3)]
        for connection in held:
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        for connection in held:
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
# Whoever took it for a request would answer it.
TEMPTING = b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("pieces", [1, 2, 1000])
def test_a_request_that_offers_another_protocol_keeps_its_body_and_its_place(port: int, pieces: int) -> None:
    """curl --http2 and Java's client offer h2c with each request; the body is no request of its own, whenever it comes."""
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"Content-Length: %d\r\n\r\n" % len(TEMPTING)
    with connect(port) as connection:
        for start, end in _pieces(head, TEMPTING, pieces):
            connection.sendall((head + TEMPTING)[start:end])
            time.sleep(0 if pieces == 1 else 0.3 if pieces == 2 else 0.001)
        connection.sendall(b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n")
        answers = all_of(connection)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.count(TEMPTING) == 1, "it came to the app as the body that it is"
    assert answers.endswith(b"ok")


def _pieces(head: bytes, body: bytes, pieces: int) -> list[tuple[int, int]]:
    whole = len(head) + len(body)
    if pieces == 2:
        return [(0, len(head)), (len(head), whole)]
    step = -(-whole // pieces)
    return [(start, min(start + step, whole)) for start in range(0, whole, step)]


def test_thousands_of_such_offers_at_once_are_read_one_after_the_other(port: int) -> None:
    one = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    with connect(port) as connection:
        sending = threading.Thread(target=connection.sendall, args=(2000 * one + TEMPTING,))
        sending.start()
        answers = all_of(connection)
        sending.join()
    assert answers.count(b"HTTP/1.1 200 OK") == 2001


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n" + TEMPTING, b"501"),
        (b"POST / HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"\r\nthis is no request\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_request_without_the_offer_either_ends_the_connection(
    port: int, request_: bytes, status: bytes
) -> None:
    with connect(port) as connection:
        connection.sendall(request_)
        answers = all_of(connection)
    assert b"HTTP/1.1 " + status in answers
    assert answers.count(b"HTTP/1.1 ") <= 2


def test_an_endless_head_with_such_an_offer_meets_its_limit(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"A: " + b"x" * HEAD_BYTES_MAX + b"\r\n")
        assert all_of(connection).startswith(b"HTTP/1.1 431 ")


def chunked(path: str, trailers: bytes) -> bytes:
    """A request with one chunk and these trailers."""
    head = b"POST " + path.encode() + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n"


def test_a_trailer_is_no_header(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(chunked("/headers", b"X-Secret: from-a-trailer\r\n"))
        connection.shutdown(socket.SHUT_WR)
        answer = all_of(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"from-a-trailer" not in answer


@pytest.mark.parametrize("piece", [b"a:b\r\n" * 20_000, b"x" * 100_000])
def test_trailers_without_end_are_cut(port: int, piece: bytes) -> None:
    """They make no body message, so no limit of a body sees them."""
    with connect(port) as connection:
        connection.sendall(chunked("/headers", b"a:")[:-2])
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 100 * HEAD_BYTES_MAX:
                connection.sendall(piece)
                sent += len(piece)
                time.sleep(0.01)
    assert sent < 20 * HEAD_BYTES_MAX
