"""What the proof sends: the photographs of a folder, or drawn scenes; as they are, or many times over."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from platevault.collector.photo import draw_scene

DRAWN: Final = 24


def folder_to_send(given: str | None, *, into: Path) -> Path:
    """The folder that was given; else one with drawn scenes."""
    if given:
        return Path(given).resolve()
    into.mkdir()
    now = datetime.now(UTC)
    for number in range(DRAWN):
        seen = now - timedelta(minutes=number)
        scene = draw_scene(f"XA{number:03}ZZ", seed=number, captured_at=seen, camera=f"lane-{number % 2}")
        (into / f"scene-{number:03}.jpg").write_bytes(scene.full)
    return into


def pictures(folder: Path) -> list[Path]:
    """The JPEGs in it, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg"})


def digests(paths: Iterable[Path]) -> set[str]:
    """SHA-256 of each file."""
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def long_row(source: Path, *, into: Path, name: str, count: int) -> tuple[Path, set[str]]:
    """A folder whose manifest names so many detections, so that there is a middle to break in; and their ids."""
    into.mkdir()
    copies = [Path(shutil.copy(path, into)) for path in pictures(source)]
    now = datetime.now(UTC)
    rows = [
        {
            "file": copies[number % len(copies)].name,
            "detection_id": f"{name}-{number:04}",
            "captured_at": (now - timedelta(seconds=count - number)).isoformat(),
            "camera": "lane-1",
            "x": 40, "y": 40, "width": 160, "height": 60,
        }
        for number in range(count)
    ]  # fmt: skip
    (into / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return into, {str(row["detection_id"]) for row in rows}
