"""Scenario: an old copy of the database is restored while the bucket has moved on; nothing may be deleted for it."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import text

from platevault.app.open import open_job_context
from platevault.infra.postgres.database import Database
from platevault.jobs.restore_marker import advance
from platevault.settings import read_settings, variables
from tests.outage.checker import objects_of, until_at_rest
from tests.outage.scenario import Asked, Shown, Wrong
from tests.outage.senders import Sent, send_until_acknowledged
from tests.outage.site import Site, a_site_on
from tests.support.deliveries import Batch, a_batch
from tests.support.servers import Databases, S3Server, embedded_servers, s3_of, server_folder

TIMES: Final = 3
# What objects tell of themselves; plates, what was said of vehicles and the time of receipt come only from a dump.
FIELD_NAMES: Final = (
    *("detection_id", "kind", "collector_id", "batch_id", "camera_id", "captured_at", "retain_until"),
    *("key", "sha256", "size", "content_type", "width", "height", "state"),
)
FIELDS: Final = text(f"SELECT {', '.join(FIELD_NAMES)} FROM detections JOIN images USING (detection_id)")
Rows = Mapping[tuple[str, str], tuple[Any, ...]]


async def restored_dump(asked: Asked) -> Shown:
    """Copy the database, take more batches, put the copy in its place, reconcile three times with an age limit of 0, rebuild."""
    number, wrong = (10 if asked.short else 100), Wrong()
    with server_folder() as folder, embedded_servers() as servers:
        assert servers.seaweed is not None
        s3, databases = s3_of(servers.seaweed), Databases(server=servers.postgres)
        url = await databases.create_database("vault")

        async def send(batches: list[Batch]) -> Rows:
            async with a_site_on(folder, database_url=url, s3=s3) as site:
                await send_until_acknowledged(site.url, batches, sent=Sent())
                wrong.add("not at rest", not await until_at_rest(site.direct, site.spool, seconds=90))
                await _run(site, "reconcile", "--yes", wrong=wrong)
                await _advance(site)
                return await _rows(site.direct)

        await send([a_batch(2) for _ in range(number)])
        await databases.create_database("dump", template="vault")
        before = await send([a_batch(2) for _ in range(number)])
        await databases.drop_database("vault")
        await databases.create_database("vault", template="dump")
        async with a_site_on(folder, database_url=url, s3=s3) as site:
            return await _reconcile_and_rebuild(site, before, s3=s3, wrong=wrong)


async def _reconcile_and_rebuild(site: Site, before: Rows, *, s3: S3Server, wrong: Wrong) -> Shown:
    objects = await asyncio.to_thread(objects_of, s3)
    orphans = []
    for _ in range(TIMES):
        found = await _run(site, "reconcile", "--yes", "--older-than", "0", wrong=wrong, may_stop=True)
        orphans.append(found["counts"].get("orphans", 0))
        wrong.add("runs that did not stop", found["outcome"] != "stopped")
    after = await asyncio.to_thread(objects_of, s3)
    wrong.add("objects deleted, moved or changed", len(dict(objects.items() - after.items())))
    wrong.add("runs that saw no orphan", sum(not seen for seen in orphans))
    missing = len(before) - len(await _rows(site.direct))
    await _run(site, "rebuild", "--yes", wrong=wrong)
    restored = await _rows(site.direct)
    wrong.add("fields not restored", sum(restored.get(name) != row for name, row in before.items()))
    await _run(site, "reconcile", "--confirm-restore", wrong=wrong)
    found = await _run(site, "reconcile", "--yes", "--older-than", "0", wrong=wrong)
    wrong.add("orphans after rebuild", found["counts"].get("orphans", 0))
    return wrong.shown(
        f"orphans seen {orphans}, {missing:,} images without rows, each rebuilt with {len(FIELD_NAMES)} fields"
    )


async def _run(site: Site, *arguments: str, wrong: Wrong, may_stop: bool = False) -> dict[str, Any]:
    """`platevault ARGUMENTS --json`, and what it said."""
    done = await asyncio.to_thread(site.run, *arguments, "--json")
    wrong.add("commands that failed", done.returncode not in ((0, 1) if may_stop else (0,)))
    before, begins, report = done.stdout.partition("{")
    if not begins:
        raise AssertionError(
            f"platevault {' '.join(arguments)}: code {done.returncode}: {before[-300:]} {done.stderr[-500:]}"
        )
    said: dict[str, Any] = json.loads(begins + report)
    return said


async def _advance(site: Site) -> None:
    """The restore marker, as the schedule does every ten minutes."""
    known = {name.lower(): value for name, value in site.api.environment.items() if name in variables()}
    context = open_job_context(read_settings(env_file=None, **known))
    try:
        await advance(context)
    finally:
        await context.objects.close()
        await context.database.close()


async def _rows(database: Database) -> Rows:
    async with database.reading() as connection:
        return {(row.detection_id, row.kind): tuple(row) for row in await connection.execute(FIELDS)}
