"""What collectors and cameras really send, over real connections: the kinds of docs/reliability.md."""

import base64
import gzip
import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from PIL import Image

from tests.support.processes import LOOKING, SENDING, Service, environment_for, service
from tests.support.real_inputs import MULTIPART, a_body, a_manifest, jpegs
from tests.support.servers import S3Server

BOM = b"\xef\xbb\xbf"
PREVIEW = "derived?width=100"


@pytest.fixture
def running(migrated_url: str, seaweed: S3Server, tmp_path: Path, port: int) -> Iterator[Service]:
    environment = environment_for(migrated_url, seaweed, tmp_path)
    with service(environment, port=port, folder=tmp_path) as started:
        yield started


@pytest.fixture
def client(running: Service) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=running.url, timeout=60, headers=LOOKING, follow_redirects=True) as client:
        yield client


def send(client: httpx2.Client, body: bytes, *, query: str = "", **headers: str) -> httpx2.Response:
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/v1/detections{query}", content=body, headers=SENDING | MULTIPART | own)


def raw(running: Service, head: bytes, body: bytes) -> bytes:
    """All that the service answers to these very bytes."""
    there = urlsplit(running.url)
    with socket.create_connection((there.hostname, there.port), timeout=30) as connection:
        connection.sendall(head.replace(b"HOST", there.netloc.encode()) + body)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while more := connection.recv(65536):
            answer += more
    return answer


def a_head(length: bytes, *, version: bytes = b"1.1", more: bytes = b"") -> bytes:
    kind, token = MULTIPART["Content-Type"].encode(), SENDING["Authorization"].encode()
    return (
        b"POST /v1/detections HTTP/%b\r\nHost: HOST\r\nContent-Type: %b\r\nAuthorization: %b\r\nContent-Length:%b\r\n%b\r\n"
        % (version, kind, token, length, more)
    )


def test_each_jpeg_that_viewers_show_has_a_preview_with_width_and_height(client: httpx2.Client) -> None:
    for number, (name, jpeg) in enumerate(jpegs().items()):
        one = f"jpeg-{number}"
        sent = send(client, a_body(a_manifest(one, ("full",)), {f"{one}_full": jpeg.data}), query="?durability=stored")
        assert sent.status_code == 201, (name, sent.text)
        state = sent.json()["detections"][0]["images"]["full"]["state"]
        assert state == ("rejected" if jpeg.is_rejected else "stored"), name
        path = f"/v1/detections/{one}/images/full"
        preview = client.get(f"{path}/{PREVIEW}")
        kept = client.get(f"/v1/detections/{one}").json()["images"]["full"]
        if jpeg.size is None:
            assert preview.status_code in {404, 422}, name
            continue
        assert (preview.status_code, preview.headers["content-type"]) == (200, "image/jpeg"), (name, preview.text[:200])
        assert Image.open(io.BytesIO(preview.content)).size[0] == min(100, jpeg.size[0]), name
        assert (kept["width"], kept["height"]) == jpeg.size, name
        facts = client.get(f"{path}/metadata").json()
        assert (facts["width"], facts["height"]) == jpeg.size, name


def test_bodies_of_other_senders_are_read_or_refused_by_the_name_of_what_is_not_spoken(client: httpx2.Client) -> None:
    jpeg = jpegs()["baseline"].data

    def of(name: str) -> tuple[bytes, dict[str, bytes]]:
        return json.dumps(a_manifest(name, ("full",))).encode(), {f"{name}_full": jpeg}

    text, images = of("bom")
    bodies = {"bom": a_body(BOM + text, images)}
    bodies["padding"] = a_body(*of("padding"), padding=b" \t")
    bodies["latin-1"] = a_body(*of("latin-1"), disposition=b'; filename="stra\xdfe.jpg"')
    bodies["nine"] = a_body(*of("nine"), headers=b"".join(b"X-%d: v\r\n" % number for number in range(9)))
    for name, body in bodies.items():
        sent = send(client, body, query="?durability=stored")
        assert sent.status_code == 201, (name, sent.text)
        assert client.get(f"/v1/detections/{name}/images/full").content == jpeg, name
    text, images = of("refused")
    encoding = b"Content-Transfer-Encoding: base64\r\n"
    in_base64 = send(client, a_body(text, {"refused_full": base64.b64encode(jpeg)}, headers=encoding))
    assert (in_base64.status_code, in_base64.json()["detail"].partition(":")[0]) == (415, "Content-Transfer-Encoding")
    in_gzip = send(client, gzip.compress(a_body(text, images)), Content_Encoding="gzip")
    assert (in_gzip.status_code, in_gzip.json()["detail"].partition(":")[0]) == (415, "Content-Encoding")
    with_lf = send(client, a_body(text, images).replace(b"\r\n", b"\n"))
    assert (with_lf.status_code, "CR LF" in with_lf.json()["detail"]) == (422, True)
    unknown = send(client, a_body(text, images), query="?durabilty=stored")
    assert (unknown.status_code, unknown.json()["detail"]) == (
        422,
        "durabilty: unknown query parameter; known: durability",
    )
    assert client.get("/v1/detections/refused").status_code == 404


def test_a_length_with_blanks_is_a_length_and_http_1_0_gets_no_interim_answer(running: Service) -> None:
    for number, blanks in enumerate((b" %d", b"  %d  ", b"\t%d\t", b"%d", b" 00%d")):
        body = a_body(a_manifest(f"length-{number}"))
        answer = raw(running, a_head(blanks % len(body), more=b"Connection: close\r\n"), body)
        assert answer.startswith(b"HTTP/1.1 201 "), (blanks, answer)
    for number, length in enumerate((b" +%d", b" 0x%d", b" %d, 5", b" ", b" -%d", b" %d abc")):
        body = a_body(a_manifest(f"no-length-{number}"))
        answer = raw(running, a_head(length.replace(b"%d", b"%d" % len(body))), body)
        assert answer.startswith(b"HTTP/1.1 400 "), (length, answer)
        assert answer.count(b"HTTP/1.") == 1, "nothing behind it is taken for a request"
    body = a_body(a_manifest("old"))
    answer = raw(running, a_head(b" %d" % len(body), version=b"1.0", more=b"Expect: 100-continue\r\n"), body)
    assert answer.startswith(b"HTTP/1.1 201 ")
    body = a_body(a_manifest("new"))
    answer = raw(running, a_head(b" %d" % len(body), more=b"Expect: 100-continue\r\nConnection: close\r\n"), body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")


def test_a_number_that_no_program_holds_costs_no_image(client: httpx2.Client) -> None:
    jpeg = jpegs()["baseline"].data
    text = json.dumps(a_manifest("numbers", ("full",), confidence=float("nan"), plate="AB\ud800")).encode()
    text = text.replace(b'"plate"', b'"heading_degrees": 1%b, "box": {"x": 1e400}, "plate"' % (b"0" * 5000), 1)
    sent = send(client, a_body(text, {"numbers_full": jpeg}), query="?durability=stored")
    assert sent.status_code == 201, sent.text
    (entry,) = sent.json()["detections"]
    assert {one["field"] for one in entry["ignored"]} == {"confidence", "plate", "heading_degrees", "box"}
    assert client.get("/v1/detections/numbers/images/full").content == jpeg
    again = send(client, a_body(text, {"numbers_full": jpeg}))
    assert (again.status_code, again.headers.get("idempotent-replayed")) == (201, "true"), again.text
