"""Rules of single settings, and the sentence for each fault: with an example, never with the value."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104  compared, not bound
_WHOLE: Final = frozenset({"int_parsing", "int_type", "int_from_float", "int_parsing_size", "finite_number"})
_BOUNDS: Final = frozenset({"greater_than_equal", "less_than_equal", "greater_than", "less_than"})
_SENTENCES: Final[Mapping[str, str]] = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_short": "must not be empty",
    "path_type": "the name of a file or folder",
}
_FORMS: Final[Mapping[str, str]] = {
    "MINIO_BUCKET": "3 to 63 lower-case letters, digits, dots and hyphens, for example alpr-images",
    "TIER_NAME": "1 to 63 upper-case letters, digits, _ and -, for example COLD",
}
_CREDENTIALS: Final = "holds a user name or a password, which URLs and logs would show: take it out, credentials have settings of their own"


def host_and_port(text: str) -> str:
    """Return the text if it is host:port. Raises `ValueError` with a sentence."""
    if "@" in text:
        raise ValueError(_CREDENTIALS)
    parts = None if "/" in text or "?" in text or "#" in text else _split(f"//{text}")
    if parts is None or not parts.hostname or text.strip() != text:
        raise ValueError("host:port without a scheme, for example minio:9000; MINIO_SECURE says whether it is https")
    return text


def origin(text: str) -> str:
    """Return the text without a slash at its end if it is scheme://host[:port]. Raises `ValueError` with a sentence."""
    if "@" in text:
        raise ValueError(_CREDENTIALS)
    parts = _split(text)
    if parts is None or not _is_origin(parts) or parts.path.strip("/"):
        raise ValueError("scheme://host[:port] without a path, for example https://vault.example")
    if parts.hostname in EVERYWHERE:
        raise ValueError(f"{parts.hostname} is no address that a browser can go to: name the one that it reaches")
    return text.rstrip("/")


def origins(texts: Iterable[str]) -> None:
    """Raise `ValueError` with a sentence unless each is scheme://host[:port]."""
    for text in texts:
        if "@" in text:
            raise ValueError(_CREDENTIALS)
        parts = _split(text)
        if parts is None or not _is_origin(parts) or parts.path:
            raise ValueError(
                "origins of the form scheme://host[:port], without a path and without *, for example https://map.example"
            )


def database_url(text: str) -> None:
    """Raise `ValueError` with a sentence unless this driver can read the text as the URL of a database."""
    if not text.startswith(("postgresql+asyncpg://", "<")):
        raise ValueError("must begin with postgresql+asyncpg://")
    port = re.search(r":([^:/@\]]*)$", text.partition("?")[0].rpartition("@")[2].partition("/")[0])
    if port is not None and not port[1].isdecimal() and not text.startswith("<") and "@" in text:
        raise ValueError("the port is no number, for example postgresql+asyncpg://user:password@host:5432/name")


def sentence(line: Mapping[str, Any], *, bounds: tuple[int | None, int | None]) -> str:
    """Return the sentence for one line of a validation error. `bounds` are the least and largest number of the setting."""
    name, kind = ".".join(str(step) for step in line["loc"]).upper(), str(line["type"])
    if kind == "value_error":
        said = str(line["msg"]).removeprefix("Value error, ")
        return f"{name}: {said}" if name else said
    if kind in _WHOLE or kind in _BOUNDS:
        return f"{name}: {_range(*bounds)}"
    if kind == "literal_error":
        return f"{name}: one of {str(line['ctx']['expected']).replace(chr(39), '')}"
    return f"{name}: {_FORMS.get(name) or _SENTENCES.get(kind, 'is not of the form that .env.example shows')}"


def _range(least: int | None, most: int | None) -> str:
    if least is not None and most is not None:
        return f"a whole number from {least} to {most}"
    return "a whole number" if least is None else f"a whole number of at least {least}"


def _is_origin(parts: SplitResult) -> bool:
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment


def _split(text: str) -> SplitResult | None:
    """Return the parts of the URL; None if its port is no number."""
    try:
        parts = urlsplit(text)
        is_known = parts.port is None or parts.port > 0
    except ValueError:
        return None
    return parts if is_known else None
