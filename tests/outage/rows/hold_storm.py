"""Scenario: holds are placed while the sweep and the store's own lifecycle passes delete what is due, which is everything."""

import asyncio
import hashlib
import json
import random
import subprocess
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import text

from platevault.access.actor import VIEWER_SCOPES, Actor, Look
from platevault.domain.object_keys import generate_object_key
from platevault.domain.retention_policy import Retention
from platevault.embedded.seaweedfs import EmbeddedSeaweed, find_program
from platevault.holds.copy_images import copy_some
from platevault.holds.hold import HoldAsked
from platevault.holds.sql import holds
from platevault.holds.verify_copies import verify_copies
from platevault.infra.disk.private_files import GRPC_OFFSET
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.admin.bucket import BucketAdmin
from platevault.infra.objectstore.admin.bucket_xml import parse_lifecycle
from platevault.infra.objectstore.s3.store import S3Store
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.migrations import migrate
from platevault.jobs.run import JobContext
from platevault.retention.sweep import sweep
from tests.outage.scenario import Asked, Shown, Wrong
from tests.support.servers import S3Server, embedded_servers, s3_of

OBJECTS: Final = 10_000
SHORT_OBJECTS: Final = 600
A_WAVE: Final = 200
A_HOLD: Final = 10
HOLDERS: Final = 4
PUTS_AT_ONCE: Final = 16
LOOK: Final = Look(
    actor=Actor(subject="viewer", kind="token", scopes=VIEWER_SCOPES), route="/v1/holds", request_id="storm"
)
# What the sweep and the store delete at once: everything that we write under full/, as the outer bound would a year later.
RULE: Final = b"""<LifecycleConfiguration><Rule><ID>expire-full</ID><Status>Enabled</Status><Filter><Prefix>full/</Prefix></Filter>
<Expiration><Date>2020-01-01T00:00:00Z</Date></Expiration></Rule></LifecycleConfiguration>"""
CAPTURED: Final = datetime(2025, 1, 15, 12, tzinfo=UTC)
ROWS: Final = (
    "INSERT INTO collectors (collector_id) VALUES ('gate-1') ON CONFLICT DO NOTHING",
    """
    INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, plate, retain_until)
    SELECT u.id, 'gate-1', 'b-1', 'north', :at, :at, 'AB123', :due FROM unnest(CAST(:ids AS text[])) AS u(id)
    """,
    """
    INSERT INTO images (detection_id, kind, state, key, content_type, size, sha256, stored_at)
    SELECT u.id, 'full', 'stored', u.key, 'image/jpeg', u.size, decode(u.sha256, 'hex'), :at
    FROM unnest(CAST(:ids AS text[]), CAST(:keys AS text[]), CAST(:sizes AS bigint[]), CAST(:digests AS text[]))
        AS u(id, key, size, sha256)
    """,
)
STANDING: Final = text("""
    SELECT h.hold_id, h.detection_id, i.key, encode(i.sha256, 'hex') AS sha256, i.state, i.holds
    FROM hold_images h JOIN images i USING (detection_id, kind) WHERE h.state = 'held'
""")


@dataclass(kw_only=True)
class Storm:
    """What is under way, and what was seen."""

    context: JobContext
    chance: random.Random
    wrong: Wrong = field(default_factory=Wrong)
    seen: Counter[str] = field(default_factory=Counter)
    confirmed: dict[str, uuid.UUID] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)


async def hold_storm(asked: Asked) -> Shown:
    """Waves of objects that are due at once; half of them are held while both deleters run without a pause."""
    objects = asked.detections or (SHORT_OBJECTS if asked.short else OBJECTS)
    with embedded_servers() as servers:
        assert servers.seaweed is not None
        server = s3_of(servers.seaweed)
        database, store = Database.open(servers.postgres.url, pool_size=10), _opened(server)
        try:
            await migrate(database)
            admin = _admin(server)
            await admin.write_lifecycle(parse_lifecycle(RULE))
            context = JobContext(database=database, objects=store, now=lambda: datetime.now(UTC))
            storm = Storm(context=context, chance=asked.random("holds"))
            async with asyncio.TaskGroup() as group:
                group.create_task(_sweeps(storm))
                group.create_task(_passes(storm, servers.seaweed))
                for begins in range(0, objects, A_WAVE):
                    await _wave(storm, range(begins, min(objects, begins + A_WAVE)))
                    asked.say(f"{min(objects, begins + A_WAVE):,} objects, {dict(storm.seen)}")
                storm.over.set()
            return await _judged(storm, objects)
        finally:
            await store.close()
            await database.close()


async def _wave(storm: Storm, numbers: range) -> None:
    ids = [f"evt_{number}" for number in numbers]
    bytes_of = {one: b"\xff\xd8\xff" + one.encode() * storm.chance.randrange(10, 400) for one in ids}
    keys = [generate_object_key(one, CAPTURED, "full") for one in ids]
    slots = asyncio.Semaphore(PUTS_AT_ONCE)

    async def put(one: str, key: str) -> None:
        async with slots:
            new = NewObject(data=bytes_of[one], content_type="image/jpeg", metadata={})
            storm.wrong.add("objects that were there already", not await storm.context.objects.create(key, new))

    await asyncio.gather(*(put(one, key) for one, key in zip(ids, keys, strict=True)))
    parameters = {
        "at": CAPTURED,
        "due": CAPTURED + timedelta(days=1),
        "ids": ids,
        "keys": keys,
        "sizes": [len(bytes_of[one]) for one in ids],
        "digests": [hashlib.sha256(bytes_of[one]).hexdigest() for one in ids],
    }
    for statement in ROWS:
        known = {name: value for name, value in parameters.items() if f":{name}" in statement}
        await storm.context.database.transaction(
            lambda connection, one=statement, with_these=known: connection.execute(text(one), with_these)  # type: ignore[misc]
        )
    wanted = storm.chance.sample(ids, len(ids) // 2)
    groups = [wanted[start : start + A_HOLD] for start in range(0, len(wanted), A_HOLD)]
    places = asyncio.Semaphore(HOLDERS)
    await asyncio.gather(*(_hold(storm, some, places=places) for some in groups))


async def _hold(storm: Storm, ids: Sequence[str], *, places: asyncio.Semaphore) -> None:
    """As `place_hold` does it, without a spool: rows, then copies until nothing more is due."""
    async with places:
        hold_id, context = uuid.uuid4(), storm.context
        asked = HoldAsked(
            requested_by="J. Doe",
            authority="City police",
            case="storm",
            reason="a test",
            review_on=datetime.now(UTC).date() + timedelta(days=30),
            detection_ids=tuple(sorted(ids)),
        )
        await holds.place(context.database, asked, hold_id=hold_id, look=LOOK, now=context.now())
        while await copy_some(context, hold_id=hold_id):
            pass
        found = await holds.hold_now(context.database, hold_id)
        assert found is not None
        storm.seen.update({"held": found.images.held, "gone": found.images.gone, "too late": found.images.copying})
        storm.seen["holds confirmed"] += found.is_held
        async with context.database.reading() as connection:
            images = await holds.images_of_hold(connection, hold_id=hold_id, after=("", ""), state="held", most=1000)
        storm.confirmed |= {one.detection_id: hold_id for one in images or ()}


async def _sweeps(storm: Storm) -> None:
    retention = Retention(keep_for=timedelta(days=1))
    while not storm.over.is_set():
        run = await sweep(storm.context, default=retention, act=True)
        storm.wrong.add("sweeps that failed", run.outcome != "done")
        storm.seen["sweeps"] += 1
        storm.seen["swept"] += run.counts.get("erased", 0)


async def _passes(storm: Storm, seaweed: EmbeddedSeaweed) -> None:
    while not storm.over.is_set():
        await asyncio.to_thread(_run_shards, seaweed)
        storm.seen["lifecycle passes"] += 1


def _run_shards(seaweed: EmbeddedSeaweed) -> None:
    folder = seaweed.data.parent
    saved = json.loads((folder / "saved.json").read_text(encoding="utf-8"))

    def at(name: str) -> str:
        return f"127.0.0.1:{saved[name]}.{int(saved[name]) + GRPC_OFFSET}"

    program = find_program()
    assert program is not None
    subprocess.run(
        [str(program), "shell", f"-master={at('master.port')}", f"-filer={at('filer.port')}"],
        input=f"s3.lifecycle.run-shard -shards 0-15 -s3 127.0.0.1:{int(saved['s3.port']) + GRPC_OFFSET}\nexit\n",
        cwd=folder,
        timeout=120,
        check=True,
        capture_output=True,
        text=True,
    )


async def _judged(storm: Storm, objects: int) -> Shown:
    """Every image that was said to be held is read by the key of its row and hashed."""
    context, wrong = storm.context, storm.wrong
    async with context.database.reading() as connection:
        standing = {row.detection_id: row for row in await connection.execute(STANDING)}
    wrong.add("confirmed and not held any more", len(storm.confirmed.keys() - standing.keys()))
    slots = asyncio.Semaphore(PUTS_AT_ONCE)

    async def look(detection_id: str) -> None:
        row = standing.get(detection_id)
        async with slots:
            data = None if row is None else await context.objects.get(row.key)
        wrong.add("confirmed and not readable", data is None)
        if row is not None and data is not None:
            wrong.add("confirmed with other bytes", hashlib.sha256(data).hexdigest() != row.sha256)
            wrong.add("confirmed and expired", row.state != "stored" or row.holds < 1)

    await asyncio.gather(*(look(one) for one in storm.confirmed))
    await context.database.transaction(
        lambda connection: connection.execute(
            text("UPDATE hold_images SET verified_at = '2020-01-01' WHERE state = 'held'")
        )
    )
    run = await verify_copies(context, runs_a_round=1)
    wrong.add("copies that the guard found broken", run.counts["broken"])
    wrong.add("images that both deleters spared", not (storm.seen["swept"] and storm.seen["lifecycle passes"] > 1))
    seen = storm.seen
    return wrong.shown(
        f"{objects:,} objects, {len(storm.confirmed):,} confirmed in {seen['holds confirmed']:,} whole holds, {seen['gone']:,} gone"
        f" and {seen['too late']:,} without original before their hold; {seen['swept']:,} swept in {seen['sweeps']:,} sweeps,"
        f" {seen['lifecycle passes']:,} lifecycle passes"
    )


def _opened(server: S3Server) -> S3Store:
    return S3Store.open(
        endpoint=server.endpoint,
        secure=False,
        region=server.region,
        bucket=server.bucket,
        access_key=server.access_key,
        secret_key=server.secret_key,
    )


def _admin(server: S3Server) -> BucketAdmin:
    return BucketAdmin.open(
        endpoint=server.endpoint,
        secure=False,
        region=server.region,
        bucket=server.bucket,
        access_key=server.admin_access_key,
        secret_key=server.admin_secret_key,
    )
