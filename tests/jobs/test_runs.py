"""What runs of jobs found is kept, for a while."""

from datetime import UTC, datetime, timedelta

from platevault.infra.postgres.database import Database
from platevault.jobs.report import JobRun
from platevault.jobs.sql.runs import image_states, latest_run, prune_runs, record_run
from tests.makers import a_detection, an_image, put

NOW = datetime.now(UTC)


def a_run(job: str = "scrub", *, ended_at: datetime = NOW, **counts: int) -> JobRun:
    return JobRun(
        job=job,
        started_at=ended_at - timedelta(seconds=1),
        ended_at=ended_at,
        dry_run=True,
        outcome="done",
        counts=counts,
        findings={"cursor": ["evt_ü", "full"], "examples": {}},
    )


async def test_the_newest_run_of_a_job_comes_back_as_it_was(migrated: Database) -> None:
    assert await latest_run(migrated, "scrub") is None
    for run in (a_run(wrong=1, ended_at=NOW - timedelta(hours=1)), a_run(wrong=2), a_run("reconcile", wrong=3)):
        await record_run(migrated, run)
    assert await latest_run(migrated, "scrub") == a_run(wrong=2)


async def test_runs_are_forgotten_after_their_time_and_not_before(migrated: Database) -> None:
    for age in (timedelta(days=90, minutes=1), timedelta(days=89, hours=23)):
        await record_run(migrated, a_run(ended_at=NOW - age))
    assert await prune_runs(migrated, older_than=timedelta(days=90)) == 1
    assert await prune_runs(migrated, older_than=timedelta(days=90)) == 0


async def test_images_are_counted_by_state(migrated: Database) -> None:
    rows = [a_detection(images=[an_image("full"), an_image("crop", state="missing")]) for _ in range(2)]
    await migrated.transaction(lambda connection: put(connection, *rows))
    assert await image_states(migrated) == {"stored": 2, "missing": 2}
