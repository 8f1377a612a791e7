"""Derived pictures and image facts over HTTP: where they are, for how long, and what is said where there is none."""

import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from platevault.app.vault import LinkRules, Vault
from platevault.infra.objectstore.local import LocalUrlSigner
from platevault.renditions.variants import STANDS_FOR, Variants
from tests.makers import a_detection, an_image
from tests.support.pictures import BOX, ORIGINAL, THUMB, VARIANTS, CountingMaker, an_original, found, key_of, keys
from tests.support.vaults import (
    COLLECTOR,
    IMAGE_ORIGIN,
    NOW,
    a_client,
    a_vault,
    keep,
    looks,
    put_into_spool,
    with_renditions,
)

PATH = "/v1/detections/evt_1/images/full/derived"
CROP = "/v1/detections/evt_1/images/crop/derived"
FACTS = "/v1/detections/evt_1/images/full/metadata"
FILE = "a-file.batch"


@pytest.fixture
def maker() -> CountingMaker:
    return CountingMaker()


@pytest.fixture
async def vault(migrated_url: str, tmp_path: Path, maker: CountingMaker) -> Any:
    vault = with_renditions(a_vault(migrated_url, tmp_path), decoder=maker, variants=VARIANTS)
    yield vault
    await vault.database.close()


@pytest.fixture
async def kept(vault: Vault) -> Vault:
    """A detection with a stored scene and no crop."""
    await an_original(vault.database, vault.objects, box=BOX)  # type: ignore[arg-type]
    return vault


@pytest.fixture
def serving(kept: Vault) -> Vault:
    """The same where browsers cannot reach the store."""
    signer = LocalUrlSigner(public_url="http://127.0.0.1", signing_key=b"key-of-the-tests")
    return dataclasses.replace(kept, signer=signer)


async def waits(vault: Vault, folder: Path) -> None:
    await put_into_spool(vault, folder, FILE, b"before!" + ORIGINAL)
    place = {"spool_node": vault.node_id, "spool_file": FILE, "spool_offset": 7}
    image = an_image("full", state="pending", size=len(ORIGINAL), sha256=hashlib.sha256(ORIGINAL).digest(), **place)
    await keep(vault, a_detection("evt_1", images=[image]))


async def test_a_picture_is_a_redirect_to_its_object_that_nobody_keeps(
    kept: Vault, viewer: httpx2.AsyncClient, maker: CountingMaker
) -> None:
    for _ in range(2):
        answer = await viewer.get(PATH, params={"variant": "thumb"})
        assert answer.status_code == 307
        assert answer.headers["location"].startswith(f"{IMAGE_ORIGIN}/alpr-images/{key_of()}?")
        assert (answer.headers["cache-control"], answer.headers["x-image-state"]) == ("no-store", "stored")
    assert len(maker.recipes) == 1
    assert (await looks(kept))[0]["filters"] == {"kind": "full", "derived": "thumb"}


async def test_each_size_and_format_is_a_picture_of_its_own(
    kept: Vault, viewer: httpx2.AsyncClient, maker: CountingMaker
) -> None:
    asked = [
        "width=100",
        "width=100&format=avif",
        "height=100&quality=50",
        "enhance=true",
        "crop=1,2,30,40",
        "",
        "width=50&height=50&fit=cover",
    ]
    for query in asked:
        assert (await viewer.get(f"{PATH}?{query}")).status_code == 307, query
    assert len(await keys(kept.objects)) == len(maker.recipes) == len(asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query",
    [
        *("w=100", "width=0", "width=8193", "width=x", "fit=fill", "format=gif", "quality=0", "quality=101"),
        *(
            "crop=1,2,3",
            "crop=1,2,0,4",
            "crop=1,2,3,4,stored",
            "crop=a,b,c,d",
            "crop=1_0,2,3,4",
            "crop=%2B1,2,3,4",
            "crop=1,2,3,4%0a",
            "variant=poster",
            "variant=thumb&width=5",
        ),
    ],
)
async def test_what_is_not_understood_is_refused(kept: Vault, viewer: httpx2.AsyncClient, query: str) -> None:
    for path in (PATH, f"{PATH}/url"):
        answer = await viewer.get(f"{path}?{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert await keys(kept.objects) == []  # type: ignore[arg-type]


async def test_a_url_of_a_picture_is_good_for_as_long_as_asked(kept: Vault, viewer: httpx2.AsyncClient) -> None:
    answer = await viewer.get(f"{PATH}/url", params={"variant": "thumb", "expires_in": 600, "download": "true"})
    body = answer.json()
    assert body["url"].startswith(f"{IMAGE_ORIGIN}/alpr-images/{key_of()}?")
    assert "evt_1_full-thumb-" in body["url"]
    assert 400 <= body["expires_in"] <= 600
    told = {name: body[name] for name in ("content_type", "width", "height", "derived_from")}
    assert told == {"content_type": "image/webp", "width": 320, "height": 180, "derived_from": "full"}
    clamped = await viewer.get(f"{PATH}/url", params={"variant": "thumb", "expires_in": 10**12})
    assert clamped.json()["expires_in"] <= 3600


async def test_no_url_is_good_for_longer_than_the_buckets_rule_lets_its_picture_be(kept: Vault) -> None:
    """Whoever asks for days gets the days that are left, and the same URL for a while; another asks for minutes and gets them."""
    now = [NOW]
    week = timedelta(days=7)
    links = LinkRules(valid_for=week, valid_for_at_most=week)
    vault = with_renditions(dataclasses.replace(kept, now=lambda: now[0], links=links), now=lambda: now[0])
    async with a_client(vault) as viewer:
        await viewer.get(PATH, params={"variant": "thumb"})
        for days, hours in ((0, 0), (23, 23), (28, 23)):
            now[0] = NOW + timedelta(days=days, hours=hours, minutes=10)
            asked = {"variant": "thumb", "expires_in": 604800}
            answers = []
            for _ in range(2):
                answers.append((await viewer.get(f"{PATH}/url", params=asked)).json())
                now[0] += timedelta(minutes=7)
            assert answers[0]["url"] == answers[1]["url"]
            ends = [datetime.fromisoformat(answers[0]["expires_at"])]
            redirect = await viewer.get(PATH, params={"variant": "thumb"})
            item = (await viewer.get("/v1/detections/evt_1")).json()["images"]["full"]["variants"]["thumb"]
            ends += [_end_of(redirect.headers["location"]), _end_of(item["url"])]
            assert all(now[0] + timedelta(hours=6) < end <= NOW + timedelta(days=30) for end in ends), ends
            soon = (await viewer.get(f"{PATH}/url", params={"variant": "thumb", "expires_in": 600})).json()
            assert 400 <= soon["expires_in"] <= 600


def _end_of(url: str) -> datetime:
    query = dict(parse_qsl(urlsplit(url).query))
    signed_at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return signed_at + timedelta(seconds=int(query["X-Amz-Expires"]))


async def test_where_this_service_delivers_images_the_bytes_come_with_their_digest(
    serving: Vault, maker: CountingMaker
) -> None:
    async with a_client(serving) as viewer:
        answer = await viewer.get(PATH, params={"variant": "thumb"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
        assert answer.headers["cache-control"] == "private, max-age=86400, immutable"
        assert answer.headers["content-security-policy"] == "sandbox"
        again = await viewer.get(PATH, params={"variant": "thumb"})
        assert (again.content, again.headers) == (answer.content, again.headers)
        for tag in (answer.headers["etag"], f'"x", W/{answer.headers["etag"]}', "*"):
            same = await viewer.get(PATH, params={"variant": "thumb"}, headers={"If-None-Match": tag})
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", answer.headers["etag"])
        other = await viewer.get(PATH, params={"variant": "thumb"}, headers={"If-None-Match": '"another"'})
        assert other.status_code == 200
        head = await viewer.head(PATH, params={"variant": "thumb"})
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(answer.content))
        await serving.objects.delete(key_of())
        assert (await viewer.get(PATH, params={"variant": "thumb"})).content == answer.content
    assert len(maker.recipes) == 2, "made again after its object was gone"


async def test_head_tells_what_a_picture_is_wherever_it_lies(kept: Vault, viewer: httpx2.AsyncClient) -> None:
    head = await viewer.head(PATH, params={"variant": "thumb"})
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", "image/webp")
    assert (head.headers["x-image-width"], head.headers["x-image-height"]) == ("320", "180")


async def test_a_picture_whose_object_is_gone_is_made_again_for_who_asks_to_look(
    kept: Vault, viewer: httpx2.AsyncClient, maker: CountingMaker
) -> None:
    await viewer.get(PATH, params={"variant": "thumb"})
    await kept.objects.delete(key_of())
    await viewer.get(PATH, params={"variant": "thumb"})
    assert len(maker.recipes) == 1, "the row believes in it"
    assert (await viewer.get(PATH, params={"variant": "thumb", "check": "true"})).status_code == 307
    assert (len(maker.recipes), await keys(kept.objects)) == (2, [key_of()])  # type: ignore[arg-type]


async def test_a_pending_image_gives_pictures_from_the_spool(
    vault: Vault, viewer: httpx2.AsyncClient, tmp_path: Path
) -> None:
    await waits(vault, tmp_path)
    answer = await viewer.get(PATH, params={"variant": "thumb"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    assert (answer.headers["cache-control"], answer.headers["x-image-state"]) == ("private, no-cache", "pending")
    url = (await viewer.get(f"{PATH}/url", params={"width": 5, "enhance": "true"})).json()
    assert (url["url"], url["expires_at"], url["expires_in"]) == (f"{PATH}?width=5&enhance=true", None, None)
    assert (await viewer.get(url["url"])).status_code == 200
    assert await keys(vault.objects) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "status"), [("expired", 410), ("deleted", 410), ("missing", 404), ("rejected", 404), ("unknown", 404)]
)
async def test_what_cannot_be_shown_says_why(vault: Vault, viewer: httpx2.AsyncClient, state: str, status: int) -> None:
    if state != "unknown":
        await keep(vault, a_detection("evt_1", images=[an_image("full", state=state)]))
    picture = await viewer.get(PATH, params={"variant": "thumb"})
    assert (picture.status_code, picture.headers["content-type"]) == (status, "image/svg+xml")
    head = await viewer.head(PATH, params={"variant": "thumb"})
    assert (head.status_code, head.content) == (status, b"")
    for answer in (picture, head):
        assert (answer.headers["x-image-state"], answer.headers["cache-control"]) == (state, "no-store")
    for path in (f"{PATH}/url", FACTS):
        assert (await viewer.get(path)).status_code == status
    assert await looks(vault) == []


async def test_a_stored_image_without_an_object_is_shown_as_missing(kept: Vault, viewer: httpx2.AsyncClient) -> None:
    await kept.objects.delete((await found(kept.database)).image.key or "")
    answer = await viewer.get(PATH, params={"variant": "thumb"})
    assert (answer.status_code, answer.headers["x-image-state"]) == (404, "missing")
    assert (await viewer.get(FACTS)).status_code == 404


async def test_an_image_that_waits_on_another_node_is_to_be_asked_for_again(
    vault: Vault, viewer: httpx2.AsyncClient
) -> None:
    await keep(vault, a_detection("evt_1", images=[an_image("full", state="pending")]))
    for path in (PATH, FACTS):
        answer = await viewer.get(path)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
    picture = await viewer.get(PATH, headers={"Accept": "image/*"})
    assert (picture.status_code, picture.headers["content-type"]) == (503, "image/svg+xml")


async def test_an_image_that_cannot_be_decoded_is_refused_by_name(
    kept: Vault, viewer: httpx2.AsyncClient, maker: CountingMaker
) -> None:
    maker.refuses = "it is cut off"
    for path in (PATH, FACTS):
        answer = await viewer.get(path)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:platevault:problem:image-refused")
        assert answer.json()["detail"] == "it is cut off"


async def test_a_collector_may_not_see_pictures(kept: Vault, maker: CountingMaker) -> None:
    async with a_client(kept, token=COLLECTOR) as collector:
        for path in (PATH, f"{PATH}/url", FACTS):
            assert (await collector.get(path)).status_code == 403
    assert maker.recipes == []


async def test_a_crop_that_nobody_sent_can_be_had_and_the_detection_says_where(
    kept: Vault, viewer: httpx2.AsyncClient
) -> None:
    derivable = (await viewer.get("/v1/detections/evt_1")).json()["derivable"]
    assert derivable == {"crop": {"from": "full", "url": CROP, "variants": {}}}
    answer = await viewer.get(CROP, params={"variant": "thumb"})
    assert (answer.status_code, key_of(of_plate=True) in answer.headers["location"]) == (307, True)
    assert (await viewer.get(f"{CROP}/url")).json()["derived_from"] == "full"
    thumb = (await viewer.get("/v1/detections/evt_1")).json()["derivable"]["crop"]["variants"]["thumb"]
    assert (thumb["width"], thumb["height"], key_of(of_plate=True) in thumb["url"]) == (320, 180, True)
    assert (await viewer.get("/v1/detections/evt_1/images/crop/metadata")).status_code == 404, "there is no such file"
    assert (await viewer.get("/v1/detections/evt_1/images/crop")).status_code == 404


async def test_a_list_tells_which_variants_there_are_and_asks_nobody(
    kept: Vault, viewer: httpx2.AsyncClient, maker: CountingMaker
) -> None:
    def variants(answer: httpx2.Response) -> Any:
        return answer.json()["items"][0]["images"]["full"]["variants"]

    assert variants(await viewer.get("/v1/detections")) == {}
    await viewer.get(PATH, params={"variant": "thumb"})
    await viewer.get(PATH, params={"width": 99})
    thumb = variants(await viewer.get("/v1/detections"))
    assert set(thumb) == {"thumb"}, "unnamed ones are told to nobody"
    assert set(thumb["thumb"]) == {"url", "width", "height"}
    assert thumb["thumb"]["url"].startswith(f"{IMAGE_ORIGIN}/alpr-images/{key_of()}?")
    wider = with_renditions(kept, variants=Variants.parse('{"thumb": {"width": 640}}'))
    later = NOW + STANDS_FOR
    for changed in (wider, dataclasses.replace(kept, now=lambda: later)):
        async with a_client(changed) as client:
            assert variants(await client.get("/v1/detections")) == {}, "of another recipe, or too old"


@pytest.mark.parametrize("state", ["expired", "deleted", "missing"])
async def test_no_variant_is_told_of_an_image_that_cannot_be_shown(
    vault: Vault, viewer: httpx2.AsyncClient, state: str
) -> None:
    told = {"key": key_of(), "width": 320, "height": 180, "made_at": NOW.isoformat(), "content_type": "image/webp"}
    image = an_image("full", state=state, variants={THUMB.name(of_plate=False): told})
    await keep(vault, a_detection("evt_1", images=[image]))
    answer = await viewer.get("/v1/detections")
    assert answer.json()["items"][0]["images"]["full"]["variants"] == {}
    assert "derived/" not in answer.text


async def test_facts_tell_what_the_file_says_and_never_where_it_was_taken(
    kept: Vault, viewer: httpx2.AsyncClient, maker: CountingMaker
) -> None:
    maker.location = (48.85, 2.35)
    answer = await viewer.get(FACTS)
    facts = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert (facts["width"], facts["height"], facts["content_type"]) == (1920, 1080, "image/jpeg")
    assert (facts["size"], facts["sha256"]) == (len(ORIGINAL), hashlib.sha256(ORIGINAL).hexdigest())
    assert (facts["captured_at"], facts["taken_at"]) == ("2025-01-15T12:00:00Z", "2025-01-15T12:00:00Z")
    assert (facts["exif"], "location" in facts, "48.85" in answer.text) == ({"Make": "Acme"}, False, False)
    told = with_renditions(kept, shows_location=True)
    async with a_client(told) as client:
        assert (await client.get(FACTS)).json()["location"] == {"latitude": 48.85, "longitude": 2.35}


async def test_facts_of_a_pending_image_come_from_the_spool(
    vault: Vault, viewer: httpx2.AsyncClient, tmp_path: Path
) -> None:
    await waits(vault, tmp_path)
    assert (await viewer.get(FACTS)).json()["state"] == "pending"
