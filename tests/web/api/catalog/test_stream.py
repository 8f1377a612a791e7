"""GET /v1/stream over a real server: events as browsers read them, and streams that end when they should."""

import asyncio
import contextlib
import dataclasses
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import text

from platevault.app.vault import Vault
from platevault.catalog.feed.subscribers import Tempo
from platevault.web.api.catalog import stream
from platevault.web.app import build_app
from platevault.web.dependencies import VAULT
from platevault.web.server.connections import DeadlineProtocol
from tests.makers import DetectionRows, a_detection, an_image
from tests.support.subscribers import BRISK, some_followers
from tests.support.vaults import COLLECTOR, RULES, VIEWER, a_client, keep, looks


@contextlib.asynccontextmanager
async def served(vault: Vault, app: FastAPI | None = None) -> AsyncIterator[tuple[str, uvicorn.Server]]:
    """The app on a port of its own, behind our connections; nothing else of the vault runs."""
    app = app or build_app(vault)

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        scope["state"][VAULT] = vault
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(with_state, http=DeadlineProtocol, lifespan="on", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
    server.should_exit = True
    await serving


@pytest.fixture
def brisk(vault: Vault) -> Vault:
    return dataclasses.replace(vault, subscribers=some_followers(vault.database))


@pytest.fixture
async def url(brisk: Vault) -> AsyncIterator[str]:
    async with served(brisk) as (url, _):
        yield url


class Events:
    """What a browser's EventSource makes of the bytes (HTML, section 9.2.6): only CR and LF end lines."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Any]] = []  # (event, id, data), as dispatched
        self.comments = 0
        self.last_id = ""
        self.retry: int | None = None
        self.ended = False
        self._kind = ""
        self._data: list[str] = []

    async def take(self, answer: httpx2.Response) -> None:
        rest = b""
        with contextlib.suppress(httpx2.HTTPError, httpx2.StreamError):
            async for chunk in answer.aiter_raw():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._line(line.decode())
        self.ended = True

    @property
    def ids(self) -> list[str]:
        return [data["detection_id"] for _, _, data in self.seen]

    def _line(self, line: str) -> None:
        name, _, value = line.partition(": ")
        if not line and self._data:
            self.seen.append((self._kind or "message", self.last_id, json.loads("\n".join(self._data))))
        if not line:
            self._kind, self._data = "", []
        elif line.startswith(":"):
            self.comments += 1
        elif name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
        elif name == "id":
            self.last_id = value
        elif name == "retry":
            self.retry = int(value)


@contextlib.asynccontextmanager
async def a_stream(
    url: str, *, token: str | None = VIEWER, headers: dict[str, str] | None = None, **asked: str
) -> AsyncIterator[tuple[httpx2.Response, Events]]:
    """Its answer and, where there is a stream, the events that came so far; the first lines are here."""
    given = {"Authorization": f"Bearer {token}"} if token else {}
    events = Events()
    async with (
        httpx2.AsyncClient(base_url=url, timeout=60) as client,
        client.stream("GET", "/v1/stream", params=asked, headers=given | (headers or {})) as answer,
    ):
        if answer.status_code != 200:
            await answer.aread()
            yield answer, events
            return
        taking = asyncio.create_task(events.take(answer))
        await until(lambda: events.last_id)
        yield answer, events
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)


async def until(is_so: Callable[[], Any], *, within: float = 60.0) -> None:
    async with asyncio.timeout(within):
        while not is_so():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.01)


async def test_an_event_is_a_detection_as_the_list_has_it_with_its_place_as_its_id(brisk: Vault, url: str) -> None:
    async with a_stream(url) as (answer, events):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in answer.headers
        rows = [
            a_detection(
                "evt_1", images=[an_image("full"), an_image("crop", state="pending")], data={"note": "a\nb\r\n\u2028"}
            ),
            a_detection("evt_2", plate=None),
        ]
        await keep(brisk, *rows)
        await until(lambda: len(events.seen) == 2)
    async with httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {VIEWER}"}) as client:
        page = (await client.get("/v1/detections", params={"order": "seq"})).json()
    assert [kind for kind, _, _ in events.seen] == ["detection", "detection"]
    assert [data for _, _, data in events.seen] == page["items"]
    assert events.seen[-1][1] == page["next_after"]
    assert page["items"][0]["images"]["full"]["url"].startswith("https://images.example/")
    assert events.retry == 2000


async def test_a_browser_that_comes_back_gets_what_it_missed_once(vault: Vault) -> None:
    """Even when it went before anything happened: the first lines have an id."""
    silent = dataclasses.replace(BRISK, sign_of_life=60.0)
    quiet = dataclasses.replace(vault, subscribers=some_followers(vault.database, tempo=silent))
    async with served(quiet) as (url, _):
        async with a_stream(url) as (_, events):
            begun = events.last_id
        await keep(quiet, a_detection("evt_1"), a_detection("evt_2"))
        async with a_stream(url, headers={"Last-Event-ID": begun}) as (_, events):
            await until(lambda: events.ids == ["evt_1", "evt_2"])
        async with a_stream(url, headers={"Last-Event-ID": events.seen[0][1]}, after="0") as (_, events):
            await until(lambda: events.ids == ["evt_2"])


async def test_a_quiet_stream_gives_signs_of_life_that_are_no_events(brisk: Vault, url: str) -> None:
    async with a_stream(url, camera_id="south") as (_, events):
        begun = events.last_id
        await keep(brisk, a_detection("evt_1"))
        await until(lambda: events.comments >= 2 and events.last_id != begun)
        assert events.seen == [], "nothing of that camera"


def test_proxies_see_a_sign_of_life_before_they_lose_patience() -> None:
    tempo = Tempo()
    assert tempo.sign_of_life + tempo.unwoken <= 15


@pytest.mark.parametrize(
    "asked", [{"limit": "5"}, {"nothing": "x"}, {"after": "x"}, {"after": "9000000000-1"}, {"plate": "-"}], ids=str
)
async def test_what_is_wrong_is_a_problem_before_there_is_a_stream(
    brisk: Vault, url: str, asked: dict[str, str]
) -> None:
    async with a_stream(url, **asked) as (answer, _):
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert brisk.subscribers.taken == 0


async def test_only_who_may_read_detections_follows_them(url: str) -> None:
    for token, status in ((None, 401), (COLLECTOR, 403)):
        async with a_stream(url, token=token) as (answer, _):
            assert answer.status_code == status


async def test_past_the_cap_there_is_a_429_and_whoever_goes_makes_room(vault: Vault) -> None:
    few = dataclasses.replace(vault, subscribers=some_followers(vault.database, most=1))
    async with served(few) as (url, _):
        async with a_stream(url) as (first, _), a_stream(url) as (second, _):
            assert (first.status_code, second.status_code) == (200, 429)
            assert int(second.headers["retry-after"]) >= 1
        await until(lambda: few.subscribers.taken == 0)
        async with a_stream(url) as (again, _):
            assert again.status_code == 200


async def test_a_session_s_purpose_goes_with_the_stream_and_without_one_it_is_refused(vault: Vault) -> None:
    strict = dataclasses.replace(
        vault, access=dataclasses.replace(RULES, purpose_required=True), subscribers=some_followers(vault.database)
    )
    async with served(strict) as (url, _):
        async with a_stream(url) as (answer, _):
            assert answer.status_code == 403
            assert answer.json()["type"] == "urn:platevault:problem:purpose-missing"
        assert await looks(strict) == []
        async with a_client(strict, token=None) as pages:
            signed_in = await pages.post("/login", data={"token": VIEWER, "purpose": "theft", "case": "2025-0117"})
        cookie = signed_in.headers["set-cookie"].partition(";")[0]
        async with a_stream(url, token=None, headers={"Cookie": cookie}) as (_, events):
            await keep(strict, a_detection("evt_1"))
            await until(lambda: events.seen)
    opened, told = await looks(strict)
    assert (opened["detection_ids"], told["detection_ids"]) == ([], ["evt_1"])
    for look in (opened, told):
        assert (look["actor_kind"], look["purpose"], look["case"]) == ("session", "theft", "2025-0117")
        assert look["route"] == "/v1/stream"


async def heard(vault: Vault) -> None:
    """One process hears notices."""
    asked = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
    while True:
        async with vault.database.reading() as connection:
            if (await connection.execute(asked)).scalar_one():
                return
        await asyncio.sleep(0.02)


async def signed_in(vault: Vault) -> dict[str, str]:
    """The header of a browser that has signed in."""
    async with a_client(vault, token=None) as pages:
        answer = await pages.post("/login", data={"token": VIEWER, "purpose": "theft"})
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


@pytest.mark.parametrize("process", ["this", "another"])
async def test_a_session_that_is_signed_out_anywhere_follows_no_more(vault: Vault, process: str) -> None:
    """Also with a cookie that had another purpose by then; other sessions go on."""
    installation = dataclasses.replace(BRISK, credential=600.0)
    here = dataclasses.replace(vault, subscribers=some_followers(vault.database, tempo=installation))
    there = dataclasses.replace(vault, subscribers=some_followers(vault.database, tempo=installation))
    ours, others = await signed_in(here), await signed_in(here)
    async with served(here) as (url, _):
        async with (
            a_stream(url, token=None, headers=ours) as (_, mine),
            a_stream(url, token=None, headers=others) as (
                _,
                theirs,
            ),
        ):
            await heard(here)
            async with a_client(here if process == "this" else there, token=None, headers=ours) as pages:
                changed = await pages.post(
                    "/reason", data={"purpose": "another"}, headers={"Sec-Fetch-Site": "same-origin"}
                )
                newer = {"Cookie": changed.headers["set-cookie"].partition(";")[0]}
                assert newer != ours
                pages.headers.update(newer)
                assert (await pages.post("/logout", headers={"Sec-Fetch-Site": "same-origin"})).status_code == 303
            await until(lambda: mine.ended)
            await until(lambda: here.subscribers.taken == 1)
            await keep(here, a_detection("evt_1"))
            await until(lambda: theirs.ids == ["evt_1"])
            assert mine.ids == []
        async with a_stream(url, token=None, headers=ours) as (_, again):
            await until(lambda: again.ended)
    await there.subscribers.notices.close()


@pytest.mark.parametrize("what", ["session's end", "other tokens"])
@pytest.mark.parametrize("how", ["cookie", "token"])
async def test_a_credential_that_opens_the_vault_no_more_does_not_follow_on(brisk: Vault, what: str, how: str) -> None:
    app = build_app(brisk)
    headers = await signed_in(brisk) if how == "cookie" else {"Authorization": f"Bearer {VIEWER}"}
    later = {"cookie_valid_for": timedelta(seconds=-1)} if what == "session's end" else {"viewer_token": "another"}
    async with (
        served(brisk, app) as (url, _),
        a_stream(url, token=None, headers=headers) as (_, events),
    ):
        app.state.vault = dataclasses.replace(brisk, access=dataclasses.replace(RULES, **later))  # type: ignore[arg-type]
        if (how, what) == ("token", "session's end"):
            await keep(brisk, a_detection("evt_1"))
            await until(lambda: events.ids == ["evt_1"])
            assert not events.ended, "a token is no session"
        else:
            await until(lambda: events.ended)
            await until(lambda: brisk.subscribers.taken == 0)


async def test_no_event_is_sent_before_its_look_is_committed(brisk: Vault, url: str) -> None:
    async with a_stream(url) as (_, events):
        for number in range(5):
            await keep(brisk, a_detection(f"evt_{number}"))
            await until(lambda seen=number: len(events.seen) > seen)  # type: ignore[misc]
            assert any(f"evt_{number}" in look["detection_ids"] for look in await looks(brisk))


async def test_a_client_that_takes_nothing_is_dropped_and_gives_its_place_back(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "TAKEN_WITHIN_SECONDS", 0.5)
    slow = dataclasses.replace(vault, subscribers=some_followers(vault.database))
    async with served(slow) as (url, server):
        with a_deaf_client(url):
            await until(lambda: slow.subscribers.taken == 1)
            await keep(slow, *large(60))
            await until(lambda: slow.subscribers.taken == 0)
            await until(lambda: not server.server_state.connections)


async def test_the_end_of_the_server_waits_for_no_follower_not_even_for_a_deaf_one(vault: Vault) -> None:
    lazy = dataclasses.replace(
        vault, subscribers=some_followers(vault.database, tempo=dataclasses.replace(BRISK, unwoken=60.0))
    )
    async with served(lazy) as (url, server), a_stream(url) as (_, events):
        with a_deaf_client(url):
            await until(lambda: lazy.subscribers.taken == 2)
            await keep(lazy, *large(60))
            lazy.subscribers.notices.ring()
            await until(lambda: len(events.seen) == 60)
            began = time.monotonic()
            server.should_exit = True
            await until(lambda: not server.server_state.connections)
            assert time.monotonic() - began < 30
            assert lazy.subscribers.taken == 0
            assert events.ended


def large(number: int) -> list[DetectionRows]:
    """More than all buffers on the way to a client take."""
    return [a_detection(f"evt_{one}", data={"long": "x" * 200_000}) for one in range(number)]


@contextlib.contextmanager
def a_deaf_client(url: str) -> Iterator[socket.socket]:
    """It asks for the stream and never reads."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        connection.sendall(
            f"GET /v1/stream HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {VIEWER}\r\n\r\n".encode()
        )
        yield connection
