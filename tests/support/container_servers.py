"""The images of docker-compose.yml as test servers, for `pytest --containers`: the same tests on what operators run."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from testcontainers.core.container import DockerContainer

from tests.support.servers import S3Server, new_identities, with_identities

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
PASSWORD = "of-this-container-alone"
STARTS_WITHIN_SECONDS = 90.0


@dataclass(frozen=True, kw_only=True)
class ContainerPostgres:
    """What `Databases` needs of a PostgreSQL."""

    host: str
    port: int

    @property
    def superuser_url(self) -> str:
        return f"postgresql://platevault:{PASSWORD}@{self.host}:{self.port}/postgres"

    def url_of(self, name: str) -> str:
        return f"postgresql+asyncpg://platevault:{PASSWORD}@{self.host}:{self.port}/{name}"


@contextmanager
def postgres_container() -> Iterator[ContainerPostgres]:
    """The image of the service `postgres`."""
    container = DockerContainer(image_of("postgres")).with_exposed_ports(5432)
    container = container.with_envs(POSTGRES_USER="platevault", POSTGRES_PASSWORD=PASSWORD)
    with _started(container) as running:
        found = ContainerPostgres(host=running.get_container_host_ip(), port=int(running.get_exposed_port(5432)))
        # Over TCP: while it makes the database, the image runs a server that listens on its socket alone.
        _until(lambda: running.exec(["pg_isready", "-q", "-h", "127.0.0.1", "-U", "platevault"]).exit_code == 0)
        yield found


@contextmanager
def minio_container() -> Iterator[S3Server]:
    """The image of the service `minio`, with the same identities and rights as the embedded server."""
    identities = new_identities()
    container = DockerContainer(image_of("minio")).with_exposed_ports(9000).with_command("server /data")
    container = container.with_envs(
        MINIO_ROOT_USER=identities["admin_access_key"],
        MINIO_ROOT_PASSWORD=identities["admin_secret_key"],
    )
    with _started(container) as running:
        endpoint = f"{running.get_container_host_ip()}:{running.get_exposed_port(9000)}"
        _until(
            lambda: httpx2.get(f"http://{endpoint}/minio/health/ready", timeout=2, trust_env=False).status_code == 200
        )
        yield with_identities(endpoint, identities)


def image_of(service: str) -> str:
    """The image that the compose file names for a service, its default where a variable may name another."""
    text = COMPOSE.read_text(encoding="utf-8")
    block = re.search(rf"^  {service}:\n((?:    .*\n|\n)+)", text, re.MULTILINE)
    assert block is not None, service
    named = re.search(r"^    image: (.+)$", block[1], re.MULTILINE)
    assert named is not None, service
    return re.sub(r"\$\{[A-Z_]+:-([^}]+)\}", r"\1", named[1].split(" #")[0].strip())


@contextmanager
def _started(container: DockerContainer) -> Iterator[DockerContainer]:
    # Its reaper is one more image to pull; the block below stops what it started.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    container.start()
    try:
        yield container
    finally:
        container.stop()


def _until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + STARTS_WITHIN_SECONDS
    while time.monotonic() < end:
        try:
            if ready():
                return
        except (httpx2.TransportError, OSError):
            pass
        time.sleep(0.3)
    raise AssertionError("the container is not ready")
