"""Bind the socket of `serve` before other parts start."""

import errno
import socket
from typing import Final

from platevault.domain.errors import SettingsInvalid

# The kernel takes no more of an answer than this ahead of a slow client. Without a limit it takes megabytes for each one, at once.
UNSENT_BYTES_MAX: Final = 128 * 1024


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address. It does not listen yet: connections are refused until it does.

    Raises `SettingsInvalid`, which names `--port` or `--host`, if the address is in use or not local.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise SettingsInvalid(f"{host} is not an address of this machine: choose another with --host (HOST)") from error
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # connections get it from here
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
    bound.set_inheritable(True)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise SettingsInvalid(_why(error, host, port)) from error
    return bound


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is taken by another program: stop it, or choose another port with --port (PORT)"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than this user has: choose one above 1023 with --port (PORT)"
    return f"{host} is not an address of this machine: choose another with --host (HOST)"
