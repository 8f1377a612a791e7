"""The log when nobody reads it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

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
    said, end = b"", time.monotonic() + 20
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
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=20)
    assert json.loads(ended.stdout)["event"] == "bye"
