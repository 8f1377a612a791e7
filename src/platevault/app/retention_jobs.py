"""The jobs by the clock that keep and forget: what may still delete is looked at, and what is due goes."""

from platevault.infra.postgres.job_queue import Job
from platevault.ingest.uploads.expire import CLEAR_UPLOADS, expire_uploads
from platevault.jobs.report import GUARD_BUCKET, SWEEP
from platevault.jobs.run import JobContext
from platevault.retention.deletions.execute import DELETE_REQUESTED, execute_due_deletions
from platevault.retention.sweep import sweep_all
from platevault.retention.verify_bucket import verify_bucket


def retention_jobs(context: JobContext) -> tuple[Job, ...]:
    """All of them; the guard only where there is a bucket, the sweep only where the retention is known."""

    async def delete() -> None:
        await execute_due_deletions(context)

    async def clear() -> None:
        await expire_uploads(context)

    jobs = [
        Job(name=DELETE_REQUESTED, cron="*/10 * * * *", work=delete),
        Job(name=CLEAR_UPLOADS, cron="*/10 * * * *", work=clear),
    ]
    if (bucket := context.bucket) is not None:

        async def look_at_bucket() -> None:
            await verify_bucket(context, bucket)

        jobs.append(Job(name=GUARD_BUCKET, cron="7 * * * *", work=look_at_bucket))
    if (retention := context.retention) is not None:

        async def forget() -> None:
            await sweep_all(context, default=retention)

        jobs.append(Job(name=SWEEP, cron="37 * * * *", work=forget))
    return tuple(jobs)
