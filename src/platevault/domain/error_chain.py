"""What an error may tell a log: its kinds and where it came from, never its words, which may quote a plate or a token."""

import traceback
from typing import Final

NAMES_MAX: Final = 8
FRAMES_MAX: Final = 12


def names_of(error: BaseException) -> str:
    """The kinds of the error and of its causes."""
    names: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(names) < NAMES_MAX:
        names.append(type(cause).__qualname__)
        cause = cause.__cause__ or cause.__context__
    return " from ".join(names)


def frames_of(error: BaseException) -> list[str]:
    """Our own frames, and the last few of whoever raised."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames[:-3] if "platevault" in frame.filename]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in (*ours[-FRAMES_MAX:], *frames[-3:])]
