"""`platevault spool` as operators run it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from platevault.infra.postgres.database import Database
from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.processes import SENDING, run_platevault, service


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """Without an identity for URLs, of which the service warns."""
    return {name: value for name, value in environment.items() if "PRESIGN" not in name}


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    opened = Database.open(migrated_url, pool_size=2)
    yield opened
    await opened.close()


async def test_a_node_is_looked_at_drained_and_declared_lost(
    environment: dict[str, str], tmp_path: Path, database: Database, port: int
) -> None:
    async def spool(*arguments: str, **more: str) -> tuple[int, str, str]:
        ran = await asyncio.to_thread(
            run_platevault, "spool", *arguments, environment={**environment, **more}, folder=tmp_path
        )
        return ran.returncode, ran.stdout, ran.stderr

    with service({**environment, "MINIO_ENDPOINT": "127.0.0.1:1"}, port=port, folder=tmp_path) as running:
        batch = a_batch(2)
        sent = httpx2.post(
            f"{running.url}/v1/detections", content=batch.body(), headers={**SENDING, "Content-Type": CONTENT_TYPE}
        )
        assert sent.status_code == 201
    code, out, _ = await spool("list", "--json")
    assert code == 0
    listed = json.loads(out)
    assert (listed["waiting"], listed["dead"], listed["ready_files"]) == (4, 0, 1)
    [node] = listed["nodes"]
    assert node["node_id"] == listed["node_id"]
    assert node["pending"] == 4
    code, out, _ = await spool("list")
    assert code == 0
    assert listed["node_id"] in out

    code, out, err = await spool("lost", listed["node_id"], "--yes")
    assert code != 0, "it was seen a moment ago"
    assert "stop it first" in err
    code, out, _ = await spool("drain", MINIO_ENDPOINT="127.0.0.1:1")
    assert code == 1
    assert "4 still wait" in out
    code, out, _ = await spool("drain", "--wait")
    assert (code, out.strip()) == (0, "the spool is empty")
    async with database.reading() as connection:
        states = {row.state for row in await connection.execute(text("SELECT state FROM images"))}
    assert states == {"stored"}

    code, out, err = await spool("retry", "nobody")
    assert code != 0
    assert "nobody" in err
    code, out, err = await spool("retry")
    assert code == 2
    code, out, _ = await spool("retry", "--all", "--json")
    assert (code, json.loads(out)) == (0, {"retried": 0})
    code, _, err = await spool("lost", "00000000-0000-4000-8000-000000000009")
    assert code != 0
    assert "no node" in err
