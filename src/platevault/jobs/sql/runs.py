"""What each run of a job found and did, kept for 90 days."""

import json
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text

from platevault.infra.postgres.database import Database
from platevault.jobs.report import JobRun

_INSERT: Final = text("""
    INSERT INTO job_runs (job, started_at, ended_at, dry_run, outcome, counts, findings)
    VALUES (:job, :started_at, :ended_at, :dry_run, :outcome, CAST(:counts AS jsonb), CAST(:findings AS jsonb))
""")
_RECENT: Final = text("""
    SELECT job, started_at, ended_at, dry_run, outcome, counts, findings FROM job_runs
    WHERE job = :job ORDER BY started_at DESC, id DESC LIMIT :most
""")
_NEWEST: Final = text("""
    SELECT job, started_at, ended_at, dry_run, outcome, counts, findings, extract(epoch FROM now() - ended_at) AS age
    FROM job_runs WHERE job = :job ORDER BY started_at DESC, id DESC LIMIT 1
""")
_LAST_DONE: Final = text("""
    SELECT job, started_at, ended_at, dry_run, outcome, counts, findings FROM job_runs
    WHERE job = :job AND outcome = 'done' AND NOT dry_run ORDER BY started_at DESC, id DESC LIMIT 1
""")
_LAST_TO_SAY: Final = text("""
    SELECT job, started_at, ended_at, dry_run, outcome, counts, findings FROM job_runs
    WHERE job = :job AND jsonb_exists(findings, :fact) AND NOT dry_run ORDER BY started_at DESC, id DESC LIMIT 1
""")
_PRUNE: Final = text("DELETE FROM job_runs WHERE ended_at < now() - CAST(:age AS interval)")
_STATES: Final = text("SELECT state, count(*) AS images FROM images GROUP BY state")


async def record_run(database: Database, run: JobRun) -> None:
    """Keep what a run found."""
    parameters = {
        "job": run.job,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "dry_run": run.dry_run,
        "outcome": run.outcome,
        "counts": json.dumps(dict(run.counts)),
        "findings": json.dumps(dict(run.findings)),
    }
    await database.transaction(lambda connection: connection.execute(_INSERT, parameters))


async def recent_runs(database: Database, job: str, *, most: int) -> list[JobRun]:
    """The last runs of this job, the newest first."""
    async with database.reading() as connection:
        rows: list[Any] = list((await connection.execute(_RECENT, {"job": job, "most": most})).mappings())
    return [JobRun(**row) for row in rows]


async def latest_run(database: Database, job: str) -> JobRun | None:
    """The newest run of this job; None before the first."""
    return next(iter(await recent_runs(database, job, most=1)), None)


async def latest_run_and_its_age(database: Database, job: str) -> tuple[JobRun, float] | None:
    """The newest run and how many seconds ago it ended, by the database's clock; None before the first."""
    async with database.reading() as connection:
        row: Any = (await connection.execute(_NEWEST, {"job": job})).mappings().one_or_none()
    if row is None:
        return None
    fields = dict(row)
    age = float(fields.pop("age"))
    return JobRun(**fields), age


async def last_done(database: Database, job: str) -> JobRun | None:
    """The newest run of this job that acted and came to its end."""
    return await _one(database, _LAST_DONE, {"job": job})


async def last_to_say(database: Database, job: str, fact: str) -> JobRun | None:
    """The newest run of this job that acted and noted this fact, whatever became of it."""
    return await _one(database, _LAST_TO_SAY, {"job": job, "fact": fact})


async def prune_runs(database: Database, *, older_than: timedelta) -> int:
    """Forget runs that ended longer ago than this; returns how many."""
    done = await database.transaction(lambda connection: connection.execute(_PRUNE, {"age": older_than}))
    return int(done.rowcount)


async def image_states(database: Database) -> dict[str, int]:
    """How many images are in each state now, counted one by one."""
    async with database.reading() as connection:
        return {row.state: row.images for row in await connection.execute(_STATES)}


async def _one(database: Database, statement: Any, parameters: dict[str, str]) -> JobRun | None:
    async with database.reading() as connection:
        row: Any = (await connection.execute(statement, parameters)).mappings().one_or_none()
    return None if row is None else JobRun(**row)
