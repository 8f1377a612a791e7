"""Nobody sees a detection or a URL without a row that says who, when and why."""

import dataclasses
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from sqlalchemy import text

from platevault.app.vault import Vault
from platevault.web.app import build_app
from platevault.web.html.saved_searches import COOKIE, written_searches
from platevault.web.routes import ROUTES
from tests.makers import a_detection, an_image
from tests.support.holding import rows_hold
from tests.support.pictures import VARIANTS, CountingMaker, an_original
from tests.support.vaults import RULES, a_client, a_vault, keep, looks, with_renditions

A_HOLD: Final = uuid.UUID("00000000-0000-4000-8000-00000000000a")
# Each route that shows detections or URLs, and a request to it that does.
LOOKS: Final[Mapping[tuple[str, str], dict[str, Any]]] = {
    ("GET", "/v1/detections"): {"url": "/v1/detections?plate=ab*"},
    ("POST", "/v1/search"): {"url": "/v1/search", "json": {"plate": "ab*"}},
    ("GET", "/v1/detections/{detection_id}"): {"url": "/v1/detections/evt_1"},
    ("GET", "/v1/detections/{detection_id}/images/{kind}"): {"url": "/v1/detections/evt_1/images/full"},
    ("HEAD", "/v1/detections/{detection_id}/images/{kind}"): {"url": "/v1/detections/evt_1/images/full"},
    ("GET", "/v1/detections/{detection_id}/images/{kind}/url"): {"url": "/v1/detections/evt_1/images/full/url"},
    **{
        (method, f"/v1/detections/{{detection_id}}/images/{{kind}}/{what}"): {
            "url": f"/v1/detections/evt_1/images/full/{what}"
        }
        for method, what in (("GET", "derived"), ("HEAD", "derived"), ("GET", "derived/url"), ("GET", "metadata"))
    },
    ("POST", "/v1/image-urls"): {
        "url": "/v1/image-urls",
        "json": {"images": [{"detection_id": "evt_1", "kind": "full"}]},
    },
    ("POST", "/v1/holds"): {
        "url": "/v1/holds",
        "json": {
            "detection_ids": ["evt_1"],
            "requested_by": "J. Doe",
            "authority": "City police",
            "case": "2025-0117",
            "reason": "theft",
            "review_on": "2030-01-01",
        },
    },
    ("GET", "/v1/holds/{hold_id}/images"): {"url": f"/v1/holds/{A_HOLD}/images"},
    ("GET", "/v1/export"): {"url": "/v1/export?plate=ab*"},
    ("POST", "/v1/export"): {"url": "/v1/export", "json": {"plate": "ab*"}},
    ("GET", "/"): {"url": "/"},
    ("GET", "/search/{search_id}"): {"url": "/search/0123456789ab"},
    ("GET", "/detections/{detection_id}"): {"url": "/detections/evt_1"},
    ("GET", "/detections/{detection_id}/images/{kind}/save"): {"url": "/detections/evt_1/images/full/save"},
}
# Each route that shows no detection, but reasons, filters or cameras.
LOOKS_WITHOUT_IDS: Final[Mapping[tuple[str, str], dict[str, Any]]] = {
    ("GET", "/v1/holds"): {"url": "/v1/holds"},
    ("GET", "/v1/holds/{hold_id}"): {"url": f"/v1/holds/{A_HOLD}"},
    ("GET", "/overview"): {"url": "/overview"},
}
# Each route that shows neither: what it shows instead. A collector sees only what it sent.
NO_LOOKS: Final[Mapping[tuple[str, str], str]] = {
    ("POST", "/v1/detections"): "what became of the sender's own batch",
    ("GET", "/v1/collectors/{collector_id}/batches/{batch_id}"): "what became of the sender's own batch",
    ("POST", "/v1/uploads"): "URLs to put with, to the sender of what is put",
    ("POST", "/v1/uploads/{upload_id}/commit"): "what became of the sender's own batch",
    ("POST", "/v1/uploads/{upload_id}/abort"): "the sender's own upload",
    ("GET", "/v1/uploads/{upload_id}"): "the sender's own upload",
    ("GET", "/v1/resend"): "what a collector lost of its own",
    ("DELETE", "/v1/detections/{detection_id}"): "what became of it, and it is written down: test_deletions",
    ("POST", "/v1/deletions"): "counts, and it is written down: test_deletions",
    ("GET", "/v1/deletions/{deletion_id}"): "counts, and it is written down: test_deletions",
    ("POST", "/v1/deletions/{deletion_id}/confirm"): "counts, and it is written down: test_deletions",
    ("POST", "/v1/clock/confirm"): "the clocks, and it is written down: test_confirm_clock",
    ("POST", "/clock/confirm"): "the same, by the button of the overview",
    ("POST", "/v1/holds/{hold_id}/lift"): "the same, and it is written down: test_holds",
    ("GET", "/v1/stream"): "what comes in from then on, and it is written down: test_stream",
    ("GET", "/search/{search_id}/stream"): "the same, for a search of the pages: test_live",
    ("GET", "/v1/limits"): "settings",
    ("GET", "/v1/objects/{key}"): "bytes, to the holder of a URL whose issue was written down",
    ("GET", "/healthz"): "health",
    ("GET", "/readyz"): "health",
    ("GET", "/metrics"): "numbers that name nobody",
    ("GET", "/login"): "a form",
    ("POST", "/login"): "a form",
    ("POST", "/logout"): "a redirect",
    ("POST", "/search"): "a redirect to the results",
    ("POST", "/reason"): "a redirect",
    ("POST", "/preferences"): "a redirect",
    ("GET", "/docs"): "the API",
}


@pytest.fixture
async def vault(migrated_url: str, tmp_path: Path) -> AsyncIterator[Vault]:
    vault = with_renditions(a_vault(migrated_url, tmp_path), decoder=CountingMaker(), variants=VARIANTS)
    yield vault
    await vault.database.close()


@pytest.fixture
async def kept(vault: Vault) -> Vault:
    await an_original(vault.database, vault.objects)  # type: ignore[arg-type]
    await rows_hold(vault.database, hold_id=A_HOLD)
    return vault


def routes(vault: Vault) -> set[tuple[str, str]]:
    """Every (method, path) of the app: those of OpenAPI, and the pages, which are described with them here."""
    app = build_app(vault)
    for router in app.router.routes:
        for inner in getattr(getattr(router, "original_router", None), "routes", [router]):
            if hasattr(inner, "include_in_schema"):
                inner.include_in_schema = True
    paths = app.openapi()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def test_every_route_either_shows_something_and_is_written_down_or_shows_nothing(vault: Vault) -> None:
    known = set(LOOKS) | set(LOOKS_WITHOUT_IDS) | set(NO_LOOKS)
    found = routes(vault) - {("GET", "/openapi.json")}
    twins = {("HEAD", path) for method, path in known if method == "GET"} - known  # HEAD of the same handler: below
    assert found - twins == known


WITHOUT_HEAD: Final = frozenset({"/v1/export", "/v1/stream", "/search/{search_id}/stream"})
# HEAD has the handler of GET, so it is a look as well.
LOOKED_AT: Final = sorted(LOOKS) + sorted(
    ("HEAD", path)
    for method, path in LOOKS
    if method == "GET" and ("HEAD", path) not in LOOKS and path not in WITHOUT_HEAD
)


@pytest.mark.parametrize("route", LOOKED_AT)
async def test_each_look_is_one_row(kept: Vault, viewer: httpx2.AsyncClient, route: tuple[str, str]) -> None:
    method, template = route
    headers = {b"X-Purpose": "Diebstahl in Köln".encode(), b"X-Case": b"2025-0117", b"X-Request-Id": b"request-1"}
    async with a_client(
        dataclasses.replace(kept, access=dataclasses.replace(RULES, open_to_all=True)), token=None
    ) as anyone:
        client = anyone if template in {"/", "/detections/{detection_id}"} else viewer
        client.cookies.set(COOKIE, written_searches({"0123456789ab": {"plate": "ab*"}}))
        answer = await client.request(method, **LOOKS.get(route, LOOKS.get(("GET", template), {})), headers=headers)
    assert answer.status_code in {200, 201, 202, 303, 307}
    (look,) = await looks(kept)
    assert (look["route"], look["request_id"]) == (template, "request-1")
    assert (look["purpose"], look["case"]) == ("Diebstahl in Köln", "2025-0117")
    assert look["detection_ids"] == ["evt_1"]
    assert (look["actor"], look["actor_kind"]) == (
        ("embedded", "embedded") if client is anyone else ("viewer", "token")
    )


@pytest.mark.parametrize("route", sorted(LOOKS_WITHOUT_IDS))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_look_at_holds_or_the_overview_is_one_row(
    kept: Vault, viewer: httpx2.AsyncClient, route: tuple[str, str], method: str
) -> None:
    reason = {"X-Purpose": "review", "X-Case": "2025-0117"}
    answer = await viewer.request(method, **LOOKS_WITHOUT_IDS[route], headers=reason)
    assert answer.status_code == 200
    (look,) = await looks(kept)
    assert (look["route"], look["actor"], look["detection_ids"]) == (route[1], "viewer", [])
    assert (look["purpose"], look["case"]) == ("review", "2025-0117")
    if "hold" in route[1]:
        assert str(A_HOLD) in str(look["filters"])


# What must not be shown without a row: the plate, the id, who asked for the hold, its case.
MARKS: Final = ("AB-123-CD", "AB123CD", "evt_1", "J. Doe", "2025-0117")
# Each names why its answer is not compared here.
NOT_COMPARED: Final[Mapping[str, str]] = {
    "/v1/stream": "it does not end; test_stream compares its rows",
    "/search/{search_id}/stream": "it does not end; test_live compares its rows",
    "/v1/objects/{key:path}": "bytes, to the holder of a URL whose issue was written down",
    "/v1/collectors/{collector_id}/batches/{batch_id}": "what became of the sender's own batch",
    "/v1/resend": "images that the collector itself lost",
    "/v1/uploads/{upload_id}": "the sender's own upload",
    "/docs": "the API with its examples",
}
A_PLACE: Final = {
    "detection_id": "evt_1",
    "kind": "full",
    "hold_id": str(A_HOLD),
    "deletion_id": "00000000-0000-4000-8000-00000000000d",
    "search_id": "0123456789ab",
}


@pytest.mark.parametrize("path", sorted({one.path for one in ROUTES if one.method == "GET"} - set(NOT_COMPARED)))
async def test_no_route_shows_a_plate_an_id_or_a_reason_without_a_row(kept: Vault, path: str) -> None:
    rules = dataclasses.replace(RULES, open_to_all=True)
    deletion = {"filter": {"plate": "AB123CD", "from": "2020-01-01T00:00:00Z"}}
    async with a_client(dataclasses.replace(kept, access=rules), token=None) as anyone:
        asked = await anyone.post("/v1/deletions", json=deletion)
        anyone.cookies.set(COOKIE, written_searches({"0123456789ab": {"plate": "AB*"}}))
        before = len(await looks(kept))
        place = A_PLACE | {"deletion_id": asked.json()["deletion_id"]}
        answer = await anyone.get(path.format(**place))
    assert answer.status_code < 500
    shown = [mark for mark in MARKS if mark in answer.text or mark in answer.headers.get("location", "")]
    written = len(await looks(kept)) - before
    assert written == 1 or not shown, f"{path} shows {shown} and wrote {written} rows"


@pytest.mark.parametrize("more", [{"plate": "ZZ999ZZ"}, {"plate": "AB123CD"}])
async def test_the_row_of_a_holds_filter_is_written_before_its_answer_also_where_it_finds_nothing(
    kept: Vault, viewer: httpx2.AsyncClient, more: dict[str, str]
) -> None:
    asked = {**LOOKS["POST", "/v1/holds"]["json"], "filter": more}
    del asked["detection_ids"]
    answer = await viewer.post("/v1/holds", json=asked)
    assert answer.status_code == (422 if more["plate"].startswith("Z") else 201)
    (look,) = await looks(kept)
    assert (look["route"], look["filters"]["filter"]) == ("/v1/holds", more)
    async with kept.database.reading() as connection:
        await connection.execute(text("ALTER TABLE access_log ADD CONSTRAINT broken CHECK (false) NOT VALID"))
        await connection.commit()
    assert (await viewer.post("/v1/holds", json=asked)).status_code == 503
    assert len(await holds_of(kept)) == (1 if more["plate"].startswith("Z") else 2)


async def holds_of(vault: Vault) -> list[str]:
    async with vault.database.reading() as connection:
        return [str(row.hold_id) for row in await connection.execute(text("SELECT hold_id FROM holds"))]


@pytest.mark.parametrize("route", sorted(LOOKS))
async def test_a_look_that_cannot_be_written_down_shows_nothing(
    kept: Vault,
    viewer: httpx2.AsyncClient,
    route: tuple[str, str],
) -> None:
    async with kept.database.reading() as connection:
        await connection.execute(text("ALTER TABLE access_log ADD CONSTRAINT broken CHECK (false) NOT VALID"))
        await connection.commit()
    method, template = route
    async with a_client(
        dataclasses.replace(kept, access=dataclasses.replace(RULES, open_to_all=True)), token=None
    ) as anyone:
        client = anyone if template in {"/", "/detections/{detection_id}"} else viewer
        client.cookies.set(COOKIE, written_searches({"0123456789ab": {"plate": "ab*"}}))
        answer = await client.request(method, **LOOKS[route])
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert "evt_1" not in answer.text
    assert "location" not in answer.headers


async def test_the_plate_that_was_searched_is_written_down_even_when_nothing_is_found(
    vault: Vault,
    viewer: httpx2.AsyncClient,
) -> None:
    await viewer.get("/v1/detections?plate=ZZ*&data.a.b=x&limit=5")
    (look,) = await looks(vault)
    assert look["filters"] == {
        "plate": "ZZ*",
        "limit": 5,
        "data": [{"path": "a.b", "op": "text", "value": "x"}],
    }
    assert look["detection_ids"] == []


@pytest.mark.parametrize(
    "path",
    ["/v1/detections/nothing", "/v1/detections/nothing/images/full/url", "/v1/detections/evt_2/images/full"],
)
async def test_what_shows_nothing_is_not_written_down(vault: Vault, viewer: httpx2.AsyncClient, path: str) -> None:
    await keep(vault, a_detection("evt_2", images=[an_image("full", state="expired")]))
    assert (await viewer.get(path)).status_code in {404, 410}
    assert await looks(vault) == []


async def test_where_a_purpose_is_required_a_look_without_one_is_refused(kept: Vault) -> None:
    strict = dataclasses.replace(kept, access=dataclasses.replace(RULES, purpose_required=True))
    async with a_client(strict) as client:
        for (method, template), request in LOOKS.items():
            if not template.startswith("/v1/"):
                continue
            refused = await client.request(method, **request)
            assert refused.status_code == 403, template
            if method != "HEAD":
                assert refused.json()["type"] == "urn:platevault:problem:purpose-missing"
            assert (await client.request(method, **request, headers={"X-Purpose": "  "})).status_code == 403
        assert await looks(kept) == []
        assert (await client.get("/v1/limits")).status_code == 200, "no look, no purpose"
        assert (await client.get("/v1/detections", headers={"X-Purpose": "theft"})).status_code == 200


@pytest.mark.parametrize(("name", "longest"), [("X-Purpose", 200), ("X-Case", 100)])
async def test_a_reason_is_of_limited_length_and_printable(
    kept: Vault,
    viewer: httpx2.AsyncClient,
    name: str,
    longest: int,
) -> None:
    assert (await viewer.get("/v1/detections", headers={name: "x" * longest})).status_code == 200
    for wrong in ("x" * (longest + 1), "a\tb"):
        answer = await viewer.get("/v1/detections", headers={name: wrong})
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith(name)
