"""Find and read photographs of one folder, by their first bytes. Links out of the folder are refused."""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from platevault.domain.errors import InvalidRequest
from platevault.domain.images import content_type_of

IMAGE_ENDINGS: Final = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".avif", ".tif", ".tiff"})
FILE_BYTES_MAX: Final = 128 * 1024 * 1024
_HEAD_BYTES: Final = 32
# O_NONBLOCK, because a pipe must not block the sender. Windows has only O_BINARY, and opens files as text without it.
_READING: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def photo_names(folder: Path) -> list[str]:
    """Return the sorted names of possible images: files with the ending of an image, and images without an ending.

    Folders inside are not searched. A file with another ending is not taken, because it may be half of a copy (`.part`).
    """
    return sorted(
        path.name
        for path in folder.iterdir()
        if not path.name.startswith(".")
        and (path.suffix.lower() in IMAGE_ENDINGS or not path.suffix)
        and _is_a_file(path)
        and (path.suffix or _is_an_image(folder, path.name))
    )


def folders_inside(folder: Path) -> list[str]:
    """Return the names of the folders inside, in order: their images are not sent."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())


def read_photo(folder: Path, name: str) -> tuple[bytes, datetime]:
    """Return the file's bytes and its time. Raises `OSError`, and `InvalidRequest` for other files and links out of the folder."""
    with open_inside(folder, name) as file:
        found = os.fstat(file.fileno())
        if found.st_size > FILE_BYTES_MAX:
            raise InvalidRequest(f"larger than {FILE_BYTES_MAX} bytes")
        data = file.read()
    if data and content_type_of(data[:_HEAD_BYTES]) is None:
        raise InvalidRequest("its first bytes are not those of a JPEG, PNG, WebP, AVIF or TIFF")
    return data, datetime.fromtimestamp(found.st_mtime, UTC)


def open_inside(folder: Path, name: str) -> BinaryIO:
    """Open a file of the folder. A link must lead to another file in the folder. Raises `InvalidRequest` and `OSError`."""
    target = Path(os.path.realpath(folder / name))  # a loop of links has no target; opening it says so
    if not target.is_relative_to(os.path.realpath(folder)):
        raise InvalidRequest("leads outside the folder: links out of it are not followed")
    descriptor = os.open(target, _READING)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidRequest("not a file")
    return os.fdopen(descriptor, "rb")


def _is_a_file(path: Path) -> bool:
    """True for a file, and for a broken link, because reading it names the fault."""
    return path.is_file() or (path.is_symlink() and not path.is_dir() and bool(path.suffix))


def _is_an_image(folder: Path, name: str) -> bool:
    try:
        with open_inside(folder, name) as file:
            return content_type_of(file.read(_HEAD_BYTES)) is not None
    except (InvalidRequest, OSError):
        return False
