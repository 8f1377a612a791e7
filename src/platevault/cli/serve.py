"""`platevault serve` and `platevault worker`."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import structlog
import typer
import uvicorn
from uvicorn.supervisors import Multiprocess

from platevault.app.commands import configure_embedded_bucket, start_logs, warn_of_full_disk
from platevault.app.open import open_database
from platevault.cli.listening import bound_socket
from platevault.domain.errors import SettingsInvalid, Unavailable
from platevault.embedded.start import embedded_servers, environment_of, own_worker
from platevault.logs import start_in_log
from platevault.provisioning.migrate import migrate, refuse_older_schema
from platevault.settings import Settings, read_settings, variables

log = structlog.get_logger(__name__)

# Requests under way; what the vault finishes after them takes a few seconds more, 20 in all.
STOP_WITHIN_SECONDS: Final = 12
# Collectors keep their connection between batches that are seconds apart.
KEEP_ALIVE_SECONDS: Final = 75
APP: Final = "platevault.web.app:build"
PROTOCOL: Final = "platevault.web.server.connections:DeadlineProtocol"
DESCRIPTORS_WANTED: Final = 8192
LOOPBACK: Final = "127.0.0.1"
PORT: Final = 8000

DataDir = Annotated[Path, typer.Option("--data-dir", help="With --embedded: where everything is kept.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on; HOST.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; PORT.")]


def serve(
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Start PostgreSQL and an S3 server too; needs no settings.")
    ] = False,
    data_dir: DataDir = Path("data"),
    host: Host = None,
    port: Port = None,
) -> None:
    """Take batches and answer reads, until SIGTERM or Ctrl-C."""
    leave_on_signals()
    if embedded:
        refuse_other_hosts(host)
        with (
            contextlib.closing(bound_socket(host or LOOPBACK, PORT if port is None else port)) as listening,
            embedded_environment(data_dir, host=host, port=port),
        ):
            run(read_settings(env_file=None, platevault_embedded=True), listening=listening)
        return
    with start_in_log("service cannot start"):
        settings = read_settings(**_given(host, port))
        os.environ.update(_given_as_environment(host, port))
        start_logs(settings)
        with contextlib.closing(bound_socket(settings.host, settings.port)) as listening:
            asyncio.run(_refuse_older_schema(settings))
            run(settings, listening=listening)


def worker() -> None:
    """Drain this node's spool and do what is due, until SIGTERM. Shares SPOOL_DIR with `serve` on the same machine."""
    os.execv(sys.executable, [sys.executable, "-m", "platevault.worker"])  # noqa: S606  this very interpreter, no shell


def refuse_other_hosts(host: str | None) -> None:
    """Raise `SettingsInvalid` if an embedded vault, which has no passwords, would listen beyond loopback."""
    if host not in (None, LOOPBACK, "localhost", "::1"):
        raise SettingsInvalid("--embedded serves this machine alone and asks for no password: --host must be 127.0.0.1")


@contextmanager
def embedded_environment(data_dir: Path, *, host: str | None, port: int | None) -> Iterator[None]:
    """Servers, bucket, schema and a worker of our own for the length of the block, with their settings in os.environ."""
    refuse_other_hosts(host)
    data_dir = data_dir.absolute()
    with embedded_settings(data_dir, given=_given_as_environment(host, port)) as (settings, admin):
        start_logs(settings)
        asyncio.run(_prepare(settings, admin=admin))
        with own_worker(data_dir, python=sys.executable):
            yield


@contextmanager
def embedded_settings(
    data_dir: Path, *, given: Mapping[str, str] | None = None
) -> Iterator[tuple[Settings, Mapping[str, str]]]:
    """Only the servers, for the length of the block, with their settings in os.environ: these, and the variables that set them up."""
    leave_on_signals()
    data_dir = data_dir.absolute()
    with embedded_servers(data_dir, bucket="alpr-images", note=_note) as started:
        environment = environment_of(started, data_dir=data_dir, inherited=os.environ, ours=variables())
        environment |= given or {}
        os.environ.clear()
        os.environ.update(environment)
        yield read_settings(env_file=None, platevault_embedded=True), started.admin


def leave_on_signals() -> None:
    """End this process with exit code 0 on SIGTERM, and on SIGHUP: a terminal that is closed ends what it started."""
    signal.signal(signal.SIGTERM, _leave)  # uvicorn raises it again once it has stopped
    signal.signal(signal.SIGHUP, lambda _number, _frame: signal.raise_signal(signal.SIGTERM))


def run(
    settings: Settings, *, beside: Coroutine[Any, Any, None] | None = None, listening: socket.socket | None = None
) -> None:
    """Serve until a signal; `beside` runs in the same loop and is cancelled at the end. `listening` is bound already."""
    _raise_descriptor_limit()
    leave_on_signals()
    warn_of_full_disk(settings)
    listening = listening or bound_socket(settings.host, settings.port)
    how: dict[str, Any] = {
        "factory": True,
        "host": settings.host,
        "port": settings.port,
        "http": PROTOCOL,
        "loop": "uvloop",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": list(settings.trusted_proxies) or None,
        "timeout_graceful_shutdown": STOP_WITHIN_SECONDS,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
    }
    if settings.workers > 1:
        log.info("starting", url=f"http://{settings.host}:{settings.port}", workers=settings.workers)
        _Workers(uvicorn.Config(APP, workers=settings.workers, **how), sockets=[listening]).run()
        return
    _Announcing(uvicorn.Config(APP, **how), beside=beside).run(sockets=[listening])


class _Workers(Multiprocess):
    """uvicorn's parent of several processes. SIGHUP ends it, as it ends a single process."""

    def handle_hup(self) -> None:
        self.handle_term()


class _Announcing(uvicorn.Server):
    """Says where it is once it listens, and runs what goes beside it."""

    def __init__(self, config: uvicorn.Config, *, beside: Coroutine[Any, Any, None] | None) -> None:
        super().__init__(config)
        self._beside = beside
        self._task: asyncio.Task[None] | None = None

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            log.info("ready", url=f"http://{self.config.host}:{self.config.port}")
            if self._beside is not None:
                self._task = asyncio.create_task(self._beside)
                self._task.add_done_callback(_say_why_it_ended)

    async def shutdown(self, sockets: Any = None) -> None:
        if self._task is not None:
            self._task.cancel()
        await super().shutdown(sockets=sockets)


async def _prepare(settings: Settings, *, admin: Mapping[str, str]) -> None:
    database = open_database(settings)
    try:
        await migrate(database)
    finally:
        await database.close()
    await configure_embedded_bucket(settings, admin=admin)


async def _refuse_older_schema(settings: Settings) -> None:
    database = open_database(settings)
    try:
        await refuse_older_schema(database)
    except Unavailable as error:
        log.warning("the database is not there yet; batches get 503 until it is", why=str(error))
    finally:
        await database.close()


def _raise_descriptor_limit() -> None:
    """As many file descriptors as the system lets us have, to what we can use: each connection takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _given(host: str | None, port: int | None) -> dict[str, Any]:
    return {name: value for name, value in (("host", host), ("port", port)) if value is not None}


def _given_as_environment(host: str | None, port: int | None) -> dict[str, str]:
    return {name.upper(): str(value) for name, value in _given(host, port).items()}


def _say_why_it_ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("what ran beside the service ended", why=str(error), error=type(error).__name__)


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _note(sentence: str) -> None:
    typer.echo(f"platevault: {sentence}", err=True)
