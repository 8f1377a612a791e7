"""Images a second until all are stored, candidate after candidate, round by round."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.bodies import DETECTIONS
from bench.costs import cost_of, listening_for_noise
from bench.site import Ground, Running, platevault, s3_server, tutorial
from tests.support.servers import S3Server

BARE: Final = "bare client"
TUTORIAL: Final = "tutorial"
TUTORIAL_BLOCKING: Final = "tutorial, blocking"
TUTORIALS: Final = (TUTORIAL, TUTORIAL_BLOCKING)
SPOOLED: Final = "platevault"
STORED: Final = "platevault, stored"
SPOOLED_2: Final = "platevault, 2 workers"
STORED_2: Final = "platevault, 2 workers, stored"
CANDIDATES: Final = (BARE, *TUTORIALS, SPOOLED, STORED, SPOOLED_2, STORED_2)

IMAGES_A_BATCH: Final = 2 * DETECTIONS
WARM_UP_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How long, how often, with what."""

    rounds: int
    seconds: float
    candidates: Sequence[str] = CANDIDATES
    photographs: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Round:
    """One candidate in one round."""

    images: int
    images_a_second: float
    cpu_milliseconds: float
    """Of the service's processes, or of the bare client, for each image."""
    p50: float
    p99: float
    """Of a batch's answer, in milliseconds; nothing for the bare client."""
    peak_bytes: int
    foreign: float
    failures: int
    complaints: list[str] = field(default_factory=list)
    """Warnings and errors that the service logged in this round: what a slow one may have come from."""


@dataclass(kw_only=True)
class Measured:
    """All rounds on one S3 server."""

    target: str
    rounds: dict[str, list[Round]] = field(default_factory=dict)


async def measure(target: str, asked: Asked, *, ground: Ground) -> Measured | None:
    """All candidates on this S3 server, in turns; None where this machine has none."""
    async with AsyncExitStack() as stack:
        s3 = await stack.enter_async_context(s3_server(target, ground))
        if s3 is None:
            return None
        services = {
            name: await stack.enter_async_context(starting)
            for name, starting in (
                (TUTORIAL, tutorial(ground, s3, name="tutorial")),
                (TUTORIAL_BLOCKING, tutorial(ground, s3, name="tutorial blocking", TUTORIAL_BLOCKING="1")),
                (SPOOLED, platevault(ground, s3, name="platevault", WORKERS="1")),
                (SPOOLED_2, platevault(ground, s3, name="platevault 2", WORKERS="2")),
            )
            if any(wanted.startswith(name) for wanted in asked.candidates)
        }
        services |= {STORED: services.get(SPOOLED), STORED_2: services.get(SPOOLED_2)}  # type: ignore[dict-item]
        measured = Measured(target=target, rounds={name: [] for name in asked.candidates})
        warm = Asked(rounds=1, seconds=WARM_UP_SECONDS, photographs=asked.photographs)
        for name in asked.candidates:
            await _one(name, services.get(name), s3, warm)
        for _ in range(asked.rounds):
            for name in asked.candidates:
                measured.rounds[name].append(await _one(name, services.get(name), s3, asked))
    return measured


async def _one(name: str, service: Running | None, s3: S3Server, asked: Asked) -> Round:
    if service is None:
        return await _bare(s3, asked)
    form = "tutorial" if name in TUTORIALS else "platevault-stored" if name.endswith("stored") else "platevault"
    before = len(service.complaints())
    with cost_of(service.pid) as cost:
        told = await tell("sender", service.address, "--form", form, *_arguments(asked))
        images = told["acknowledged"] * IMAGES_A_BATCH
        seconds = told["seconds"]
        if name not in TUTORIALS:
            await service.until_stored()
            stored, seconds = await _stored_since(service, told["began_at"])
            assert stored >= images, f"{stored} of {images} acknowledged images are stored"
    return Round(
        images=images,
        images_a_second=images / seconds,
        cpu_milliseconds=1000 * cost.cpu_seconds / max(1, images),
        p50=1000 * told["accepted"].get("p50", 0),
        p99=1000 * told["accepted"].get("p99", 0),
        peak_bytes=cost.peak_bytes,
        foreign=cost.noise.foreign,
        failures=sum(number for status, number in told["statuses"].items() if status not in ("200", "201"))
        + told["cut"],
        complaints=service.complaints()[before:],
    )


async def _bare(s3: S3Server, asked: Asked) -> Round:
    environment = {
        "MINIO_ENDPOINT": s3.endpoint,
        "MINIO_BUCKET": s3.bucket,
        "MINIO_ACCESS_KEY": s3.access_key,
        "MINIO_SECRET_KEY": s3.secret_key,
    }
    with listening_for_noise() as noise:
        told = await tell("bare", *_arguments(asked), **environment)
    return Round(
        images=told["images"],
        images_a_second=told["images"] / told["seconds"],
        cpu_milliseconds=1000 * told["cpu_seconds"] / max(1, told["images"]),
        p50=0,
        p99=0,
        peak_bytes=told["resident_bytes"],
        foreign=noise.foreign,
        failures=0,
    )


async def _stored_since(service: Running, began_at: float) -> tuple[int, float]:
    """(how many images, seconds from then until the last one of them was); by the same machine's clock."""
    connection = await service.connect()
    try:
        row = await connection.fetchrow(
            "SELECT count(*) AS images, extract(epoch FROM max(stored_at))::float8 AS last FROM images "
            "WHERE state = 'stored' AND stored_at >= to_timestamp($1)",
            began_at,
        )
    finally:
        await connection.close()
    return row["images"], (row["last"] or time.time()) - began_at


def _arguments(asked: Asked) -> tuple[str, ...]:
    given = ("--seconds", str(asked.seconds))
    return given if asked.photographs is None else (*given, "--photographs", str(asked.photographs))


async def tell(program: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """What `python -m bench.PROGRAM` printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"bench.{program}", *arguments),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        told, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    assert process.returncode == 0, f"bench.{program} ended with {process.returncode}"
    found: dict[str, Any] = json.loads(told)
    return found
