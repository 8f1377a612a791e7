"""A plate that was copied from a page or a letter is found over HTTP, whatever else was copied with it."""

import io
import json
import zipfile
from typing import Any

import httpx2
import pytest

from platevault.app.vault import Vault
from tests.makers import a_detection
from tests.support.vaults import keep

ORDER = {
    "requested_by": "J. Doe",
    "authority": "City police",
    "case": "2025-1",
    "reason": "theft",
    "review_on": "2030-01-01",
}
PASTED = [
    "\tQQ?77\tZZ\n",
    "QQ\u00a0?77\u200dZZ",
    "\u202eQQ?\u00ad77ZZ\u200f",
    "\uff31\uff31\uff1f\u0667\u096d\uff3a\uff3a",
]


async def found(client: httpx2.AsyncClient, fields: dict[str, Any]) -> list[list[str]]:
    """The ids that the list, the search, the export and a hold find."""
    query = {name: str(value).lower() if isinstance(value, bool) else value for name, value in fields.items()}
    listed = await client.get("/v1/detections", params=query)
    searched = await client.post("/v1/search", json=fields)
    exported = await client.post("/v1/export", json=fields)
    placed = await client.post("/v1/holds", json={"filter": fields, **ORDER})
    for answer in (listed, searched, exported, placed):
        assert answer.status_code in {200, 201}, answer.text
    manifest = json.loads(zipfile.ZipFile(io.BytesIO(exported.content)).read("manifest.json"))
    held = await client.get("/v1/detections")
    return [
        [item["detection_id"] for item in listed.json()["items"]],
        [item["detection_id"] for item in searched.json()["items"]],
        [item["detection_id"] for item in manifest["detections"]],
        [item["detection_id"] for item in held.json()["items"] if item["held"]],
    ]


@pytest.mark.parametrize("pasted", PASTED)
async def test_a_pasted_plate_is_found_everywhere(vault: Vault, viewer: httpx2.AsyncClient, pasted: str) -> None:
    await keep(vault, a_detection("shown", plate="QQ?77ZZ"), a_detection("other", plate="QQ?78ZZ"))
    assert await found(viewer, {"plate": pasted}) == [["shown"]] * 4


async def test_another_reading_is_found_everywhere_where_misreads_are_tolerated(
    vault: Vault, viewer: httpx2.AsyncClient
) -> None:
    await keep(
        vault,
        a_detection("read", plate="ZX417ZB", candidates=[{"plate": "QX 417 ZB", "confidence": 0.4}]),
        a_detection("other", plate="ZX417ZB"),
    )
    assert await found(viewer, {"plate": "qx4I7\tZB", "similar": True}) == [["read"]] * 4
