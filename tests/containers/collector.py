"""`platevault send` as a process of its own, which can be watched while the vault is broken under it."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, Self

from tests.containers.engine import Failed, Project, clean_environment

GIVES_UP_AFTER_SECONDS: Final = 180


class Sender:
    """One run of it. Leave the block and it is over."""

    def __init__(self, project: Project, source: Path, *, collector: str, batch_size: int = 10) -> None:
        self._project = project
        self._journal = project.folder / f"{collector}.jsonl"
        command = [sys.executable, "-m", "platevault", "send", str(source), "--url", project.url, "--json"]
        command += ["--collector", collector, "--journal", str(self._journal), "--batch-size", str(batch_size)]
        command += ["--parallel", "1", "--give-up-after", str(GIVES_UP_AFTER_SECONDS)]
        self._process = subprocess.Popen(
            command, env=clean_environment(COLLECTOR_TOKEN=project.values()["COLLECTOR_TOKEN"]), cwd=project.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    @property
    def is_sending(self) -> bool:
        return self._process.poll() is None

    @property
    def acknowledged(self) -> int:
        """How many detections the vault has acknowledged to it so far."""
        if not self._journal.exists():
            return 0
        lines = self._journal.read_text(encoding="utf-8").splitlines(keepends=True)
        return sum(len(json.loads(line).get("acknowledged", ())) for line in lines if line.endswith("\n"))

    def reach(self, count: int) -> None:
        """Wait until so many are acknowledged, with more to come."""
        end = time.monotonic() + self._project.clock.left(120)
        while self.acknowledged < count:
            if time.monotonic() > end:
                raise Failed(f"the sender came to {self.acknowledged} detections only")
            if not self.is_sending:
                raise Failed(f"the sender was to be broken in its middle, and was over: {self.finish()}")
            time.sleep(0.01)

    def finish(self) -> dict[str, Any]:
        """Its summary; raises `Failed` when the vault has not everything."""
        out, err = self._process.communicate(timeout=self._project.clock.left(GIVES_UP_AFTER_SECONDS + 30))
        if self._process.returncode != 0:
            raise Failed(f"send ended with {self._process.returncode}: {(out + err)[-600:]}")
        summary: dict[str, Any] = json.loads(out)
        return summary
