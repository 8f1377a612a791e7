"""`make bench-against BASE=…`: ingest, lists and searches of this working tree beside those of another commit, in one run.

python -m bench.regression BASE [--rounds N] [--seconds S] [--rows N] [--target NAME] [--short] [--json FILE]

Both services run on one PostgreSQL and one S3 server. They take turns in a shuffled order, round by round. A figure is the ratio of
this tree to BASE within a round. A figure is judged only if the noise of its rounds is at most 10 %.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlencode

import httpx2
from bench.costs import cost_of, cpu_seconds
from bench.ingest import IMAGES_A_BATCH, tell
from bench.machine import NOISE_MAX, described
from bench.search import QUESTIONS
from bench.site import HERE, ROOT, TARGETS, Checkout, Ground, Running, ground, platevault, s3_server
from tests.support.processes import LOOKING

# Within this share of 1 two figures are the same, because a run of five rounds cannot tell them apart.
ALIKE: Final = 0.03
AGREEING_MIN: Final = 0.8
PAGE: Final = "/v1/detections?limit=100"
URLS_A_PAGE: Final = 200
ASKED_A_ROUND: Final = 8
ASKED_BEFORE: Final = 8
BASE: Final = "base"
NOW: Final = "now"


@dataclass(kw_only=True)
class Figure:
    """One kind of cost of both commits, round by round."""

    name: str
    unit: str
    less_is_better: bool = True
    base: list[float] = field(default_factory=list)
    now: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)

    def add(self, side: str, seen: float, *, noise: float) -> None:
        """Take what one round saw of one side."""
        (self.now if side == NOW else self.base).append(seen)
        self.noise.append(noise)

    @property
    def ratios(self) -> list[float]:
        """This tree over BASE, in each round."""
        return [now / base for now, base in zip(self.now, self.base, strict=True)]

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `the same`, or that the run cannot tell."""
        if median(self.noise) > NOISE_MAX:
            return "too noisy to tell"
        middle = median(self.ratios)
        if abs(middle - 1) <= ALIKE:
            return "the same"
        agreeing = sum((ratio > 1) == (middle > 1) for ratio in self.ratios) / len(self.ratios)
        if agreeing < AGREEING_MIN:
            return "rounds disagree"
        return "better" if (middle < 1) == self.less_is_better else "worse"


def main() -> None:
    """Print the table. The exit code says only that the run ended."""
    asked = _asked()
    with _checked_out(asked.base) as base, ground() as where:
        figures = asyncio.run(_measure(asked, {BASE: base, NOW: HERE}, where))
    print(_table(figures))
    print(f"\n{asked.rounds} rounds, {asked.rows:,} detections in each vault, {asked.target}; {described()}")
    if asked.json is not None:
        told = [asdict(one) | {"ratio": median(one.ratios), "verdict": one.verdict} for one in figures]
        asked.json.write_text(json.dumps({"machine": described(), "figures": told}, indent=1) + "\n", encoding="utf-8")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="the commit to compare with")
    parser.add_argument("--short", action="store_true", help="shows that it runs; its figures mean nothing")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each side in each round")
    parser.add_argument("--rows", type=int, help="detections in each vault before the first round")
    parser.add_argument("--target", choices=TARGETS, default="seaweedfs")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (1 if asked.short else 5)
    asked.seconds = asked.seconds or (0.5 if asked.short else 3.0)
    asked.rows = asked.rows or (2_000 if asked.short else 200_000)
    return asked


@contextmanager
def _checked_out(commit: str) -> Iterator[Checkout]:
    """The commit in a folder of its own, with its own libraries."""
    folder = Path(tempfile.mkdtemp(prefix="platevault-base-"))
    folder.chmod(0o755)
    tree = folder / "tree"
    try:
        _run("git", "clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(tree))
        commit = _run("git", "-C", str(ROOT), "rev-parse", "--verify", f"{commit}^{{commit}}").strip()
        _run("git", "-C", str(tree), "checkout", "--quiet", "--detach", commit)
        _run(_uv(), "sync", "--quiet", "--frozen", "--all-extras", "--no-dev", "--python", sys.executable, folder=tree)
        yield Checkout(folder=tree, python=tree / ".venv" / "bin" / "python")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str, folder: Path = ROOT) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


def _uv() -> str:
    """The uv that runs this, or that of the setup."""
    return os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")


async def _measure(asked: argparse.Namespace, checkouts: dict[str, Checkout], where: Ground) -> list[Figure]:
    async with AsyncExitStack() as stack:
        s3 = await stack.enter_async_context(s3_server(asked.target, where))
        if s3 is None:
            sys.exit(f"{asked.target}: there is none on this machine")
        services = {
            side: await stack.enter_async_context(
                platevault(where, s3, name=side, detections=asked.rows, checkout=checkout, WORKERS="1")
            )
            for side, checkout in checkouts.items()
        }
        figures = [*await _ingest(services, asked, where), *await _lists(services, asked)]
        return [*figures, *await _searches(services, asked)]


async def _ingest(services: dict[str, Running], asked: argparse.Namespace, where: Ground) -> list[Figure]:
    rate = Figure(name="ingest: images a second until stored", unit="/s", less_is_better=False)
    service_cpu = Figure(name="ingest: CPU of the service an image", unit="ms")
    database_cpu = Figure(name="ingest: CPU of PostgreSQL an image", unit="ms")
    both = Figure(name="ingest: CPU of both an image", unit="ms")
    memory = Figure(name="ingest: peak memory of the service", unit="MiB")
    for side, service in _turns(services, rounds=asked.rounds):
        began, before = time.monotonic(), cpu_seconds(where.servers.postgres.child.pid)
        with cost_of(service.pid) as cost:
            told = await tell("sender", service.address, "--seconds", str(asked.seconds))
            await service.until_stored()
        seconds, images = time.monotonic() - began, told["acknowledged"] * IMAGES_A_BATCH
        of_database = 1000 * (cpu_seconds(where.servers.postgres.child.pid) - before) / images
        of_service = 1000 * cost.cpu_seconds / images
        noise = cost.noise.foreign
        rate.add(side, images / seconds, noise=noise)
        service_cpu.add(side, of_service, noise=noise)
        database_cpu.add(side, of_database, noise=noise)
        both.add(side, of_service + of_database, noise=noise)
        memory.add(side, cost.peak_bytes / 1024 / 1024, noise=noise)
    return [rate, service_cpu, database_cpu, both, memory]


async def _lists(services: dict[str, Running], asked: argparse.Namespace) -> list[Figure]:
    urls = Figure(name="list: presigned URLs a CPU second", unit="", less_is_better=False)
    for side, service in _turns(services, rounds=asked.rounds):
        with cost_of(service.pid) as cost:
            told = await tell(
                "sender", service.address, "--page", PAGE, "--seconds", str(asked.seconds), "--senders", "8"
            )
        urls.add(side, told["acknowledged"] * URLS_A_PAGE / cost.cpu_seconds, noise=cost.noise.foreign)
    return [urls]


def _turns(services: dict[str, Running], *, rounds: int) -> Iterator[tuple[str, Running]]:
    """Each side once a round, in a shuffled order."""
    chance = random.Random()
    for _ in range(rounds):
        for side in chance.sample(sorted(services), len(services)):
            yield side, services[side]


async def _searches(services: dict[str, Running], asked: argparse.Namespace) -> list[Figure]:
    """Milliseconds of each kind of question, as a client sees them."""
    figures = []
    async with AsyncExitStack() as stack:
        clients = {side: await stack.enter_async_context(_client(service)) for side, service in services.items()}
        for name, fields in QUESTIONS.items():
            target = "/v1/detections?" + urlencode(
                {key: str(value).lower() if value is True else value for key, value in fields.items()}
            )
            figure = Figure(name=f"search: {name}", unit="ms")
            for client in clients.values():
                for _ in range(ASKED_BEFORE):
                    await _milliseconds(client, target)
            for side, service in _turns(services, rounds=asked.rounds):
                with cost_of(service.pid) as cost:
                    times = [await _milliseconds(clients[side], target) for _ in range(ASKED_A_ROUND)]
                figure.add(side, median(times), noise=cost.noise.foreign)
            figures.append(figure)
    return figures


@asynccontextmanager
async def _client(service: Running) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        base_url=f"http://{service.address}", headers={**LOOKING, "X-Purpose": "bench"}
    ) as one:
        yield one


async def _milliseconds(client: httpx2.AsyncClient, target: str) -> float:
    began = time.perf_counter()
    response = await client.get(target, timeout=60)
    assert response.status_code == 200, response.text
    return 1000 * (time.perf_counter() - began)


def _table(figures: Sequence[Figure]) -> str:
    searches = [one for one in figures if one.name.startswith("search")]
    worst = max(searches, key=lambda one: median(one.ratios))
    shown = [one for one in figures if one not in searches or one.verdict == "worse" or one is worst]
    lines = [f"{'figure':<42}{'base':>10}{'now':>10}{'ratio':>8}{'(rounds)':>16}{'noise':>7}"]
    for one in shown:
        spread = f"({min(one.ratios):.2f}-{max(one.ratios):.2f})"
        lines.append(
            f"{one.name:<42}{median(one.base):>10.3g}{median(one.now):>10.3g}{median(one.ratios):>8.3f}{spread:>16}"
            f"{median(one.noise):>7.0%}  {one.verdict}"
        )
    middle = median(median(one.ratios) for one in searches)
    lines.append(
        f"{len(searches)} kinds of searches: median ratio {middle:.2f}; the worst, and those that are worse, are above"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
