"""What lies in the spool of this node, and dead letters that are to be tried again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from platevault.delivery.lost_image import Node
from platevault.delivery.pending_image import DeadLetter
from platevault.delivery.sql.nodes import nodes
from platevault.delivery.uploader import Uploader
from platevault.domain.errors import Missing
from platevault.infra.spool.dead_letters import DeadFile
from platevault.ingest.context import IngestContext

LISTED_MOST: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolReport:
    """What lies in the spool of this node, and which other nodes there are."""

    node_id: UUID
    used_bytes: int
    max_bytes: int
    dead_bytes: int
    dead_max_bytes: int
    ready_files: int
    waiting: int
    dead: int
    dead_letters: tuple[DeadLetter, ...]
    set_aside: tuple[DeadFile, ...]
    nodes: tuple[Node, ...]


async def spool_status(ingest_context: IngestContext) -> SpoolReport:
    """At most 1000 dead letters are listed; `dead` counts all of them."""
    uploader = ingest_context.uploader
    waiting, dead = await uploader.ledger.waiting()
    return SpoolReport(
        node_id=uploader.spool.node_id,
        used_bytes=uploader.spool.used(),
        max_bytes=uploader.spool.max_bytes,
        dead_bytes=uploader.spool.dead.used(),
        dead_max_bytes=uploader.spool.dead.max_bytes,
        ready_files=len(uploader.spool.ready_files()),
        waiting=waiting,
        dead=dead,
        dead_letters=tuple(await uploader.ledger.dead_letters(most=LISTED_MOST)),
        set_aside=tuple(uploader.spool.dead.listed()),
        nodes=tuple(await nodes(ingest_context.database)),
    )


async def retry_dead_letters(names: Sequence[str] | None, *, uploader: Uploader) -> int:
    """Dead letters (by detection id) and files that were set aside (by file name) are due again; None means all of them.

    Returns how many; raises `Missing` when a name was none of them. Whoever drains this node takes them up.
    """
    files = [one.file for one in uploader.spool.dead.listed() if names is None or one.file in names]
    revived = await uploader.ledger.retry_dead(names)
    taken = [file for file in files if uploader.spool.take_back(file)]
    unknown = set(names or ()) - {detection_id for detection_id, _ in revived} - set(taken)
    if unknown:
        raise Missing("nothing of this name in dead/: " + ", ".join(sorted(unknown)))
    return len(revived) + len(taken)
