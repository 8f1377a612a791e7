"""Decode pictures where they can do no harm: in child processes that are killed and replaced; the only door to any decoder."""

import asyncio
import base64
import contextlib
import fcntl
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from platevault.domain.errors import Busy, ImageRefused, InvalidRequest
from platevault.domain.rendition_recipe import Facts, Recipe, Rendered
from platevault.infra.imaging.decoder_protocol import LENGTHS, PIPE_BYTES, packed
from platevault.infra.imaging.headers import check_start

ANSWER_MAX_BYTES: Final = 128 << 20
WORDS_MAX_BYTES: Final = 64 << 10
# The smallest picture there is, of one black pixel: whoever cannot render this one renders none.
SOUND: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
# The package itself imports all of the service (drivers, threads, settings): a stranger with its name stands in for it.
# No secret of ours; and memory of one picture is kept for the next (glibc), where giving it back costs a tenth of the time.
_ENVIRONMENT: Final = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
_PROGRAM: Final = """
import sys, types
package = types.ModuleType("platevault")
package.__path__ = [sys.argv[1]]
sys.modules["platevault"] = package
from platevault.infra.imaging.decoder_process import main
main(*map(int, sys.argv[2:]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderLimits:
    """What one picture may cost, and how many may be in hand in this process."""

    cpu_seconds: int = 5
    memory_bytes: int = 1 << 30
    wall_seconds: float = 20.0
    children: int = 2
    waiting: int = 64
    renders_per_child: int = 500


class DecoderEnded(Exception):
    """A child is gone; `number` is the signal that ended it, or 0."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by signal {number}")
        self.number = number


class DecoderPool:
    """A small pool of children. Nothing that a picture does reaches this process but bytes in answers, which are checked."""

    def __init__(self, *, accepted: frozenset[str], limits: DecoderLimits | None = None) -> None:
        self._accepted = accepted
        self._limits = limits or DecoderLimits()
        self._turns = asyncio.Semaphore(self._limits.children)
        self._idle: list[_Child] = []
        self._in_hand = 0
        self._closed = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Start the children now, so that the first picture need not wait for them. Without it they start when needed."""
        self._closed = False
        missing = self._limits.children - len(self._idle)
        self._idle += await asyncio.gather(*(_Child.start(self._limits) for _ in range(missing)))

    async def close(self) -> None:
        """No child runs afterwards; pictures in hand are given up (`Busy`)."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(child.kill() for child in idle))

    async def render(self, original: bytes, recipe: Recipe) -> Rendered:
        """The picture of the recipe.

        Raises `ImageRefused` where the original is no whole picture or takes more than the limits allow, `InvalidRequest` where
        the recipe's crop lies outside it, and `Busy` where too many wait, or this one took too long by the clock.
        """
        said, data = await self._asked({"recipe": str(recipe)}, original)
        with _checked():
            return Rendered(
                data=data, content_type=recipe.format.content_type, width=int(said["width"]), height=int(said["height"])
            )

    async def facts(self, original: bytes) -> Facts:
        """What the header of the original says; raises `ImageRefused` and `Busy` like `render`."""
        said, _ = await self._asked({"recipe": None}, original)
        with _checked():
            return _facts(said["facts"])

    async def check(self) -> None:
        """Return when a child renders a sound picture now; raises `Busy`."""
        async with self._turn():
            said, _ = await self._answered(packed({"recipe": str(Recipe())}, len(SOUND)), SOUND)
        if "width" not in said:
            raise Busy("pictures cannot be decoded now", retry_after=30)

    async def _asked(self, question: dict[str, Any], original: bytes) -> tuple[dict[str, Any], bytes]:
        if check_start(original) not in self._accepted:
            raise ImageRefused("its format is not one that this vault takes")
        async with self._turn():
            said, data = await self._answered(packed(question, len(original)), original)
        if (why := said.get("refused")) is not None:
            raise ImageRefused(str(why))
        if (why := said.get("invalid")) is not None:
            raise InvalidRequest(str(why))
        return said, data

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One at a time for each child, in the order of asking."""
        if self._closed or self._in_hand >= self._limits.children + self._limits.waiting:
            raise Busy("as many pictures as this process may hold are in hand", retry_after=2)
        self._in_hand += 1
        try:
            async with self._turns:
                if self._closed:
                    raise Busy("this process ends", retry_after=2)
                yield
        finally:
            self._in_hand -= 1

    async def _answered(self, question: bytes, original: bytes) -> tuple[dict[str, Any], bytes]:
        """What a child answers. One that was killed from outside is nobody's fault: another one is asked, once."""
        for _ in range(2):
            try:
                return await self._by_a_child(question, original)
            except DecoderEnded as error:
                if error.number == signal.SIGXCPU:
                    raise ImageRefused(f"it takes more than {self._limits.cpu_seconds} s to decode") from error
                if error.number not in {0, signal.SIGKILL, signal.SIGTERM}:
                    raise ImageRefused("a decoder broke over it") from error
            except TimeoutError as error:
                raise Busy("a picture took too long", retry_after=30) from error
        raise Busy("pictures cannot be decoded now", retry_after=30)

    async def _by_a_child(self, question: bytes, original: bytes) -> tuple[dict[str, Any], bytes]:
        child = self._idle.pop() if self._idle else await _Child.start(self._limits)
        try:
            async with asyncio.timeout(self._limits.wall_seconds):
                answer = await child.ask(question, original)
        except BaseException:  # also when the asker went away: the child is in the middle of something
            await asyncio.shield(child.kill())
            raise
        if self._closed or child.asked >= self._limits.renders_per_child:
            await child.kill()
        else:
            self._idle.append(child)
        return answer


class _Child:
    """One process, which answers one question at a time."""

    def __init__(self, process: asyncio.subprocess.Process, questions: asyncio.StreamWriter) -> None:
        assert process.stdout is not None
        self._process = process
        self._questions, self._answers = questions, process.stdout
        self.asked = 0

    @classmethod
    async def start(cls, limits: DecoderLimits) -> "_Child":
        """One that is ready; raises `Busy` when there is none to be had."""
        package = Path(__file__).parents[2]
        theirs, ours = os.pipe()
        if sys.platform == "linux":
            fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-c", _PROGRAM, str(package)),
                *(str(number) for number in (os.getpid(), limits.cpu_seconds, limits.memory_bytes)),
                stdin=theirs,
                stdout=asyncio.subprocess.PIPE,
                cwd="/",
                limit=PIPE_BYTES,
                env=_ENVIRONMENT,
                start_new_session=True,  # Ctrl-C is ours
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        child = cls(process, await _writer(ours))
        try:
            async with asyncio.timeout(limits.wall_seconds):
                await child._answer()
        except BaseException as error:
            await asyncio.shield(child.kill())
            if isinstance(error, DecoderEnded | TimeoutError):
                raise Busy("the process that decodes pictures does not start", retry_after=30) from error
            raise
        return child

    async def ask(self, question: bytes, original: bytes) -> tuple[dict[str, Any], bytes]:
        """Its answer; raises `DecoderEnded` when it is gone, or says what it cannot mean."""
        self.asked += 1
        with contextlib.suppress(ConnectionError):  # the answer tells why
            self._questions.write(question + original)  # at once, so that the child wakes up once
            await self._questions.drain()
        return await self._answer()

    async def kill(self) -> None:
        """It does not run afterwards, and leaves no zombie."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._questions.close()
        await self._process.wait()

    async def _answer(self) -> tuple[dict[str, Any], bytes]:
        try:
            words, size = LENGTHS.unpack(await self._answers.readexactly(LENGTHS.size))
            if words > WORDS_MAX_BYTES or size > ANSWER_MAX_BYTES:
                raise DecoderEnded(0)
            said = json.loads(await self._answers.readexactly(words))
            data = await self._answers.readexactly(size)
        except asyncio.IncompleteReadError as error:
            number = -await self._process.wait()
            raise DecoderEnded(max(0, number)) from error
        except (ValueError, RecursionError) as error:
            raise DecoderEnded(0) from error
        if not isinstance(said, dict):
            raise DecoderEnded(0)
        return said, data


async def _writer(pipe: int) -> asyncio.StreamWriter:
    """The writing end of a pipe, as a stream."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(pipe, "wb", 0))
    return asyncio.StreamWriter(transport, protocol, None, loop)


@contextlib.contextmanager
def _checked() -> Iterator[None]:
    """An answer that is not what it should be says nothing about this process."""
    try:
        yield
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ImageRefused("a decoder broke over it") from error


def _facts(said: dict[str, Any]) -> Facts:
    return Facts(
        content_type=str(said["content_type"]),
        size=int(said["size"]),
        width=int(said["width"]),
        height=int(said["height"]),
        orientation=int(said["orientation"]),
        frames=int(said["frames"]),
        colors=str(said["colors"]),
        taken_at=None if said["taken_at"] is None else datetime.fromisoformat(said["taken_at"]),
        exif=tuple((str(name), str(value)) for name, value in said["exif"]),
        location=None if said["location"] is None else (float(said["location"][0]), float(said["location"][1])),
    )
