"""The button of the overview that confirms the clock, and the route of the API behind it."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from platevault.app.vault import Vault
from platevault.infra.objectstore.memory import MemoryStore
from platevault.jobs.vault_clock import clock_is_right
from platevault.operations.overview import OverviewCache
from tests.support.vaults import COLLECTOR, ORIGIN, RULES, VIEWER, a_client, looks
from tests.web.auth.test_credentials import ask, signed_in

ADMIN = "admin-token-of-the-tests"
HERE = {"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}


class OffStore(MemoryStore):
    """Its clock is an hour ahead."""

    async def time(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
async def doubtful(vault: Vault) -> Vault:
    """A vault with an administrator, whose database's clock jumped 400 days."""
    async with vault.database.reading() as connection:
        await connection.execute(text("UPDATE vault_clock SET seen_at = clock_timestamp() - interval '400 days'"))
        await connection.commit()
    access = dataclasses.replace(RULES, admin_token=ADMIN)
    return dataclasses.replace(vault, access=access, lookout=OverviewCache())


async def is_right(vault: Vault) -> bool:
    return await clock_is_right(vault.database, vault.objects)


async def page_of(vault: Vault) -> str:
    async with a_client(vault) as client:
        return " ".join((await client.get("/overview")).text.split())


async def press(vault: Vault, *, cookies: Any, headers: Any, **fields: str) -> httpx2.Response:
    return await ask(vault, "POST", "/clock/confirm", cookies=cookies, headers=headers, data=fields)


async def test_the_page_shows_the_clocks_and_a_button_while_one_is_in_doubt(doubtful: Vault) -> None:
    page = await page_of(doubtful)
    now = datetime.now(UTC)
    for title, when in (("Clock of the database", now), ("Newest time seen", now - timedelta(days=400))):
        assert f"{when:%Y-%m-%d}" in page.partition(title)[2].partition("</dd>")[0]
    assert 'action="/clock/confirm"' in page
    assert 'name="token"' in page
    assert '<a href="#clocks">Clocks: in doubt</a>' in page
    assert (await press(doubtful, cookies=(await signed_in(doubtful)).cookies, headers=HERE, token=ADMIN)).headers[
        "location"
    ] == "/overview"
    page = await page_of(doubtful)
    assert "Erasing is stopped" not in page, "at once, not after 30 seconds"
    assert 'action="/clock/confirm"' not in page


async def test_the_store_s_date_is_shown_too(doubtful: Vault) -> None:
    objects = OffStore()
    uploader = dataclasses.replace(doubtful.uploader, objects=objects)
    page = await page_of(dataclasses.replace(doubtful, objects=objects, uploader=uploader))
    shown = page.partition("of the object store")[2].partition("</dd>")[0]
    assert f"{datetime.now(UTC) + timedelta(hours=1):%H:%M}" in shown


async def test_without_an_administrators_token_the_page_names_the_command(doubtful: Vault) -> None:
    page = await page_of(dataclasses.replace(doubtful, access=RULES))
    assert "<code>platevault doctor --confirm-clock</code>" in page
    assert 'action="/clock/confirm"' not in page


async def test_who_confirmed_is_in_the_access_log_with_purpose_and_case(doubtful: Vault) -> None:
    cookies = (await signed_in(doubtful, purpose="the vault was off", case="2025-7")).cookies
    answer = await press(doubtful, cookies=cookies, headers=HERE, token=ADMIN)
    assert answer.status_code == 303
    assert await is_right(doubtful)
    (row,) = await looks(doubtful)
    told = [row[name] for name in ("actor", "actor_kind", "route", "purpose", "case", "detection_ids")]
    assert told == ["admin", "token", "/clock/confirm", "the vault was off", "2025-7", []]


@pytest.mark.parametrize("token", ["", "wrong", VIEWER, COLLECTOR, f"{ADMIN}x"])
async def test_only_an_administrator_confirms_on_the_page(doubtful: Vault, token: str) -> None:
    cookies = (await signed_in(doubtful)).cookies
    assert (await press(doubtful, cookies=cookies, headers=HERE, token=token)).status_code == 403
    assert not await is_right(doubtful)
    assert await looks(doubtful) == []


async def test_a_form_of_another_site_confirms_nothing(doubtful: Vault) -> None:
    cookies = (await signed_in(doubtful)).cookies
    for headers in (
        {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {},
    ):
        assert (await press(doubtful, cookies=cookies, headers=headers, token=ADMIN)).status_code == 403, headers
    answer = await press(doubtful, cookies={}, headers=HERE, token=ADMIN)
    assert answer.status_code in (303, 401), "without a cookie: to the sign-in page"
    assert not await is_right(doubtful)


async def test_an_embedded_vault_confirms_without_a_token_and_only_from_its_own_page(doubtful: Vault) -> None:
    embedded = dataclasses.replace(doubtful, access=dataclasses.replace(RULES, open_to_all=True))
    page = await page_of(embedded)
    assert 'action="/clock/confirm"' in page
    assert 'name="token"' not in page
    assert (await press(embedded, cookies={}, headers={"Sec-Fetch-Site": "cross-site"})).status_code == 403
    assert not await is_right(embedded)
    assert (await press(embedded, cookies={}, headers=HERE, nothing="")).status_code == 303
    assert await is_right(embedded)


@pytest.mark.parametrize(("token", "status"), [(None, 401), (COLLECTOR, 403), (VIEWER, 403), (ADMIN, 200)])
async def test_the_api_takes_the_word_of_administrators_only(doubtful: Vault, token: str | None, status: int) -> None:
    async with a_client(doubtful, token=token, headers={"X-Purpose": "moved"}) as client:
        answer = await client.post("/v1/clock/confirm")
    assert answer.status_code == status
    assert await is_right(doubtful) is (status == 200)
    found = [(row["actor"], row["route"], row["purpose"]) for row in await looks(doubtful)]
    assert found == ([("admin", "/v1/clock/confirm", "moved")] if status == 200 else [])
    if status == 200:
        assert answer.json()["status"] == "ok"
        assert answer.json()["store_time"] is not None


async def test_a_cookie_of_a_viewer_does_not_confirm_by_the_api(doubtful: Vault) -> None:
    cookies = (await signed_in(doubtful)).cookies
    answer = await ask(doubtful, "POST", "/v1/clock/confirm", cookies=cookies, headers=HERE)
    assert answer.status_code == 403
    assert not await is_right(doubtful)
