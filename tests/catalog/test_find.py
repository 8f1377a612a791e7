"""Finding writes down who looked before anything is shown, and links what may be seen."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from platevault.access.actor import VIEWER_SCOPES, Actor, Look, Scope
from platevault.catalog.find import find, find_one
from platevault.catalog.links import Links
from platevault.catalog.sign_urls import sign_images
from platevault.domain.errors import DatabaseUnavailable, Forbidden, Missing
from platevault.domain.search_query import Search, parse_fields
from platevault.infra.objectstore import SignedUrl
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.schema import access_log
from tests.makers import a_detection, an_image, put

NOW = datetime(2025, 1, 15, 13, tzinfo=UTC)
LATER = NOW + timedelta(minutes=15)


class CountingSigner:
    """Signs with the key alone, and remembers for what moments."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, timedelta, datetime]] = []

    def sign(
        self,
        key: str,
        *,
        valid_for: timedelta,
        now: datetime,
        download: str | None = None,
        content_type: str | None = None,
    ) -> SignedUrl:
        self.asked.append((key, valid_for, now))
        return SignedUrl(url=f"signed:{key}", expires_at=now + valid_for)

    def sign_all(self, keys: Sequence[str], *, valid_for: timedelta, now: datetime) -> tuple[list[str], datetime]:
        return [self.sign(key, valid_for=valid_for, now=now).url for key in keys], now + valid_for


def a_look(*scopes: Scope) -> Look:
    actor = Actor(subject="viewer", kind="token", scopes=frozenset(scopes) or VIEWER_SCOPES)
    return Look(actor=actor, route="/v1/detections", request_id="r-1", purpose="theft", case="2025-1")


def links(signer: CountingSigner | None = None) -> Links:
    return Links(signer=signer or CountingSigner(), valid_for=timedelta(minutes=15), now=NOW)


@pytest.fixture
async def kept(migrated: Database) -> Database:
    async with migrated.reading() as connection:
        await put(
            connection,
            a_detection("evt_1", images=[an_image("full"), an_image("crop", state="pending")]),
            a_detection("evt_2", captured_at=NOW),
        )
        await connection.commit()
    return migrated


async def rows(database: Database) -> list[tuple[str, list[str]]]:
    async with database.reading() as connection:
        found = await connection.execute(
            select(access_log.c.route, access_log.c.detection_ids).order_by(access_log.c.id)
        )
        return [(row.route, row.detection_ids) for row in found]


async def test_a_page_names_what_it_showed(kept: Database) -> None:
    signer = CountingSigner()
    page = await find(parse_fields({"limit": 1}), look=a_look(), database=kept, links=links(signer))
    assert [item.detection_id for item in page.items] == ["evt_2"]
    assert page.next_cursor is not None
    rest = await find(
        parse_fields({"limit": 1, "cursor": page.next_cursor}),
        look=a_look(),
        database=kept,
        links=links(signer),
    )
    assert (rest.items[0].images["full"].url, rest.items[0].images["full"].url_expires_at) == (
        "signed:full/2025/01/15/evt_1_full.jpg",
        LATER,
    )
    assert rest.items[0].images["crop"].url == "/v1/detections/evt_1/images/crop"
    assert rest.next_cursor is None
    assert signer.asked == [("full/2025/01/15/evt_1_full.jpg", timedelta(minutes=15), NOW)]
    assert await rows(kept) == [("/v1/detections", ["evt_2"]), ("/v1/detections", ["evt_1"])]


async def test_nothing_found_is_a_look_at_a_list_and_none_at_a_detection(kept: Database) -> None:
    page = await find(parse_fields({"plate": "ZZ"}), look=a_look(), database=kept, links=links())
    assert page.items == []
    with pytest.raises(Missing):
        await find_one("nothing", look=a_look(), database=kept, links=links())
    assert await rows(kept) == [("/v1/detections", [])]


async def test_who_may_not_see_images_gets_no_url(kept: Database) -> None:
    found = await find_one("evt_1", look=a_look(Scope.DETECTIONS_READ), database=kept, links=links())
    assert [image.url for image in found.images.values()] == [None, None]
    with pytest.raises(Forbidden, match="images:read"):
        await sign_images(
            [("evt_1", "full")],
            links=links(),
            look=a_look(Scope.DETECTIONS_READ),
            database=kept,
        )


async def test_who_may_not_read_finds_nothing_and_leaves_no_row(kept: Database) -> None:
    for work in (
        find(Search(), look=a_look(Scope.DETECTIONS_WRITE), database=kept, links=links()),
        find_one("evt_1", look=a_look(Scope.DETECTIONS_WRITE), database=kept, links=links()),
    ):
        with pytest.raises(Forbidden, match="detections:read"):
            await work
    assert await rows(kept) == []


async def test_when_the_row_cannot_be_written_nothing_is_signed(kept: Database) -> None:
    async with kept.reading() as connection:
        await connection.execute(text("ALTER TABLE access_log ADD CONSTRAINT broken CHECK (false) NOT VALID"))
        await connection.commit()
    signer = CountingSigner()
    with pytest.raises(DatabaseUnavailable, match="nothing is shown"):
        await find(Search(), look=a_look(), database=kept, links=links(signer))
    assert signer.asked == []
