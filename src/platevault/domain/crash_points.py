"""Named places where a test can make the process die; inert unless PLATEVAULT_CRASH_AT names one."""

import os
import signal
from typing import Final

CRASH_POINTS: Final = (
    "body-checked",
    "file-ready",
    "rows-written",
    "rows-committed",
    "object-put",
    "store-settled",
    "images-marked",
    "file-unlinked",
)
UPLOAD_CRASH_POINTS: Final = ("upload-read", "upload-put", "upload-committed")
"""Those of a direct upload's commit, which has no spool."""
CRASH_POINTS_OF_ERASING: Final = ("rows-erased", "bytes-removed")
"""Those of a job: between rows and bytes, and between bytes and the note that they are gone."""

_CRASH_AT: Final = os.environ.get("PLATEVAULT_CRASH_AT", "")


def reached(point: str) -> None:
    """Kill this process, as a power cut would, when the environment asked for it at this point."""
    if point == _CRASH_AT:
        os.kill(os.getpid(), signal.SIGKILL)


def is_wanted(point: str) -> bool:
    """True when a test asked for a death at this point: who has a shorter way, on which there is no such point, does not take it."""
    return point == _CRASH_AT
