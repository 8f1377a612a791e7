"""Drawn detections for a demo: what several cameras saw in the last hours, and then what they see now."""

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from platevault.collector.api_client import VaultApi
from platevault.collector.batch import OutgoingDetection, encode_batch, manifest_entry
from platevault.collector.photo import draw_scene
from platevault.domain.errors import Refusal, Unavailable

# The collector needs no library of the server. Its log lines reach the server's log through the standard library.
log = logging.getLogger(__name__)

BACKLOG_SPREAD: Final = timedelta(hours=6)
BATCH: Final = 5
TRICKLE_MOST: Final = 3
RETRY_SECONDS_MAX: Final = 10
REGULARS: Final = 12

CAMERAS: Final = {
    "gate-north": ("lane-1", "lane-2"),
    "gate-south": ("lane-1", "exit"),
    "car-park": ("ramp-down", "ramp-up"),
}
_MAKES: Final = {
    "hatchback": ("Volkswagen", "Renault", "Toyota", "Peugeot"),
    "sedan": ("BMW", "Audi", "Mercedes-Benz", "Volvo"),
    "suv": ("Nissan", "Kia", "Škoda", "Ford"),
    "van": ("Ford", "Fiat", "Citroën", "Opel"),
    "truck": ("Scania", "MAN", "DAF", "Volvo"),
}
_LETTERS: Final = "ABCDEFGHJKLMNPRSTUVWXYZ"
# What cameras take for each other.
_ALIKE: Final = {
    "0": "OD",
    "1": "IL",
    "2": "Z",
    "5": "S",
    "6": "G",
    "8": "B",
    "B": "8",
    "D": "0",
    "G": "6",
    "S": "5",
    "Z": "2",
}
# Codes that ISO 3166 leaves to whoever needs some: no plate here is anybody's.
_REGIONS: Final = ("XA", "XB", "XC")


async def feed(
    *,
    vault: VaultApi,
    backlog: int,
    every: timedelta | None,
    now: Callable[[], datetime],
    choose: random.Random,
    viewer_token: str | None = None,
) -> None:
    """Send `backlog` detections of the last hours unless the vault has some already, then a few at each tick until cancelled.

    With `every` None it returns after the backlog. An outage of the vault is waited for.
    """
    street = _Street(choose)
    if backlog > 0 and not await _has_detections(vault, viewer_token):
        moments = sorted(now() - BACKLOG_SPREAD * choose.random() for _ in range(backlog))
        for start in range(0, backlog, BATCH):
            await _send(street, moments[start : start + BATCH], vault=vault, sent_at=now())
    while every is not None:
        await asyncio.sleep(every.total_seconds())
        count = choose.randint(1, TRICKLE_MOST)
        moments = sorted(now() - every * choose.random() for _ in range(count))
        await _send(street, moments, vault=vault, sent_at=now())


async def _has_detections(vault: VaultApi, viewer_token: str | None) -> bool:
    while True:
        try:
            return await vault.has_detections(viewer_token=viewer_token)
        except Unavailable as error:
            await _rest(error)


async def _send(street: "_Street", moments: list[datetime], *, vault: VaultApi, sent_at: datetime) -> None:
    """One batch of one collector; when this returns, the vault has it, or has said that it never will."""
    collector_id = street.collector()
    seen = [await asyncio.to_thread(street.detection, collector_id, moment) for moment in moments]
    batch = encode_batch(seen, collector_id=collector_id, sent_at=sent_at)
    while True:
        try:
            await vault.send_batch(batch.body, batch.boundary)
        except Unavailable as error:
            await _rest(error)
        except Refusal as error:
            log.warning("the vault does not take the demo's batch %s: %s", batch.batch_id, error)
            return
        else:
            return


async def _rest(error: Unavailable) -> None:
    await asyncio.sleep(max(0.2, min(error.retry_after, RETRY_SECONDS_MAX)))


class _Street:
    """Who drives by; some come again and again."""

    def __init__(self, choose: random.Random) -> None:
        self._choose = choose
        self._regulars = [self._new_plate() for _ in range(REGULARS)]

    def collector(self) -> str:
        return self._choose.choice(tuple(CAMERAS))

    def detection(self, collector_id: str, captured_at: datetime) -> OutgoingDetection:
        """A vehicle before one of the collector's cameras, drawn, and read more or less well."""
        choose = self._choose
        camera = choose.choice(CAMERAS[collector_id])
        plate = choose.choice(self._regulars) if choose.random() < 0.35 else self._new_plate()
        # The same plate is on the same vehicle whenever it comes.
        looks = int.from_bytes(hashlib.sha256(plate.encode()).digest()[:6])
        scene = draw_scene(plate, seed=looks, captured_at=captured_at, camera=f"{collector_id} {camera}")
        images = {"full": scene.full, "crop": scene.crop}
        makes = _MAKES.get(scene.vehicle_type, ("Ford",))
        entry = {
            "detection_id": f"demo-{choose.getrandbits(96):024x}",
            "captured_at": captured_at.astimezone(UTC).isoformat(),
            "camera_id": camera,
            **self._reading(plate),
            "region": _REGIONS[looks % len(_REGIONS)],
            "box": scene.box._asdict(),
            "vehicle": {"type": scene.vehicle_type, "make": makes[looks % len(makes)], "color": scene.color},
            "direction": "towards" if scene.facing == "front" else "away",
            "data": {"speed_kmh": choose.randint(18, 62), "source": "demo"},
            "images": manifest_entry(images),
        }
        return OutgoingDetection(file="", entry=entry, images=images)

    def _reading(self, plate: str) -> dict[str, Any]:
        """Mostly right and sure; now and then unsure, and then perhaps wrong."""
        choose = self._choose
        unsure = choose.random() < 0.15
        confidence = round(choose.uniform(0.38, 0.66) if unsure else choose.uniform(0.86, 0.995), 3)
        others = sorted({misread for _ in range(2) if (misread := self._misread(plate)) != plate})
        if not others or (not unsure and choose.random() < 0.6):
            return {"plate": plate, "confidence": confidence}
        texts = [plate, *others]
        if unsure and choose.random() < 0.4:
            texts[0], texts[1] = texts[1], texts[0]
        shares = [round(confidence * 0.8**rank, 3) for rank in range(len(texts))]
        candidates = [{"plate": text, "confidence": share} for text, share in zip(texts, shares, strict=True)]
        return {"plate": texts[0], "confidence": confidence, "candidates": candidates}

    def _misread(self, plate: str) -> str:
        places = [place for place, letter in enumerate(plate) if letter in _ALIKE]
        if not places:
            return plate
        place = self._choose.choice(places)
        return plate[:place] + self._choose.choice(_ALIKE[plate[place]]) + plate[place + 1 :]

    def _new_plate(self) -> str:
        letters = "".join(self._choose.choices(_LETTERS, k=4))
        return f"{letters[:2]}{self._choose.randint(100, 999)}{letters[2:]}"
