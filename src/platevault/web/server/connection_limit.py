"""Number of connections that a process takes."""

import resource
from typing import Final

CONNECTIONS_MAX: Final = 4096
# Of the process's file descriptors: for the database, the object store, spool files and logs.
DESCRIPTORS_KEPT: Final = 160


def connections_max() -> int:
    """Return how many connections this process takes: as many as its file descriptors allow, to a cap."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(CONNECTIONS_MAX, soft - DESCRIPTORS_KEPT))
