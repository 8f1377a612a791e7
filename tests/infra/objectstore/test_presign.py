import asyncio
import base64
import hashlib
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minio import Minio
from tests.support.servers import S3Server

from platevault.domain.errors import InvalidRequest, SettingsInvalid
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.s3 import presign
from platevault.infra.objectstore.s3.presign import (
    S3UploadSigner,
    S3UrlSigner,
    SigningIdentity,
    attachment,
    presigned_url,
)
from platevault.infra.objectstore.s3.store import S3Store
from platevault.infra.objectstore.signing_windows import Window, window_of

SERVERS = ("seaweed", "minio")
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
IDENTITY = SigningIdentity(
    access_key="AKIAIOSFODNN7EXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", region="us-east-1"
)
KEYS = st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1, max_size=40)


def a_signer(endpoint: str = "http://images.example:9000") -> S3UrlSigner:
    return S3UrlSigner(public_endpoint=endpoint, bucket="alpr-images", identity=IDENTITY)


def test_the_signature_is_that_of_the_published_example() -> None:
    """From the S3 API reference, "Authenticating Requests: Using Query Parameters"."""
    url = presigned_url(
        IDENTITY,
        method="GET",
        url="https://examplebucket.s3.amazonaws.com/test.txt",
        window=Window(int(datetime(2013, 5, 24, tzinfo=UTC).timestamp()), 86400),
    )
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
        "AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
        "X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@given(KEYS, st.none() | st.text(min_size=1, max_size=20).filter(str.isprintable))
def test_the_url_is_the_one_that_another_client_makes(key: str, download: str | None) -> None:
    """MinIO's SDK signs the same request with code of its own."""
    client = Minio("images.example:9000", IDENTITY.access_key, IDENTITY.secret_key, secure=False, region="us-east-1")
    window = window_of(NOW, QUARTER)
    extra: dict[str, Any] = {"response-content-type": "image/jpeg"}
    if download is not None:
        extra["response-content-disposition"] = attachment(download)
    if not key.strip() or key.startswith("/") or "//" in key or {".", ".."} & set(key.split("/")):
        return
    theirs = client.get_presigned_url(
        "GET",
        "alpr-images",
        key,
        expires=QUARTER,
        request_date=datetime.fromtimestamp(window.starts_at, UTC),
        extra_query_params=extra,
    )
    ours = a_signer().sign(key, valid_for=QUARTER, now=NOW, download=download, content_type="image/jpeg").url
    assert parse_qs(urlsplit(ours).query) == parse_qs(urlsplit(theirs).query)
    assert urlsplit(ours).path == urlsplit(theirs).path


@given(KEYS)
def test_the_short_way_and_the_long_way_sign_alike(key: str) -> None:
    short = a_signer().sign(key, valid_for=QUARTER, now=NOW).url
    assert short == presigned_url(
        IDENTITY,
        method="GET",
        url=short.partition("?")[0],
        window=window_of(NOW, QUARTER),
    )


@given(st.lists(KEYS, max_size=5))
def test_many_are_signed_as_one_by_one(keys: list[str]) -> None:
    one_by_one = [a_signer().sign(key, valid_for=QUARTER, now=NOW) for key in keys]
    urls, expires_at = a_signer().sign_all(keys, valid_for=QUARTER, now=NOW)
    assert urls == [signed.url for signed in one_by_one]
    assert {expires_at} | {signed.expires_at for signed in one_by_one} == {expires_at}


@given(st.integers(1, 7 * 24 * 3600), st.datetimes(min_value=datetime(2020, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_url_is_valid_for_most_of_what_was_asked_and_never_longer(seconds: int, now: datetime) -> None:
    valid_for = timedelta(seconds=seconds)
    signed = a_signer().sign("full/x.jpg", valid_for=valid_for, now=now)
    left = signed.expires_at - now
    assert left <= valid_for
    assert left > valid_for - max(timedelta(seconds=1), valid_for / 3) - timedelta(seconds=1)


def test_all_nodes_give_one_url_within_a_window_and_another_one_after() -> None:
    start = datetime(2026, 3, 4, 5, 5, tzinfo=UTC)
    urls = [
        a_signer().sign("full/x.jpg", valid_for=QUARTER, now=start + timedelta(seconds=seconds)).url
        for seconds in (0, 1, 299, 299.9, 300)
    ]
    assert len(set(urls[:4])) == 1
    assert urls[4] != urls[0]


def test_a_signer_keeps_nothing_of_the_day_before() -> None:
    signer = a_signer()
    for now in (NOW, NOW + timedelta(days=1), NOW):
        assert signer.sign("x.jpg", valid_for=QUARTER, now=now) == a_signer().sign("x.jpg", valid_for=QUARTER, now=now)


@pytest.mark.parametrize(
    "valid_for", [timedelta(0), timedelta(seconds=-1), timedelta(milliseconds=999), timedelta(days=7, seconds=1)]
)
def test_a_validity_that_no_server_takes_is_refused(valid_for: timedelta) -> None:
    with pytest.raises(InvalidRequest):
        a_signer().sign("x.jpg", valid_for=valid_for, now=NOW)


@pytest.mark.parametrize("valid_for", [timedelta(seconds=1), timedelta(days=7)])
def test_the_shortest_and_the_longest_validity_are_taken(valid_for: timedelta) -> None:
    assert a_signer().sign("x.jpg", valid_for=valid_for, now=NOW).expires_at <= NOW + valid_for


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://Images.Example:443/", "https://images.example/"),
        ("http://images.example:80", "http://images.example/"),
        ("https://images.example:80", "https://images.example:80/"),
        ("http://[::1]:9000", "http://[::1]:9000/"),
    ],
)
def test_the_host_is_signed_as_browsers_send_it(endpoint: str, origin: str) -> None:
    assert a_signer(endpoint).sign("x.jpg", valid_for=QUARTER, now=NOW).url.startswith(f"{origin}alpr-images/x.jpg?")


@pytest.mark.parametrize(
    "endpoint", ["images.example:9000", "ftp://x", "https://x/path", "https://", "https://u@x", "http://x:y"]
)
def test_a_public_endpoint_that_is_none_names_its_setting(endpoint: str) -> None:
    with pytest.raises(SettingsInvalid, match="MINIO_PUBLIC_ENDPOINT"):
        a_signer(endpoint)


def test_a_file_name_cannot_end_its_header() -> None:
    assert attachment('a"\r\nSet-Cookie: ü.jpg') == (
        "attachment; filename=\"a___Set-Cookie_ _.jpg\"; filename*=UTF-8''a%22%0D%0ASet-Cookie%3A%20%C3%BC.jpg"
    )


class Site:
    """A server with one image, and signers for it."""

    def __init__(self, server: S3Server, key: str, data: bytes) -> None:
        self.server, self.key, self.data = server, key, data
        self.store = S3Store.open(
            endpoint=server.endpoint,
            secure=False,
            region=server.region,
            bucket=server.bucket,
            access_key=server.access_key,
            secret_key=server.secret_key,
        )
        self.place: dict[str, Any] = {"public_endpoint": f"http://{server.endpoint}", "bucket": server.bucket}
        self.signer = S3UrlSigner(
            **self.place,
            identity=SigningIdentity(
                access_key=server.presign_access_key,
                secret_key=server.presign_secret_key,
                region=server.region,
            ),
        )

    def url(self, key: str | None = None, *, download: str | None = None, content_type: str | None = None) -> str:
        return self.signer.sign(
            key or self.key,
            valid_for=QUARTER,
            now=datetime.now(UTC),
            download=download,
            content_type=content_type,
        ).url


@pytest.fixture(params=SERVERS)
async def site(request: pytest.FixtureRequest) -> Site:
    server = request.getfixturevalue(request.param)
    opened = Site(server, f"full/2025/01/15/{uuid.uuid4().hex}_full.jpg", b"\xff\xd8 an image")
    await opened.store.create(opened.key, NewObject(data=opened.data, content_type="image/jpeg", metadata={"a": "b"}))
    return opened


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        yield client


async def test_a_browser_gets_the_image_as_it_was_stored(site: Site, http: httpx2.AsyncClient) -> None:
    answer = await http.get(site.url())
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(site.data).digest()
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "private, max-age=86400"


async def test_a_url_can_name_the_download_and_the_type(site: Site, http: httpx2.AsyncClient) -> None:
    answer = await http.get(site.url(download="Müller 1.jpg", content_type="application/octet-stream"))
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == attachment("Müller 1.jpg")
    assert answer.headers["content-type"] == "application/octet-stream"


async def test_a_download_of_an_hour_is_saved_under_the_name_of_its_object(
    site: Site, http: httpx2.AsyncClient
) -> None:
    name = site.key.rpartition("/")[2]
    signed = site.signer.sign(site.key, valid_for=timedelta(hours=1), now=datetime.now(UTC), download=name)
    assert timedelta(minutes=30) < signed.expires_at - datetime.now(UTC) <= timedelta(hours=1)
    answer = await http.get(signed.url)
    assert (answer.status_code, answer.content) == (200, site.data)
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{name}"')


@pytest.mark.parametrize("name", ["with space.jpg", "a+b&c=d.jpg", "100%.jpg", "ü.jpg", "a#b?c.jpg", "~(x)'!*.jpg"])
async def test_a_key_of_unusual_characters_is_signed_as_the_server_reads_it(
    site: Site,
    http: httpx2.AsyncClient,
    name: str,
) -> None:
    key = f"full/2025/01/15/{uuid.uuid4().hex}/{name}"
    await site.store.create(key, NewObject(data=b"odd", content_type="image/jpeg", metadata={}))
    answer = await http.get(site.url(key))
    assert (answer.status_code, answer.content) == (200, b"odd")


async def test_a_url_that_was_changed_is_refused(site: Site, http: httpx2.AsyncClient) -> None:
    url = site.url()
    last = "0" if url[-1] != "0" else "1"
    changed = {
        "signature": url[:-1] + last,
        "key": url.replace("_full.jpg", "_crop.jpg"),
        "expiry": url.replace("X-Amz-Expires=900", "X-Amz-Expires=901"),
        "download": f"{url}&response-content-disposition=attachment",
    }
    assert {name: (await http.get(other)).status_code for name, other in changed.items()} == dict.fromkeys(changed, 403)


async def test_a_url_to_get_neither_puts_nor_deletes(site: Site, http: httpx2.AsyncClient) -> None:
    assert (await http.put(site.url(), content=b"forged")).status_code == 403
    assert (await http.delete(site.url())).status_code == 403
    assert await site.store.get(site.key) == site.data


async def test_a_url_ends_when_it_says(site: Site, http: httpx2.AsyncClient) -> None:
    now = datetime.now(UTC)
    signed = site.signer.sign(site.key, valid_for=timedelta(seconds=2), now=now)
    assert (await http.get(signed.url)).status_code == 200
    # Some servers count whole seconds, and the last of them still.
    await asyncio.sleep((signed.expires_at - datetime.now(UTC)).total_seconds() + 1.1)
    assert (await http.get(signed.url)).status_code == 403


async def test_who_signs_urls_may_not_put(site: Site, http: httpx2.AsyncClient) -> None:
    identity = SigningIdentity(
        access_key=site.server.presign_access_key,
        secret_key=site.server.presign_secret_key,
        region=site.server.region,
    )
    url = presigned_url(
        identity,
        method="PUT",
        url=f"http://{site.server.endpoint}/{site.server.bucket}/{site.key}",
        window=window_of(datetime.now(UTC), QUARTER),
    )
    assert (await http.put(url, content=b"forged")).status_code == 403
    assert await site.store.get(site.key) == site.data


async def test_an_upload_is_signed_for_these_bytes_once(site: Site, http: httpx2.AsyncClient) -> None:
    identity = SigningIdentity(
        access_key=site.server.access_key, secret_key=site.server.secret_key, region=site.server.region
    )
    key, data = f"temp/{uuid.uuid4().hex}/full", b"these bytes"
    signed = S3UploadSigner(**site.place, identity=identity).sign_put(
        key,
        valid_for=QUARTER,
        now=datetime.now(UTC),
        content_type="image/jpeg",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    other_digest = base64.b64encode(hashlib.sha256(b"other bytes").digest()).decode()
    refused = [
        await http.put(signed.url, content=b"other bytes", headers=signed.headers),
        await http.put(
            signed.url, content=b"other bytes", headers={**signed.headers, "x-amz-checksum-sha256": other_digest}
        ),
        await http.put(signed.url, content=data, headers={**signed.headers, "Content-Type": "text/html"}),
        await http.put(signed.url, content=b"longer than these", headers={**signed.headers, "Content-Length": "17"}),
    ]
    assert [answer.status_code for answer in refused] == [400, 403, 403, 403]
    assert await site.store.stat(key) is None
    assert (await http.put(signed.url, content=data, headers=signed.headers)).status_code == 200
    assert (await http.put(signed.url, content=data, headers=signed.headers)).status_code == 412
    assert await site.store.get(key) == data


def test_urls_are_kept_for_their_window_alone_and_never_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presign, "URLS_KEPT_MAX", 3)
    signer = a_signer()
    keys = ["full/a.jpg", "full/b.jpg"]

    def urls(keys: list[str], *, later: timedelta = timedelta()) -> list[str]:
        return signer.sign_all(keys, valid_for=timedelta(minutes=15), now=NOW + later)[0]

    first = urls(keys)
    assert urls(keys) == first
    assert urls([*reversed(keys), keys[0]]) == [*reversed(first), first[0]]
    for number in range(10):
        many = [f"full/{number}-{place}.jpg" for place in range(number % 5 + 1)]
        assert [url.partition("?")[0].rpartition("/")[2] for url in urls(many)] == [
            key.rpartition("/")[2] for key in many
        ]
        assert signer.urls_kept <= 3
    assert urls(keys) == first
    assert set(urls(keys, later=timedelta(minutes=15))).isdisjoint(first)
