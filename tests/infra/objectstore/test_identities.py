"""Identities on a server that has just started, and may load over what it was told a moment ago what it had before."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import stamina
from minio.crypto import encrypt

from platevault.domain.errors import StoreMisconfigured, StoreUnavailable
from platevault.infra.objectstore.admin.identities import ATTEMPTS, IdentityAdmin

SECRET = "secret-of-the-administrator"
POLICY = {"Version": "2012-10-17", "Statement": []}


@dataclass(kw_only=True)
class AdminApi:
    """A server's admin API that forgets a policy as often as it is told to, before it is attached; `code` is what it says then."""

    forgets: int
    code: str = "XMinioAdminNoSuchPolicy"
    has_policy: bool = False
    asked: Counter[str] = field(default_factory=Counter)
    port: int = 0

    def answer(self, command: str) -> tuple[int, bytes]:
        self.asked[command] += 1
        if command == "add-canned-policy":
            self.has_policy = True
        if command == "idp/builtin/policy/attach":
            if self.forgets:
                self.forgets -= 1
                self.has_policy = False
            if not self.has_policy:
                return 404, f'{{"Code": "{self.code}", "Message": "gone"}}'.encode()
            return 200, encrypt(b"{}", SECRET)
        return 200, b""


@contextmanager
def served(api: AdminApi) -> Iterator[AdminApi]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = api.answer(self.path.removeprefix("/minio/admin/v3/").partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name in the library
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


async def ensure(api: AdminApi) -> None:
    admin = IdentityAdmin.open(
        endpoint=f"127.0.0.1:{api.port}",
        secure=False,
        region="us-east-1",
        access_key="administrator",
        secret_key=SECRET,
    )
    with stamina.set_testing(True, attempts=ATTEMPTS, cap=True):
        await admin.ensure(policy_name="p", policy=POLICY, access_key="service", secret_key="secret-of-the-service")


@pytest.mark.parametrize("code", ["XMinioAdminNoSuchPolicy", "XMinioAdminNoSuchUser"])
async def test_what_a_starting_server_forgets_it_is_told_again_from_the_beginning(code: str) -> None:
    with served(AdminApi(forgets=2, code=code)) as api:
        await ensure(api)
    assert api.has_policy
    assert api.asked == {"add-canned-policy": 3, "add-user": 3, "idp/builtin/policy/attach": 3}


async def test_a_server_that_goes_on_forgetting_is_reported_in_our_words_after_so_many_tries() -> None:
    with (
        served(AdminApi(forgets=100)) as api,
        pytest.raises(StoreMisconfigured, match="attach policy p.*XMinioAdminNoSuchPolicy"),
    ):
        await ensure(api)
    assert api.asked["idp/builtin/policy/attach"] == ATTEMPTS


async def test_what_a_server_refuses_is_not_asked_again() -> None:
    with (
        served(AdminApi(forgets=1, code="AccessDenied")) as api,
        pytest.raises(StoreMisconfigured, match="AccessDenied"),
    ):
        await ensure(api)
    assert api.asked["add-canned-policy"] == 1
    with pytest.raises(StoreUnavailable):
        await ensure(api)
