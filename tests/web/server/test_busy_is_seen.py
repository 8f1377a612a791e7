"""A 429 for a large body is seen by clients that write all of it before they read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from platevault.app.vault import Vault
from platevault.ingest.admission import IN_TURN_AT_ONCE
from platevault.ingest.transfer_rate import TransferRate
from tests.processes.test_early_refusal import BATCH, PROGRAMS, a_body, seen_by
from tests.web.server.test_door import refused_total, served


@pytest.fixture
def crowded(vault: Vault) -> Vault:
    for _ in range(IN_TURN_AT_ONCE):
        vault.ingest_context.bodies.add(TransferRate(began=0.0, complete=True))
    return vault


@pytest.fixture
def port(crowded: Vault) -> Iterator[int]:
    with served(crowded, [], keep_alive=5) as free:
        yield free


@pytest.mark.parametrize("client", PROGRAMS)
async def test_the_refusal_of_a_large_batch_for_want_of_a_place_is_seen(
    crowded: Vault, port: int, tmp_path: Path, client: str
) -> None:
    for mebibytes in (2, 16):
        body = a_body(tmp_path, mebibytes)
        seen = seen_by(client, f"http://127.0.0.1:{port}/v1/detections", body, BATCH)
        assert seen == ["429"] * 3, (client, mebibytes)
    assert refused_total(crowded) == 6
