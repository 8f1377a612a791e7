"""Real processes under wrong clocks: nothing is gone, ingest goes on where the service's own clock is right, and each says what is wrong."""

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from platevault.embedded.postgres import start_postgres
from tests.processes.clock_cases import SERVE, SHIFTS, living, post, postgres_at, sweep, told, works_a_while
from tests.processes.wrong_clocks import shifted, with_other_date
from tests.support.deliveries import Batch, a_batch
from tests.support.processes import environment_for, run_platevault, service
from tests.support.servers import S3Server, server_folder

pytestmark = pytest.mark.long


def pictures(environment: Mapping[str, str], batch: Batch, *, port: int, folder: Path) -> None:
    """Each picture of the batch is given by a service whose clock is right."""
    with service(environment, port=port, folder=folder) as running:
        answer = post(running.url, batch)
        assert answer.headers["Idempotent-Replayed"] == "true"
        states = {image["state"] for one in answer.json()["detections"] for image in one["images"].values()}
        assert states == {"stored"}


@pytest.mark.parametrize("shift", SHIFTS)
async def test_a_service_alone_with_a_wrong_clock_takes_nothing_for_good_and_erases_nothing(
    environment: dict[str, str], seaweed: S3Server, migrated_url: str, port: int, tmp_path: Path, shift: str
) -> None:
    batch = a_batch(3)
    with service(environment, port=port, folder=tmp_path) as running:
        assert post(running.url, batch, durability="stored").status_code == 201
    wrong = environment | shifted(shift, folder=tmp_path)
    with service(wrong, port=port, folder=tmp_path, ready=False, command=SERVE) as running:
        ready = httpx2.get(f"{running.url}/readyz", timeout=30)
        assert (ready.status_code, ready.json()["checks"]["clock"]["status"]) == (503, "wrong")
        assert ("ahead of" if shift[0] == "+" else "behind") in ready.json()["checks"]["clock"]["reason"]
        refused = post(running.url, a_batch(2))
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.json()["type"] == "urn:platevault:problem:clock-wrong"
    code, run = sweep(wrong, tmp_path)
    assert run["counts"].get("erased", 0) == 0, run
    assert (code == 0) is (run["outcome"] == "done")
    assert '"purged"' not in works_a_while(wrong, tmp_path)
    assert await living(migrated_url) == 6
    pictures(environment, batch, port=port, folder=tmp_path)


@pytest.mark.parametrize("shift", SHIFTS)
async def test_service_and_database_wrong_together_take_batches_and_erase_nothing(
    seaweed: S3Server, port: int, tmp_path: Path, shift: str
) -> None:
    first, second = a_batch(3), a_batch(2)
    with server_folder() as folder, tempfile.TemporaryDirectory(prefix="platevault-clock-") as library:
        Path(library).chmod(0o711)  # the path has no space, which LD_PRELOAD does not take
        server = start_postgres(folder / "postgres", durable=False)
        try:
            url = server.url
            environment = environment_for(url, seaweed, tmp_path)
            environment |= {"STORAGE_BACKEND": "local", "LOCAL_STORAGE_DIR": str(tmp_path / "images")}
            assert run_platevault("migrate", environment=environment, folder=tmp_path).returncode == 0
            with service(environment, port=port, folder=tmp_path) as running:
                assert post(running.url, first, durability="stored").status_code == 201
            clock = shifted(shift, folder=Path(library))
            wrong = environment | clock
            with postgres_at(server, clock):
                off = await told(url, "SELECT clock_timestamp()") - datetime.now(UTC)
                assert abs(off - SHIFTS[shift]) < timedelta(minutes=1), "the database believes it"
                with service(wrong, port=port, folder=tmp_path, ready=False, command=SERVE) as running:
                    taken = post(running.url, second, durability="stored")
                    assert taken.status_code == 201, taken.text
                    doubts = [one.get("clock_suspect") for one in taken.json()["detections"]]
                    assert doubts == [None if shift == "+1h" else True] * 2
                    ready = httpx2.get(f"{running.url}/readyz", timeout=30)
                    assert ready.status_code == 200
                    said = ready.json()["checks"]["clock"]["status"]
                    assert said == ("in doubt" if shift == "+400d" else "ok")
                code, run = sweep(wrong, tmp_path)
                assert run["counts"].get("erased", 0) == 0
                assert (code, run["outcome"]) == ((1, "stopped") if shift == "+400d" else (0, "done"))
                if shift == "+400d":
                    assert "newest time that this vault has seen" in run["findings"]["reason"]
                assert '"purged"' not in works_a_while(wrong, tmp_path)
                assert await living(url) == 10
            assert await living(url) == 10
            pictures(environment, first, port=port, folder=tmp_path)
            code, run = sweep(environment, tmp_path)
            assert (code, run["counts"]["erased"]) == (0, 0), "once the clocks are right again, too"
        finally:
            server.stop()


@pytest.mark.parametrize("shift", SHIFTS)
async def test_a_store_with_a_wrong_date_stops_erasing_until_a_person_confirms(
    environment: dict[str, str], seaweed: S3Server, migrated_url: str, port: int, tmp_path: Path, shift: str
) -> None:
    batch = a_batch(3)
    with with_other_date(seaweed.endpoint, SHIFTS[shift]) as endpoint:
        wrong = environment | {"MINIO_ENDPOINT": endpoint}
        with service(wrong, port=port, folder=tmp_path) as running:
            assert post(running.url, batch, durability="stored").status_code == 201
            ready = httpx2.get(f"{running.url}/readyz", timeout=30).json()
            assert (ready["status"], ready["checks"]["clock"]["status"]) == ("degraded", "in doubt")
        code, run = sweep(wrong, tmp_path)
        assert (code, run["outcome"]) == (1, "stopped")
        assert "object store's clock differs" in run["findings"]["reason"]
        assert '"purged"' not in works_a_while(wrong, tmp_path)
        assert await living(migrated_url) == 6
        confirmed = run_platevault("doctor", "--confirm-clock", environment=wrong, folder=tmp_path)
        assert "confirmed" in confirmed.stdout, confirmed.stdout + confirmed.stderr
        logged = await told(migrated_url, "SELECT actor FROM access_log WHERE route LIKE '%--confirm-clock'")
        assert logged == "operator"
        code, run = sweep(wrong, tmp_path)
        assert (code, run["outcome"], run["counts"]["erased"]) == (0, "done", 0)
    pictures(environment, batch, port=port, folder=tmp_path)
