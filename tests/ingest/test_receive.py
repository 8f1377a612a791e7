"""A part of a batch comes once."""

from pathlib import Path

import pytest

from platevault.domain.errors import BatchRefused
from platevault.infra.postgres.database import Database
from platevault.ingest.accept import accept
from platevault.ingest.context import IncomingRequest
from tests.support.deliveries import BOUNDARY, CONTENT_TYPE, a_batch, in_chunks, multipart_body
from tests.support.receptions import a_node


async def test_a_part_that_comes_twice_refuses_the_batch_even_with_the_same_bytes(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool")
    batch = a_batch()
    name = f"{batch.ids[0]}_full"
    first = multipart_body({name: batch.parts[name]}).removesuffix(f"--{BOUNDARY}--\r\n".encode())
    delivery = IncomingRequest(content_type=CONTENT_TYPE, declared_bytes=None)
    with pytest.raises(BatchRefused, match="twice") as refused:
        await accept(in_chunks(first + batch.body()), delivery, ingest_context=node.ingest_context)
    assert refused.value.part == name
    assert node.spool_files() == []
