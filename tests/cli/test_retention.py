"""`platevault retention` and `sweep` as an operator runs them, and a sweep that is killed between its steps."""

import hashlib
import json
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from platevault.domain.crash_points import CRASH_POINTS_OF_ERASING
from platevault.infra.postgres.database import Database
from tests.makers import a_detection, an_image, put
from tests.support.deliveries import a_jpeg
from tests.support.processes import environment_for, run_platevault
from tests.support.servers import BUCKET, S3Server

LONG_AGO = datetime.now(UTC) - timedelta(days=400)
RECENTLY = datetime.now(UTC) - timedelta(days=40)


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


@pytest.fixture
async def kept(migrated: Database, tmp_path: Path) -> list[Path]:
    """Three detections that are due, and one that is not; the objects of all."""
    rows = [
        a_detection(f"evt_{number}", captured_at=RECENTLY if number == 3 else LONG_AGO, images=[an_image("full")])
        for number in range(4)
    ]
    await migrated.transaction(lambda connection: put(connection, *rows))
    paths = [tmp_path / "images" / "objects" / str(row.images[0]["key"]) for row in rows]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(a_jpeg())
    return paths


def said(site: dict[str, str], folder: Path, *arguments: str) -> tuple[int, Any]:
    done = run_platevault(*arguments, "--json", environment=site, folder=folder)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_sweep_says_what_it_would_do_and_does_it_when_told_so(
    site: dict[str, str], tmp_path: Path, kept: list[Path]
) -> None:
    code, report = said(site, tmp_path, "retention", "report")
    assert (code, report["cameras"][0]["due"], report["cameras"][0]["overdue"]) == (1, 3, True)
    code, run = said(site, tmp_path, "sweep")
    assert (code, run["dry_run"], run["counts"]["erased"]) == (0, True, 3)
    assert all(path.exists() for path in kept)
    code, run = said(site, tmp_path, "sweep", "--yes")
    assert (code, run["outcome"], run["counts"]["erased"], run["counts"]["bytes removed"]) == (0, "done", 3, 3)
    assert [path.exists() for path in kept] == [False, False, False, True]
    code, report = said(site, tmp_path, "retention", "report")
    assert (code, report["cameras"][0]["due"], report["last_sweep"]["outcome"]) == (0, 0, "done")
    assert report["purges"][0]["ids_digest"] == hashlib.sha256(b"evt_0\nevt_1\nevt_2").hexdigest()


def test_classes_are_set_listed_and_removed(site: dict[str, str], tmp_path: Path, kept: list[Path]) -> None:
    wanted = ("retention", "set", "--collector", "gate-1", "--camera", "*", "--days", "30")
    assert said(site, tmp_path, *wanted)[1]["due"] == 1
    assert said(site, tmp_path, "retention", "list")[1] == {"classes": [], "default_days": 365}
    code, change = said(site, tmp_path, *wanted, "--yes")
    assert (code, change["shortened"], change["due"]) == (0, 4, 1)
    (one,) = said(site, tmp_path, "retention", "list")[1]["classes"]
    assert (one["position"], one["collector"], one["camera"], one["days"]) == (1, "gate-1", "*", 30)
    assert said(site, tmp_path, "sweep", "--yes")[1]["counts"]["erased"] == 4
    remove = ("retention", "remove", "--collector", "gate-1", "--camera", "*", "--yes")
    assert said(site, tmp_path, *remove)[1]["after"] == []
    assert run_platevault(*remove, environment=site, folder=tmp_path).returncode == 2
    both = run_platevault("retention", "set", "--days", "3", "--never-ends", environment=site, folder=tmp_path)
    assert both.returncode == 2


@pytest.mark.parametrize("point", CRASH_POINTS_OF_ERASING)
async def test_a_sweep_that_is_killed_between_rows_and_bytes_is_finished_and_recorded_by_the_next(
    point: str, site: dict[str, str], tmp_path: Path, kept: list[Path], migrated: Database
) -> None:
    doomed = run_platevault("sweep", "--yes", environment=site | {"PLATEVAULT_CRASH_AT": point}, folder=tmp_path)
    assert doomed.returncode == -signal.SIGKILL
    async with migrated.reading() as connection:
        erased = (
            await connection.execute(text("SELECT count(*) FROM detections WHERE erased_at IS NOT NULL"))
        ).scalar()
        gone = (await connection.execute(text("SELECT count(*) FROM images WHERE bytes_gone_at IS NOT NULL"))).scalar()
    assert (erased, gone) == (3, 0)
    assert [path.exists() for path in kept[:3]] == [point == "rows-erased"] * 3
    assert said(site, tmp_path, "sweep", "--yes")[1]["counts"]["bytes removed"] == 3
    assert [path.exists() for path in kept] == [False, False, False, True]
    _, report = said(site, tmp_path, "retention", "report")
    assert [purge["ids_digest"] for purge in report["purges"]] == [hashlib.sha256(b"evt_0\nevt_1\nevt_2").hexdigest()]
