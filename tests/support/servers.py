"""Real servers for the tests: one of each per session, on free ports, in temporary folders, stopped by pid."""

import http.client
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import asyncpg
import urllib3
from minio import Minio
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException
from minio.minioadmin import MinioAdmin

from platevault.domain.errors import SettingsInvalid, Unavailable
from platevault.embedded.cluster import Embedded, start_embedded
from platevault.embedded.processes import Child, Command
from platevault.embedded.seaweedfs import EmbeddedSeaweed
from platevault.infra.disk.private_files import free_ports
from platevault.infra.objectstore.admin.policies import policies_for

BUCKET = "alpr-images"


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """Where an S3 server is, and the keys of each identity; its bucket exists."""

    endpoint: str
    region: str
    bucket: str
    admin_access_key: str
    admin_secret_key: str
    access_key: str
    secret_key: str
    presign_access_key: str
    presign_secret_key: str
    upload_access_key: str
    upload_secret_key: str

    def client(self, identity: str = "service") -> Minio:
        """The MinIO SDK as `service`, `presign`, `upload` or `admin`; it tries once."""
        prefix = "" if identity == "service" else f"{identity}_"
        return Minio(
            self.endpoint,
            access_key=getattr(self, f"{prefix}access_key"),
            secret_key=getattr(self, f"{prefix}secret_key"),
            secure=False,
            region=self.region,
            http_client=urllib3.PoolManager(retries=urllib3.Retry(0)),
        )


class PostgresServer(Protocol):
    """A PostgreSQL that this session may do anything with."""

    @property
    def superuser_url(self) -> str: ...

    def url_of(self, name: str) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Databases:
    """A PostgreSQL as a maker of databases."""

    server: PostgresServer

    async def create_database(self, name: str, template: str | None = None) -> str:
        """A new database, empty or a copy of the template (which nobody may be connected to); its URL for SQLAlchemy."""
        origin = f' TEMPLATE "{template}" STRATEGY file_copy' if template else ""
        await self._execute(f'CREATE DATABASE "{name}" OWNER platevault{origin}')
        return self.server.url_of(name)

    async def drop_database(self, name: str) -> None:
        """It does not exist afterwards; who is connected is cut off."""
        await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @asynccontextmanager
    async def a_database(self, template: str | None = None) -> AsyncIterator[str]:
        """The URL of a database that exists within."""
        name = f"test_{uuid.uuid4().hex}"
        yield await self.create_database(name, template)
        await self.drop_database(name)

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.server.superuser_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def server_folder() -> Iterator[Path]:
    """A temporary folder that other users can pass through: as root, PostgreSQL runs as one of them."""
    folder = Path(tempfile.mkdtemp(prefix="platevault test "))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def embedded_servers() -> Iterator[Embedded]:
    """PostgreSQL (without syncing, for speed) and SeaweedFS."""
    with server_folder() as folder:
        servers = _started(folder)
        try:
            yield servers
        finally:
            if servers.seaweed is not None:  # it takes its time to stop, and this folder goes anyway
                with suppress(ProcessLookupError):
                    os.kill(servers.seaweed.child.pid, signal.SIGKILL)
            servers.stop()


def _started(folder: Path) -> Embedded:
    """Sessions that begin at one moment may choose the same port before either listens there: then once more, with others."""
    for name in ("data", "data of a second try"):
        try:
            return start_embedded(folder / name, bucket=BUCKET, durable=False)
        except (SettingsInvalid, Unavailable) as error:
            if not any(word in str(error) for word in ("is taken by another program", "address already in use")):
                raise
    return start_embedded(folder / "data of a third try", bucket=BUCKET, durable=False)


def s3_of(seaweed: EmbeddedSeaweed) -> S3Server:
    """The embedded SeaweedFS, with its bucket made."""
    server = S3Server(
        endpoint=seaweed.endpoint,
        region=seaweed.region,
        bucket=seaweed.bucket,
        admin_access_key=seaweed.admin.access_key,
        admin_secret_key=seaweed.admin.secret_key,
        access_key=seaweed.service.access_key,
        secret_key=seaweed.service.secret_key,
        presign_access_key=seaweed.presign.access_key,
        presign_secret_key=seaweed.presign.secret_key,
        upload_access_key=seaweed.upload.access_key,
        upload_secret_key=seaweed.upload.secret_key,
    )
    if not server.client("admin").bucket_exists(server.bucket):
        server.client("admin").make_bucket(server.bucket)
    return server


def find_minio() -> Path | None:
    """The `minio` of PLATEVAULT_MINIO_BINARY, of PATH, or where `go install` puts it."""
    candidates = [os.environ.get("PLATEVAULT_MINIO_BINARY"), shutil.which("minio")]
    if (go := shutil.which("go")) is not None:
        told = subprocess.run([go, "env", "GOPATH"], capture_output=True, text=True, check=False)
        candidates.append(str(Path(told.stdout.strip()) / "bin" / "minio"))
    return next((Path(found) for found in candidates if found and os.access(found, os.X_OK)), None)


@contextmanager
def minio_server(program: Path, **environment: str) -> Iterator[S3Server]:
    """A MinIO server with the same bucket, and the same rights for the same identities, as the embedded one."""
    port, console = free_ports(2)
    identities = new_identities()
    with server_folder() as folder:
        child = Child.start(
            Command(
                name="minio",
                arguments=(
                    *(str(program), "server", "--address", f"127.0.0.1:{port}"),
                    *("--console-address", f"127.0.0.1:{console}", "data"),
                ),
                folder=folder,
                runs_in=folder,
                environment={
                    "PATH": os.defpath,
                    "HOME": str(folder),
                    "MINIO_ROOT_USER": identities["admin_access_key"],
                    "MINIO_ROOT_PASSWORD": identities["admin_secret_key"],
                    "MINIO_BROWSER": "off",
                    "MINIO_UPDATE": "off",
                    **environment,
                },
                stop_signal=signal.SIGTERM,
                stop_within=5.0,
            ),
        )
        try:
            child.wait_until(lambda: _is_alive(int(port)), timeout=30.0)
            yield with_identities(f"127.0.0.1:{port}", identities)
        finally:
            child.stop()


def new_identities() -> dict[str, str]:
    """`admin`, `service`, `presign` and `upload`, each with an access key and a secret that nobody had before."""
    return {
        f"{name}_{part}": secrets.token_hex(10 if part == "access_key" else 20)
        for name in ("admin", "service", "presign", "upload")
        for part in ("access_key", "secret_key")
    }


def with_identities(endpoint: str, identities: dict[str, str]) -> S3Server:
    root = StaticProvider(identities["admin_access_key"], identities["admin_secret_key"])
    admin = MinioAdmin(endpoint=endpoint, credentials=root, region="us-east-1", secure=False)
    for name, policy in policies_for(BUCKET).items():
        for left in (4, 3, 2, 1, 0):  # a server that has just started may load over it what it had before
            try:
                admin.policy_add(name, policy=policy)
                admin.user_add(identities[f"{name}_access_key"], identities[f"{name}_secret_key"])
                admin.policy_set(name, user=identities[f"{name}_access_key"])
                break
            except MinioAdminException:
                if not left:
                    raise
                time.sleep(0.5)
    server = S3Server(
        endpoint=endpoint,
        region="us-east-1",
        bucket=BUCKET,
        access_key=identities.pop("service_access_key"),
        secret_key=identities.pop("service_secret_key"),
        **identities,
    )
    server.client("admin").make_bucket(BUCKET)
    return server


def _is_alive(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/minio/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
