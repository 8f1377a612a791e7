"""What producers send: one pure module a format, which turns a whole request into a batch.

- `batch`: A parsed batch, its detections, and where the bytes of each image are.
- `delivery`: Input of a parser: one complete request.
- `format`: Interface of a format: parser and size limits.
- `describing_data`: Limit of what describes one detection.
- `json_text`: JSON with numbers out of range and halves of characters.
- `native`: Format of `POST /v1/detections`: a JSON manifest and one part an image.
"""

from typing import Final

from platevault.formats import native
from platevault.formats.format import Format

DEFAULT: Final = native.FORMAT
"""The format of `POST /v1/detections`, and of a spool file that names none."""

FORMATS: Final[dict[str, Format]] = {
    native.FORMAT.name: native.FORMAT,
}
"""Every format, by the name that a spool file has for it."""
