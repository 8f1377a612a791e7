"""What a follower asks for."""

import pytest

from platevault.catalog.feed.subscription import AT_ONCE, subscription_of, subscription_of_search
from platevault.domain.errors import InvalidRequest
from platevault.domain.search_query import Cursor, Order, Position, parse_fields
from tests.makers import NOON


def test_without_a_place_a_stream_begins_now_and_0_is_the_first_there_is() -> None:
    assert subscription_of([]).after is None
    assert subscription_of([("after", "0")]).after == Position()
    assert subscription_of([("after", "7-9")]).after == Position(xid=7, seq=9)


def test_the_last_event_wins_over_the_place_in_the_url_which_stays_there() -> None:
    assert subscription_of([("after", "7-9")], last_event_id="8-1").after == Position(xid=8, seq=1)
    assert subscription_of([("after", "7-9")], last_event_id="").after == Position(xid=7, seq=9)


def test_the_filters_are_those_of_the_list_in_the_asker_s_words() -> None:
    following = subscription_of([("camera_id", "north"), ("data.a.b", "x"), ("after", "1-2")])
    assert following.search.filters.camera_id == "north"
    assert (following.search.order, following.search.limit) == (Order.SEQ, AT_ONCE)
    assert following.search.asked == {
        "camera_id": "north",
        "data": [{"path": "a.b", "op": "text", "value": "x"}],
    }
    assert following.behind(Position(xid=3, seq=4)).asked["after"] == "3-4"


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", "5"), ("cursor", "x"), ("order", "seq"), ("nothing", "x"), ("after", "x"), ("camera_id", "")],
)
def test_what_a_stream_does_not_know_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match=name):
        subscription_of([(name, value)])


def test_an_id_of_another_stream_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="Last-Event-ID"):
        subscription_of([], last_event_id="42")


def test_a_search_is_followed_by_its_filters_whatever_page_it_was() -> None:
    page = parse_fields({"camera_id": "north", "limit": 200, "cursor": str(Cursor(captured_at=NOON, detection_id="d"))})
    following = subscription_of_search(page, last_event_id="8-1")
    assert following.page.filters.camera_id == "north"
    assert (following.page.order, following.page.limit, following.page.cursor) == (Order.SEQ, AT_ONCE, None)
    assert following.page.after == Position(xid=8, seq=1)
    assert following.search.asked == {"camera_id": "north"}
