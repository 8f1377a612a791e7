"""Fixtures: what a process of ours needs to run, a free port and an environment of its own."""

import socket
from pathlib import Path

import pytest

from tests.support.processes import environment_for
from tests.support.servers import S3Server


@pytest.fixture
def port() -> int:
    """A port of 127.0.0.1 on which nobody listened a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def environment(migrated_url: str, seaweed: S3Server, tmp_path: Path) -> dict[str, str]:
    """Of a service on a migrated database and the S3 server that is always there."""
    return environment_for(migrated_url, seaweed, tmp_path)
