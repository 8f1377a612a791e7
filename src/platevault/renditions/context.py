"""What derived pictures are made with: who decodes, where originals come from, and which pictures are in hand."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What one process makes pictures with, and which are in hand. One per process."""

    maker: Decoder
    variants: Variants = field(default_factory=Variants)
    shows_location: bool = False
    desk: RenderCapacity = field(default_factory=RenderCapacity)
    in_hand: dict[tuple[str, str, str, bool], "asyncio.Task[Outcome]"] = field(default_factory=dict)

    async def close(self) -> None:
        """What is in hand is given up; its leases are given back."""
        tasks = tuple(self.in_hand.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.maker.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionContext:
    """What making a picture needs. `spool` is None where nothing of a spool is at hand."""

    bench: Bench
    database: Database
    objects: ObjectStore
    now: Callable[[], datetime]
    process_id: UUID
    spool: SpoolReader | None = None
    node_id: UUID | None = None
    meters: Metrics = field(default_factory=Metrics.none)

    @property
    def ledger(self) -> RenditionRows:
        return RenditionRows(self.database, process_id=self.process_id)
