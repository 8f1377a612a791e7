"""Secrets in files that variables of the environment or of `.env` name."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from dotenv import dotenv_values

from platevault.domain.errors import SettingsInvalid


def written(env_file: Path | None) -> dict[str, str | None]:
    """Return the variables of the file, in upper case. Raises `SettingsInvalid` if it cannot be read."""
    try:
        return {} if env_file is None else {name.upper(): value for name, value in dotenv_values(env_file).items()}
    except (OSError, UnicodeDecodeError):  # without a cause, because UnicodeDecodeError has the content
        raise SettingsInvalid(f"{env_file} cannot be read: make it a readable text file in UTF-8") from None


def read(names: Iterable[str], *, written: Mapping[str, str | None]) -> tuple[dict[str, str], dict[str, str]]:
    """Return (secrets by field, sentences about faults by field)."""
    found: dict[str, str] = {}
    faults: dict[str, str] = {}
    for name in names:
        variable = f"{name.upper()}_FILE"
        file = os.environ.get(variable) or written.get(variable)
        if not file:
            continue
        if os.environ.get(name.upper()) or written.get(name.upper()):
            faults[name] = f"{name.upper()} and {variable} are both set: keep one"
            continue
        try:
            found[name] = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            faults[name] = f"{variable}={file} cannot be read: name a readable text file"
            continue
        if not found[name]:
            faults[name] = f"{variable}={file} is empty: put the secret into it"
            del found[name]
    return found, faults
