"""What a file cannot say of itself: content type, cache control, metadata and digest of a local object, as JSON beside it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMetadata:
    """One version of an object. `size` and `modified_ns` (of the file) tell which version the file is."""

    size: int
    modified_ns: int
    sha256: str
    content_type: str
    cache_control: str
    metadata: dict[str, str]

    @property
    def etag(self) -> str:
        """As S3 spells it, in quotes."""
        return f'"{self.sha256}"'


def encode_local_metadata(versions: Sequence[LocalMetadata]) -> bytes:
    """The file's content; while an object is being replaced it names the new version and the one before."""
    return json.dumps([asdict(version) for version in versions], indent=1, sort_keys=True).encode()


def read_local_metadata(path: Path) -> tuple[LocalMetadata, ...]:
    """All versions that the sidecar names; none for a file that is absent or not ours."""
    try:
        return tuple(LocalMetadata(**version) for version in json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return ()
