"""A vault of any size: detections and images by COPY, with plates as they are on roads, and the indexes built afterwards."""

import random
import string
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from platevault.embedded.postgres import EmbeddedPostgres
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.migrations import migrate

DAYS: Final = 90  # whatever the size, as retention fixes the span and a larger vault has more a day
END: Final = datetime(2026, 6, 1, tzinfo=UTC)
CAMERAS: Final = 200
COLLECTORS: Final = 20
# One in a hundred is a bus that passes all day; one plate was seen once.
FREQUENT: Final = "TAX1000"
SEEN_ONCE: Final = "QX7Z0JW"
ROWS_A_CHUNK: Final = 2_000

_LETTERS: Final = string.ascii_uppercase
_DIGITS: Final = string.digits
_FORMATS: Final = ("AAA9999", "AAA9999", "AA999AA", "AA999AA", "AA99AAA", "AAAA999", "9AAA999", "AAA99999")

_DETECTION_COLUMNS: Final = (
    "detection_id",
    "collector_id",
    "batch_id",
    "camera_id",
    "captured_at",
    "received_at",
    "plate",
    "plate_searchable",
    "confidence",
    "region",
    "box",
    "vehicle",
    "retain_until",
)
_IMAGE_COLUMNS: Final = (
    "detection_id",
    "kind",
    "state",
    "key",
    "content_type",
    "size",
    "sha256",
    "width",
    "height",
    "stored_at",
)


def a_plate(chance: random.Random) -> str:
    """A plate in one of the usual formats, as it is compared."""
    return "".join(chance.choice(_LETTERS if part == "A" else _DIGITS) for part in chance.choice(_FORMATS))


class Rows:
    """The rows of a vault, the same for the same number."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._step = timedelta(days=DAYS) / count

    def _ids(self) -> Iterator[str]:
        chance = random.Random(7)
        for _ in range(self.count):
            yield f"evt_{chance.getrandbits(64):016x}"

    async def detections(self) -> AsyncIterator[bytes]:
        """Lines for COPY, in the order of time, give or take a minute."""
        chance = random.Random(11)
        fleet = [a_plate(chance) for _ in range(max(20, self.count // 200))]
        start = END - timedelta(days=DAYS)
        lines: list[str] = []
        for number, detection_id in enumerate(self._ids()):
            share = chance.random()
            if share < 0.01:
                plate = FREQUENT
            elif share < 0.03:
                plate = "\\N"
            else:
                plate = fleet[int(share * 1e6) % len(fleet)] if share < 0.3 else a_plate(chance)
            if number == self.count * 2 // 3:
                plate = SEEN_ONCE
            moment = start + self._step * number - timedelta(seconds=60 * share)
            camera = int(chance.random() * CAMERAS)
            lines.append(
                f"{detection_id}\tgate-{camera % COLLECTORS}\tb-{number // 10}\tcamera {camera}\t{moment.isoformat()}\t"
                f"{moment.isoformat()}\t{plate}\t{plate}\t{0.5 + share / 2:.3f}\tus-ca\t"
                '{"x": 812, "y": 604, "width": 208, "height": 66}\t{"make": "Ford", "color": "white"}\t'
                f"{END.isoformat()}\n"
            )
            if len(lines) == ROWS_A_CHUNK:
                yield "".join(lines).encode()
                lines.clear()
        yield "".join(lines).encode()

    async def images(self) -> AsyncIterator[bytes]:
        """Lines for COPY: two stored images a detection."""
        lines: list[str] = []
        start = END - timedelta(days=DAYS)
        for number, detection_id in enumerate(self._ids()):
            moment = start + self._step * number
            day = f"{moment:%Y/%m/%d}"
            for kind, size, width, height in (("crop", 8192, 320, 96), ("full", 122880, 1920, 1080)):
                lines.append(
                    f"{detection_id}\t{kind}\tstored\t{kind}/{day}/{detection_id}_{kind}.jpg\timage/jpeg\t{size}\t"
                    f"\\\\x{detection_id[4:] * 4}\t{width}\t{height}\t{moment.isoformat()}\n"
                )
            if len(lines) >= ROWS_A_CHUNK:
                yield "".join(lines).encode()
                lines.clear()
        yield "".join(lines).encode()


async def fill(connection: asyncpg.Connection, rows: Rows) -> None:
    """Empty tables have the rows, their indexes and statistics afterwards."""
    later = await _without_indexes(connection)
    await connection.executemany(
        "INSERT INTO collectors (collector_id) VALUES ($1)", [(f"gate-{number}",) for number in range(COLLECTORS)]
    )
    await connection.copy_to_table("detections", source=rows.detections(), columns=_DETECTION_COLUMNS, timeout=7200)
    await connection.copy_to_table("images", source=rows.images(), columns=_IMAGE_COLUMNS, timeout=7200)
    await connection.execute("SET maintenance_work_mem = '1GB'")
    for statement in later:
        await connection.execute(statement, timeout=7200)
    await connection.execute("VACUUM (ANALYZE) detections", timeout=7200)
    await connection.execute("VACUUM (ANALYZE) images", timeout=7200)


async def _without_indexes(connection: asyncpg.Connection) -> list[str]:
    """Drop what slows COPY down; the statements that make it again."""
    constraints = await connection.fetch(
        "SELECT conrelid::regclass::text AS of, quote_ident(conname) AS name, pg_get_constraintdef(oid) AS is, contype"
        " FROM pg_constraint WHERE contype IN ('p', 'f') AND (conrelid IN ('detections'::regclass, 'images'::regclass)"
        " OR confrelid IN ('detections'::regclass, 'images'::regclass)) ORDER BY contype"
    )
    indexes = await connection.fetch(
        "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS is FROM pg_index"
        " WHERE indrelid IN ('detections'::regclass, 'images'::regclass) AND NOT indisprimary"
    )
    for row in constraints:
        await connection.execute(f"ALTER TABLE {row['of']} DROP CONSTRAINT {row['name']}")
    for row in indexes:
        await connection.execute(f"DROP INDEX {row['name']}")
    again = [row["is"] for row in indexes]
    for row in reversed(constraints):
        unchecked = " NOT VALID" if row["contype"] == b"f" else ""
        again.append(f"ALTER TABLE {row['of']} ADD CONSTRAINT {row['name']} {row['is']}{unchecked}")
    return again


async def a_database(server: EmbeddedPostgres, name: str, *, template: str | None = None) -> bool:
    """Whether the database was made now, with our tables or as a copy; false where it was there."""
    admin = await asyncpg.connect(server.superuser_url)
    try:
        if await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            return False
        origin = f' TEMPLATE "{template}" STRATEGY file_copy' if template else ""
        await admin.execute(f'CREATE DATABASE "{name}" OWNER platevault{origin}', timeout=3600)
    finally:
        await admin.close()
    if template is None:
        database = Database.open(server.url_of(name), pool_size=2)
        await migrate(database)
        await database.close()
    return True


async def drop(server: EmbeddedPostgres, name: str) -> None:
    """It does not exist afterwards."""
    admin = await asyncpg.connect(server.superuser_url)
    await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', timeout=600)
    await admin.close()
