"""A reception on a real database and a real spool, with an object store of the test's choice."""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from platevault.delivery.drain import drain_once
from platevault.delivery.sql.images import PendingImages
from platevault.delivery.sql.nodes import beat
from platevault.delivery.uploader import Uploader
from platevault.domain.batch import Limits
from platevault.domain.errors import DatabaseUnavailable, StoreMisconfigured, StoreUnavailable
from platevault.domain.retention_policy import Retention
from platevault.infra.concurrency.adaptive_limit import AdaptiveLimit
from platevault.infra.concurrency.byte_budget import ByteBudget
from platevault.infra.concurrency.circuit_breaker import CircuitBreaker
from platevault.infra.concurrency.put_slots import PutSlots
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.infra.spool.spool import Spool
from platevault.ingest.accept import accept
from platevault.ingest.context import IncomingRequest, IngestContext
from platevault.ingest.receipt import Receipt
from platevault.ingest.record import Rules
from platevault.ingest.recover import recover
from tests.support.deliveries import CONTENT_TYPE, Batch, in_chunks

MEBI = 1024 * 1024


class DeadStore(MemoryStore):
    """Refuses every put while `dead`."""

    def __init__(self, *, dead: bool = True, compares: bool = True) -> None:
        super().__init__()
        self.dead = dead
        self.puts = 0
        self._compares = compares

    async def compares(self) -> bool:
        return self._compares

    async def create(self, key: str, new: NewObject) -> bool:
        self.puts += 1
        if self.dead:
            raise StoreUnavailable(f"could not put {key}")
        return await super().create(key, new if self._compares else replace(new, sha256=None))


class MisconfiguredStore(MemoryStore):
    async def create(self, key: str, new: NewObject) -> bool:
        raise StoreMisconfigured("403")


class ForgetfulStore(MemoryStore):
    """Takes a put and loses its answer, once for each key."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: set[str] = set()

    async def create(self, key: str, new: NewObject) -> bool:
        created = await super().create(key, new)
        if key not in self.lost:
            self.lost.add(key)
            raise StoreUnavailable(f"no answer to the put of {key}")
        return created


class UnsettledStore(MemoryStore):
    """Never durable."""

    async def settle(self) -> None:
        raise StoreUnavailable("could not sync")


class Buffered:
    """A body that comes whole, in two steps."""

    def __init__(self, body: bytes) -> None:
        self.size = len(body)
        self._body = body

    async def read(self, took: Callable[[int], None]) -> memoryview:
        took(1)
        await asyncio.sleep(0)
        took(self.size - 1)
        return memoryview(bytearray(self._body))


@dataclass(kw_only=True)
class Node:
    """One process of one node."""

    ingest_context: IngestContext
    objects: MemoryStore
    folder: Path
    whole: bool = False
    """Bodies come in one buffer, as the server reads them, instead of chunks."""

    @property
    def database(self) -> Database:
        return self.ingest_context.database

    @property
    def uploader(self) -> Uploader:
        return self.ingest_context.uploader

    async def send(self, batch: Batch, *, stored: bool = False, **delivery: object) -> Receipt:
        body = batch.body()
        known = IncomingRequest(content_type=CONTENT_TYPE, declared_bytes=len(body), wait_until_stored=stored)
        return await accept(
            in_chunks(b"" if self.whole else body),
            replace(known, **delivery),  # type: ignore[arg-type]
            ingest_context=self.ingest_context,
            whole=Buffered(body) if self.whole else None,
        )

    async def uploaded(self) -> None:
        """All uploads that were begun have ended, well or not."""
        while self.ingest_context.uploads:
            await asyncio.gather(*self.ingest_context.uploads)
            await asyncio.sleep(0)

    async def drain(self) -> int:
        return await drain_once(uploader=self.uploader)

    async def recover(self) -> int:
        return await recover(uploader=self.uploader, rules=self.ingest_context.rules, database=self.database)

    def spool_files(self) -> list[str]:
        return sorted(
            path.relative_to(self.folder).as_posix()
            for part in ("tmp", "ready", "dead")
            for path in (self.folder / part).iterdir()
        )

    async def keys(self) -> list[str]:
        return [key async for key, _, _ in self.objects.list("")]

    async def rows(self, query: str, **parameters: object) -> list[dict[str, object]]:
        async with self.database.reading() as connection:
            return [dict(row) for row in (await connection.execute(text(query), parameters)).mappings()]

    async def run(self, statement: str, **parameters: object) -> None:
        await self.database.transaction(lambda connection: connection.execute(text(statement), parameters))

    async def leases_end(self) -> None:
        await self.run("UPDATE images SET lease_until = now() WHERE state = 'pending'")

    async def states(self) -> dict[str, str]:
        """`{detection id}_{kind}` → state."""
        rows = await self.rows("SELECT detection_id || '_' || kind AS name, state FROM images")
        return {str(row["name"]): str(row["state"]) for row in rows}


async def a_node(
    database: Database,
    folder: Path,
    *,
    objects: MemoryStore | None = None,
    limits: Limits | None = None,
    retention: Retention | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    spool_bytes: int = 256 * MEBI,
    announced: bool = True,
) -> Node:
    """A process on the node whose spool lies in `folder`; another call with the same folder is another process of it."""
    spool = Spool.open(folder, max_bytes=spool_bytes, new_node_id=uuid.uuid4())
    process_id = uuid.uuid4()
    objects = objects or MemoryStore()
    uploader = Uploader(
        spool=spool,
        objects=objects,
        ledger=PendingImages(database, node_id=spool.node_id, process_id=process_id),
        breaker=CircuitBreaker(clock=time.monotonic, jitter=lambda: 0.01),
        pace=AdaptiveLimit(most=8, clock=time.monotonic),
        slots=PutSlots(8),
    )
    rules = Rules(
        limits=limits or Limits(),
        retention=retention or Retention(keep_for=timedelta(days=365)),
        node_id=spool.node_id,
        process_id=process_id,
    )
    if announced:
        await beat(database, node_id=spool.node_id, host="test", as_worker=False)
    ingest_context = IngestContext(
        database=database,
        uploader=uploader,
        rules=rules,
        memory=ByteBudget(64 * MEBI),
        now=now,
        new_file_name=lambda: f"{uuid.uuid4()}.batch",
    )
    return Node(ingest_context=ingest_context, objects=objects, folder=folder)


async def a_file_without_rows(node: Node, batch: Batch) -> None:
    """What a crash between the rename and the commit leaves."""
    gone = Database.open("postgresql+asyncpg://nobody:x@127.0.0.1:1/none", pool_size=2)
    broken = await a_node(gone, node.folder, announced=False)
    with pytest.raises(DatabaseUnavailable):
        await broken.send(batch)
    await gone.close()


def statuses(receipt: Receipt) -> list[str]:
    """Of its detections, in the order of the answer."""
    return [entry["status"] for entry in receipt.body["detections"]]
