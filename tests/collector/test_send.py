"""Sending a folder: through every way a vault can break, nothing is lost, nothing is sent as something new twice."""

import asyncio
import io
import itertools
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from platevault.collector.api_client import VaultApi
from platevault.collector.batch import Photo, SendTotals, encode_batch, outgoing_detection
from platevault.collector.demo_feed import CAMERAS, feed
from platevault.collector.photo import Box
from platevault.collector.send import Destination, SendOptions, SendProgress, journal_for, send
from platevault.collector.time_zone import AssumedZone
from platevault.domain.errors import InvalidRequest, SettingsInvalid
from tests.support.breaking_vault import LOSES_THE_ANSWER, RESET_MID_BODY, BreakingVault, Does, breaking_vault

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
NOON = datetime(2025, 1, 15, 12, tzinfo=UTC)
COLORS = ("navy", "red", "green", "white", "black", "yellow", "cyan")


@pytest.fixture
def vault() -> Iterator[BreakingVault]:
    with breaking_vault() as started:
        yield started


def a_photo(number: int, *, size: tuple[int, int] = (64, 48), exif: Image.Exif | None = None) -> bytes:
    image = Image.new("RGB", size, COLORS[number % len(COLORS)])
    image.putpixel((number % size[0], number // size[0]), (1, 2, 3))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=98, subsampling=0, exif=exif or Image.Exif())
    return out.getvalue() + bytes([number])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven photographs of noon, with a manifest that gives each a box."""
    made = tmp_path / "photos"
    made.mkdir()
    for number in range(7):
        keep(made / f"car{number}.jpg", a_photo(number))
    rows = [f"car{number}.jpg,{number},4,20,10,AB{number}" for number in range(7)]
    (made / "manifest.csv").write_text("\n".join(["file,x,y,width,height,plate", *rows]), encoding="utf-8")
    return made


def keep(path: Path, data: bytes, *, at: datetime = NOON) -> None:
    path.write_bytes(data)
    os.utime(path, (at.timestamp(), at.timestamp()))


@dataclass
class Seen:
    total: int = 0
    done: int = 0
    waits: list[tuple[str, float]] = field(default_factory=list)

    def begun(self, total: int) -> None:
        self.total = total

    def moved(self, count: int) -> None:
        self.done += count

    def waiting(self, why: str, seconds: float) -> None:
        self.waits.append((why, seconds))


async def until(there: Callable[[], bool]) -> None:
    for _ in range(4000):
        if there():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to that")


async def run(
    source: Path,
    vault: BreakingVault,
    *,
    seen: Seen | None = None,
    journal: Path | None = None,
    collector_id: str = "gate-1",
    **manner: Any,
) -> SendTotals:
    """Send it, a hundred times as impatient as usual."""
    seen = seen or Seen()
    how: dict[str, Any] = {"batch_size": 3, "parallel": 1, "give_up_after": 20.0, "again": False}
    clock = asyncio.get_running_loop().time
    tally = SendTotals()
    await send(
        source,
        to=Destination(url=vault.url, token="secret", collector_id=collector_id, camera_id="lane-1"),
        manner=SendOptions(**how | manner, now=lambda: NOW, clock=clock, jitter=lambda: 0.01),
        journal=journal or journal_for(source, state_folder=source / "state"),
        watch=SendProgress(begun=seen.begun, moved=seen.moved, waiting=seen.waiting),
        tally=tally,
    )
    return tally


async def test_every_photo_arrives_with_its_crop_and_what_is_known_of_it(folder: Path, vault: BreakingVault) -> None:
    seen = Seen()
    tally = await run(folder, vault, seen=seen)
    assert tally.ok
    assert tally.outcomes == {"created": 7}
    assert tally.images == {"pending": 14}
    assert (seen.total, seen.done) == (7, 7)
    [first, *_] = vault.manifests[0]["detections"]
    assert first["plate"] == "AB0"
    assert first["camera_id"] == "lane-1"
    assert first["box"] == {"x": 0, "y": 4, "width": 20, "height": 10}
    assert datetime.fromisoformat(first["captured_at"]) == NOON
    arrived = vault.taken[first["detection_id"]]
    assert arrived["full"] == a_photo(0)
    assert Image.open(io.BytesIO(arrived["crop"])).size == (20, 10)
    assert tally.image_bytes == sum(len(data) for images in vault.taken.values() for data in images.values())


@pytest.mark.parametrize(
    "breaks",
    [
        Does(status=503, retry_after="1"),
        Does(status=503, take=True),
        Does(status=429, retry_after="1"),
        Does(status=502),
        RESET_MID_BODY,
        LOSES_THE_ANSWER,
    ],
    ids=["503", "503 after acceptance", "429", "502 of a proxy", "reset in the body", "answer lost"],
)
@pytest.mark.parametrize("parallel", [1, 3])
async def test_what_breaks_for_a_while_is_tried_again_with_the_same_batch(
    breaks: Does, parallel: int, folder: Path, vault: BreakingVault
) -> None:
    vault.script = [breaks, breaks]
    tally = await run(folder, vault, parallel=parallel)
    assert tally.ok
    assert tally.outcomes["created"] + tally.outcomes["duplicate"] == 7
    assert len(vault.taken) == 7
    assert len(set(vault.batches)) == 3, "three batches, however often each came"


async def test_the_vault_says_how_long_to_wait_but_not_for_ever(folder: Path, vault: BreakingVault) -> None:
    seen = Seen()
    vault.script = [Does(status=503, retry_after="7"), Does(status=503, retry_after="99999")]
    assert (await run(folder, vault, seen=seen)).ok
    assert [seconds for _, seconds in seen.waits] == [pytest.approx(0.07), pytest.approx(1.2)]


async def test_without_any_success_it_gives_up_and_a_later_run_goes_on(folder: Path, vault: BreakingVault) -> None:
    assert (await run(folder, vault)).ok
    other = folder.parent / "other.jsonl"
    vault.always = Does(status=503, retry_after="1")
    stopped = await run(folder, vault, journal=other, give_up_after=0.05)
    assert not stopped.ok
    assert stopped.stopped is not None
    assert "gave up" in stopped.stopped
    assert stopped.unsent == 7
    vault.always = None
    assert (await run(folder, vault, journal=other)).outcomes == {"duplicate": 7}


async def test_a_vault_that_is_not_there_is_waited_for_and_then_given_up(folder: Path, vault: BreakingVault) -> None:
    gone = BreakingVault(url="http://127.0.0.1:1")
    seen = Seen()
    tally = await run(folder, gone, seen=seen, give_up_after=0.1)
    assert tally.unsent == 7
    assert "cannot reach http://127.0.0.1:1" in seen.waits[0][0]


async def test_an_interrupted_run_goes_on_where_it_was_and_sends_the_same_batches(
    folder: Path, vault: BreakingVault
) -> None:
    seen = Seen()
    vault.script = [LOSES_THE_ANSWER, None, Does(status=503, retry_after="100", take=True)]
    first = asyncio.create_task(run(folder, vault, seen=seen))
    await until(lambda: len(seen.waits) == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    tally = await run(folder, vault)
    assert tally.ok
    assert tally.outcomes == {"skipped": 3, "duplicate": 3, "created": 1}
    assert len(vault.taken) == 7
    assert len(set(vault.batches)) == 3


async def test_what_was_acknowledged_is_skipped_and_sent_again_on_request(folder: Path, vault: BreakingVault) -> None:
    await run(folder, vault)
    assert (await run(folder, vault)).outcomes == {"skipped": 7}
    assert len(vault.batches) == 3
    assert (await run(folder, vault, again=True)).outcomes == {"duplicate": 7}
    assert vault.batches[:3] == vault.batches[3:], "the same content is the same batch"


async def test_another_collector_and_another_vault_know_nothing_of_it(folder: Path, vault: BreakingVault) -> None:
    await run(folder, vault)
    assert (await run(folder, vault, collector_id="gate-2")).outcomes == {"created": 7}
    with breaking_vault() as elsewhere:
        assert (await run(folder, elsewhere)).outcomes == {"created": 7}


async def test_a_torn_last_line_of_the_journal_costs_one_batch_sent_again(folder: Path, vault: BreakingVault) -> None:
    await run(folder, vault)
    journal = folder / ".platevault-send.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-25])
    assert (await run(folder, vault)).outcomes == {"skipped": 6, "duplicate": 1}
    assert (await run(folder, vault)).outcomes == {"skipped": 7}, "what followed the torn line was not glued to it"


@pytest.mark.parametrize("status", [409, 422])
async def test_a_batch_that_is_refused_is_set_aside_and_the_rest_goes_on(
    status: int, folder: Path, vault: BreakingVault
) -> None:
    refused = [{"detection_id": "x", "reasons": ["captured_at: check the clock"]}]
    vault.script = [Does(status=status, body={"detail": "so it is", "part": "batch", "refused": refused})]
    tally = await run(folder, vault)
    assert not tally.ok
    assert tally.stopped is None
    assert tally.outcomes == {"created": 4, "set_aside": 3}
    [file] = tally.set_aside
    assert Path(file).parent == folder / "set-aside"
    told = json.loads(Path(file).read_text(encoding="utf-8"))
    assert told["problem"]["detail"] == "so it is"
    assert [one["file"] for one in told["detections"]] == ["car0.jpg", "car1.jpg", "car2.jpg"]
    assert "AB0" not in Path(file).read_text(encoding="utf-8")
    assert (await run(folder, vault)).outcomes == {"skipped": 4, "created": 3}, (
        "it is tried again, once, by the next run"
    )


async def test_one_image_that_is_too_large_takes_no_other_with_it(folder: Path, vault: BreakingVault) -> None:
    keep(folder / "car1.jpg", a_photo(1) + b"\0" * 60_000)
    vault.body_bytes_max = 50_000
    tally = await run(folder, vault)
    assert tally.outcomes == {"created": 6, "set_aside": 1}
    assert "car1.jpg" in tally.problems[0]


@pytest.mark.parametrize(
    ("status", "says"), [(401, "does not know this token"), (403, "may not send"), (404, "is a vault there")]
)
async def test_what_no_retry_can_change_stops_at_once_with_a_sentence(
    status: int, says: str, folder: Path, vault: BreakingVault
) -> None:
    vault.always = Does(status=status)
    tally = await run(folder, vault, parallel=2)
    assert tally.unsent == 7
    assert tally.stopped is not None
    assert says in tally.stopped


async def test_only_what_is_acknowledged_counts_and_the_rest_is_listed(folder: Path, vault: BreakingVault) -> None:
    await run(folder, vault)
    ids = [one["detection_id"] for manifest in vault.manifests for one in manifest["detections"]]
    vault.says = {
        ids[0]: {"status": "refused", "reasons": ["confidence: too much"], "images": {}},
        ids[1]: {"status": "conflict", "differs": ["images.crop"]},
        ids[2]: {"images": {"full": {"state": "rejected", "reason": "not a JPEG"}}},
        ids[3]: {"detection_id": "somebody-else"},
    }
    (folder / ".platevault-send.jsonl").unlink()
    tally = await run(folder, vault)
    assert not tally.ok
    assert tally.outcomes == {"refused": 1, "conflict": 1, "created": 1, "unanswered": 1, "duplicate": 3}
    for problem, words in zip(
        tally.problems,
        ("confidence: too much", "images.crop", "full was not kept: not a JPEG", "not mention"),
        strict=True,
    ):
        assert words in problem
    vault.says = {ids[2]: vault.says[ids[2]]}
    again = await run(folder, vault)
    assert again.outcomes["skipped"] == 3
    assert not again.ok, "an image that was not kept is named at each run"
    assert ["full was not kept: not a JPEG" in problem for problem in again.problems] == [True]


async def test_bad_rows_missing_and_empty_files_are_told_and_the_rest_goes(folder: Path, vault: BreakingVault) -> None:
    keep(folder / "empty.jpg", b"")
    (folder.parent / "outside.jpg").write_bytes(a_photo(9))
    (folder / "link.jpg").symlink_to(folder.parent / "outside.jpg")
    with (folder / "manifest.csv").open("a", encoding="utf-8") as file:
        file.write("\nempty.jpg,,,,,\nnone.jpg,,,,,\n../outside.jpg,,,,,\nlink.jpg,,,,,\n")
    tally = await run(folder, vault)
    assert tally.outcomes == {"created": 7, "unusable": 4}
    assert not tally.ok
    told = "\n".join(tally.problems)
    for words in (
        "manifest.csv line 11: file: '../outside.jpg' is outside",
        "line 9 (empty.jpg): the file is empty",
        "line 10 (none.jpg): No such file",
        "line 12 (link.jpg): leads outside the folder",
    ):
        assert words in told


async def test_a_plain_folder_sends_its_images_and_the_same_file_once(tmp_path: Path, vault: BreakingVault) -> None:
    keep(tmp_path / "b.jpg", a_photo(1))
    keep(tmp_path / "copy.jpg", a_photo(1))
    keep(tmp_path / "broken.JPG", b"\xff\xd8\xff\xe0 broken")
    keep(tmp_path / "notes.txt", b"no image")
    keep(tmp_path / ".hidden.jpg", a_photo(2))
    tally = await run(tmp_path, vault)
    assert tally.ok
    assert tally.outcomes == {"created": 2, "repeated": 1}
    assert sorted(set(images) for images in vault.taken.values()) == [{"full"}, {"full"}]
    assert (tmp_path / ".platevault-send.jsonl").exists()


async def test_a_copy_in_a_later_batch_is_a_repetition_and_not_an_earlier_run(
    tmp_path: Path, vault: BreakingVault
) -> None:
    keep(tmp_path / "a.jpg", a_photo(1))
    keep(tmp_path / "copy.jpg", a_photo(1))
    assert (await run(tmp_path, vault, batch_size=1)).outcomes == {"created": 1, "repeated": 1}
    assert (await run(tmp_path, vault, batch_size=1)).outcomes == {"skipped": 2}


async def test_folders_inside_are_named_because_they_are_not_searched(tmp_path: Path, vault: BreakingVault) -> None:
    keep(tmp_path / "a.jpg", a_photo(1))
    for name in ("2026", ".git", "set-aside"):
        (tmp_path / name).mkdir()
    assert (await run(tmp_path, vault)).notes == ["2026: a folder, which is not searched: send it by its own path"]


async def test_times_that_the_vault_doubts_are_counted(folder: Path, vault: BreakingVault) -> None:
    await run(folder, vault)
    named = vault.manifests[0]["detections"][0]["detection_id"]
    vault.says = {named: {"clock_suspect": True}}
    tally = await run(folder, vault, again=True)
    assert (tally.ok, tally.times_doubted) == (True, 1)


async def test_a_connection_that_is_cut_is_named(folder: Path, vault: BreakingVault) -> None:
    vault.script, seen = [RESET_MID_BODY], Seen()
    await run(folder, vault, seen=seen)
    assert not seen.waits[0][0].endswith(": "), "httpx gives an error without words"


async def test_the_first_bytes_decide_what_an_image_is_and_not_the_name(tmp_path: Path, vault: BreakingVault) -> None:
    keep(tmp_path / "IMG_0001", a_photo(1))
    keep(tmp_path / "LICENSE", b"no image")
    keep(tmp_path / "text.jpg", b"<html>not found</html>")
    keep(tmp_path / "half.jpg.part", a_photo(2))
    tally = await run(tmp_path, vault)
    assert tally.outcomes == {"created": 1, "unusable": 1}
    assert tally.problems == ["text.jpg: its first bytes are not those of a JPEG, PNG, WebP, AVIF or TIFF"]


async def test_links_out_of_the_folder_are_not_followed_and_those_inside_are(
    tmp_path: Path, vault: BreakingVault
) -> None:
    folder, outside = tmp_path / "photos", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    keep(outside / "secret.jpg", a_photo(1))
    keep(folder / "own.jpg", a_photo(2))
    (folder / "inside.jpg").symlink_to("own.jpg")
    (folder / "secret.jpg").symlink_to(outside / "secret.jpg")
    (folder / "secret").symlink_to(outside / "secret.jpg")
    (folder / "folder.jpg").symlink_to(outside)
    (folder / "here.jpg").symlink_to(folder)
    (folder / "dangling.jpg").symlink_to(folder / "none")
    (folder / "loop.jpg").symlink_to("pool.jpg")
    (folder / "pool.jpg").symlink_to("loop.jpg")
    tally = await run(folder, vault)
    assert (tally.outcomes["created"], tally.outcomes["unusable"]) == (1, 4)
    assert tally.outcomes["repeated"] == 1, "the link inside, sent once"
    told = "\n".join(tally.problems)
    for name in ("dangling.jpg: No such file", "loop.jpg: ", "pool.jpg: ", "secret.jpg: leads outside the folder"):
        assert name in told
    assert all(len(images) == 1 for images in vault.taken.values())


async def test_a_manifest_that_is_a_link_out_of_the_folder_is_not_read(folder: Path, vault: BreakingVault) -> None:
    (folder / "manifest.csv").rename(folder.parent / "manifest.csv")
    (folder / "manifest.csv").symlink_to(folder.parent / "manifest.csv")
    with pytest.raises(InvalidRequest, match="leads outside the folder"):
        await run(folder, vault)
    assert not vault.taken


async def test_the_journal_is_written_through_no_link(folder: Path, tmp_path: Path, vault: BreakingVault) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    (folder / ".platevault-send.jsonl").symlink_to(victim)
    with pytest.raises(SettingsInvalid, match="name another with --journal"):
        await run(folder, vault)
    assert victim.read_text(encoding="utf-8") == "mine"
    (folder / ".platevault-send.jsonl").unlink()
    aside = tmp_path / "elsewhere"
    aside.mkdir()
    (folder / "set-aside").symlink_to(aside)
    vault.always = Does(status=422)
    tally = await run(folder, vault)
    assert "set-aside beside it is a link" in str(tally.stopped)
    assert list(aside.iterdir()) == []


async def test_two_plates_of_one_photo_are_two_detections(tmp_path: Path, vault: BreakingVault) -> None:
    keep(tmp_path / "a.jpg", a_photo(1))
    (tmp_path / "list.jsonl").write_text(
        '{"file": "a.jpg", "box": {"x": 1, "y": 1, "width": 9, "height": 9}}\n{"file": "a.jpg", "x": 20, "y": 1, "width": 9, "height": 9}\n',
        encoding="utf-8",
    )
    assert (await run(tmp_path / "list.jsonl", vault)).outcomes == {"created": 2}


async def test_two_senders_do_not_share_a_journal(folder: Path, vault: BreakingVault) -> None:
    vault.always = Does(status=503, retry_after="100")
    first = asyncio.create_task(run(folder, vault))
    await until((folder / ".platevault-send.jsonl").exists)
    with pytest.raises(SettingsInvalid, match="another `platevault send`"):
        await run(folder, vault)
    first.cancel()
    await asyncio.wait({first})


async def test_nothing_to_send_and_no_url_are_said_at_once(folder: Path, tmp_path: Path, vault: BreakingVault) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InvalidRequest, match="no image"):
        await run(empty, vault)
    (folder / "manifest.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(InvalidRequest, match="name the one"):
        await run(folder, vault)
    with pytest.raises(SettingsInvalid, match="looks like"):
        await run(folder, BreakingVault(url="vault.example:8000"))


def test_a_folder_that_is_meant_to_stay_as_it_is_gets_no_journal(folder: Path, tmp_path: Path) -> None:
    folder.chmod(0o555)
    state = tmp_path / "state"
    try:
        assert journal_for(folder, state_folder=state).parent == state / "platevault"
        assert journal_for(folder / "manifest.csv", state_folder=state) == journal_for(folder, state_folder=state)
    finally:
        folder.chmod(0o755)


def made(
    photo: Photo, data: bytes, *, written_at: datetime = NOON, collector_id: str = "gate-1", zone: str | None = "UTC"
) -> Any:
    return outgoing_detection(
        photo,
        data,
        collector_id=collector_id,
        camera_id="lane-1",
        written_at=written_at,
        now=NOW,
        zone=AssumedZone.parse(zone),
    )


def test_the_same_photo_gives_the_same_id_and_the_same_crop_whenever_it_was_written() -> None:
    photo = Photo(file="a.jpg", box=Box(-5, 40, 30, 30))
    first, second = made(photo, a_photo(1)), made(photo, a_photo(1), written_at=NOON + timedelta(days=1))
    assert first.images == second.images
    assert first.detection_id == second.detection_id
    assert first.entry["box"] == {"x": 0, "y": 40, "width": 25, "height": 8}, "as far as it lies on the image"
    others = {
        first.detection_id,
        made(photo, a_photo(2)).detection_id,
        made(photo, a_photo(1), collector_id="gate-2").detection_id,
        made(Photo(file="a.jpg", camera_id="lane-2"), a_photo(1)).detection_id,
    }
    assert len(others) == 4
    assert made(Photo(file="a.jpg", detection_id="evt_1"), a_photo(1)).detection_id == "evt_1"


def test_a_batch_is_named_by_its_content_and_not_by_its_time() -> None:
    one, two = made(Photo(file="a.jpg"), a_photo(1)), made(Photo(file="b.jpg"), a_photo(2))
    first = encode_batch([one, two], collector_id="gate-1", sent_at=NOON)
    assert encode_batch([one, two], collector_id="gate-1", sent_at=NOW).batch_id == first.batch_id
    assert encode_batch([one], collector_id="gate-1", sent_at=NOON).batch_id != first.batch_id
    assert encode_batch([one, two], collector_id="gate-2", sent_at=NOON).batch_id != first.batch_id


@pytest.mark.parametrize("box", [Box(500, 500, 5, 5), Box(1, 1, 5, 5)])
def test_what_cannot_be_cropped_is_sent_as_it_is(box: Box) -> None:
    data = a_photo(1) if box.x == 500 else b"\xff\xd8\xff\xe0 broken"
    one = made(Photo(file="a.jpg", box=box), data)
    assert one.images == {"full": data}
    assert "box" not in one.entry
    assert "without a crop" in one.note


def test_the_time_is_the_manifests_then_the_cameras_then_the_files() -> None:
    exif = Image.Exif()
    exif[0x8769] = {0x9003: "2025:03:01 08:00:00", 0x9011: "+02:00"}
    stated = datetime(2025, 2, 1, 9, tzinfo=UTC)
    data = a_photo(1, exif=exif)

    def time_of(photo: Photo, data: bytes) -> datetime:
        return datetime.fromisoformat(made(photo, data).entry["captured_at"])

    assert time_of(Photo(file="a.jpg", captured_at=stated), data) == stated
    assert time_of(Photo(file="a.jpg"), data) == datetime(2025, 3, 1, 6, tzinfo=UTC)
    assert time_of(Photo(file="a.jpg"), a_photo(1)) == NOON


@pytest.mark.parametrize(
    ("taken", "zone", "at"),
    [
        ("2025:07:01 08:00:00", "Europe/Berlin", datetime(2025, 7, 1, 6, tzinfo=UTC)),
        ("2025:01:01 08:00:00", "Europe/Berlin", datetime(2025, 1, 1, 7, tzinfo=UTC)),
        ("2025:01:01 08:00:00", "-03:30", datetime(2025, 1, 1, 11, 30, tzinfo=UTC)),
        ("2025:01:01 08:00:00", None, datetime(2025, 1, 1, 13, tzinfo=UTC)),
        (
            "2031:01:01 08:00:00",
            "UTC",
            datetime(2031, 1, 1, 8, tzinfo=UTC),
        ),  # ahead: in its order, and not the file's time
    ],
)
def test_a_camera_time_without_a_zone_is_in_the_zone_that_is_given_else_in_the_machines(
    monkeypatch: pytest.MonkeyPatch, taken: str, zone: str | None, at: datetime
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        exif = Image.Exif()
        exif[0x8769] = {0x9003: taken}
        one = made(Photo(file="a.jpg"), a_photo(1, exif=exif), zone=zone)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert datetime.fromisoformat(one.entry["captured_at"]) == at
    assert one.zone_assumed


@pytest.mark.parametrize("zone", ["Nowhere/Town", "+25:00", "2", "../etc/passwd", ""])
def test_a_zone_that_is_none_is_refused_by_the_name_of_its_option(zone: str) -> None:
    with pytest.raises(SettingsInvalid, match="--time-zone"):
        AssumedZone.parse(zone)


@pytest.mark.parametrize("written_at", [NOW + timedelta(hours=1), datetime(1980, 1, 1, tzinfo=UTC)])
def test_a_time_that_cannot_be_is_not_made_up(written_at: datetime) -> None:
    with pytest.raises(InvalidRequest, match="give captured_at in a manifest"):
        made(Photo(file="a.jpg"), a_photo(1), written_at=written_at)


class Known(VaultApi):
    """A vault of which it is known whether it has detections."""

    def __init__(self, url: str, *, has: bool) -> None:
        super().__init__(url, token=None)
        self.has = has

    async def has_detections(self, *, viewer_token: str | None = None) -> bool:
        return self.has


async def test_the_demo_sends_its_backlog_through_an_outage_and_only_to_an_empty_vault(vault: BreakingVault) -> None:
    vault.script = [Does(status=503, retry_after="0"), LOSES_THE_ANSWER]
    api = Known(vault.url, has=False)
    await feed(vault=api, backlog=12, every=None, now=lambda: NOW, choose=random.Random(1))
    assert len(vault.taken) == 12
    seen = [one for manifest in vault.manifests[1:] for one in manifest["detections"]]
    assert all(NOW - timedelta(hours=6) <= datetime.fromisoformat(one["captured_at"]) <= NOW for one in seen)
    assert {manifest["collector_id"] for manifest in vault.manifests} <= set(CAMERAS)
    api.has = True
    await feed(vault=api, backlog=12, every=None, now=lambda: NOW, choose=random.Random(2))
    assert len(vault.taken) == 12
    await api.close()


async def test_the_demo_trickles_until_it_is_cancelled(vault: BreakingVault) -> None:
    api = Known(vault.url, has=True)
    every = timedelta(seconds=0.02)
    moments = (NOW + timedelta(seconds=second) for second in itertools.count())
    feeding = asyncio.create_task(
        feed(vault=api, backlog=5, every=every, now=lambda: next(moments), choose=random.Random(2))
    )
    await until(lambda: len(vault.batches) >= 3)
    assert not feeding.done()
    feeding.cancel()
    await asyncio.wait({feeding})
    await api.close()
    assert len(vault.taken) == sum(len(manifest["detections"]) for manifest in vault.manifests), "every id is new"
