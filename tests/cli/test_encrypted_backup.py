"""Encrypted backups, `--keep-days` and their clocks as an operator meets them: full disks, kills, wrong keys, wrong clocks."""

import json
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from sqlalchemy.engine import make_url

from tests.processes.wrong_clocks import shifted
from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.processes import SENDING, environment_for, run_platevault, service
from tests.support.servers import BUCKET, S3Server

pytestmark = pytest.mark.long

SMALL_FILES = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
    "from platevault.cli import main; sys.argv = ['platevault', *sys.argv[1:]]; main()"
)


@pytest.fixture
def environment(migrated_url: str, tmp_path: Path) -> dict[str, str]:
    """A site that keeps its images in a folder of its own."""
    nowhere = S3Server(**dict.fromkeys(S3Server.__dataclass_fields__, "unused") | {"bucket": BUCKET})
    images = {"STORAGE_BACKEND": "local", "LOCAL_STORAGE_DIR": str(tmp_path / "images"), "PUBLIC_URL": "http://h:9"}
    return environment_for(migrated_url, nowhere, tmp_path, **images)


@pytest.fixture
def encrypting(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    made = run_platevault("backup-key", "new", str(tmp_path / "key"), environment=environment, folder=tmp_path)
    assert made.returncode == 0, made.stderr
    return environment | {"BACKUP_RECIPIENT": made.stdout.strip()}


def run(*arguments: str, environment: dict[str, str], folder: Path) -> tuple[int, Any]:
    done = run_platevault(*arguments, "--json", environment=environment, folder=folder)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def send(environment: dict[str, str], *, port: int, folder: Path, detections: int = 2) -> None:
    with service(environment, port=port, folder=folder) as running:
        headers = {**SENDING, "Content-Type": CONTENT_TYPE}
        for _ in range(detections // 50 + 1):
            body = a_batch(min(detections, 50)).body()
            query = {"durability": "stored"}
            url = f"{running.url}/v1/detections"
            assert httpx2.post(url, params=query, content=body, headers=headers, timeout=60).status_code == 201


def test_a_new_key_is_its_owners_alone_and_replaces_none(environment: dict[str, str], tmp_path: Path) -> None:
    def new() -> subprocess.CompletedProcess[str]:
        return run_platevault("backup-key", "new", str(tmp_path / "key"), environment=environment, folder=tmp_path)

    made = new()
    assert made.stdout.startswith("age1")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    written = (tmp_path / "key").read_text()
    again = new()
    assert (again.returncode, "never replaced" in again.stderr) == (2, True)
    assert (tmp_path / "key").read_text() == written


@pytest.mark.parametrize("written", [b"caf\xe9=1\n", b"backup_identity_file=missing\n"])
def test_a_fault_of_the_env_file_is_a_sentence_where_no_other_setting_is_needed(
    environment: dict[str, str], tmp_path: Path, written: bytes
) -> None:
    (tmp_path / ".env").write_bytes(written)
    (tmp_path / "file.age").touch()
    done = run_platevault("backup-key", "decrypt", "file.age", environment=environment, folder=tmp_path)
    assert (done.returncode, "cannot be read" in done.stderr, done.stderr.count("\n")) == (2, True, 1)


def test_an_encrypted_backup_is_made_verified_and_decrypted_by_command(
    encrypting: dict[str, str], port: int, tmp_path: Path
) -> None:
    send(encrypting, port=port, folder=tmp_path)
    code, made = run("backup", "--out", "backups", environment=encrypting, folder=tmp_path)
    assert (code, made["encrypted_to"]) == (0, [encrypting["BACKUP_RECIPIENT"]])
    folder = tmp_path / made["backup"]
    verify = ("backup", "--verify", str(folder))
    code, found = run(*verify, environment=encrypting, folder=tmp_path)
    assert (code, found["faults"], found["verified"].startswith("only the digests")) == (0, [], True)
    code, found = run(*verify, "--identity", "key", environment=encrypting, folder=tmp_path)
    assert (code, found["faults"], found["dump_was_read"], found["images"]["bytes"]) == (0, [], True, 4)
    run_platevault("backup-key", "new", "other", environment=encrypting, folder=tmp_path)
    code, said = run(*verify, "--identity", "other", environment=encrypting, folder=tmp_path)
    assert (code, said.count("\n"), "no given identity fits" in said) == (2, 1, True)
    code, said = run("restore", str(folder), environment=encrypting, folder=tmp_path)
    assert (code, said.count("\n"), "--identity FILE" in said) == (2, 1, True)
    decrypt = [sys.executable, "-m", "platevault", "backup-key", "decrypt", "--identity", "key"]
    dump = folder / "database.dump.age"
    done = subprocess.run([*decrypt, str(dump)], env=encrypting, cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.startswith(b"PGDMP")
    dump.write_bytes(dump.read_bytes()[:-1])
    cut = subprocess.run([*decrypt, str(dump)], env=encrypting, cwd=tmp_path, capture_output=True, check=False)
    assert (cut.returncode, b"Traceback" in cut.stderr) == (1, False)


def test_a_disk_that_is_full_while_it_is_encrypted_leaves_no_backup_and_the_next_run_makes_one(
    encrypting: dict[str, str], port: int, tmp_path: Path
) -> None:
    send(encrypting, port=port, folder=tmp_path)
    command = [sys.executable, "-B", "-c", SMALL_FILES, "backup", "--out", "backups"]
    full = subprocess.run(command, env=encrypting, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (full.returncode, "File too large" in full.stderr, "Traceback" in full.stderr) == (1, True, False), full
    assert not [path for path in (tmp_path / "backups").iterdir() if not path.name.startswith(".")]
    code, made = run("backup", "--out", "backups", environment=encrypting, folder=tmp_path)
    assert code == 0
    code, found = run(
        "backup", "--verify", made["backup"], "--identity", "key", environment=encrypting, folder=tmp_path
    )
    assert (code, found["faults"]) == (0, [])
    assert len([*(tmp_path / "backups").iterdir()]) == 2, "the backup and the lock"


def test_a_backup_that_is_killed_in_the_middle_is_none_and_the_next_one_takes_its_files_over(
    encrypting: dict[str, str], port: int, tmp_path: Path
) -> None:
    send(encrypting, port=port, folder=tmp_path, detections=150)
    command = [sys.executable, "-m", "platevault", "backup", "--out", "backups"]
    running = subprocess.Popen(command, env=encrypting, cwd=tmp_path, stdout=subprocess.DEVNULL)
    while not any(path.stat().st_size for path in (tmp_path / "backups").glob(".unfinished-*/objects.index")):
        assert running.poll() is None
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    running.wait(60)
    assert not [path for path in (tmp_path / "backups").iterdir() if not path.name.startswith(".")]
    (left,) = (tmp_path / "backups").glob(".unfinished-*")
    draft = left.rename(
        left.with_name(".unfinished-20260101T000000Z")
    )  # one of the same second makes room, and gives nothing
    newest = max(draft.glob("bucket/*/*.age"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:100])  # what had not reached the disk
    with (draft / "objects.index").open("ab") as index:
        index.write(b'{"name": "00')
    code, made = run("backup", "--out", "backups", environment=encrypting, folder=tmp_path)
    assert (code, made["parts"]["bucket"]["linked"] > 0) == (0, True)
    code, found = run(
        "backup", "--verify", made["backup"], "--identity", "key", environment=encrypting, folder=tmp_path
    )
    assert (code, found["faults"], found["images"]["bytes"]) == (0, [], 400)
    assert not [*(tmp_path / "backups").glob(".unfinished-*")]


def aged(backup: Path, *, days: float) -> None:
    told = json.loads((backup / "manifest.json").read_bytes())
    told["began_at"] = str(datetime.now(UTC) - timedelta(days=days))
    (backup / "manifest.json").write_text(json.dumps(told))
    time.sleep(1.0)  # a backup is named by its second: the next one needs another name


def test_a_wrong_clock_of_the_process_prunes_nothing_and_dates_nothing(
    environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    send(environment, port=port, folder=tmp_path)
    code, first = run("backup", "--out", "backups", environment=environment, folder=tmp_path)
    assert code == 0
    out = tmp_path / "backups"
    for shift in ("+400d", "-400d"):
        command = [sys.executable, "-m", "platevault", "backup", "--out", "backups", "--keep-days", "35", "--json"]
        wrong = environment | shifted(shift, folder=tmp_path)
        done = subprocess.run(command, env=wrong, cwd=tmp_path, capture_output=True, text=True, check=False)
        made = json.loads(done.stdout)
        said = made["not_pruned"]  # the clock of a store in a local folder is the one of the process
        assert (done.returncode, "differs from the database's" in said) == (1, True), done.stdout
        told = json.loads((tmp_path / made["backup"] / "manifest.json").read_bytes())
        assert abs(datetime.fromisoformat(told["began_at"]) - datetime.now(UTC)) < timedelta(minutes=5)
        assert told["clock_is_sure"] is False
    assert len([*out.glob("2*")]) == 3
    aged(tmp_path / first["backup"], days=36)
    code, made = run("backup", "--out", "backups", "--keep-days", "35", environment=environment, folder=tmp_path)
    assert (code, made["pruned"]) == (0, [Path(first["backup"]).name])


async def test_while_the_databases_clock_is_in_doubt_nothing_is_pruned(
    environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    send(environment, port=port, folder=tmp_path)
    _, first = run("backup", "--out", "backups", environment=environment, folder=tmp_path)
    aged(tmp_path / first["backup"], days=36)
    url = make_url(environment["DATABASE_URL"]).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE vault_clock SET seen_at = now() - interval '400 days'")
    await connection.close()
    code, made = run("backup", "--out", "backups", "--keep-days", "35", environment=environment, folder=tmp_path)
    assert (code, "newest time that this vault has seen" in made["not_pruned"]) == (1, True)
    assert (tmp_path / first["backup"]).is_dir()
    assert json.loads((tmp_path / made["backup"] / "manifest.json").read_bytes())["clock_is_sure"] is False


@pytest.mark.parametrize("days", ["0", "-1", "36501", "10000000000"])
def test_a_time_that_is_no_usual_one_is_refused_before_a_backup_begins(
    environment: dict[str, str], tmp_path: Path, days: str
) -> None:
    code, said = run("backup", "--out", "backups", "--keep-days", days, environment=environment, folder=tmp_path)
    assert (code, (tmp_path / "backups").exists()) == (2, False)
    assert "--keep-days" in said
