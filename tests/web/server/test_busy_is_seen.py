"""A 429 for a large body is seen by clients that write all of it before they read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from platevault.app.vault import Vault
from platevault.ingest.admission import IN_TURN_AT_ONCE
from platevault.ingest.transfer_rate import TransferRate
from platevault.web.dependencies import DISCARD_BYTES_MAX
from tests.processes.test_early_refusal import BATCH, PROGRAMS, a_body, seen_by
from tests.web.server.test_connections import connect
from tests.web.server.test_door import HEAD, LENGTH, NEXT, one_answer, refused_total, served


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


async def test_the_rest_of_one_body_does_not_count_as_that_of_the_batch_behind_it(port: int) -> None:
    head = HEAD.replace(f"Content-Length: {LENGTH}".encode(), f"Content-Length: {DISCARD_BYTES_MAX}".encode())
    body = b"x" * DISCARD_BYTES_MAX
    with connect(port) as connection:
        connection.sendall(head.replace(b"/v1/detections", b"/other"))
        assert one_answer(connection).startswith(b"HTTP/1.1 200"), "before its body is here"
        connection.sendall(body + head)
        assert one_answer(connection).startswith(b"HTTP/1.1 429"), "before its body is here"
        connection.sendall(body + NEXT)
        assert one_answer(connection).startswith(b"HTTP/1.1 200")
