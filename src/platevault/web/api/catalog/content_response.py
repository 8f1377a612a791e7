"""Answer with the bytes of an image, chunk by chunk, as fast as the client takes them."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

import structlog
from fastapi import Response
from starlette.types import Receive, Scope, Send

from platevault.domain.byte_ranges import ByteRange
from platevault.domain.error_chain import names_of
from platevault.domain.errors import VaultError
from platevault.web.dependencies import ABORT

# A client that takes no chunk for this time gives its memory back.
TAKEN_WITHIN_SECONDS: Final = 30.0

log = structlog.get_logger(__name__)


class ContentResponse(Response):
    """Content of `size` bytes. It holds memory of the budget until the client has taken it.

    Past the budget the answer is 429: nothing was sent before. If the bytes are gone in the middle, the connection ends before
    `Content-Length` bytes, so that no client takes what it has for the image.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes],
        *,
        size: int,
        headers: Mapping[str, str],
        part: ByteRange | None = None,
        taken_within: float = TAKEN_WITHIN_SECONDS,
    ) -> None:
        own = {"Content-Length": str(size)}
        if part is not None:
            own["Content-Range"] = str(part)
        super().__init__(status_code=200 if part is None else 206, headers={**headers, **own})
        self._chunks = chunks
        self._size = size
        self._taken_within = taken_within

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._chunks) as chunks:
            first = await anext(chunks)  # `Busy` comes before the answer begins
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            sending = asyncio.ensure_future(self._send(first, chunks, send))
            leaving = asyncio.ensure_future(_until_client_leaves(receive))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, leaving):
                    task.cancel()
                outcome, _ = await asyncio.gather(sending, leaving, return_exceptions=True)
        if isinstance(outcome, VaultError | TimeoutError):
            log.warning("image delivery cut", error=names_of(outcome))
            abort = scope.get("extensions", {}).get(ABORT)
            if abort is not None:
                abort()
        elif isinstance(outcome, Exception):
            raise outcome

    async def _send(self, first: bytes, rest: AsyncGenerator[bytes], send: Send) -> None:
        await self._send_in_time(send, first, more=True)
        left = self._size - len(first)
        while left > 0:
            chunk = await anext(rest)
            await self._send_in_time(send, chunk, more=True)
            left -= len(chunk)
        # The server waits with this one until the client has taken the chunk before it: until then the memory is in use.
        await self._send_in_time(send, b"", more=False)

    async def _send_in_time(self, send: Send, chunk: bytes, *, more: bool) -> None:
        async with asyncio.timeout(self._taken_within):
            await send({"type": "http.response.body", "body": chunk, "more_body": more})


async def _until_client_leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
