"""A vault of real processes on real servers with nothing in between, for what is measured rather than broken."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from platevault.embedded.cluster import Embedded
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.migrations import migrate
from tests.outage.proxy import FaultProxy, fault_proxy
from tests.outage.site import Kept, free_port, until_ready
from tests.outage.watching import resident_bytes
from tests.support.processes import environment_for
from tests.support.servers import S3Server, embedded_servers, s3_of, server_folder


@dataclass(kw_only=True)
class DirectSite:
    """The processes, where they listen, and what they cost."""

    address: str
    api: Kept
    worker: Kept
    database: Database
    spool: Path
    postgres_url: str
    store: FaultProxy | None = None
    """In front of the S3 server, where it was asked for."""

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def resident_bytes(self) -> int:
        """Memory of the api's processes, all of them."""
        return resident_bytes(self.api.pid)

    def spool_bytes(self) -> int:
        """What the spool holds or has promised."""
        return int.from_bytes((self.spool / "usage").read_bytes(), "big")


@asynccontextmanager
async def direct_site(*, faulty_store: bool = False, **settings: str) -> AsyncIterator[DirectSite]:
    """PostgreSQL, an S3 server, the api and a worker; `settings` are variables of the service."""
    with server_folder() as folder, embedded_servers() as servers:
        assert servers.seaweed is not None
        async with _proxied(s3_of(servers.seaweed), faulty=faulty_store) as store:
            endpoint = {} if store is None else {"MINIO_ENDPOINT": store.address}
            async with _site(folder, servers, settings={**endpoint, **settings}) as site:
                site.store = store
                yield site


@asynccontextmanager
async def _proxied(s3: S3Server, *, faulty: bool) -> AsyncIterator[FaultProxy | None]:
    if not faulty:
        yield None
        return
    host, _, port = s3.endpoint.rpartition(":")
    async with fault_proxy((host, int(port))) as proxy:
        yield proxy


@asynccontextmanager
async def _site(folder: Path, servers: Embedded, *, settings: Mapping[str, str]) -> AsyncIterator[DirectSite]:
    assert servers.seaweed is not None
    database = Database.open(servers.postgres.url, pool_size=2)
    await migrate(database)
    port = free_port()
    environment = {**environment_for(servers.postgres.url, s3_of(servers.seaweed), folder), **settings}
    with (folder / "api.log").open("ab") as api_log, (folder / "worker.log").open("ab") as worker_log:
        python = [sys.executable, "-m", "platevault"]
        serve = [*python, "serve", "--port", str(port)]
        api = Kept(name="api", command=serve, environment=environment, folder=folder, log=api_log)
        worker = Kept(
            name="worker", command=[*python, "worker"], environment=environment, folder=folder, log=worker_log
        )
        try:
            api.start()
            worker.start()
            site = DirectSite(
                address=f"127.0.0.1:{port}",
                api=api,
                worker=worker,
                database=database,
                spool=folder / "spool",
                postgres_url=servers.postgres.url,
            )
            await until_ready(site.url)
            yield site
        finally:
            await asyncio.to_thread(api.stop)
            await asyncio.to_thread(worker.stop)
            await database.close()
