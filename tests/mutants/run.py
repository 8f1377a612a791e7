"""`make mutants`: the guards are removed one by one, each in a copy of the project, and the suite goes red each time."""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.guard import Guard, GuardNotFound, MutantBroken
from tests.mutants.guards import GUARDS
from tests.mutants.session import ROOT, Ended, copy_of, run_tests

RED: Final = "red"
GREEN: Final = "GREEN"
NOT_FOUND: Final = "NOT FOUND"
BROKEN: Final = "BROKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the suite said to one mutant; only `red` is good."""

    guard: Guard
    outcome: str
    seconds: float
    remark: str

    def __str__(self) -> str:
        return f"{self.guard.name:<34}  {self.outcome:<9}  {self.seconds:6.1f} s  {self.remark}"


async def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 only when every mutant was caught."""
    options = _options(arguments)
    chosen = _chosen(options)
    if options.list:
        for guard in chosen:
            _say(f"{guard.name:<34}  {guard.protects}")
        return 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        Path(folder).chmod(0o755)  # an unprivileged PostgreSQL has to get through
        begun = time.monotonic()
        whole = copy_of(ROOT, Path(folder) / "whole")
        if not await _control(whole, chosen, jobs=options.jobs):
            return 1
        _say(f"with every guard in place all of their tests pass: {time.monotonic() - begun:.1f} s\n")
        verdicts = await _all(whole, chosen, jobs=options.jobs)
    bad = [verdict for verdict in verdicts if verdict.outcome != RED]
    _say(f"\n{len(verdicts) - len(bad)} of {len(verdicts)} mutants caught in {time.monotonic() - begun:.0f} s")
    for verdict in bad:
        _say(f"{verdict.outcome}: {verdict.guard.name}: {verdict.guard.protects}")
    return 1 if bad else 0


async def _control(whole: Path, chosen: Sequence[Guard], *, jobs: int) -> bool:
    """True when each test that must catch something runs and passes; a test that is skipped would catch nothing."""
    wanted = sorted({test for guard in chosen for test in guard.tests})
    copies = [copy_of(whole, whole.parent / f"control-{number}") for number in range(jobs)]
    piles = [pile for pile in _piles(wanted, jobs) if pile]
    sessions = [run_tests(copy, pile, first_failure_ends=False) for copy, pile in zip(copies, piles, strict=False)]
    good = True
    passed: set[str] = set()
    for ended in await asyncio.gather(*sessions):
        passed |= {name for test in ended.passed for name in (test, test.partition("[")[0])}
        for name in (*ended.failed, *ended.in_setup, *ended.skipped):
            good = False
            _say(f"without any mutant: {name} does not pass: {ended.why}")
        if ended.broken:
            good = False
            _say(f"without any mutant: {ended.broken}")
    for missing in sorted(set(wanted) - passed):
        good = False
        _say(f"without any mutant: {missing} did not pass or is not there: update the list")
    return good


async def _all(whole: Path, chosen: Sequence[Guard], *, jobs: int) -> list[Verdict]:
    slots = asyncio.Semaphore(jobs)
    running = [asyncio.create_task(_try(guard, whole, slots=slots)) for guard in chosen]
    verdicts = []
    for task in running:
        verdicts.append(await task)
        _say(str(verdicts[-1]))
    return verdicts


async def _try(guard: Guard, whole: Path, *, slots: asyncio.Semaphore) -> Verdict:
    async with slots:
        copy = whole.parent / guard.name
        try:
            copy_of(whole, copy)
            guard.remove(copy)
        except GuardNotFound as error:
            return Verdict(
                guard=guard, outcome=NOT_FOUND, seconds=0, remark=f"guard not found, update the list: {error}"
            )
        except MutantBroken as error:
            return Verdict(guard=guard, outcome=BROKEN, seconds=0, remark=str(error))
        ended = await run_tests(copy, guard.tests, first_failure_ends=True)
        return _judged(guard, ended)


def _judged(guard: Guard, ended: Ended) -> Verdict:
    if ended.broken is not None:
        return Verdict(guard=guard, outcome=BROKEN, seconds=ended.seconds, remark=_one_line(ended.broken))
    if not ended.failed:
        return Verdict(guard=guard, outcome=GREEN, seconds=ended.seconds, remark=f"{len(ended.passed)} tests passed")
    remark = f"{ended.failed[0]}: {_one_line(ended.why)}"
    return Verdict(guard=guard, outcome=RED, seconds=ended.seconds, remark=remark)


def _piles(tests: Iterable[str], count: int) -> list[list[str]]:
    """The tests in so many piles of about one size; those of one file stay together."""
    by_file: dict[str, list[str]] = {}
    for test in tests:
        by_file.setdefault(test.partition("::")[0], []).append(test)
    piles: list[list[str]] = [[] for _ in range(count)]
    for group in sorted(by_file.values(), key=len, reverse=True):
        min(piles, key=len).extend(group)
    return piles


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="these guards alone")
    parser.add_argument("--short", action="store_true", help="a handful, for every push")
    parser.add_argument("--list", action="store_true", help="name the guards and what each protects")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument(
        "--jobs", type=int, default=min(4, cores), help="mutants at once (the number of cores, at most 4)"
    )
    options = parser.parse_args(arguments)
    unknown = set(options.only) - {guard.name for guard in GUARDS}
    if unknown:
        parser.error(f"no guard {', '.join(sorted(unknown))}: --list names them")
    return options


def _chosen(options: argparse.Namespace) -> list[Guard]:
    if options.only:
        return [guard for guard in GUARDS if guard.name in options.only]
    return [guard for guard in GUARDS if guard.short or not options.short]


def _one_line(text: str) -> str:
    return " ".join(text.split())[:120]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
