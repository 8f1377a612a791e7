"""`platevault backup` and `restore` as an operator runs them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.processes import SENDING, environment_for, run_platevault, service
from tests.support.servers import BUCKET, S3Server, server_folder


@pytest.fixture
def environment(migrated_url: str, tmp_path: Path) -> dict[str, str]:
    """A site that keeps its images in a folder of its own."""
    nowhere = S3Server(**dict.fromkeys(S3Server.__dataclass_fields__, "unused") | {"bucket": BUCKET})
    images = {
        "STORAGE_BACKEND": "local",
        "LOCAL_STORAGE_DIR": str(tmp_path / "images"),
        "PUBLIC_URL": "http://127.0.0.1:9",
    }
    return environment_for(migrated_url, nowhere, tmp_path, **images)


def test_a_backup_is_made_read_through_and_restored_by_command(
    environment: dict[str, str], empty_database_url: str, tmp_path: Path, port: int
) -> None:
    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return run_platevault(*arguments, environment={**environment, **more}, folder=tmp_path)

    def said(done: subprocess.CompletedProcess[str]) -> Any:
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with service(environment, port=port, folder=tmp_path) as running:
        answer = httpx2.post(
            f"{running.url}/v1/detections",
            params={"durability": "stored"},
            content=a_batch(2).body(),
            headers={**SENDING, "Content-Type": CONTENT_TYPE},
            timeout=30,
        )
        assert answer.status_code == 201
        made = said(run("backup", "--out", "backups", "--json"))
    assert made["ok"]
    assert made["parts"]["bucket"]["objects"] == 5
    told = made["parts"]["database"]
    assert (told["read_by_pg_restore"], set(told)) == (True, {"read_by_pg_restore", "vault", "generation"})
    folder = tmp_path / made["backup"]
    found = said(run("backup", "--verify", str(folder), "--json"))
    assert (found["faults"], found["objects"], found["dump_was_read"]) == ([], 5, True)

    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for name in ("URL_SIGNING_KEY", "COLLECTOR_TOKEN", "VIEWER_TOKEN"):
        assert environment[name].encode() not in everything, f"{name} is in the backup"
    assert environment["DATABASE_URL"].split(":")[2].split("@", maxsplit=1)[0].encode() not in everything

    elsewhere = {
        "DATABASE_URL": empty_database_url,
        "SPOOL_DIR": str(tmp_path / "spool again"),
        "LOCAL_STORAGE_DIR": str(tmp_path / "images again"),
    }
    counts = said(run("restore", str(folder), "--json", **elsewhere))["counts"]
    assert counts == {"put back": 5, "spool files": 0}
    stopped = json.loads(run("reconcile", "--yes", "--json", **elsewhere).stdout)
    assert (stopped["outcome"], "restored" in stopped["findings"]["reason"]) == ("stopped", True)

    with server_folder() as new:
        into = ("restore", str(folder), "--json", "--embedded", "--data-dir", str(new / "vault"))
        assert said(run(*into))["counts"] == counts, "servers of its own, whose database nobody has migrated before"
        assert len(list((new / "vault/images").rglob("*.jpg"))) == 4

    (folder / "database.dump").write_bytes(b"PGDMP")
    broken = run("backup", "--verify", str(folder))
    assert (broken.returncode, "database.dump has another size" in broken.stdout) == (1, True)
    assert "Traceback" not in broken.stderr
