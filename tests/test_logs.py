"""The log when nobody reads it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from platevault.logs import LINES_WAITING_MAX

PROGRAM = f"""
import sys, time
import structlog
from platevault.logs import set_up_logs
set_up_logs("info")
log = structlog.get_logger()
log.info("begins")
for number in range(5 * {LINES_WAITING_MAX}):
    log.info("line", number=number)
sys.stderr.write("went on\\n")
sys.stderr.flush()
sys.stdin.readline()
time.sleep(1)
log.info("goes on")
"""


@pytest.fixture
def logging_to_a_full_pipe() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE
    )
    yield process
    process.kill()
    process.communicate()


def test_a_reader_of_the_log_that_stopped_stops_nothing_and_is_told_what_it_missed(
    logging_to_a_full_pipe: subprocess.Popen[bytes],
) -> None:
    process = logging_to_a_full_pipe
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    said, end = b"", time.monotonic() + 90
    while b"went on" not in said and time.monotonic() < end:
        said += process.stderr.read() or b""
        time.sleep(0.05)
    assert b"went on" in said, "50,000 lines into a pipe that nobody reads"
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.stdout is not None
    events = [json.loads(line) for line in process.stdout.read().decode().splitlines()]
    (dropped,) = [event for event in events if event["event"] == "log lines dropped"]
    lines = sum(event["event"] == "line" for event in events)
    assert lines + dropped["number"] == 5 * LINES_WAITING_MAX
    assert events[0]["event"] == "begins"
    assert events[-1]["event"] in ("goes on", "log lines dropped")


def test_what_was_logged_last_is_there_when_the_process_ends() -> None:
    program = "from platevault.logs import set_up_logs; import structlog; set_up_logs('info'); structlog.get_logger().info('bye')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=90)
    assert json.loads(ended.stdout)["event"] == "bye"


def test_a_pipe_that_refuses_for_now_is_waited_for() -> None:
    """Somebody who shares the pipe has made it non-blocking."""
    program = f"""
import structlog
from platevault.logs import LINES_WAITING_MAX, set_up_logs
set_up_logs("info")
log = structlog.get_logger()
for number in range({LINES_WAITING_MAX // 3}):
    log.info("line", number=number)
"""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=writer)
    os.close(writer)
    time.sleep(1)
    with os.fdopen(reader, "rb") as lines:
        numbers = [json.loads(line)["number"] for line in lines]
    assert process.wait(60) == 0
    assert numbers == list(range(LINES_WAITING_MAX // 3))


def test_a_reader_that_is_gone_stops_nothing() -> None:
    program = """
import sys, time
import structlog
from platevault.logs import set_up_logs
set_up_logs("info")
for number in range(5000):
    structlog.get_logger().info("line", number=number)
time.sleep(0.5)
structlog.get_logger().info("and one more")
sys.stderr.write("went on")
"""
    for is_blocking in (True, False):
        reader, writer = os.pipe()
        os.set_blocking(writer, is_blocking)
        process = subprocess.Popen([sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert os.read(reader, 10)
        os.close(reader)
        _, said = process.communicate(timeout=90)
        assert (process.returncode, said) == (0, b"went on")


def test_lines_for_which_the_disk_has_no_room_are_counted(tmp_path: Path) -> None:
    """A limit on the file's size stands for the full disk; it is lifted."""
    program = """
import resource, signal, time
import structlog
from platevault.logs import set_up_logs
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
set_up_logs("info")
log = structlog.get_logger()
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
for _ in range(2):
    for number in range(7):
        log.info("line", number=number)
    time.sleep(0.3)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.info("room again")
"""
    with (tmp_path / "log").open("wb") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, check=True, timeout=90)
    events = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert [(event["event"], event.get("number")) for event in events] == [
        ("room again", None),
        ("log lines dropped", 14),
    ]
