"""Reads PostgreSQL, the bucket and the spool by itself, not through the service, and counts what is not as promised."""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import text

from platevault.infra.postgres.database import Database
from tests.outage.scenario import Wrong
from tests.outage.senders import Sent
from tests.outage.site import Site
from tests.support.servers import S3Server

RECONCILE: Final = ("--yes", "--older-than", "0")


async def count(sent: Sent, *, database: Database, s3: S3Server, spool: Path) -> Wrong:
    """Take stock once everything has come to rest; each number must be zero."""
    async with database.reading() as connection:
        detections = [row.detection_id for row in await connection.execute(text("SELECT detection_id FROM detections"))]
        rows = {(row.detection_id, row.kind): row for row in await connection.execute(text("SELECT * FROM images"))}
    objects = await asyncio.to_thread(objects_of, s3)
    names = {name: data for batch in sent.acknowledged for name, data in batch.parts.items()}
    ids = {detection_id for batch in sent.acknowledged for detection_id in batch.ids}
    wrong = Wrong()
    wrong.add("lost", len(ids - set(detections)))
    wrong.add("doubled", len(detections) - len(set(detections)))
    wrong.add("images missing", 0)
    wrong.add("wrong digests", 0)
    for name, data in names.items():
        detection_id, _, kind = name.rpartition("_")
        row = rows.get((detection_id, kind))
        if row is None or row.key not in objects:
            wrong.add("images missing")
        elif objects[row.key] != hashlib.sha256(data).hexdigest():
            wrong.add("wrong digests")
    wrong.add("orphans", len(_of_images(objects) - {row.key for row in rows.values()}))
    wrong.add("not stored", sum(row.state != "stored" for row in rows.values()))
    wrong.add("spool files", len(files_of(spool)))
    wrong.add("differing answers", sum(len(set(map(repr, answers))) > 1 for answers in sent.answers.values()))
    wrong.add("odd answers", len(sent.odd) + len(sent.refused))
    return wrong


async def orphans_after_reconcile(site: Site) -> int:
    """Objects without a row, by the checker's own listing, once `platevault reconcile` went over them."""
    done = await asyncio.to_thread(site.run, "reconcile", *RECONCILE)
    if done.returncode != 0:
        raise AssertionError(f"platevault reconcile: {done.stdout[-300:]} {done.stderr[-300:]}")
    async with site.direct.reading() as connection:
        keys = {row.key for row in await connection.execute(text("SELECT key FROM images"))}
    left = _of_images(await asyncio.to_thread(objects_of, site.bucket)) - keys
    return sum(not key.startswith("quarantine/") for key in left)


def _of_images(objects: Mapping[str, str]) -> set[str]:
    """Their keys; the restore marker and what can be made again (also the picture of the URL test) are no images."""
    return {key for key in objects if not key.startswith(("meta/", "derived/"))}


def files_of(spool: Path) -> list[Path]:
    """What lies in the spool, being received, ready or set aside."""
    return [path for part in ("tmp", "ready", "dead") if (spool / part).exists() for path in (spool / part).iterdir()]


async def leases_end(database: Database) -> None:
    """What somebody has leased is due now: nobody waits a minute for that in a test."""
    statement = text("UPDATE images SET lease_until = now() WHERE state = 'pending'")
    await database.transaction(lambda connection: connection.execute(statement))


async def until_at_rest(database: Database, spool: Path, *, seconds: float) -> bool:
    """True when nothing waits any more, in rows or on disk, within that time."""
    for _ in range(int(seconds * 5)):
        async with database.reading() as connection:
            waiting = (
                await connection.execute(text("SELECT count(*) FROM images WHERE state = 'pending'"))
            ).scalar_one()
        if not waiting and not any((spool / "ready").iterdir()):
            return True
        await asyncio.sleep(0.2)
    return False


def objects_of(s3: S3Server) -> dict[str, str]:
    """Key → SHA-256 of the bytes that the bucket gives."""
    client = s3.client()
    found = {}
    for entry in client.list_objects(s3.bucket, recursive=True):
        assert entry.object_name is not None
        answer = client.get_object(s3.bucket, entry.object_name)
        found[entry.object_name] = hashlib.sha256(answer.read()).hexdigest()
        answer.release_conn()
    return found
