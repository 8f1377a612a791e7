"""Number of connections that a process takes."""

import asyncio
import resource
from collections.abc import Iterable
from typing import Final, Protocol

CONNECTIONS_MAX: Final = 4096
# Of the process's file descriptors: for the database, the object store, spool files and logs.
DESCRIPTORS_KEPT: Final = 160
# At the cap, this many that wait longest are closed together, so that not every new connection has to look at all others.
MAKE_WAY_AT_ONCE: Final = 32


class Waiting(Protocol):
    """A connection that knows since when no request is under way on it."""

    @property
    def waits_since(self) -> float | None: ...

    @property
    def transport(self) -> asyncio.Transport: ...

    def make_way(self) -> None: ...


def connections_max() -> int:
    """Return how many connections this process takes: as many as its file descriptors allow, to a cap."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(CONNECTIONS_MAX, soft - DESCRIPTORS_KEPT))


def others_make_way(connections: Iterable[Waiting], *, but: Waiting) -> bool:
    """Close those that have waited longest without a request. False if there is none."""
    waiting = [
        (since, one)
        for one in connections
        if one is not but and (since := one.waits_since) is not None and not one.transport.is_closing()
    ]
    waiting.sort(key=lambda one: one[0])
    for _, connection in waiting[:MAKE_WAY_AT_ONCE]:
        connection.make_way()
    return bool(waiting)
