"""A hundred thousand detections in one archive: memory flat, and every byte what its row says."""

import asyncio
import hashlib
import json
import subprocess
import time
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx2

from platevault.domain.object_keys import generate_object_key
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.s3.store import S3Store
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.migrations import migrate
from tests.outage.scenario import Asked, Shown, Wrong
from tests.outage.site import free_port
from tests.outage.watching import resident_bytes
from tests.support.processes import LOOKING, Service, environment_for, service
from tests.support.servers import S3Server, embedded_servers, s3_of, server_folder

DETECTIONS: Final = 100_000
SHORT_DETECTIONS: Final = 2_000
FULL_EACH: Final = 10  # so many detections have one image of a whole scene
PUTS_AT_ONCE: Final = 32
LOOKS_A_SECOND: Final = 4
MEMORY_GROWS_AT_MOST: Final = 1.1
KILLED_AFTER_BYTES: Final = 1024 * 1024
NEWEST: Final = datetime(2025, 1, 15, 12, tzinfo=UTC)

CROPS: Final = tuple(b"\xff\xd8\xff" + bytes([number]) * 1500 for number in range(16))
FULLS: Final = tuple(b"\xff\xd8\xff" + bytes([number]) * 20_000 for number in range(4))

Image = tuple[str, str, str, bytes]  # detection id, kind, key, bytes


@dataclass(kw_only=True)
class Watched:
    """Memory of the processes that export, looked at a few times a second."""

    before: int
    resident: list[int] = field(default_factory=list)

    def growth(self) -> float:
        """Memory in the last third of the export over memory in the first, whose start fills what is kept anyway."""
        looks = self.resident[len(self.resident) // 10 :]
        third = max(1, len(looks) // 3)
        return (sum(looks[-third:]) / third) / (sum(looks[:third]) / third)


async def export(asked: Asked) -> Shown:
    """Rows by COPY, objects by put, one request, and the archive read by unzip and by Python."""
    count = asked.detections or (SHORT_DETECTIONS if asked.short else DETECTIONS)
    with server_folder() as folder, embedded_servers() as servers:
        assert servers.seaweed is not None
        s3 = s3_of(servers.seaweed)
        database = Database.open(servers.postgres.url, pool_size=2)
        await migrate(database)
        await database.close()
        images = await _fill(servers.postgres.url, s3, count, asked)
        environment = environment_for(servers.postgres.url, s3, folder)
        archive = folder / "export.zip"
        with service(environment, port=free_port(), folder=folder) as vault:
            began = time.monotonic()
            watched = await _download(vault.url, vault.process.pid, archive, asked)
            seconds = time.monotonic() - began
            cut = await _killed(vault, folder / "cut.zip")
        wrong = await asyncio.to_thread(_held_against, archive, images, count)
        wrong.add("growths of memory above 10 %", int(not asked.short and watched.growth() > MEMORY_GROWS_AT_MOST))
        wrong.add("cut archives taken for whole", int(not cut))
        return wrong.shown(
            f"{count} detections, {len(images)} images, {archive.stat().st_size >> 20} MiB in {seconds:.0f} s "
            f"({count / seconds:.0f}/s); memory {watched.before >> 20} MiB before, then x{watched.growth():.3f} from the first third "
            f"to the last, {min(watched.resident) >> 20}-{max(watched.resident) >> 20} MiB"
        )


async def _fill(url: str, s3: S3Server, count: int, asked: Asked) -> list[Image]:
    images = list(_images(count))
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute("INSERT INTO collectors (collector_id) VALUES ('gate-1')")
        named = ["detection_id", "collector_id", "batch_id", "camera_id", "captured_at", "received_at", "plate"]
        named += ["plate_searchable", "confidence", "retain_until"]
        rows = [_detection(number) for number in range(count)]
        await connection.copy_records_to_table("detections", records=rows, columns=named)
        named = ["detection_id", "kind", "state", "key", "content_type", "size", "sha256", "stored_at"]
        records = [
            (one, kind, "stored", key, "image/jpeg", len(data), hashlib.sha256(data).digest(), NEWEST)
            for one, kind, key, data in images
        ]
        await connection.copy_records_to_table("images", records=records, columns=named)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
    asked.say(f"{count} rows; {len(images)} objects to put")
    store = S3Store.open(
        endpoint=s3.endpoint,
        secure=False,
        region=s3.region,
        bucket=s3.bucket,
        access_key=s3.access_key,
        secret_key=s3.secret_key,
    )
    waiting = iter(images)

    async def put() -> None:
        for _, _, key, data in waiting:
            assert await store.create(key, NewObject(data=data, content_type="image/jpeg", metadata={}))

    await asyncio.gather(*(put() for _ in range(PUTS_AT_ONCE)))
    return images


def _images(count: int) -> Any:
    for number in range(count):
        name, at = f"evt_{number:08}", _captured_at(number)
        yield name, "crop", generate_object_key(name, at, "crop"), CROPS[number % len(CROPS)]
        if number % FULL_EACH == 0:
            yield name, "full", generate_object_key(name, at, "full"), FULLS[number % len(FULLS)]


def _detection(number: int) -> tuple[Any, ...]:
    at, plate = _captured_at(number), f"AB{number:06}"
    named = (f"evt_{number:08}", "gate-1", "b-1", f"camera-{number % 12}", at, at + timedelta(seconds=1))
    return (*named, plate, plate, 0.9, at + timedelta(days=365))


def _captured_at(number: int) -> datetime:
    return NEWEST - timedelta(seconds=3 * number)


async def _download(url: str, pid: int, archive: Path, asked: Asked) -> Watched:
    watched = Watched(before=resident_bytes(pid))

    async def look() -> None:
        while True:
            await asyncio.sleep(1 / LOOKS_A_SECOND)
            watched.resident.append(resident_bytes(pid))
            if len(watched.resident) % (LOOKS_A_SECOND * 10) == 0:
                asked.say(f"memory {watched.resident[-1] >> 20} MiB, archive {archive.stat().st_size >> 20} MiB")

    looking = asyncio.create_task(look())
    headers = LOOKING | {"X-Purpose": "measuring", "X-Case": "100000"}
    try:
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=120) as client,
            client.stream("POST", f"{url}/v1/export", json={"limit": DETECTIONS}, headers=headers) as answer,
        ):
            answer.raise_for_status()
            with archive.open("wb") as out:
                async for chunk in answer.aiter_raw():
                    out.write(chunk)
    finally:
        watched.resident.append(resident_bytes(pid))
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
    return watched


async def _killed(vault: Service, archive: Path) -> bool:
    """Whether everybody sees that an archive is not whole whose vault was killed in the middle: its client, unzip, Python."""
    seen = False
    with suppress(httpx2.HTTPError):
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=120) as client,
            client.stream("GET", f"{vault.url}/v1/export", headers=LOOKING) as answer,
        ):
            with archive.open("wb") as out:
                async for chunk in answer.aiter_raw():
                    out.write(chunk)
                    if out.tell() > KILLED_AFTER_BYTES and vault.process.poll() is None:
                        vault.kill()
        seen = True
    tested = await asyncio.to_thread(subprocess.run, ["unzip", "-tqq", str(archive)], capture_output=True, check=False)
    return not seen and tested.returncode != 0 and not zipfile.is_zipfile(archive)


def _held_against(path: Path, images: list[Image], count: int) -> Wrong:
    wrong = Wrong()
    tested = subprocess.run(["unzip", "-tqq", str(path)], capture_output=True, text=True, check=False)
    wrong.add("complaints of unzip", int(tested.returncode != 0))
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        told = {image["file"]: image["sha256"] for one in manifest["detections"] for image in one["images"].values()}
        wrong.add("detections missing", abs(count - len(manifest["detections"])))
        wrong.add("files that are not listed", len(set(archive.namelist()) ^ set(told)) - 3)
        differ = [key for _, _, key, data in images if _digest(archive, key) != hashlib.sha256(data).hexdigest()]
        wrong.add("images that differ", len(differ))
        wrong.add(
            "digests that differ", sum(told[key] != hashlib.sha256(data).hexdigest() for _, _, key, data in images)
        )
    return wrong


def _digest(archive: zipfile.ZipFile, name: str) -> str | None:
    with suppress(KeyError, zipfile.BadZipFile):
        return hashlib.sha256(archive.read(name)).hexdigest()
    return None
