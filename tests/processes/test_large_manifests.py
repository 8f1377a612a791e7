"""Other clients are answered while manifests of megabytes come."""

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, perf_counter, sleep

import httpx2
import pytest

from tests.support.processes import SENDING, Service, environment_for, service
from tests.support.real_inputs import MULTIPART, a_body
from tests.support.servers import S3Server

DETECTIONS = 200
VALUES = 18_000  # bytes of describing data for each detection: in one piece, 4 MB take most of a second
LOOKS = 120
# On a quiet machine 100 ms; a busy one is slower without manifests, too.
RATIO_AT_MOST = 10.0
QUIET_SECONDS = 0.1


@pytest.fixture
def running(migrated_url: str, seaweed: S3Server, tmp_path: Path, port: int) -> Iterator[Service]:
    with service(environment_for(migrated_url, seaweed, tmp_path), port=port, folder=tmp_path) as started:
        yield started


def a_large_manifest(number: int, *, odd: str) -> bytes:
    """Four megabytes of readings; `odd` is one more number of each detection."""
    readings = ",".join(f'{{"at":{at},"value":"ABCDEFGH"}}' for at in range(VALUES // 28))
    detection = (
        '{"detection_id":"large-%d-%d","captured_at":"2025-01-15T10:30:00Z","camera_id":"c","plate":"QX417ZB",'
        '"data":{"readings":[%s]},"confidence":%s}'
    )
    listed = ",".join(detection % (number, at, readings, odd) for at in range(DETECTIONS))
    return f'{{"batch_id":"large-{number}","collector_id":"gate-1","detections":[{listed}]}}'.encode()


def p99_of_health(client: httpx2.Client, *, until: threading.Event | None = None) -> float:
    seconds: list[float] = []
    end = monotonic() + 120
    while len(seconds) < LOOKS or (until is not None and not until.is_set() and monotonic() < end):
        began = perf_counter()
        assert client.get("/healthz").status_code == 200
        seconds.append(perf_counter() - began)
        sleep(0.01)
    return sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1]


def test_health_is_answered_while_manifests_of_four_megabytes_come(running: Service) -> None:
    bodies = [a_body(a_large_manifest(number, odd="0.5" if number % 2 else "NaN")) for number in range(8)]
    assert min(map(len, bodies)) > 3_500_000
    statuses: list[int] = []
    sent = threading.Event()

    def send() -> None:
        try:
            for body in bodies:
                answer = httpx2.post(
                    f"{running.url}/v1/detections", content=body, headers=SENDING | MULTIPART, timeout=120
                )
                statuses.append(answer.status_code)
        finally:
            sent.set()

    with httpx2.Client(base_url=running.url, timeout=60) as client:
        without = p99_of_health(client)
        sending = threading.Thread(target=send)
        sending.start()
        beside = p99_of_health(client, until=sent)
        sending.join()
    assert statuses == [201] * len(bodies)
    seen = f"p99 {1000 * without:.1f} ms without, {1000 * beside:.1f} ms beside manifests of 4 MB"
    assert beside <= max(QUIET_SECONDS, RATIO_AT_MOST * without), seen
