"""The program that decodes pictures: one after the other, from standard input to standard output, within hard limits.

Frames are those of `decoder_protocol`. Asked: `{"recipe": "…" | null}` and the original (null: its facts).
Answered: `{"width", "height"}` and the picture, or `{"facts": {…}}`, or `{"refused": "…"}`, or `{"invalid": "…"}`. The first
frame says `{"ready": true}`. Whoever reads the answers must not trust them: the bytes that were decoded may have taken over this process.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import warnings
from dataclasses import asdict
from typing import Any, BinaryIO, Final

from platevault.domain.errors import InvalidRequest, Refusal
from platevault.domain.rendition_recipe import Recipe
from platevault.infra.imaging.decoder_protocol import LENGTHS, PIPE_BYTES, packed
from platevault.infra.imaging.transform import facts, render

_PR_SET_PDEATHSIG: Final = 1


def main(parent: int, cpu_seconds: int, memory_bytes: int) -> None:
    """Answer until the input ends. Only what is open now can be used from here on: no file, no socket, no child."""
    asked, answers = os.fdopen(0, "rb", PIPE_BYTES), os.fdopen(os.dup(1), "wb")
    _shut_in(parent, memory_bytes, files=answers.fileno() + 1)
    _answer(answers, {"ready": True})
    while frame := _next(asked):
        _allow(cpu_seconds)
        _answer(answers, *reply(*frame))


def reply(asked: dict[str, Any], original: bytes) -> tuple[dict[str, Any], bytes]:
    """What is answered to one frame."""
    try:
        if asked["recipe"] is None:
            return {"facts": asdict(facts(original))}, b""
        picture = render(original, Recipe.parse(asked["recipe"]))
    except InvalidRequest as error:
        return {"invalid": str(error)}, b""
    except Refusal as error:
        return {"refused": str(error)}, b""
    return {"width": picture.width, "height": picture.height}, picture.data


def _shut_in(parent: int, memory_bytes: int, *, files: int) -> None:
    """Limits that hold from here on; some of them exist on Linux only."""
    # Libraries write warnings about hostile bytes to 1 and 2; the log is not theirs, and 1 is where answers go.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.close(nothing)
    warnings.simplefilter("ignore")
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: files,
        resource.RLIMIT_NPROC: 0,
    }
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it could be asked to take us along
            os._exit(0)
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))


def _allow(cpu_seconds: int) -> None:
    """At most so many seconds of CPU from now on: the kernel ends this process (SIGXCPU) at its limit."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _next(asked: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    lengths = asked.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    words, size = LENGTHS.unpack(lengths)
    return json.loads(asked.read(words)), asked.read(size)


def _answer(answers: BinaryIO, said: dict[str, Any], data: bytes = b"") -> None:
    answers.write(packed(said, len(data)))
    answers.write(data)
    answers.flush()
