"""What tests of the upkeep share: a vault's parts, batches that are stored, old dumps, and stores that break on purpose."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.engine import make_url

from platevault.domain.errors import StoreBusy, StoreUnavailable
from platevault.infra.objectstore import NewObject, ObjectStore
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.jobs.run import JobContext
from platevault.jobs.vault_clock import VaultClock
from tests.support.deliveries import Batch, a_batch
from tests.support.receptions import Node
from tests.support.servers import Databases

AT_ONCE = timedelta(0)
ORPHAN = "full/2025/01/15/evt_nobody_full.jpg"


def upkeep_of(node: Node) -> JobContext:
    return JobContext(database=node.database, objects=node.objects, now=lambda: datetime.now(UTC))


class ToldClock(VaultClock):
    """A clock of the vault that says what the test says: neither database nor store is asked."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    async def time(self, database: Database) -> datetime:
        return self._now()

    async def erasing_time(self, database: Database, objects: ObjectStore) -> datetime:
        return self._now()


def told_at(context: JobContext, now: Callable[[], datetime]) -> JobContext:
    """The context with this clock for everything."""
    return replace(context, now=now, clock=ToldClock(now))


async def stored(node: Node, detections: int = 1, **fields: Any) -> Batch:
    """A batch whose images are all in the store."""
    batch = a_batch(detections, **fields)
    await node.send(batch, stored=True)
    await node.uploaded()
    return batch


async def an_object(node: Node, key: str = ORPHAN, data: bytes = b"\xff\xd8\xff nobody's") -> str:
    assert await node.objects.create(key, NewObject(data=data, content_type="image/jpeg", metadata={}))
    return key


async def bytes_of(node: Node) -> dict[str, bytes]:
    """All objects but the marker."""
    found = {key: await node.objects.get(key) for key in await node.keys() if not key.startswith("meta/")}
    return {key: data for key, data in found.items() if data is not None}


def key_of(batch: Batch, kind: str = "full", number: int = 0) -> str:
    one = batch.manifest["detections"][number]
    day = datetime.fromisoformat(one["captured_at"]).astimezone(UTC)
    return f"{kind}/{day:%Y/%m/%d}/{one['detection_id']}_{kind}.jpg"


@asynccontextmanager
async def an_old_dump(databases: Databases, database_url: str) -> AsyncIterator[str]:
    """The URL of a copy of the database as it is now; nobody may be connected to it."""
    async with databases.a_database(make_url(database_url).database) as url:
        yield url


class Eventful(MemoryStore):
    """Calls `before[method]` with the key, once, before the method runs."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(now=now)
        self.before: dict[str, Callable[[str], Awaitable[None]]] = {}

    async def _event(self, name: str, key: str) -> None:
        event = self.before.pop(name, None)
        if event is not None:
            await event(key)

    async def copy(self, source: str, target: str, *, metadata: Mapping[str, str] | None = None) -> bool:
        done = await super().copy(source, target, metadata=metadata)
        await self._event("after copy", source)
        return done

    async def delete(self, key: str) -> None:
        await self._event("delete", key)
        await super().delete(key)


class Unreliable(MemoryStore):
    """Gives no answer while `silent`."""

    silent = False

    async def get(self, key: str) -> bytes | None:
        if self.silent:
            raise StoreUnavailable(f"could not get {key}")
        return await super().get(key)

    async def check(self) -> None:
        if self.silent:
            raise StoreUnavailable("could not check")


class Rotten(MemoryStore):
    """Takes puts, and gives no answer to who wants the bytes of one of the `rotten`."""

    def __init__(self) -> None:
        super().__init__()
        self.rotten: set[str] = set()

    async def get(self, key: str) -> bytes | None:
        if key in self.rotten:
            raise StoreBusy(f"could not get {key}")
        return await super().get(key)
