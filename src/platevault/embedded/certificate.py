"""A self-signed certificate by which the parts of one server know each other."""

import base64
import secrets
import textwrap

from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS

# DER tags (X.690) and the two object identifiers that are needed.
_INTEGER, _BITS, _OCTETS, _OBJECT, _TEXT, _SEQUENCE, _SET = 0x02, 0x03, 0x04, 0x06, 0x0C, 0x30, 0x31
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_ECDSA_WITH_SHA256 = bytes.fromhex("2a8648ce3d040302")
_COMMON_NAME = bytes.fromhex("550403")
_BASIC_CONSTRAINTS = bytes.fromhex("551d13")


def self_signed(name: str) -> tuple[str, str]:
    """(certificate, private key) in PEM: ECDSA P-256, its own authority, without an end.

    Whoever trusts this certificate as an authority accepts nobody but the holder of the key.
    """
    key = ECC.generate(curve="P-256")
    algorithm = _der(_SEQUENCE, _der(_OBJECT, _ECDSA_WITH_SHA256))
    names = _der(_SEQUENCE, _der(_SET, _der(_SEQUENCE, _der(_OBJECT, _COMMON_NAME), _der(_TEXT, name.encode()))))
    is_authority = _der(_SEQUENCE, b"\x01\x01\xff")
    extension = _der(_SEQUENCE, _der(_OBJECT, _BASIC_CONSTRAINTS), b"\x01\x01\xff", _der(_OCTETS, is_authority))
    body = _der(
        _SEQUENCE,
        _der(0xA0, _der(_INTEGER, b"\x02")),  # version 3
        _der(_INTEGER, b"\x01" + secrets.token_bytes(15)),
        algorithm,
        names,
        _der(_SEQUENCE, _der(_UTC_TIME, b"200101000000Z"), _der(_GENERALIZED_TIME, b"99991231235959Z")),
        names,
        key.public_key().export_key(format="DER"),
        _der(0xA3, _der(_SEQUENCE, extension)),
    )
    signature = DSS.new(key, "fips-186-3", encoding="der").sign(SHA256.new(body))
    certificate = _der(_SEQUENCE, body, algorithm, _der(_BITS, b"\x00" + signature))
    return _pem("CERTIFICATE", certificate), key.export_key(format="PEM") + "\n"


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + content


def _pem(label: str, der: bytes) -> str:
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))
