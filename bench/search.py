"""What finding costs in a small vault and in a large one, with the plans, and what its indexes cost a batch that comes in.

python -m bench.search [--rows N]... [--rounds N] [--ingest-rows N] [--folder FOLDER] [--out FOLDER]

Starts a PostgreSQL of its own and fills one database for each size. Sizes take turns, question by question, round by round; a ratio is
the median of the ratios within a round. All is warm: each question was asked before. `--folder` keeps the data and finds it again.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import asyncpg
from bench.filling import END, FREQUENT, SEEN_ONCE, Rows, a_database, fill
from bench.indexes import IndexCost, index_costs

from platevault.catalog.sql import search as rows
from platevault.domain.search_query import Cursor, Search, parse_fields
from platevault.domain.search_results import FoundDetection
from platevault.embedded.postgres import EmbeddedPostgres, start_postgres
from platevault.infra.postgres.database import Database

SIZES: Final = (10_000, 1_000_000, 10_000_000)
ASKED_A_ROUND: Final = 15
ASKED_BEFORE: Final = 12  # after five, PostgreSQL may go over to a plan for all values, which is the one that counts
ROWS_FOR_INDEXES_MAX: Final = 1_000_000

RATIO_MAX: Final = 2.0

_FORTNIGHT: Final = {"from": "2026-04-10T00:00:00Z", "to": "2026-04-24T00:00:00Z"}
_HALFWAY: Final = str(Cursor(captured_at=END.replace(month=4, day=17), detection_id="evt_8"))

QUESTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "newest": {},
    "newest, 200": {"limit": 200},
    "a page far down": {"cursor": _HALFWAY},
    "a fortnight": _FORTNIGHT,
    "one camera": {"camera_id": "camera 7"},
    "one camera, a fortnight": {"camera_id": "camera 7", **_FORTNIGHT},
    "plate, frequent": {"plate": FREQUENT},
    "plate, frequent, a fortnight": {"plate": FREQUENT, **_FORTNIGHT},
    "plate, seen once": {"plate": SEEN_ONCE},
    "plate, never seen": {"plate": "QXQXQXQ"},
    "misread, frequent": {"plate": "TAXI00O", "similar": True},
    "misread, seen once": {"plate": "0X72OJW", "similar": True},
    "A*": {"plate": "A*"},
    "AB1*": {"plate": "AB1*"},
    "QX7Z0*, seen once": {"plate": "QX7Z0*"},
    "TAX*, frequent": {"plate": "TAX*"},
    "*1*": {"plate": "*1*"},
    "*12*": {"plate": "*12*"},
    "*123*": {"plate": "*123*"},
    "*1234*": {"plate": "*1234*"},
    "*7Z0J*, seen once": {"plate": "*7Z0J*"},
    "*X1Z*": {"plate": "*X1Z*"},
    "*4567": {"plate": "*4567"},
    "A?C12??": {"plate": "A?C12??"},
    "never: *-Ω-*": {"plate": "*Ω*"},
    "never: ??": {"plate": "??"},
    "*123*, a fortnight": {"plate": "*123*", **_FORTNIGHT},
    "*123*, a page far down": {"plate": "*123*", "cursor": _HALFWAY},
    "*123*, one camera": {"plate": "*123*", "camera_id": "camera 7"},
    "*I2*, misread": {"plate": "*I2*", "similar": True},
    "*B0S*, misread": {"plate": "*B0S*", "similar": True},
    "O0*, misread": {"plate": "O0*", "similar": True},
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question at each size: how many rows answered, and milliseconds."""

    name: str
    found: list[int]
    p50: list[float]
    p99: list[float]
    ratio: float  # the largest vault over the smallest


def main() -> None:
    told = _told()
    with _server(told.folder) as server:
        asyncio.run(_measure(server, told))


def _told() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ingest-rows", type=int)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    told.rows = sorted(told.rows or SIZES)
    return told


async def _measure(server: EmbeddedPostgres, told: argparse.Namespace) -> None:
    urls = [await _filled(server, count) for count in told.rows]
    asked = await _ask(urls, rounds=told.rounds)
    table = _table(asked, told.rows)
    print(table)
    base = told.ingest_rows or max(
        [count for count in told.rows if count <= ROWS_FOR_INDEXES_MAX], default=told.rows[0]
    )
    await _filled(server, base)
    costs = await index_costs(server, f"rows_{base}", rounds=told.rounds)
    cost_table = _cost_table(costs, base)
    print(cost_table)
    if told.out is None:
        return
    told.out.mkdir(parents=True, exist_ok=True)
    plans = [await _plans(url, count) for url, count in zip(urls, told.rows, strict=True)]
    (told.out / "search.md").write_text("\n\n".join([table, cost_table, *plans]) + "\n", encoding="utf-8")
    answer = {"rows": told.rows, "asked": [asdict(one) for one in asked], "indexes": [asdict(one) for one in costs]}
    (told.out / "search.json").write_text(json.dumps(answer, indent=1), encoding="utf-8")


@contextmanager
def _server(folder: Path | None) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL in this folder, or in one that is gone afterwards; it does not sync, for nothing here is measured that would."""
    place = folder or Path(tempfile.mkdtemp(prefix="platevault-search-"))
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o711)
    server = start_postgres(place, durable=False)
    try:
        yield server
    finally:
        server.stop()
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)


async def _filled(server: EmbeddedPostgres, count: int) -> str:
    """The URL of the vault with so many detections, made now unless it is there."""
    name = f"rows_{count}"
    url = server.url_of(name)
    if await a_database(server, name):
        started = time.monotonic()
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        await fill(connection, Rows(count))
        await connection.close()
        print(f"{count} detections in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return url


async def _ask(urls: Sequence[str], *, rounds: int) -> list[Asked]:
    databases = [Database.open(url, pool_size=1) for url in urls]
    answers = []
    for name, fields in QUESTIONS.items():
        search = parse_fields(fields)
        found = [await _found(database, search) for database in databases]
        taken: list[list[list[float]]] = [
            [await _times(database, search) for database in databases] for _ in range(rounds)
        ]
        per_size = [[one for each in taken for one in each[place]] for place in range(len(urls))]
        answers.append(
            Asked(
                name=name,
                found=found,
                p50=[round(median(times), 2) for times in per_size],
                p99=[round(quantiles(times, n=100)[98], 2) for times in per_size],
                ratio=round(median(median(each[-1]) / median(each[0]) for each in taken), 2),
            )
        )
    for database in databases:
        await database.close()
    return answers


async def _found(database: Database, search: Search) -> int:
    for _ in range(ASKED_BEFORE):
        found = await _page(database, search)
    return len(found)


async def _times(database: Database, search: Search) -> list[float]:
    times = []
    await _page(database, search)
    for _ in range(ASKED_A_ROUND):
        started = time.perf_counter()
        await _page(database, search)
        times.append(1000 * (time.perf_counter() - started))
    return times


async def _page(database: Database, search: Search) -> list[FoundDetection]:
    """As a list finds it, but for the row in the access log, which costs the same in any vault."""
    query, values = rows.prepared(search)
    page, _ = rows.told([row[0] for row in await database.rows(query, values)], search)
    return page


async def _plans(url: str, count: int) -> str:
    """EXPLAIN (ANALYZE, BUFFERS) of each question as it is prepared: with a plan for all values."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), server_settings={"jit": "off", "timezone": "UTC"})
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    parts = [f"## Plans with {count} detections"]
    for name, fields in QUESTIONS.items():
        query, values = rows.prepared(parse_fields(fields))
        await connection.execute(f"PREPARE asked AS {query}")
        told = f"({', '.join(_literal(value) for value in values)})" if values else ""
        for _ in range(2):
            lines = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) EXECUTE asked{told}")
        await connection.execute("DEALLOCATE asked")
        parts.append(f"### {name}\n\n```\n" + "\n".join(line[0] for line in lines) + "\n```")
    await connection.close()
    return "\n\n".join(parts)


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return "'{" + ",".join(str(one) for one in value) + "}'"
    return "'" + str(value).replace("'", "''") + "'"


def _table(asked: Sequence[Asked], sizes: Sequence[int]) -> str:
    heads = [f"{count:,} p50/p99 ms" for count in sizes]
    lines = ["| question | " + " | ".join(heads) + " | largest over smallest |", "|---" * (len(sizes) + 2) + "|"]
    for one in asked:
        cells = [f"{p50}/{p99} ({found})" for p50, p99, found in zip(one.p50, one.p99, one.found, strict=True)]
        lines.append(f"| {one.name} | " + " | ".join(cells) + f" | {one.ratio} |")
    worst = max(asked, key=lambda one: one.ratio)
    middle = median(one.ratio for one in asked)
    alike = [one for one in asked if one.found[0] == one.found[-1]]
    within, alike_within = (sum(one.ratio <= RATIO_MAX for one in some) for some in (asked, alike))
    said = (
        f"Ratios: median {middle:.2f}, worst {worst.ratio} ({worst.name}); {within} of {len(asked)} are within {RATIO_MAX}."
        f" Where both vaults answer with as many rows: {alike_within} of {len(alike)}, worst"
        f" {max((one.ratio for one in alike), default=0.0)}; elsewhere the larger one also has more to tell."
    )
    return "\n".join([*lines, "", said])


def _cost_table(costs: Sequence[IndexCost], count: int) -> str:
    lines = [
        f"Indexes and a batch of 10 detections with 20 images, on {count:,} detections (no syncing, so a ratio is at its worst):",
        "",
        "| indexes | ms a batch | over before | kB of log a batch | *123* afterwards ms |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.name} | {one.milliseconds} | {one.ratio} | {one.log_kilobytes} | {one.search_milliseconds} |"
        for one in costs
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
