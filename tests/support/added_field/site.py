"""A program for the copy with one field more: it sends the new field through the product and prints where it saw it, as JSON."""

import asyncio
import csv
import dataclasses
import io
import json
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import text

import platevault
from platevault.app.vault import Vault
from platevault.infra.postgres.migrations import migrate
from platevault.web.app import build_app
from tests.makers import NOON
from tests.support.added_field.checkout import FIELD
from tests.support.deliveries import BOUNDARY, CONTENT_TYPE, multipart_body
from tests.support.vaults import COLLECTOR, NOW, RULES, a_client, a_vault

ADMIN = "admin-token-of-the-tests"
VALUE = "solid-7"
READ: dict[str, Any] = {"captured_at": NOON.isoformat(), "camera_id": "north", "plate": "AB123"}
REBUILT = f"""
    INSERT INTO detections (detection_id, collector_id, batch_id, camera_id, captured_at, received_at, retain_until, rebuilt)
    VALUES ('evt_rebuilt', 'gate-1', 'lost', 'north', '{NOON.isoformat()}', now(), '{(NOW + timedelta(days=9)).isoformat()}', true)
"""


async def main(database_url: str, folder: Path) -> None:
    """Send, search, show, export and erase; print what was seen."""
    seen: dict[str, Any] = {"source": platevault.__file__}
    vault = dataclasses.replace(a_vault(database_url, folder), access=dataclasses.replace(RULES, admin_token=ADMIN))
    await migrate(vault.database)
    async with a_client(vault, token=COLLECTOR) as collector, a_client(vault, token=ADMIN) as admin:
        await _sent(collector, "b-1", "evt_1", VALUE)
        await _sent(collector, "b-2", "evt_2", "another")
        again = await _sent(collector, "b-3", "evt_1", "changed")
        seen["differs"] = again["detections"][0]["differs"]
        seen["stored"] = await _rows(vault, "evt_1")
        seen["answer"] = (await admin.get("/v1/detections/evt_1")).json().get(FIELD)
        seen["feed"] = [one.get(FIELD) for one in (await admin.get("/v1/detections?order=seq&after=0")).json()["items"]]
        seen["found"] = _ids(await admin.get("/v1/detections", params={FIELD: VALUE}))
        seen["found by JSON"] = _ids(await admin.post("/v1/search", json={FIELD: VALUE}))
        seen["page"] = VALUE in (await admin.get("/detections/evt_1")).text
        seen |= _exported((await admin.get("/v1/export")).content)
        seen["schemas"] = _schemas(vault)
        await _executed(vault, REBUILT)
        await _sent(collector, "b-4", "evt_rebuilt", "filled")
        seen["filled"] = await _rows(vault, "evt_rebuilt")
        assert (await admin.delete("/v1/detections/evt_1", headers={"X-Purpose": "asked"})).status_code == 200
        seen["erased"] = await _rows(vault, "evt_1")
    await vault.database.close()
    sys.stdout.write(json.dumps(seen))


async def _sent(client: httpx2.AsyncClient, batch_id: str, detection_id: str, value: str) -> dict[str, Any]:
    detection = READ | {"detection_id": detection_id, FIELD: value}
    manifest = {"batch_id": batch_id, "collector_id": "gate-1", "detections": [detection]}
    body = multipart_body({"batch": json.dumps(manifest).encode()}, boundary=BOUNDARY)
    answer = await client.post("/v1/detections", content=body, headers={"Content-Type": CONTENT_TYPE})
    assert answer.status_code in (200, 201), answer.text
    told: dict[str, Any] = answer.json()
    return told


def _ids(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["detection_id"] for item in answer.json()["items"]]


async def _rows(vault: Vault, detection_id: str) -> list[Any]:
    async with vault.database.reading() as connection:
        found = await connection.execute(
            text(f"SELECT {FIELD} FROM detections WHERE detection_id = :id"), {"id": detection_id}
        )
        return list(found.scalars())


async def _executed(vault: Vault, statement: str) -> None:
    await vault.database.transaction(lambda connection: connection.execute(text(statement)))


def _exported(data: bytes) -> dict[str, Any]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    manifest = json.loads(archive.read("manifest.json"))
    table = csv.DictReader(io.StringIO(archive.read("detections.csv").decode("utf-8-sig")))
    return {
        "manifest": sorted(str(one.get(FIELD)) for one in manifest["detections"]),
        "table": sorted(str(row.get(FIELD)) for row in table),
    }


def _schemas(vault: Vault) -> int:
    """In how many schemas of OpenAPI the field is: of an answer and of a question, at least."""
    schemas = build_app(vault).openapi()["components"]["schemas"]
    return sum(FIELD in schema.get("properties", {}) for schema in schemas.values())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
