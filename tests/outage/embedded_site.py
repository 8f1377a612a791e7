"""`platevault serve --embedded` as a real process, its children by name, and what its readers see all the while."""

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import psutil
from dotenv import dotenv_values

from platevault.infra.postgres.database import Database
from tests.outage.site import Kept, free_port
from tests.support.processes import COLLECTOR_TOKEN, LOOKING, VIEWER_TOKEN, inherited_environment
from tests.support.servers import S3Server

POSTGRES: Final = "postgres"
S3_SERVER: Final = "weed"
READY_WITHIN_SECONDS: Final = 90.0
LOOK_EVERY_SECONDS: Final = 0.2


@dataclass(kw_only=True)
class EmbeddedSite:
    """An embedded vault: one process that has started all others."""

    url: str
    serve: Kept
    data_dir: Path
    log: Path

    @property
    def spool(self) -> Path:
        return self.data_dir / "spool"

    def child(self, name: str) -> psutil.Process | None:
        """The server of that name; None while it does not run."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in psutil.Process(self.serve.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if one.status() != psutil.STATUS_ZOMBIE and Path(one.cmdline()[0]).name == name:
                        return one
        return None

    def database(self) -> Database:
        """To its PostgreSQL past the service, for the checker."""
        return Database.open(str(self._environment()["DATABASE_URL"]), pool_size=2)

    def bucket(self) -> S3Server:
        """Its bucket, with the identity of the service alone."""
        told = self._environment()
        key, secret = str(told["MINIO_ACCESS_KEY"]), str(told["MINIO_SECRET_KEY"])
        names = {f"{name}access_key": key for name in ("", "admin_", "presign_", "upload_")}
        names |= {f"{name}secret_key": secret for name in ("", "admin_", "presign_", "upload_")}
        return S3Server(
            endpoint=str(told["MINIO_ENDPOINT"]),
            region=str(told["MINIO_REGION"]),
            bucket=str(told["MINIO_BUCKET"]),
            **names,
        )

    def _environment(self) -> dict[str, str | None]:
        return dotenv_values(self.data_dir / "embedded.env")

    def postgres_said(self, word: str) -> int:
        """How often the log of PostgreSQL has the word."""
        return sum(path.read_text(errors="replace").count(word) for path in self.data_dir.glob("postgres/*.log*"))

    async def ready(self) -> dict[str, Any]:
        """What `/readyz` says; empty while nothing answers."""
        async with httpx2.AsyncClient(timeout=20) as client:
            with contextlib.suppress(httpx2.TransportError):
                body: dict[str, Any] = (await client.get(f"{self.url}/readyz")).json()
                return body
        return {}

    async def until_it_answers(self) -> None:
        """Return when `/healthz` does."""
        async with httpx2.AsyncClient(timeout=5) as client:
            for _ in range(int(READY_WITHIN_SECONDS * 10)):
                with contextlib.suppress(httpx2.TransportError):
                    if (await client.get(f"{self.url}/healthz")).status_code == httpx2.codes.OK:
                        return
                await asyncio.sleep(0.1)
        raise AssertionError(f"it does not answer: {self.log.read_text()[-2000:]}")


@asynccontextmanager
async def embedded_site(folder: Path, **settings: str) -> AsyncIterator[EmbeddedSite]:
    """An embedded vault in `folder`/vault that answers; `settings` are variables of the service."""
    port, log = free_port(), folder / "serve.log"
    data_dir = folder / "vault"
    environment = {
        **inherited_environment(),
        "HOME": str(folder),
        "COLLECTOR_TOKEN": COLLECTOR_TOKEN,
        "VIEWER_TOKEN": VIEWER_TOKEN,
        "LOG_LEVEL": "warning",
        **settings,
    }
    command = [sys.executable, "-m", "platevault", "serve", "--embedded", "--data-dir", str(data_dir)]
    with log.open("ab") as out:
        serve = Kept(
            name="serve", command=[*command, "--port", str(port)], environment=environment, folder=folder, log=out
        )
        site = EmbeddedSite(url=f"http://127.0.0.1:{port}", serve=serve, data_dir=data_dir, log=log)
        try:
            serve.start()
            await site.until_it_answers()
            yield site
        finally:
            await asyncio.to_thread(serve.stop)


@dataclass(kw_only=True)
class Looks:
    """How reads were answered: path → status → number. 0 is a connection that broke."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)

    def took(self, path: str, status: int) -> None:
        self.statuses.setdefault(path, Counter())[status] += 1

    def number(self) -> int:
        return sum(one.total() for one in self.statuses.values())

    def refused(self) -> int:
        return sum(
            number for one in self.statuses.values() for status, number in one.items() if status != httpx2.codes.OK
        )


@asynccontextmanager
async def looking_at(site: EmbeddedSite, detection_id: str) -> AsyncIterator[Looks]:
    """Read the list, the detection and its image again and again for the length of the block."""
    looks = Looks()
    paths = {
        "list": "/v1/detections",
        "detection": f"/v1/detections/{detection_id}",
        "image": f"/v1/detections/{detection_id}/images/full",
    }

    async def read() -> None:
        async with httpx2.AsyncClient(headers=LOOKING, timeout=20, follow_redirects=True) as client:
            while True:
                for name, path in paths.items():
                    try:
                        looks.took(name, (await client.get(site.url + path)).status_code)
                    except httpx2.TransportError:
                        looks.took(name, 0)
                await asyncio.sleep(LOOK_EVERY_SECONDS)

    task = asyncio.create_task(read())
    try:
        yield looks
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
