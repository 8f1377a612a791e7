"""`platevault worker`: uploads the spool of this node, runs scheduled jobs, and sends heartbeats until SIGTERM."""

import asyncio
import signal

import structlog

from platevault.app.commands import vault_from_environment
from platevault.app.vault import Vault
from platevault.domain.errors import Unavailable
from platevault.logs import start_in_log
from platevault.provisioning.migrate import refuse_older_schema

log = structlog.get_logger(__name__)


async def work(vault: Vault) -> None:
    """Run until SIGTERM, SIGINT or SIGHUP. Running uploads are finished or due again."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    with start_in_log("worker cannot start"):
        await _refuse_older_schema(vault)
        await vault.start(as_worker=True)
    log.info("worker started", node=str(vault.node_id))
    await stop.wait()
    await vault.stop()
    log.info("worker stopped")


async def _refuse_older_schema(vault: Vault) -> None:
    try:
        await refuse_older_schema(vault.database)
    except Unavailable as error:
        log.warning("database not there yet", why=str(error))


def main() -> int:
    """Return exit code 0 after a signal. End with exit code 2, and a line in the log, if the worker cannot start."""
    with start_in_log("worker cannot start"):
        vault = vault_from_environment()
    asyncio.run(work(vault))
    return 0
