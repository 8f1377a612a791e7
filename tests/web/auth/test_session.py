"""A cookie says why its holder looks, who may change that, and nobody but the vault can write it."""

import base64
import dataclasses
import hashlib
import json
import time

import httpx2
import pytest
from fastapi import Request, Response
from itsdangerous import URLSafeTimedSerializer

from platevault.app.vault import Vault
from platevault.web.auth.session import COOKIE, Session, begin, session_of
from tests.support.vaults import ORIGIN, RULES, a_client, looks
from tests.web.auth.test_credentials import ask, signed_in

FROM_HERE = {"Origin": ORIGIN}


async def test_a_cookie_with_another_purpose_than_was_signed_is_nothing(vault: Vault) -> None:
    cookies = (await signed_in(vault, purpose="theft")).cookies
    assert (await ask(vault, cookies=cookies)).status_code == 200
    forger = URLSafeTimedSerializer(
        "a key of their own", salt="platevault-session", signer_kwargs={"digest_method": hashlib.sha256}
    )
    _, content = forger.loads_unsafe(cookies[COOKIE])
    assert content["purpose"] == "theft"
    for changed in (content, {**content, "purpose": "curiosity"}):
        assert (await ask(vault, cookies={COOKIE: str(forger.dumps(changed))})).status_code == 401


async def test_why_somebody_looks_can_change_without_signing_out(vault: Vault) -> None:
    cookies = (await signed_in(vault, purpose="theft", case="2025-1")).cookies
    page = (await ask(vault, url="/", cookies=cookies)).text
    assert 'name="purpose" value="theft"' in page
    assert 'name="case" value="2025-1"' in page
    changed = {"purpose": "fraud <b>", "case": "2025-2", "next": "/detections/evt_1"}
    answer = await ask(vault, "POST", "/reason", cookies=cookies, headers=FROM_HERE, data=changed)
    assert (answer.status_code, answer.headers["location"]) == (303, "/detections/evt_1")
    assert "fraud &lt;b&gt;" in (await ask(vault, url="/", cookies=answer.cookies)).text
    assert [(look["purpose"], look["case"]) for look in await looks(vault)] == [
        ("theft", "2025-1"),
        ("fraud <b>", "2025-2"),
    ]


async def test_only_who_is_signed_in_has_a_reason_to_change_and_it_must_be_one(vault: Vault) -> None:
    form = {"purpose": "fraud", "next": "//elsewhere.example"}
    assert (await ask(vault, "POST", "/reason", data=form)).status_code == 401
    cookies = (await signed_in(vault, purpose="theft")).cookies
    too_long = await ask(vault, "POST", "/reason", cookies=cookies, headers=FROM_HERE, data={"purpose": "x" * 201})
    assert too_long.status_code == 422
    strict = dataclasses.replace(vault, access=dataclasses.replace(RULES, purpose_required=True))
    none = await ask(strict, "POST", "/reason", cookies=cookies, headers=FROM_HERE, data={"purpose": " "})
    assert none.status_code == 403
    elsewhere = await ask(strict, "POST", "/reason", cookies=cookies, headers=FROM_HERE, data=form)
    assert elsewhere.headers["location"] == "/"


def test_a_changed_reason_keeps_nobody_signed_in_for_longer() -> None:
    hours_ago = round(time.time()) - round(RULES.cookie_valid_for.total_seconds())
    for began, ends in ((hours_ago + 60, False), (hours_ago - 60, True)):
        answer = Response()
        begin(answer, Session(purpose="theft", began=began), rules=RULES)
        cookie = answer.headers["set-cookie"].partition(";")[0]
        asked = Request({"type": "http", "headers": [(b"cookie", cookie.encode())]})
        found = session_of(asked, rules=RULES)
        assert found == (None if ends else Session(purpose="theft", began=began))


async def test_who_signs_out_leaves_no_searches_behind(vault: Vault) -> None:
    cookies = (await signed_in(vault)).cookies
    answer = await ask(vault, "POST", "/logout", cookies=cookies, headers=FROM_HERE)
    assert [line.partition("=")[0] for line in answer.headers.get_list("set-cookie") if "Max-Age=0" in line] == [
        COOKIE,
        "platevault_searches",
    ]


@pytest.mark.parametrize("path", ["/login", "/preferences", "/logout"])
async def test_an_origin_that_is_none_is_another_site(vault: Vault, path: str) -> None:
    async with a_client(vault, token=None) as stranger:
        answer = await stranger.post(path, data={"theme": "dark"}, headers={"Origin": "http://["})
    assert answer.status_code == 403


@pytest.mark.parametrize("charset", ["undefined", "unicode_escape"])
@pytest.mark.parametrize("path", ["/login", "/preferences"])
async def test_a_form_in_another_coding_is_refused(vault: Vault, path: str, charset: str) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\n\\ud800\r\n--b--\r\n'
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
    async with a_client(vault, token=None) as stranger:
        assert (await stranger.post(path, content=body, headers=headers)).status_code == 422
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        assert (await stranger.post(path, content=b"token=%ff%fe", headers=headers)).status_code == 422


@pytest.mark.parametrize("field", ["plate", "from", "camera_id", "min_confidence"])
async def test_a_kept_search_that_somebody_wrote_himself_breaks_no_page(
    vault: Vault, viewer: httpx2.AsyncClient, field: str
) -> None:
    kept = base64.urlsafe_b64encode(json.dumps({"0123456789ab": {field: "\ud800"}}).encode()).decode()
    answer = await viewer.get("/search/0123456789ab", headers={"Cookie": f"platevault_searches={kept}"})
    assert answer.status_code < 500
