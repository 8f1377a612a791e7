"""Reads PostgreSQL, the bucket and the spool by itself, not through the service, and counts what is not as promised."""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from platevault.stores.database import Database
from tests.outage.senders import Sent
from tests.servers import S3Server


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Each number must be zero."""

    lost: int
    doubled: int
    missing_images: int
    wrong_digests: int
    orphans: int
    not_stored: int
    spool_files: int
    differing_answers: int
    odd_answers: int

    def rows(self) -> list[tuple[str, int]]:
        return [(name.replace("_", " "), getattr(self, name)) for name in self.__dataclass_fields__]


async def count(sent: Sent, *, database: Database, s3: S3Server, spool: Path) -> Counted:
    """Take stock once everything has come to rest."""
    async with database.reading() as connection:
        detections = [row.detection_id for row in await connection.execute(text("SELECT detection_id FROM detections"))]
        rows = {(row.detection_id, row.kind): row for row in await connection.execute(text("SELECT * FROM images"))}
    objects = await asyncio.to_thread(_objects, s3)
    names = {name: data for batch in sent.acknowledged for name, data in batch.parts.items()}
    ids = {detection_id for batch in sent.acknowledged for detection_id in batch.ids}
    missing = wrong = 0
    keys = set()
    for name, data in names.items():
        detection_id, _, kind = name.rpartition("_")
        row = rows.get((detection_id, kind))
        if row is None or row.key not in objects:
            missing += 1
            continue
        keys.add(row.key)
        if objects[row.key] != hashlib.sha256(data).hexdigest():
            wrong += 1
    return Counted(
        lost=len(ids - set(detections)),
        doubled=len(detections) - len(set(detections)),
        missing_images=missing,
        wrong_digests=wrong,
        orphans=len(set(objects) - {row.key for row in rows.values()}),
        not_stored=sum(row.state != "stored" for row in rows.values()),
        spool_files=sum(1 for part in ("tmp", "ready", "dead") for _ in (spool / part).iterdir()),
        differing_answers=sum(len({repr(answer) for answer in answers}) > 1 for answers in sent.answers.values()),
        odd_answers=len(sent.odd) + len(sent.refused),
    )


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


def _objects(s3: S3Server) -> dict[str, str]:
    """Key → SHA-256 of the bytes that the bucket gives."""
    client = s3.client()
    found = {}
    for entry in client.list_objects(s3.bucket, recursive=True):
        assert entry.object_name is not None
        answer = client.get_object(s3.bucket, entry.object_name)
        found[entry.object_name] = hashlib.sha256(answer.read()).hexdigest()
        answer.release_conn()
    return found
