"""`platevault bucket` as an operator runs it: the rules follow the database, and tiers are defined or clearly refused."""

import asyncio
import json
import secrets
from pathlib import Path

import pytest
from sqlalchemy import text

from platevault.infra.postgres.database import Database
from tests.support.processes import environment_for, run_platevault
from tests.support.servers import BUCKET, S3Server, find_minio, minio_server

NO_DATABASE = "postgresql+asyncpg://nobody@127.0.0.1:9/none"


def a_site(database_url: str, s3: S3Server, folder: Path, **more: str) -> dict[str, str]:
    """A bucket that nobody had before, with an administrator's key."""
    admin = {"MINIO_ADMIN_ACCESS_KEY": s3.admin_access_key, "MINIO_ADMIN_SECRET_KEY": s3.admin_secret_key}
    name = f"plates-{secrets.token_hex(6)}"
    return environment_for(database_url, s3, folder, **admin, **{"MINIO_BUCKET": name, **more})


def run(site: dict[str, str], folder: Path, *arguments: str) -> tuple[int, str]:
    done = run_platevault("bucket", *arguments, environment=site, folder=folder)
    told = done.stdout + done.stderr
    assert "Traceback" not in told
    assert not any(value in told for name, value in site.items() if name.endswith("SECRET_KEY"))
    return done.returncode, told


def days(site: dict[str, str], s3: S3Server) -> dict[str, int]:
    rules = s3.client("admin").get_bucket_lifecycle(site["MINIO_BUCKET"])
    assert rules is not None
    return {str(rule.rule_id): rule.expiration.days for rule in rules.rules if rule.expiration is not None}


async def a_class(url: str, days: int) -> None:
    database = Database.open(url, pool_size=2)
    statement = text(
        "INSERT INTO retention_classes (position, collector, camera, days, changed_at) VALUES (1, '*', '*', :days, now())"
    )
    await database.transaction(lambda connection: connection.execute(statement, {"days": days}))
    await database.close()


def test_configure_follows_the_longest_class_and_guesses_nothing(
    migrated_url: str, seaweed: S3Server, tmp_path: Path
) -> None:
    site = a_site(migrated_url, seaweed, tmp_path, IMAGE_RETENTION_DAYS="100")
    asyncio.run(a_class(migrated_url, 900))
    assert run(site, tmp_path, "configure")[0] == 0
    assert days(site, seaweed)["expire-full"] == 930
    code, told = run(site | {"DATABASE_URL": NO_DATABASE}, tmp_path, "configure")
    assert code == 1
    assert "expire-full stays" in told
    assert days(site, seaweed)["expire-full"] == 930
    assert run(site, tmp_path, "check")[0] == 0
    seaweed.client("admin").remove_bucket(site["MINIO_BUCKET"])


def test_a_tier_is_defined_from_the_environment_and_its_rule_written(
    migrated_url: str, minio: S3Server, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    program = find_minio()
    if program is None or request.config.getoption("--containers"):
        pytest.skip("a container does not reach a server of this machine")
    with minio_server(program) as cold:
        (tmp_path / "key").write_text(cold.secret_key, encoding="utf-8")
        name = f"CLI-{secrets.token_hex(4).upper()}"
        tier = {
            "TIER_NAME": name,
            "TIER_AFTER_DAYS": "60",
            "TIER_ENDPOINT": f"http://{cold.endpoint}",
            "TIER_BUCKET": BUCKET,
            "TIER_PREFIX": "site/",
            "TIER_ACCESS_KEY": cold.access_key,
            "TIER_SECRET_KEY_FILE": str(tmp_path / "key"),
        }
        site = a_site(migrated_url, minio, tmp_path, **tier)
        code, told = run(site, tmp_path, "configure")
        assert code == 0
        assert "platevault bucket tier" in told
        for _ in range(2):
            code, told = run(site, tmp_path, "tier")
            assert code == 0
            assert f"tier {name}: http://{cold.endpoint}/{BUCKET}/site (tried: it works)" in told
        assert f'"verified": "{name}"' in run(site, tmp_path, "tier", "--list", "--json")[1]
        assert "tier-full" in run(site, tmp_path, "configure")[1]
        assert json.loads(run(site, tmp_path, "check", "--json")[1])["ok"]
        code, told = run({**site, "TIER_ENDPOINT": ""}, tmp_path, "tier")
        assert code != 0
        assert "TIER_ENDPOINT" in told
    minio.client("admin").remove_bucket(site["MINIO_BUCKET"])


def test_a_server_without_tiers_says_so_and_keeps_working(migrated_url: str, seaweed: S3Server, tmp_path: Path) -> None:
    tier = {
        "TIER_NAME": "COLD",
        "TIER_ENDPOINT": "http://127.0.0.1:9",
        "TIER_BUCKET": "cold",
        "TIER_ACCESS_KEY": "somebody",
        "TIER_SECRET_KEY": "something-secret",
    }
    site = a_site(migrated_url, seaweed, tmp_path, **tier)
    code, told = run(site, tmp_path, "tier")
    assert code != 0
    assert "no remote tiers" in told
    code, told = run(site, tmp_path, "configure")
    assert code == 0
    assert "full images stay where they are" in told
    seaweed.client("admin").remove_bucket(site["MINIO_BUCKET"])
