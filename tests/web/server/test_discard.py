"""Connections that end or change in the middle of a refused body, and those whose deadlines are easily taken for another's."""

import contextlib
import gc
import logging
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from platevault.app.vault import Vault
from platevault.web.server import connections, remaining_body
from platevault.web.server.connections import DeadlineProtocol
from tests.web.server.test_connections import all_of, connect
from tests.web.server.test_door import (
    BODY,
    HEAD,
    LENGTH,
    NEXT,
    SLOW,
    crowded,
    one_answer,
    open_connections,
    refused_total,
    served,
    taken,
    until,
)

__all__ = ["crowded", "taken"]  # fixtures

LONG_SECONDS = 300


@pytest.fixture
def installation(crowded: Vault, taken: list[str]) -> Iterator[int]:
    """A port whose idle connections are kept for longer than any test takes."""
    with served(crowded, taken, keep_alive=LONG_SECONDS) as port:
        yield port


@pytest.fixture
def hurried(crowded: Vault, taken: list[str]) -> Iterator[int]:
    """A port whose idle connections are kept for a second."""
    with served(crowded, taken, keep_alive=1) as port:
        yield port


def head_of(length: int) -> bytes:
    return HEAD.replace(f"Content-Length: {LENGTH}".encode(), f"Content-Length: {length}".encode())


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def protocols() -> int:
    gc.collect()
    return sum(isinstance(one, DeadlineProtocol) for one in gc.get_objects())


def with_small_buffers(monkeypatch: pytest.MonkeyPatch) -> list[DeadlineProtocol]:
    """The connections that are made from now on; what they write stays with them unless it is read."""
    made: list[DeadlineProtocol] = []
    real = DeadlineProtocol.connection_made

    def narrow(self: DeadlineProtocol, transport) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        real(self, transport)
        made.append(self)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2304)
        transport.set_write_buffer_limits(high=1500, low=100)

    monkeypatch.setattr(DeadlineProtocol, "connection_made", narrow)
    return made


@pytest.mark.parametrize("sent", [HEAD[:20], NEXT, HEAD, HEAD + BODY[:5], HEAD + BODY], ids=len)
async def test_of_a_connection_that_its_client_reset_nothing_stays_in_memory(installation: int, sent: bytes) -> None:
    before = protocols()
    for _ in range(5):
        connection = connect(installation)
        connection.sendall(sent)
        if sent != HEAD[:20]:
            one_answer(connection)
        connection.sendall(BODY[5:8] if sent.endswith(BODY[:5]) else b"")
        time.sleep(0.02)
        reset(connection)
    until(lambda: protocols() <= before)


async def test_a_refused_body_has_its_own_time_and_not_that_of_an_idle_connection(
    hurried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remaining_body, "INTERVAL_SECONDS", 20.0)
    with connect(hurried) as connection:
        connection.sendall(head_of(32))
        assert one_answer(connection).startswith(b"HTTP/1.1 429")
        for _ in range(32):  # longer than an idle connection is kept
            connection.sendall(b"x")
            time.sleep(0.05)
        connection.sendall(NEXT)
        assert one_answer(connection).startswith(b"HTTP/1.1 200")


async def test_who_reads_again_while_its_refused_body_is_thrown_away_is_answered_from_then_on(
    installation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = with_small_buffers(monkeypatch)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        connection.connect(("127.0.0.1", installation))
        connection.settimeout(20)
        refused = 0
        while not made or not made[0].flow.write_paused:
            connection.sendall(b"y" * 20 * bool(refused) + head_of(30) + b"y" * 10)
            refused += 1
            time.sleep(0.005)
            assert refused < 1000
        for _ in range(refused):
            assert one_answer(connection).startswith(b"HTTP/1.1 429")
        until(lambda: not made[0].flow.write_paused)
        connection.sendall(b"y" * 20 + NEXT)
        assert one_answer(connection).startswith(b"HTTP/1.1 200")


async def test_a_body_behind_another_request_has_all_of_its_time(hurried: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remaining_body, "INTERVAL_SECONDS", 0.3)
    echo = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n"
    for begun in (echo, echo[:30]):
        with connect(hurried) as connection:
            connection.sendall(SLOW + begun)
            assert one_answer(connection).startswith(b"HTTP/1.1 200")
            connection.sendall(echo[len(begun) :])
            for _ in range(30):
                connection.sendall(b"x")
                time.sleep(0.05)
            answer = b""
            while not answer.endswith(b"x" * 30):
                more = connection.recv(1000)
                assert more, (begun, answer)
                answer += more


@pytest.mark.parametrize("behind", [b"Transfer-Encoding: gzip\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"])
async def test_a_refused_batch_with_bad_framing_is_told_so_and_nothing_is_written_behind_the_end(
    installation: int, caplog: pytest.LogCaptureFixture, behind: bytes
) -> None:
    with caplog.at_level(logging.ERROR), connect(installation) as connection:
        connection.sendall(b"POST /v1/detections HTTP/1.1\r\nHost: a\r\n" + behind)
        connection.shutdown(socket.SHUT_WR)
        answer = all_of(connection)
        time.sleep(0.1)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith((b"HTTP/1.1 429 ", b"HTTP/1.1 400 "))
    assert caplog.messages == []


async def test_a_client_that_does_not_take_its_last_answers_loses_its_connection(
    crowded: Vault,
    hurried: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "TAKES_WITHIN_SECONDS", 0.5)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", hurried))
        connection.settimeout(1)
        with contextlib.suppress(OSError):  # it may have lost it already
            for _ in range(60):
                connection.sendall((HEAD + BODY) * 2000)
        assert refused_total(crowded) > 0
        until(lambda: open_connections(crowded) == 0)


async def test_who_takes_its_last_answer_slowly_gets_all_of_it(hurried: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "TAKES_WITHIN_SECONDS", 2.0)
    with_small_buffers(monkeypatch)
    size = 400_000
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        connection.connect(("127.0.0.1", hurried))
        connection.settimeout(20)
        head = f"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
        connection.sendall(head.encode() + b"x" * size)
        got, began = b"", time.monotonic()
        while more := connection.recv(2000):
            got += more
            time.sleep(0.02)
    assert got.count(b"x") == size
    assert time.monotonic() - began > 3, "longer than who takes nothing has"


async def test_an_empty_line_after_an_answer_does_not_keep_the_connection(hurried: int) -> None:
    with connect(hurried) as connection:
        connection.sendall(NEXT)
        assert one_answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"\r\n")
        assert all_of(connection) == b""
