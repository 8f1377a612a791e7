"""How a renderer and its children speak: two lengths (32 bits each, big-endian), then JSON, then bytes."""

import json
import struct
from typing import Any, Final

LENGTHS: Final = struct.Struct("!II")
PIPE_BYTES: Final = 1 << 20  # what any user may ask Linux for; most originals fit in, and the child wakes up once


def packed(said: dict[str, Any], size: int) -> bytes:
    """The beginning of a frame; `size` bytes follow it."""
    words = json.dumps(said, default=str).encode()
    return LENGTHS.pack(len(words), size) + words
