"""One GET, as a browser or a stranger would make it."""

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2

from platevault.domain.errors import StoreUnavailable

TIMEOUT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What came back. `date` is the server's clock, None where it did not tell."""

    status: int
    body: bytes
    date: datetime | None


async def probe(url: str) -> Probed:
    """Try once, follow nothing; raises `StoreUnavailable` with the reason when there is no answer."""
    try:
        async with httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            answer = await client.get(url)
    except httpx2.HTTPError as error:
        raise StoreUnavailable(f"no answer ({type(error).__name__})") from error
    return Probed(status=answer.status_code, body=answer.content, date=_date_of(answer))


def _date_of(answer: httpx2.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        return None
