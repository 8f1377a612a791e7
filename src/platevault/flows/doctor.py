"""Look at an installation as a whole and say what is wrong with it and how to mend it; changes nothing that lasts."""

import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from platevault.domain.errors import StoreMisconfigured, StoreUnavailable, Unavailable
from platevault.domain.finding import Finding, fine, problem, warning
from platevault.flows.configure_bucket import BucketReport
from platevault.stores.database import Database
from platevault.stores.http_probe import probe
from platevault.stores.local_disk import IN_MEMORY, NETWORK_FILE_SYSTEMS, file_system_of
from platevault.stores.migrations import schema_state
from platevault.stores.nodes import seconds_since_a_worker_was_seen
from platevault.stores.objects import NewObject, ObjectStore, UrlSigner

CANARY: Final = b"\xff\xd8\xff platevault doctor"
SKEW_WARNING: Final = timedelta(seconds=30)
SKEW_REFUSED: Final = timedelta(minutes=15)  # S3 refuses signatures past it
WORKER_SILENT_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The installation. `store_url` is None and `presigner` may be None where there is no S3; `bucket_report` looks at the bucket."""

    database: Database
    objects: ObjectStore
    signer: UrlSigner
    presigner: ObjectStore | None
    bucket_report: Callable[[], Awaitable[BucketReport]] | None
    store_url: str | None
    spool_dir: Path
    room_wanted: int
    canary_key: str
    now: Callable[[], datetime]


async def examine(patient: Patient) -> list[Finding]:
    """Every finding, in the order in which an operator would mend them."""
    base = await _database(patient)
    found = [*base, *_spool(patient), *await _store(patient)]
    if patient.store_url is not None:
        found += [*await _clock(patient, patient.store_url), *await _bucket(patient)]
    found += [*await _public_endpoint(patient), *await _presign_identity(patient)]
    if all(finding.status == "ok" for finding in base):
        found += await _worker(patient)
    return found


async def _database(patient: Patient) -> Sequence[Finding]:
    try:
        state = await schema_state(patient.database)
    except Unavailable as error:
        return [problem("database", str(error), "start PostgreSQL, or correct DATABASE_URL")]
    if state.is_older:
        what = f"schema {state.current or 'none'}, this version needs {state.wanted}"
        return [fine("database", "answers"), problem("schema", what, "run `platevault migrate`")]
    return [fine("database", "answers"), fine("schema", state.current or "")]


def _spool(patient: Patient) -> Sequence[Finding]:
    folder = patient.spool_dir
    if not folder.is_dir():
        return [
            warning(
                "spool",
                f"{folder} does not exist yet",
                "`platevault serve` makes it; check that SPOOL_DIR is what you mean",
            )
        ]
    kind = file_system_of(folder.resolve())
    if kind in NETWORK_FILE_SYSTEMS:
        return [problem("spool", f"{folder} is on a network file system ({kind})", "move SPOOL_DIR to a local disk")]
    if kind in IN_MEMORY:
        return [
            problem(
                "spool", f"{folder} is in memory ({kind}): a power cut empties it", "move SPOOL_DIR to a local disk"
            )
        ]
    if folder.stat().st_uid != os.geteuid() or not os.access(folder, os.W_OK):
        owner = folder.stat().st_uid
        what = f"{folder} belongs to user {owner} and this is user {os.geteuid()}"
        return [problem("spool", what, f"run as user {owner}, or `chown -R {os.geteuid()} {folder}`")]
    free = shutil.disk_usage(folder).free
    if free < patient.room_wanted:
        what = f"{free:,} bytes are free and a few batches want {patient.room_wanted:,}"
        return [problem("spool", what, "free some room, or move SPOOL_DIR to a larger disk")]
    return [fine("spool", f"{folder} on {kind or 'a local disk'}, {free:,} bytes free")]


async def _store(patient: Patient) -> Sequence[Finding]:
    try:
        await patient.objects.check()
    except StoreMisconfigured as error:
        return [
            problem(
                "object store",
                str(error),
                "correct MINIO_ACCESS_KEY, MINIO_SECRET_KEY, MINIO_BUCKET; or run `platevault setup`",
            )
        ]
    except StoreUnavailable as error:
        return [problem("object store", str(error), "start the store, or correct MINIO_ENDPOINT and MINIO_SECURE")]
    return [fine("object store", "takes objects")]


async def _clock(patient: Patient, store_url: str) -> Sequence[Finding]:
    try:
        told = (await probe(store_url)).date
    except StoreUnavailable:
        return []  # said already
    if told is None:
        return [warning("clock", "the store does not tell its time", "compare the clocks by hand")]
    skew = abs(patient.now() - told)
    what = f"{skew.total_seconds():.0f} seconds from the store's"
    repair = "set the clock of this machine and of the store by NTP"
    if skew > SKEW_REFUSED:
        return [problem("clock", what + "; S3 refuses requests past 15 minutes", repair)]
    if skew > SKEW_WARNING:
        return [warning("clock", what, repair)]
    return [fine("clock", what)]


async def _bucket(patient: Patient) -> Sequence[Finding]:
    if patient.bucket_report is None:
        return []
    try:
        report = await patient.bucket_report()
    except Unavailable as error:
        return [
            warning("bucket", f"cannot be looked at: {error}", "run `platevault bucket check` with the admin identity")
        ]
    repair = "run `platevault bucket configure`"
    if not report.ok:
        return [problem("bucket", sentence, repair) for sentence in report.problems]
    return [fine("bucket", f"{report.bucket} and its rules are as they should be")]


async def _public_endpoint(patient: Patient) -> Sequence[Finding]:
    """A browser must get an object by its URL: one is put, fetched as a stranger would, and removed."""
    key = f"{patient.canary_key}_url.jpg"
    repair = (
        "correct MINIO_PUBLIC_ENDPOINT, so that it leads from a browser to the store and its Host arrives unchanged"
    )
    try:
        await patient.objects.create(key, NewObject(data=CANARY, content_type="image/jpeg", metadata={}))
    except StoreUnavailable:
        return []  # said already
    url = patient.signer.sign(key, valid_for=timedelta(minutes=5), now=patient.now()).url
    origin = url.partition("?")[0].removesuffix(key)
    try:
        got = await probe(url)
    except StoreUnavailable as error:
        return [problem("image URLs", f"{origin} cannot be reached from here: {error}", repair)]
    finally:
        await patient.objects.delete(key)
    if got.body != CANARY:
        return [problem("image URLs", f"{origin} answered {got.status} to a signed URL", repair)]
    return [fine("image URLs", f"{origin} gives an object by its signed URL")]


async def _presign_identity(patient: Patient) -> Sequence[Finding]:
    if patient.store_url is None:
        return []
    if patient.presigner is None:
        what = "image URLs carry the id of the service's own key"
        return [
            warning(
                "presign identity",
                what,
                "set MINIO_PRESIGN_ACCESS_KEY and MINIO_PRESIGN_SECRET_KEY; `platevault setup` makes it",
            )
        ]
    key = f"{patient.canary_key}_presign.jpg"
    try:
        await patient.presigner.create(key, NewObject(data=CANARY, content_type="image/jpeg", metadata={}))
    except StoreMisconfigured:
        return [fine("presign identity", "cannot write")]
    except StoreUnavailable:
        return []  # said already
    await patient.objects.delete(key)
    return [
        problem(
            "presign identity",
            "can write, and its key id is in every image URL",
            "give it GetObject alone: `platevault setup`",
        )
    ]


async def _worker(patient: Patient) -> Sequence[Finding]:
    try:
        age = await seconds_since_a_worker_was_seen(patient.database)
    except Unavailable:
        return []  # said already
    if age is None or age > WORKER_SILENT_SECONDS:
        what = "never seen" if age is None else f"last seen {age:,.0f} seconds ago"
        return [problem("worker", what, "start `platevault worker` on the machine of the spool")]
    return [fine("worker", f"seen {age:.0f} seconds ago")]
