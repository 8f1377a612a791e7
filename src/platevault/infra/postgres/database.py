"""PostgreSQL: one pool, transactions that are retried where that is right, and its errors in our words."""

import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, cast

import asyncpg
import stamina
import structlog
from sqlalchemy import TextClause, event, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi, PGDialect_asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, PoolProxiedConnection, QueuePool

from platevault.domain.error_chain import names_of
from platevault.domain.errors import DatabaseUnavailable, InvalidRequest
from platevault.infra.postgres.connecting import NO_ANSWER, database_unavailable
from platevault.infra.postgres.read_gate import IDENTITY, ReadGate

log = structlog.get_logger(__name__)

POOL_TIMEOUT_SECONDS: Final = 5.0  # for a connection that is in use, and for a new one
STATEMENT_TIMEOUT_SECONDS: Final = 15.0
LOCK_TIMEOUT_MILLISECONDS: Final = 5_000
RETRIES: Final = 4
# After a failure callers are refused at once, but for one in so long, who finds out whether it is back: a database that is down
# must not hold every request for the length of a connect timeout, nor let each of them leave a file in the spool.
ASK_AGAIN_SECONDS: Final = 1.0
# Who asks how the database is does not wait behind those who use it, nor as long as they do.
ASIDE_TIMEOUT_SECONDS: Final = 2.0
# One for whoever asks whether it is there, one for whoever counts.
ASIDE_CONNECTIONS: Final = 2

_CONFLICTS = {"40001", "40P01"}  # serialization failure, deadlock
_WAITED_TOO_LONG = {"55P03", "57014"}  # lock not available, statement timeout
# connection exceptions, insufficient resources, operator intervention (shutdown, starting up), system error
_UNAVAILABLE_CLASSES = ("08", "53", "57P", "58")
_DATA = "22"
# wrong password, no such database, no such table or column or right, internal error: an operator's, and no batch is lost over it
_OUT_OF_ORDER = ("28", "3D", "42", "XX")
# a standby after a failover; a database that its operator closed to connections
_AWAY = {"25006", "55000"}

T = TypeVar("T")


class Conflict(Exception):
    """Two transactions stood in each other's way; the loser tries again."""


class Taken(Exception):
    """A key that the statement of `alone` would write is there already; nothing was written."""


class Database:
    """The one door to PostgreSQL: `transaction`, `reading`, `alone` and `rows` for one statement by itself, and for whoever has a
    connection of his own for long, `migrating`.
    """

    def __init__(
        self, engine: AsyncEngine, *, aside: "Database | None" = None, apart: "Database | None" = None
    ) -> None:
        self.gate = ReadGate()
        self._engine = engine
        self._aside = aside
        self._apart = apart
        self._is_down = False
        self._asked_at = 0.0
        self._callers = 0

    @classmethod
    def open(cls, url: str, *, pool_size: int) -> "Database":
        """A pool of at most `pool_size` connections; nothing is connected yet."""
        aside = cls(
            _engine(
                url,
                pool_size=ASIDE_CONNECTIONS,
                wait_seconds=ASIDE_TIMEOUT_SECONDS,
                statement_seconds=ASIDE_TIMEOUT_SECONDS,
            )
        )
        engine = _engine(
            url, pool_size=pool_size, wait_seconds=POOL_TIMEOUT_SECONDS, statement_seconds=STATEMENT_TIMEOUT_SECONDS
        )
        apart = cls(
            create_async_engine(
                url,
                poolclass=NullPool,
                hide_parameters=True,
                connect_args=_connect_args(wait_seconds=POOL_TIMEOUT_SECONDS, statement_seconds=ASIDE_TIMEOUT_SECONDS),
            )
        )
        database = cls(engine, aside=aside, apart=apart)
        aside.gate = apart.gate = database.gate
        event.listen(engine.sync_engine, "connect", database.gate.on_connect)
        return database

    async def identity(self) -> str:
        """Return what tells this database from another one, and from itself after its tables were restored."""
        async with self.reading() as connection:
            return str((await connection.execute(text(IDENTITY))).scalar_one())

    @property
    def aside(self) -> "Database":
        """The same database on two connections apart: it answers how things are while all others are in use."""
        return self._aside or self

    @property
    def apart(self) -> "Database":
        """The same database without a pool: each connection is made for whoever asks, and closed when he is done."""
        return self._apart or self

    def refuse_while_down(self) -> None:
        """Raise `DatabaseUnavailable` while attempts fail, but let one caller in a second try; costs no round trip."""
        if not self._is_down:
            return
        if time.monotonic() < self._asked_at + ASK_AGAIN_SECONDS:
            raise DatabaseUnavailable("the database did not answer a moment ago", retry_after=2)
        self._asked_at = time.monotonic()

    async def transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run `work` in one transaction and commit; on a deadlock or serialization failure run it again, whole.

        Raises `DatabaseUnavailable` where the outcome is no or unknown; `work` must therefore be safe to repeat.
        """

        async def run() -> T:
            async with self._errors_translated(), self._engine.begin() as connection:
                return await work(connection)

        return await self._repeated(run)

    async def alone(self, statement: TextClause, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The rows of one statement that is a transaction by itself, on a connection of the same pool.

        Repeated like the work of `transaction`, and raises the same, or `Taken`. One trip to the server, where BEGIN and COMMIT
        make three, and the driver is asked directly: between it and the caller SQLAlchemy costs several times what the driver does.
        """
        query, names = _for_the_driver(statement)
        return [dict(row) for row in await self.rows(query, [parameters[name] for name in names])]

    async def rows(self, query: str, values: Sequence[Any]) -> list[asyncpg.Record]:
        """The same for a statement that is written as the driver takes it, with $1, $2 … for its values: rows read by position."""

        async def run() -> list[asyncpg.Record]:
            async with self._errors_translated():
                try:
                    lent = await self._engine.raw_connection()
                except AsyncAdapt_asyncpg_dbapi.Error as error:  # the server refused; `connect` would have wrapped it
                    raise DBAPIError(None, None, error, hide_parameters=True) from error
                try:
                    return await self._fetch(lent, query, values)
                finally:
                    lent.close()

        return await self._repeated(run)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading, in a transaction of its own."""
        async with self._errors_translated(), self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose transactions are the caller's; it is closed afterwards, with what was set on it."""
        async with self._errors_translated(), self._engine.connect() as connection:
            try:
                yield connection
            finally:
                await connection.invalidate()

    async def close(self) -> None:
        for other in (self._aside, self._apart):
            if other is not None:
                await other.close()
        await self._engine.dispose()

    @property
    def pool_size(self) -> int:
        """Connections that there may be."""
        return cast(QueuePool, self._engine.pool).size()

    @property
    def in_use(self) -> int:
        """Connections that somebody has now."""
        return cast(QueuePool, self._engine.pool).checkedout()

    @property
    def waiting(self) -> int:
        """Callers that have no connection yet."""
        return max(0, self._callers - self.in_use)

    async def _repeated(self, run: Callable[[], Awaitable[T]]) -> T:
        """`run`, again after each conflict. Conflicts are rare: the machinery of trying again is set up after the first one."""
        try:
            return await run()
        except Conflict as error:
            first = error
        try:
            return await self._until_no_conflict(run, first)
        except Conflict as error:
            raise DatabaseUnavailable("too many transactions at once on the same rows", retry_after=2) from error

    async def _until_no_conflict(self, run: Callable[[], Awaitable[T]], first: Conflict) -> T:
        """From the pause after the first attempt on, which ended with `first`."""
        async for attempt in stamina.retry_context(
            on=Conflict,
            attempts=RETRIES,
            timeout=8.0,
            wait_initial=0.02,
            wait_max=0.5,
        ):
            with attempt:
                if attempt.num == 1:
                    raise first
                return await run()
        raise AssertionError("retry_context returns or raises")

    @asynccontextmanager
    async def _errors_translated(self) -> AsyncIterator[None]:
        self._callers += 1
        try:
            yield
        except DBAPIError as error:
            self._raise_in_our_words(error)
        except (
            OSError,
            TimeoutError,
            PoolTimeout,
            InterfaceError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,  # a server that said goodbye and has not hung up yet
            asyncpg.PostgresError,
        ) as error:
            self._failed()
            raise database_unavailable(error) or DatabaseUnavailable(NO_ANSWER, retry_after=5) from error
        else:
            self._is_down = False
        finally:
            self._callers -= 1

    async def _fetch(self, lent: PoolProxiedConnection, query: str, values: Sequence[Any]) -> list[asyncpg.Record]:
        driver = cast(asyncpg.Connection, lent.driver_connection)
        try:
            found: list[asyncpg.Record] = await driver.fetch(query, *values)
        except asyncpg.UniqueViolationError as error:
            raise Taken from error
        except asyncpg.PostgresError as error:
            closed = driver.is_closed()
            if closed:  # as SQLAlchemy does it: those that are as old may have lost their server too
                self._engine.pool._invalidate(lent, error)  # noqa: SLF001  it has no public name
            # As it would come out of SQLAlchemy; from here on it is one of its errors.
            raise DBAPIError(None, None, error, hide_parameters=True, connection_invalidated=closed) from error
        except BaseException:  # cut, too slow or cancelled: what still comes on this connection is nobody's answer
            lent.invalidate()
            raise
        return found

    def _failed(self) -> None:
        self._is_down = True
        self._asked_at = time.monotonic()

    def _raise_in_our_words(self, error: DBAPIError) -> None:
        state: str = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or ""
        if state in _CONFLICTS:
            raise Conflict from error
        if error.connection_invalidated or not state or state.startswith(_UNAVAILABLE_CLASSES) or state in _AWAY:
            self._failed()
            known = database_unavailable(error)
            raise known or DatabaseUnavailable(
                "the database is not there, or cannot be written", retry_after=5
            ) from error
        if state in _WAITED_TOO_LONG:
            raise DatabaseUnavailable("the database took too long", retry_after=5) from error
        if state.startswith(_DATA):
            raise InvalidRequest("a value is of a kind that the database cannot store") from error
        if (known := database_unavailable(error)) is not None:
            log.error("database refuses", sqlstate=state, why=str(known))
            raise known from error
        if state.startswith(_OUT_OF_ORDER):
            log.error("database out of order", sqlstate=state, error=names_of(error))
            raise DatabaseUnavailable("the database is not as this version needs it", retry_after=30) from error
        raise error


@functools.cache  # of statements that are constants of their modules
def _for_the_driver(statement: TextClause) -> tuple[str, tuple[str, ...]]:
    """(the statement with $1, $2 … for its parameters, their names in that order)."""
    compiled = statement.compile(dialect=PGDialect_asyncpg())  # type: ignore[no-untyped-call]
    return str(compiled), tuple(compiled.positiontup or ())


def _engine(url: str, *, pool_size: int, wait_seconds: float, statement_seconds: float) -> AsyncEngine:
    """Nobody waits longer than `wait_seconds` for a connection, be it in use or not to be had."""
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=wait_seconds,
        pool_use_lifo=True,
        hide_parameters=True,  # an error must not quote a plate
        connect_args=_connect_args(wait_seconds=wait_seconds, statement_seconds=statement_seconds),
    )


def _connect_args(*, wait_seconds: float, statement_seconds: float) -> dict[str, Any]:
    return {
        "timeout": wait_seconds,
        "command_timeout": statement_seconds * 4 / 3,
        "server_settings": {
            "application_name": "platevault",
            "statement_timeout": str(int(1000 * statement_seconds)),
            "lock_timeout": str(LOCK_TIMEOUT_MILLISECONDS),
            "idle_in_transaction_session_timeout": "30000",
            "timezone": "UTC",
            # Compiling a statement pays where one takes seconds; a search it would cost many times its own time.
            "jit": "off",
        },
    }
