"""Every hour: is the bucket still set up so that nothing goes before its time, and does it delete what it should?"""

from datetime import timedelta
from typing import Final

import structlog

from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.admin.lifecycle import CANARY
from platevault.infra.objectstore.admin.watched_bucket import WatchedBucket
from platevault.jobs.report import GUARD_BUCKET, JobRun, Notes
from platevault.jobs.run import JobContext, record_job
from platevault.provisioning.bucket import check_bucket
from platevault.retention.lifecycle_rules import rules_of_the_classes

log = structlog.get_logger(__name__)

# The rule says one day; servers count in whole days and look once a day.
CANARY_GONE_WITHIN: Final = timedelta(days=3)


async def verify_bucket(context: JobContext, watched: WatchedBucket) -> JobRun:
    """Read the bucket's rules and access back and keep how they differ from what is wanted: `problems` and `warnings` are
    counted and named. Changes nothing but the canary, an object that only the bucket's own lifecycle deletes.
    """

    async def work(notes: Notes) -> None:
        notes.counts.update({"problems": 0, "warnings": 0})
        report = await check_bucket(
            admin=watched.admin,
            rules_wanted=await rules_of_the_classes(context.database, bound=watched.bound),
            cors_origins=watched.cors_origins,
        )
        problems = [*report.problems, *await _canary_problems(context)]
        for problem in problems:
            notes.add("problems", problem)
            log.warning("bucket is not as it should be", problem=problem)
        for warning in report.warnings:
            notes.add("warnings", warning)

    return await record_job(GUARD_BUCKET, work, context=context, dry_run=False, alone=False)


async def _canary_problems(context: JobContext) -> list[str]:
    new = NewObject(data=b"The bucket's own lifecycle deletes this.", content_type="text/plain", metadata={})
    if await context.objects.create(CANARY, new):
        return []
    found = await context.objects.stat(CANARY)
    if found is None or await context.time() - found.modified_at < CANARY_GONE_WITHIN:
        return []
    return [
        (
            f"The server does not run its lifecycle rules: {CANARY} should have gone within a day, and is there since"
            f" {found.modified_at:%Y-%m-%d}. What the sweep misses stays for ever; see the server's own log."
        ),
    ]
