"""`platevault export` against a real vault: whole files, an interruption, and what it refuses to take for its own."""

import asyncio
import hashlib
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner

from platevault.app.vault import Vault
from platevault.cli import app
from platevault.infra.objectstore import NewObject
from platevault.web.app import build_app
from tests.makers import NOON, a_detection, an_image
from tests.outage.site import free_port
from tests.support.vaults import VIEWER, a_vault, keep, looks

DETECTIONS = 7


@pytest.fixture
async def vault(migrated_url: str, tmp_path: Path) -> AsyncIterator[Vault]:
    vault = a_vault(migrated_url, tmp_path)
    for number in range(DETECTIONS):
        data = b"\xff\xd8 image " + str(number).encode()
        image = an_image("full", sha256=hashlib.sha256(data).digest(), size=len(data))
        row = a_detection(f"evt_{number}", captured_at=NOON - timedelta(minutes=number), images=[image])
        await keep(vault, row)
        await vault.objects.create(
            str(row.images[0]["key"]), NewObject(data=data, content_type="image/jpeg", metadata={})
        )
    yield vault
    await vault.database.close()


@asynccontextmanager
async def listening(vault: Vault) -> AsyncIterator[str]:
    """The URL of a server around the vault."""
    port = free_port()
    config = uvicorn.Config(build_app(vault), port=port, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


async def exported(url: str, out: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """(exit code, the summary) of a run."""
    arguments = ["export", "--url", url, "--token", VIEWER, "--out", str(out), "--json", *more]
    run = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    # The vault of this process logs into the same output.
    told = run.stdout.find("{\n")
    if told < 0:
        return run.exit_code, {"error": repr(run.exception)}
    return run.exit_code, json.JSONDecoder().raw_decode(run.stdout[told:])[0]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_all_that_was_asked_for_is_here_in_archives_that_open(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    reason = ("--purpose", "Diebstahl in Köln", "--case", "2025-0117")
    async with listening(vault) as url:
        code, told = await exported(url, folder / "stops.zip", "--part", "3", "--plate", "ab*", *reason)
    assert (code, told["ok"], told["counts"]["included"]) == (0, True, DETECTIONS)
    assert names(folder) == ["stops-2.zip", "stops-3.zip", "stops.zip"]
    seen = []
    for name in ("stops.zip", "stops-2.zip", "stops-3.zip"):
        with zipfile.ZipFile(folder / name) as archive:
            manifest = json.loads(archive.read("manifest.json"))
        assert manifest["exported_by"]["purpose"] == "Diebstahl in Köln"
        seen += [one["detection_id"] for one in manifest["detections"]]
    assert seen == [f"evt_{number}" for number in range(DETECTIONS)]
    assert {(look["purpose"], look["case"]) for look in await looks(vault)} == {("Diebstahl in Köln", "2025-0117")}


async def test_it_goes_on_where_it_was_interrupted(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    async with listening(vault) as url:
        await exported(url, folder / "stops.zip", "--part", "3")
        kept = (folder / "stops.zip").stat()
        (folder / "stops-2.zip").rename(folder / "stops-2.zip.part")  # as a killed run leaves it
        (folder / "stops-3.zip").unlink()
        before = len(await looks(vault))
        code, told = await exported(url, folder / "stops.zip", "--part", "2")
    assert (code, told["found_before"], told["counts"]["detections"]) == (0, 1, DETECTIONS)
    assert names(folder) == ["stops-2.zip", "stops-3.zip", "stops.zip"]
    assert (folder / "stops.zip").stat().st_mtime_ns == kept.st_mtime_ns
    shown = [name for look in (await looks(vault))[before:] for name in look["detection_ids"]]
    assert shown == [f"evt_{number}" for number in range(3, DETECTIONS)]


async def test_what_is_in_the_way_is_neither_overwritten_nor_taken_for_its_own(vault: Vault, tmp_path: Path) -> None:
    foreign = tmp_path / "holiday.zip"
    foreign.write_bytes(b"my photographs")
    async with listening(vault) as url:
        code, told = await exported(url, foreign)
        assert (code, foreign.read_bytes()) == (1, b"my photographs")
        assert "--out" in told["error"]
        await exported(url, tmp_path / "stops.zip", "--plate", "ab*")
        code, told = await exported(url, tmp_path / "stops.zip", "--plate", "zz*")
        assert code == 1
        assert "another export" in told["error"]


async def test_a_connection_that_is_cut_leaves_no_archive_behind(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    whole = tmp_path / "whole.zip"
    async with listening(vault) as url:
        await exported(url, whole)
    half = whole.read_bytes()[:500]

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(half), half))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        code, told = await exported(f"http://127.0.0.1:{port}", folder / "stops.zip", "--give-up-after", "0")
    assert (code, told["ok"], told["complete"]) == (1, False, False)
    assert "cut" in told["stopped"]
    assert names(folder) == []


@pytest.mark.parametrize("change", ["cut", "bit", "added"])
async def test_an_archive_that_is_not_what_was_sent_is_not_kept(vault: Vault, tmp_path: Path, change: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    whole = tmp_path / "whole.zip"
    async with listening(vault) as url:
        await exported(url, whole)
    data = bytearray(whole.read_bytes())
    if change == "cut":
        del data[-100:]
    elif change == "bit":
        data[data.index(b"image 3")] ^= 1
    else:
        with zipfile.ZipFile(whole, "a") as archive:
            archive.writestr("full/2025/01/15/evt_9_full.jpg", b"smuggled")
        data = bytearray(whole.read_bytes())

    async def forge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(data), bytes(data)))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(forge, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        code, told = await exported(f"http://127.0.0.1:{port}", folder / "stops.zip", "--give-up-after", "0")
    assert (code, told["complete"], names(folder)) == (1, False, [])


async def test_images_that_another_export_may_have_are_no_success(vault: Vault, tmp_path: Path) -> None:
    images = [an_image("full", state="pending"), an_image("crop", state="expired")]
    await keep(vault, a_detection("evt_9", images=images))
    async with listening(vault) as url:
        code, told = await exported(url, tmp_path / "stops.zip")
    assert (code, told["ok"], told["complete"]) == (1, False, True)
    assert (told["counts"]["pending"], told["counts"]["expired"]) == (1, 1)


async def test_a_vault_that_refuses_is_not_asked_again(vault: Vault, tmp_path: Path) -> None:
    async with listening(vault) as url:
        code, told = await exported(url, tmp_path / "stops.zip", "--plate", "---")
        assert code == 1
        assert "plate: " in told["error"]
        run = await asyncio.to_thread(
            CliRunner().invoke, app, ["export", "--url", url, "--token", "wrong", "--out", str(tmp_path / "a.zip")]
        )
        assert "bearer token" in str(run.exception)
