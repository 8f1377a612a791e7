"""Settings: what is wrong is named, and the example has every one."""

from pathlib import Path

import pytest

from platevault.domain.errors import SettingsInvalid
from platevault.settings import Settings, defaults, read_settings, secret_names, shown, variables

ROOT = Path(__file__).parents[1]
GOOD = {
    "database_url": "postgresql+asyncpg://u:p@h/d",
    "minio_endpoint": "h:9000",
    "minio_access_key": "k",
    "minio_secret_key": "secret-canary",
    "collector_token": "c" * 16,
    "viewer_token": "v" * 16,
}


def settings(**more: object) -> Settings:
    return read_settings(env_file=None, **{**GOOD, **more})


def test_the_example_has_a_line_for_each_setting_and_none_besides() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    named = {line.partition("=")[0]: line.partition("=")[2] for line in lines if line and not line.startswith("#")}
    assert set(named) == variables() - {"PLATEVAULT_EMBEDDED", "PLATEVAULT_EMBEDDED_STATES"}
    for name, default, _ in defaults():
        assert named[name].startswith("<") or named[name] == default, name


def test_nothing_starts_with_the_values_of_the_example() -> None:
    with pytest.raises(SettingsInvalid, match="still the word of"):
        read_settings(env_file=ROOT / ".env.example")


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_is_missing_is_named_with_the_fix(name: str) -> None:
    with pytest.raises(SettingsInvalid, match=name.upper()):
        settings(**{name: None})


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"minio_endpoint": "http://h:9000"}, "MINIO_ENDPOINT"),
        ({"minio_public_endpoint": "h:9000"}, "MINIO_PUBLIC_ENDPOINT"),
        ({"minio_public_endpoint": "http://0.0.0.0:9000"}, "MINIO_PUBLIC_ENDPOINT"),
        ({"public_url": "http://[::]:8000"}, "PUBLIC_URL"),
        ({"minio_bucket": "Not_A_Bucket"}, "MINIO_BUCKET"),
        ({"database_url": "postgresql://u:p@h/d"}, "DATABASE_URL"),
        ({"image_types": "image/gif"}, "IMAGE_TYPES"),
        ({"image_url_expiry_minutes": 61}, "IMAGE_URL_EXPIRY_MINUTES"),
        ({"max_batch_bytes": 1024 * 1024}, "MAX_BATCH_BYTES"),
        ({"collector_token": "short"}, "COLLECTOR_TOKEN"),
        ({"metrics_token": "m" * 15}, "METRICS_TOKEN"),
        ({"admin_token": "a" * 15}, "ADMIN_TOKEN"),
        ({"storage_backend": "local"}, "URL_SIGNING_KEY"),
        ({"public_url": "https://vault.example", "minio_secure": False}, "mixed content"),
        ({"port": 70000}, "PORT"),
        ({"cors_origins": "*"}, "CORS_ORIGINS"),
        ({"cors_origins": "https://a.example/path"}, "CORS_ORIGINS"),
        ({"image_delivery": "proxy"}, "URL_SIGNING_KEY"),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsInvalid, match=named):
        settings(**wrong)


def test_each_edge_is_taken_on_its_good_side() -> None:
    assert settings(image_url_expiry_minutes=60).image_url_expiry_minutes == 60
    assert settings(collector_token="c" * 16).collector_token is not None
    assert settings(public_url="https://vault.example", minio_secure=True).image_origin == "https://h:9000"
    assert settings(image_types="image/jpeg, image/png").image_types == ("image/jpeg", "image/png")


def test_a_secret_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-the-file-0123\n")
    monkeypatch.setenv("COLLECTOR_TOKEN_FILE", str(secret))
    found = read_settings(env_file=None, **{name: value for name, value in GOOD.items() if name != "collector_token"})
    assert found.collector_token is not None
    assert found.collector_token.get_secret_value() == "from-the-file-0123"
    monkeypatch.setenv("COLLECTOR_TOKEN", "another-token-0123")
    with pytest.raises(SettingsInvalid, match="both set"):
        read_settings(env_file=None)
    monkeypatch.delenv("COLLECTOR_TOKEN")
    for bad in ("", "  \n"):
        secret.write_text(bad)
        with pytest.raises(SettingsInvalid, match="COLLECTOR_TOKEN_FILE"):
            read_settings(env_file=None)
    secret.unlink()
    with pytest.raises(SettingsInvalid, match="COLLECTOR_TOKEN_FILE"):
        read_settings(env_file=None)


def test_a_file_of_a_secret_may_be_named_in_the_env_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-the-file-0123\n")
    written = tmp_path / ".env"
    lines = [f"{name.upper()}={value}" for name, value in GOOD.items() if name != "viewer_token"]
    written.write_text("\n".join([*lines, f"VIEWER_TOKEN_FILE={secret}"]))
    found = read_settings(env_file=written)
    assert found.viewer_token is not None
    assert found.viewer_token.get_secret_value() == "from-the-file-0123"


def test_every_secret_can_stand_in_a_file() -> None:
    assert set(secret_names()) == {
        "minio_secret_key",
        "minio_presign_secret_key",
        "minio_upload_secret_key",
        "minio_admin_secret_key",
        "tier_secret_key",
        "url_signing_key",
        "database_url",
        "collector_token",
        "viewer_token",
        "admin_token",
        "metrics_token",
    }


def test_secrets_are_masked_wherever_settings_are_shown() -> None:
    found = settings()
    assert "secret-canary" not in repr(found) + str(shown(found))


def test_tokens_are_not_needed_where_the_service_is_this_machines_own() -> None:
    assert settings(collector_token=None, viewer_token=None, platevault_embedded=True).viewer_token is None
