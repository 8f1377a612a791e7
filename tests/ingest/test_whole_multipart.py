"""The parts of a body that is whole in memory: found quickly where the form is usual, never other parts than the general parser's."""

import pytest

from platevault.ingest.whole_multipart import find_parts
from tests.ingest.multipart_fuzz import PARTS_MAX, compare, read_generally, read_quickly

USUAL = {
    "curl": b'Content-Disposition: form-data; name="batch"; filename="b.json"\r\nContent-Type: application/json\r\n',
    "httpx, requests": b'Content-Disposition: form-data; name="batch"; filename="batch"\r\nContent-Type: application/json\r\n',
    "aiohttp": b'Content-Type: application/json\r\nContent-Disposition: form-data; name="batch"\r\n',
    "Go": b'Content-Disposition: form-data; name="batch"; filename="b.json"\r\nContent-Type: application/octet-stream\r\n',
    "Node": b'Content-Disposition: form-data; name="batch"\r\n',
    "with a charset": b'content-disposition: form-data; name="batch"\r\ncontent-type: text/plain; charset=UTF-8\r\n',
}


def a_body(lines: bytes, content: bytes = b"{}") -> bytes:
    return b"--XbX\r\n" + lines + b"\r\n" + content + b"\r\n--XbX--\r\n"


@pytest.mark.parametrize("client", USUAL)
def test_what_clients_write_is_read_quickly(client: str) -> None:
    assert read_quickly(a_body(USUAL[client]), "XbX") == [("batch", b"{}")]


def test_of_twenty_thousand_random_bodies_none_is_read_differently() -> None:
    quick, general = compare(20_000, seed=3)
    assert quick > 5_000
    assert general > quick


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--XbX--\r\n",
        b"preamble\r\n" + a_body(USUAL["curl"]),
        a_body(USUAL["curl"]) + b"epilogue",
        a_body(USUAL["curl"])[:-5],
        a_body(USUAL["curl"] + b"Content-Transfer-Encoding: base64\r\n"),
        a_body(b'Content-Disposition: form-data; name="a%22b"\r\n'),
        a_body(b'Content-Disposition: form-data; name=""\r\n'),
        a_body(USUAL["curl"], b"{}\r\n--XbXy"),
        a_body(USUAL["Node"])[:-10] + b"\r\n" + a_body(USUAL["Node"]),
    ],
)
def test_an_unusual_body_is_left_to_the_general_parser(body: bytes) -> None:
    assert find_parts(bytearray(body), "XbX", parts_max=PARTS_MAX) is None


@pytest.mark.parametrize("count", [PARTS_MAX, PARTS_MAX + 1])
def test_more_parts_than_are_allowed_are_left_to_the_general_parser(count: int) -> None:
    parts = b"".join(
        b'--XbX\r\nContent-Disposition: form-data; name="p%d"\r\n\r\nx\r\n' % number for number in range(count)
    )
    body = parts + b"--XbX--\r\n"
    assert (read_quickly(body, "XbX") is None) == (count > PARTS_MAX)
    assert (read_generally(body, "XbX") is None) == (count > PARTS_MAX)
