"""What a follower of the change feed asks for, parsed once from the query string and the Last-Event-ID of a reconnect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from platevault.domain.errors import InvalidRequest
from platevault.domain.search_query import PAGE_FIELDS, Order, Position, Search, parse_query
from platevault.domain.search_results import FoundDetection

AT_ONCE: Final = 50
"""Detections of one look, and of one row of the access log."""

_NOT_HERE: Final = frozenset(PAGE_FIELDS) - {"after"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Filters, and after which place to begin; None is now. `search.asked` is the question in the asker's words."""

    search: Search
    after: Position | None = None

    @property
    def asked(self) -> Mapping[str, Any]:
        """For the access log."""
        return self.search.asked if self.after is None else {**self.search.asked, "after": str(self.after)}

    @property
    def page(self) -> Search:
        """What is behind the place; from the first there is, where no place is known."""
        return replace(self.search, after=self.after or Position())

    def behind(self, position: Position) -> "Subscription":
        """The same, going on behind this place."""
        return replace(self, after=position)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Detections in the order of the feed, each with its place; none of them: a sign of life. Whoever breaks off goes on behind `position`."""

    position: Position
    found: Sequence[tuple[Position, FoundDetection]] = ()


def subscription_of(pairs: Sequence[tuple[str, str]], *, last_event_id: str | None = None) -> Subscription:
    """Raises `InvalidRequest` naming what is unknown or wrong. The last event wins over `after`, which stays in the URL."""
    for name, _ in pairs:
        if name in _NOT_HERE:
            raise InvalidRequest(f"{name}: unknown parameter here; a stream has no pages")
    search = parse_query([*pairs, ("order", Order.SEQ.value)])
    return subscription_of_search(
        search, after=search.after if "after" in search.asked else None, last_event_id=last_event_id
    )


def subscription_of_search(
    search: Search, *, after: Position | None = None, last_event_id: str | None = None
) -> Subscription:
    """All that comes in and that this search would find on one of its pages. Raises `InvalidRequest` for a wrong id of an event."""
    if last_event_id:
        try:
            after = Position.parse(last_event_id)
        except InvalidRequest as error:
            raise InvalidRequest("Last-Event-ID: not the id of an event of this stream") from error
    asked = {name: value for name, value in search.asked.items() if name not in PAGE_FIELDS}
    return Subscription(search=replace(search, order=Order.SEQ, limit=AT_ONCE, cursor=None, asked=asked), after=after)
