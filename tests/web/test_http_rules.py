"""HTTP's own rules: HEAD wherever GET, all methods in `Allow`, no unknown query parameter, no encoding that is not spoken."""

import gzip

import httpx2
import pytest
from fastapi.routing import APIRoute

from platevault.app.vault import Vault
from platevault.web.app import build_app
from platevault.web.routes import ROUTES


def test_each_path_that_answers_get_answers_head_but_for_streams(vault: Vault) -> None:
    app = build_app(vault)
    heads = {route.path for route in app.router.routes if isinstance(route, APIRoute) and "HEAD" in route.methods}
    gets = {route.path for route in ROUTES if route.method == "GET"}
    assert gets - heads == {"/v1/stream", "/v1/export", "/search/{search_id}/stream"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/v1/detections", "/v1/limits", "/v1/holds", "/metrics"])
async def test_head_has_status_and_headers_of_get_and_no_body(viewer: httpx2.AsyncClient, path: str) -> None:
    got, head = await viewer.get(path), await viewer.head(path)
    assert head.status_code == got.status_code != 405
    assert head.content == b""
    varying = {"x-request-id", "content-length", "date", "set-cookie"}
    assert {name: value for name, value in head.headers.items() if name not in varying} == {
        name: value for name, value in got.headers.items() if name not in varying
    }


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/detections", "GET, HEAD, POST"),
        ("/v1/detections/evt_1", "DELETE, GET, HEAD"),
        ("/v1/export", "GET, POST"),
        ("/healthz", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
        ("/static/style.css", "GET, HEAD"),
    ],
)
async def test_allow_names_all_methods_of_the_path(viewer: httpx2.AsyncClient, path: str, allowed: str) -> None:
    refused = await viewer.put(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/v1/detections?durabilty=stored", "/v1/search?limit=5", "/v1/holds?x=1"])
async def test_an_unknown_query_parameter_of_a_post_is_refused_by_its_name(
    viewer: httpx2.AsyncClient, path: str
) -> None:
    refused = await viewer.post(path, json={})
    assert refused.status_code == 422
    assert path.partition("?")[2].partition("=")[0] in refused.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/detections", "/v1/search", "/v1/holds", "/v1/uploads"])
@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP, identity", "aes128gcm"])
async def test_a_body_in_another_encoding_is_refused_by_the_name_of_its_header(
    viewer: httpx2.AsyncClient, path: str, encoding: str
) -> None:
    refused = await viewer.post(path, content=gzip.compress(b"{}"), headers={"Content-Encoding": encoding})
    assert (refused.status_code, refused.json()["type"]) == (415, "urn:platevault:problem:encoding-unknown")
    assert "Content-Encoding" in refused.json()["detail"]


async def test_identity_is_no_encoding(viewer: httpx2.AsyncClient) -> None:
    found = await viewer.post("/v1/search", json={}, headers={"Content-Encoding": "Identity"})
    assert found.status_code == 200


@pytest.mark.parametrize("coding", ["gzip, chunked", "deflate,chunked", "gzip"])
async def test_a_transfer_coding_that_is_not_spoken_is_refused_by_the_name_of_its_header(
    viewer: httpx2.AsyncClient, coding: str
) -> None:
    refused = await viewer.post("/v1/search", content=b"{}", headers={"Transfer-Encoding": coding})
    assert refused.status_code == 415
    assert "Transfer-Encoding" in refused.json()["detail"]


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "identity"])
async def test_chunked_is_spoken(viewer: httpx2.AsyncClient, coding: str) -> None:
    headers = {"Transfer-Encoding": coding, "Content-Type": "application/json"}
    found = await viewer.post("/v1/search", content=b"{}", headers=headers)
    assert found.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/detections/", 307),
        ("POST", "/v1/detectoins", 404),
        ("PUT", "/v1/search", 405),
        ("PUT", "/v1/detections", 405),
        ("POST", "/v1/search", 413),
    ],
)
async def test_a_wrong_address_or_method_is_said_before_a_limit(
    viewer: httpx2.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await viewer.request(method, path, content=b"x" * 600 * 1024, follow_redirects=False)
    assert answer.status_code == status
