"""Scenario: PostgreSQL commits a batch, and the answer to the COMMIT never arrives."""

import asyncio
from collections import Counter
from typing import Final

import httpx2

from tests.outage.checker import count, leases_end, until_at_rest
from tests.outage.scenario import Asked, Shown, Wrong
from tests.outage.senders import WAIT_AT_MOST_SECONDS, Sent, ask_again, send_until_acknowledged
from tests.outage.site import Site, a_site
from tests.support.deliveries import CONTENT_TYPE, Batch, a_batch
from tests.support.processes import SENDING

ASKED_AT_MOST: Final = 100


async def lost_commit(asked: Asked) -> Shown:
    """One batch after the other, then several at once, then each of several twice at once."""
    number = 4 if asked.short else 40
    rounds = {"one by one": [[a_batch(2)] for _ in range(number)], "at once": [[a_batch(2) for _ in range(number)]]}
    twice = [a_batch(2) for _ in range(number)]
    rounds["twice at once"] = [[batch, batch] for batch in twice]
    sent, said = Sent(), Counter[str]()
    async with a_site() as site:
        for groups in rounds.values():
            for group in groups:
                await _lose_and_retry(group, site, sent=sent, said=said)
        await ask_again(site.url, sent=sent)
        await leases_end(site.direct)
        at_rest = await until_at_rest(site.direct, site.spool, seconds=60)
        wrong = await count(sent, database=site.direct, s3=site.bucket, spool=site.spool)
        lost = len(site.database.lost_commits)
        wrong.add("not at rest", not at_rest)
        wrong.add("commits whose answer was not lost", 3 * number - lost)
    _judge(said, lost=lost, wrong=wrong)
    firsts = ", ".join(f"{times} x {what}" for what, times in sorted(said.items()))
    return wrong.shown(f"{lost} lost answers of COMMIT; the requests got {firsts}")


async def _lose_and_retry(group: list[Batch], site: Site, *, sent: Sent, said: Counter[str]) -> None:
    for batch in {batch.batch_id: batch for batch in group}.values():
        site.database.lose_commit_of(batch.batch_id.encode())
    async with httpx2.AsyncClient(headers={**SENDING, "Content-Type": CONTENT_TYPE}, timeout=60) as client:
        answers = await asyncio.gather(*(_first_word(client, site.url, batch, said=said) for batch in group))
    for batch, answer in zip(group, answers, strict=True):
        if answer.status_code in (200, 201):
            sent.took(batch, answer)
    await send_until_acknowledged(site.url, group, sent=sent)


async def _first_word(client: httpx2.AsyncClient, url: str, batch: Batch, *, said: Counter[str]) -> httpx2.Response:
    """The first answer that is about the batch: at 429 nothing of it was recorded, and the answer to its COMMIT is still to be lost."""
    for _ in range(ASKED_AT_MOST):
        answer = await client.post(f"{url}/v1/detections", content=batch.body())
        said[str(answer.status_code) + (" with Retry-After" if "Retry-After" in answer.headers else "")] += 1
        if answer.status_code != 429:
            break
        await asyncio.sleep(min(WAIT_AT_MOST_SECONDS, float(answer.headers.get("Retry-After", 1))))
    return answer


def _judge(said: Counter[str], *, lost: int, wrong: Wrong) -> None:
    wrong.add("lost answers to which nobody was told 503", max(0, lost - said["503 with Retry-After"]))
    # 201: the other copy of a batch that was sent twice at once. 429: none was free to wait while the database was away.
    allowed = ("503 with Retry-After", "429 with Retry-After", "201")
    wrong.add("other first answers", sum(times for what, times in said.items() if what not in allowed))
