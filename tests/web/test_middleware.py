"""What goes around every request."""

import json
import re
from collections.abc import AsyncIterator

import httpx2
import pytest
import structlog
from fastapi import Request, Response

from platevault.app.vault import Vault
from platevault.web.app import build_app
from platevault.web.dependencies import DISCARD_BYTES_MAX
from platevault.web.route import Route
from tests.makers import a_detection, an_image
from tests.support.vaults import IMAGE_ORIGIN, ORIGIN, VIEWER, keep

CANARY = "CANARY7"


@pytest.mark.parametrize("given", ["abc-1", "A" * 64])
async def test_a_request_id_is_taken_and_returned(viewer: httpx2.AsyncClient, given: str) -> None:
    answer = await viewer.get("/v1/limits", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "-x", "a b", "A" * 65, "x\\n", "<b>"])
async def test_a_request_id_that_is_none_is_replaced(viewer: httpx2.AsyncClient, given: str) -> None:
    answer = await viewer.get("/v1/limits", headers={"X-Request-Id": given})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_every_answer_has_the_headers_that_browsers_need(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(vault, a_detection("evt_1", images=[an_image()]))
    for path in ("/v1/detections", "/v1/nothing", "/v1/detections/evt_1/images/full", "/login", "/static/style.css"):
        headers = (await viewer.get(path)).headers
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "x-request-id" in headers
        if "json" in headers.get("content-type", ""):
            assert headers["cache-control"] == "no-store"


async def test_pages_load_nothing_from_elsewhere_but_images(viewer: httpx2.AsyncClient) -> None:
    for path in ("/login", "/docs"):
        answer = await viewer.get(path)
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy == {
            "default-src": "'none'",
            "img-src": f"'self' {IMAGE_ORIGIN}",
            "style-src": "'self'",
            "script-src": "'self'",
            "connect-src": "'self'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
            "base-uri": "'none'",
        }
        assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", answer.text), "inline code would be blocked"
        assert set(re.findall(r'(?:src|href)="(https?:)?//', answer.text)) == set()


async def test_the_log_has_one_line_a_request_and_no_secret(
    vault: Vault,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A plate, a token, a purpose, a cursor, an id: none of them is the log's to keep."""
    await keep(vault, a_detection(CANARY, plate=CANARY, images=[an_image()]))
    headers = {"Authorization": f"Bearer {VIEWER}", "X-Purpose": CANARY, "X-Case": CANARY}
    transport = httpx2.ASGITransport(build_app(vault))
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as client:
        capsys.readouterr()
        for url in (
            f"/v1/detections?plate={CANARY}&data.x={CANARY}",
            f"/v1/detections?{CANARY}=1",
            f"/v1/detections/{CANARY}",
            f"/v1/detections/{CANARY}/images/full",
            f"/v1/detections/{CANARY}/images/{CANARY}/url",
            f"/v1/objects/{CANARY}?signature={CANARY}",
            f"/{CANARY}",
        ):
            await client.get(url)
        await client.post("/v1/search", json={"plate": CANARY})
        await client.post("/v1/search", content=f'{{"plate": "{CANARY}'.encode())
        await client.post("/login", data={"token": CANARY, "next": f"/{CANARY}"})
        await client.get("/v1/detections", headers={"Authorization": f"Bearer {CANARY}"})
        await client.get("/healthz")
    logged = capsys.readouterr().out
    assert CANARY not in logged
    assert VIEWER not in logged
    assert len([line for line in logged.splitlines() if "route=" in line]) == 11
    assert "healthz" not in logged


async def test_a_log_line_names_the_template_and_how_long_it_took(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    await keep(vault, a_detection("evt_1"))
    with structlog.testing.capture_logs() as lines:
        answer = await viewer.get("/v1/detections/evt_1")
    (line,) = lines
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/detections/{detection_id}", 200)
    assert line["ms"] > 0
    assert answer.json()["detection_id"] == "evt_1"
    json.dumps(line)


async def test_an_unexpected_error_is_logged_by_its_kinds_and_frames(vault: Vault) -> None:
    async def broken() -> Response:
        raise ValueError from OSError()

    transport = httpx2.ASGITransport(build_app(vault, routes=[Route("GET", "/v1/broken", broken)]))
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        with structlog.testing.capture_logs() as lines:
            await client.get("/v1/broken")
    failed, request = lines
    assert (failed["log_level"], failed["error"]) == ("error", "ValueError from OSError")
    assert any("test_middleware" in frame for frame in failed["frames"])
    assert (request["log_level"], request["status"]) == ("warning", 500)


@pytest.mark.parametrize(
    ("headers", "ends"),
    [
        ({}, False),
        ({"Content-Length": "0"}, False),
        ({"Content-Length": str(DISCARD_BYTES_MAX)}, False),
        ({"Content-Length": str(DISCARD_BYTES_MAX + 1)}, True),
        ({"Content-Length": "10", "Expect": "100-continue"}, True),
        ({"Transfer-Encoding": "chunked"}, True),
    ],
)
async def test_an_answer_whose_request_was_not_read_ends_the_connection_unless_the_rest_is_small(
    vault: Vault, headers: dict[str, str], *, ends: bool
) -> None:
    for routes in ([], [reading_route()]):
        transport = httpx2.ASGITransport(build_app(vault, routes=routes))
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            request = httpx2.Request("POST", f"{ORIGIN}/v1/detections", headers=headers, content=None)
            request.headers = httpx2.Headers({"Host": "testserver", **headers})
            answer = await client.send(request)
        was_read = bool(routes)
        assert answer.status_code == (200 if was_read else 404)
        assert (answer.headers.get("connection") == "close") is (ends and not was_read)


@pytest.mark.parametrize("until_the_end", [True, False])
async def test_a_body_that_was_given_up_halfway_ends_its_connection(vault: Vault, *, until_the_end: bool) -> None:
    async def halves() -> AsyncIterator[bytes]:
        yield b"x"
        yield b"y"

    transport = httpx2.ASGITransport(build_app(vault, routes=[reading_route(chunks=9 if until_the_end else 1)]))
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        answer = await client.post("/v1/detections", content=halves(), headers={"Content-Length": "2"})
    assert answer.status_code == 200
    assert (answer.headers.get("connection") == "close") is not until_the_end


def reading_route(*, chunks: int = 9) -> Route:
    """A route that reads this number of chunks of the body and answers."""

    async def read(request: Request) -> Response:
        taken = 0
        async for _ in request.stream():
            taken += 1
            if taken == chunks:
                break
        return Response()

    return Route("POST", "/v1/detections", read)


async def answered(vault: Vault, *, hosts: list[bytes], version: str) -> int:
    """The status of a request with these Host headers."""
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": version,
        "method": "GET",
        "scheme": "http",
        "path": "/healthz",
        "raw_path": b"/healthz",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", host) for host in hosts],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await build_app(vault)(scope, receive, send)  # type: ignore[arg-type]
    return int(str(sent[0]["status"]))


@pytest.mark.parametrize(
    ("hosts", "version", "status"),
    [
        ([b"a"], "1.1", 200),
        ([], "1.1", 400),
        ([b"a", b"a"], "1.1", 400),
        ([b"localhost", b"evil.example"], "1.1", 400),
        ([], "1.0", 200),
        ([b"a", b"b"], "1.0", 400),
    ],
)
async def test_a_request_names_its_host_once(vault: Vault, hosts: list[bytes], version: str, status: int) -> None:
    assert await answered(vault, hosts=hosts, version=version) == status
