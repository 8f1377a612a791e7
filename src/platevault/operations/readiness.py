"""Can this process acknowledge a batch now, and what else is not as it should be?"""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from platevault.delivery.sql.nodes import seconds_since_a_worker_was_seen
from platevault.delivery.uploader import Uploader
from platevault.domain.errors import StoreMisconfigured, Unavailable, VaultError
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.migrations import schema_state
from platevault.jobs.report import GUARD_BUCKET, GUARD_HOLDS
from platevault.jobs.restore_marker import marker
from platevault.jobs.service_clock import SKEW_MOST, ServiceClock, sentence
from platevault.jobs.sql.runs import latest_run_and_its_age
from platevault.jobs.vault_clock import read_clocks
from platevault.operations.image_url_test import ImageUrlTest

WORKER_SILENT_SECONDS: Final = 300.0
# Service and worker start together, and the worker needs this long at most.
WORKER_EXPECTED_SECONDS: Final = 60.0
STORE_CHECK_SECONDS: Final = 4.0
GUARD_SILENT_SECONDS: Final = 3 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """`can_acknowledge` decides the status; `checks` says it in words: `ok`, or what is wrong."""

    can_acknowledge: bool
    checks: Mapping[str, Any]

    @property
    def status(self) -> str:
        if not self.can_acknowledge:
            return "unavailable"
        return "ok" if all(check["status"] == "ok" for check in self.checks.values()) else "degraded"


async def readiness(
    *,
    database: Database,
    uploader: Uploader,
    reserve_bytes: int,
    servers_down: Callable[[], Mapping[str, Any]] = dict,
    clock: ServiceClock | None = None,
    uptime: Callable[[], float] = lambda: math.inf,
    image_urls: ImageUrlTest | None = None,
) -> Readiness:
    """Check database, spool, store and worker. Store and worker may fail without a batch being refused.

    `clock` is that of this process: if it is wrong, no batch can be acknowledged. A clock of database or store in doubt only stops erasing.

    `uptime` is the age of this process in seconds: a missing worker is reported after the first minute. `image_urls` has the
    result of the last test of an image URL.

    `servers_down` names the embedded servers that are down: name → `since`, `why`.
    """
    base, store, marked, clocks = await asyncio.gather(
        _database(database), _store(uploader), _restore_marker(database, uploader), _clock(database, uploader, clock)
    )
    spool = _spool(uploader, reserve_bytes)
    checks = {"database": base, "spool": spool, "object_store": store}
    if down := servers_down():
        reason = "; ".join(f"{name}: {one['why']} (since {one['since']})" for name, one in sorted(down.items()))
        checks["embedded"] = {"status": "restarting", "reason": reason}
    if image_urls is not None and image_urls.reason is not None:
        checks["image_urls"] = {"status": "unreachable", "reason": image_urls.reason}
    if (why := database.gate.reason) is not None:
        checks["erasures"] = {"status": "pending", "reason": why}
    if base["status"] == "ok":
        checks["restore_marker"] = marked
        checks["worker"] = await _worker(database, uptime())
        checks |= await _bucket(database)
        checks |= await _holds(database)
        checks["clock"] = clocks
    can = all(check["status"] == "ok" for check in (base, spool)) and checks.get("clock", {}).get("status") != "wrong"
    return Readiness(can_acknowledge=can, checks=checks)


async def _clock(database: Database, uploader: Uploader, clock: ServiceClock | None) -> dict[str, Any]:
    """`wrong`: of this process. `in doubt`: of the database or the store. `unknown`: the store does not answer, which its check says."""
    try:
        async with asyncio.timeout(STORE_CHECK_SECONDS):
            skew = None if clock is None else await clock.skew()
            if skew is not None and abs(skew) > SKEW_MOST:
                return {"status": "wrong", "reason": sentence(skew)}
            found = await read_clocks(database, uploader.objects)
    except (VaultError, TimeoutError) as error:
        return {"status": "unknown", "reason": str(error) or "no answer in time"}
    if found.reason is None:
        return {"status": "ok"}
    told = {"database_time": found.database, "newest_time_seen": found.seen_at, "store_time": found.store}
    times = {name: None if moment is None else moment.isoformat() for name, moment in told.items()}
    return {"status": "in doubt", "reason": found.reason, **times}


async def _database(database: Database) -> dict[str, Any]:
    try:
        state = await schema_state(database)
    except Unavailable as error:
        return {"status": "unavailable", "reason": str(error)}
    if state.is_older:
        return {"status": "unavailable", "reason": f"schema {state.current or 'none'}: run `platevault migrate`"}
    return {"status": "ok", "schema": state.current}


def _spool(uploader: Uploader, reserve_bytes: int) -> dict[str, Any]:
    try:
        used, disk = uploader.spool.used(), uploader.spool.disk()
    except OSError as error:
        return {"status": "unavailable", "reason": f"the spool cannot be used: {error.strerror}"}
    numbers = {
        "used_bytes": used,
        "max_bytes": uploader.spool.max_bytes,
        "disk_free_bytes": disk.free,
        "disk_reserve_bytes": disk.reserve,
    }
    if used + reserve_bytes > uploader.spool.max_bytes:
        return {"status": "full", "reason": "the spool has no room for one more batch", **numbers}
    if disk.usable < reserve_bytes:
        return {"status": "full", "reason": f"the disk of the spool is full: {disk}", **numbers}
    return {"status": "ok", **numbers}


async def _store(uploader: Uploader) -> dict[str, Any]:
    try:
        async with asyncio.timeout(STORE_CHECK_SECONDS):
            await uploader.objects.check()
    except StoreMisconfigured as error:
        return {"status": "misconfigured", "reason": str(error)}
    except (VaultError, TimeoutError) as error:
        return {"status": "unavailable", "reason": str(error) or "no answer in time"}
    return {"status": "ok"}


async def _restore_marker(database: Database, uploader: Uploader) -> dict[str, Any]:
    try:
        async with asyncio.timeout(STORE_CHECK_SECONDS):
            found = await marker(database=database, objects=uploader.objects)
    except (VaultError, TimeoutError) as error:
        return {"status": "unknown", "reason": str(error) or "no answer in time"}
    numbers = {"database": found.database, "bucket": found.bucket}
    return (
        {"status": "ok", **numbers} if found.reason is None else {"status": "lags", "reason": found.reason, **numbers}
    )


async def _worker(database: Database, uptime: float) -> dict[str, Any]:
    try:
        age = await seconds_since_a_worker_was_seen(database)
    except Unavailable as error:
        return {"status": "unknown", "reason": str(error)}
    if age is None or age > WORKER_SILENT_SECONDS:
        if uptime < WORKER_EXPECTED_SECONDS:
            return {"status": "ok"}
        return {"status": "silent", "reason": "no worker was seen for 5 minutes: start `platevault worker`"}
    return {"status": "ok", "seen_seconds_ago": round(age)}


async def _bucket(database: Database) -> dict[str, Any]:
    """What the hourly guard found last; nothing before its first run, and where there is no bucket."""
    try:
        found = await latest_run_and_its_age(database, GUARD_BUCKET)
    except Unavailable as error:
        return {"bucket": {"status": "unknown", "reason": str(error)}}
    if found is None:
        return {}
    run, age = found
    looked = {"looked_seconds_ago": round(age)}
    if run.outcome != "done":
        return {"bucket": {"status": "unknown", "reason": str(run.findings.get("reason", run.outcome)), **looked}}
    if age > GUARD_SILENT_SECONDS:
        return {"bucket": {"status": "unknown", "reason": "nobody has looked at it for 3 hours", **looked}}
    if problems := run.findings.get("examples", {}).get("problems"):
        return {"bucket": {"status": "differs", "reason": " ".join(problems), **looked}}
    return {"bucket": {"status": "ok", **looked}}


async def _holds(database: Database) -> dict[str, Any]:
    """What the hourly guard found last; nothing before its first run."""
    try:
        found = await latest_run_and_its_age(database, GUARD_HOLDS)
    except Unavailable as error:
        return {"holds": {"status": "unknown", "reason": str(error)}}
    if found is None:
        return {}
    run, age = found
    looked = {"looked_seconds_ago": round(age)}
    if broken := run.counts.get("without_copy"):
        reason = (
            f"{broken} images under legal hold have no good copy: see GET /v1/holds/{{hold_id}}/images?state=copying"
        )
        return {"holds": {"status": "broken", "reason": reason, **looked}}
    if run.outcome != "done" or age > GUARD_SILENT_SECONDS:
        why = run.findings.get("reason", "nobody has looked at them for 3 hours")
        return {"holds": {"status": "unknown", "reason": str(why), **looked}}
    return {"holds": {"status": "ok", **looked}}
