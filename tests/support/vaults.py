"""Vaults for tests of the web: a real database, objects in memory, a spool in a temporary folder, and a clock that stands."""

import asyncio
import dataclasses
import math
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from platevault.app.open import open_vault
from platevault.app.vault import AccessRules, LinkRules, Vault
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.objectstore.s3.presign import S3UrlSigner, SigningIdentity
from platevault.infra.postgres.schema import access_log, nodes
from platevault.settings import read_settings
from platevault.web.app import build_app
from tests.makers import NOON, DetectionRows, put
from tests.support.contract import Contract
from tests.support.keeping import ToldClock

ORIGIN = "http://127.0.0.1"
IMAGE_ORIGIN = "https://images.example"
NOW = NOON + timedelta(hours=1)
VIEWER = "viewer-token-of-the-tests"
COLLECTOR = "collector-token-of-the-tests"
RULES = AccessRules(collector_token=COLLECTOR, viewer_token=VIEWER, signing_key="signing-key-of-the-tests")


def a_vault(database_url: str, folder: Path, **changes: Any) -> Vault:
    """A vault on this database, wired as in production; its background work is not started."""
    settings = read_settings(
        env_file=None,
        database_url=database_url,
        db_pool_size=4,
        storage_backend="local",
        local_storage_dir=folder / "images",
        spool_dir=folder / "spool",
        url_signing_key="the-local-signer-of-the-tests",
        collector_token=COLLECTOR,
        viewer_token=VIEWER,
    )
    signer = S3UrlSigner(
        public_endpoint=IMAGE_ORIGIN,
        bucket="alpr-images",
        identity=SigningIdentity(access_key="reader", secret_key="secret", region="us-east-1"),
    )
    usual: dict[str, Any] = {
        "objects": MemoryStore(now=lambda: NOW),
        "signer": signer,
        "image_origin": IMAGE_ORIGIN,
        "access": RULES,
        "links": LinkRules(),
        "now": lambda: NOW,
        "uptime": lambda: math.inf,
        "clock": ToldClock(changes.get("now", lambda: NOW)),
    }
    vault = dataclasses.replace(open_vault(settings), **(usual | changes))
    return with_renditions(vault, objects=vault.objects, now=vault.now)


def with_renditions(vault: Vault, **changes: Any) -> Vault:
    """The vault with these changes in its rendition context."""
    return dataclasses.replace(vault, rendition_context=dataclasses.replace(vault.rendition_context, **changes))


def a_client(
    vault: Vault, *, token: str | None = VIEWER, headers: Mapping[str, str] | None = None
) -> httpx2.AsyncClient:
    """A client of an app around the vault, a viewer by default. It follows no redirects.

    Each answer is compared with the OpenAPI document of the app.
    """
    given = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(Contract(build_app(vault))),
        base_url=ORIGIN,
        headers=given | dict(headers or {}),
    )


async def keep(vault: Vault, *rows: DetectionRows) -> None:
    """Write the rows."""
    async with vault.database.reading() as connection:
        await put(connection, *rows)
        await connection.commit()


async def looks(vault: Vault) -> list[dict[str, Any]]:
    """The access log, the oldest first."""
    async with vault.database.reading() as connection:
        found = await connection.execute(select(access_log).order_by(access_log.c.id))
        return [dict(row) for row in found.mappings()]


async def put_into_spool(vault: Vault, folder: Path, name: str, data: bytes) -> None:
    """A ready file of this node with these bytes, in the folder of `a_vault`: no batch, only bytes at an offset."""
    async with vault.database.reading() as connection:
        await connection.execute(
            upsert(nodes).values(node_id=vault.node_id, host="here").on_conflict_do_nothing(),
        )
        await connection.commit()
    await asyncio.to_thread((folder / "spool" / "ready" / name).write_bytes, data)
