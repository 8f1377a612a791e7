"""A server command that cannot start says why in one JSON line of the log, and nothing beside it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import environment_for, run_platevault
from tests.support.servers import S3Server

EVENTS = {"serve": "service cannot start", "worker": "worker cannot start"}


def the_line(command: str, environment: dict[str, str], folder: Path) -> dict[str, Any]:
    ended = run_platevault(command, environment=environment, folder=folder)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert ended.stderr == ""
    (line,) = (json.loads(line) for line in ended.stdout.splitlines())
    assert (line["event"], line["level"]) == (EVENTS[command], "error")
    assert "timestamp" in line
    found: dict[str, Any] = line
    return found


@pytest.mark.parametrize("command", EVENTS)
def test_settings_that_are_missing_are_one_line(command: str, seaweed: S3Server, tmp_path: Path) -> None:
    environment = environment_for("", seaweed, tmp_path, MINIO_SECRET_KEY="", PORT="eight-canary")
    line = the_line(command, environment, tmp_path)
    assert line["error"] == "SettingsInvalid"
    assert "MINIO_SECRET_KEY is not set" in line["why"]
    assert "DATABASE_URL is not set" in line["why"]
    assert "canary" not in str(line)


@pytest.mark.parametrize("command", EVENTS)
def test_a_spool_that_cannot_be_used_is_one_line(
    command: str, migrated_url: str, seaweed: S3Server, tmp_path: Path
) -> None:
    (tmp_path / "spool").write_text("a file")
    environment = environment_for(migrated_url, seaweed, tmp_path, PORT="0")
    line = the_line(command, environment, tmp_path)
    assert "spool" in str(line.get("why", line.get("frames")))


@pytest.mark.parametrize("command", EVENTS)
def test_an_older_schema_is_one_line(command: str, empty_database_url: str, seaweed: S3Server, tmp_path: Path) -> None:
    environment = environment_for(empty_database_url, seaweed, tmp_path, PORT="0")
    assert "platevault migrate" in the_line(command, environment, tmp_path)["why"]


def test_a_database_that_lets_nobody_in_is_told_by_commands_in_a_sentence(seaweed: S3Server, tmp_path: Path) -> None:
    url = "postgresql+asyncpg://u:canary@no-such-host.invalid/x"
    environment = environment_for(url, seaweed, tmp_path)
    for command in ("migrate", "doctor"):
        ended = run_platevault(command, environment=environment, folder=tmp_path)
        said = ended.stdout + ended.stderr
        assert "the host name in DATABASE_URL is unknown" in said
        assert ("canary" in said, "Traceback" in said) == (False, False)
