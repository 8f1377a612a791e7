"""How plates are compared: by their letters and digits, whatever case and separators a camera gave them."""

import unicodedata

PLATE_MAX = 32


def searchable(plate: str) -> str:
    """The plate's letters and digits in upper case (NFKC), of any script: `ab-12 cd` and `AB12CD` are one plate."""
    return "".join(character for character in unicodedata.normalize("NFKC", plate).upper() if character.isalnum())


def pattern(plate: str) -> str | None:
    r"""The LIKE pattern (escape character `\\`) of a plate with `*` and `?`; None when it has neither."""
    if "*" not in plate and "?" not in plate:
        return None
    wild = {"*": "%", "?": "_"}
    normal = unicodedata.normalize("NFKC", plate).upper()
    return "".join(wild.get(character, character if character.isalnum() else "") for character in normal)
