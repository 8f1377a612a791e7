"""While a batch is being recorded its file is nobody else's."""

from pathlib import Path
from typing import Any

import pytest

from platevault.infra.postgres.database import Database
from platevault.ingest import accept as accepting
from tests.support.deliveries import a_batch
from tests.support.receptions import a_node


async def test_while_a_batch_is_recorded_nobody_else_takes_its_file(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, other = await a_node(migrated, tmp_path / "spool"), await a_node(migrated, tmp_path / "spool")
    ingest = accepting.record_file
    taken: list[int] = []

    async def while_others_recover(*arguments: Any, **named: Any) -> Any:
        taken.append(await other.recover())
        return await ingest(*arguments, **named)

    monkeypatch.setattr(accepting, "record_file", while_others_recover)
    receipt = await node.send(a_batch(), stored=True)
    assert taken == [0]
    assert (receipt.status_code, receipt.replayed) == (201, False)
