"""Looks for what was acknowledged on a machine that comes back after a power cut."""

import asyncio
import hashlib
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg
from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from tests.outage.machine import Survivors
from tests.outage.scenario import Wrong
from tests.support.deliveries import Batch
from tests.support.servers import BUCKET, s3_of

NEWEST: Final = 60
SAMPLE: Final = 20
"""Batches whose images are read from the bucket, of the newest and of the older ones; all are looked for in the spool."""


ASKED_AGAIN: Final = 20
"""Seconds that the S3 server of the copies has to answer."""


async def look_for(acknowledged: Sequence[Batch], survivors: Survivors, *, wrong: Wrong, chance: random.Random) -> int:
    """Each detection in PostgreSQL, each image in the spool or the bucket with its bytes; returns how many were looked for.

    All detections are looked for. Images: all of the newest batches and some of the older ones, which earlier cuts looked for.
    """
    connection = await asyncpg.connect(survivors.postgres.url.replace("+asyncpg", ""))
    try:
        found = {row["detection_id"] for row in await connection.fetch("SELECT detection_id FROM detections")}
        rows = {(row["detection_id"], row["kind"]): row for row in await connection.fetch("SELECT * FROM images")}
    finally:
        await connection.close()
    wrong.add("detections lost", sum(name not in found for batch in acknowledged for name in batch.ids))
    older = acknowledged[:-NEWEST]
    chosen = [*acknowledged[-NEWEST:], *chance.sample(older, min(SAMPLE, len(older)))]
    parts = {name: data for batch in chosen for name, data in batch.parts.items()}
    lost = await asyncio.to_thread(_images_lost, parts, rows, survivors)
    wrong.add("images lost", lost)
    return len(parts)


def _images_lost(parts: dict[str, bytes], rows: dict[tuple[str, str], Any], survivors: Survivors) -> int:
    client = s3_of(survivors.seaweed).client()
    lost = 0
    for name, data in parts.items():
        detection_id, _, kind = name.rpartition("_")
        row = rows.get((detection_id, kind))
        if row is None:
            lost += 1
        elif row["state"] == "pending" and _in_spool(row, survivors.spool) == data:
            continue
        elif _in_bucket(client, str(row["key"])) != hashlib.sha256(data).hexdigest():
            lost += 1
    return lost


def _in_spool(row: Any, spool: Path) -> bytes | None:
    path = spool / "ready" / row["spool_file"]
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(row["spool_offset"])
        return bytes(file.read(row["size"]))


def _in_bucket(client: Minio, key: str) -> str | None:
    """The digest of the object; None if there is none. A server that does not answer yet is asked again: that is no loss."""
    for left in reversed(range(ASKED_AGAIN)):
        try:
            answer = client.get_object(BUCKET, key)
        except (MinioException, HTTPError) as error:
            if isinstance(error, S3Error) and error.code == "NoSuchKey":
                return None
            if not left:
                raise
            time.sleep(1)
            continue
        try:
            return hashlib.sha256(answer.read()).hexdigest()
        finally:
            answer.release_conn()
    raise AssertionError("returned or raised above")
