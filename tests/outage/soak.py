"""`make soak`: a steady load far below the peak for an hour, with somebody reading beside it, and nothing that grows.

python -m tests.outage.soak [--short] [--minutes 60] [--seed N]
"""

import argparse
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil
from sqlalchemy import text

from platevault.infra.concurrency import thread_pool as hands
from tests.outage.checker import files_of, leases_end, until_at_rest
from tests.outage.direct_site import DirectSite, direct_site
from tests.outage.growth import Growth, Limit, Sample, growth_table, growths
from tests.outage.load import Load, run_load
from tests.outage.reader import METRICS_TOKEN, Reader, reading
from tests.outage.scenario import Asked, Scenario, Shown, Wrong, run_one, run_to_end, say, table
from tests.outage.watching import connections_to, resident_bytes, watching

SHORT_SECONDS: Final = 30.0
MINUTES_AT_MOST: Final = 170.0
LOOK_SECONDS: Final = 4
LOOK_SENDERS: Final = 8
RATE_OF_PEAK: Final = 0.3
# Batches a second: faster machines would only fill more of their disk.
RATE_AT_MOST: Final = 25.0
AGAIN_EACH: Final = 20
DETECTIONS: Final = 3
FULL_BYTES: Final = 16 * 1024
CROP_BYTES: Final = 4 * 1024
BATCH_BYTES: Final = DETECTIONS * (FULL_BYTES + CROP_BYTES)
# Of one batch: rows, indexes, log lines. Half of it was seen, write-ahead log included.
ROWS_BYTES: Final = 24 * 1024
# Whatever the length: what the servers set aside for themselves, and room.
SERVERS_BYTES: Final = 2 << 30

SAMPLE_SECONDS: Final = 3.0
SHORT_SAMPLE_SECONDS: Final = 1.0
TOLD_EACH_SECONDS: Final = 120.0
MEMORY_TIMES: Final = 1.1
SHORT_MEMORY_TIMES: Final = 1.5
# Connections of senders and readers come and go with what else the machine does; one lost in a thousand batches is more than that.
DESCRIPTORS_MORE: Final = 16
# Threads for files and pooled connections are opened when they are needed first, whenever that is, and not beyond these.
THREADS_MORE: Final = hands.THREADS + hands.READERS
CONNECTIONS_MORE: Final = 10
# The last part of the short form is seven seconds: one burst is its median.
SHORT_MORE_TIMES: Final = 3
# What may wait for the object store more than at the beginning, as seconds of the load; in the end nothing waits.
BEHIND_SECONDS: Final = 10.0
# The lease of an image whose upload failed is a minute.
DRAINED_WITHIN_SECONDS: Final = 90.0

_PENDING: Final = "SELECT count(*) FROM images WHERE state = 'pending'"
_MEBI: Final = float(1 << 20)


def limits(*, rate: float, short: bool) -> dict[str, Limit]:
    """For each value that is sampled, under its name in the table."""
    waiting = BEHIND_SECONDS * rate
    memory, so_much = (SHORT_MEMORY_TIMES, SHORT_MORE_TIMES) if short else (MEMORY_TIMES, 1)
    found = {}
    for process in ("api", "worker"):
        found[f"{process}: memory, MiB"] = Limit(times=memory, unit=_MEBI)
        found[f"{process}: descriptors"] = Limit(more=so_much * DESCRIPTORS_MORE)
        found[f"{process}: threads"] = Limit(more=so_much * THREADS_MORE)
        found[f"{process}: PostgreSQL connections"] = Limit(more=CONNECTIONS_MORE)
    for folder in ("tmp", "ready"):
        found[f"spool: files in {folder}/"] = Limit(more=waiting)
    found["spool: MiB"] = Limit(more=waiting * BATCH_BYTES, unit=_MEBI)
    found["images waiting"] = Limit(more=waiting * DETECTIONS * 2)
    return found


class Looks:
    """What both processes and the spool hold, look by look."""

    def __init__(self, site: DirectSite, *, tell: Callable[[str], None]) -> None:
        self.samples: list[Sample] = []
        self._site = site
        self._tell = tell
        self._told = 0.0
        self._began = time.monotonic()
        port = urlsplit(site.postgres_url).port
        assert port is not None
        self._postgres_port = port

    async def look(self) -> None:
        site = self._site
        values: dict[str, float] = {}
        for name, pid in (("api", site.api.pid), ("worker", site.worker.pid)):
            process = psutil.Process(pid)
            values[f"{name}: memory, MiB"] = resident_bytes(pid)
            values[f"{name}: descriptors"] = process.num_fds()
            values[f"{name}: threads"] = process.num_threads()
            values[f"{name}: PostgreSQL connections"] = connections_to(pid, self._postgres_port)
        for folder in ("tmp", "ready"):
            values[f"spool: files in {folder}/"] = sum(1 for _ in (site.spool / folder).iterdir())
        values["spool: MiB"] = site.spool_bytes()
        values["images waiting"] = await _count(site, _PENDING)
        sample = Sample(seconds=time.monotonic() - self._began, values=values)
        self.samples.append(sample)
        if sample.seconds >= self._told + TOLD_EACH_SECONDS:
            self._told = sample.seconds
            memory = [f"{name} {values[f'{name}: memory, MiB'] / _MEBI:.0f} MiB" for name in ("api", "worker")]
            self._tell(f"after {sample.seconds / 60:.0f} minutes: {', '.join(memory)}")


async def soak(asked: Asked) -> Shown:
    """A short look at the peak, a share of it for as long as asked, then rest; what is left and what grew is counted."""
    seconds = SHORT_SECONDS if asked.short else 60 * asked.minutes
    if lacks := _lacks_disk(seconds):
        return Shown(lacks, holds=False)
    async with direct_site(METRICS_TOKEN=METRICS_TOKEN) as site:
        first = await _load(site, "--seconds", "2", "--senders", str(LOOK_SENDERS))
        look = await _load(site, "--seconds", str(LOOK_SECONDS), "--senders", str(LOOK_SENDERS))
        await leases_end(site.database)  # what the peak left for later is not waited for
        await until_at_rest(site.database, site.spool, seconds=DRAINED_WITHIN_SECONDS)
        peak = look.steady(LOOK_SECONDS)
        if not peak:
            return Shown("nothing was acknowledged before the load began", holds=False)
        rate = min(RATE_OF_PEAK * peak, RATE_AT_MOST)
        asked.say(f"peak {peak:.0f} batches a second; {rate:.1f} of them for {seconds:.0f} s")
        looks = Looks(site, tell=asked.say)
        async with (
            reading(site.url, chance=asked.random("reader")) as reader,
            watching(looks.look, every_seconds=SHORT_SAMPLE_SECONDS if asked.short else SAMPLE_SECONDS),
        ):
            load = await _load(site, "--seconds", str(seconds), "--rate", str(rate), "--again-each", str(AGAIN_EACH))
        began = time.monotonic()
        drained = await until_at_rest(site.database, site.spool, seconds=DRAINED_WITHIN_SECONDS)
        jobs = await _count(site, "SELECT count(*) FROM job_runs")
        asked.say(
            f"{'drained' if drained else 'NOT drained'} in {time.monotonic() - began:.1f} s; {jobs} jobs ran by the clock"
        )
        wrong = await _take_stock(site, batches=first.batches + look.batches + load.batches)
    found = growths(looks.samples, limits(rate=rate, short=asked.short))
    say(growth_table(found))
    count_what_failed(wrong, load, reads=reader.failed, found=found)
    return wrong.shown(_figures(load, reader, found, peak=peak, rate=rate))


async def _load(site: DirectSite, *arguments: str) -> Load:
    sizes = ("--detections", DETECTIONS, "--full-bytes", FULL_BYTES, "--crop-bytes", CROP_BYTES)
    return await run_load(site.address, *map(str, sizes), *arguments)


def _lacks_disk(seconds: float) -> str:
    """Why not to begin; empty when there is room for all that this run will keep."""
    folder = tempfile.gettempdir()
    needed, free = disk_bytes(seconds), shutil.disk_usage(folder).free
    say(f"    needs {needed / 2**30:.1f} GiB of {folder} at most; {free / 2**30:.1f} GiB are free")
    return "" if free >= needed else f"not begun: no {needed / 2**30:.1f} GiB are free in {folder}"


def disk_bytes(seconds: float) -> float:
    """The most that a run of that length leaves on the disk until it ends."""
    return SERVERS_BYTES + seconds * RATE_AT_MOST * (BATCH_BYTES + ROWS_BYTES)


async def _take_stock(site: DirectSite, *, batches: int) -> Wrong:
    """Once everything is at rest; each number must be zero."""
    wrong = Wrong()
    wrong.add("images not stored", await _count(site, "SELECT count(*) FROM images WHERE state != 'stored'"))
    wrong.add("batches off", abs(await _count(site, "SELECT count(*) FROM batches") - batches))
    wrong.add("detections off", abs(await _count(site, "SELECT count(*) FROM detections") - batches * DETECTIONS))
    wrong.add("spool files", len(files_of(site.spool)))
    wrong.add("bytes held for nothing", site.spool_bytes())
    logs = [Path(kept.log.name).read_text(encoding="utf-8") for kept in (site.api, site.worker)]
    wrong.add("errors logged", sum(log.count('"level": "error"') for log in logs))
    return wrong


def count_what_failed(wrong: Wrong, load: Load, *, reads: Mapping[str, int], found: Sequence[Growth]) -> None:
    """Batches, reads (the failed ones, by kind) and values; each number must be zero."""
    wrong.add("5xx", sum(number for status, number in load.statuses.items() if status.startswith("5")))
    wrong.add("refused", sum(number for status, number in load.statuses.items() if status[0] not in "25"))
    wrong.add("cut", load.cut)
    wrong.add("not offered", load.unsent)
    wrong.add("reads failed", 0)
    for name, number in reads.items():
        wrong.add(f"reads failed ({name})", number)
    wrong.add("values grew", 0)
    for growth in found:
        if not growth.holds:
            wrong.add(f"growth of {growth.name}")


def _figures(load: Load, reader: Reader, found: list[Growth], *, peak: float, rate: float) -> str:
    memory = {growth.name.partition(":")[0]: growth for growth in found if growth.limit.times > 1}
    levels = ", ".join(
        f"memory of the {name} x{growth.last / growth.first:.2f} ({growth.last / _MEBI:.0f} MiB)"
        for name, growth in memory.items()
    )
    first, last = (
        "p50 {:.0f} p99 {:.0f} ms".format(*(1000 * quarter.get(name, 0) for name in ("p50", "p99")))
        for quarter in (load.accepted_quarters[0], load.accepted_quarters[-1])
    )
    return (
        f"{load.seconds / 60:.1f} minutes at {rate:.1f} batches/s (peak {peak:.0f}): {load.batches * DETECTIONS:,} detections, "
        f"{int(load.accepted.get('n', 0)) - load.batches:,} batches twice, {reader.answered.total():,} reads; {levels}; "
        f"acknowledged with {first} in the first quarter, {last} in the last"
    )


async def _count(site: DirectSite, query: str) -> int:
    async with site.database.reading() as connection:
        return int((await connection.execute(text(query))).scalar_one())


async def main() -> int:
    """Exit code 0 when all of it holds."""
    asked = _read()
    say(f"seed {asked.seed}{', short form' if asked.short else ''}")
    must_show = f"nothing grows, nothing is refused or lost; memory at most x{MEMORY_TIMES}"
    row = await run_one(Scenario("soak", soak, must_show), asked)
    say(f"\n{table([row])}")
    return 0 if row.shown.holds else 1


def _read() -> Asked:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="less than a minute, to see that it runs; memory may grow more"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help=f"of the load, {MINUTES_AT_MOST:.0f} at most")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    given = parser.parse_args()
    if not 0 < given.minutes <= MINUTES_AT_MOST:
        parser.error(f"--minutes: more than 0, at most {MINUTES_AT_MOST:.0f}")
    return Asked(seed=given.seed, short=given.short, minutes=given.minutes)


if __name__ == "__main__":
    run_to_end(main)
