"""A large manifest does not stop the event loop, which answers everybody else."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from platevault.infra.postgres.database import Database
from platevault.ingest.accept import accept
from platevault.ingest.context import IncomingRequest
from tests.support.deliveries import CONTENT_TYPE, Batch, a_detection_of, a_name, in_chunks
from tests.support.receptions import a_file_without_rows, a_node, statuses

DETECTIONS = 200
# Of the loop's own work, which other programs on the machine do not lengthen. In one piece the manifest takes a second.
PAUSE_AT_MOST_SECONDS = 0.1
# A machine that needs longer than this for `TEXT` works slowly now, and the limit grows as much.
USUAL_SECONDS = 0.04
TEXT = json.dumps([{"n": number, "s": "x" * 20, "l": [1, 2, 3]} for number in range(40_000)])


async def test_no_manifest_of_four_megabytes_stops_the_loop(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool")
    for data in (many_values(450), many_values(600)):  # of a size that is kept, and of one that is left out
        batch = a_large_batch(data)
        request = IncomingRequest(content_type=CONTENT_TYPE, declared_bytes=None)
        async with longest_pause() as pause:
            receipt = await accept(in_chunks(batch.body()), request, ingest_context=node.ingest_context)
        assert receipt.status_code == 201
        assert pause.longest < PAUSE_AT_MOST_SECONDS * slowness(), (
            f"the loop worked for {pause.longest:.3f} s in one piece"
        )


async def test_recovery_of_a_large_manifest_does_not_stop_the_loop(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool")
    batch = a_large_batch(many_values(450))
    await a_file_without_rows(node, batch)
    async with longest_pause() as pause:
        assert await node.recover() == 1
    assert (await node.send(batch)).replayed
    assert pause.longest < PAUSE_AT_MOST_SECONDS * slowness(), f"the loop worked for {pause.longest:.3f} s in one piece"


@pytest.mark.parametrize("again", ["replayed", "duplicate", "rebuilt"])
async def test_known_detections_with_much_data_do_not_stop_the_loop(
    migrated: Database, tmp_path: Path, again: str
) -> None:
    node = await a_node(migrated, tmp_path / "spool")
    batch = a_large_batch(many_values(450))
    await node.send(batch)
    if again == "rebuilt":
        await node.run("ALTER TABLE detections DISABLE TRIGGER USER")  # no statement makes a row rebuilt later
        await node.run("UPDATE detections SET rebuilt = true")
        await node.run("ALTER TABLE detections ENABLE TRIGGER USER")
    body = (batch if again == "replayed" else batch.renamed()).body()
    request = IncomingRequest(content_type=CONTENT_TYPE, declared_bytes=len(body))
    async with longest_pause() as pause:
        receipt = await accept(in_chunks(body), request, ingest_context=node.ingest_context)
    assert receipt.status_code == (201 if again == "replayed" else 200)
    assert set(statuses(receipt)) == {"created" if again == "replayed" else "duplicate"}
    assert pause.longest < PAUSE_AT_MOST_SECONDS * slowness(), f"the loop worked for {pause.longest:.3f} s in one piece"


def many_values(number: int) -> dict[str, Any]:
    return {"readings": [{"at": at, "value": "ABCDEFGH"} for at in range(number)]}


def a_large_batch(data: dict[str, Any]) -> Batch:
    batch = Batch(manifest={"batch_id": a_name("batch"), "collector_id": "gate-1", "detections": []})
    for _ in range(DETECTIONS):
        batch.manifest["detections"].append(a_detection_of(a_name(), {}, data=data))
    return batch


def slowness() -> float:
    """How much longer than usual this thread takes for the same work now; at least 1."""
    seconds = []
    for _ in range(5):
        began = time.thread_time()
        json.loads(TEXT)
        seconds.append(time.thread_time() - began)
    return max(1.0, max(seconds) / USUAL_SECONDS)


class Pause:
    """The longest piece of work of the event loop's thread, in seconds of its own."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.thread_time() - began)


@asynccontextmanager
async def longest_pause() -> AsyncIterator[Pause]:
    pause = Pause()
    watching = asyncio.create_task(pause.watch())
    try:
        yield pause
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
