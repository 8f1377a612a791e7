"""Pictures are decoded in child processes: whatever the bytes, this process lives, and each costs no more than it may."""

import asyncio
import contextlib
import io
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from PIL import Image
from tests.support.commands import command_of
from tests.support.hostile_pictures import BOMBS, POLYGLOTS, a_file, a_picture, a_png, encoded, mutations, progressive

from platevault.domain.errors import Busy, ImageRefused, InvalidRequest
from platevault.domain.rendition_recipe import Crop, Format, Recipe, Rendered
from platevault.infra.imaging.decoder_pool import DecoderLimits, DecoderPool
from platevault.infra.imaging.decoder_process import reply

ALL = frozenset(kind.content_type for kind in Format)
THUMB = Recipe(width=160, height=160)
CPU_SECONDS, MEMORY_BYTES = 5, 1 << 30


@pytest.fixture(scope="module")
async def renderer() -> AsyncIterator[DecoderPool]:
    async with DecoderPool(accepted=ALL) as renderer:
        yield renderer


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "decoder_process" in command_of(child.pid)]


@contextlib.asynccontextmanager
async def alone(**limits: float) -> AsyncIterator[tuple[DecoderPool, psutil.Process]]:
    """A renderer of one child, and that child."""
    before = children()
    async with DecoderPool(accepted=ALL, limits=DecoderLimits(children=1, **limits)) as renderer:
        (child,) = (child for child in children() if child not in before)
        yield renderer, child


def cpu_seconds_of_the_ended() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def peak_bytes_of(child: psutil.Process) -> int:
    """The most memory that it ever used, watched until somebody loses interest or it ends.

    The kernel's own figure for ended children (`ru_maxrss`) counts what this process had when it forked.
    """
    peak = 0
    with contextlib.suppress(asyncio.CancelledError, OSError, StopIteration):
        while True:
            status = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii").splitlines()
            peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1]) << 10
            await asyncio.sleep(0.01)
    return peak


@pytest.mark.parametrize("source", Format)
@pytest.mark.parametrize("target", Format)
async def test_a_child_without_files_decodes_and_encodes_every_format(
    renderer: DecoderPool, source: Format, target: Format
) -> None:
    made = await renderer.render(a_file(source), Recipe(width=160, height=160, format=target, enhance=True))
    assert (made.width, made.height, made.content_type) == (160, 90, target.content_type)
    again = Image.open(io.BytesIO(made.data))
    assert (again.format, again.size) == (target.value.upper(), (160, 90))
    assert (await renderer.facts(a_file(source))).content_type == source.content_type


_AS_ANOTHER_USER = """
import os, sys
from tests.support.hostile_pictures import a_file
from platevault.domain.rendition_recipe import Format, Recipe
from platevault.infra.imaging import decoder_process

asked = [(source, target, a_file(source)) for source in Format for target in Format]
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
answers = os.fdopen(os.dup(1), "w")
decoder_process._shut_in(os.getppid(), 1 << 30, files=answers.fileno() + 1)
for source, target, original in asked:
    said, _ = decoder_process.reply({"recipe": str(Recipe(width=160, height=160, format=target))}, original)
    print(source.value, target.value, said.get("width", said), file=answers, flush=True)
"""


def test_a_child_of_an_unprivileged_user_starts_no_thread_for_any_format() -> None:
    """Root is exempt from `RLIMIT_NPROC`: a decoder that starts threads fails only where users run the vault."""
    done = subprocess.run(
        [sys.executable, "-c", _AS_ANOTHER_USER], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(f"{a.value} {b.value} 160" for a in Format for b in Format)


async def test_a_format_that_the_vault_does_not_take_is_refused_by_its_bytes() -> None:
    async with DecoderPool(accepted=frozenset({"image/jpeg"}), limits=DecoderLimits(children=1)) as renderer:
        with pytest.raises(ImageRefused, match="format"):
            await renderer.render(a_file(Format.PNG), THUMB)
        with pytest.raises(ImageRefused, match="known"):
            await renderer.render(encoded(a_picture(), "GIF"), THUMB)
        with pytest.raises(ImageRefused, match="known"):
            await renderer.render(b"", THUMB)


@pytest.mark.parametrize("what", BOMBS)
async def test_a_bomb_stays_within_its_limits_and_the_next_picture_is_rendered(what: str) -> None:
    data = BOMBS[what]()
    before = cpu_seconds_of_the_ended()
    async with alone(wall_seconds=60) as (renderer, child):
        watching = asyncio.create_task(peak_bytes_of(child))
        try:
            made = await renderer.render(data, THUMB)
        except ImageRefused as error:
            answer = str(error)
        else:
            answer = f"{made.width} × {made.height}"
        await asyncio.sleep(0.02)
        watching.cancel()
        peak = await watching
        assert (await renderer.render(a_file(Format.JPEG), THUMB)).width == 160
    used = cpu_seconds_of_the_ended() - before
    print(f"{what}: {answer}; {used:.2f} s, {peak >> 20} MiB")  # noqa: T201  a figure to read
    started = 1.0  # two starts of a child and the good picture
    assert used < CPU_SECONDS + started
    assert 0 < peak <= MEMORY_BYTES


async def test_what_runs_out_of_time_is_ended_by_the_kernel_and_says_so() -> None:
    async with alone(cpu_seconds=2, wall_seconds=60) as (renderer, child):
        with pytest.raises(ImageRefused, match="more than 2 s"):
            await renderer.render(progressive((6_400, 6_400), scans=64), Recipe(format=Format.PNG, enhance=True))
        assert not child.is_running()
        # The limit is one of each picture, not of the child's life.
        data = a_file(Format.JPEG, (2_400, 1_800))
        for _ in range(8):
            assert (await renderer.render(data, Recipe(enhance=True))).width == 2_400


async def test_what_needs_more_memory_than_allowed_is_refused() -> None:
    limits = DecoderLimits(children=1, memory_bytes=160 << 20)
    async with DecoderPool(accepted=ALL, limits=limits) as renderer:
        with pytest.raises(ImageRefused, match=r"memory|broke"):
            await renderer.render(a_png((7_000, 7_000), 7_000), THUMB)
        assert (await renderer.render(a_file(Format.JPEG), THUMB)).width == 160


@pytest.mark.parametrize("what", POLYGLOTS)
async def test_of_a_polyglot_only_the_picture_is_left(renderer: DecoderPool, what: str) -> None:
    for target in Format:
        made = await renderer.render(POLYGLOTS[what](), Recipe(width=160, format=target))
        assert not any(word in made.data for word in (b"script", b"PK\x03\x04", b"evil"))


async def test_a_thousand_random_mutations_hurt_nobody(renderer: DecoderPool) -> None:
    good = encoded(a_picture((640, 360)), quality=80)
    outcomes = {"rendered": 0, "refused": 0}
    slowest = 0.0
    for data in mutations(good, 1_000):
        started = time.perf_counter()
        try:
            made = await renderer.render(data, THUMB)
        except ImageRefused:
            outcomes["refused"] += 1
        else:
            outcomes["rendered"] += 1
            assert max(made.width, made.height) <= 160
        slowest = max(slowest, time.perf_counter() - started)
    peak = max(child.memory_info().rss for child in children())
    print(f"{outcomes}, slowest {slowest:.2f} s by the clock, {peak >> 20} MiB")  # noqa: T201  a figure to read
    assert min(outcomes.values()) > 50
    assert peak < MEMORY_BYTES


async def test_a_killed_child_is_replaced_and_its_picture_rendered_all_the_same() -> None:
    async with alone() as (renderer, idle):
        before = children()
        idle.kill()
        assert (await renderer.render(a_file(Format.JPEG), THUMB)).width == 160
        (working,) = (child for child in children() if child not in before)
        waiting = asyncio.create_task(renderer.render(a_file(Format.JPEG, (5_000, 4_000)), Recipe(format=Format.WEBP)))
        await asyncio.sleep(0.1)
        working.kill()
        assert (await waiting).width == 5_000
        assert working not in children()


async def test_a_child_that_hangs_is_killed_by_the_clock() -> None:
    async with alone(wall_seconds=2) as (renderer, child):
        child.suspend()
        with pytest.raises(Busy):
            await renderer.render(a_file(Format.JPEG), THUMB)
        assert not child.is_running()
        assert (await renderer.render(a_file(Format.JPEG), THUMB)).width == 160


async def test_whether_pictures_can_be_rendered_at_all_is_found_out_with_a_sound_one() -> None:
    async with DecoderPool(accepted=frozenset(), limits=DecoderLimits(children=1, wall_seconds=2)) as renderer:
        await renderer.check()
        psutil.Process(renderer._idle[0]._process.pid).suspend()
        with pytest.raises(Busy):
            await renderer.check()
    with pytest.raises(Busy):
        await renderer.check()


async def test_who_goes_away_leaves_no_child_in_the_middle_of_something() -> None:
    async with alone() as (renderer, child):
        gone = asyncio.create_task(renderer.render(a_file(Format.JPEG, (5_000, 4_000)), Recipe(format=Format.AVIF)))
        await asyncio.sleep(0.1)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert not child.is_running()
        assert (await renderer.render(a_file(Format.JPEG), THUMB)).width == 160, "not the answer of before"


async def test_past_so_many_waiting_the_next_is_told_to_come_back() -> None:
    limits = DecoderLimits(children=1, waiting=3)
    async with DecoderPool(accepted=ALL, limits=limits) as renderer:
        data = a_file(Format.JPEG, (1_600, 1_200))
        asked = [asyncio.create_task(renderer.render(data, THUMB)) for _ in range(6)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Rendered] * 4 + [Busy] * 2
        assert (await renderer.render(data, THUMB)).width == 160


async def test_a_child_is_replaced_after_so_many_pictures() -> None:
    shared = children()
    async with alone(renders_per_child=3) as (renderer, _):
        seen = set()
        for _ in range(7):
            await renderer.render(a_file(Format.JPEG), THUMB)
            seen |= {child.pid for child in children() if child not in shared}
        assert len(seen) == 3


async def test_a_crop_that_lies_outside_is_the_callers_mistake(renderer: DecoderPool) -> None:
    with pytest.raises(InvalidRequest, match="crop"):
        await renderer.render(a_file(Format.JPEG), Recipe(crop=Crop(x=320, y=0, width=9, height=9)))


async def test_nothing_of_ours_is_left_to_a_child() -> None:
    os.environ["A_SECRET_OF_OURS"] = "1"
    async with alone() as (_, newest):
        del os.environ["A_SECRET_OF_OURS"]
        assert "A_SECRET_OF_OURS" not in newest.environ()
        assert newest.rlimit(resource.RLIMIT_NOFILE) == (4, 4), "its four pipes, and nothing can be opened"
        assert newest.rlimit(resource.RLIMIT_FSIZE) == (0, 0)
        assert newest.rlimit(resource.RLIMIT_AS) == (MEMORY_BYTES, MEMORY_BYTES)
        assert newest.rlimit(resource.RLIMIT_CORE) == (0, 0)


def test_every_question_has_an_answer() -> None:
    """What the program says, asked without a process around it."""
    good = a_file(Format.JPEG)
    said, data = reply({"recipe": str(THUMB)}, good)
    assert (said, data[:2]) == ({"width": 160, "height": 90}, b"\xff\xd8")
    assert reply({"recipe": None}, good)[0]["facts"]["width"] == 320
    assert set(reply({"recipe": "nonsense"}, good)[0]) == {"invalid"}
    assert set(reply({"recipe": str(THUMB)}, good[:999])[0]) == {"refused"}


@pytest.mark.skipif(sys.platform != "linux", reason="a death signal of the parent exists on Linux only")
def both_children(parent: psutil.Process) -> list[psutil.Process]:
    """By the process table, which is read while others come and go: one look may miss them."""
    for _ in range(300):
        if len(found := parent.children()) == 2:
            return found
        time.sleep(0.1)
    raise AssertionError("two children were expected")


def test_children_die_with_their_parent(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from platevault.infra.imaging.decoder_pool import DecoderPool\n"
        "async def main():\n"
        "    renderer = DecoderPool(accepted=frozenset())\n"  # nobody's children are ended when it is collected
        "    await renderer.start()\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        orphans = both_children(psutil.Process(parent.pid))
        orphans[0].send_signal(signal.SIGSTOP)  # one that could not notice the end of its input
        parent.kill()
    _, alive = psutil.wait_procs(orphans, timeout=30)
    assert alive == []


async def test_after_the_end_no_child_is_left() -> None:
    before = len(children())
    renderer = DecoderPool(accepted=ALL)
    await renderer.start()
    assert len(children()) == before + 2
    await renderer.close()
    assert len(children()) == before
    with pytest.raises(Busy):
        await renderer.render(a_file(Format.JPEG), THUMB)
