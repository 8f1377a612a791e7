"""`serve` on a disk that has come to its reserve: it says so once, is read, and takes batches again once there is room."""

import time
from pathlib import Path

import httpx2
import pytest

from platevault.embedded.postgres import find_wheel
from platevault.infra.disk.reserve import LOOK_AGAIN_SECONDS
from tests.outage.embedded_site import POSTGRES, embedded_site
from tests.support.deliveries import CONTENT_TYPE, Batch, a_batch
from tests.support.processes import LOOKING, SENDING, service
from tests.support.small_disks import MEBI, a_small_disk, fill

MORE_THAN_ANY_DISK = str(1 << 60)
SAID = "the disk of the spool is full: batches get 503 until it has room, and reads go on"


def sent(url: str, batch: Batch, *, until: str = "spooled") -> httpx2.Response:
    headers = SENDING | {"Content-Type": CONTENT_TYPE}
    return httpx2.post(f"{url}/v1/detections?durability={until}", content=batch.body(), headers=headers, timeout=60)


def test_a_start_on_a_full_disk_says_so_once_and_is_read(
    environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    full = environment | {"DISK_RESERVE_BYTES": MORE_THAN_ANY_DISK}
    with service(full, port=port, folder=tmp_path, ready=False) as started:
        refused = sent(started.url, a_batch())
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")
        assert httpx2.get(f"{started.url}/v1/detections", headers=LOOKING).status_code == 200
        said = [event for event in started.events() if event["event"] == SAID]
    assert len(said) == 1
    assert said[0]["reserve_bytes"] == int(MORE_THAN_ANY_DISK)
    assert "DISK_RESERVE_BYTES" in str(said[0]["fix"])


def test_a_start_on_a_disk_with_room_says_nothing_of_it(environment: dict[str, str], port: int, tmp_path: Path) -> None:
    with service(environment | {"DISK_RESERVE_BYTES": "0"}, port=port, folder=tmp_path) as started:
        assert sent(started.url, a_batch()).status_code == 201
        assert SAID not in started.log.read_text(encoding="utf-8")


@pytest.mark.root(reason="mounting a small disk needs root on Linux")
@pytest.mark.skipif(find_wheel() is None, reason="the embedded servers are not installed")
async def test_an_embedded_vault_lives_through_a_full_disk_and_takes_batches_again() -> None:
    with a_small_disk(mebibytes=1536) as disk:
        async with embedded_site(disk) as site:
            kept = a_batch()
            assert sent(site.url, kept, until="stored").status_code == 201
            postgres = site.child(POSTGRES)
            ballast = fill(disk, leave=128 * MEBI)
            time.sleep(LOOK_AGAIN_SECONDS)  # what others write is seen at the next look
            for _ in range(5):
                refused = sent(site.url, a_batch())
                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")
            image = httpx2.get(
                f"{site.url}/v1/detections/{kept.ids[0]}/images/full", headers=LOOKING, follow_redirects=True
            )
            assert image.content == kept.parts[f"{kept.ids[0]}_full"]
            checks = (await site.ready())["checks"]
            assert (checks["spool"]["status"], checks["object_store"]["status"]) == ("full", "unavailable")
            assert "is full" in checks["object_store"]["reason"]
            ballast.unlink()
            began = time.monotonic()
            while sent(site.url, a_batch()).status_code == 503:
                assert time.monotonic() - began < 10
                time.sleep(0.1)
            again = site.child(POSTGRES)
            assert postgres is not None
            assert again is not None
            assert again.pid == postgres.pid
            assert site.postgres_said("PANIC") == 0
