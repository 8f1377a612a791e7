"""Sends batches as fast as it is told, from a process of its own, and prints what became of them as JSON.

python -m tests.outage.load HOST:PORT --seconds 10 --rate 200     so many a second, whether answered or not
python -m tests.outage.load HOST:PORT --seconds 10 --senders 16   each sends its next batch once it was answered

It shares the machine with what it measures, and is made to take little of it: images are never copied, only the text between them
is made anew for each batch, and at a fixed rate it wakes no more often than every `TICK_SECONDS`. Loopback only.
"""

import argparse
import asyncio
import gc
import hashlib
import json
import math
import secrets
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import uvloop

from tests.support.deliveries import CONTENT_TYPE, Batch, a_detection_of, a_jpeg
from tests.support.processes import COLLECTOR_TOKEN

CONNECTIONS_MAX: Final = 400
SECONDS_MAX: Final = 3 * 3600
ANSWER_WITHIN_SECONDS: Final = 60.0
AGAIN_AFTER_SECONDS: Final = 0.1
TICK_SECONDS: Final = 0.01

_NAME: Final = "@" * 16
_TIME: Final = "2000-01-01T00:00:00.000000+00:00"  # as long as any other


@dataclass(kw_only=True)
class Load:
    """What was answered, and how fast. Seconds are from the first byte sent to the last one of the answer."""

    seconds: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    goodput: float = 0.0
    """Batches acknowledged a second."""
    batches: int = 0
    """Acknowledged, each counted once however often it was sent."""
    accepted: dict[str, float] = field(default_factory=dict)
    accepted_quarters: list[dict[str, float]] = field(default_factory=list)
    """The same for each quarter of the acknowledgements, in the order in which they came."""
    refused: dict[str, float] = field(default_factory=dict)
    without_retry_after: int = 0
    cut: int = 0
    """Connections that ended without an answer."""
    unsent: int = 0
    """Not offered, because every connection was waiting for its answer."""
    accepted_each_second: list[int] = field(default_factory=list)
    late_seconds: float = 0.0
    """How far the sender itself fell behind, at worst."""

    def steady(self, seconds: int) -> float:
        """Acknowledged a second, without the first one, in which all senders begin, and without what was answered after the end."""
        counted = self.accepted_each_second[1:seconds]
        return sum(counted) / len(counted)


class Bodies:
    """Requests that differ in the batch's and the detections' names and their time alone; each `again_each`-th is one from before."""

    def __init__(self, *, detections: int, full_bytes: int, crop_bytes: int, again_each: int = 0) -> None:
        full = a_jpeg().ljust(full_bytes, b"\x11")
        crop = a_jpeg("white").ljust(crop_bytes, b"\x12")
        batch = Batch(manifest={"batch_id": f"batch-{_NAME}", "collector_id": "gate-1", "detections": []})
        for number in range(detections):
            name = f"evt-{_NAME}-{number}"
            images = {"full": full, "crop": crop}
            batch.manifest["detections"].append(a_detection_of(name, images, captured_at=_TIME))
            batch.parts |= {f"{name}_full": full, f"{name}_crop": crop}
        body = batch.body()
        head = (
            "POST /v1/detections HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {COLLECTOR_TOKEN}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._parts: list[bytes | list[list[bytes]]] = []
        rest = head.encode() + body
        for image in batch.parts.values():
            text, _, rest = rest.partition(image)
            self._parts += [_cut(text), image]
        self._parts.append(_cut(rest))
        self._run = secrets.token_hex(4)
        self._made = 0
        self._again_each = again_each
        self._kept = ("", b"")
        self.digest = hashlib.sha256(full).hexdigest()

    def next(self) -> tuple[str, list[bytes]]:
        """(batch id, the whole request in pieces)."""
        self._made += 1
        turn = self._made % self._again_each if self._again_each else 1
        if turn:
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            name, at = f"{self._run}{self._made:08x}", now.encode()
        else:
            name, at = self._kept
        if turn == 1:
            self._kept = (name, at)
        own = name.encode()
        return f"batch-{name}", [
            part if isinstance(part, bytes) else own.join([at.join(piece) for piece in part]) for part in self._parts
        ]


def _cut(text: bytes) -> list[list[bytes]]:
    """Between the places of the batch's own name, and those between the places of its time."""
    return [piece.split(_TIME.encode()) for piece in text.split(_NAME.encode())]


class Connection(asyncio.Protocol):
    """One request at a time; the answer is (status, whether it says when to come back)."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[tuple[int, bool]] | None = None
        self._data = b""
        self._transport: asyncio.Transport | None = None
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self.is_open = True

    def ask(self, request: list[bytes]) -> asyncio.Future[tuple[int, bool]]:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._data = b""
        self._transport.writelines(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end or self._answer is None or self._answer.done():
            return
        low = head.lower()
        at = low.find(b"content-length:")
        length = int(low[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length:
            return
        if b"connection: close" in low:
            self.close()
        self._answer.set_result((int(head[9:12]), b"retry-after:" in low))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("cut"))

    def close(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()


class Sender:
    """Connections that are used again, and what was seen on them."""

    def __init__(self, address: tuple[str, int], bodies: Bodies) -> None:
        self._address = address
        self._bodies = bodies
        self._idle: list[Connection] = []
        self.busy = 0
        self.load = Load()
        self.acknowledged: list[str] = []
        self._took: dict[bool, list[float]] = {True: [], False: []}
        self._statuses: Counter[str] = Counter()
        self._began = time.perf_counter()
        self._each_second: Counter[int] = Counter()

    async def send(self) -> bool:
        """One batch; True when it was acknowledged."""
        self.busy += 1
        name, request = self._bodies.next()
        try:
            connection = await self._connection()
            began = time.perf_counter()
            deadline = asyncio.get_running_loop().call_later(ANSWER_WITHIN_SECONDS, connection.close)
            try:
                status, says_when = await connection.ask(request)
            finally:
                deadline.cancel()
        except OSError:
            self.load.cut += 1
            return False
        finally:
            self.busy -= 1
        now = time.perf_counter()
        good = status in (200, 201)
        self._took[good].append(now - began)
        self._statuses[str(status)] += 1
        if good:
            self.acknowledged.append(name)
            self._each_second[int(now - self._began)] += 1
        elif not says_when or status not in (429, 503):
            self.load.without_retry_after += 1
        if connection.is_open:
            self._idle.append(connection)
        return good

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        _, made = await asyncio.get_running_loop().create_connection(Connection, *self._address)
        return made

    def finish(self) -> Load:
        load = self.load
        load.seconds = time.perf_counter() - self._began
        load.statuses = dict(self._statuses)
        load.batches = len(set(self.acknowledged))
        load.accepted, load.refused = quantiles(self._took[True]), quantiles(self._took[False])
        load.accepted_quarters = [quantiles(part) for part in _quarters(self._took[True])]
        load.accepted_each_second = [self._each_second[second] for second in range(math.ceil(load.seconds))]
        for connection in self._idle:
            connection.close()
        return load


async def open_loop(sender: Sender, *, rate: float, seconds: float) -> None:
    """So many a second, whatever becomes of them: evenly, or a few at once each `TICK_SECONDS`."""
    began = time.perf_counter()
    under_way: set[asyncio.Task[bool]] = set()
    offered = 0
    while (now := time.perf_counter() - began) < seconds:
        sender.load.late_seconds = max(sender.load.late_seconds, now - offered / rate)
        while offered < now * rate:
            offered += 1
            if sender.busy >= CONNECTIONS_MAX:
                sender.load.unsent += 1
                continue
            task = asyncio.create_task(sender.send())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.sleep(max(TICK_SECONDS, offered / rate - (time.perf_counter() - began)))
    sender.load.goodput = len(sender.acknowledged) / seconds
    if under_way:
        await asyncio.wait(under_way, timeout=ANSWER_WITHIN_SECONDS)


async def closed_loop(sender: Sender, *, senders: int, seconds: float) -> None:
    """Each sender waits for its answer, and a moment more when it was refused."""
    end = time.perf_counter() + seconds

    async def one() -> None:
        while time.perf_counter() < end:
            if not await sender.send():
                await asyncio.sleep(AGAIN_AFTER_SECONDS)

    await asyncio.gather(*(one() for _ in range(senders)))
    sender.load.goodput = len(sender.acknowledged) / seconds


def _quarters(seconds: Sequence[float]) -> list[Sequence[float]]:
    ends = [len(seconds) * quarter // 4 for quarter in range(5)]
    return [seconds[begin:end] for begin, end in pairwise(ends)]


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and greatest, in seconds; empty for nothing."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {"p50": ordered[last // 2], "p99": ordered[math.ceil(last * 0.99)], "max": ordered[-1], "n": len(ordered)}


async def run_load(address: str, *arguments: str, acknowledged: Path | None = None) -> Load:
    """The same in a process of its own, waited for."""
    command = [sys.executable, "-m", "tests.outage.load", address, *arguments]
    if acknowledged is not None:
        command += ["--acknowledged", str(acknowledged)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        told, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    assert process.returncode == 0, f"the load ended with {process.returncode}"
    found: dict[str, Any] = json.loads(told)
    return Load(**found)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--senders", type=int, default=16)
    parser.add_argument("--detections", type=int, default=3)
    parser.add_argument("--full-bytes", type=int, default=64 * 1024)
    parser.add_argument("--crop-bytes", type=int, default=8 * 1024)
    parser.add_argument("--again-each", type=int, default=0, help="2 or more: after so many one of them once more")
    parser.add_argument("--acknowledged", type=Path, help="where the ids of acknowledged batches go")
    asked = parser.parse_args()
    host, _, port = asked.address.rpartition(":")
    assert host == "127.0.0.1", "loopback only"
    seconds = min(asked.seconds, SECONDS_MAX)
    bodies = Bodies(
        detections=asked.detections,
        full_bytes=asked.full_bytes,
        crop_bytes=asked.crop_bytes,
        again_each=asked.again_each,
    )
    sender = Sender((host, int(port)), bodies)
    gc.disable()
    if asked.rate:
        await open_loop(sender, rate=asked.rate, seconds=seconds)
    else:
        await closed_loop(sender, senders=min(asked.senders, CONNECTIONS_MAX), seconds=seconds)
    if asked.acknowledged is not None:
        await asyncio.to_thread(asked.acknowledged.write_text, "\n".join(sender.acknowledged), encoding="utf-8")
    sys.stdout.write(json.dumps(asdict(sender.finish())) + "\n")


if __name__ == "__main__":
    uvloop.run(main())
