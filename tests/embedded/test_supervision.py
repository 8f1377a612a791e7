"""How soon an embedded server that ends again and again is started again."""

import threading
import time
from pathlib import Path

import pytest

from platevault.domain.errors import Unavailable
from platevault.embedded import supervision
from platevault.embedded.supervision import supervised


class Mortal:
    """A server that ends at once whenever it was started, and counts its starts."""

    def __init__(self, *, ready: bool, enough: int) -> None:
        self.running = False
        self.starts: list[float] = []
        self.enough = threading.Event()
        self._ready = ready
        self._enough = enough

    def begin_again(self) -> None:
        self.starts.append(time.monotonic())
        if len(self.starts) == self._enough:
            self.enough.set()

    def wait_until_ready(self) -> None:
        if not self._ready:
            raise Unavailable("it ended")

    def stop(self) -> None:
        """It does not run."""


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "LOOK_EVERY_SECONDS", 0.001)
    monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(supervision, "PAUSE_AFTER_READY_SECONDS", 0.1)


def pauses_of(server: Mortal, folder: Path) -> list[float]:
    with supervised({"one": server}, states=folder / "states.json"):
        assert server.enough.wait(40), "its pauses have grown"
    return [later - earlier for earlier, later in zip(server.starts, server.starts[1:], strict=False)]


def test_a_server_that_was_ready_and_ends_again_and_again_is_started_again_after_short_pauses(tmp_path: Path) -> None:
    pauses = pauses_of(Mortal(ready=True, enough=13), tmp_path)  # doubled without end: 200 seconds
    assert min(pauses[1:]) >= 0.1


def test_pauses_between_failed_starts_grow(tmp_path: Path) -> None:
    pauses = pauses_of(Mortal(ready=False, enough=6), tmp_path)
    assert [pause >= 0.05 * 2**number for number, pause in enumerate(pauses[:5])] == [True] * 5
