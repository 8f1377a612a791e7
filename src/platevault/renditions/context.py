"""The context of renditions: decoder, originals, limits, and the pictures that are being made."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from platevault.domain.images import ImageState
from platevault.domain.rendition_recipe import Facts, Recipe, Rendered
from platevault.infra.objectstore import ObjectStore
from platevault.infra.postgres.database import Database
from platevault.infra.telemetry.metrics import Metrics
from platevault.renditions.capacity import RenderCapacity
from platevault.renditions.sql.renditions import RenditionRows
from platevault.renditions.variants import Picture, Variants


class Decoder(Protocol):
    """Who decodes and encodes: `infra/imaging/decoder_pool`."""

    async def render(self, original: bytes, recipe: Recipe) -> Rendered:
        """The picture; raises `ImageRefused`, `InvalidRequest` or `Busy`."""
        ...

    async def facts(self, original: bytes) -> Facts:
        """What the header says; raises `ImageRefused` or `Busy`."""
        ...

    async def check(self) -> None:
        """Return when it would render a sound picture now; raises `Busy`."""
        ...

    async def close(self) -> None:
        """Nothing of it runs afterwards."""
        ...


class SpoolReader(Protocol):
    """The bytes of spool files of this node."""

    async def read(self, file: str, *, offset: int, size: int) -> bytes | None:
        """`size` bytes from `offset`; None when this node has no such file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A picture, with its bytes where this process has them; or the state of the image that says why there is none."""

    state: ImageState
    picture: Picture | None = None
    data: bytes | None = None


TaskKey = tuple[str, str, str, bool]
"""Detection id, kind, name of the picture, and whether it gives way to others (`behind`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionContext:
    """Dependencies and limits of renditions. One per process. `spool` is None if the process reads no spool."""

    database: Database
    objects: ObjectStore
    decoder: Decoder
    now: Callable[[], datetime]
    process_id: UUID
    variants: Variants = field(default_factory=Variants)
    shows_location: bool = False
    spool: SpoolReader | None = None
    node_id: UUID | None = None
    meters: Metrics = field(default_factory=Metrics.none)
    capacity: RenderCapacity = field(default_factory=RenderCapacity)
    tasks: dict[TaskKey, "asyncio.Task[Outcome]"] = field(default_factory=dict)

    @property
    def ledger(self) -> RenditionRows:
        return RenditionRows(self.database, process_id=self.process_id)

    async def close(self) -> None:
        """Cancel the pictures that are being made, release their leases, and stop the decoder."""
        tasks = tuple(self.tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.decoder.close()
