"""`platevault reconcile`, `scrub` and `rebuild` as an operator runs them, and a worker that is told to stop."""

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from platevault.infra.postgres.database import Database
from tests.support.deliveries import a_jpeg
from tests.support.processes import Process, environment_for, run_platevault, start_platevault
from tests.support.servers import BUCKET, S3Server

ORPHAN = "full/2025/01/15/evt_nobody_full.jpg"


@pytest.fixture
def site(migrated_url: str, tmp_path: Path) -> dict[str, str]:
    """A site that keeps its images in a folder of its own."""
    nowhere = S3Server(**dict.fromkeys(S3Server.__dataclass_fields__, "unused") | {"bucket": BUCKET})
    return environment_for(
        migrated_url,
        nowhere,
        tmp_path,
        STORAGE_BACKEND="local",
        LOCAL_STORAGE_DIR=str(tmp_path / "images"),
        PUBLIC_URL="http://127.0.0.1:9",
    )


def an_orphan(folder: Path) -> Path:
    path = folder / "images" / "objects" / ORPHAN
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(a_jpeg())
    return path


def said(site: dict[str, str], folder: Path, *arguments: str) -> tuple[int, Any]:
    done = run_platevault(*arguments, "--json", environment=site, folder=folder)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_reconcile_reports_acts_and_stops_while_the_database_lags(site: dict[str, str], tmp_path: Path) -> None:
    orphan = an_orphan(tmp_path)
    code, run = said(site, tmp_path, "reconcile", "--older-than", "0")
    assert (code, run["dry_run"], run["counts"]["orphans"]) == (0, True, 1)
    assert orphan.exists()
    assert said(site, tmp_path, "reconcile", "--yes")[1]["counts"] == {"objects": 1, "young": 1}
    marker = tmp_path / "images" / "objects" / "meta" / "generation"
    marker.parent.mkdir(parents=True)
    marker.write_text('{"number": 7}', encoding="utf-8")
    code, run = said(site, tmp_path, "reconcile", "--yes", "--older-than", "0")
    assert (code, run["outcome"]) == (1, "stopped")
    assert orphan.exists()
    assert said(site, tmp_path, "reconcile", "--confirm-restore") == (0, {"generation": 8})
    done = run_platevault("reconcile", "--yes", "--older-than", "0", environment=site, folder=tmp_path)
    assert (done.returncode, orphan.exists()) == (0, False)
    assert f"quarantined: {ORPHAN}" in done.stdout
    assert (tmp_path / "images" / "objects" / "quarantine" / "orphans" / ORPHAN).read_bytes() == a_jpeg()


@pytest.mark.parametrize(("hours", "code"), [("876000", 0), ("876001", 2), ("1e12", 2), ("inf", 2), ("-1", 2)])
def test_an_age_of_more_than_a_century_is_refused(site: dict[str, str], tmp_path: Path, hours: str, code: int) -> None:
    an_orphan(tmp_path)
    done = run_platevault("reconcile", "--older-than", hours, environment=site, folder=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


def test_scrub_and_rebuild_are_dry_runs_unless_told(site: dict[str, str], tmp_path: Path) -> None:
    an_orphan(tmp_path)
    for command in ("scrub", "rebuild"):
        code, run = said(site, tmp_path, command)
        assert (code, run["job"], run["dry_run"], run["outcome"]) == (0, command, True, "done")
        assert not said(site, tmp_path, command, "--yes")[1]["dry_run"]
    assert run["findings"]["examples"] == {"its metadata does not tell what it is": [ORPHAN]}


async def test_a_worker_runs_what_is_due_and_stops_within_seconds_in_the_middle_of_it(
    site: dict[str, str], migrated: Database, tmp_path: Path
) -> None:
    """The job hangs in the database: its table is locked by somebody else."""
    due = "INSERT INTO pgqueuer_schedules (expression, entrypoint, next_run) VALUES ('*/10 * * * *', 'count-images', now())"
    await migrated.transaction(lambda connection: connection.execute(text(due)))
    async with migrated.migrating() as other:
        await other.execute(text("LOCK TABLE job_runs IN ACCESS EXCLUSIVE MODE"))
        worker = _worker(site, tmp_path)
        try:
            await _until(migrated, "SELECT count(*) = 1 FROM pgqueuer_schedules WHERE status = 'picked'")
            await _until(migrated, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            begun = time.monotonic()
            worker.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(worker.wait, 60) == 0
            assert time.monotonic() - begun < 60
        finally:
            worker.kill()
            worker.wait(60)
        await other.rollback()
    await _until(migrated, "SELECT count(*) >= 5 FROM pgqueuer_schedules WHERE status = 'queued'")


def _worker(site: dict[str, str], folder: Path) -> Process:
    return start_platevault("worker", environment=site, folder=folder, log=folder / "worker.log")


async def _until(database: Database, query: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        async with database.reading() as connection:
            if (await connection.execute(text(query))).scalar_one():
                return
        await asyncio.sleep(0.1)
    raise AssertionError(query)
