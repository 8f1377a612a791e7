"""Random multipart bodies through both readers: what the quick one finds, the general parser finds, too.

python -m tests.ingest.multipart_fuzz --bodies 1000000 [--seed 1]
"""

import argparse
import random
import sys
from collections.abc import Sequence
from typing import Final

from platevault.domain.errors import Refusal
from platevault.ingest.multipart import BodyParser, PartEnded, PartStarted
from platevault.ingest.whole_multipart import find_parts

PARTS_MAX: Final = 5
BOUNDARIES: Final = ("XbX", "-", "----WebKitFormBoundary7MA4YWxkTrZu0gW", "a b", "'()+_,-./:=?")
_NAMES: Final = ("batch", "a_full", "a_crop", "a", "x" * 300, "é", "%22", "a b", "", "a;b", "a=b", "\\", "a\tb")
_CONTENT: Final = (
    b"",
    b"{}",
    b"\r\n",
    b"\r",
    b"\n",
    b"\xff\xd8\xff\x00\xff\xd9",
    b"--",
    b"\r\n--",
    b"\r\n\r\n",
    b"\x00" * 40,
)
_LINES: Final = (
    b"Content-Type: image/jpeg\r\n",
    b"content-type:text/plain; charset=utf-8\r\n",
    b"Content-Type: nonsense\r\n",
    b"Content-Type:\r\n",
    b"Content-Length: 2\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: binary\r\n",
    b"X-Other: v\r\n",
    b" folded\r\n",
    b"no colon\r\n",
)
_NOISE: Final = (b"\r\n", b"\n", b"\r", b'"', b"--", b"\x00", b" ", b"\t", b":", b";", b"Content-", b"name", b"\xff")

Parts = Sequence[tuple[str, bytes]]


def read_generally(body: bytes, boundary: str) -> Parts | None:
    """What the general parser finds; None if it refuses."""
    parser = BodyParser(boundary, parts_max=PARTS_MAX, labelled=False)
    found: list[tuple[str, bytes]] = []
    try:
        for event in parser.feed(body):
            if isinstance(event, PartStarted):
                found.append((event.name, b""))
            elif not isinstance(event, PartEnded):
                name, content = found.pop()
                found.append((name, content + event))
        parser.finish()
    except Refusal:
        return None
    return found


def read_quickly(body: bytes, boundary: str) -> Parts | None:
    """What the quick reader finds; None if it leaves the body to the general one."""
    found = find_parts(bytearray(body), boundary, parts_max=PARTS_MAX)
    return None if found is None else [(part.name, body[part.start : part.stop]) for part in found]


def a_body(chance: random.Random) -> tuple[bytes, str]:
    """A body, usual or with a few faults, and its boundary."""
    boundary = chance.choice(BOUNDARIES)
    line = b"--" + boundary.encode()
    faulty = chance.random() < 0.6

    def one(usual: Sequence[bytes], odd: Sequence[bytes]) -> bytes:
        return chance.choice(odd if faulty and chance.random() < 0.08 else usual)

    pieces = [one((b"",), (b"\r\n", b"preamble\r\n", b" "))]
    for number in range(chance.choice((0, 1, 2, 2, 3, 3, 4, 5, 6))):
        pieces += [line, one((b"\r\n",), (b" \r\n", b"\n", b"--\r\n", b"x\r\n"))]
        lines = [_disposition(chance, number, faulty=faulty)]
        lines.insert(chance.choice((0, 1)), one((b"", b"", *_LINES[:2]), _LINES))
        pieces += [*lines, one((b"\r\n",), (b"\n", b"", b"\r\n\r\n"))]
        pieces += [_content(chance, line), one((b"\r\n",), (b"\n", b""))]
    pieces += [line, one((b"--\r\n", b"--"), (b"", b"--x", b"-", b"\r\n", b"--\r\nepilogue"))]
    body = b"".join(pieces)
    return (_damaged(body, chance, line) if faulty and chance.random() < 0.5 else body), boundary


def _disposition(chance: random.Random, number: int, *, faulty: bool) -> bytes:
    odd = faulty and chance.random() < 0.15
    name = (chance.choice(_NAMES) if odd else f"part{number}").encode("latin-1", "replace")
    files = (
        b"; filename=a.jpg",
        b'; filename="bild\xe4.jpg"',
        b'; filename="C:\\a"',
        b"; filename*=UTF-8''a",
        b"; name=b",
    )
    more = chance.choice(files if odd else (b"", b'; filename="a.jpg"'))
    form = b"%b:form-data;name=%b%b\r\n" if odd and chance.random() < 0.3 else b'%b: form-data; name="%b"%b\r\n'
    return form % (chance.choice((b"Content-Disposition", b"content-disposition")), name, more)


def _content(chance: random.Random, line: bytes) -> bytes:
    pieces = [chance.choice((*_CONTENT, chance.randbytes(chance.randrange(64)))) for _ in range(chance.randrange(4))]
    if chance.random() < 0.1:
        pieces.insert(
            chance.randrange(len(pieces) + 1), chance.choice((line, b"\r\n" + line, line[:-1], b"\r\n" + line[:-1]))
        )
    return b"".join(pieces)


def _damaged(body: bytes, chance: random.Random, line: bytes) -> bytes:
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(body) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            body = body[:at] + chance.choice((*_NOISE, line, b"\r\n" + line)) + body[at:]
        elif kind == 1:
            body = body[:at] + body[at + chance.randrange(1, 4) :]
        elif kind == 2:
            body = body[:at]
        else:
            body = body[:at] + chance.randbytes(1) + body[at + 1 :]
    return body


def compare(bodies: int, *, seed: int) -> tuple[int, int]:
    """(how many the quick reader took, how many the general parser took). Raises `AssertionError` at the first difference."""
    chance = random.Random(seed)
    quick = general = 0
    for _ in range(bodies):
        body, boundary = a_body(chance)
        found, wanted = read_quickly(body, boundary), read_generally(body, boundary)
        assert found is None or found == wanted, (body, boundary, found, wanted)
        quick += found is not None
        general += wanted is not None
    return quick, general


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bodies", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    taken, accepted = compare(asked.bodies, seed=asked.seed)
    sys.stdout.write(
        f"{asked.bodies} bodies: {taken} by the quick reader, {accepted} accepted by the general one, no difference\n"
    )
