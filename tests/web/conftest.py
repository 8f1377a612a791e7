"""Fixtures of the web's tests: a vault on a database of its own, and a viewer in front of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from platevault.app.vault import Vault
from tests.support.vaults import a_client, a_vault


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
