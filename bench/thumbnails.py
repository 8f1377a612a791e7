"""How many thumbnails a core makes: the renderer with everything that it costs, against Pillow's `thumbnail()`.

Interleaved: each round asks every candidate once, for the same picture, and ratios are taken within a round. Counted is CPU time,
that of the child processes included, so a busy machine does not decide. `pip install pyvips[binary] simplejpeg
opencv-python-headless` adds the candidates that were not chosen.
"""

import argparse
import asyncio
import importlib
import importlib.util
import io
import json
import os
import statistics
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from PIL import Image

from platevault.collector.photo import draw_scene
from platevault.domain.rendition_recipe import Recipe
from platevault.infra.imaging.decoder_pool import DecoderLimits, DecoderPool
from platevault.infra.imaging.transform import render

WIDE = 320
RECIPE = Recipe(width=WIDE, height=WIDE)
Candidate = Callable[[bytes], Awaitable[bytes]]


def pillow_thumbnail(original: bytes) -> bytes:
    image = Image.open(io.BytesIO(original))
    image.thumbnail((WIDE, WIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=RECIPE.quality)
    return file.getvalue()


def in_process(original: bytes) -> bytes:
    return render(original, RECIPE).data


def with_vips(original: bytes) -> bytes:
    pyvips = importlib.import_module("pyvips")
    return bytes(pyvips.Image.thumbnail_buffer(original, WIDE).jpegsave_buffer(Q=RECIPE.quality))


def with_turbojpeg_and_opencv(original: bytes) -> bytes:
    cv2, simplejpeg = importlib.import_module("cv2"), importlib.import_module("simplejpeg")
    cv2.setNumThreads(1)
    pixels = simplejpeg.decode_jpeg(original, "RGB", fastdct=True, fastupsample=True, min_width=WIDE, min_height=1)
    high = round(pixels.shape[0] * WIDE / pixels.shape[1])
    small = cv2.resize(pixels, (WIDE, high), interpolation=cv2.INTER_AREA)
    return bytes(simplejpeg.encode_jpeg(small, quality=RECIPE.quality, colorsubsampling="420", fastdct=True))


def children_cpu_seconds() -> float:
    """CPU of the child processes that run, to the nanosecond (Linux)."""
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) for pid in listed) / 1e9


async def measured(candidate: Candidate, original: bytes, times: int) -> tuple[float, float]:
    """(CPU, wall) in milliseconds for one picture."""
    cpu, wall = process_time() + children_cpu_seconds(), perf_counter()
    for _ in range(times):
        await candidate(original)
    return (
        (process_time() + children_cpu_seconds() - cpu) / times * 1000,
        (perf_counter() - wall) / times * 1000,
    )


def awaited(work: Callable[[bytes], bytes]) -> Candidate:
    async def candidate(original: bytes) -> bytes:
        return work(original)

    return candidate


async def compared(originals: list[bytes], *, rounds: int, times: int) -> dict[str, Any]:
    async with DecoderPool(accepted=frozenset({"image/jpeg"}), limits=DecoderLimits(children=1)) as renderer:

        async def in_a_child(original: bytes) -> bytes:
            return (await renderer.render(original, RECIPE)).data

        candidates = {"Pillow thumbnail()": awaited(pillow_thumbnail), "platevault, in a child": in_a_child}
        candidates["platevault, in process"] = awaited(in_process)
        if importlib.util.find_spec("pyvips"):
            candidates["libvips thumbnail"] = awaited(with_vips)
        if importlib.util.find_spec("simplejpeg") and importlib.util.find_spec("cv2"):
            candidates["turbojpeg + OpenCV"] = awaited(with_turbojpeg_and_opencv)
        for candidate in candidates.values():
            await candidate(originals[0])
        seen: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
        for round_number in range(rounds):
            for name, candidate in candidates.items():
                seen[name].append(await measured(candidate, originals[round_number % len(originals)], times))
    usual = seen["Pillow thumbnail()"]
    return {
        "pictures": len(originals),
        "bytes": round(statistics.median(len(original) for original in originals)),
        "rounds": rounds,
        "times": times,
        "candidates": {
            name: {
                "cpu_ms": round(statistics.median(cpu for cpu, _ in rows), 3),
                "wall_ms": round(statistics.median(wall for _, wall in rows), 3),
                "per_core_second": round(1000 / statistics.median(cpu for cpu, _ in rows), 1),
                "ratio": round(statistics.median(one[0] / row[0] for one, row in zip(usual, rows, strict=True)), 3),
            }
            for name, rows in seen.items()
        },
    }


def drawn() -> bytes:
    """A street of 1920 × 1080, with the grain of a sensor."""
    return draw_scene(
        "QX417ZB", seed=1, captured_at=datetime(2025, 6, 1, 12, tzinfo=UTC), camera="bench", width=1920, height=1080
    ).full


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--times", type=int, default=20, help="pictures of each candidate in a round")
    parser.add_argument("--images", type=Path, help="a folder of JPEGs, instead of a drawn one of 1920 × 1080")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    paths = sorted(asked.images.glob("*.jp*g")) if asked.images else []
    if asked.images and not paths:
        sys.exit(f"no JPEG in {asked.images}")
    result = asyncio.run(
        compared([path.read_bytes() for path in paths] or [drawn()], rounds=asked.rounds, times=asked.times)
    )
    if asked.json:
        print(json.dumps(result, indent=2))
        return
    print(
        f"{result['pictures']} picture(s), {result['bytes']:,} bytes, to {WIDE} pixels; medians of {asked.rounds} rounds"
    )
    print(f"{'':26}{'CPU ms':>9}{'wall ms':>9}{'a core':>9}{'ratio':>8}")
    for name, row in result["candidates"].items():
        print(f"{name:26}{row['cpu_ms']:9.2f}{row['wall_ms']:9.2f}{row['per_core_second']:9.0f}{row['ratio']:8.2f}")


if __name__ == "__main__":
    main()
