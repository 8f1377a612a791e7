"""`platevault worker`: uploads the spool of this node, runs scheduled jobs, and sends heartbeats until SIGTERM."""

import asyncio
import signal
import sys

import structlog

from platevault.app.commands import vault_from_environment
from platevault.app.vault import Vault
from platevault.domain.errors import Unavailable, VaultError
from platevault.provisioning.migrate import refuse_older_schema

log = structlog.get_logger(__name__)


async def work(vault: Vault) -> None:
    """Run until SIGTERM, SIGINT or SIGHUP. Running uploads are finished or due again."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    try:
        await refuse_older_schema(vault.database)
    except Unavailable as error:
        log.warning("database not there yet", why=str(error))
    await vault.start(as_worker=True)
    log.info("worker started", node=str(vault.node_id))
    await stop.wait()
    await vault.stop()
    log.info("worker stopped")


def main() -> None:
    """Return after a signal. Exit code 2 for wrong settings."""
    try:
        asyncio.run(_main())
    except VaultError as error:
        log.error("worker cannot start", why=str(error))
        sys.exit(2)


async def _main() -> None:
    await work(vault_from_environment())
