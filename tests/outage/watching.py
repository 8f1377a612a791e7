"""Looks at something again and again while something else goes on, and what a process costs at such a look."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

import psutil


@asynccontextmanager
async def watching(look: Callable[[], Awaitable[None]], *, every_seconds: float) -> AsyncIterator[None]:
    """Look for the length of the block. An error of a look ends the block with it: nobody goes on for an hour unseen."""
    try:
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(_again(look, every_seconds))
            yield
            looking.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _again(look: Callable[[], Awaitable[None]], every_seconds: float) -> NoReturn:
    while True:
        await look()
        await asyncio.sleep(every_seconds)


def resident_bytes(pid: int) -> int:
    """Memory of the process and of those that it has started."""
    head = psutil.Process(pid)
    found = head.memory_info().rss
    for child in head.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # ended between the two looks
            found += child.memory_info().rss
    return found


def connections_to(pid: int, port: int) -> int:
    """How many the process has open to this port."""
    there = [one for one in psutil.Process(pid).net_connections("tcp") if one.raddr and one.raddr.port == port]
    return sum(one.status == psutil.CONN_ESTABLISHED for one in there)
