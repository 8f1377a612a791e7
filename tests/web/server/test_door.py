"""A batch for which there is no place is answered by the connection itself, as the app would, and the connection goes on."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import httpx2
import pytest
import structlog
import uvicorn

from platevault.app.vault import Vault
from platevault.ingest.admission import IN_TURN_AT_ONCE
from platevault.ingest.transfer_rate import TransferRate
from platevault.web.dependencies import DISCARD_BYTES_MAX, DOOR, VAULT
from platevault.web.server import overload as crowd
from platevault.web.server import remaining_body
from platevault.web.server.connections import DeadlineProtocol
from platevault.web.server.overload import BatchRefusals
from tests.support.deliveries import CONTENT_TYPE
from tests.support.vaults import COLLECTOR, a_client
from tests.web.server.test_connections import all_of, app, connect

KEEP_ALIVE_SECONDS = 1
LENGTH = 20
HEAD = f"POST /v1/detections HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n".encode()
BODY = b"GET / HTTP/1.1\r\n\r\nxy"  # whoever took it for a request would see one
NEXT = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"


@contextlib.contextmanager
def served(vault: Vault, taken: list[str], *, keep_alive: int = KEEP_ALIVE_SECONDS) -> Iterator[int]:
    """A port whose connections know the vault's door; behind it there is an app that takes everything, and tells what it took."""
    door = BatchRefusals(vault)

    async def with_state(scope, receive, send):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        if scope["type"] != "lifespan":
            taken.append(scope["path"])
            await app(scope, receive, send)
            return
        await receive()
        scope["state"] |= {VAULT: vault, DOOR: door}
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = uvicorn.Config(
        with_state,
        port=port,
        http=DeadlineProtocol,
        lifespan="on",
        server_header=False,
        log_config=None,
        timeout_keep_alive=keep_alive,
        timeout_graceful_shutdown=10,
        loop="uvloop",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def crowded(vault: Vault) -> Vault:
    for _ in range(IN_TURN_AT_ONCE):
        vault.ingest_context.bodies.add(TransferRate(began=0.0, complete=True))
    return vault


@pytest.fixture
def taken() -> list[str]:
    """The paths of the requests that came to the app."""
    return []


@pytest.fixture
def port(crowded: Vault, taken: list[str]) -> Iterator[int]:
    with served(crowded, taken) as free:
        yield free


def one_answer(connection: socket.socket) -> bytes:
    """Up to the end of its body, and nothing behind it."""
    data = b""
    while not data.endswith((b"\r\n\r\n", b"}", b"ok")) or data.endswith(b"\r\n\r\n"):
        more = connection.recv(1)
        assert more, data
        data += more
    return data


def is_open(connection: socket.socket) -> bool:
    connection.sendall(NEXT)
    return one_answer(connection).startswith(b"HTTP/1.1 200")


def refused_total(vault: Vault) -> float:
    lines = vault.meters.exposition({}).decode().splitlines()
    found = [line for line in lines if line.startswith('platevault_batches_total{outcome="busy"}')]
    return float(found[0].split()[-1]) if found else 0


def open_connections(vault: Vault) -> float:
    lines = vault.meters.exposition({}).decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith("platevault_connections "))


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    "asked",
    [
        {"Content-Length": "0"},
        {"Content-Length": str(DISCARD_BYTES_MAX)},
        {"Content-Length": str(DISCARD_BYTES_MAX + 1)},
        {"Content-Length": "9", "Expect": "100-continue"},
        {"Transfer-Encoding": "chunked"},
        {"X-Request-Id": "not one of ours"},
        {},
    ],
    ids=str,
)
async def test_it_is_the_answer_that_the_app_would_give(crowded: Vault, port: int, asked: Mapping[str, str]) -> None:
    given = {"Host": "a", "X-Request-Id": "one", **asked}
    async with a_client(crowded, token=COLLECTOR) as collector:

        async def told_by_app(more: Mapping[str, str]) -> httpx2.Response:
            request = httpx2.Request("POST", "http://a/v1/detections?durability=stored")
            request.headers = httpx2.Headers({**collector.headers, **given, **more})
            return await collector.send(request)

        # What a browser sends goes to the route itself, past whatever else refuses for it.
        by_app = await told_by_app({"Origin": "https://a.example", "Content-Type": CONTENT_TYPE})
        before_the_app = await told_by_app({})
    assert "not" in given["X-Request-Id"] or before_the_app.headers == by_app.headers
    assert (before_the_app.status_code, before_the_app.text) == (by_app.status_code, by_app.text)
    with connect(port) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        connection.sendall(f"POST /v1/detections?durability=stored HTTP/1.1\r\n{lines}\r\n".encode())
        head, _, body = one_answer(connection).decode().partition("\r\n\r\n")
    status, *told = head.split("\r\n")
    at_the_door = dict(line.split(": ", 1) for line in told)
    assert at_the_door.pop("date")
    expected = dict(by_app.headers)
    if "not" in given["X-Request-Id"]:
        assert len(at_the_door.pop("x-request-id")) == len(expected.pop("x-request-id")) == 32
    assert status == "HTTP/1.1 429 Too Many Requests"
    assert by_app.status_code == 429
    assert at_the_door == expected
    assert body == by_app.text


async def test_it_is_counted_as_by_the_app_and_logged_in_one_line_a_second(
    crowded: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "LINE_EVERY_SECONDS", 0.3)
    with structlog.testing.capture_logs() as lines, served(crowded, []) as port, connect(port) as connection:
        for _ in range(2):
            for _ in range(5):
                connection.sendall(HEAD + BODY)
                assert one_answer(connection).startswith(b"HTTP/1.1 429")
            time.sleep(0.6)
    assert [line["number"] for line in lines] == [5, 5]
    assert {(line["route"], line["method"]) for line in lines} == {("/v1/detections", "POST")}
    shown = crowded.meters.exposition({}).decode()
    assert 'platevault_requests_total{method="POST",route="/v1/detections",status="429"} 10.0' in shown
    assert 'platevault_request_seconds_count{route="/v1/detections"} 10.0' in shown
    assert refused_total(crowded) == 10


async def test_with_a_place_left_and_for_every_other_request_the_app_is_asked(crowded: Vault, port: int) -> None:
    with connect(port) as connection:
        for target in (b"GET /v1/detections", b"POST /v1/detection", b"POST /v1/detections/", b"PUT /v1/detections"):
            connection.sendall(target + HEAD[HEAD.index(b" HTTP") :] + BODY)
            assert one_answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(HEAD.replace(b"Host", b"Origin: https://a.example\r\nHost") + BODY)
        assert one_answer(connection).startswith(b"HTTP/1.1 200"), "what a browser has to be told is the app's to know"
        crowded.ingest_context.bodies.pop()
        connection.sendall(HEAD + BODY)
        assert one_answer(connection).startswith(b"HTTP/1.1 200")
    assert refused_total(crowded) == 0


async def test_the_refused_body_is_thrown_away_wherever_it_is_cut_and_what_follows_is_the_next_request(
    port: int,
) -> None:
    with connect(port) as connection:
        for first in range(LENGTH + 1):
            for second in range(first, LENGTH + 1, 1 if first in (0, 1, LENGTH - 1) else 7):
                connection.sendall(HEAD + BODY[:first])
                assert one_answer(connection).startswith(b"HTTP/1.1 429"), "before its body is here"
                connection.sendall(BODY[first:second])
                time.sleep(0.001)
                connection.sendall(BODY[second:] + NEXT)
                assert one_answer(connection).startswith(b"HTTP/1.1 200"), (first, second)


async def test_the_next_request_begins_where_a_large_refused_body_ends(crowded: Vault, port: int) -> None:
    for length in (64 * 1024, 216_001, DISCARD_BYTES_MAX):
        body = (BODY * (length // LENGTH + 1))[:length]
        head = HEAD.replace(f"Content-Length: {LENGTH}".encode(), f"Content-Length: {length}".encode())
        with connect(port) as connection:
            for _ in range(3):
                connection.sendall(head + body + HEAD + BODY + NEXT)
                for status in (b"429", b"429", b"200"):
                    assert one_answer(connection).startswith(b"HTTP/1.1 " + status), length
            connection.sendall(head)
            assert one_answer(connection).startswith(b"HTTP/1.1 429"), "before its body is here"
            connection.sendall(body)
            assert is_open(connection)
    assert refused_total(crowded) == 3 * 7


async def test_requests_sent_behind_a_refused_body_are_all_answered_however_long_they_are(
    crowded: Vault, port: int
) -> None:
    head = HEAD.replace(f"Content-Length: {LENGTH}".encode(), f"Content-Length: {DISCARD_BYTES_MAX}".encode())
    behind = NEXT.replace(b"Host", b"X-Long: %b\r\nHost" % (b"x" * 8000))
    with connect(port) as connection:
        for _ in range(3):
            connection.sendall(head)
            assert one_answer(connection).startswith(b"HTTP/1.1 429"), "before its body is here"
            connection.sendall(b"x" * DISCARD_BYTES_MAX + behind * 16)
            for _ in range(16):
                assert one_answer(connection).startswith(b"HTTP/1.1 200")


async def test_a_client_that_goes_away_in_the_middle_of_a_refused_body_is_forgotten(crowded: Vault, port: int) -> None:
    head = HEAD.replace(f"Content-Length: {LENGTH}".encode(), b"Content-Length: 200000")
    for ending in (socket.SHUT_WR, socket.SHUT_RDWR):
        with connect(port) as connection:
            connection.sendall(head + BODY)
            assert one_answer(connection).startswith(b"HTTP/1.1 429")
            connection.sendall(BODY)
            assert open_connections(crowded) == 1
            connection.shutdown(ending)
            until(lambda: open_connections(crowded) == 0)


async def test_a_length_of_thousands_of_digits_is_none(crowded: Vault, port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"POST /v1/detections HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"0" * 5000 + b"1\r\n\r\nx")
        connection.shutdown(socket.SHUT_WR)
        answer = all_of(connection)
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nconnection: close\r\n" in answer


async def test_requests_that_come_all_at_once_are_answered_in_their_order(crowded: Vault, port: int) -> None:
    with connect(port) as connection:
        connection.sendall((HEAD + BODY) * 3 + NEXT + NEXT.replace(b"GET /", b"GET /close"))
        answers = all_of(connection)
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"429", b"429", b"429", b"200", b"200"]
    assert refused_total(crowded) == 3


async def test_while_an_earlier_request_is_being_answered_nothing_overtakes_it(crowded: Vault, port: int) -> None:
    with connect(port) as connection:
        connection.sendall(SLOW + HEAD + BODY + NEXT)
        for _ in range(3):
            assert one_answer(connection).startswith(b"HTTP/1.1 200"), "the app's to answer, once it is its turn"
        connection.sendall(SLOW)
        time.sleep(0.1)
        connection.sendall(HEAD + BODY)
        assert one_answer(connection).startswith(b"HTTP/1.1 200")
        assert one_answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(HEAD + BODY)
        assert one_answer(connection).startswith(b"HTTP/1.1 429")
    assert refused_total(crowded) == 1


@pytest.mark.parametrize(
    ("head", "sends"),
    [
        (b"Expect: 100-continue\r\nContent-Length: 100000", 100_000),
        (b"Transfer-Encoding: chunked", 100_000),
        (f"Content-Length: {2 * DISCARD_BYTES_MAX}".encode(), 100_000),
        (b"Connection: close\r\nContent-Length: 100000", 100_000),
        (b"Connection: close\r\nContent-Length: 0", 0),
        (b"Connection: close", 0),
    ],
)
async def test_a_connection_that_ends_with_the_refusal_lets_the_client_see_it_and_takes_no_more_requests(
    crowded: Vault, port: int, taken: list[str], head: bytes, sends: int
) -> None:
    for at_once in (True, False):
        with connect(port) as connection:
            asked = b"POST /v1/detections HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n"
            body = b"%x\r\n" % sends + b"x" * sends + b"\r\n0\r\n\r\n" if b"chunked" in head else b"x" * sends
            if at_once:
                connection.sendall(asked + body + NEXT + HEAD + BODY)
            else:
                connection.sendall(asked)
                for start in range(0, len(body), 10_000):
                    connection.sendall(body[start : start + 10_000])
                    time.sleep(0.005)
            began = time.monotonic()
            connection.shutdown(socket.SHUT_WR)
            answers = all_of(connection)
            assert time.monotonic() - began < 1
        assert answers.count(b"HTTP/1.1 ") == 1
        assert answers.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nconnection: close\r\n" in answers
    assert refused_total(crowded) == 2
    assert taken == [], "what comes behind it is done by nobody, answered or not"


async def test_a_connection_that_was_told_to_end_without_a_body_ends_at_once(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"POST /v1/detections HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        began = time.monotonic()
        assert all_of(connection).startswith(b"HTTP/1.1 429 ")
        assert time.monotonic() - began < 0.9


@pytest.mark.parametrize("sent", [BODY[:0], BODY[:10]])
async def test_half_a_body_and_then_silence_ends_the_connection(
    port: int, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(remaining_body, "INTERVAL_SECONDS", 0.3)
    for drips in (False, True):
        with connect(port) as connection:
            connection.sendall(HEAD + sent)
            assert one_answer(connection).startswith(b"HTTP/1.1 429")
            if drips:
                time.sleep(0.1)
                connection.sendall(b"x")
            began = time.monotonic()
            assert all_of(connection) == b""
            assert time.monotonic() - began < 3


async def test_a_body_that_came_has_no_deadline_left_and_an_idle_connection_ends_when_any_other_would(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remaining_body, "INTERVAL_SECONDS", 0.3)
    for sent in ((HEAD + BODY, b""), (HEAD, BODY), (HEAD + BODY[:5], BODY[5:])):
        with connect(port) as connection:
            connection.sendall(sent[0])
            assert one_answer(connection).startswith(b"HTTP/1.1 429")
            connection.sendall(sent[1])
            time.sleep(0.5)
            assert is_open(connection)
            connection.sendall(sent[0])
            assert one_answer(connection).startswith(b"HTTP/1.1 429")
            connection.sendall(sent[1])
            began = time.monotonic()
            assert all_of(connection) == b""
            assert time.monotonic() - began < 20


async def test_the_end_of_an_idle_connection_is_not_that_of_the_request_behind_a_refusal(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(HEAD + BODY + SLOW + SLOW)  # longer than an idle connection is kept
        assert one_answer(connection).startswith(b"HTTP/1.1 429")
        assert one_answer(connection).startswith(b"HTTP/1.1 200")
        assert one_answer(connection).startswith(b"HTTP/1.1 200")


async def test_a_client_that_sends_all_and_then_no_more_has_its_refusal_and_the_connection_ends(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(HEAD + BODY)
        connection.shutdown(socket.SHUT_WR)
        began = time.monotonic()
        assert all_of(connection).startswith(b"HTTP/1.1 429 ")
        assert time.monotonic() - began < 0.9


async def test_who_does_not_read_its_refusals_is_not_read_any_further(crowded: Vault, port: int) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.settimeout(2)
        with contextlib.suppress(TimeoutError):
            for _ in range(60):
                connection.sendall((HEAD + BODY) * 2000)
        refused, before = refused_total(crowded), -1.0
        while refused != before:
            time.sleep(0.5)
            refused, before = refused_total(crowded), refused
        assert refused < 30_000, "answers beyond what the sockets hold wait in memory"
