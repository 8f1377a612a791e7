"""Scenario: the disk of an embedded vault fills, by its own load and by another program, and gets its room back."""

import asyncio
import re
import subprocess
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import httpx2

from platevault.infra.disk.reserve import RESERVE_BYTES_MIN
from tests.outage.checker import count, leases_end, until_at_rest
from tests.outage.embedded_site import POSTGRES, EmbeddedSite, embedded_site, looking_at
from tests.outage.mounts import CannotMount, new_disk
from tests.outage.scenario import Asked, Shown, Wrong, skipped
from tests.outage.senders import Sent
from tests.support.deliveries import CONTENT_TYPE, Batch, a_detection_of, a_jpeg, a_name
from tests.support.processes import SENDING
from tests.support.servers import server_folder
from tests.support.small_disks import fill, free_on

MEBI: Final = 1024 * 1024
DISK_MEBIBYTES: Final = 2048
RESERVE: Final = RESERVE_BYTES_MIN
"""The default of a disk of this size: nothing is set."""
LEFT_FOR_LOAD: Final = 48 * MEBI
IMAGE_BYTES: Final = 512 * 1024
SENDERS: Final = 4
SHORT_SECONDS: Final = 6.0
LONG_SECONDS: Final = 60.0
LONG_ROUNDS: Final = 3
FULL_WITHIN_SECONDS: Final = 90.0
TAKES_AGAIN_WITHIN_SECONDS: Final = 10.0
AT_REST_WITHIN_SECONDS: Final = 120.0
# PostgreSQL's log, the filer's index and the spool's index files are written into the reserve by others than the spool.
LEAST_FREE: Final = RESERVE - 64 * MEBI
SAID_AT_START: Final = "the disk of the spool is full"


@dataclass(kw_only=True)
class Load:
    """What senders were told, and how little the disk had left."""

    sent: Sent = field(default_factory=Sent)
    refusals: Counter[str] = field(default_factory=Counter)
    free: list[int] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def refused(self) -> int:
        return self.refusals.total()


async def full_disk(asked: Asked) -> Shown:
    """Full by load, then by a ballast that takes half of the reserve, a start in the middle, and room again; once or several times."""
    with ExitStack() as stack:
        folder = stack.enter_context(server_folder())
        try:
            disk = stack.enter_context(new_disk(folder / "disk.img", folder / "small", mebibytes=DISK_MEBIBYTES)).folder
        except CannotMount as error:
            return skipped(f"this machine cannot mount: {error}")
        return await _on(disk, asked)


async def _on(disk: Path, asked: Asked) -> Shown:
    wrong, load = Wrong(), Load()
    again: list[float] = []
    reads = 0
    async with embedded_site(disk) as site:
        shown = await _one_stored(site, load)
        for _ in range(1 if asked.short else LONG_ROUNDS):
            async with looking_at(site, shown) as looks:
                await _fill_by_load(site, disk, load=load, wrong=wrong)
                await _fill_by_another(site, disk, load=load, wrong=wrong, asked=asked)
            reads += looks.number()
            wrong.add("reads refused", looks.refused())
            await _start_on_it(site, disk, shown=shown, load=load, wrong=wrong)
            again.append(await _room_again(site, disk, load=load, wrong=wrong))
        await _all_there(site, load, wrong=wrong)
    wrong.add("refusals that are no 503 with Retry-After", len(load.sent.odd))
    return wrong.shown(
        f"{len(again)} times full, disk of {DISK_MEBIBYTES} MiB with its default reserve of {RESERVE // MEBI}: at least"
        f" {min(load.free) // MEBI} MiB free under load, {len(load.sent.acknowledged):,} batches taken, {load.refused:,} refused,"
        f" {reads:,} reads meanwhile, batches again after {max(again):.1f} s"
    )


async def _one_stored(site: EmbeddedSite, load: Load) -> str:
    """A detection that readers look at."""
    batch = _a_large_batch()
    async with _client() as client:
        answer = await client.post(f"{site.url}/v1/detections?durability=stored", content=batch.body())
    assert answer.is_success, answer.text
    load.sent.took(batch, answer)
    return batch.ids[0]


async def _fill_by_load(site: EmbeddedSite, disk: Path, *, load: Load, wrong: Wrong) -> None:
    """A ballast leaves a little above the reserve, and batches take the rest, until all senders are refused."""
    fill(disk, leave=RESERVE + LEFT_FOR_LOAD)
    postgres = _pid_of(site)
    before = load.refused
    end = perf_counter() + FULL_WITHIN_SECONDS
    async with _client() as client:
        while load.refused < before + 10 * SENDERS and perf_counter() < end:
            await asyncio.gather(*(_send(client, site, load) for _ in range(SENDERS)))
            load.free.append(free_on(disk))
    wrong.add("never full", load.refused < before + 10 * SENDERS)
    wrong.add("bytes of the reserve taken", max(0, LEAST_FREE - min(load.free)))
    wrong.add("ends of PostgreSQL", _pid_of(site) != postgres)


async def _fill_by_another(site: EmbeddedSite, disk: Path, *, load: Load, wrong: Wrong, asked: Asked) -> None:
    """Another program takes half of the reserve; every batch is refused, and `/readyz` says why, with figures."""
    postgres = _pid_of(site)
    fill(disk, leave=RESERVE // 2)
    end = perf_counter() + (SHORT_SECONDS if asked.short else LONG_SECONDS)
    taken = len(load.sent.acknowledged)
    async with _client() as client:
        while perf_counter() < end:
            await asyncio.gather(*(_send(client, site, load) for _ in range(SENDERS)))
            await asyncio.sleep(0.1)
    wrong.add("batches taken on a full disk", len(load.sent.acknowledged) - taken)
    spool = (await site.ready()).get("checks", {}).get("spool", {})
    wrong.add("`/readyz` without reason or figures", not _says_why(spool))
    wrong.add("ends of PostgreSQL", _pid_of(site) != postgres)
    wrong.add("panics of PostgreSQL", site.postgres_said("PANIC"))


def _says_why(spool: dict[str, Any]) -> bool:
    return (
        spool.get("status") == "full"
        and "MiB are free" in spool.get("reason", "")
        and 0 < spool["disk_free_bytes"] < spool["disk_reserve_bytes"] == RESERVE
    )


async def _start_on_it(site: EmbeddedSite, disk: Path, *, shown: str, load: Load, wrong: Wrong) -> None:
    """On what is left it starts, says so once and can be read; on nothing it says one sentence and ends."""
    await asyncio.to_thread(site.serve.stop)
    fill(disk, leave=8 * MEBI)
    said = await asyncio.to_thread(_start_in_vain, site)
    wrong.add("starts without room that say anything else than one sentence", not _is_one_sentence(said))
    fill(disk, leave=RESERVE // 2)
    already = site.log.read_text(errors="replace").count(SAID_AT_START)
    site.serve.start()
    await site.until_it_answers()
    said_now = site.log.read_text(errors="replace").count(SAID_AT_START) - already
    wrong.add("starts on a full disk that do not say so once", said_now != 1)
    async with looking_at(site, shown) as looks, _client() as client:
        await asyncio.sleep(1)
        await asyncio.gather(*(_send(client, site, load) for _ in range(SENDERS)))
    wrong.add("reads refused after a start", looks.refused() + (looks.number() == 0))


def _start_in_vain(site: EmbeddedSite) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        site.serve.command, env=dict(site.serve.environment), capture_output=True, text=True, timeout=60, check=False
    )


def _is_one_sentence(done: subprocess.CompletedProcess[str]) -> bool:
    said = [line for line in done.stderr.splitlines() if not line.startswith("platevault: starting")]
    return done.returncode == 2 and len(said) == 1 and bool(re.search(r"is full: \d+ MiB are free", said[0]))


async def _room_again(site: EmbeddedSite, disk: Path, *, load: Load, wrong: Wrong) -> float:
    """Seconds until a batch is taken, once the ballast is gone; nothing else is done for it."""
    (disk / "ballast").unlink()
    began = perf_counter()
    taken = len(load.sent.acknowledged)
    async with _client() as client:
        while len(load.sent.acknowledged) == taken and perf_counter() < began + AT_REST_WITHIN_SECONDS:
            await _send(client, site, load)
            await asyncio.sleep(0.1)
    seconds = perf_counter() - began
    wrong.add("not taken again in time", seconds > TAKES_AGAIN_WITHIN_SECONDS)
    return seconds


async def _all_there(site: EmbeddedSite, load: Load, *, wrong: Wrong) -> None:
    database = site.database()
    try:
        await leases_end(database)
        wrong.add("not drained", not await until_at_rest(database, site.spool, seconds=AT_REST_WITHIN_SECONDS))
        found = await count(load.sent, database=database, s3=site.bucket(), spool=site.spool)
    finally:
        await database.close()
    for name, number in found.counts.items():
        wrong.add(name, 0 if name == "odd answers" else number)


async def _send(client: httpx2.AsyncClient, site: EmbeddedSite, load: Load) -> None:
    batch = _a_large_batch()
    try:
        answer = await client.post(f"{site.url}/v1/detections", content=batch.body())
    except httpx2.TransportError as error:
        load.sent.odd.append(repr(error))
        return
    if answer.is_success:
        load.sent.took(batch, answer)
        return
    with suppress(ValueError):
        load.reasons[answer.json().get("detail", "")] += 1
    load.refusals[str(answer.status_code)] += 1
    if answer.status_code != httpx2.codes.SERVICE_UNAVAILABLE or "Retry-After" not in answer.headers:
        load.sent.odd.append(f"{answer.status_code} {answer.text[:200]}")


def _a_large_batch() -> Batch:
    detection_id = a_name()
    images = {"full": a_jpeg().ljust(IMAGE_BYTES, b"\x11") + detection_id.encode()}
    batch = Batch(manifest={"batch_id": a_name("batch"), "collector_id": "gate-1", "detections": []})
    batch.manifest["detections"].append(a_detection_of(detection_id, images))
    batch.parts |= {f"{detection_id}_{kind}": data for kind, data in images.items()}
    return batch


def _client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(headers={**SENDING, "Content-Type": CONTENT_TYPE}, timeout=60)


def _pid_of(site: EmbeddedSite) -> int | None:
    found = site.child(POSTGRES)
    return None if found is None else found.pid
