"""Retention classes: as ingest sees them, a few seconds old at most, and changed in an order that loses nothing.

A longer class is written only after the bucket's rule was raised and read back: a crash in between leaves a bucket that keeps
longer than it must. A shorter one is written first, then applied to what is kept, and the bucket's rule follows; a crash in between
leaves old rows that the next sweep shortens.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from platevault.domain.errors import InvalidRequest, Missing
from platevault.domain.retention_policy import (
    DAYS_MOST,
    PATTERN_MOST,
    Retention,
    RetentionClass,
    longest,
    only_shortens,
)
from platevault.infra.postgres.database import Database
from platevault.retention.sql.classes import change_classes, retention_classes

CLASSES_FOR_SECONDS: Final = 3.0
CLASSES_MOST: Final = 1000

RaiseTo = Callable[[int | None], Awaitable[None]]
"""The bucket lets images live for so many days (None: for ever) when this returns; it raises where it does not."""


@dataclass(slots=True)
class CachedClasses:
    """The classes as this process read them last: one query in three seconds, however many batches come."""

    classes: tuple[RetentionClass, ...] = ()
    _until: float = float("-inf")
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def laid_over(self, default: Retention, *, database: Database) -> Retention:
        """The retention of now; raises `DatabaseUnavailable` when the classes are too old and cannot be read again."""
        clock = asyncio.get_running_loop().time
        if clock() >= self._until:
            async with self._reading:
                if clock() >= self._until:
                    asked_at = clock()
                    self.classes = await retention_classes(database)
                    self._until = asked_at + CLASSES_FOR_SECONDS
        return default.with_classes(self.classes) if self.classes else default


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The classes before and after a change."""

    before: tuple[RetentionClass, ...]
    after: tuple[RetentionClass, ...]


async def set_class(
    wanted: RetentionClass | None,
    *,
    at: tuple[str, str],
    database: Database,
    default_days: int,
    raise_to: RaiseTo,
    now: datetime,
) -> Changed:
    """Write this class for the patterns `at` (collector, camera), or take theirs away when it is None.

    Position 0 is where the class with these patterns stands, or behind all others. Positions are closed up. Raises
    `InvalidRequest`, `Missing` when there is none to be taken away, and whatever `raise_to` does; nothing is written then.
    """
    seen: list[Changed] = []

    async def allow(before: tuple[RetentionClass, ...], after: tuple[RetentionClass, ...]) -> None:
        if not only_shortens(before, after, default_days=default_days):
            await raise_to(longest(after, default_days=default_days))
        seen.append(Changed(before=before, after=after))

    await change_classes(database, lambda before: with_class(before, wanted, at=at), now=now, allow=allow)
    return seen[-1]


def with_class(
    before: tuple[RetentionClass, ...], wanted: RetentionClass | None, *, at: tuple[str, str]
) -> tuple[RetentionClass, ...]:
    """What the classes come to, numbered from 1; raises `InvalidRequest`, or `Missing` when there is none to be taken away."""
    _check(wanted, at)
    others = [one for one in before if (one.collector, one.camera) != at]
    if wanted is None:
        if len(others) == len(before):
            raise Missing("there is no class with these patterns: see `platevault retention list`")
        return _numbered(others)
    stood = next((place for place, one in enumerate(before) if (one.collector, one.camera) == at), len(others))
    place = stood if wanted.position == 0 else min(wanted.position - 1, len(others))
    others.insert(place, wanted)
    if len(others) > CLASSES_MOST:
        raise InvalidRequest(
            f"there are {CLASSES_MOST} classes already; patterns with * and ? cover many cameras at once"
        )
    return _numbered(others)


def _numbered(classes: list[RetentionClass]) -> tuple[RetentionClass, ...]:
    return tuple(replace(one, position=number) for number, one in enumerate(classes, start=1))


def _check(wanted: RetentionClass | None, at: tuple[str, str]) -> None:
    for name, pattern in zip(("collector", "camera"), at, strict=True):
        if not pattern or len(pattern) > PATTERN_MOST or not pattern.isprintable():
            raise InvalidRequest(f"the {name} pattern must have 1 to {PATTERN_MOST} printable characters")
    if wanted is not None and wanted.days is not None and not 1 <= wanted.days <= DAYS_MOST:
        raise InvalidRequest(f"a class lasts 1 to {DAYS_MOST} days, or never ends")
