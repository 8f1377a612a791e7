"""A vault of real processes on real servers, behind a fault proxy to each neighbour, and what can be broken about it."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import httpx2

from platevault.infra.postgres.database import Database
from platevault.infra.postgres.migrations import migrate
from tests.outage.proxy import FaultProxy, fault_proxy
from tests.support.processes import environment_for, run_platevault
from tests.support.servers import S3Server, embedded_servers, s3_of, server_folder


@dataclass(kw_only=True)
class Kept:
    """A process that is begun again whenever it was killed."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    folder: Path
    log: IO[bytes]
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self, **more: str) -> None:
        """Begin it; `more` goes into its environment this time."""
        self.process = subprocess.Popen(
            self.command, env={**self.environment, **more}, cwd=self.folder, stdout=self.log, stderr=self.log
        )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self, **more: str) -> None:
        """Kill it and begin it again."""
        self.end()
        self.start(**more)

    def end(self) -> None:
        """Kill it, and leave it dead."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)

    def died_by_itself(self, *, seconds: float) -> bool:
        """True when it killed itself within that time."""
        assert self.process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(seconds) == -signal.SIGKILL
        return False

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


@dataclass(kw_only=True)
class Site:
    """A vault with everything that can be broken about it."""

    url: str
    api: Kept
    worker: Kept
    s3: FaultProxy
    database: FaultProxy
    bucket: S3Server
    direct: Database
    """To PostgreSQL past the proxy, for whoever checks."""
    folder: Path

    @property
    def spool(self) -> Path:
        return Path(self.api.environment["SPOOL_DIR"])

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`platevault ARGUMENTS` with the settings of this vault."""
        return run_platevault(*arguments, environment=self.api.environment, folder=self.folder)


@asynccontextmanager
async def a_site(*, with_worker: bool = True, **settings: str) -> AsyncIterator[Site]:
    """Servers, migrated database, API and worker, all its own; `settings` are variables of the service."""
    with server_folder() as folder, _servers() as (database_url, s3):
        async with a_site_on(folder, database_url=database_url, s3=s3, with_worker=with_worker, **settings) as site:
            yield site


@asynccontextmanager
async def a_site_on(
    folder: Path, *, database_url: str, s3: S3Server, with_worker: bool = True, **settings: str
) -> AsyncIterator[Site]:
    """API and worker as real processes on these servers."""
    direct = Database.open(database_url, pool_size=2)
    await migrate(direct)
    parts = urlsplit(database_url)
    host, _, port = s3.endpoint.partition(":")
    assert parts.hostname is not None
    assert parts.port is not None
    async with (
        fault_proxy((parts.hostname, parts.port)) as to_database,
        fault_proxy((host, int(port))) as to_s3,
    ):
        api_port = free_port()
        behind = database_url.replace(f"{parts.hostname}:{parts.port}", to_database.address)
        environment = {
            **environment_for(behind, s3, folder),
            "MINIO_ENDPOINT": to_s3.address,
            "LOG_LEVEL": "warning",
            **settings,
        }
        with (folder / "api.log").open("ab") as api_log, (folder / "worker.log").open("ab") as worker_log:
            python = [sys.executable, "-m", "platevault"]
            serve = [*python, "serve", "--port", str(api_port)]
            api = Kept(name="api", command=serve, environment=environment, folder=folder, log=api_log)
            worker = Kept(
                name="worker", command=[*python, "worker"], environment=environment, folder=folder, log=worker_log
            )
            site = Site(
                url=f"http://127.0.0.1:{api_port}",
                api=api,
                worker=worker,
                s3=to_s3,
                database=to_database,
                bucket=s3,
                direct=direct,
                folder=folder,
            )
            try:
                api.start()
                if with_worker:
                    worker.start()
                await until_ready(site.url)
                yield site
            finally:
                await asyncio.to_thread(api.stop)
                await asyncio.to_thread(worker.stop)
                await direct.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_ready(url: str) -> None:
    """Return when `/readyz` says so; an AssertionError after 30 s."""
    async with httpx2.AsyncClient(timeout=2) as client:
        for _ in range(300):
            with contextlib.suppress(httpx2.TransportError):
                if (await client.get(f"{url}/readyz")).status_code == httpx2.codes.OK:
                    return
            await asyncio.sleep(0.1)
    raise AssertionError("the service is not ready")


@contextmanager
def _servers() -> Iterator[tuple[str, S3Server]]:
    with embedded_servers() as started:
        assert started.seaweed is not None
        yield started.postgres.url, s3_of(started.seaweed)
