"""One derived image of each format, made by the container's own user and libraries, and looked at here."""

import io
from typing import Final

from PIL import Image

from platevault.domain.rendition_recipe import Format
from tests.containers.engine import Failed
from tests.containers.viewer import Rows, Viewer

WIDTH: Final = 160


def each_format(viewer: Viewer, rows: Rows) -> str:
    """Ask for the first detection's scene in each format, and decode what comes."""
    name = min(rows)
    sizes = []
    for wanted in Format:
        data = viewer.derived(name, width=WIDTH, encoding=wanted.value)
        try:
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
                found = ((picture.format or "").lower(), picture.width)
        except (OSError, SyntaxError) as error:
            raise Failed(f"{wanted}: {len(data)} bytes that are no picture: {error}") from error
        if found != (wanted.value, WIDTH):
            raise Failed(f"{wanted}, {WIDTH} wide, was asked for, and {found[0]}, {found[1]} wide, came")
        sizes.append(f"{wanted} {len(data):,} bytes")
    return f"{WIDTH} wide: {', '.join(sizes)}"
