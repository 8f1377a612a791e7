"""`make containers`: the compose file from nothing to healthy, photographs through it, kills included, nothing lost."""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.containers import refusals, renditions, walls
from tests.containers.collector import Sender
from tests.containers.engine import Clock, Failed, Project, find_engine
from tests.containers.photographs import digests, folder_to_send, long_row, pictures
from tests.containers.viewer import Rows, Viewer, images, kept

ROW_LENGTH: Final = 240
FULL: Final = 60
SHORT: Final = 15
LONGEST_SECONDS: Final = 900
SPOOL_FILES: Final = "import os; print(len(os.listdir('/var/lib/platevault/spool/ready')))"
# Everything in the container but its first process and this one: a crash that nobody asked for.
CRASH: Final = "import os, signal; os.kill(-1, signal.SIGKILL)"


@dataclass(slots=True)
class Report:
    """The table: what was checked, what was seen, how long it took."""

    lines: list[tuple[str, str, float]] = field(default_factory=list)

    def check(self, what: str, step: Callable[[], str]) -> None:
        """Run a step, note what it saw; a step that raises ends the proof."""
        _say(f"… {what}")
        begun = time.monotonic()
        try:
            seen = step()
        except Exception as error:
            self.lines.append((what, f"FAILED: {error}", time.monotonic() - begun))
            raise
        self.lines.append((what, seen, time.monotonic() - begun))

    def __str__(self) -> str:
        width = max((len(what) for what, _, _ in self.lines), default=0)
        return "\n".join(f"{what:<{width}}  {took:6.1f} s  {seen}" for what, seen, took in self.lines)


@dataclass(slots=True, kw_only=True)
class Proof:
    """The steps, in their order, on one project; `before` is what must be there at the end, by collector."""

    project: Project
    photographs: Path
    outage_seconds: float
    before: dict[str, Rows] = field(default_factory=dict)

    @property
    def viewer(self) -> Viewer:
        return Viewer(self.project)

    def run(self, report: Report) -> None:
        project = self.project
        report.check("make env", lambda: refusals.env_is_completed_once(project))
        report.check("a missing secret", lambda: refusals.missing(project))
        report.check("the image", self.build)
        report.check("a word of the example", lambda: refusals.example(project))
        report.check("from nothing to healthy", self.up)
        report.check("walls", lambda: walls.stand(project))
        report.check("photographs in, out by URL", self.send_photographs)
        report.check(
            "a picture of each format", lambda: renditions.each_format(self.viewer, self.before["photographs"])
        )
        report.check("crash of api in mid-send", self.crash)
        report.check("kill -s KILL api in mid-send", self.kill)
        report.check(f"minio stopped for {self.outage_seconds:.0f} s", self.outage)
        report.check("kill of everything in mid-send", self.kill_everything)
        report.check("restart of everything", self.restart)
        report.check("down, and up with the same volumes", self.down_and_up)

    def build(self) -> str:
        self.project.must("build", "--quiet", within=self.project.clock.left(480))
        return f"{self.project.image_bytes() / 1e6:.0f} MB"

    def up(self) -> str:
        begun = time.monotonic()
        self.project.must("up", "-d", "--wait", within=self.project.clock.left(240))
        took = time.monotonic() - begun
        self.viewer.until_ready(within=30)
        states = [(name, self.project.inspect(name)["State"]) for name in ("postgres", "minio", "api", "worker")]
        unhealthy = [name for name, state in states if state["Health"]["Status"] != "healthy"]
        if unhealthy:
            raise Failed(f"not healthy after --wait: {unhealthy}")
        again = self.project.must("run", "--rm", "-T", "setup").strip().splitlines()
        return f"postgres, minio, api, worker healthy after {took:.1f} s; setup again: {again[-1] if again else 'ok'}"

    def send_photographs(self) -> str:
        with Sender(self.project, self.photographs, collector="photographs") as sender:
            summary = sender.finish()
        rows = self.viewer.until_stored("photographs", within=60)
        count = self.viewer.fetch_all(rows)
        came_out = {row["images"]["full"]["sha256"] for row in rows.values()}
        if len(rows) != summary["found"] or came_out != digests(pictures(self.photographs)):
            raise Failed(f"{summary['found']} went in, {len(rows)} came out, or other bytes than in the folder")
        signer = f"X-Amz-Credential={self.project.values()['MINIO_PRESIGN_ACCESS_KEY']}"
        if not all(signer in image["url"] for image in images(rows)):
            raise Failed("a URL is not signed by the presign identity")
        self.before["photographs"] = rows
        return f"{len(rows)} detections, {count} images fetched from the host, digests equal to the files'"

    def crash(self) -> str:
        def break_it() -> None:
            before = self.project.inspect("api")["RestartCount"]
            self.project.compose("exec", "-T", "api", "python", "-c", CRASH, within=30)
            self.viewer.until_ready(within=60)
            if self.project.inspect("api")["RestartCount"] <= before:
                raise Failed("the engine did not start it again")

        return self._break_in_the_middle("crash", break_it) + "; the engine started it again"

    def kill(self) -> str:
        def break_it() -> None:
            self.project.must("kill", "-s", "KILL", "api")
            time.sleep(1)
            self.project.must("start", "api")

        return self._break_in_the_middle("kill", break_it)

    def outage(self) -> str:
        source, ids = self._long_row("outage")
        with Sender(self.project, source, collector="outage", batch_size=4) as sender:
            sender.reach(ROW_LENGTH // 6)
            self.project.must("stop", "-t", "10", "minio")
            begun = time.monotonic()
            sender.finish()
        rows = self.viewer.rows("outage")
        waiting = sum(image["state"] == "pending" for image in images(rows))
        if set(rows) != ids or not waiting:
            raise Failed(f"{len(rows)} of {len(ids)} rows, {waiting} images waiting while the store was away")
        shown = self.viewer.fetch_waiting("outage")
        if not shown:
            raise Failed("no image was shown from the spool while the store was away")
        said = self.viewer.readiness()["checks"]["object_store"]["status"]
        time.sleep(max(0.0, self.outage_seconds - (time.monotonic() - begun)))
        self.project.must("start", "minio")
        back = time.monotonic()
        self._nothing_lost("outage", ids)
        return (
            f"all acknowledged, {waiting} images waited in the spool, {shown} of them shown from there, readyz said"
            f" {said}; all stored {time.monotonic() - back:.0f} s after its start"
        )

    def kill_everything(self) -> str:
        def break_it() -> None:
            self.project.must("kill", "-s", "KILL")
            self.project.must("up", "-d", "--wait", within=self.project.clock.left(180))

        return self._break_in_the_middle("everything", break_it)

    def restart(self) -> str:
        self.project.must("restart", "-t", "25", within=self.project.clock.left(180))
        self.viewer.until_ready(within=90)
        return self._all_there()

    def down_and_up(self) -> str:
        self.project.must("down", within=self.project.clock.left(120))
        self.project.must("up", "-d", "--wait", within=self.project.clock.left(180))
        return self._all_there()

    def _long_row(self, name: str) -> tuple[Path, set[str]]:
        return long_row(self.photographs, into=self.project.folder / name, name=name, count=ROW_LENGTH)

    def _break_in_the_middle(self, name: str, break_it: Callable[[], None]) -> str:
        source, ids = self._long_row(name)
        with Sender(self.project, source, collector=name, batch_size=2) as sender:
            sender.reach(ROW_LENGTH // 6)
            break_it()
            before = sender.acknowledged
            sender.finish()
        if before >= ROW_LENGTH:
            raise Failed("it was broken after the last batch, not in the middle")
        count = self._nothing_lost(name, ids)
        return f"broken at {before} of {ROW_LENGTH}; {count} images fetched, digests equal"

    def _nothing_lost(self, name: str, ids: set[str]) -> int:
        rows = self.viewer.until_stored(name, within=120)
        if set(rows) != ids:
            raise Failed(f"{len(ids - set(rows))} detections lost, {len(set(rows) - ids)} that nobody sent")
        self.before[name] = rows
        return self.viewer.fetch_all(rows)

    def _all_there(self) -> str:
        count = 0
        for name, before in self.before.items():
            rows = self.viewer.rows(name)
            if kept(rows) != kept(before):
                raise Failed(f"{name}: rows are not what they were")
            count += self.viewer.fetch_all(rows)
        if left := int(self.project.python("api", SPOOL_FILES)):
            raise Failed(f"{left} files are left in the spool though all is stored")
        total = sum(len(rows) for rows in self.before.values())
        return f"{total} detections and {count} images as before, the spool is empty"


def main() -> int:
    """Exit code 0: every line of the table is true. 1: it is not, or there is no engine and one is required."""
    parser = argparse.ArgumentParser(prog="make containers", description=__doc__)
    parser.add_argument("--short", action="store_true", help=f"minio away for {SHORT} seconds instead of {FULL}")
    short = parser.parse_args().short
    engine = find_engine()
    if engine is None:
        required = os.environ.get("PLATEVAULT_REQUIRE_CONTAINERS") == "1"
        _say("\n" + "!" * 78)
        _say(
            "SKIPPED: no container engine" + (", and PLATEVAULT_REQUIRE_CONTAINERS=1 asks for one" if required else "")
        )
        _say("Nothing was proved about Dockerfile and docker-compose.yml.\n" + "!" * 78 + "\n")
        return int(required)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="platevault-proof-") as folder:
        return _prove(engine, Path(folder), outage_seconds=SHORT if short else FULL)


def _prove(engine: str, folder: Path, *, outage_seconds: float) -> int:
    project = Project(engine=engine, folder=folder, clock=Clock(LONGEST_SECONDS))
    photographs = folder_to_send(os.environ.get("PLATEVAULT_PHOTOS"), into=folder / "drawn")
    _say(f"project {project.name}: {len(pictures(photographs))} photographs, engine {engine}")
    report, begun, proved = Report(), time.monotonic(), False
    try:
        Proof(project=project, photographs=photographs, outage_seconds=outage_seconds).run(report)
        proved = True
    except Exception as error:
        _say(f"\nFAILED: {error}\n\n{_last_words(project)}")
        if not isinstance(error, Failed):
            raise
    finally:
        left = _left_behind(project)
        report.lines.append(("down -v", f"LEFT BEHIND: {left}" if left else "nothing is left of it", 0.0))
        _say(
            f"\n{report}\n\n{'all of it holds' if proved and not left else 'NOT PROVED'}, {time.monotonic() - begun:.0f} s"
        )
    return 0 if proved and not left else 1


def _left_behind(project: Project) -> list[str]:
    try:
        return project.remove()
    except Failed as error:
        return [f"perhaps all of {project.name}: {error}"]


def _last_words(project: Project) -> str:
    try:
        said = [project.compose(*words, within=30).said for words in (("ps", "-a"), ("logs", "--tail", "25"))]
    except Failed as error:
        return str(error)
    return "\n".join(said).replace("\x1b[2K", "")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
