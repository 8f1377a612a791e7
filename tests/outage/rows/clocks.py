"""Scenario: the clock of the service, of service and database, and of the store is an hour behind, an hour and 400 days ahead."""

from contextlib import ExitStack
from typing import Final

from tests.outage.scenario import Asked, Shown, Wrong
from tests.outage.site import free_port
from tests.processes.clock_cases import CASES, SHIFTS, cell
from tests.support.servers import embedded_servers, find_minio, minio_server, s3_of, server_folder

SHORT: Final = (
    ("service alone", "seaweedfs", "+400d"),
    ("service and database", "local", "+400d"),
    ("store's Date", "seaweedfs", "+400d"),
)


async def clocks(asked: Asked) -> Shown:
    """Every case on every backend: nothing is gone, and each cell is printed as a row of the table."""
    wrong, stopped, run = Wrong(), 0, 0
    wrong.add("images gone", 0)
    wrong.add("detections erased", 0)
    program = find_minio()
    for case, backend, shift in SHORT if asked.short else _all(with_minio=program is not None):
        # Servers of its own for each cell: a bucket belongs to one vault.
        with server_folder() as folder, embedded_servers() as servers, ExitStack() as stack:
            assert servers.seaweed is not None
            s3 = s3_of(servers.seaweed)
            if backend == "minio" and program is not None:
                s3 = stack.enter_context(minio_server(program))
            found = await cell(case, backend, shift, server=servers.postgres, s3=s3, port=free_port(), folder=folder)
        asked.say(str(found))
        run += 1
        stopped += "stopped" in found.sweep
        wrong.add("images gone", found.gone)
        wrong.add("detections erased", found.erased)
    without = "" if program is not None else "; MinIO is not installed"
    return wrong.shown(f"{run} cells, in {stopped} of them sweeps are stopped{without}")


def _all(*, with_minio: bool) -> list[tuple[str, str, str]]:
    """Each case, backend and shift; a folder has no `Date` of its own."""
    backends = ("local", "seaweedfs", *(("minio",) if with_minio else ()))
    return [
        (case, backend, shift)
        for case in CASES
        for backend in backends
        for shift in SHIFTS
        if not (case == "store's Date" and backend == "local")
    ]
