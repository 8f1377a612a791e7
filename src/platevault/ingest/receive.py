"""Receive the body of a batch: one pass into a spool file, parsed by its format, and durable.

Nothing is acknowledged here. When `make_durable` returns, the file stands synced in `ready/`; a crash from now on leaves it
there, and it is ingested again. When one of them raises, its caller discards the draft, and nothing is left of the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from platevault.domain.batch import Limits
from platevault.domain.crash_points import reached
from platevault.domain.errors import TooLarge
from platevault.formats.batch import Batch
from platevault.formats.delivery import Delivery, Envelope, Part
from platevault.infra.concurrency.thread_pool import parsers
from platevault.infra.spool.draft import Draft
from platevault.ingest.image_bytes import decoded_images, kept_images, with_decoded
from platevault.ingest.read_body import Body, read_body

_Parsed = TypeVar("_Parsed")

# A thread costs more than what it takes to parse this much.
PARSED_ON_THE_LOOP_BYTES_MAX: Final = 64 * 1024
SPOOL_OVERHEAD_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A parsed batch in a locked, durable spool file."""

    draft: Draft
    batch: Batch
    received_at: datetime

    def kept_images(self) -> dict[str, bytes | bytearray | memoryview]:
        """Bytes of its images that are still in memory, by the name of the image."""
        return kept_images(self.batch, self.draft.kept or {})


async def receive(
    body: Body, *, draft: Draft, received_at: datetime, limits: Limits, may_write: Callable[[str], None]
) -> Batch:
    """The parsed batch of a body that is whole in the draft; not durable yet.

    Raises `BatchRefused` or `TooLarge` naming the part, `SpoolFull`, `Busy` when the body came too slowly, or what `may_write`
    says of the collector id; the draft is to be discarded then.
    """
    await read_body(body, draft=draft, limits=limits)
    if body.format.lead is None:
        await draft.map_parts()
    parts = (*draft.parts,) if draft.lead is None else (draft.lead, *draft.parts)
    delivery = delivery_of(body.envelope, parts, received_at=received_at, limits=limits)
    batch = await in_a_thread_if_large(partial(body.format.parse, delivery), size=_described_bytes(draft))
    may_write(batch.collector_id)
    if decoded := decoded_images(batch):
        await draft.add_decoded(decoded)
        batch = with_decoded(batch, {part.name: part for part in draft.decoded})
    reached("body-checked")
    return batch


async def in_a_thread_if_large(parse: Callable[[], _Parsed], *, size: int) -> _Parsed:
    """Return what `parse` makes of `size` bytes. The event loop does not wait for it if they are many."""
    return parse() if size <= PARSED_ON_THE_LOOP_BYTES_MAX else await parsers.do(parse)


def _described_bytes(draft: Draft) -> int:
    """Bytes of the parts that the format reads: the lead, or else all of them."""
    return sum(part.size for part in draft.parts) if draft.lead is None else draft.lead.size


async def make_durable(draft: Draft, batch: Batch, *, received_at: datetime, envelope: Envelope) -> Received:
    """The batch, synced in `ready/`; raises `SpoolFull`."""
    await draft.seal(received_at=received_at, envelope=envelope)
    reached("file-ready")
    return Received(draft=draft, batch=batch, received_at=received_at)


def delivery_of(envelope: Envelope, parts: tuple[Part, ...], *, received_at: datetime, limits: Limits) -> Delivery:
    """The request as its format gets it, now and whenever its spool file is parsed again."""
    return Delivery(
        parts=parts,
        received_at=received_at,
        head=envelope.head,
        query=envelope.query,
        source=envelope.source,
        limits=limits,
    )


def room_for(declared_bytes: int | None, *, limits: Limits) -> int:
    """Bytes to reserve in the spool for a body of the declared length, or of unknown length."""
    if declared_bytes is not None and declared_bytes > limits.max_batch_bytes:
        raise TooLarge(f"a batch has at most {limits.max_batch_bytes} bytes")
    return (limits.max_batch_bytes if declared_bytes is None else declared_bytes) + SPOOL_OVERHEAD_BYTES
