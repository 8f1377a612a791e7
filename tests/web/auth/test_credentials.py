"""Who gets in, how far, and from where."""

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from platevault.app.vault import Vault
from platevault.web.auth.session import COOKIE
from tests.makers import a_detection, an_image
from tests.support.vaults import COLLECTOR, ORIGIN, RULES, VIEWER, a_client, keep, looks

READ = "/v1/detections"
PAGE = {"Accept": "text/html"}


def with_rules(vault: Vault, **changes: Any) -> Vault:
    return dataclasses.replace(vault, access=dataclasses.replace(RULES, **changes))


async def ask(
    vault: Vault,
    method: str = "GET",
    url: str = READ,
    *,
    cookies: Mapping[str, str] | None = None,
    **more: Any,
) -> httpx2.Response:
    async with a_client(vault, token=None) as client:
        client.cookies.update(dict(cookies or {}))
        return await client.request(method, url, **more)


async def signed_in(vault: Vault, **fields: str) -> httpx2.Response:
    return await ask(vault, "POST", "/login", data={"token": VIEWER} | fields)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {VIEWER}",
        f"Bearer {VIEWER}x",
        f"Bearer {VIEWER[:-1]}",
        "Bearer None",
        "Bearer ü",
    ],
)
async def test_without_a_token_of_ours_there_is_no_way_in(vault: Vault, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    for path in (READ, "/v1/detections/x", "/v1/detections/x/images/full", "/v1/limits"):
        answer = await ask(vault, url=path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["type"] == "urn:platevault:problem:not-signed-in"
    assert await looks(vault) == []


@pytest.mark.parametrize("token", ["", "None"])
async def test_a_token_that_is_not_set_is_nobodys(vault: Vault, token: str) -> None:
    closed = with_rules(vault, viewer_token=None, collector_token="")
    assert (await ask(closed, headers={"Authorization": f"Bearer {token}"})).status_code == 401
    assert (await ask(closed, "POST", "/login", data={"token": token})).status_code == 401


@pytest.mark.parametrize(
    ("token", "reads", "writes"),
    [(VIEWER, 200, 403), (COLLECTOR, 403, 422)],
)
async def test_a_token_opens_what_it_is_for(vault: Vault, token: str, reads: int, writes: int) -> None:
    """422: a body that is no batch, which is said to those who may send one only."""
    async with a_client(vault, token=token) as client:
        assert (await client.get(READ)).status_code == reads
        assert (await client.post("/v1/detections", content=b"x")).status_code == writes
        assert (await client.get("/v1/limits")).status_code == 200


async def test_limits_are_told(viewer: httpx2.AsyncClient) -> None:
    assert (await viewer.get("/v1/limits")).json() == {
        "max_batch_detections": 200,
        "max_batch_bytes": 64 * 2**20,
        "max_image_bytes": 16 * 2**20,
        "image_types": ["image/jpeg"],
        "direct_upload": False,
    }


async def test_a_cookie_is_traded_for_the_token(vault: Vault) -> None:
    answer = await signed_in(vault, purpose="theft", case="2025-1", next="/detections/evt_1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/detections/evt_1")
    (cookie,) = answer.headers.get_list("set-cookie")
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"):
        assert attribute in cookie
    assert "Secure" not in cookie
    assert VIEWER not in cookie
    assert (await ask(vault, cookies=answer.cookies)).status_code == 200
    (look,) = await looks(vault)
    assert (look["actor"], look["actor_kind"]) == ("viewer", "session")
    assert (look["purpose"], look["case"]) == ("theft", "2025-1")


async def test_a_header_says_more_than_the_cookie(vault: Vault) -> None:
    cookies = (await signed_in(vault, purpose="theft", case="2025-1")).cookies
    await ask(vault, cookies=cookies, headers={"X-Purpose": "fraud"})
    (look,) = await looks(vault)
    assert (look["purpose"], look["case"]) == ("fraud", "2025-1")


async def test_behind_https_the_cookie_stays_there(vault: Vault) -> None:
    answer = await signed_in(with_rules(vault, cookie_secure=True))
    assert "Secure" in answer.headers["set-cookie"]


async def test_a_wrong_token_gets_the_form_again(vault: Vault) -> None:
    for token in ("wrong", "", COLLECTOR):
        answer = await ask(vault, "POST", "/login", data={"token": token, "next": "/x"})
        assert answer.status_code == 401
        assert "does not open the vault" in answer.text
        assert 'value="/x"' in answer.text
        assert "set-cookie" not in answer.headers


async def test_a_purpose_can_be_required_at_the_door(vault: Vault) -> None:
    strict = with_rules(vault, purpose_required=True)
    assert (await signed_in(strict)).status_code == 422
    assert (await signed_in(strict, purpose="x" * 201)).status_code == 422
    cookies = (await signed_in(strict, purpose="theft")).cookies
    assert (await ask(strict, cookies=cookies)).status_code == 200
    without = (await signed_in(vault)).cookies
    refused = await ask(strict, url="/", cookies=without, headers=PAGE)
    assert (refused.status_code, "Say why you look" in refused.text) == (403, True)


@pytest.mark.parametrize(
    "changed",
    [
        {"viewer_token": "another-token"},
        {"viewer_token": None},
        {"signing_key": "another-key"},
        {"signing_key": None},
        {"cookie_valid_for": timedelta(seconds=-1)},
    ],
)
async def test_a_cookie_ends_with_its_token_its_key_and_its_time(vault: Vault, changed: Mapping[str, Any]) -> None:
    cookies = (await signed_in(vault)).cookies
    assert (await ask(vault, cookies=cookies)).status_code == 200
    assert (await ask(with_rules(vault, **changed), cookies=cookies)).status_code == 401


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c", "eyJ0b2tlbiI6IngifQ.aQ.x"])
async def test_a_cookie_that_was_not_made_here_is_nothing(vault: Vault, cookie: str) -> None:
    assert (await ask(vault, cookies={COOKIE: cookie})).status_code == 401


async def test_signing_out_takes_the_cookie_back(vault: Vault) -> None:
    answer = await ask(vault, "POST", "/logout", cookies=(await signed_in(vault)).cookies)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert 'platevault_session=""' in answer.headers["set-cookie"]


async def test_without_a_signing_key_nobody_signs_in(vault: Vault) -> None:
    answer = await signed_in(with_rules(vault, signing_key=None))
    assert (answer.status_code, "URL_SIGNING_KEY" in answer.text) == (403, True)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "evil.example",
        "",
        "/a\\..\\b",
        "/" + "x" * 600,
    ],
)
async def test_signing_in_leads_to_no_other_site(vault: Vault, elsewhere: str) -> None:
    assert (await signed_in(vault, next=elsewhere)).headers["location"] == "/"
    form = await ask(vault, url="/login", params={"next": elsewhere})
    assert 'name="next" value="/"' in form.text


async def test_a_page_leads_to_the_door_and_back(vault: Vault) -> None:
    answer = await ask(vault, url="/detections/evt_1", headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fdetections%2Fevt_1")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": ORIGIN}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
    ],
)
async def test_with_a_cookie_only_our_own_pages_post(vault: Vault, headers: dict[str, str], status: int) -> None:
    cookies = (await signed_in(vault)).cookies
    for url, body, passed in (
        ("/v1/search", {"json": {}}, 200),
        ("/search", {"data": {"plate": "a"}}, 303),
        ("/reason", {"data": {"purpose": "theft"}}, 303),
    ):
        answer = await ask(vault, "POST", url, cookies=cookies, headers=headers, **body)
        assert answer.status_code == (passed if status == 200 else status)
    token = {"Authorization": f"Bearer {VIEWER}"}
    assert (await ask(vault, "POST", "/v1/search", json={}, headers=headers | token)).status_code == 200


async def test_behind_a_proxy_the_public_url_is_our_origin(vault: Vault) -> None:
    public = dataclasses.replace(vault, public_url="https://vault.example")
    cookies = (await signed_in(public)).cookies
    for origin, status in (("https://vault.example", 200), ("https://evil.example", 403)):
        answer = await ask(public, "POST", "/v1/search", json={}, cookies=cookies, headers={"Origin": origin})
        assert answer.status_code == status


async def test_another_site_signs_nobody_in_or_out(vault: Vault) -> None:
    for url in ("/login", "/logout"):
        answer = await ask(vault, "POST", url, data={"token": VIEWER}, headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:8000", 403),
        ("10.0.0.1:8000", 403),
        ("[", 403),
        ("", 403),
    ],
)
async def test_an_embedded_vault_answers_this_machine_only(vault: Vault, host: str, status: int) -> None:
    open_vault = with_rules(vault, open_to_all=True)
    answer = await ask(open_vault, headers={"Host": host})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
async def test_an_embedded_vault_takes_nothing_from_other_sites(
    vault: Vault,
    headers: dict[str, str],
    status: int,
) -> None:
    open_vault = with_rules(vault, open_to_all=True)
    assert (await ask(open_vault, "POST", "/v1/search", json={}, headers=headers)).status_code == status


@pytest.mark.parametrize("path", ["/", "/v1/detections", "/v1/detections/evt_1/images/full", "/v1/stream"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_an_embedded_vault_shows_nothing_in_pages_of_other_sites(
    vault: Vault, path: str, headers: dict[str, str], status: int
) -> None:
    open_vault = with_rules(vault, open_to_all=True)
    async with a_client(open_vault, token=None, headers={"Host": "localhost:8000"} | headers) as client:
        assert (await client.get(path)).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
async def test_an_embedded_vault_answers_its_own_pages_programs_and_links(
    vault: Vault, headers: dict[str, str]
) -> None:
    open_vault = with_rules(vault, open_to_all=True)
    async with a_client(open_vault, token=None, headers={"Host": "localhost:8000"} | headers) as client:
        assert (await client.get("/v1/detections")).status_code == 200


async def test_an_embedded_vault_has_nothing_to_sign_in_to(vault: Vault) -> None:
    open_vault = with_rules(vault, open_to_all=True)
    await keep(open_vault, a_detection("evt_1", images=[an_image("full")]))
    assert (await ask(open_vault, url="/login?next=/docs")).headers["location"] == "/docs"
    assert "evt_1" in (await ask(open_vault, url="/")).text
    (look,) = await looks(open_vault)
    assert (look["actor"], look["actor_kind"]) == ("embedded", "embedded")
