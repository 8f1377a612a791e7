"""Where a server is by its name: looked up once for all who ask meanwhile, in a thread that nothing else waits for."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final

# A server that moved is found again as soon as one does not answer where it was.
BELIEVED_SECONDS: Final = 30.0

Address = tuple[str, int]
LookUp = Callable[[str, int], Sequence[Address]]


def resolve(host: str, port: int) -> Sequence[Address]:
    """(address, port) of each address that this system has for the name; blocks, for as long as name servers let it wait."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((str(where[0]), port) for *_, where in found))


class DnsCache:
    """Those of one server.

    The name of a server that is down may take its name server many seconds to deny. Event loops look names up in a few threads that
    all share: where each of many requests asked there, nobody else of the process could connect to anything, the database included.
    """

    def __init__(self, host: str, port: int, *, look_up: LookUp = resolve) -> None:
        self._host = host
        self._port = port
        self._look_up = look_up
        self._looking: asyncio.Future[Sequence[Address]] | None = None
        self._found: Sequence[Address] = ()
        self._good_until = 0.0

    async def find(self) -> Sequence[Address]:
        """At least one; raises `OSError` when the name is nobody's."""
        if _is_literal(self._host):
            return ((self._host, self._port),)
        loop = asyncio.get_running_loop()
        if self._found and loop.time() < self._good_until:
            return self._found
        looking = self._looking
        if looking is None or looking.done() or looking.get_loop() is not loop:
            looking = self._looking = loop.create_future()
            looking.add_done_callback(_seen)
            threading.Thread(target=self._ask, args=(loop, looking), daemon=True, name="names").start()
        self._found = await asyncio.shield(looking)
        self._good_until = loop.time() + BELIEVED_SECONDS
        return self._found

    def forget(self) -> None:
        """None of them answered: the next who asks looks them up."""
        self._found = ()

    def _ask(self, loop: asyncio.AbstractEventLoop, looking: "asyncio.Future[Sequence[Address]]") -> None:
        def tell(found: Sequence[Address], error: OSError | None) -> None:
            if looking.done():
                return
            if error is None and found:
                looking.set_result(found)
            else:
                looking.set_exception(error or OSError(f"no address for {self._host}"))

        outcome: tuple[Sequence[Address], OSError | None]
        try:
            outcome = self._look_up(self._host, self._port), None
        except (OSError, UnicodeError) as error:
            outcome = (), error if isinstance(error, OSError) else OSError(f"{self._host} is no name")
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, *outcome)


def _seen(looking: "asyncio.Future[Sequence[Address]]") -> None:
    """All who asked may have gone by now."""
    if not looking.cancelled():
        looking.exception()


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
