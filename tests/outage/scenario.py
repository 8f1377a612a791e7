"""What a scenario of `make outage` is, and how one is added.

To add one: write a module in `tests/outage/` with one public function

    async def my_scenario(asked: Asked) -> Shown: ...

that starts what it needs (servers, processes, folders), stops all of it again by pid, and returns what it saw.
It may fail in two ways: by `Shown(figures, holds=False)`, where the figures say what was not as promised, or by an exception,
which the driver prints and counts as a failure. Where the machine can't do it: `skipped("why")`, which fails nothing.
Then add one line to `SCENARIOS` in `tests/outage/run.py`:

    Scenario("my scenario", my_scenario, "what it must show, in a few words"),

`asked.short` asks for a form of seconds on two cores, `asked.random()` gives the chance that the printed seed decides,
and `asked.say()` prints a line of progress. The name is what `--only` takes.
"""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

_NAMED_MOST: Final = 10


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line asked for; the seed decides every choice of chance."""

    seed: int
    short: bool = False
    detections: int | None = None
    faults: int | None = None
    minutes: float = 60.0
    """Of `make soak`."""

    def random(self, salt: str = "") -> random.Random:
        """The same chance for the same seed and salt; each scenario and each part of it takes its own salt."""
        return random.Random(f"{self.seed} {salt}")

    def say(self, line: str) -> None:
        """Print a line of progress at once."""
        say(f"    {line}")


@dataclass(frozen=True)
class Shown:
    """What a scenario saw: figures for the table, and whether all of it is as promised."""

    figures: str
    holds: bool
    skipped: bool = False
    """Not run here; the figures are the reason."""

    @property
    def verdict(self) -> str:
        return "skipped" if self.skipped else "holds" if self.holds else "DOES NOT HOLD"


# On a machine that others use too a few samples say little: the short form proves that a row runs and that nothing is far off.
SHORT_SLACK: Final = 4.0


def slack(asked: Asked) -> float:
    """How many times a limit of time may be passed: once in the long form, where samples are many and the machine is quiet."""
    return SHORT_SLACK if asked.short else 1.0


def say(line: str) -> None:
    """Print it at once, for whoever watches."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def skipped(reason: str) -> Shown:
    """This machine can't: the reason stands in the table, and nothing fails."""
    return Shown(reason, holds=True, skipped=True)


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    name: str
    run: Callable[[Asked], Awaitable[Shown]]
    must_show: str


@dataclass(kw_only=True)
class Row:
    """A scenario that was run, for the table."""

    scenario: Scenario
    shown: Shown
    seconds: float


@dataclass(kw_only=True)
class Wrong:
    """Named counts that must all be zero; the ones that are not become the figures."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, number: int = 1) -> None:
        """Count it; adding 0 names it, so that the figures say it was looked at."""
        self.counts[name] = self.counts.get(name, 0) + number

    def shown(self, seen: str) -> Shown:
        """`seen` (what was done, how often), then the counts: which are zero, and which are not."""
        bad = {name: number for name, number in self.counts.items() if number}
        if bad:
            named = [f"{number} {name}" for name, number in bad.items()]
            more = [f"and {len(named) - _NAMED_MOST} more"] if len(named) > _NAMED_MOST else []
            return Shown(f"{seen}; " + ", ".join(named[:_NAMED_MOST] + more), holds=False)
        return Shown(f"{seen}; 0 " + ", 0 ".join(self.counts) if self.counts else seen, holds=True)


def run_to_end(main: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Exit with what `main` returns. SIGTERM cancels it, once: servers, folders and mounts are ours to end."""

    async def run() -> int:
        ours = asyncio.current_task()
        assert ours is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _end_once, ours)
        return await main()

    try:
        sys.exit(asyncio.run(run()))
    except asyncio.CancelledError:
        sys.exit("ended by a signal")


def _end_once(task: asyncio.Task[int]) -> None:
    """A second signal must not interrupt the tidying up."""
    if not task.cancelling():
        task.cancel()


async def run_one(scenario: Scenario, asked: Asked) -> Row:
    """Run it, print when it begins and ends; an exception is a failure, not the end of the run."""
    say(f"begins: {scenario.name} (must show: {scenario.must_show})")
    began = time.monotonic()
    try:
        shown = await scenario.run(asked)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the other scenarios still run, and the table says it
        shown = Shown(f"{type(error).__name__}: {str(error)[:200]}", holds=False)
    seconds = time.monotonic() - began
    say(f"ends:   {scenario.name}: {shown.verdict}, {seconds:.0f} s: {shown.figures}")
    return Row(scenario=scenario, shown=shown, seconds=seconds)


def table(rows: list[Row]) -> str:
    """One line for each scenario: what it showed, how long, and whether it holds."""
    cells = [("scenario", "what it showed", "seconds", "verdict")]
    cells += [(row.scenario.name, row.shown.figures, f"{row.seconds:.0f}", row.shown.verdict) for row in rows]
    name, _, seconds, verdict = (max(len(cell[at]) for cell in cells) for at in range(4))
    lines = [f"{a:{name}}  {d:{verdict}}  {c:>{seconds}}  {b}".rstrip() for a, b, c, d in cells]
    return "\n".join([lines[0], "-" * min(120, max(map(len, lines))), *lines[1:]])
