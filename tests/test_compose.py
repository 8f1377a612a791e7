"""Dockerfile, docker-compose.yml and `make env`, as far as they can be judged without an engine."""

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from platevault.settings import read_settings, variables

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
OURS = ("setup", "api", "worker")
MADE = (
    "POSTGRES_PASSWORD",
    "MINIO_ROOT_USER",
    "MINIO_ROOT_PASSWORD",
    "MINIO_ACCESS_KEY",
    "MINIO_SECRET_KEY",
    "MINIO_PRESIGN_ACCESS_KEY",
    "MINIO_PRESIGN_SECRET_KEY",
    "MINIO_UPLOAD_ACCESS_KEY",
    "MINIO_UPLOAD_SECRET_KEY",
    "COLLECTOR_TOKEN",
    "VIEWER_TOKEN",
    "METRICS_TOKEN",
    "URL_SIGNING_KEY",
)
# An installation from before it was there starts without it, and says at /metrics what to set.
MADE_AND_NOT_NEEDED = {"METRICS_TOKEN"}
# The image or the command says where it listens; a container has no folder of images and no S3 server beside it, and the secret key of
# backups is named by --identity when one is restored.
NOT_PASSED_ON = {
    "HOST",
    "PORT",
    "LOCAL_STORAGE_DIR",
    "STORAGE_SYNC_DIR",
    "BACKUP_IDENTITY_FILE",
    "PLATEVAULT_EMBEDDED",
    "PLATEVAULT_EMBEDDED_STATES",
}
FOR_THE_TIER = {
    f"TIER_{name}" for name in ("TYPE", "ENDPOINT", "BUCKET", "PREFIX", "REGION", "ACCESS_KEY", "SECRET_KEY")
}
ROOT_ONLY = {"MINIO_ADMIN_ACCESS_KEY", "MINIO_ADMIN_SECRET_KEY"} | FOR_THE_TIER


def make_env(path: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "scripts" / "make_env.py"
    return subprocess.run([sys.executable, "-I", str(script), str(path)], capture_output=True, text=True, check=False)


def values(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}


def test_each_setting_reaches_the_containers_or_is_left_out_on_purpose() -> None:
    for name in ("api", "worker"):
        assert set(SERVICES[name]["environment"]) == variables() - NOT_PASSED_ON - ROOT_ONLY
    assert set(SERVICES["setup"]["environment"]) == variables() - NOT_PASSED_ON


def test_what_compose_sets_by_itself_is_a_setting_that_the_program_takes(tmp_path: Path) -> None:
    make_env(tmp_path / ".env")
    made = values((tmp_path / ".env").read_text(encoding="utf-8"))
    given = {
        name.lower(): value
        for name, text in SERVICES["setup"]["environment"].items()
        if (value := interpolated(text, made))
    }
    settings = read_settings(env_file=None, **given)
    assert settings.minio_endpoint == "minio:9000"
    assert settings.image_origin == "http://127.0.0.1:9000"
    assert str(settings.spool_dir) == "/var/lib/platevault/spool"


def interpolated(text: str, known: dict[str, str]) -> str:
    """What Compose makes of `${NAME}`, `${NAME:-word}` and `${NAME:?why}`, from the innermost outwards."""
    innermost = re.compile(r"\$\{([A-Z0-9_]+)(?:(:[-?])([^${}]*))?\}")
    while (found := innermost.search(text)) is not None:
        value = known.get(found[1]) or (found[3] if found[2] == ":-" else None)
        assert value is not None, f"{found[1]} is missing a value: {found[3]}"
        text = text[: found.start()] + value + text[found.end() :]
    return text


def test_a_secret_has_no_default_and_its_absence_says_what_to_do() -> None:
    for name in MADE:
        used = re.findall(r"\$\{" + name + r"\b[^}]*\}", COMPOSE)
        assert used, name
        how = ":-" if name in MADE_AND_NOT_NEEDED else ":?run make env"
        assert set(used) == {"${" + name + how + "}"}, name


def test_only_minio_and_setup_get_roots_credentials() -> None:
    who = {name for name, service in SERVICES.items() if "MINIO_ROOT" in str(service.get("environment"))}
    assert who == {"minio", "setup"}


def test_no_service_gets_an_env_file_as_a_whole() -> None:
    assert [name for name, service in SERVICES.items() if "env_file" in service] == []


def test_host_names_are_literal() -> None:
    environment = SERVICES["api"]["environment"]
    assert environment["MINIO_ENDPOINT"] == "minio:9000"
    assert environment["DATABASE_URL"].endswith("@postgres:5432/platevault")


def test_everything_published_is_published_on_the_loopback_unless_bind_says_otherwise() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"api", "minio"}
    assert all(port.startswith("${BIND:-127.0.0.1}:") for ports in published.values() for port in ports)


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_rights_and_a_read_only_root(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["init"] is True
    assert service["stop_grace_period"] == "30s"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_is_limited(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if name == "setup" else "unless-stopped")


def test_api_and_worker_share_the_spool_and_wait_for_the_setup() -> None:
    for name in ("api", "worker"):
        assert SERVICES[name]["volumes"] == ["spool:/var/lib/platevault/spool"]
        assert SERVICES[name]["depends_on"]["setup"] == {"condition": "service_completed_successfully"}


def test_the_data_of_postgresql_is_where_its_image_keeps_it() -> None:
    assert SERVICES["postgres"]["image"] == "postgres:18"
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_the_image_is_pinned_runs_as_nobody_and_takes_nothing_along() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == ["10001:10001"]
    assert "--no-dev" in dockerfile
    assert set(re.findall(r"--(?:all-)?extras? \S+", dockerfile)) == {"--extra server"}, "the embedded servers stay out"
    assert re.search(r"--from=astral/uv:\d+\.\d+\.\d+ ", dockerfile)
    syncs = re.findall(r"uv sync (.*)$", dockerfile, re.MULTILINE)
    assert syncs
    assert all("--frozen" in sync and "--extra server" in sync for sync in syncs)
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"python:3.13-slim-trixie"}


def test_nothing_is_sent_to_the_engine_but_what_the_image_is_made_of() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {
        "pyproject.toml", "uv.lock", "README.md", "LICENSE", "alembic", "src",
    }  # fmt: skip


def test_make_env_makes_a_private_file_with_every_secret(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    ran = make_env(path)
    made = values(path.read_text(encoding="utf-8"))
    assert ran.returncode == 0
    assert set(made) == set(MADE)
    assert len(set(made.values())) == len(MADE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert all(len(value) == 40 for name, value in made.items() if not name.endswith(("_USER", "ACCESS_KEY")))
    assert not any(value in ran.stdout for value in made.values())


def test_make_env_changes_nothing_the_second_time(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    make_env(path)
    first = path.read_bytes()
    assert "nothing was missing" in make_env(path).stdout
    assert path.read_bytes() == first


def test_make_env_keeps_every_value_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    mine = (
        "# mine\r\nCOLLECTOR_TOKEN=my own = token # with a note\r\n\r\nexport VIEWER_TOKEN='quoted'\r\n"
        "MINIO_SECRET_KEY=\r\nMINIO_ACCESS_KEY=<key id>\r\nURL_SIGNING_KEY=old\r\nOTHER=\xe9\xff"
    ).encode("latin-1")
    path.write_bytes(mine)
    path.chmod(0o644)
    make_env(path)
    after = path.read_bytes()
    kept = [line for line in mine.split(b"\r\n") if not line.startswith((b"MINIO_SECRET", b"MINIO_ACCESS"))]
    assert all(line in after.split(b"\r\n") for line in kept)
    assert re.search(rb"\r\nMINIO_SECRET_KEY=[A-Za-z0-9]{40}\r\nMINIO_ACCESS_KEY=service-[A-Za-z0-9]{8}\r\n", after)
    assert b"\n" not in after.replace(b"\r\n", b"")
    assert after.count(b"URL_SIGNING_KEY=") == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_make_env_goes_by_the_last_line_as_compose_does(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("COLLECTOR_TOKEN=first\nCOLLECTOR_TOKEN=\nVIEWER_TOKEN=\nVIEWER_TOKEN=last\n", encoding="utf-8")
    make_env(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "COLLECTOR_TOKEN=first"
    assert re.fullmatch(r"COLLECTOR_TOKEN=[A-Za-z0-9]{40}", lines[1])
    assert lines[2:4] == ["VIEWER_TOKEN=", "VIEWER_TOKEN=last"]


def test_make_env_fills_in_a_copy_of_the_example(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    path.write_text(example, encoding="utf-8")
    make_env(path)
    made, before = values(path.read_text(encoding="utf-8")), values(example)
    assert not any(made[name] == "" or made[name].startswith("<") for name in MADE)
    assert {name: value for name, value in made.items() if name not in MADE} == {
        name: value for name, value in before.items() if name not in MADE
    }


def test_make_env_warns_of_a_password_that_breaks_a_url(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("POSTGRES_PASSWORD=a@b/c\n", encoding="utf-8")
    ran = make_env(path)
    assert ran.returncode == 1
    assert "POSTGRES_PASSWORD" in ran.stdout
    assert "a@b/c" not in ran.stdout
    assert "POSTGRES_PASSWORD=a@b/c\n" in path.read_text(encoding="utf-8")


def test_make_env_keeps_a_link_to_where_the_secrets_are(tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    (tmp_path / ".env").symlink_to(tmp_path / "safe" / "vault.env")
    make_env(tmp_path / ".env")
    assert (tmp_path / ".env").is_symlink()
    assert [path.name for path in (tmp_path / "safe").iterdir()] == ["vault.env"]
