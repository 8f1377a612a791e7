"""A machine whose power can be cut: a vault on two disks in memory, and copies of the disks as they are after a cut."""

import json
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from platevault.embedded.cluster import Embedded, start_embedded
from platevault.embedded.postgres import EmbeddedPostgres, start_postgres
from platevault.embedded.seaweedfs import EmbeddedSeaweed, start_seaweed
from platevault.infra.disk.private_files import free_ports
from tests.outage.mounts import Disk, new_disk, power_on, tmpfs
from tests.outage.site import Site, a_site_on
from tests.support.servers import BUCKET, s3_of

STANDSTILL_WITHIN_SECONDS: Final = 20.0
_STILL: Final = frozenset({"T", "Z"})


@dataclass(frozen=True, kw_only=True)
class Survivors:
    """What is there after the power came back."""

    spool: Path
    postgres: EmbeddedPostgres
    seaweed: EmbeddedSeaweed


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Two disks in memory, and servers on them."""

    folder: Path
    memory: Path
    spool: Disk
    data: Disk
    servers: Embedded

    @classmethod
    def build(cls, stack: ExitStack, folder: Path) -> "Machine":
        """Gone with the stack; raises `CannotMount`."""
        memory = stack.enter_context(tmpfs(folder / "memory", size="6g"))
        spool = stack.enter_context(new_disk(memory / "spool.img", folder / "spool disk", mebibytes=256))
        data = stack.enter_context(new_disk(memory / "data.img", folder / "data disk", mebibytes=2048))
        servers = start_embedded(data.folder / "data", bucket=BUCKET, durable=True)
        stack.callback(_stop, servers)
        return cls(folder=folder, memory=memory, spool=spool, data=data, servers=servers)

    @asynccontextmanager
    async def site(self, **settings: Any) -> AsyncIterator[Site]:
        """API and worker; their spool is on its disk."""
        assert self.servers.seaweed is not None
        async with a_site_on(
            self.folder,
            database_url=self.servers.postgres.url,
            s3=s3_of(self.servers.seaweed),
            SPOOL_DIR=str(self.spool.folder / "spool"),
            STORAGE_SYNC_DIR=str(self.servers.seaweed.data),
            DISK_RESERVE_BYTES="0",  # these disks are smaller than any reserve
            **settings,
        ) as site:
            yield site

    def customized(self, fsync: str) -> Path:
        """A folder for PYTHONPATH that puts this in the place of os.fsync."""
        folder = self.folder / "customized"
        folder.mkdir(exist_ok=True)
        text = f"import os\nimport stat\nreal = os.fsync\nos.fsync = {fsync}\n"
        (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
        return folder

    @contextmanager
    def standstill(self, site: Site) -> Iterator[None]:
        """Nobody writes within: every process of the vault and of its servers has stopped where it was."""
        assert self.servers.seaweed is not None
        heads = (site.api.pid, site.worker.pid, self.servers.seaweed.child.pid, self.servers.postgres.child.pid)
        stopped: list[psutil.Process] = []
        try:
            for pid in heads:
                stopped += _stand_still(psutil.Process(pid))
            yield
        finally:
            for process in reversed(stopped):
                if process.is_running():
                    process.send_signal(signal.SIGCONT)

    def copy_platters(self) -> None:
        """What would be there if the power went now."""
        self.spool.platter(self.memory / "spool.copy")
        self.data.platter(self.memory / "data.copy")

    def power_on_copies(self, stack: ExitStack) -> Survivors:
        """Mount the copies and start the servers on them, beside the ones that stand still; gone with the stack."""
        spool = stack.enter_context(power_on(self.memory / "spool.copy", self.folder / "spool copy"))
        data = stack.enter_context(power_on(self.memory / "data.copy", self.folder / "data copy"))
        copied = data.folder / "data"
        _move_elsewhere(copied)
        postgres = start_postgres(copied / "postgres", durable=False)
        stack.callback(_kill, postgres)
        seaweed = start_seaweed(copied / "seaweed", bucket=BUCKET)
        stack.callback(_kill, seaweed)
        return Survivors(spool=spool.folder / "spool", postgres=postgres, seaweed=seaweed)


def _move_elsewhere(data: Path) -> None:
    """Other ports, and no memory of pids: those are of the machine that still stands there."""
    for pid_file in (*data.glob("*/*.pid"), data / "postgres" / "data" / "postmaster.pid"):
        pid_file.unlink(missing_ok=True)
    for name, ports in (("postgres", ("port",)), ("seaweed", ())):
        path = data / name / "saved.json"
        saved = json.loads(path.read_text(encoding="utf-8"))
        moved = ports or [key for key in saved if key.endswith(".port")]
        saved |= dict(zip(moved, free_ports(len(moved)), strict=True))
        path.write_text(json.dumps(saved), encoding="utf-8")


def _stand_still(head: psutil.Process) -> list[psutil.Process]:
    """The process and what it has started; it stops first, so that it starts nothing more."""
    stopped = []
    waiting = [head]
    while waiting:
        process = waiting.pop()
        try:
            process.send_signal(signal.SIGSTOP)
            _until_still(process.pid)
            waiting += process.children()
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            continue
        stopped.append(process)
    return stopped


def _until_still(pid: int) -> None:
    """Each thread has left the kernel: what it was syncing is synced."""
    end = time.monotonic() + STANDSTILL_WITHIN_SECONDS
    while time.monotonic() < end:
        tasks = [path.read_text(encoding="utf-8") for path in Path(f"/proc/{pid}/task").glob("*/stat")]
        if all(text.rpartition(") ")[2][0] in _STILL for text in tasks):
            return
        time.sleep(0.002)
    raise AssertionError("a process does not stand still")


def _kill(server: EmbeddedPostgres | EmbeddedSeaweed) -> None:
    """At once: its data goes anyway."""
    head = psutil.Process(server.child.pid)
    family = [head, *head.children(recursive=True)]
    for process in family:
        if process.is_running():
            process.kill()
    server.child.stop()
    psutil.wait_procs(family, timeout=10)


def _stop(servers: Embedded) -> None:
    for server in (servers.seaweed, servers.postgres):
        if server is not None and server.child.running:
            _kill(server)
    servers.lock.close()
    shutil.rmtree(servers.postgres.folder, ignore_errors=True)
