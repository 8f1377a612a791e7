"""Writes what docker compose needs into .env: random values for what is missing; never another value for what is there."""  # noqa: INP001  a script

from __future__ import annotations

import os
import re
import secrets
import string
import sys
import tempfile
from pathlib import Path

# Letters and digits: they need no quoting in a URL, a shell, a .env or on a command line. 40 of them is what MinIO takes.
ALPHABET = string.ascii_letters + string.digits
SECRET_LENGTH = 40
ID_LENGTH = 8

# Access key ids are no secrets (the presign identity's stands in each URL); random all the same, so that no two vaults share one.
NEEDED = {
    "POSTGRES_PASSWORD": "",
    "MINIO_ROOT_USER": "root-",
    "MINIO_ROOT_PASSWORD": "",
    "MINIO_ACCESS_KEY": "service-",
    "MINIO_SECRET_KEY": "",
    "MINIO_PRESIGN_ACCESS_KEY": "presign-",
    "MINIO_PRESIGN_SECRET_KEY": "",
    "MINIO_UPLOAD_ACCESS_KEY": "upload-",
    "MINIO_UPLOAD_SECRET_KEY": "",
    "COLLECTOR_TOKEN": "",
    "VIEWER_TOKEN": "",
    "METRICS_TOKEN": "",
    "URL_SIGNING_KEY": "",
}
HEADING = """\
# Made by `make env` for docker compose; it adds what is missing and changes nothing that is here. Keep a copy in a safe place:
# the database and the object store know the values that they were started with the first time.
"""
_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*?)(\r?\n?)$", re.DOTALL)
# Nothing, a comment alone, or a word of .env.example in <brackets>, quoted or not.
_NO_VALUE = re.compile(r"""^\s*(?:(['"])(?:<[^'"]*>)?\s*\1|<[^>]*>)?\s*(?:#.*)?$""", re.DOTALL)


def main() -> int:
    """Complete the .env that is named, or the project's own; say what was added, never the values."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[1] / ".env").resolve()
    before = path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
    after, added = completed(before)
    if after != before or not path.exists():
        write_private(path, after)
    elif path.stat().st_mode & 0o077:
        path.chmod(0o600)
    said = "added " + ", ".join(added) if added else "nothing was missing"
    sys.stdout.write(f"{path.name}: {said}\n")
    password = values(after)["POSTGRES_PASSWORD"].strip("'\"")
    if re.fullmatch(r"[A-Za-z0-9._~-]+", password) is None:
        sys.stdout.write("POSTGRES_PASSWORD becomes part of a URL: use letters, digits and . _ ~ - alone\n")
        return 1
    return 0


def completed(text: str) -> tuple[str, list[str]]:
    """The text with a value for each variable that had none, and the names of those."""
    lines = text.splitlines(keepends=True)
    where = {}
    for number, line in enumerate(lines):
        if (found := _LINE.match(line)) is not None:
            where[found[1]] = number  # of several, the last one counts, for compose and for Platevault
    missing = [name for name in NEEDED if _NO_VALUE.match(values(text).get(name, ""))]
    appended = []
    for name in missing:
        if name in where:
            found = _LINE.match(lines[where[name]])
            assert found is not None
            lines[where[name]] = lines[where[name]][: found.start(2)] + fresh(name) + found[3]
        else:
            appended.append(name)
    whole = "".join(lines)
    if appended:
        end = "\r\n" if "\r\n" in whole else "\n"
        gap = ("" if whole.endswith("\n") else end) + end if whole else ""
        whole += gap + (HEADING + "".join(f"{name}={fresh(name)}\n" for name in appended)).replace("\n", end)
    return whole, missing


def values(text: str) -> dict[str, str]:
    """Variable → what stands after its last `=`, as written."""
    found = (_LINE.match(line) for line in text.splitlines(keepends=True))
    return {line[1]: line[2].strip() for line in found if line is not None}


def fresh(name: str) -> str:
    """A random value that fits the variable."""
    prefix = NEEDED[name]
    length = ID_LENGTH if prefix else SECRET_LENGTH
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(length))


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step; readable by its owner alone from its first byte on."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".env.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


if __name__ == "__main__":
    sys.exit(main())
