"""Faults of the settings: each is named in one run, in a plain sentence, without its value."""

import os
import re
from pathlib import Path
from typing import Any, Final

import pytest

from platevault.domain.errors import SettingsInvalid
from platevault.settings import Settings, read_settings, shown
from tests.support.processes import run_platevault
from tests.test_settings import GOOD

CANARY: Final = "secret-canary"
LIBRARY_WORDS: Final = re.compile(
    r"Field required|[Ii]nput should|String should|Value error|unable to parse|valid (integer|string|boolean)|greater than|less than"
    r"|validation|pydantic|type=|urlsplit|could not be cast|invalid literal|Errno"
)
URL_SETTINGS: Final = ("minio_public_endpoint", "public_url", "tier_endpoint", "cors_origins")


def faults_of(*, env_file: Path | None = None, **given: Any) -> list[str]:
    with pytest.raises(SettingsInvalid) as wrong:
        read_settings(env_file=env_file, **given)
    assert CANARY not in str(wrong.value)
    assert not LIBRARY_WORDS.search(str(wrong.value)), str(wrong.value)
    assert wrong.value.__cause__ is None
    return str(wrong.value).splitlines()


def test_all_that_is_missing_is_named_at_once() -> None:
    lines = faults_of()
    assert [line.partition(" ")[0] for line in lines] == [name.upper() for name in GOOD]
    assert all(re.fullmatch(r"[A-Z_]+ is not set: .+", line) for line in lines)


def test_what_is_missing_and_what_is_wrong_are_named_together_and_each_once() -> None:
    given = {**GOOD, "minio_access_key": None, "viewer_token": "short", "port": "eight", "minio_endpoint": "http://h:1"}
    lines = faults_of(**given)
    names = ["MINIO_ENDPOINT", "PORT", "MINIO_ACCESS_KEY", "VIEWER_TOKEN"]
    assert [re.split("[: ]", line)[0] for line in lines] == names


def test_a_comparison_with_a_wrong_value_is_not_said() -> None:
    assert len(faults_of(**{**GOOD, "max_batch_bytes": "many", "max_image_bytes": 2**40})) == 1


def test_a_secret_whose_file_is_missing_is_named_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTOR_TOKEN_FILE", str(tmp_path / "nothing"))
    monkeypatch.setenv("MINIO_SECRET_KEY_FILE", str(tmp_path / "nothing"))
    missing = ("collector_token", "minio_secret_key", "viewer_token")
    lines = faults_of(**{name: value for name, value in GOOD.items() if name not in missing})
    names = ["MINIO_SECRET_KEY_FILE", "COLLECTOR_TOKEN_FILE", "VIEWER_TOKEN"]
    assert [re.split("[= ]", line)[0] for line in lines] == names


def test_an_env_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"VIEWER_TOKEN=\xff\xfe")
    (line,) = faults_of(env_file=file, **GOOD)
    assert ".env cannot be read" in line


def refusal_of(**given: Any) -> str:
    """The sentences about these settings; empty where nothing is wrong."""
    try:
        read_settings(env_file=None, **given)
    except SettingsInvalid as error:
        return str(error)
    return ""


@pytest.mark.parametrize("value", ["", "\x01", CANARY, "-1", "1.5", "9" * 30])
@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_no_setting_is_refused_in_the_words_of_a_library(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {field: text for field, text in GOOD.items() if field != name}
    said = [refusal_of(**good, **{name: value})]
    monkeypatch.setenv(name.upper(), value)
    said.append(refusal_of(**good))
    for sentences in filter(None, said):
        assert not LIBRARY_WORDS.search(sentences), sentences
        assert re.search(rf"\b{name.upper()}\b", sentences) or "MAX_" in sentences, sentences
        assert name == "image_variants" or CANARY not in sentences


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"port": "eight"}, "PORT: a whole number from 0 to 65535"),
        ({"port": 65_536}, "PORT: a whole number from 0 to 65535"),
        ({"max_batch_bytes": 1}, "MAX_BATCH_BYTES: a whole number of at least 65536"),
        ({"minio_secure": "perhaps"}, "MINIO_SECURE: true or false"),
        ({"storage_backend": "s4"}, "STORAGE_BACKEND: one of s3 or local"),
        ({"minio_bucket": "Not_A_Bucket"}, "MINIO_BUCKET: 3 to 63 lower-case letters"),
        ({"tier_name": "cold"}, "TIER_NAME: 1 to 63 upper-case letters"),
        ({"database_url": "mysql://u:p@h/d"}, "DATABASE_URL: must begin with postgresql+asyncpg://"),
        ({"database_url": f"postgresql+asyncpg://u:p@h:{CANARY}/d"}, "DATABASE_URL: the port is no number"),
        ({"minio_endpoint": "h:port"}, "MINIO_ENDPOINT: host:port"),
        ({"public_url": "https://h:port"}, "PUBLIC_URL: scheme://host"),
        ({"public_url": "https://[h"}, "PUBLIC_URL: scheme://host"),
        ({"public_url": "https://h#part"}, "PUBLIC_URL: scheme://host"),
    ],
)
def test_a_fault_says_what_would_be_right(wrong: dict[str, object], said: str) -> None:
    (line,) = faults_of(**{**GOOD, **wrong})
    assert line.startswith(said)


@pytest.mark.parametrize("name", ["minio_endpoint", *URL_SETTINGS])
@pytest.mark.parametrize("credentials", [f"user:{CANARY}@", f"{CANARY}@", f"user:{CANARY}/x@", "@"])
def test_credentials_in_an_endpoint_are_refused_by_its_name_and_not_shown(name: str, credentials: str) -> None:
    for scheme in ("http://", "https://", ""):
        (line,) = faults_of(**{**GOOD, name: f"{scheme}{credentials}host:9000"})
        assert line.startswith(f"{name.upper()}: holds a user name or a password")


def test_every_setting_that_is_a_url_is_among_them() -> None:
    named = {name for name in Settings.model_fields if re.search("url$|endpoint$|origins$", name)}
    assert named == {"minio_endpoint", "database_url", *URL_SETTINGS}


def test_endpoints_without_credentials_are_taken() -> None:
    urls = dict.fromkeys(URL_SETTINGS, "https://host.example:9000")
    found = read_settings(env_file=None, **{**GOOD, **urls, "minio_endpoint": "[::1]:9000"})
    assert "@" not in "".join(value for name, value in shown(found).items() if name != "DATABASE_URL")
    with_password = "postgresql+asyncpg://user:p%40ss@[::1]:5432/name?ssl=require"
    assert read_settings(env_file=None, **{**GOOD, "database_url": with_password}).database_url is not None


COMMANDS: Final = (
    ("config",),
    ("serve",),
    ("worker",),
    ("migrate",),
    ("setup",),
    ("doctor",),
    ("sweep",),
    ("reconcile",),
    ("scrub",),
    ("rebuild",),
    ("retention", "list"),
    ("bucket", "check"),
    ("spool", "list"),
    ("image", "explain", "evt_1"),
    ("variants", "rebuild"),
    ("backup", "--out", "b"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_names_all_that_is_missing(command: tuple[str, ...], tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MINIO_ENDPOINT": f"http://u:{CANARY}@h"}
    refused = run_platevault(*command, environment=environment, folder=tmp_path)
    said = refused.stdout + refused.stderr
    assert refused.returncode == 2, said
    for name in GOOD:
        assert name.upper() in said
    assert CANARY not in said
    assert "Traceback" not in said
    assert not LIBRARY_WORDS.search(said)
