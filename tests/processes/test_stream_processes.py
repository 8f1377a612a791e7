"""The stream between processes: posted at one, seen at the other; and a server that stops lets its followers go."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.processes import LOOKING, SENDING, Service, environment_for, service
from tests.support.servers import S3Server


@pytest.fixture
def pair(migrated_url: str, seaweed: S3Server, tmp_path: Path) -> Iterator[tuple[Service, Service]]:
    """Two nodes of one vault."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], other.getsockname()[1]
    folders = tmp_path / "here", tmp_path / "there"
    environments = [environment_for(migrated_url, seaweed, folder) for folder in folders]
    with (
        service(environments[0], port=ports[0], folder=folders[0]) as here,
        service(environments[1], port=ports[1], folder=folders[1]) as there,
    ):
        yield here, there


class Follower:
    """A client of the stream that reads one event after the other."""

    def __init__(self, at: Service, *, after: str | None = None) -> None:
        url = httpx2.URL(at.url)
        self._connection = socket.create_connection((url.host, url.port), timeout=60)
        last = "" if after is None else f"Last-Event-ID: {after}\r\n"
        self._connection.sendall(
            f"GET /v1/stream HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: {LOOKING['Authorization']}\r\n{last}\r\n".encode()
        )
        self._data = b""
        self.last_id = ""
        while not self.last_id:
            self._line()

    def next(self) -> str:
        """The detection id of the next event."""
        data = ""
        while True:
            line = self._line()
            if line.startswith("data: "):
                data = line.removeprefix("data: ")
            elif not line and data:
                return str(json.loads(data)["detection_id"])

    def is_ended(self) -> bool:
        while more := self._connection.recv(65536):
            self._data += more
        return self._data.endswith(b"0\r\n\r\n")

    def _line(self) -> str:
        while b"\n" not in self._data:
            more = self._connection.recv(65536)
            assert more, "the stream ended"
            self._data += more
        line, _, self._data = self._data.partition(b"\n")
        text = line.decode().rstrip("\r")
        if text.startswith("id: "):
            self.last_id = text.removeprefix("id: ")
        return text


def send(at: Service) -> list[str]:
    batch = a_batch()
    answer = httpx2.post(
        f"{at.url}/v1/detections", content=batch.body(), headers=SENDING | {"Content-Type": CONTENT_TYPE}
    )
    assert answer.status_code == 201
    return batch.ids


def test_what_is_posted_at_one_process_is_seen_at_another_within_a_second_and_goes_on_when_that_one_stops(
    pair: tuple[Service, Service],
) -> None:
    here, there = pair
    follower = Follower(there)
    time.sleep(0.5)
    seconds = []
    for _ in range(5):
        (sent,) = send(here)
        began = time.monotonic()
        assert follower.next() == sent
        seconds.append(time.monotonic() - began)
        time.sleep(0.5)
    # A follower that nobody woke would take up to three; on a busy machine one may.
    assert sorted(seconds)[2] < 1, seconds
    began = time.monotonic()
    there.process.terminate()
    assert follower.is_ended(), "told to the end, not cut"
    assert time.monotonic() - began < 10
    assert there.process.wait(60) == 0
    assert time.monotonic() - began < 11, "requests under way may take 12 seconds; a stream is none"
    (sent,) = send(here)
    assert Follower(here, after=follower.last_id).next() == sent
