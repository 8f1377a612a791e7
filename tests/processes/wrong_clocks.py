"""Wrong clocks for tests: processes that believe another time, and a proxy that tells another `Date` than its server."""

import contextlib
import re
import shutil
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.util import find_spec
from pathlib import Path

_DATE = re.compile(rb"(?<=\r\nDate: )[^\r\n]+", re.IGNORECASE)


def shifted(shift: str, *, folder: Path) -> dict[str, str]:
    """Variables of a process whose clock is off by `shift` (`-1h`, `+400d`); waits and timeouts stay right.

    The library is copied to `folder`, so that a server of another user can read it.
    """
    found = find_spec("libfaketime")
    assert found is not None
    assert found.origin is not None
    library = folder / "libfaketime.so.1"
    shutil.copy(Path(found.origin).parent / "vendor/libfaketime/src/libfaketime.so.1", library)
    library.chmod(0o755)
    return {"LD_PRELOAD": str(library), "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}


@contextmanager
def with_other_date(endpoint: str, off: timedelta) -> Iterator[str]:
    """`host:port` of a proxy in front of `endpoint` whose answers have a `Date` that is `off`."""
    host, _, port = endpoint.rpartition(":")

    class Through(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, int(port))) as server:
                back = threading.Thread(target=_pass, args=(server, self.request, off), daemon=True)
                back.start()
                _pass(self.request, server, None)
                back.join(5)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Through) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{proxy.server_address[1]}"
        finally:
            proxy.shutdown()


def _pass(source: socket.socket, target: socket.socket, off: timedelta | None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if off is not None:
                date = format_datetime(datetime.now(UTC) + off, usegmt=True).encode()
                data = _DATE.sub(date, data, count=1)
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
