"""PostgreSQL's own pg_dump and pg_restore: found in a version that fits, and run with the password in the environment alone."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from sqlalchemy import text
from sqlalchemy.engine import make_url

from platevault.domain.errors import Corrupted, SettingsInvalid, Stopped
from platevault.embedded.postgres import MAJOR, find_wheel
from platevault.infra.postgres.database import Database

LOOK_EVERY_SECONDS: Final = 0.5
WITHIN_SECONDS: Final = 24 * 3600.0
LOCK_WAIT_MILLISECONDS: Final = 30_000
_BESIDE: Final = {
    "pg_dump": "dump inside the server's container and give the file with --dump",
    "pg_restore": "restore the rest with --no-database, and database.dump inside the server's container",
}
_DEBIAN: Final = Path("/usr/lib/postgresql")
LINE_BYTES_MOST: Final = 16 * 1024 * 1024
_COPIED: Final = re.compile(r"COPY public\.images \((.*)\) FROM stdin;")
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_SERVER: Final = text("SELECT current_setting('server_version_num')::int / 10000")
_TABLES: Final = text("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
# libpq's variables, by the names that URLs of asyncpg use.
_SSL_MODES: Final = {"true": "require", "false": "disable"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """A dump for pg_restore: its file, or `pour`, which writes the decrypted bytes of an encrypted one to a pipe."""

    path: Path
    pour: Callable[[Any], None] | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        return (str(self.path),) if self.pour is None else ()


async def dump_database(
    database: Database, url: str, *, into: Path, keep_room: Callable[[], None] = lambda: None
) -> None:
    """A dump (custom format) of one moment stands in this file. Raises `SettingsInvalid` without a fitting pg_dump, `Stopped` when
    it fails, `DatabaseUnavailable`. `keep_room` is asked all the while, and what it raises ends the dump.
    """
    program = await _find("pg_dump", at_least=await _major_of(database))
    await _run(
        program,
        *("--format=custom", f"--lock-wait-timeout={LOCK_WAIT_MILLISECONDS}", f"--file={into}"),
        environment=_environment(url),
        look=keep_room,
    )
    await asyncio.to_thread(into.chmod, 0o600)


async def pour_database(
    database: Database, url: str, *, take: Callable[[BinaryIO], None], keep_room: Callable[[], None] = lambda: None
) -> None:
    """Pass a dump of one moment to `take`, in a thread, as pg_dump writes it. No plain file is written.

    Raises the errors of `dump_database` and of `take`.
    """
    program = await _find("pg_dump", at_least=await _major_of(database))
    options = ("--format=custom", f"--lock-wait-timeout={LOCK_WAIT_MILLISECONDS}")
    await _run(program, *options, environment=_environment(url), look=keep_room, take=take)


async def refuse_filled(database: Database) -> None:
    """Raise `Stopped` where tables stand in the database already, `SettingsInvalid` without a pg_restore that fits it."""
    await _find("pg_restore", at_least=await _major_of(database))
    async with database.reading() as connection:
        tables = (await connection.execute(_TABLES)).scalar_one()
    if tables:
        raise Stopped(
            f"the database has {tables} tables: restore into an empty one "
            "(createdb, and let DATABASE_URL name it; with --embedded, another --data-dir)"
        )


async def restore_database(
    database: Database, url: str, *, dump: Dump, keep_room: Callable[[], None] = lambda: None
) -> None:
    """All of the dump is in the database, or nothing. Raises `Stopped` where tables stand there already or it fails.

    `keep_room` is called again and again, and its error ends the restore.
    """
    await refuse_filled(database)
    program = await _find("pg_restore", at_least=await _major_of(database))
    options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
    environment = _environment(url)
    into = f"--dbname={environment['PGDATABASE']}"
    await _run(program, *options, into, *dump.arguments, environment=environment, pour=dump.pour, look=keep_room)


async def refuse_unreadable_dump(dump: Dump) -> bool:
    """Raise `Corrupted` when pg_restore cannot read it to its end; False when no pg_restore is here to ask.

    `--list` alone would not do: what it reads stands at the file's beginning.
    """
    try:
        program = await _find("pg_restore", at_least=0)
    except SettingsInvalid:
        return False
    try:
        await _run(program, f"--file={os.devnull}", *dump.arguments, environment=_plain(), pour=dump.pour)
    except (Stopped, Corrupted) as error:
        raise Corrupted(f"{dump.path.name}: {error}") from error
    return True


async def images_in(dump: Dump) -> AsyncIterator[Mapping[str, str]]:
    """The rows of `images` in the dump, each column as COPY writes it. None come where no pg_restore is here, or the dump ends early:
    `refuse_unreadable_dump` says so.
    """
    try:
        program = await _find("pg_restore", at_least=0)
    except SettingsInvalid:
        return
    piped = _Piped.to(dump.pour)
    running = await asyncio.create_subprocess_exec(
        program,
        *("--data-only", "--schema=public", "--table=images", "--file=-", *dump.arguments),
        env=_plain(),
        stdin=piped.their_end,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=LINE_BYTES_MOST,
    )
    assert running.stdout is not None
    working = piped.begin()
    try:
        columns: list[str] | None = None
        is_over = False
        async for line in running.stdout:  # to the end of what it writes, so that it ends by itself
            told = line.decode(errors="replace").rstrip("\n")
            if columns is None:
                match = _COPIED.fullmatch(told)
                columns = None if match is None else match[1].split(", ")
            elif is_over or told == "\\.":
                is_over = True
            else:
                yield dict(zip(columns, told.split("\t"), strict=False))
    finally:
        if not running.stdout.at_eof():  # to kill what has ended already would take its end from asyncio, which says so
            with contextlib.suppress(ProcessLookupError):
                running.kill()
        await running.wait()
        await asyncio.wait({working})
    working.result()


async def _major_of(database: Database) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(_SERVER)).scalar_one())


async def _find(name: str, *, at_least: int) -> Path:
    """The first that is new enough: of PATH, of the embedded PostgreSQL, of Debian's packages. Any will do for 0: then the newest."""
    found: list[tuple[int, Path]] = []
    for path in _candidates(name):
        said = await _said(path)
        if (match := _VERSION.search(said)) is not None:
            found.append((int(match[1]), path))
    fitting = [path for major, path in found if major >= at_least]
    if not fitting:
        there = ", ".join(f"{path} is {major}" for major, path in found) or "none is here"
        raise SettingsInvalid(
            f"{name} of PostgreSQL {at_least} or newer is needed ({there}): install postgresql-client-{at_least}, put it on PATH,"
            f" or {_BESIDE[name]}"
        )
    return max(found)[1] if not at_least else fitting[0]


def _candidates(name: str) -> Iterator[Path]:
    if (on_path := shutil.which(name)) is not None:
        yield Path(on_path)
    if (wheel := find_wheel()) is not None:
        yield wheel / f"pginstall{MAJOR}" / "bin" / name
    yield from sorted(_DEBIAN.glob(f"*/bin/{name}"), reverse=True)


async def _said(program: Path) -> str:
    try:
        asked = await asyncio.create_subprocess_exec(
            program, "--version", env=_plain(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        return ""
    return (await asked.communicate())[0].decode(errors="replace")


async def _run(
    program: Path,
    *arguments: str,
    environment: dict[str, str],
    look: Callable[[], None] = lambda: None,
    pour: Callable[[Any], None] | None = None,
    take: Callable[[BinaryIO], None] | None = None,
) -> None:
    """Run the program to its end. `pour` writes its standard input, `take` reads its standard output, each in a thread.

    If `pour` fails, the program is killed before its input ends, because a cut dump can look whole.
    """
    piped = _Piped.to(pour) if take is None else _Piped.of(take)
    running = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL if pour is None else piped.their_end,
        stdout=asyncio.subprocess.DEVNULL if take is None else piped.their_end,
        stderr=asyncio.subprocess.PIPE,
    )
    ending = asyncio.ensure_future(running.communicate())
    working = piped.begin(kill=running.kill)
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            while not (await asyncio.wait({ending}, timeout=LOOK_EVERY_SECONDS))[0]:
                look()
    except TimeoutError as error:
        raise Stopped(f"{program.name} did not end within a day") from error
    finally:
        if running.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                running.kill()
        _, errors = await ending
        await asyncio.wait({working})
    working.result()
    if running.returncode != 0:
        raise Stopped(f"{program.name} failed: {_first_errors(errors.decode(errors='replace'), program.name)}")


class _Piped:
    """A pipe between a program and a thread of this process."""

    def __init__(self, work: Callable[[Any], None] | None, *, writes: bool) -> None:
        self._work, self._writes = work, writes
        self.their_end = subprocess.DEVNULL
        if work is not None:
            reading, writing = os.pipe()
            self.their_end, self._our_end = (reading, writing) if writes else (writing, reading)

    @classmethod
    def to(cls, pour: Callable[[Any], None] | None) -> "_Piped":
        return cls(pour, writes=True)

    @classmethod
    def of(cls, take: Callable[[Any], None]) -> "_Piped":
        return cls(take, writes=False)

    def begin(self, *, kill: Callable[[], None] = lambda: None) -> "asyncio.Future[None]":
        """Start the thread, after the program was started. Without work there is none."""
        if self._work is None:
            done = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        os.close(self.their_end)
        return asyncio.ensure_future(asyncio.to_thread(self._use, self._work, kill))

    def _use(self, work: Callable[[Any], None], kill: Callable[[], None]) -> None:
        with os.fdopen(self._our_end, "wb" if self._writes else "rb", 0 if self._writes else -1) as pipe:
            try:
                work(_UntilItEnds(pipe) if self._writes else pipe)
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    kill()
                raise


class _UntilItEnds:
    """The input of a program that may end early. The rest is dropped, after the writer has checked it."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        with contextlib.suppress(BrokenPipeError):
            while left:
                left = left[self._pipe.write(left) :]
        return len(data)

    def flush(self) -> None:
        """The pipe has no buffer."""


def _first_errors(text_of_errors: str, name: str) -> str:
    """Its own sentences; what it quotes below them (DETAIL, CONTEXT) may be rows."""
    told = [line for line in text_of_errors.splitlines() if line.startswith(f"{name}: error:")]
    return " ".join(line.removeprefix(f"{name}: error: ") for line in told[:3]) or "it did not say why"


def _plain() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _environment(url: str) -> dict[str, str]:
    """What libpq reads; arguments stand in the list of processes for everybody."""
    parts = make_url(url)
    ssl = str(parts.query.get("ssl", ""))
    given = {
        "PGHOST": str(parts.query.get("host") or parts.host or ""),
        "PGPORT": str(parts.port or ""),
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
        "PGDATABASE": parts.database or "",
        "PGSSLMODE": _SSL_MODES.get(ssl, ssl),
        "PGAPPNAME": "platevault backup",
        "PGCONNECT_TIMEOUT": "10",
    }
    return _plain() | {name: value for name, value in given.items() if value}
