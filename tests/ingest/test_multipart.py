"""What other senders write around the parts of a body: what is ignored cannot refuse, and no encoding is guessed."""

import pytest

from platevault.domain.errors import BatchRefused, EncodingUnknown, TooLarge
from platevault.ingest.multipart import BodyParser, PartEnded, PartStarted

BOUNDARY = "XbX"
IMAGE = b"\xff\xd8\xff\x00--XbX \r\n--Xba\r\n--Xb\xff\xd9"


def a_body(*, more: bytes = b"", padding: bytes = b"", disposition: bytes = b'form-data; name="a_full"') -> bytes:
    head = b"--XbX%b\r\nContent-Disposition: %b\r\n%b\r\n"
    return b"".join(
        (head % (padding, b'form-data; name="batch"', b""), b"{}\r\n", head % (padding, disposition, more), IMAGE, b"\r\n--XbX--", padding, b"\r\n")
    )  # fmt: skip


def parts_of(body: bytes, *, step: int = 1 << 20) -> dict[str, bytes]:
    parser = BodyParser(BOUNDARY, parts_max=5, labelled=False)
    found: dict[str, bytes] = {}
    name = ""
    for start in range(0, len(body), step):
        for event in parser.feed(body[start : start + step]):
            if isinstance(event, PartStarted):
                name, found[event.name] = event.name, b""
            elif not isinstance(event, PartEnded):
                found[name] += bytes(event)
    parser.finish()
    return found


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 1 << 20])
@pytest.mark.parametrize("padding", [b"", b" ", b" \t", b" " * 64])
@pytest.mark.parametrize("preamble", [b"", b"\r\n"])
def test_blanks_behind_a_boundary_belong_to_it_and_no_byte_of_a_part_is_lost(
    step: int, padding: bytes, preamble: bytes
) -> None:
    assert parts_of(preamble + a_body(padding=padding), step=step) == {"batch": b"{}", "a_full": IMAGE}


@pytest.mark.parametrize(
    "more",
    [
        b"X-Name: bild\xe4\r\n",
        b"".join(b"X-Trace-%d: v\r\n" % number for number in range(9)),
        b"no colon at all\r\n",
        b"Content-Length: some\r\n",
        b"X-Long: a\r\n b\r\n",
        b"Content-Transfer-Encoding: BINARY\r\n",
        b"Content-Transfer-Encoding: identity\r\n",
    ],
)
def test_a_header_that_is_ignored_cannot_refuse_its_part(more: bytes) -> None:
    assert parts_of(a_body(more=more)) == {"batch": b"{}", "a_full": IMAGE}


def test_a_file_name_of_another_character_set_is_ignored() -> None:
    body = a_body(disposition=b'form-data; name="a_full"; filename="bild\xe4.jpg"')
    assert parts_of(body) == {"batch": b"{}", "a_full": IMAGE}


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable", b"x-uuencode", b"8bit, base64"])
def test_a_part_in_another_encoding_is_refused_by_the_name_of_its_header(encoding: bytes) -> None:
    with pytest.raises(EncodingUnknown, match="Content-Transfer-Encoding") as refused:
        parts_of(a_body(more=b"Content-Transfer-Encoding: %b\r\n" % encoding))
    assert refused.value.part == "a_full"


def test_a_body_without_its_end_is_refused_with_and_without_padding() -> None:
    for padding in (b"", b" "):
        body = a_body(padding=padding)
        with pytest.raises(BatchRefused):
            parts_of(body[: body.rindex(b"--XbX")])


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (a_body().replace(b"\r\n", b"\n"), "CR LF"),
        (a_body().replace(b"name=", b"x=", 1), "no usable name"),
        (a_body(disposition=b"attachment"), "Content-Disposition"),
        (a_body(disposition=b"form-data; x=" + b"y" * 5000), "longer than 4096 bytes"),
        (a_body().replace(b"--XbX\r\n", b"--XbX!\r\n", 1), "boundary"),
        (a_body(padding=b" " * 65), "boundary"),
        (a_body(more=b"Content-Type: a\r\n" * 9), "more than 8 headers"),
        (a_body() * 3, ""),
    ],
)
def test_a_fault_of_framing_is_one_sentence_that_says_what_to_send(body: bytes, sentence: str) -> None:
    if not sentence:
        assert parts_of(body) == {"batch": b"{}", "a_full": IMAGE}  # what follows the final boundary is ignored
        return
    with pytest.raises((BatchRefused, TooLarge), match=sentence) as refused:
        parts_of(body)
    for word in ("multipart:", "segment", "Unexpected", "Maximum", "parser"):
        assert word not in str(refused.value)
