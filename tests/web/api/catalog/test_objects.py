"""Objects by URLs that the service itself signed."""

import dataclasses
from datetime import timedelta
from urllib.parse import quote

import httpx2
import pytest

from platevault.app.vault import Vault
from platevault.infra.concurrency.delivery_budget import DeliveryBudget
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.local import LocalUrlSigner
from tests.support.vaults import NOW, ORIGIN, a_client, looks

KEY = "full/2025/01/15/evt_1_full.jpg"
DATA = b"\xff\xd8\xff" + bytes(1000)


@pytest.fixture
async def local(vault: Vault) -> Vault:
    signer = LocalUrlSigner(public_url=ORIGIN, signing_key=b"a key")
    await vault.objects.create(KEY, NewObject(data=DATA, content_type="image/jpeg", metadata={}))
    return dataclasses.replace(vault, signer=signer, image_origin=None)


def url(vault: Vault, key: str = KEY, **wishes: str) -> str:
    return vault.signer.sign(key, valid_for=timedelta(minutes=5), now=NOW, **wishes).url


async def fetch(vault: Vault, url: str, **headers: str) -> httpx2.Response:
    async with a_client(vault, token=None) as anyone:
        return await anyone.get(url, headers=headers)


async def test_the_holder_of_a_url_needs_nothing_else(local: Vault) -> None:
    answer = await fetch(local, url(local))
    assert (answer.status_code, answer.content) == (200, DATA)
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("image/jpeg", "private, max-age=86400")
    assert (answer.headers["x-content-type-options"], answer.headers["content-security-policy"]) == (
        "nosniff",
        "sandbox",
    )
    again = await fetch(local, url(local), **{"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    part = await fetch(local, url(local), Range="bytes=1-2")
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"\xd8\xff", "bytes 1-2/1003")
    assert (await fetch(local, url(local), Range="bytes=1003-")).status_code == 416
    assert await looks(local) == [], "issuing the URL was the look"


async def test_a_download_is_named_as_it_was_signed(local: Vault) -> None:
    answer = await fetch(local, url(local, download="Köln.jpg"))
    assert answer.headers["content-disposition"].endswith("filename*=UTF-8''K%C3%B6ln.jpg")
    assert "content-disposition" not in (await fetch(local, url(local))).headers


@pytest.mark.parametrize("change", ["&x=1", "&download=a.html", "&content_type=text/html", "0"])
async def test_a_changed_url_is_refused(local: Vault, change: str) -> None:
    answer = await fetch(local, url(local) + change)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")


async def test_a_url_of_another_key_or_time_is_refused(local: Vault) -> None:
    other = url(local).replace("evt_1_full", "evt_2_full")
    assert (await fetch(local, other)).status_code == 403
    assert (await fetch(local, f"/v1/objects/{KEY}")).status_code == 403
    later = dataclasses.replace(local, now=lambda: NOW + timedelta(minutes=5))
    assert (await fetch(later, url(local))).status_code == 403


@pytest.mark.parametrize("key", ["full/2025/01/15/evt_9_full.jpg", "../../etc/passwd", "full/%2e%2e/x", "a\x00b"])
async def test_what_is_not_there_is_not_served(local: Vault, key: str) -> None:
    assert (await fetch(local, f"/v1/objects/{quote(key)}?expires=1&signature=x")).status_code in {403, 404}


async def test_an_object_that_is_gone_is_not_found(local: Vault) -> None:
    await local.objects.delete(KEY)
    assert (await fetch(local, url(local))).status_code == 404


async def test_with_an_object_store_of_its_own_nothing_is_served_here(vault: Vault) -> None:
    signer = LocalUrlSigner(public_url=ORIGIN, signing_key=b"a key")
    signed = signer.sign(KEY, valid_for=timedelta(minutes=5), now=NOW).url
    await vault.objects.create(KEY, NewObject(data=DATA, content_type="image/jpeg", metadata={}))
    answer = await fetch(vault, signed)
    assert answer.status_code == 404


async def test_past_the_memory_of_deliveries_a_reader_is_told_to_come_again(local: Vault) -> None:
    full = dataclasses.replace(local, deliveries=DeliveryBudget(100))
    answer = await fetch(full, url(full))
    assert (answer.status_code, answer.headers["content-type"]) == (429, "application/problem+json")
    assert int(answer.headers["retry-after"]) > 0
