"""PostgreSQL and an S3 server under one data folder, started and stopped together."""

import errno
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from platevault.domain.errors import SettingsInvalid
from platevault.embedded.postgres import EmbeddedPostgres, start_postgres
from platevault.embedded.processes import take_folder
from platevault.embedded.seaweedfs import EmbeddedSeaweed, find_program, start_seaweed
from platevault.infra.disk.local_disk import make_folder
from platevault.infra.disk.private_files import load_or_create, new_secret, write_private
from platevault.infra.disk.reserve import refuse_start_without_room

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What was started. `environment` are the variables that join it; `admin` the ones that only set-up needs.

    Both survive a restart unchanged, and `environment` stands in `<data folder>/embedded.env` too. `seaweed` is None where its
    wheel is missing; images go to a local folder then.
    """

    environment: Mapping[str, str]
    admin: Mapping[str, str]
    postgres: EmbeddedPostgres
    seaweed: EmbeddedSeaweed | None
    lock: IO[str]

    @property
    def servers(self) -> dict[str, EmbeddedPostgres | EmbeddedSeaweed]:
        """Name → server, of those that run as child processes."""
        return {"PostgreSQL": self.postgres} | ({} if self.seaweed is None else {"S3 server": self.seaweed})

    def stop(self) -> None:
        """None of it runs afterwards, the data is on disk, and the folder is free for another start."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            stops = [pool.submit(server.stop) for server in (self.postgres, self.seaweed) if server is not None]
        self.lock.close()
        for stop in stops:
            stop.result()


def start_embedded(data_dir: Path, *, bucket: str, durable: bool = True) -> Embedded:
    """Both servers on this folder, with the ports, keys and data of the start before, whichever way that one ended.

    `durable=False` is for tests: PostgreSQL does not sync. Raises `SettingsInvalid` when another process has the folder, a wheel
    is missing, a port is taken or the folder cannot be used, `Unavailable` when a server does not come up.
    """
    try:
        return _started(data_dir.absolute(), bucket=bucket, durable=durable)
    except OSError as error:
        raise SettingsInvalid(_why_unusable(data_dir.absolute(), error)) from error


def _why_unusable(data_dir: Path, error: OSError) -> str:
    where = error.filename or data_dir
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of {data_dir} is full ({where}): free some space, or choose another --data-dir"
    return f"{data_dir} cannot be used ({where}: {error.strerror}): mend that, or choose another --data-dir"


def _started(data_dir: Path, *, bucket: str, durable: bool) -> Embedded:
    _make_data_folder(data_dir)
    lock = take_folder(data_dir)
    try:
        refuse_start_without_room(data_dir)
        postgres, seaweed = _start_both(data_dir, bucket=bucket, durable=durable)
    except BaseException:
        lock.close()
        raise
    environment = _environment(data_dir, postgres, seaweed, bucket=bucket)
    started = Embedded(
        environment=environment,
        admin=_admin(seaweed),
        postgres=postgres,
        seaweed=seaweed,
        lock=lock,
    )
    lines = "".join(f"{name}={_quoted(value)}\n" for name, value in environment.items())
    try:
        write_private(data_dir / "embedded.env", lines)
    except BaseException:
        started.stop()
        raise
    return started


def _make_data_folder(data_dir: Path) -> None:
    made = [path for path in (data_dir, *data_dir.parents) if not path.exists()]
    make_folder(data_dir)
    if os.geteuid() == 0:  # PostgreSQL runs as another user then, who passes through
        for path in {data_dir, *made}:
            path.chmod(path.stat().st_mode | 0o011)


def _start_both(data_dir: Path, *, bucket: str, durable: bool) -> tuple[EmbeddedPostgres, EmbeddedSeaweed | None]:
    """Start both at the same time. If one fails, or a signal comes in between, the other one is stopped."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        first = pool.submit(start_postgres, data_dir / "postgres", durable=durable)
        second = pool.submit(start_seaweed, data_dir / "seaweed", bucket=bucket) if find_program() else None
        try:
            return first.result(), None if second is None else second.result()
        except BaseException:
            for future in (first, second):
                if future is not None and future.exception() is None:
                    future.result().stop()
            raise


def _environment(
    data_dir: Path,
    postgres: EmbeddedPostgres,
    seaweed: EmbeddedSeaweed | None,
    *,
    bucket: str,
) -> dict[str, str]:
    saved = load_or_create(data_dir / "saved.json", lambda: {"url_signing_key": new_secret()})
    shared = {
        "DATABASE_URL": postgres.url,
        "SPOOL_DIR": str(data_dir / "spool"),
        "URL_SIGNING_KEY": saved["url_signing_key"],
        "MINIO_BUCKET": bucket,
    }
    if seaweed is None:
        return shared | {"STORAGE_BACKEND": "local", "LOCAL_STORAGE_DIR": str(data_dir / "images")}
    return shared | {
        "STORAGE_BACKEND": "s3",
        "STORAGE_SYNC_DIR": str(seaweed.data),
        "MINIO_ENDPOINT": seaweed.endpoint,
        "MINIO_SECURE": "false",
        "MINIO_REGION": seaweed.region,
        "MINIO_ACCESS_KEY": seaweed.service.access_key,
        "MINIO_SECRET_KEY": seaweed.service.secret_key,
        "MINIO_PRESIGN_ACCESS_KEY": seaweed.presign.access_key,
        "MINIO_PRESIGN_SECRET_KEY": seaweed.presign.secret_key,
        "MINIO_UPLOAD_ACCESS_KEY": seaweed.upload.access_key,
        "MINIO_UPLOAD_SECRET_KEY": seaweed.upload.secret_key,
    }


def _admin(seaweed: EmbeddedSeaweed | None) -> dict[str, str]:
    if seaweed is None:
        return {}
    return {
        "MINIO_ADMIN_ACCESS_KEY": seaweed.admin.access_key,
        "MINIO_ADMIN_SECRET_KEY": seaweed.admin.secret_key,
    }


def _quoted(value: str) -> str:
    """As a shell and python-dotenv both read it."""
    if _PLAIN.fullmatch(value):
        return value
    if "'" not in value:
        return f"'{value}'"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
