"""One JSON object a line on standard output: an event with fields, never a plate, a token, an image or a body."""

import atexit
import contextlib
import functools
import io
import json
import logging
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final, TextIO, cast

import stamina
import structlog

from platevault.domain.error_chain import frames_of, names_of
from platevault.domain.errors import VaultError

# Whoever reads the log may stop reading, and its disk may be full: lines beyond these wait for nobody.
LINES_WAITING_MAX: Final = 10_000
LINES_AT_ONCE: Final = 200
# A line waits so long for others: were the thread woken for each, every request would pay for two changes of threads.
GATHER_SECONDS: Final = 0.01
END_WITHIN_SECONDS: Final = 2.0

_QUIET: Final = ("uvicorn.access", "httpx2", "httpcore2", "urllib3", "asyncio")


def set_up_logs(level: str) -> None:
    """From now on everything that is logged, by libraries too, is JSON on standard output."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    out = _stream()
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        ),
    )
    stamina.instrumentation.set_on_retry_hooks([])  # what gives up is logged where it is handled
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    for name in ("uvicorn", "uvicorn.error", *_QUIET):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextlib.contextmanager
def start_in_log(event: str) -> Iterator[None]:
    """Log the error that ends the block as one line with this event, and end the process with exit code 2."""
    if not structlog.is_configured():  # settings that cannot be read have no level
        set_up_logs("info")
    log = structlog.get_logger(__name__)
    try:
        yield
    except VaultError as error:
        log.error(event, error=type(error).__name__, why="; ".join(str(error).splitlines()))
        raise SystemExit(2) from None
    except Exception as error:  # noqa: BLE001  a traceback is many lines, and each line of the log is JSON
        log.error(event, error=names_of(error), frames=frames_of(error))
        raise SystemExit(2) from None


def log_to_standard_error() -> None:
    """For commands: standard output is their answer's, and only warnings are worth a line beside it."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    stamina.instrumentation.set_on_retry_hooks([])


class LogWriter(io.TextIOBase):
    """A text stream that never blocks: a thread writes what was printed, and what it cannot write in time is dropped.

    How many lines were dropped is logged as soon as lines are read again.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # The simple one: whoever logs does not wait for the lock that the thread has.
        self._waiting: queue.SimpleQueue[str | threading.Event] = queue.SimpleQueue()
        self._dropped = 0
        threading.Thread(target=self._keep_writing, name="log", daemon=True).start()

    def write(self, text: str, /) -> int:
        if self._waiting.qsize() < LINES_WAITING_MAX:
            self._waiting.put(text)
        else:
            self._dropped += text.count("\n")
        return len(text)

    def wait(self, seconds: float) -> None:
        """Until all is written, or so long."""
        written = threading.Event()
        self._waiting.put(written)
        written.wait(seconds)

    def _keep_writing(self) -> None:
        while True:
            taken = [self._waiting.get()]
            if isinstance(taken[0], str) and self._waiting.qsize() < LINES_AT_ONCE:
                time.sleep(GATHER_SECONDS)
            with contextlib.suppress(queue.Empty):
                while len(taken) < LINES_AT_ONCE:
                    taken.append(self._waiting.get_nowait())
            texts = [text for text in taken if isinstance(text, str)]
            dropped, self._dropped = self._dropped, 0
            if dropped:
                texts.append(json.dumps({"event": "log lines dropped", "level": "warning", "number": dropped}) + "\n")
            lost = self._write("".join(texts).encode()).count(b"\n")
            if lost:  # the line that says how many is the last of them
                self._dropped += lost + dropped - bool(dropped)
            for waiter in taken:
                if isinstance(waiter, threading.Event):
                    waiter.set()

    def _write(self, data: bytes) -> bytes:
        """What could not be written: nobody reads any more, or the disk is full; there is no place to say so now."""
        with contextlib.suppress(OSError):
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:  # whoever shares the pipe made it so
                    _wait_for_room(self._descriptor)
        return data


def _wait_for_room(descriptor: int) -> None:
    """Until something can be written, or nobody reads any more."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()


def _stream() -> TextIO:
    """Standard output; where it is a file, pipe or terminal, as lines that block nobody."""
    try:
        return cast(TextIO, _lines_to(sys.stdout.fileno()))
    except (OSError, ValueError):  # somebody put a stream without a descriptor in its place
        return sys.stdout


@functools.cache
def _lines_to(descriptor: int) -> LogWriter:
    lines = LogWriter(os.dup(descriptor))
    atexit.register(lines.wait, END_WITHIN_SECONDS)
    return lines
