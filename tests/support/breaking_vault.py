"""A small vault over HTTP that breaks on purpose: what it has taken is in `taken`, so doubling shows."""

import hashlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from platevault.ingest.multipart import BodyParser, PartStarted, boundary_of


@dataclass(frozen=True, kw_only=True)
class Does:
    """One thing the vault does instead of what it should: answer with a status, or break the connection.

    `take`: it keeps the batch first, so that only the answer is lost.
    """

    status: int | None = None
    retry_after: str | None = None
    take: bool = False
    body: dict[str, Any] = field(default_factory=dict)


RESET_MID_BODY = Does()
LOSES_THE_ANSWER = Does(take=True)


@dataclass(kw_only=True)
class BreakingVault:
    """Does what `script` says, request by request (None: what it should), and then what a vault should. `says` overrules the status of an id."""

    url: str = ""
    script: list[Does | None] = field(default_factory=list)
    always: Does | None = None
    body_bytes_max: int | None = None
    says: dict[str, dict[str, Any]] = field(default_factory=dict)
    taken: dict[str, dict[str, bytes]] = field(default_factory=dict)
    batches: list[str] = field(default_factory=list)
    manifests: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> Does | None:
        with self.lock:
            return self.script.pop(0) if self.script else self.always

    def take(self, parts: dict[str, bytes]) -> dict[str, Any]:
        manifest = json.loads(parts["batch"])
        with self.lock:
            self.manifests.append(manifest)
            self.batches.append(manifest["batch_id"])
            entries = [self._entry(one, parts) for one in manifest["detections"]]
        return {
            "batch_id": manifest["batch_id"],
            "collector_id": manifest["collector_id"],
            "durability": "spooled",
            "detections": entries,
        }

    def _entry(self, one: dict[str, Any], parts: dict[str, bytes]) -> dict[str, Any]:
        name = one["detection_id"]
        images = {kind: parts[f"{name}_{kind}"] for kind in one["images"]}
        for kind, data in images.items():
            assert one["images"][kind] == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        told = {"detection_id": name, "images": {kind: {"state": "pending"} for kind in images}}
        if name in self.says:
            return told | {"status": "created"} | self.says[name]
        told["status"] = "duplicate" if name in self.taken else "created"
        self.taken.setdefault(name, images)
        return told


@contextmanager
def breaking_vault() -> Iterator[BreakingVault]:
    """Listens on a free port of this machine for the length of the block."""
    server = _Quiet(("127.0.0.1", 0), _Handler)
    server.vault.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.vault
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.vault = BreakingVault()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that was broken on purpose is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Quiet

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its parent's name
        """Nobody reads it."""

    def do_POST(self) -> None:
        vault, does = self.server.vault, self.server.vault.next()
        if does == RESET_MID_BODY:
            self._reset()
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if does is None and vault.body_bytes_max is not None and len(body) > vault.body_bytes_max:
            does = Does(status=413, body={"detail": "larger than the limits allow"})
        if does is None:
            self._answer(201, vault.take(_parts(self.headers["Content-Type"], body)))
            return
        if does.take:
            vault.take(_parts(self.headers["Content-Type"], body))
        if does.status is None:
            self.close_connection = True
        else:
            self._answer(does.status, does.body, retry_after=does.retry_after)

    def _reset(self) -> None:
        self.rfile.read(100)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _answer(self, status: int, body: dict[str, Any], *, retry_after: str | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(data)


def _parts(content_type: str, body: bytes) -> dict[str, bytes]:
    parser = BodyParser(boundary_of(content_type), parts_max=1000, labelled=False)
    parts: dict[str, bytearray] = {}
    current = bytearray()
    for event in parser.feed(body):
        if isinstance(event, PartStarted):
            current = parts.setdefault(event.name, bytearray())
        elif isinstance(event, bytes | bytearray):
            current += event
    parser.finish()
    assert next(iter(parts)) == "batch", "what is declared comes first"
    return {name: bytes(data) for name, data in parts.items()}
