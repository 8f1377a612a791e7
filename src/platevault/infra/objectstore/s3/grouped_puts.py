"""Puts of a whole batch: heads made from one form, one future for all, a callback for each answer.

The result names only the objects that the store has. The caller puts each other object alone, with retries and names of errors.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from platevault.infra.concurrency.put_slots import PutSlots
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.s3.connection_pool import ConnectionPool
from platevault.infra.objectstore.s3.errors import BUSY_STATUS
from platevault.infra.objectstore.s3.http_connection import OK, HttpConnection, HttpResponse, NoResponse

# A head and its body are sent at once. Of a larger body, too little is known until the store takes it.
GROUPED_BYTES_MAX: Final = 1024 * 1024


class GroupedPuts:
    """Puts that go over one pool of connections, within the slots of the process."""

    def __init__(
        self,
        connections: ConnectionPool,
        head_of: Callable[[str, NewObject], bytes],
        *,
        seconds: float,
        has_room: Callable[[int], bool],
    ) -> None:
        """`head_of` makes the signed head of a put that needs an absent key. `seconds` is the time that a store has to answer.

        `has_room` says whether the disk of the store takes so many bytes.
        """
        self._connections = connections
        self._head_of = head_of
        self._seconds = seconds
        self._has_room = has_room

    async def create(
        self,
        objects: Sequence[tuple[str, NewObject]],
        *,
        slots: PutSlots,
        may_go_on: Callable[[], bool],
        on_busy: Callable[[], None] = lambda: None,
    ) -> list[float | None]:
        """Put each unless something is there; the seconds that each took, None for one that is not known to be stored.

        Those that wait for a slot are given up once `may_go_on` says False. `on_busy` is called for each answer that asks for fewer
        requests (429, 503), before the next put gets its slot. Raises `InvalidRequest`, before anything is sent,
        for metadata that is none; nothing for what the store does.
        """
        if not self._has_room(sum(len(new.data) for _, new in objects)):
            return [None] * len(objects)
        heads = [self._head_of(key, new) for key, new in objects]
        group = _Group(
            self._connections,
            slots=slots,
            may_go_on=may_go_on,
            on_busy=on_busy,
            seconds=self._seconds,
            size=len(objects),
        )
        for number, (head, (_, new)) in enumerate(zip(heads, objects, strict=True)):
            group.add(number, head, new.data)
        return await group.outcome()


class _Group:
    """Puts of one batch on their way."""

    def __init__(
        self,
        connections: ConnectionPool,
        *,
        slots: PutSlots,
        may_go_on: Callable[[], bool],
        on_busy: Callable[[], None],
        seconds: float,
        size: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connections = connections
        self._slots = slots
        self._may_go_on = may_go_on
        self._on_busy = on_busy
        self._seconds = seconds
        self._took: list[float | None] = [None] * size
        self._left = size
        self._whole: asyncio.Future[None] = self._loop.create_future()
        self._under_way: dict[int, tuple[HttpConnection, float]] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, number: int, head: bytes, data: bytes | bytearray | memoryview) -> None:
        """Send one put as soon as it has a slot."""
        self._slots.take(partial(self._begin, number, head, data))

    async def outcome(self) -> list[float | None]:
        """The seconds of each put, once all have ended."""
        try:
            if self._left:
                await self._whole
            return self._took
        finally:
            self._left = 0  # those that still wait for a slot give it back at once
            if self._timer is not None:
                self._timer.cancel()
            for task in tuple(self._connecting):
                if task.cancel():  # also one that has not begun, so it cannot release its slot
                    self._slots.release()
            while self._under_way:
                _, (connection, _) = self._under_way.popitem()
                connection.forget()
                self._slots.release()

    def _begin(self, number: int, head: bytes, data: bytes | bytearray | memoryview) -> None:
        if not self._left or not self._may_go_on():
            self._ended()
            return
        connection = self._connections.kept()
        if connection is None or not self._sent(connection, number, head, data):
            task = self._loop.create_task(self._connect_and_send(number, head, data))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect_and_send(self, number: int, head: bytes, data: bytes | bytearray | memoryview) -> None:
        try:
            connection = await self._connections.connect()
        except OSError:  # `TimeoutError` too
            self._ended()
            return
        if not self._sent(connection, number, head, data):
            self._ended()

    def _sent(self, connection: HttpConnection, number: int, head: bytes, data: bytes | bytearray | memoryview) -> bool:
        began = self._loop.time()
        try:
            connection.send(head, data, partial(self._answered, number))
        except NoResponse:
            return False
        self._under_way[number] = (connection, began)
        if self._timer is None:
            self._timer = self._loop.call_at(began + self._seconds, self._look_for_late)
        return True

    def _answered(self, number: int, outcome: HttpResponse | Exception) -> None:
        _, began = self._under_way.pop(number)
        if isinstance(outcome, HttpResponse):
            if outcome.status == OK:
                self._took[number] = self._loop.time() - began
            elif outcome.status in BUSY_STATUS:
                self._on_busy()
        self._ended()

    def _ended(self) -> None:
        self._slots.release()
        if self._left:
            self._left -= 1
            if not self._left and not self._whole.done():
                self._whole.set_result(None)

    def _look_for_late(self) -> None:
        """End those that the store has not answered in time; look again when the next one would be late."""
        self._timer = None
        now = self._loop.time()
        for connection, began in tuple(self._under_way.values()):
            if now - began >= self._seconds:
                connection.too_late()
        if self._under_way and self._left:
            first = min(began for _, began in self._under_way.values())
            self._timer = self._loop.call_at(first + self._seconds, self._look_for_late)
