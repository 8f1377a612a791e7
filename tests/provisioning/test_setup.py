"""`platevault setup` on a real MinIO: made as often as anybody likes, and each identity held to what it must not do."""

import io
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
import urllib3
from minio import Minio
from minio.error import S3Error

from tests.support.processes import environment_for, run_platevault
from tests.support.servers import S3Server

JPEG = b"\xff\xd8\xff" + b"x" * 100


@pytest.fixture
def site(empty_database_url: str, minio: S3Server, tmp_path: Path) -> dict[str, str]:
    """A new site: an empty database, no bucket, identities that nobody knows yet."""
    keys = {
        f"MINIO_{name}{part}_KEY": secrets.token_hex(10 if part == "ACCESS" else 20)
        for name in ("", "PRESIGN_", "UPLOAD_")
        for part in ("ACCESS", "SECRET")
    }
    root = {"MINIO_ADMIN_ACCESS_KEY": minio.admin_access_key, "MINIO_ADMIN_SECRET_KEY": minio.admin_secret_key}
    return environment_for(
        empty_database_url, minio, tmp_path, **keys, **root, MINIO_BUCKET=f"site-{secrets.token_hex(4)}"
    )


def client(site: dict[str, str], identity: str) -> Minio:
    prefix = "" if identity == "service" else f"{identity.upper()}_"
    return Minio(
        site["MINIO_ENDPOINT"],
        access_key=site[f"MINIO_{prefix}ACCESS_KEY"],
        secret_key=site[f"MINIO_{prefix}SECRET_KEY"],
        secure=False,
        region="us-east-1",
        http_client=urllib3.PoolManager(retries=urllib3.Retry(0)),
    )


def put(at: Minio, bucket: str, key: str) -> None:
    at.put_object(bucket, key, io.BytesIO(JPEG), len(JPEG))


def refused(doing: Callable[[], object]) -> bool:
    try:
        doing()
    except S3Error as error:
        return error.code == "AccessDenied"
    return False


def test_a_new_site_is_set_up_as_often_as_anybody_likes(site: dict[str, str], tmp_path: Path) -> None:
    for _ in range(2):
        done = run_platevault("setup", environment=site, folder=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "as it should be" in done.stdout
    assert run_platevault("bucket", "check", environment=site, folder=tmp_path).returncode == 0


def test_each_identity_can_do_its_own_and_nothing_else(site: dict[str, str], tmp_path: Path) -> None:
    assert run_platevault("setup", environment=site, folder=tmp_path).returncode == 0
    bucket = site["MINIO_BUCKET"]
    service, presign, upload = (client(site, name) for name in ("service", "presign", "upload"))
    for key in ("full/2025/01/15/evt_full.jpg", "quarantine/x", "meta/generation", "temp/a/full"):
        put(service, bucket, key)
    assert presign.get_object(bucket, "full/2025/01/15/evt_full.jpg").read() == JPEG
    put(upload, bucket, "temp/b/full")
    forbidden: list[Callable[[], object]] = [
        lambda: service.make_bucket("another-bucket"),
        lambda: service.list_buckets() and service.remove_bucket(bucket),
        lambda: service.delete_bucket_lifecycle(bucket),
        lambda: service.set_bucket_policy(bucket, "{}"),
        lambda: put(presign, bucket, "full/2025/01/15/other_full.jpg"),
        lambda: presign.remove_object(bucket, "full/2025/01/15/evt_full.jpg"),
        lambda: list(presign.list_objects(bucket)),
        lambda: presign.get_object(bucket, "quarantine/x"),
        lambda: presign.get_object(bucket, "meta/generation"),
        lambda: presign.get_object(bucket, "temp/a/full"),
        lambda: put(upload, bucket, "full/2025/01/15/other_full.jpg"),
        lambda: upload.get_object(bucket, "temp/b/full"),
        lambda: upload.get_object(bucket, "full/2025/01/15/evt_full.jpg"),
        lambda: list(upload.list_objects(bucket)),
    ]
    assert [number for number, doing in enumerate(forbidden) if not refused(doing)] == []


def test_without_the_right_to_make_users_set_up_says_so(site: dict[str, str], minio: S3Server, tmp_path: Path) -> None:
    assert run_platevault("setup", environment=site, folder=tmp_path).returncode == 0
    weaker = site | {
        "MINIO_ADMIN_ACCESS_KEY": site["MINIO_ACCESS_KEY"],
        "MINIO_ADMIN_SECRET_KEY": site["MINIO_SECRET_KEY"],
    }
    failed = run_platevault("setup", environment=weaker, folder=tmp_path)
    assert failed.returncode != 0
    assert site["MINIO_SECRET_KEY"] not in failed.stdout + failed.stderr
    assert "Traceback" not in failed.stderr
