"""Runs a test on each event loop that the product runs on: uvloop in the service, asyncio's own in commands."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

_LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def on_each_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """The test twice, each time on a loop of its own."""

    def run(*, loop_of: str, **given: Any) -> None:
        async def whole() -> None:
            await test(**given)

        with asyncio.Runner(loop_factory=_LOOPS[loop_of]) as runner:
            runner.run(whole())

    signature = inspect.signature(test)
    loop_of = inspect.Parameter("loop_of", inspect.Parameter.KEYWORD_ONLY)
    seen: Any = functools.update_wrapper(run, test)
    del seen.__wrapped__  # or it would be taken for a coroutine function
    seen.__signature__ = signature.replace(parameters=[*signature.parameters.values(), loop_of])
    marked: Callable[..., None] = pytest.mark.parametrize("loop_of", _LOOPS)(seen)
    return marked
