"""Image URLs that no browser can reach are seen by the service, and said until they work."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platevault.app.open import open_vault
from platevault.app.vault import Vault
from platevault.infra.objectstore import SignedUrl
from platevault.infra.objectstore.memory import MemoryStore
from platevault.operations import image_url_test
from platevault.operations.image_url_test import ImageUrlTest
from platevault.settings import read_settings
from tests.support.keeping import Unreliable
from tests.support.vaults import a_client, a_vault

KEY = "derived/doctor/test_url.jpg"


@dataclass
class Signer:
    """Signs for this origin."""

    origin: str

    def sign(self, key: str, *, valid_for: timedelta, now: datetime, download: str | None = None) -> SignedUrl:
        return SignedUrl(url=f"{self.origin}/{key}?signature=x", expires_at=now + valid_for)

    def sign_all(self, keys: Sequence[str], *, valid_for: timedelta, now: datetime) -> tuple[list[str], datetime]:
        return [self.sign(key, valid_for=valid_for, now=now).url for key in keys], now + valid_for


class PublicEndpoint:
    """Where browsers reach the store: it refuses connections, or answers with what the store has, or with an error."""

    def __init__(self, objects: MemoryStore) -> None:
        self._objects = objects
        self.status = 200
        self.asked = 0
        self.asked_again = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.asked += 1
        if self.asked > 2:
            self.asked_again.set()
        body = await self._objects.get(line.partition("?")[0].removeprefix("/")) if self.status == 200 else b"denied"
        head = f"HTTP/1.1 {self.status} x\r\nContent-Length: {len(body or b'')}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + (body or b""))
        await writer.drain()
        writer.close()


@pytest.fixture
def objects() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def endpoint(objects: MemoryStore) -> AsyncIterator[tuple[PublicEndpoint, str]]:
    public = PublicEndpoint(objects)
    server = await asyncio.start_server(public.answer, "127.0.0.1", 0)
    async with server:
        yield public, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def a_test(objects: MemoryStore, origin: str, *, store_url: str = "http://127.0.0.1:9000") -> ImageUrlTest:
    return ImageUrlTest(
        objects=objects,
        signer=Signer(origin),
        store_url=store_url,
        new_key=lambda: KEY,
        now=lambda: datetime.now(UTC),
    )


async def test_a_url_that_gives_its_object_passes_and_leaves_nothing(
    objects: MemoryStore, endpoint: tuple[PublicEndpoint, str]
) -> None:
    test = a_test(objects, endpoint[1])
    assert await test.test()
    assert test.reason is None
    assert [key async for key, _, _ in objects.list("")] == []


async def test_an_endpoint_that_cannot_be_reached_or_refuses_is_named_until_it_works(
    objects: MemoryStore, endpoint: tuple[PublicEndpoint, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_url_test, "FIRST_PAUSE_SECONDS", 0.02)
    unreached = a_test(objects, "http://127.0.0.1:1")
    assert not await unreached.test()
    assert unreached.reason is not None
    assert "http://127.0.0.1:1/ cannot be reached" in unreached.reason
    assert "signature" not in unreached.reason
    public, origin = endpoint
    public.status = 403
    test = a_test(objects, origin)
    testing = asyncio.create_task(test.until_it_passes())
    await public.asked_again.wait()
    assert test.reason is not None
    assert "answered 403" in test.reason
    public.status = 200
    await asyncio.wait_for(testing, 10)
    assert test.reason is None


async def test_the_pause_between_tests_grows_to_a_minute_and_no_further(
    objects: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 7:
            raise asyncio.CancelledError

    monkeypatch.setattr(image_url_test.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await a_test(objects, "http://127.0.0.1:1").until_it_passes()
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


async def test_a_store_that_is_away_says_nothing_of_urls_and_is_tested_again(
    endpoint: tuple[PublicEndpoint, str],
) -> None:
    class Away(Unreliable):
        async def create(self, key: str, new: object) -> bool:
            await self.check()
            return True

    away = Away()
    away.silent = True
    test = a_test(away, endpoint[1])
    assert not await test.test()
    assert test.reason is None


async def test_loopback_of_a_container_is_another_place_than_a_browsers(objects: MemoryStore) -> None:
    test = a_test(objects, "http://localhost:1", store_url="http://minio:9000")
    assert await test.test()
    assert test.reason is None


async def test_readyz_is_degraded_after_the_test_has_failed_and_ok_once_it_passes(
    migrated_url: str, tmp_path: Path, objects: MemoryStore, endpoint: tuple[PublicEndpoint, str]
) -> None:
    public, origin = endpoint
    vault = a_vault(migrated_url, tmp_path, objects=objects, image_urls=a_test(objects, origin), uptime=lambda: 0.0)
    try:
        assert vault.image_urls is not None
        async with a_client(vault, token=None) as client:
            assert "image_urls" not in (await client.get("/readyz")).json()["checks"]
            public.status = 403
            await vault.image_urls.test()
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
            assert answer.json()["checks"]["image_urls"]["status"] == "unreachable"
            assert "MINIO_PUBLIC_ENDPOINT" in answer.json()["checks"]["image_urls"]["reason"]
            public.status = 200
            await vault.image_urls.test()
            assert "image_urls" not in (await client.get("/readyz")).json()["checks"]
    finally:
        await vault.database.close()


@pytest.mark.parametrize(("age", "state"), [(0.0, "ok"), (59.9, "ok"), (60.0, "silent"), (3600.0, "silent")])
async def test_a_missing_worker_is_not_said_in_the_first_minute(
    migrated_url: str, tmp_path: Path, age: float, state: str
) -> None:
    vault = a_vault(migrated_url, tmp_path, uptime=lambda: age)
    try:
        async with a_client(vault, token=None) as client:
            assert (await client.get("/readyz")).json()["checks"]["worker"]["status"] == state
    finally:
        await vault.database.close()


def a_vault_of(migrated_url: str, folder: Path, **more: object) -> Vault:
    given = {
        "database_url": migrated_url,
        "minio_endpoint": "127.0.0.1:9000",
        "minio_access_key": "k",
        "minio_secret_key": "secret-canary",
        "spool_dir": folder / "spool",
        "collector_token": "c" * 16,
        "viewer_token": "v" * 16,
    }
    return open_vault(read_settings(env_file=None, **{**given, **more}))


async def test_the_service_tests_what_browsers_fetch_from_the_store_alone(migrated_url: str, tmp_path: Path) -> None:
    direct = a_vault_of(migrated_url, tmp_path)
    proxied = a_vault_of(migrated_url, tmp_path, image_delivery="proxy", url_signing_key="s" * 32)
    for vault in (direct, proxied):
        await vault.database.close()
    assert direct.image_urls is not None
    assert 0 <= direct.uptime() < 60
    assert proxied.image_urls is None
