"""Which key opens what: an identity of its own where one is set, the service's otherwise."""

from pathlib import Path
from typing import Any

import pytest

from platevault.app.credentials import admin_key, identity_keys, presign_key, revealed, service_key, tier_key
from platevault.app.storage import open_presigner, open_upload_signer, open_watched_bucket
from platevault.infra.objectstore.admin.policies import PRESIGN, SERVICE, UPLOAD
from platevault.provisioning.setup import Key
from platevault.settings import Settings, read_settings

SERVICE_KEY = Key(access_key="service", secret_key="service-secret")


def s3(folder: Path, **more: Any) -> Settings:
    given: dict[str, Any] = {
        "database_url": "postgresql+asyncpg://nobody@127.0.0.1:1/none",
        "storage_backend": "s3",
        "minio_endpoint": "127.0.0.1:1",
        "minio_access_key": "service",
        "minio_secret_key": "service-secret",
        "collector_token": "a-collector-token-of-the-tests",
        "viewer_token": "a-viewer-token-of-the-tests",
        "url_signing_key": "a-signing-key-of-the-tests-long-enough",
        "spool_dir": folder / "spool",
    }
    return read_settings(env_file=None, **(given | more))


def test_an_identity_that_is_not_set_falls_back_to_the_service(tmp_path: Path) -> None:
    settings = s3(tmp_path)
    assert (service_key(settings), presign_key(settings), admin_key(settings)) == (SERVICE_KEY,) * 3
    assert identity_keys(settings) == {SERVICE: SERVICE_KEY}


@pytest.mark.parametrize(("name", "key_of"), [("presign", presign_key), ("admin", admin_key)])
def test_an_identity_that_is_set_is_used_whole(tmp_path: Path, name: str, key_of: Any) -> None:
    settings = s3(tmp_path, **{f"minio_{name}_access_key": name, f"minio_{name}_secret_key": f"{name}-secret"})
    assert key_of(settings) == Key(access_key=name, secret_key=f"{name}-secret")
    assert service_key(settings) == SERVICE_KEY


def test_the_identities_that_are_set_are_listed(tmp_path: Path) -> None:
    settings = s3(
        tmp_path,
        minio_presign_access_key="presign",
        minio_presign_secret_key="presign-secret",
        minio_upload_access_key="upload",
        minio_upload_secret_key="upload-secret",
        minio_admin_access_key="admin",
        minio_admin_secret_key="admin-secret",
    )
    assert identity_keys(settings) == {
        SERVICE: SERVICE_KEY,
        PRESIGN: Key(access_key="presign", secret_key="presign-secret"),
        UPLOAD: Key(access_key="upload", secret_key="upload-secret"),
    }


def test_the_tier_has_a_key_of_its_own(tmp_path: Path) -> None:
    settings = s3(tmp_path, tier_access_key="tier", tier_secret_key="tier-secret")
    assert tier_key(settings) == Key(access_key="tier", secret_key="tier-secret")
    assert revealed(None) == ""


def test_what_needs_an_identity_is_off_without_it(tmp_path: Path) -> None:
    settings = s3(tmp_path)
    assert (open_upload_signer(settings), open_presigner(settings)) == (None, None)
    uploads = s3(tmp_path, minio_upload_access_key="upload", minio_upload_secret_key="upload-secret")
    assert open_upload_signer(uploads) is not None


def test_without_s3_there_is_no_bucket_to_watch(tmp_path: Path) -> None:
    local = s3(tmp_path, storage_backend="local", minio_upload_access_key="upload", minio_upload_secret_key="secret")
    assert (open_watched_bucket(local), open_upload_signer(local), open_presigner(local)) == (None, None, None)
    assert open_watched_bucket(s3(tmp_path)) is not None
