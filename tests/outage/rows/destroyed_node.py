"""Scenario: a node dies with its disk while images wait in its spool; its collectors are told what to send again."""

import asyncio
import json
import shutil
from typing import Any, Final

import httpx2
from sqlalchemy import text

from platevault.infra.postgres.database import Database
from tests.outage.checker import count, until_at_rest
from tests.outage.scenario import Asked, Shown, Wrong
from tests.outage.senders import Sent, send_until_acknowledged
from tests.outage.site import Site, a_site_on
from tests.support.deliveries import Batch, a_batch
from tests.support.processes import SENDING
from tests.support.servers import embedded_servers, s3_of, server_folder

COLLECTORS: Final = ("gate-1", "gate-2", "gate-3")
PAGE: Final = 50


async def destroyed_node(asked: Asked) -> Shown:
    """Half of the batches are in the bucket, half only in the spool when its disk is destroyed; another node takes over."""
    number, wrong, sent = (5 if asked.short else 60), Wrong(), Sent()
    with server_folder() as folder, embedded_servers() as servers:
        assert servers.seaweed is not None
        url, s3 = servers.postgres.url, s3_of(servers.seaweed)
        safe, doomed = ([a_batch(2, collector_id=name) for name in COLLECTORS for _ in range(number)] for _ in "ab")
        async with a_site_on(folder, database_url=url, s3=s3) as site:
            await send_until_acknowledged(site.url, safe, sent=sent)
            wrong.add("not at rest before", not await until_at_rest(site.direct, site.spool, seconds=90))
            site.s3.set("refuse")
            await send_until_acknowledged(site.url, doomed, sent=sent)
            node = (site.spool / "node-id").read_text(encoding="utf-8").strip()
            site.api.end()
            site.worker.end()
            await asyncio.to_thread(shutil.rmtree, site.spool)
            await _five_minutes_pass(site.direct)
        async with a_site_on(folder, database_url=url, s3=s3) as site:
            return await _heal(site, node=node, doomed=doomed, sent=sent, wrong=wrong)


async def _heal(site: Site, *, node: str, doomed: list[Batch], sent: Sent, wrong: Wrong) -> Shown:
    images = {name for batch in doomed for name in batch.parts}
    done = await asyncio.to_thread(site.run, "spool", "lost", node, "--yes", "--json")
    if done.returncode != 0:
        raise AssertionError(f"platevault spool lost: {done.stdout[-300:]} {done.stderr[-500:]}")
    declared = json.loads("{" + done.stdout.rpartition("{")[2])["images"]
    wrong.add("images not declared lost", len(images) - declared)
    asked_for = {name: image for collector in COLLECTORS for name, image in (await _resend(site, collector)).items()}
    wrong.add("images not asked for", len(images - asked_for.keys()))
    wrong.add("images asked for without need", len(asked_for.keys() - images))
    again = [batch.renamed() for batch in doomed]
    named = {image["batch_id"] for image in asked_for.values()}
    wrong.add("batches not named", sum(batch.batch_id not in named for batch in doomed))
    await send_until_acknowledged(site.url, again, sent=sent)
    wrong.add("not at rest", not await until_at_rest(site.direct, site.spool, seconds=90))
    left = [name for collector in COLLECTORS for name in await _resend(site, collector)]
    wrong.add("images still asked for", len(left))
    for name, number in (await count(sent, database=site.direct, s3=site.bucket, spool=site.spool)).counts.items():
        wrong.add(name, number)
    return wrong.shown(
        f"{len(images):,} images destroyed with their spool, {declared:,} declared lost, {len(asked_for):,} asked for, sent again"
        " under other batch ids, all stored"
    )


async def _resend(site: Site, collector_id: str) -> dict[str, dict[str, Any]]:
    """`{detection id}_{kind}` → what `GET /v1/resend` says, over all its pages."""
    found: dict[str, dict[str, Any]] = {}
    async with httpx2.AsyncClient(headers=SENDING, timeout=30) as client:
        parameters: dict[str, Any] = {"collector_id": collector_id, "limit": PAGE}
        while True:
            answer = (await client.get(f"{site.url}/v1/resend", params=parameters)).raise_for_status().json()
            found |= {f"{image['detection_id']}_{image['kind']}": image for image in answer["items"]}
            if answer["next_cursor"] is None:
                return found
            parameters["cursor"] = answer["next_cursor"]


async def _five_minutes_pass(database: Database) -> None:
    """Since the node was seen: a node that was alive a moment ago is not declared lost."""
    statement = text(
        "UPDATE nodes SET api_seen_at = api_seen_at - interval '6 min', worker_seen_at = worker_seen_at - interval '6 min'"
    )
    await database.transaction(lambda connection: connection.execute(statement))
