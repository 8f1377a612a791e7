"""Fixtures of the web's tests: a vault on a database of its own, and a viewer in front of it."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from platevault.app.vault import Vault
from platevault.delivery.sql.nodes import beat
from platevault.infra.objectstore.memory import MemoryStore
from tests.support.direct_uploads import SIGNER
from tests.support.vaults import NOW, a_client, a_vault


@pytest.fixture
async def vault(migrated_url: str, tmp_path: Path) -> AsyncIterator[Vault]:
    """An empty vault."""
    vault = a_vault(migrated_url, tmp_path)
    yield vault
    await vault.database.close()


@pytest.fixture
async def viewer(vault: Vault) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody with the viewers' token."""
    async with a_client(vault) as client:
        yield client


@pytest.fixture
async def direct(vault: Vault) -> Vault:
    """The vault with direct upload, all of it on one store in memory."""
    objects = MemoryStore(now=lambda: NOW)
    uploader = dataclasses.replace(vault.uploader, objects=objects)
    ingest_context = dataclasses.replace(vault.ingest_context, uploader=uploader, now=lambda: NOW)
    await beat(vault.database, node_id=vault.node_id, host="test", as_worker=False)
    return dataclasses.replace(
        vault,
        objects=objects,
        uploader=uploader,
        ingest_context=ingest_context,
        direct=dataclasses.replace(vault.direct, ingest_context=ingest_context, signer=SIGNER),
    )
