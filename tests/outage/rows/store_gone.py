"""Scenarios: the object store is gone for an hour, and the disk of the spool is small."""

import asyncio
from contextlib import ExitStack
from datetime import timedelta
from typing import Final

import httpx2
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.outage.checker import count, files_of, leases_end, until_at_rest
from tests.outage.mounts import CannotMount, tmpfs
from tests.outage.scenario import Asked, Shown, Wrong, skipped
from tests.outage.senders import Sent
from tests.outage.site import Site, a_site
from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.processes import SENDING
from tests.support.servers import server_folder

MEBI: Final = 1024 * 1024
AWAY: Final = timedelta(hours=1)
REFUSED_AFTER_FULL: Final = 30
METRICS_TOKEN: Final = "metrics-token-of-the-tests"
METRIC: Final = "platevault_oldest_pending_age_seconds"
DISK: Final = "2m"


async def store_gone(asked: Asked) -> Shown:
    """Everything is taken up to the cap of the spool; an hour later the store is back, and all of it is there."""
    cap = (2 if asked.short else 16) * MEBI
    limits = {"SPOOL_MAX_BYTES": str(cap), "MAX_BATCH_BYTES": str(MEBI), "MAX_IMAGE_BYTES": str(MEBI)}
    async with a_site(METRICS_TOKEN=METRICS_TOKEN, **limits) as site:  # type: ignore[arg-type]
        sent, wrong = Sent(), Wrong()
        site.s3.set("refuse")
        await _send_until_full(site, sent=sent, wrong=wrong)
        full = sum(path.stat().st_size for path in files_of(site.spool))
        wrong.add("bytes above the cap", max(0, full - cap))
        await _an_hour_passes(site)
        oldest = await _oldest_pending_seconds(site)
        wrong.add("oldest-pending below an hour", oldest < AWAY.total_seconds())
        site.s3.set(None)
        await _drained(site, sent=sent, wrong=wrong)
        wrong.add("not taken again afterwards", not await _takes_again(site, sent=sent))
    return wrong.shown(
        f"{len(sent.acknowledged):,} batches taken, {full / MEBI:.1f} of {cap // MEBI} MiB held, then"
        f" {REFUSED_AFTER_FULL} x 503 with Retry-After; oldest pending {oldest:,.0f} s"
    )


async def small_disk(asked: Asked) -> Shown:
    """A spool on a file system of 2 MB: refusals are 503 with Retry-After, and it recovers by itself."""
    with ExitStack() as stack:
        folder = stack.enter_context(server_folder())
        try:
            disk = stack.enter_context(tmpfs(folder / "small", size=DISK))
        except CannotMount as error:
            return skipped(f"this machine cannot mount: {error}")
        # A reserve is larger than this disk: without one the disk is used to its last byte.
        limits = {"DISK_RESERVE_BYTES": "0", "MAX_BATCH_BYTES": str(MEBI), "MAX_IMAGE_BYTES": str(MEBI)}
        async with a_site(SPOOL_DIR=str(disk / "spool"), **limits) as site:  # type: ignore[arg-type]
            sent, wrong = Sent(), Wrong()
            rounds = 1 if asked.short else 5
            for _ in range(rounds):
                site.s3.set("refuse")
                await _send_until_full(site, sent=sent, wrong=wrong)
                site.s3.set(None)
                await _drained(site, sent=sent, wrong=wrong)
                wrong.add("not taken again afterwards", not await _takes_again(site, sent=sent))
    return wrong.shown(
        f"{rounds} times full on a disk of 2 MB: {len(sent.acknowledged):,} batches taken, {rounds * REFUSED_AFTER_FULL}"
        " x 503 with Retry-After, each time recovered by itself"
    )


async def _send_until_full(site: Site, *, sent: Sent, wrong: Wrong) -> None:
    """Until it was refused so often; each refusal is a 503 that says when to come again."""
    wrong.add("refusals that are no 503 with Retry-After", 0)
    refused = 0
    async with httpx2.AsyncClient(headers={**SENDING, "Content-Type": CONTENT_TYPE}, timeout=60) as client:
        while refused < REFUSED_AFTER_FULL:
            batch = a_batch(20)
            answer = await client.post(f"{site.url}/v1/detections", content=batch.body())
            if answer.is_success:
                sent.took(batch, answer)
                continue
            refused += 1
            if answer.status_code != httpx2.codes.SERVICE_UNAVAILABLE or "Retry-After" not in answer.headers:
                wrong.add("refusals that are no 503 with Retry-After")


async def _an_hour_passes(site: Site) -> None:
    """For the rows: what was received, leased and due moves an hour back."""
    statements = [
        f"UPDATE {table} SET received_at = received_at - CAST(:away AS interval)" for table in ("detections", "batches")
    ]
    statements.append("UPDATE images SET lease_until = lease_until - CAST(:away AS interval) WHERE state = 'pending'")

    async def run(connection: AsyncConnection) -> None:
        for table in ("detections", "batches"):  # their times are write-once, and triggers see to it
            await connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        for statement in statements:
            await connection.execute(text(statement), {"away": AWAY})
        for table in ("detections", "batches"):
            await connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))

    await site.direct.transaction(run)


async def _oldest_pending_seconds(site: Site) -> float:
    """As the metric says."""
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {METRICS_TOKEN}"}, timeout=10) as client:
        found = await client.get(f"{site.url}/metrics")
    values = [line.split()[-1] for line in found.text.splitlines() if line.startswith(METRIC)]
    return float(values[0]) if values else -1.0


async def _drained(site: Site, *, sent: Sent, wrong: Wrong) -> None:
    """All that was acknowledged is in the bucket, with its bytes, and nothing is left on the disk."""
    await leases_end(site.direct)
    wrong.add("not drained", not await until_at_rest(site.direct, site.spool, seconds=120))
    for name, number in (await count(sent, database=site.direct, s3=site.bucket, spool=site.spool)).counts.items():
        wrong.add(name, number)


async def _takes_again(site: Site, *, sent: Sent) -> bool:
    batch = a_batch(2)
    async with httpx2.AsyncClient(headers={**SENDING, "Content-Type": CONTENT_TYPE}, timeout=60) as client:
        for _ in range(30):
            answer = await client.post(f"{site.url}/v1/detections", content=batch.body())
            if answer.is_success:
                sent.took(batch, answer)
                return True
            await asyncio.sleep(1)
    return False
