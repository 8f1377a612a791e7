"""`make bench`: where Platevault stands between the usual way to write such a service and the physical limit.

python -m bench.run [--short] [--rounds N] [--seconds S] [--only NAME]... [--target NAME]... [--photographs FOLDER] [--json FILE]

All is started here, on loopback, in temporary folders. Candidates take turns, round by round (A B C, A B C), because a machine is
not equally fast all the time; what is said of two of them is the median of their ratios within a round. Processor time is of the
service's processes alone. `noise` is the share of the machine that others used meanwhile.
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

from bench.footprint import Footprint, Reading, footprint, reading
from bench.ingest import BARE, CANDIDATES, SPOOLED, TUTORIAL, Asked, Measured, Round, measure
from bench.site import SINK_MILLISECONDS, TARGETS, Ground, ground

INGEST: Final = "ingest"
FOOTPRINT: Final = "footprint"
READING: Final = "reading"
PARTS: Final = (INGEST, FOOTPRINT, READING)

MEBI: Final = 1024 * 1024
FAR: Final = f"sink {SINK_MILLISECONDS} ms"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure that was promised, and what was seen."""

    figure: str
    seen: float
    must: float
    aim: float
    unit: str = ""
    less_is_better: bool = False

    @property
    def verdict(self) -> str:
        for name, limit in (("aim reached", self.aim), ("reached", self.must)):
            if self.seen <= limit if self.less_is_better else self.seen >= limit:
                return name
        return "MISSED"


@dataclass(kw_only=True)
class Found:
    """All that was measured."""

    ingest: list[Measured]
    footprint: Footprint | None = None
    reading: Reading | None = None


async def main() -> int:
    """Exit code 0 when it ran; whether a figure was reached is in the table, for the machine has a say in it."""
    ours = asyncio.current_task()
    assert ours is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _end_once, ours)  # servers are ours to end
    given = _read()
    began = time.monotonic()
    with ground() as where:
        found = await _measure(given, where)
    rows = list(promised(found))
    _say(f"\n{chr(10).join(_lines(found))}")
    _say(f"\n{_table(rows)}\n\n{time.monotonic() - began:.0f} s, {_machine()}")
    if given.json is not None:
        told = {
            "machine": _machine(),
            **asdict(found),
            "promised": [asdict(row) | {"verdict": row.verdict} for row in rows],
        }
        await asyncio.to_thread(given.json.write_text, json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0


async def _measure(given: argparse.Namespace, where: Ground) -> Found:
    asked = Asked(rounds=given.rounds, seconds=given.seconds, photographs=given.photographs)
    if given.candidate:
        asked = replace(asked, candidates=tuple(name for name in CANDIDATES if name in given.candidate))
    found = Found(ingest=[])
    for target in given.target if INGEST in given.only else ():
        measured = await measure(target, asked, ground=where)
        if measured is None:
            _say(f"{target}: there is none on this machine")
        else:
            _say(f"{target}: {asked.rounds} rounds of {asked.seconds:g} s")
            found.ingest.append(measured)
    if FOOTPRINT in given.only:
        found.footprint = await footprint(starts=min(5, given.rounds), seconds=given.seconds, ground=where)
    if READING in given.only:
        found.reading = await reading(rounds=given.rounds, seconds=given.seconds, ground=where)
    return found


def promised(found: Found) -> Iterator[Row]:
    """The rows that this run can tell of."""
    for measured in found.ingest:
        of, target = measured.rounds, measured.target
        if not target.startswith("sink") and (ratio := _ratio(of, SPOOLED, BARE)):
            yield Row(figure=f"{target}: images/s over the bare client", seen=ratio, must=0.75, aim=0.90)
        if not target.startswith("sink") and (ratio := _ratio(of, SPOOLED, TUTORIAL)):
            yield Row(figure=f"{target}: images/s over the tutorial", seen=ratio, must=2.0, aim=2.3, unit="x")
        if target == FAR and (ratio := _ratio(of, SPOOLED, TUTORIAL)):
            yield Row(figure=f"{target}: images/s over the tutorial", seen=ratio, must=8.0, aim=12.0, unit="x")
        if SPOOLED in of:
            cpu = median(one.cpu_milliseconds for one in of[SPOOLED])
            figure = f"{target}: processor time of the service an image"
            yield Row(figure=figure, seen=cpu, must=0.40, aim=0.20, unit=" ms", less_is_better=True)
    if found.reading is not None:
        # The first is judged: what one process does. In the second, PostgreSQL, the readers and whoever else is here had a share.
        urls = median(found.reading.urls_a_cpu_second)
        figure = "presigned URLs in lists, a second of the processor"
        yield Row(figure=figure, seen=urls, must=100_000, aim=200_000)
        urls = median(found.reading.urls_a_second)
        yield Row(figure="the same, a second of the clock on this machine", seen=urls, must=100_000, aim=200_000)
    if found.footprint is not None:
        peak = found.footprint.crowd_bytes / MEBI
        figure = "memory at most, 64 batches at once"
        yield Row(figure=figure, seen=peak, must=300, aim=150, unit=" MiB", less_is_better=True)


def _ratio(of: dict[str, list[Round]], name: str, other: str) -> float | None:
    """Of images a second, the median of the rounds' ratios."""
    if name not in of or other not in of:
        return None
    rounds = zip(of[name], of[other], strict=True)
    return median(one.images_a_second / another.images_a_second for one, another in rounds)


def _lines(found: Found) -> Iterator[str]:
    for measured in found.ingest:
        yield f"\n{measured.target}"
        yield f"{'':<32}{'images/s':>9}{'(least-most)':>14}{'/bare':>7}{'/tutorial':>10}{'CPU ms':>8}{'p50 ms':>8}{'p99 ms':>8}{'MiB':>6}{'noise':>7}{'failed':>7}"
        for name, rounds in measured.rounds.items():
            yield _line(name, rounds, measured)
        for name, rounds in measured.rounds.items():
            yield from _complaints(name, rounds)
    if (memory := found.footprint) is not None:
        yield (
            f"\nstart to ready {median(memory.start):.2f} s ({min(memory.start):.2f}-{max(memory.start):.2f}); memory at rest "
            f"{memory.idle_bytes / MEBI:.0f} MiB, at most at {memory.batches_a_second:.0f} batches/s {memory.load_bytes / MEBI:.0f}, "
            f"at twice that {memory.twice_bytes / MEBI:.0f}, with 64 batches at once {memory.crowd_bytes / MEBI:.0f} ({memory.crowd_statuses})"
        )
    if (pages := found.reading) is not None:
        yield (
            f"\nlist of 100 detections: {median(pages.urls_a_second):.0f} URLs/s ({min(pages.urls_a_second):.0f}-"
            f"{max(pages.urls_a_second):.0f}), {median(pages.urls_a_cpu_second):.0f} for a second of the service's processor, p50 "
            f"{median(pages.p50):.0f} p99 {median(pages.p99):.0f} ms, noise {median(pages.foreign):.0%}"
        )


def _complaints(name: str, rounds: list[Round]) -> Iterator[str]:
    """The first of each round in which the service complained."""
    for number, one in enumerate(rounds, 1):
        if one.complaints:
            yield f"{name}, round {number} ({one.images_a_second:.0f} images/s): {len(one.complaints)} warnings, first {one.complaints[0][:300]}"


def _line(name: str, rounds: list[Round], measured: Measured) -> str:
    def middle(of: Callable[[Round], float]) -> float:
        return median(of(one) for one in rounds)

    speeds = [one.images_a_second for one in rounds]
    over_bare, over_tutorial = (_ratio(measured.rounds, name, other) or 0.0 for other in (BARE, TUTORIAL))
    return (
        f"{name:<32}{median(speeds):>9.0f}{f'({min(speeds):.0f}-{max(speeds):.0f})':>14}{over_bare:>7.2f}{over_tutorial:>10.2f}"
        f"{middle(lambda one: one.cpu_milliseconds):>8.3f}{middle(lambda one: one.p50):>8.0f}{middle(lambda one: one.p99):>8.0f}"
        f"{max(one.peak_bytes for one in rounds) / MEBI:>6.0f}{middle(lambda one: one.foreign):>7.0%}{sum(one.failures for one in rounds):>7}"
    )


def _table(rows: list[Row]) -> str:
    lines = [f"{'figure':<52}{'seen':>12}{'must':>10}{'aim':>10}"]
    for row in rows:
        shown = [f"{value:.2f}" if value < 100 else f"{value:.0f}" for value in (row.seen, row.must, row.aim)]
        lines.append(f"{row.figure:<52}{shown[0] + row.unit:>12}{shown[1]:>10}{shown[2]:>10}  {row.verdict}")
    return "\n".join(lines)


def _machine() -> str:
    return f"{os.cpu_count()} processors, Python {platform.python_version()}, {platform.system()} {platform.release()}"


def _read() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--short", action="store_true", help="shows that it runs, in about a minute; its figures mean nothing"
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each candidate in each round")
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--target", action="append", choices=TARGETS, help="S3 servers; all by default")
    parser.add_argument("--candidate", action="append", choices=CANDIDATES, help="all by default")
    parser.add_argument("--photographs", type=Path, help="a folder of *.jpg to send instead of drawn pictures")
    parser.add_argument("--json", type=Path, help="where all figures go")
    given = parser.parse_args()
    given.rounds = given.rounds or (1 if given.short else 7)
    given.seconds = given.seconds or (0.5 if given.short else 4.0)
    given.only = given.only or PARTS
    given.target = given.target or (("seaweedfs", FAR) if given.short else TARGETS)
    return given


def _end_once(task: asyncio.Task[int]) -> None:
    """A second signal must not interrupt the tidying up."""
    if not task.cancelling():
        task.cancel()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except asyncio.CancelledError:
        sys.exit("ended by a signal")
