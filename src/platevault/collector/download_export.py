"""Fetch an export into files, part by part: what is on the disk is whole, and is where an interrupted one goes on."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from platevault.collector.api_client import VaultApi
from platevault.collector.export_parts import Part, PartDraft, part_path, read_part
from platevault.domain.errors import Corrupted, SettingsInvalid, Unavailable

WAIT_AT_LEAST_SECONDS: Final = 1.0
WAIT_AT_MOST_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadProgress:
    """Who is told how it goes."""

    begun: Callable[[Path], None] = lambda _path: None
    moved: Callable[[int], None] = lambda _count: None
    waiting: Callable[[str, float], None] = lambda _why, _seconds: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which vault is asked, with which token, and why (the headers X-Purpose and X-Case)."""

    url: str
    token: str | None
    why: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadPatience:
    """How long to go on without any success, in seconds of `clock`."""

    give_up_after: float
    clock: Callable[[], float]


@dataclass(kw_only=True)
class DownloadedExport:
    """The archives that are there, in order; `stopped` says why there are not all."""

    parts: list[Part] = field(default_factory=list)
    found: int = 0
    stopped: str | None = None

    @property
    def counts(self) -> Counter[str]:
        return sum((Counter(part.counts) for part in self.parts), Counter[str]())


async def download_export(
    filters: Mapping[str, Any],
    *,
    part_size: int,
    out: Path,
    origin: Origin,
    patience: DownloadPatience,
    watch: DownloadProgress,
) -> DownloadedExport:
    """Archives of at most `part_size` detections: `out`, then the same name with -2, -3 and so on.

    Parts that are there are not fetched again. Raises `SettingsInvalid` when `out` is something else, or another export, and
    what the vault refuses.
    """
    fetched = DownloadedExport()
    vault = VaultApi(origin.url, token=origin.token)
    try:
        cursor: str | None = None
        while not fetched.parts or cursor is not None:
            path = part_path(out, len(fetched.parts) + 1)
            asked = {**filters, "limit": part_size} | ({} if cursor is None else {"cursor": cursor})
            if path.exists():
                part = await _there(path, asked)
                fetched.found += 1
            else:
                watch.begun(path)
                fetch = partial(_fetch, path, asked, why=origin.why, vault=vault, watch=watch)
                part = await _patiently(fetch, patience, watch)
            fetched.parts.append(part)
            cursor = part.next_cursor
    except (Unavailable, Corrupted) as error:
        fetched.stopped = str(error)
    finally:
        await vault.close()
    return fetched


async def _there(path: Path, asked: Mapping[str, Any]) -> Part:
    """A part of before. The size of parts may be another now."""
    try:
        part = await asyncio.to_thread(read_part, path, images=False)
    except Corrupted as error:
        raise SettingsInvalid(f"--out: {error}: move it away, or choose another name") from error
    same = {name: value for name, value in asked.items() if name != "limit"}
    if {name: value for name, value in part.filters.items() if name != "limit"} != same:
        raise SettingsInvalid(f"--out: {path} is of another export: choose another name")
    return part


async def _patiently(fetch: Callable[[], Awaitable[Part]], patience: DownloadPatience, watch: DownloadProgress) -> Part:
    began = patience.clock()
    pause = WAIT_AT_LEAST_SECONDS
    while True:
        try:
            return await fetch()
        except (Unavailable, Corrupted) as error:
            pause = min(WAIT_AT_MOST_SECONDS, max(2 * pause, float(getattr(error, "retry_after", 0))))
            if patience.clock() + pause - began > patience.give_up_after:
                raise
            watch.waiting(str(error), pause)
            await asyncio.sleep(pause)


async def _fetch(
    path: Path, asked: Mapping[str, Any], *, why: Mapping[str, str], vault: VaultApi, watch: DownloadProgress
) -> Part:
    draft = await asyncio.to_thread(PartDraft, path)
    try:
        async with aclosing(vault.export(asked, why=why)) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(draft.write, chunk)
                watch.moved(len(chunk))
        return await asyncio.to_thread(draft.keep)
    finally:
        draft.drop()
