"""The limit of what describes one detection, kept before anything looks into it: one manifest must not stop the service."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from platevault.domain.described import Ignored

DESCRIBING_BYTES_MAX: Final = 16 * 1024
# What only describes and has parts of its own. Text and numbers have limits that cost nothing to check.
DESCRIBING_FIELDS: Final = ("data", "candidates", "vehicle", "box")
_WHY: Final = f"more than {DESCRIBING_BYTES_MAX} bytes describe this detection"


def within_limit(detection: Any) -> tuple[Any, tuple[Ignored, ...]]:
    """Return the detection without its largest describing fields until the rest fits, and the fields left out.

    The size is that of the field as compact JSON. The id, the time, the camera and the images always stay.
    """
    if not isinstance(detection, Mapping):
        return detection, ()
    sizes = {name: len(msgspec.json.encode(detection[name])) for name in DESCRIBING_FIELDS if name in detection}
    excess = sum(sizes.values()) - DESCRIBING_BYTES_MAX
    left_out: list[str] = []
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if excess > 0:
            excess -= sizes[name]
            left_out.append(name)
    kept = {name: value for name, value in detection.items() if name not in left_out} if left_out else detection
    return kept, tuple(Ignored(name, _WHY) for name in left_out)
