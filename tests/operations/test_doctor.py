"""`platevault doctor`: each thing that operators get wrong, provoked once."""

import io
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from platevault.app.commands import open_installation
from platevault.infra.postgres.database import Database
from platevault.operations import doctor
from platevault.operations.doctor import diagnose
from platevault.settings import read_settings, variables
from tests.makers import a_detection, an_image, put
from tests.support.processes import environment_for, run_platevault
from tests.support.servers import S3Server

Findings = dict[str, dict[str, str]]


@pytest.fixture
def site(migrated_url: str, minio: S3Server, tmp_path: Path) -> dict[str, str]:
    """A site as it should be, but for its worker."""
    (tmp_path / "spool").mkdir()
    environment = environment_for(migrated_url, minio, tmp_path)
    admin = {"MINIO_ADMIN_ACCESS_KEY": minio.admin_access_key, "MINIO_ADMIN_SECRET_KEY": minio.admin_secret_key}
    done = run_platevault("bucket", "configure", environment=environment | admin, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    return environment


@pytest.fixture
async def with_worker(site: dict[str, str], migrated: Database) -> dict[str, str]:
    beat = "INSERT INTO nodes (node_id, host, worker_seen_at) VALUES (gen_random_uuid(), 'here', now())"
    await migrated.transaction(lambda connection: connection.execute(text(beat)))
    return site


async def findings(site: dict[str, str], **changes: object) -> Findings:
    """What is found in a site of these variables."""
    settings = read_settings(
        env_file=None, **{name.lower(): value for name, value in site.items() if name in variables() and value}
    )
    installation = replace(open_installation(settings), **changes)  # type: ignore[arg-type]
    try:
        return {finding.check: finding.as_dict() for finding in await diagnose(installation)}
    finally:
        await installation.objects.close()
        await installation.database.close()


def examined(site: dict[str, str], folder: Path) -> tuple[int, Findings]:
    done = run_platevault("doctor", "--json", environment=site, folder=folder)
    assert done.stdout.startswith("["), done.stdout + done.stderr
    assert site["MINIO_SECRET_KEY"] not in done.stdout + done.stderr
    return done.returncode, {finding["check"]: finding for finding in json.loads(done.stdout)}


async def test_a_site_as_it_should_be_has_nothing_to_mend(with_worker: dict[str, str], tmp_path: Path) -> None:
    code, found = examined(with_worker, tmp_path)
    assert {finding["status"] for finding in found.values()} == {"ok"}, found
    assert code == 0
    assert {
        "database",
        "schema",
        "spool",
        "object store",
        "clock",
        "database clock",
        "bucket",
        "image URLs",
        "presign identity",
        "missing images",
        "dead letters",
        "restore marker",
        "worker",
    } == set(found)


@pytest.mark.parametrize(
    ("change", "check", "status", "repair"),
    [
        ({"DATABASE_URL": "postgresql+asyncpg://u:p@127.0.0.1:1/x"}, "database", "problem", "start PostgreSQL"),
        ({"MINIO_ENDPOINT": "127.0.0.1:1"}, "object store", "problem", "start the store"),
        ({"MINIO_SECRET_KEY": "wrong-secret-wrong-secret"}, "object store", "problem", "MINIO_SECRET_KEY"),
        ({"MINIO_BUCKET": "no-such-bucket"}, "object store", "problem", "platevault setup"),
        ({"IMAGE_RETENTION_DAYS": "500"}, "bucket", "problem", "platevault bucket configure"),
        ({"MINIO_PUBLIC_ENDPOINT": "http://127.0.0.1:1"}, "image URLs", "problem", "MINIO_PUBLIC_ENDPOINT"),
        (
            {"MINIO_PRESIGN_ACCESS_KEY": "", "MINIO_PRESIGN_SECRET_KEY": ""},
            "presign identity",
            "warning",
            "platevault setup",
        ),
        ({"SPOOL_DIR": "/dev/shm/platevault-doctor"}, "spool", "problem", "local disk"),
        ({"SPOOL_DIR": "nowhere"}, "spool", "warning", "SPOOL_DIR"),
        ({"MAX_BATCH_BYTES": str(10**16), "SPOOL_MAX_BYTES": str(10**17)}, "spool", "problem", "free some room"),
        ({"DISK_RESERVE_BYTES": str(10**16)}, "spool", "problem", "DISK_RESERVE_BYTES"),
    ],
)
async def test_each_fault_is_found_and_says_how_to_mend_it(
    site: dict[str, str], change: dict[str, str], check: str, status: str, repair: str
) -> None:
    in_memory = Path("/dev/shm/platevault-doctor")
    if change.get("SPOOL_DIR") == str(in_memory):
        in_memory.mkdir(exist_ok=True)
    found = await findings(site | change)
    assert found[check]["status"] == status
    assert repair in found[check]["repair"]


async def test_a_presign_identity_that_can_write_is_a_problem(site: dict[str, str]) -> None:
    same = {
        "MINIO_PRESIGN_ACCESS_KEY": site["MINIO_ACCESS_KEY"],
        "MINIO_PRESIGN_SECRET_KEY": site["MINIO_SECRET_KEY"],
    }
    found = await findings(site | same)
    assert found["presign identity"]["status"] == "problem"


def test_a_worker_that_was_never_seen_is_a_problem(site: dict[str, str], tmp_path: Path) -> None:
    code, found = examined(site, tmp_path)
    assert code == 1
    assert found["worker"]["repair"].startswith("start `platevault worker`")
    assert [name for name, finding in found.items() if finding["status"] != "ok"] == ["worker"]


async def test_images_that_need_an_operator_are_told_of(
    site: dict[str, str], migrated: Database, minio: S3Server
) -> None:
    async with migrated.reading() as connection:
        await put(connection, a_detection(images=[an_image(state="missing"), an_image("crop", state="pending")]))
        await connection.execute(text("UPDATE images SET dead_at = now() WHERE state = 'pending'"))
        await connection.commit()
    minio.client().put_object(minio.bucket, "meta/generation", io.BytesIO(b'{"number": 7}'), 13)
    try:
        found = await findings(site)
    finally:
        minio.client().remove_object(minio.bucket, "meta/generation")
    assert (found["missing images"]["status"], found["dead letters"]["status"]) == ("warning", "warning")
    assert "/v1/resend" in found["missing images"]["repair"]
    assert found["restore marker"]["status"] == "problem"
    assert "--confirm-restore" in found["restore marker"]["repair"]


async def test_a_schema_that_is_missing_is_a_problem(empty_database_url: str, site: dict[str, str]) -> None:
    found = await findings(site | {"DATABASE_URL": empty_database_url})
    assert found["schema"]["repair"] == "run `platevault migrate`"


@pytest.mark.root(reason="giving a folder away needs root")
async def test_a_spool_of_somebody_else_is_a_problem(site: dict[str, str], tmp_path: Path) -> None:
    os.chown(tmp_path / "spool", 12345, 12345)
    found = await findings(site)
    assert "chown" in found["spool"]["repair"]


@pytest.mark.parametrize(("minutes", "status"), [(0, "ok"), (2, "warning"), (20, "problem")])
async def test_a_clock_that_is_off_is_found(site: dict[str, str], minutes: int, status: str) -> None:
    found = await findings(site, now=lambda: datetime.now(UTC) + timedelta(minutes=minutes))
    assert found["clock"]["status"] == status


async def test_a_spool_on_a_network_file_system_is_a_problem(
    site: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "file_system_of", lambda _: "nfs4")
    found = (await findings(site))["spool"]
    assert found["status"] == "problem"
    assert "local disk" in found["repair"]
