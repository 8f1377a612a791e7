"""What a form of ours posts: a few fields of text, and nothing else."""

from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request

from platevault.domain.errors import InvalidRequest

FIELDS_MAX: Final = 12


async def form_of(request: Request) -> dict[str, str]:
    """The fields of an urlencoded form in UTF-8, the last of each name; raises `InvalidRequest` for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidRequest("body: must be an urlencoded form")
    try:
        pairs = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX
        )
    except ValueError as error:
        raise InvalidRequest(f"body: must be an urlencoded form of at most {FIELDS_MAX} fields in UTF-8") from error
    return dict(pairs)
