"""A vault whose spool lies on a disk that has come to its reserve, as its clients see it."""

import dataclasses
import uuid
from pathlib import Path

from platevault.app.vault import Vault
from platevault.infra.spool.spool import Spool
from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.vaults import COLLECTOR, RULES, a_client, a_vault

METRICS = "metrics-token-of-the-tests"
MORE_THAN_ANY_DISK = 1 << 60


def on_a_full_disk(vault: Vault, folder: Path, *, reserve: int = MORE_THAN_ANY_DISK) -> Vault:
    """The vault with a spool whose disk keeps so much free."""
    spool = Spool.open(folder / "spool", max_bytes=1 << 33, new_node_id=uuid.uuid4(), disk_reserve_bytes=reserve)
    uploader = dataclasses.replace(vault.uploader, spool=spool)
    context = dataclasses.replace(vault.ingest_context, uploader=uploader)
    return dataclasses.replace(vault, spool=spool, uploader=uploader, ingest_context=context)


async def test_batches_get_503_and_when_to_come_again_while_reads_go_on(migrated_url: str, tmp_path: Path) -> None:
    vault = on_a_full_disk(a_vault(migrated_url, tmp_path), tmp_path)
    try:
        async with a_client(vault, token=COLLECTOR) as collector, a_client(vault) as viewer:
            refused = await collector.post(
                "/v1/detections", content=a_batch().body(), headers={"Content-Type": CONTENT_TYPE}
            )
            listed = await viewer.get("/v1/detections")
    finally:
        await vault.database.close()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")
    assert refused.json()["type"].endswith("spool-full")
    assert "disk" in refused.json()["detail"]
    assert listed.status_code == 200


async def test_readiness_and_metrics_give_the_reason_and_the_figures(migrated_url: str, tmp_path: Path) -> None:
    access = dataclasses.replace(RULES, metrics_token=METRICS)
    vault = on_a_full_disk(a_vault(migrated_url, tmp_path, access=access), tmp_path)
    try:
        async with a_client(vault, token=METRICS) as client:
            ready = await client.get("/readyz")
            measured = await client.get("/metrics")
    finally:
        await vault.database.close()
    assert ready.status_code == 503
    spool = ready.json()["checks"]["spool"]
    assert spool["status"] == "full"
    assert "MiB are free and the reserve is" in spool["reason"]
    assert 0 < spool["disk_free_bytes"] < spool["disk_reserve_bytes"] == MORE_THAN_ANY_DISK
    lines = dict(line.rsplit(" ", 1) for line in measured.text.splitlines() if line.startswith("platevault_spool_disk"))
    assert float(lines["platevault_spool_disk_reserve_bytes"]) == MORE_THAN_ANY_DISK
    assert 0 < float(lines["platevault_spool_disk_free_bytes"]) < MORE_THAN_ANY_DISK


async def test_one_batch_above_the_reserve_is_ready(migrated_url: str, tmp_path: Path) -> None:
    vault = on_a_full_disk(a_vault(migrated_url, tmp_path), tmp_path, reserve=0)
    try:
        async with a_client(vault) as client:
            spool = (await client.get("/readyz")).json()["checks"]["spool"]
    finally:
        await vault.database.close()
    assert spool["status"] == "ok"
    assert spool["disk_reserve_bytes"] == 0
