"""`platevault send` as a person runs it: a real process, against a real vault and against one that breaks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from platevault.collector.photo import draw_scene
from tests.collector.test_send import NOON, a_photo, keep
from tests.support.breaking_vault import Does, breaking_vault
from tests.support.processes import (
    COLLECTOR_TOKEN,
    LOOKING,
    VIEWER_TOKEN,
    environment_for,
    run_platevault,
    service,
    start_platevault,
)
from tests.support.servers import S3Server

PHOTOS = 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Drawn photographs, with a manifest."""
    made = tmp_path / "some photos"
    made.mkdir()
    rows = ["file,plate_x,plate_y,plate_w,plate_h,plate,camera,captured_at"]
    for number in range(PHOTOS):
        plate = f"QX{number:03}ZB"
        scene = draw_scene(plate, seed=number, captured_at=NOON, camera="lane-1", width=320, height=180)
        (made / f"{number}.jpg").write_bytes(scene.full)
        rows.append(
            f"{number}.jpg,{','.join(str(side) for side in scene.box)},{plate},lane-1,2025-01-15T12:00:{number:02}Z"
        )
    (made / "manifest.csv").write_text("\n".join(rows), encoding="utf-8")
    return made


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COLLECTOR_TOKEN": COLLECTOR_TOKEN}


def sent(folder: Path, url: str, *options: str, shell: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    ended = run_platevault(
        "send", str(folder), "--url", url, "--json", *options, environment=shell, folder=folder.parent
    )
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


def seen_at(url: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = httpx2.get(f"{url}/v1/detections?limit=200", headers=LOOKING).json()["items"]
    return items


def test_a_sender_that_is_killed_goes_on_and_the_vault_has_everything_once(
    migrated_url: str, seaweed: S3Server, folder: Path, shell: dict[str, str], port: int, tmp_path: Path
) -> None:
    environment = environment_for(migrated_url, seaweed, tmp_path)
    with service(environment, port=port, folder=tmp_path / "vault") as running:
        slowly = ("--batch-size", "1", "--parallel", "1")
        doomed = start_platevault(
            *("send", str(folder), "--url", running.url, *slowly),
            environment=shell,
            folder=tmp_path,
            log=tmp_path / "log",
        )
        end = time.monotonic() + 30
        while not seen_at(running.url) and time.monotonic() < end:
            time.sleep(0.005)
        doomed.kill()
        assert doomed.wait(60) == -signal.SIGKILL, "it was not done yet"
        code, summary = sent(folder, running.url, shell=shell)
        assert code == 0
        counted = summary["detections"]
        assert counted["created"] + counted["duplicate"] + counted["skipped"] == PHOTOS
        assert counted["created"] > 0
        items = seen_at(running.url)
        assert len(items) == PHOTOS
        for item in items:
            image = httpx2.get(
                f"{running.url}/v1/detections/{item['detection_id']}/images/full",
                headers=LOOKING,
                follow_redirects=True,
            )
            assert image.content == (folder / f"{int(item['plate'][2:5])}.jpg").read_bytes()
            assert set(item["images"]) == {"full", "crop"}
        assert sent(folder, running.url, shell=shell)[1]["detections"]["skipped"] == PHOTOS
        code, summary = sent(folder, running.url, "--again", shell=shell)
        assert (code, summary["detections"]["duplicate"]) == (0, PHOTOS)
        _, summary = sent(folder, running.url, "--again", shell=shell)
        assert summary["replayed_batches"] == 3, "the same again is the same batch"


def test_a_vault_that_restarts_in_the_middle_gets_everything(
    migrated_url: str, seaweed: S3Server, folder: Path, shell: dict[str, str], port: int, tmp_path: Path
) -> None:
    environment = environment_for(migrated_url, seaweed, tmp_path)
    crashing = {**environment, "PLATEVAULT_CRASH_AT": "rows-committed"}
    command = [sys.executable, "-m", "platevault", "send", str(folder), "--url", f"http://127.0.0.1:{port}", "--json"]
    with service(crashing, port=port, folder=tmp_path / "vault") as doomed:
        sender = subprocess.Popen(command, env=shell, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        assert doomed.process.wait(60) == -signal.SIGKILL, "it died right after it had committed a batch"
    with service(environment, port=port, folder=tmp_path / "vault") as running:
        out, _ = sender.communicate(timeout=60)
        assert sender.returncode == 0
        assert json.loads(out)["detections"]["created"] == PHOTOS, (
            "the batch whose answer was lost is answered the same"
        )
        assert len(seen_at(running.url)) == PHOTOS


def test_the_wrong_token_is_said_at_once(
    migrated_url: str, seaweed: S3Server, folder: Path, shell: dict[str, str], port: int, tmp_path: Path
) -> None:
    with service(environment_for(migrated_url, seaweed, tmp_path), port=port, folder=tmp_path / "vault") as running:
        for token, says in (("wrong", "does not know this token"), (VIEWER_TOKEN, "may not send")):
            code, summary = sent(folder, running.url, "--token", token, shell=shell)
            assert code == 1
            assert says in summary["stopped"]
            assert summary["detections"]["unsent"] == PHOTOS


def test_what_the_vault_rejects_is_listed_and_the_exit_code_says_so(
    migrated_url: str, seaweed: S3Server, shell: dict[str, str], port: int, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    keep(photos / "a.jpg", a_photo(1))
    keep(photos / "b.png", b"\x89PNG\r\n\x1a\n and so on")
    keep(photos / "c.jpg", b"")
    with service(environment_for(migrated_url, seaweed, tmp_path), port=port, folder=tmp_path / "vault") as running:
        ended = run_platevault("send", str(photos), "--url", running.url, environment=shell, folder=tmp_path)
    assert ended.returncode == 1
    assert "2 created" in ended.stdout
    assert "1 rejected" in ended.stdout
    assert "1 unusable" in ended.stdout
    assert f"journal:    {photos}/.platevault-send.jsonl" in ended.stdout
    assert "problem: b.png: its image full was not kept" in ended.stderr
    assert "problem: c.jpg: the file is empty" in ended.stderr
    assert "\x1b" not in ended.stdout + ended.stderr, "no progress bar where there is no terminal"


def test_the_summary_says_how_many_times_had_no_zone_and_which_one_was_taken(
    tmp_path: Path, shell: dict[str, str]
) -> None:
    folder = tmp_path / "cameras"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x8769] = {0x9003: "2025:03:01 08:00:00"}
    (folder / "a.jpg").write_bytes(a_photo(1, exif=exif))
    (folder / "b.jpg").write_bytes(a_photo(2))
    with breaking_vault() as vault:
        code, told = sent(folder, vault.url, "--time-zone", "Europe/Berlin", shell=shell)
    assert (code, told["zones_assumed"]) == (0, 1)
    assert any("without a zone: taken as Europe/Berlin" in note for note in told["notes"])
    assert "2025-03-01T07:00:00+00:00" in {entry["captured_at"] for m in vault.manifests for entry in m["detections"]}


def test_a_file_name_cannot_write_lines_or_terminal_commands_of_its_own(tmp_path: Path, shell: dict[str, str]) -> None:
    folder = tmp_path / "cameras"
    folder.mkdir()
    (folder / "odd\nproblem: none\x1b[2J.jpg").write_bytes(b"no image")
    with breaking_vault() as vault:
        ended = run_platevault("send", str(folder), "--url", vault.url, environment=shell, folder=tmp_path)
    assert ended.returncode == 1
    assert "problem: odd\\nproblem: none\\x1b[2J.jpg: its first bytes" in ended.stderr


def test_a_photograph_given_in_place_of_its_folder_is_said_to_be_neither(tmp_path: Path, shell: dict[str, str]) -> None:
    (tmp_path / "a.jpg").write_bytes(a_photo(1))
    with breaking_vault() as vault:
        ended = run_platevault("send", "a.jpg", "--url", vault.url, environment=shell, folder=tmp_path)
    assert "platevault: a.jpg: neither a folder nor a manifest, whose name ends in .csv" in ended.stderr


def test_ctrl_c_leaves_a_journal_to_go_on_with(folder: Path, shell: dict[str, str], tmp_path: Path) -> None:
    with breaking_vault() as vault:
        vault.always = Does(status=503, retry_after="60")
        command = [sys.executable, "-m", "platevault", "send", str(folder), "--url", vault.url]
        # A suite that runs in the background has Ctrl-C ignored, and would hand that on.
        listens = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        sender = subprocess.Popen(
            command,
            env=shell,
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=listens,  # noqa: PLW1509  it sets one signal, and no thread of ours holds a lock that it needs
        )
        assert sender.stderr is not None
        assert "waiting" in sender.stderr.readline()
        sender.send_signal(signal.SIGINT)
        _, told = sender.communicate(timeout=60)
        assert sender.returncode == 130
        assert "interrupted" in told
        assert "Traceback" not in told
        vault.always = None
        assert sent(folder, vault.url, shell=shell)[1]["detections"]["created"] == PHOTOS


def test_what_cannot_be_right_is_said_before_anything_is_sent(
    folder: Path, shell: dict[str, str], tmp_path: Path
) -> None:
    for options, says in (
        (["--url", "vault:8000"], "looks like https://"),
        (["--url", "http://127.0.0.1:1", "--collector", "no good"], "--collector"),
        (["--url", "http://127.0.0.1:1", "--camera", ""], "--camera"),
    ):
        ended = run_platevault("send", str(folder), *options, environment=shell, folder=tmp_path)
        assert ended.returncode == 2
        assert says in ended.stderr
        assert "Traceback" not in ended.stderr
