"""What the indexes that searches need cost a batch that comes in: the same batches into copies of one vault that differ in their indexes."""

import json
import random
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any, Final

import asyncpg
from bench.filling import END, a_database, a_plate, drop

from platevault.catalog.sql import search as rows
from platevault.domain.search_query import parse_fields
from platevault.embedded.postgres import EmbeddedPostgres

BATCHES_A_ROUND: Final = 60
BATCH: Final = 10

_BY_PLATE: Final = (
    "CREATE INDEX detections_by_plate ON detections (plate_searchable text_pattern_ops, captured_at, detection_id)"
)
_NO_KEYS: Final = "DROP INDEX detections_by_plate_keys"
_NO_SKELETON: Final = "DROP INDEX detections_by_skeleton"
VARIANTS: Final[dict[str, tuple[str, ...]]] = {
    "before: by plate": (_NO_KEYS, _NO_SKELETON, _BY_PLATE),
    "by skeleton": (_NO_KEYS,),
    "by skeleton and keys": (),
    "the same, fastupdate on": ("ALTER INDEX detections_by_plate_keys SET (fastupdate = on)",),
    "by plate, skeleton and keys": (_BY_PLATE,),
}

_DETECTIONS: Final = """
    INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, plate, plate_searchable,
        confidence, region, box, retain_until)
    SELECT r.detection_id, 'gate-1', 'b', r.camera_id, r.captured_at, now(), r.plate, r.plate, 0.9, 'us-ca', '{"x": 1}', now()
    FROM jsonb_to_recordset(CAST($1 AS jsonb)) AS r(detection_id text, camera_id text, captured_at timestamptz, plate text)
    ORDER BY r.detection_id ON CONFLICT (detection_id) DO NOTHING
"""
_IMAGES: Final = """
    INSERT INTO images (detection_id, kind, state, key, content_type, size, sha256, width, height, stored_at)
    SELECT r.detection_id, kind, 'stored', kind || '/2026/06/01/' || r.detection_id || '.jpg', 'image/jpeg', 8192,
        sha256(convert_to(r.detection_id || kind, 'UTF8')), 320, 96, now()
    FROM jsonb_to_recordset(CAST($1 AS jsonb)) AS r(detection_id text), unnest(ARRAY['crop', 'full']) AS kind
    ORDER BY r.detection_id, kind ON CONFLICT (detection_id, kind) DO NOTHING
"""


@dataclass(frozen=True, kw_only=True)
class IndexCost:
    """A batch in one transaction; `ratio` to the first variant is the median of those within a round."""

    name: str
    milliseconds: float
    ratio: float
    log_kilobytes: float
    search_milliseconds: float


async def index_costs(server: EmbeddedPostgres, template: str, *, rounds: int) -> list[IndexCost]:
    """Each variant in a copy of the template, turn by turn."""
    copies: dict[str, asyncpg.Connection] = {}
    for number, (name, statements) in enumerate(VARIANTS.items()):
        await drop(server, f"copy_{number}")
        await a_database(server, f"copy_{number}", template=template)
        url = server.url_of(f"copy_{number}").replace("+asyncpg", "")
        copies[name] = await asyncpg.connect(url, server_settings={"jit": "off"})
        for statement in statements:
            await copies[name].execute(statement, timeout=3600)
        await _batches(copies[name], seed=0)
    taken = [{name: await _batches(copy, seed=1 + seed) for name, copy in copies.items()} for seed in range(rounds)]
    first = next(iter(VARIANTS))
    costs = [
        IndexCost(
            name=name,
            milliseconds=round(median(each[name][0] for each in taken), 2),
            ratio=round(median(each[name][0] / each[first][0] for each in taken), 2),
            log_kilobytes=round(median(each[name][1] for each in taken), 1),
            search_milliseconds=await _search(copy) if "keys" in name else 0.0,
        )
        for name, copy in copies.items()
    ]
    for number, copy in enumerate(copies.values()):
        await copy.close()
        await drop(server, f"copy_{number}")
    return costs


async def _batches(connection: asyncpg.Connection, *, seed: int) -> tuple[float, float]:
    """(milliseconds, kilobytes of the write-ahead log) a batch."""
    chance = random.Random(seed)
    bodies = [json.dumps([_detection(chance, seed) for _ in range(BATCH)]) for _ in range(BATCHES_A_ROUND)]
    at = await connection.fetchval("SELECT pg_current_wal_insert_lsn()")
    started = time.perf_counter()
    for body in bodies:
        async with connection.transaction():
            await connection.execute(_DETECTIONS, body)
            await connection.execute(_IMAGES, body)
    taken = time.perf_counter() - started
    log = await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), CAST($1 AS pg_lsn))", at)
    return 1000 * taken / BATCHES_A_ROUND, float(log) / 1000 / BATCHES_A_ROUND


def _detection(chance: random.Random, seed: int) -> dict[str, Any]:
    moment = END + timedelta(minutes=seed, seconds=60 * chance.random())
    return {
        "detection_id": f"evt_{secrets.token_hex(8)}",
        "camera_id": f"camera {chance.randrange(200)}",
        "captured_at": moment.isoformat(),
        "plate": a_plate(chance),
    }


async def _search(connection: asyncpg.Connection) -> float:
    query, values = rows.prepared(parse_fields({"plate": "*123*"}))
    times = []
    for _ in range(12):
        started = time.perf_counter()
        await connection.fetch(query, *values)
        times.append(1000 * (time.perf_counter() - started))
    return round(median(times), 2)
