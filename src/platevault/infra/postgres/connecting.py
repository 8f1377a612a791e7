"""Causes of a refused connection to PostgreSQL: one sentence each, with the fix, without names and secrets."""

import errno
import socket
from typing import Final

from platevault.domain.errors import DatabaseUnavailable

NO_ANSWER: Final = "the database did not answer in time"
_BY_STATE: Final = {
    "3D000": "the server has no database of the name in DATABASE_URL: correct the name, or create the database",
    "28P01": "the database refuses the role or the password in DATABASE_URL: correct them",
    "28000": "the database does not admit the role in DATABASE_URL: create the role, correct it, or allow it in pg_hba.conf",
    "42501": "the role in DATABASE_URL lacks a right in the database: grant it",
    "53300": "the database has no free connection: lower DB_POOL_SIZE, or raise max_connections",
    "57P03": "the database starts or stops at this moment: wait",
}
_REFUSED: Final = "nothing listens at the host and port in DATABASE_URL: start PostgreSQL, or correct them"
_UNKNOWN_HOST: Final = "the host name in DATABASE_URL is unknown: correct it"
_UNREACHABLE: Final = "no network leads to the host in DATABASE_URL: correct it, or the network"
# Until an operator has changed something.
_NEEDS_AN_OPERATOR: Final = frozenset({"3D000", "28P01", "28000", "42501"})
_CHAIN_MAX: Final = 8


def database_unavailable(error: BaseException) -> DatabaseUnavailable | None:
    """Return the error for the first known cause in the chain of this error; None if there is none."""
    seen: BaseException | None = error
    for _ in range(_CHAIN_MAX):
        if seen is None:
            return None
        state = getattr(seen, "sqlstate", None)
        if isinstance(state, str) and state in _BY_STATE:
            return DatabaseUnavailable(_BY_STATE[state], retry_after=30 if state in _NEEDS_AN_OPERATOR else 5)
        if isinstance(seen, OSError) and (why := _of_network(seen)) is not None:
            return DatabaseUnavailable(why, retry_after=5)
        seen = getattr(seen, "orig", None) or seen.__cause__ or seen.__context__
    return None


def _of_network(error: OSError) -> str | None:
    if isinstance(error, socket.gaierror):
        return _UNKNOWN_HOST
    # If a name has several addresses, one error quotes the errors of all.
    quoted = {number for number in (*_REFUSALS, *_NO_WAY) if f"[Errno {number}]" in str(error)}
    # A file that is missing, such as a certificate, has a name; the socket of a server that is not there has none.
    found = quoted if error.filename is not None else quoted | {error.errno}
    if found & _REFUSALS:
        return _REFUSED
    return _UNREACHABLE if found & _NO_WAY else None


_REFUSALS: Final = {errno.ECONNREFUSED, errno.ENOENT}  # ENOENT: of a socket file
_NO_WAY: Final = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN}
