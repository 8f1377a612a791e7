"""The ground that all candidates stand on: one PostgreSQL, S3 servers, and services as real processes."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
from tests.outage.site import free_port
from tests.support.processes import environment_for
from tests.support.servers import BUCKET, Databases, S3Server, find_minio, minio_server, s3_of, server_folder

from platevault.embedded.cluster import Embedded, start_embedded

READY_WITHIN_SECONDS: Final = 60.0
STORED_WITHIN_SECONDS: Final = 120.0
STOP_WITHIN_SECONDS: Final = 30.0
SINK_MILLISECONDS: Final = 8
ROOT: Final = Path(__file__).parents[1]
_LOUD: Final = re.compile(r'"level": ?"(warning|error|critical)"')
TARGETS: Final = ("seaweedfs", "minio", "sink", f"sink {SINK_MILLISECONDS} ms")


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Where the servers are; `folder` is for whoever runs on them."""

    folder: Path
    servers: Embedded


@contextmanager
def ground() -> Iterator[Ground]:
    """PostgreSQL, which syncs, and SeaweedFS."""
    with server_folder() as folder:
        servers = start_embedded(folder / "data", bucket=BUCKET, durable=True)
        try:
            yield Ground(folder=folder, servers=servers)
        finally:
            if servers.seaweed is not None:  # it takes its time to stop, and this folder goes anyway
                with contextlib.suppress(ProcessLookupError):
                    os.kill(servers.seaweed.child.pid, signal.SIGKILL)
            servers.stop()


@asynccontextmanager
async def s3_server(target: str, ground: Ground) -> AsyncIterator[S3Server | None]:
    """The S3 server of that name; None where this machine has none."""
    if target == "seaweedfs":
        seaweed = ground.servers.seaweed
        yield None if seaweed is None else s3_of(seaweed)
    elif target == "minio":
        program = find_minio()
        if program is None:
            yield None
        else:
            with minio_server(program) as server:
                yield server
    else:
        milliseconds = SINK_MILLISECONDS if target.endswith("ms") else 0
        port = free_port()
        command = [sys.executable, "-m", "bench.sink", str(port), "--milliseconds", str(milliseconds)]
        with running(command, environment=dict(os.environ), folder=ROOT, log=ground.folder / "sink.log"):
            await until_listening(port)
            yield _with_any_keys(f"127.0.0.1:{port}")


def _with_any_keys(endpoint: str) -> S3Server:
    names = [
        f"{prefix}{part}" for prefix in ("", "admin_", "presign_", "upload_") for part in ("access_key", "secret_key")
    ]
    return S3Server(endpoint=endpoint, region="us-east-1", bucket=BUCKET, **dict.fromkeys(names, "0123456789abcdef"))


@dataclass(kw_only=True)
class Running:
    """A service that is ready."""

    name: str
    address: str
    pid: int
    database_url: str
    environment: Mapping[str, str]
    seconds_to_ready: float
    """From the start of its process to the first 200 of /readyz."""
    log: Path

    def complaints(self) -> list[str]:
        """What it has logged as a warning or an error up to now."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if _LOUD.search(line)]

    async def connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.database_url.replace("+asyncpg", ""))

    async def pending(self) -> int:
        connection = await self.connect()
        try:
            return int(await connection.fetchval("SELECT count(*) FROM images WHERE state = 'pending'"))
        finally:
            await connection.close()

    async def until_stored(self) -> None:
        """No image waits for the bucket any more."""
        end = time.monotonic() + STORED_WITHIN_SECONDS
        while await self.pending():
            assert time.monotonic() < end, "images still wait for the bucket"
            await asyncio.sleep(0.05)


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A working tree of Platevault and the Python that has its libraries."""

    folder: Path
    python: Path


HERE: Final = Checkout(folder=ROOT, python=Path(sys.executable))
# A checkout fills its own schema, because a migration may add columns.
_FILL: Final = """
import asyncio, asyncpg, sys
from bench.filling import Rows, fill
async def main():
    connection = await asyncpg.connect(sys.argv[1].replace("+asyncpg", ""))
    await fill(connection, Rows(int(sys.argv[2])))
    await connection.close()
asyncio.run(main())
"""


@asynccontextmanager
async def platevault(
    ground: Ground, s3: S3Server, *, name: str, detections: int = 0, checkout: Checkout = HERE, **settings: str
) -> AsyncIterator[Running]:
    """`platevault serve` of the checkout, with a spool of its own and a database that holds so many detections."""
    async with _a_database(ground) as url:
        folder = ground.folder / f"{name} {uuid.uuid4().hex[:8]}".replace(" ", "-")
        folder.mkdir()
        port = free_port()
        environment = environment_for(url, s3, folder, **settings) | {"PYTHONPATH": str(checkout.folder)}
        await _finish([str(checkout.python), "-m", "platevault", "migrate"], environment, folder=folder)
        if detections:
            await _finish([str(checkout.python), "-c", _FILL, url, str(detections)], environment, folder=folder)
        command = [str(checkout.python), "-m", "platevault", "serve", "--port", str(port)]
        async with _service(command, environment, folder=folder, port=port, name=name, url=url) as service:
            yield service


async def _finish(command: list[str], environment: Mapping[str, str], *, folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, env=dict(environment), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        told, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    assert process.returncode == 0, f"{' '.join(command[1:])} ended with {process.returncode}: {told.decode()[-2000:]}"


@asynccontextmanager
async def tutorial(ground: Ground, s3: S3Server, *, name: str, **settings: str) -> AsyncIterator[Running]:
    """The usual tutorial's service under uvicorn[standard]."""
    async with _a_database(ground) as url:
        port = free_port()
        environment = environment_for(url, s3, ground.folder, **settings) | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "uvicorn", "bench.tutorial:app", "--port", str(port), "--no-access-log"]
        async with _service(command, environment, folder=ROOT, port=port, name=name, url=url) as service:
            yield service


@asynccontextmanager
async def _service(
    command: list[str], environment: dict[str, str], *, folder: Path, port: int, name: str, url: str
) -> AsyncIterator[Running]:
    log = Path(environment["HOME"]) / f"{name.replace(' ', '-')}.log"
    began = time.monotonic()
    with running(command, environment=environment, folder=folder, log=log) as process:
        await _until_ready(port, process=process, log=log)
        yield Running(
            name=name,
            address=f"127.0.0.1:{port}",
            pid=process.pid,
            database_url=url,
            environment=environment,
            seconds_to_ready=time.monotonic() - began,
            log=log,
        )


@asynccontextmanager
async def _a_database(ground: Ground) -> AsyncIterator[str]:
    databases = Databases(server=ground.servers.postgres)
    name = f"bench_{uuid.uuid4().hex}"
    yield await databases.create_database(name)
    await databases.drop_database(name)


@contextmanager
def running(
    command: list[str], *, environment: Mapping[str, str], folder: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The command for the length of the block."""
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=dict(environment), cwd=folder, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def until_listening(port: int) -> None:
    end = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port}")


async def _until_ready(port: int, *, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            if await _says_ready(port):
                return
        await asyncio.sleep(0.01)
    told = await asyncio.to_thread(log.read_text, encoding="utf-8", errors="replace")
    raise AssertionError(f"not ready: {told[-2000:]}")


async def _says_ready(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(5):
            return (await reader.readline()).startswith(b"HTTP/1.1 200")
    except TimeoutError:
        return False
    finally:
        writer.close()
