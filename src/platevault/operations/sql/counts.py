"""What the database knows of the whole vault, counted in a few milliseconds: from partial indexes, and from the newest runs of jobs."""

import re
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.metric_definitions import Series
from platevault.infra.postgres.database import Database
from platevault.jobs.report import COUNT_IMAGES, SWEEP

# A number past this is cut: an index of millions takes too long to be counted every few seconds.
COUNTED_MAX: Final = 1_000_000
FILES_MAX: Final = 20_000
JOBS_MAX: Final = 50
COUNTS_MAX: Final = 100
LIVE_STATES: Final = ("pending", "missing")

_WITHIN: Final = text("SET LOCAL statement_timeout = '2s'")
_NOW: Final = text("""
    SELECT (SELECT count(*) FROM (SELECT 1 FROM images WHERE state = 'pending' LIMIT :most) AS them) AS pending,
           (SELECT count(*) FROM (SELECT 1 FROM images WHERE state = 'missing' LIMIT :most) AS them) AS missing,
           (SELECT count(*) FROM (SELECT 1 FROM images WHERE dead_at IS NOT NULL LIMIT :most) AS them) AS dead,
           (SELECT count(*) FROM (SELECT 1 FROM images WHERE dead_at IS NOT NULL AND spool_node = :node LIMIT :most)
               AS them) AS dead_here,
           (SELECT extract(epoch FROM now() - max(worker_seen_at)) FROM nodes WHERE lost_at IS NULL) AS worker_age,
           (SELECT extract(epoch FROM now() - advanced_at) FROM generation) AS generation_age
""")
# The images of one file came in one batch: one look per file instead of one per image. The files are found by jumping from
# one to the next in the index images_in_spool, node by node (what a lost one had is missing, not pending), and there are no more of them than spools hold.
_OLDEST: Final = text("""
    WITH RECURSIVE files AS (
        SELECT node_id AS spool_node, first.spool_file FROM nodes CROSS JOIN LATERAL (
            SELECT spool_file FROM images WHERE spool_node = node_id AND spool_file IS NOT NULL ORDER BY spool_file LIMIT 1
        ) AS first WHERE lost_at IS NULL
        UNION ALL
        SELECT files.spool_node, beyond.spool_file FROM files CROSS JOIN LATERAL (
            SELECT spool_file FROM images WHERE spool_node = files.spool_node AND spool_file > files.spool_file
            ORDER BY spool_file LIMIT 1
        ) AS beyond
    )
    SELECT extract(epoch FROM now() - min(oldest.received_at)) AS age
    FROM (SELECT * FROM files LIMIT :files) AS them CROSS JOIN LATERAL (
        SELECT received_at FROM images JOIN detections USING (detection_id)
        WHERE state || '' = 'pending' AND dead_at IS NULL
          AND spool_node = them.spool_node AND spool_file = them.spool_file
        LIMIT 1
    ) AS oldest
""")
_NEWEST_RUNS: Final = text("""
    WITH RECURSIVE jobs AS (
        SELECT min(job) AS job FROM job_runs
        UNION ALL
        SELECT (SELECT min(job) FROM job_runs WHERE job_runs.job > jobs.job) FROM jobs WHERE jobs.job IS NOT NULL
    )
    SELECT newest.* FROM (SELECT job FROM jobs WHERE job IS NOT NULL LIMIT :most) AS known CROSS JOIN LATERAL (
        SELECT job, extract(epoch FROM ended_at) AS ended, outcome, counts
        FROM job_runs WHERE job = known.job ORDER BY started_at DESC LIMIT 1
    ) AS newest
""")
_OF_KEEPING: Final = text("""
    SELECT (SELECT extract(epoch FROM now() - retain_until) FROM detections
            WHERE erased_at IS NULL AND retain_until <= now() AND holds = 0 ORDER BY retain_until LIMIT 1) AS overdue,
           (SELECT extract(epoch FROM ended_at) FROM job_runs
            WHERE job = :job AND outcome = 'done' AND NOT dry_run ORDER BY started_at DESC LIMIT 1) AS swept
""")
_PURGED: Final = text("SELECT cause, sum(detections) AS detections FROM purges GROUP BY cause")
_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


async def tally(database: Database, *, node_id: UUID, found: dict[Series, float]) -> None:
    """Put what the database knows into `found`, what is cheapest first, so that a failure leaves what was found before it.

    Raises `DatabaseUnavailable`, also when one statement took more than 2 seconds. Reads in one transaction.
    """
    async with database.reading() as connection:
        await connection.execute(_WITHIN)
        for run in (await connection.execute(_NEWEST_RUNS, {"most": JOBS_MAX})).mappings():
            found.update(_of_run(run))
        found.update(await _of_now(connection, node_id=node_id))
        found.update(await _of_keeping(connection))
        age = (await connection.execute(_OLDEST, {"files": FILES_MAX})).scalar_one()
        found["oldest_pending_age_seconds", ()] = 0.0 if age is None else max(0.0, float(age))


async def _of_now(connection: AsyncConnection, *, node_id: UUID) -> dict[Series, float]:
    row = (await connection.execute(_NOW, {"most": COUNTED_MAX, "node": node_id})).mappings().one()
    found: dict[Series, float] = {("images", (state,)): float(row[state]) for state in (*LIVE_STATES, "dead")}
    found["dead_letters", ()] = float(row["dead_here"])
    if row["worker_age"] is not None:
        found["worker_age_seconds", ()] = float(row["worker_age"])
    if row["generation_age"] is not None:
        found["generation_age_seconds", ()] = float(row["generation_age"])
    return found


async def _of_keeping(connection: AsyncConnection) -> dict[Series, float]:
    row = (await connection.execute(_OF_KEEPING, {"job": SWEEP})).mappings().one()
    found: dict[Series, float] = {("overdue_age_seconds", ()): float(row["overdue"] or 0)}
    if row["swept"] is not None:
        found["sweep_succeeded_seconds", ()] = float(row["swept"])
    for purged in await connection.execute(_PURGED):
        found["purged_detections", (purged.cause,)] = float(purged.detections)
    return found


def _of_run(run: RowMapping) -> Iterator[tuple[Series, float]]:
    job = str(run["job"])
    if _WORD.fullmatch(job) is None:
        return
    yield ("job_ended_seconds", (job,)), float(run["ended"])
    yield ("job_outcome", (job, run["outcome"])), 1.0
    worded = ((str(what).replace(" ", "_"), number) for what, number in run["counts"].items())
    for what, number in [(what, number) for what, number in worded if _is_count(what, number)][:COUNTS_MAX]:
        if job == COUNT_IMAGES:
            yield ("images", (what,)), float(number)
        else:
            yield ("job_count", (job, what)), float(number)


def _is_count(what: str, number: object) -> bool:
    return _WORD.fullmatch(what) is not None and isinstance(number, int | float) and not isinstance(number, bool)
