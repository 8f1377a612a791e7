"""Metrics: what several processes of a node count adds up, outlives them, and costs no batch anything."""

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import tracemalloc
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from platevault.domain.errors import VaultError
from platevault.domain.metric_definitions import BY_NAME, MEASURES, kind_of
from platevault.infra.telemetry.metric_files import HALF_BYTES, MetricFile, read_others
from platevault.infra.telemetry.metrics import SERIES_MAX, Metrics

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "metrics"


def a_process(folder: Path | None) -> Metrics:
    """The meters of one process; another call with the same folder is another process of the node."""
    return Metrics(folder, uuid.uuid4())


@pytest.fixture
def two(folder: Path) -> Iterator[tuple[Metrics, Metrics]]:
    pair = (a_process(folder), a_process(folder))
    for meters in pair:
        meters.start()
    yield pair
    for meters in pair:
        meters.stop()


def shown(meters: Metrics, name: str, **labels: str) -> float | None:
    """The value of a sample in the exposition; None when it is not there."""
    families = text_string_to_metric_families(meters.exposition({}).decode())
    found = [sample for family in families for sample in family.samples if sample.name == f"platevault_{name}"]
    values = [sample.value for sample in found if sample.labels == labels]
    return values[0] if values else None


def in_a_process_of_its_own(folder: Path, then: str) -> subprocess.Popen[bytes]:
    """Counts three accepted batches and two connections, shows them, says so, and goes on as told."""
    code = f"""
import os, signal, sys, time, uuid
from pathlib import Path
from platevault.infra.telemetry.metrics import Metrics
meters = Metrics(Path({str(folder)!r}), uuid.uuid4())
meters.start()
for _ in range(3):
    meters.batch("accepted")
meters.connections(2)
meters.exposition({{}})  # what was shown must stay
print("counted", flush=True)
{then}
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"counted\n"
    return process


def test_the_counts_of_all_processes_add_up_whichever_is_asked(two: tuple[Metrics, Metrics]) -> None:
    one, other = two
    one.batch("accepted")
    other.batch("accepted")
    other.batch("spool_full")
    one.connections(3)
    other.connections(4)
    one.request(route="/v1/detections", method="POST", status=201, seconds=0.003)
    other.request(route="/v1/detections", method="POST", status=201, seconds=0.3)
    for meters in two:
        meters.write()
    for meters in two:
        assert shown(meters, "batches_total", outcome="accepted") == 2
        assert shown(meters, "batches_total", outcome="spool_full") == 1
        assert shown(meters, "connections") == 7
        assert shown(meters, "requests_total", route="/v1/detections", method="POST", status="201") == 2
        assert shown(meters, "request_seconds_count", route="/v1/detections") == 2
        assert shown(meters, "request_seconds_sum", route="/v1/detections") == pytest.approx(0.303)
        assert shown(meters, "request_seconds_bucket", route="/v1/detections", le="0.25") == 1
        assert shown(meters, "request_seconds_bucket", route="/v1/detections", le="+Inf") == 2


def test_a_value_on_the_edge_of_a_bucket_is_in_it() -> None:
    meters = Metrics.none()
    meters.image_put(seconds=0.1, size=7, attempts=3)
    assert shown(meters, "put_seconds_bucket", le="0.1") == 1
    assert shown(meters, "put_seconds_bucket", le="0.05") == 0
    assert shown(meters, "put_attempts_bucket", le="3.0") == 1
    assert shown(meters, "put_attempts_bucket", le="2.0") == 0
    assert shown(meters, "put_bytes_total") == 7


def test_what_a_killed_process_counted_stays_and_what_it_held_does_not(folder: Path) -> None:
    process = in_a_process_of_its_own(folder, "time.sleep(60)")
    asked = a_process(folder)
    assert (shown(asked, "batches_total", outcome="accepted"), shown(asked, "connections")) == (3, 2)
    process.kill()
    process.wait(60)
    assert (shown(asked, "batches_total", outcome="accepted"), shown(asked, "connections")) == (3, 0)


def test_the_files_of_dead_processes_become_one_when_the_next_process_starts(folder: Path) -> None:
    for _ in range(2):
        process = in_a_process_of_its_own(folder, "os.kill(os.getpid(), signal.SIGKILL)")
        process.wait(60)
    alive = a_process(folder)
    alive.start()
    alive.batch("accepted")
    assert len(list(folder.iterdir())) == 3  # ours, the past and the lock
    assert shown(alive, "batches_total", outcome="accepted") == 7
    alive.stop()
    assert shown(a_process(folder), "batches_total", outcome="accepted") == 7


def test_a_crash_between_the_sum_and_the_files_counts_nothing_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_process_of_its_own(folder, "").wait(60)

    def crash(self: Path, *, missing_ok: bool = False) -> None:
        raise OSError(5, "the process died here")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", crash)
        with pytest.raises(OSError, match="died here"):
            MetricFile(folder, uuid.uuid4())
    for _ in range(2):
        assert shown(a_process(folder), "batches_total", outcome="accepted") == 3
        MetricFile(folder, uuid.uuid4()).close()


def test_a_snapshot_that_was_cut_leaves_the_one_before(folder: Path) -> None:
    ours = uuid.uuid4()
    file = MetricFile(folder, ours)
    for number in (1.0, 2.0):
        file.write({("batches_total", ("accepted",)): [number]})
    file.close()
    asked = uuid.uuid4()
    assert read_others(folder, asked).numbers["batches_total", ("accepted",)] == [2.0]
    data = (folder / str(ours)).read_bytes()
    for broken in (data[:-3], data.replace(b"[2.0]", b"[9.0]")):
        (folder / str(ours)).write_bytes(broken)
        assert read_others(folder, asked).numbers["batches_total", ("accepted",)] == [1.0]
    (folder / str(ours)).write_bytes(b"")
    assert read_others(folder, asked).numbers == {}


def test_a_folder_that_cannot_be_written_costs_the_sum_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("a file where the folder should be")
    meters = a_process(tmp_path / "metrics")
    meters.start()
    meters.batch("accepted")
    meters.write()
    assert shown(meters, "batches_total", outcome="accepted") == 1
    (tmp_path / "metrics").unlink()
    meters.write()
    assert shown(a_process(tmp_path / "metrics"), "batches_total", outcome="accepted") == 1
    meters.stop()


def test_a_process_that_is_stopped_with_the_lock_in_hand_holds_up_nobody_for_long(folder: Path) -> None:
    held = in_a_process_of_its_own(
        folder,
        f"import fcntl; lock = os.open({str(folder / 'lock')!r}, os.O_RDWR)\n"
        "fcntl.flock(lock, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)",
    )
    assert held.stdout is not None
    assert held.stdout.readline() == b"held\n"
    os.kill(held.pid, signal.SIGSTOP)
    late = a_process(folder)
    try:
        late.batch("accepted")
        assert shown(late, "batches_total", outcome="accepted") == 4
    finally:
        held.kill()
        held.wait(60)


def in_a_while(do: Callable[[], None]) -> None:
    """Done within five seconds; what it raises is raised, and a hang fails instead of hanging the tests."""
    raised: list[BaseException] = []

    def run() -> None:
        with contextlib.ExitStack() as stack:
            stack.push(lambda _kind, error, _trace: error is not None and (raised.append(error) or True))
            do()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive(), "it hangs"
    if raised:
        raise raised[0]


def count_one_and_show(folder: Path) -> None:
    meters = a_process(folder)
    meters.start()
    meters.batch("accepted")
    meters.write()
    assert shown(meters, "batches_total", outcome="accepted") == 1
    assert shown(a_process(folder), "batches_total", outcome="accepted") == 1, "the others see it"
    meters.stop()


FOREIGN = {
    "no object": [],
    "nothing": {},
    "a number for numbers": {"merged": [], "numbers": [["batches_total", ["accepted"], 5]]},
    "words for numbers": {"merged": [], "numbers": [["batches_total", ["accepted"], ["x"]]]},
    "too few labels": {"merged": [], "numbers": [["batches_total", [], [1.0]]]},
    "numbers for labels": {"merged": [], "numbers": [["batches_total", [1], [1.0]]]},
    "half a letter for a label": {"merged": [], "numbers": [["batches_total", ["\ud800"], [1.0]]]},
    "a list for the name": {"merged": [], "numbers": [[["a"], ["accepted"], [1.0]]]},
    "no list of names": {"merged": 5, "numbers": []},
    "no number": {"merged": [], "numbers": [["batches_total", ["accepted"], [float("nan")]]]},
    "a number without end": {"merged": [], "numbers": [["batches_total", ["accepted"], [10**400]]]},
}
DEEP = b'{"merged": [], "numbers": [], "more": ' + b"[" * 150_000


@pytest.mark.parametrize("name", ["past", "00000000-0000-4000-8000-000000000007"])
@pytest.mark.parametrize(
    "body", [*(json.dumps(one).encode() for one in FOREIGN.values()), DEEP], ids=[*FOREIGN, "deep"]
)
def test_a_whole_file_of_another_shape_costs_nothing_but_itself(folder: Path, name: str, body: bytes) -> None:
    """Another version's, or somebody's: with a checksum that is right."""
    folder.mkdir()
    for _ in range(2):
        (folder / name).write_bytes(struct.pack(">QQL", 1, len(body), zlib.crc32(body)) + body)
        asked = a_process(folder)
        assert b"platevault_batches_total{" not in asked.exposition({})
    count_one_and_show(folder)


@pytest.mark.parametrize("name", ["past", "past.draft", "00000000-0000-4000-8000-000000000007"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "endless link"])
def test_what_is_no_file_is_neither_waited_for_nor_read(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    dead = MetricFile(folder, uuid.uuid4())
    dead.write({("batches_total", ("accepted",)): [3.0]})
    dead.close()
    before = a_process(folder)
    make(folder / name)

    def look() -> None:
        assert shown(before, "batches_total", outcome="accepted") == 3
        meters = a_process(folder)
        meters.start()
        meters.batch("accepted")
        assert shown(meters, "batches_total", outcome="accepted") == 4
        meters.stop()

    in_a_while(look)


def test_a_folder_with_the_name_of_a_process_is_left_alone(folder: Path) -> None:
    named = folder / str(uuid.uuid4())
    named.mkdir(parents=True)
    count_one_and_show(folder)
    assert named.is_dir()


def test_of_a_file_that_is_longer_than_ours_no_more_is_read_than_ours_has(folder: Path) -> None:
    folder.mkdir()
    for name in ("past", str(uuid.uuid4())):
        with (folder / name).open("wb") as file:
            file.truncate(600 * 1024 * 1024)
    tracemalloc.start()
    try:
        count_one_and_show(folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * HALF_BYTES


def test_labels_without_end_do_not_fill_the_memory() -> None:
    meters = Metrics.none()
    for number in range(SERIES_MAX + 10):
        meters.batch(f"outcome-{number}")
    assert meters.exposition({}).count(b"platevault_batches_total{") == SERIES_MAX


def test_no_two_metrics_are_of_one_family() -> None:
    """As OpenMetrics reads them: a counter's family goes without `_total`."""
    families = [measure.name.removesuffix("_total") for measure in MEASURES]
    assert sorted(families) == sorted(set(families))


def test_everything_that_is_measured_parses_has_a_meaning_and_a_line_in_the_operators_page() -> None:
    meters = Metrics.none()
    text = meters.exposition({(name, labels_of(name)): 1.0 for name in BY_NAME if BY_NAME[name].kind == "looked_up"})
    families = {family.name: family for family in text_string_to_metric_families(text.decode())}
    page = (ROOT / "docs/OPERATING.md").read_text(encoding="utf-8")
    for measure in MEASURES:
        family = families["platevault_" + measure.name.removesuffix("_total")]
        assert family.documentation == measure.meaning
        assert measure.labels or family.samples, measure.name
        assert f"`{measure.name}`" in page, measure.name


def labels_of(name: str) -> tuple[str, ...]:
    return tuple("x" for _ in BY_NAME[name].labels)


def test_an_error_that_we_have_a_name_for_is_named_and_no_other() -> None:
    kinds = {kind_of(error("reason")) for error in (VaultError, ValueError, KeyError)}
    assert kinds == {"vault_error", "unexpected"}
