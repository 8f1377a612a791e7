"""Every error has a status, a stable type, and tells nothing that is not the asker's."""

from collections.abc import Iterator

import httpx2
import pytest
from fastapi import Response

from platevault.app.vault import Vault
from platevault.domain import byte_ranges as ranges
from platevault.domain import errors
from platevault.web.app import build_app
from platevault.web.problems import KINDS, problem_of
from platevault.web.route import Route
from tests.support.vaults import ORIGIN


def tree(kind: type[errors.VaultError] = errors.VaultError) -> Iterator[type[errors.VaultError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


def made(kind: type[errors.VaultError]) -> errors.VaultError:
    if issubclass(kind, errors.IdentifierReused):
        return kind("why", first_digest="a", this_digest="b")
    if issubclass(kind, ranges.RangeNotThere):
        return kind(size=5)
    return kind("why")


@pytest.mark.parametrize("kind", list(dict.fromkeys(tree())))
def test_every_error_has_a_status(kind: type[errors.VaultError]) -> None:
    assert kind in KINDS, "give it a status in web/problems.py"
    answer = problem_of(made(kind)).response()
    assert 400 <= answer.status_code < 500 or answer.status_code == 503
    assert ("retry-after" in answer.headers) == (answer.status_code in {429, 503})
    assert answer.headers["cache-control"] == "no-store"


def test_a_type_stands_for_one_title_and_status() -> None:
    by_slug: dict[str, set[tuple[int, str]]] = {}
    for kind in KINDS.values():
        by_slug.setdefault(kind.slug, set()).add((kind.status, kind.title))
    assert {slug for slug, told in by_slug.items() if len(told) > 1} == set()


async def raised(vault: Vault, error: Exception, *, accept: str = "*/*") -> httpx2.Response:
    async def broken() -> Response:
        raise error

    routes = [Route("GET", path, broken) for path in ("/v1/broken", "/broken")]
    transport = httpx2.ASGITransport(build_app(vault, routes=routes))
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers={"Accept": accept}) as client:
        return await client.get("/broken" if "html" in accept else "/v1/broken")


async def test_extras_tell_what_was_wrong(vault: Vault) -> None:
    refused = errors.BatchRefused("no", part="evt_1_full", refused=(("evt_1", ("naive time",)),))
    answer = await raised(vault, refused)
    assert answer.json() == {
        "type": "urn:platevault:problem:batch-refused",
        "title": "The batch is refused",
        "status": 422,
        "detail": "no",
        "part": "evt_1_full",
        "refused": [{"detection_id": "evt_1", "reasons": ["naive time"]}],
    }
    reused = await raised(vault, errors.IdentifierReused("again", first_digest="aa", this_digest="bb"))
    assert (reused.json()["first_digest"], reused.json()["this_digest"]) == ("aa", "bb")
    signed_out = await raised(vault, errors.NotSignedIn("who?"))
    assert signed_out.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("error", [errors.SettingsInvalid, errors.Corrupted, errors.StoreMisconfigured])
async def test_what_only_the_operator_may_know_is_not_told(vault: Vault, error: type[errors.VaultError]) -> None:
    answer = await raised(vault, error("the key AKIA123 is wrong"))
    assert answer.status_code == 503
    assert "AKIA123" not in answer.text


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
async def test_an_unexpected_error_tells_nothing_and_is_logged_once(
    vault: Vault,
    capsys: pytest.CaptureFixture[str],
    accept: str,
) -> None:
    answer = await raised(vault, RuntimeError("plate AB123 and token s3cr3t"), accept=accept)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["type"] == "urn:platevault:problem:unexpected"
    logged = capsys.readouterr().out
    assert logged.count("request failed") == 1
    assert answer.headers["x-request-id"] in logged
    for text in (answer.text, logged):
        assert "AB123" not in text
        assert "s3cr3t" not in text


async def test_no_route_and_no_method_are_problems_too(viewer: httpx2.AsyncClient) -> None:
    missing = await viewer.get("/v1/nothing")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:platevault:problem:not-found")
    refused = await viewer.delete("/v1/limits")
    assert (refused.status_code, refused.json()["type"]) == (405, "urn:platevault:problem:method-not-allowed")
    assert refused.headers["allow"] == "GET, HEAD"
    for answer in (missing, refused):
        assert answer.headers["content-type"] == "application/problem+json"


async def test_people_get_a_page(viewer: httpx2.AsyncClient) -> None:
    answer = await viewer.get("/nothing", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "Nothing of that name" in answer.text
