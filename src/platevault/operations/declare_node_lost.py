"""Declare a node gone for good, so that its collectors are told what to send again."""

from uuid import UUID

from platevault.delivery.sql.lost_images import declare_lost
from platevault.delivery.sql.nodes import nodes
from platevault.domain.errors import Missing
from platevault.ingest.context import IngestContext


async def declare_node_lost(ingest_context: IngestContext, *, node_id: UUID, really: bool) -> int:
    """How many images are, or with `really` were, lost with the node; see `declare_lost` for what it raises."""
    if really:
        return await declare_lost(ingest_context.database, node_id=node_id)
    found = await nodes(ingest_context.database, node_id=node_id)
    if not found:
        raise Missing(f"no node {node_id}: `platevault spool list` shows those that there are")
    return found[0].pending
