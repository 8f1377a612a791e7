"""Scenario: the power goes at random instants, and what was acknowledged before is on the disks.

The spool lies on one ext4, the data of PostgreSQL and of the S3 server on another, each in an image file on tmpfs. A power cut
is a copy of both images, taken while every process that writes there stands still (SIGSTOP), with the kernel's and the journal's
clocks off: the copy has what was synced, and little else. The copies are mounted (the journal is replayed), servers are started
on them, and the checker reads.

Two disks and not one, because a sync of PostgreSQL's would otherwise bring the spool's names to the platter too. To show that the
scenario can fail, the same is done with syncing switched off inside the service, of files and of folders: that must lose.
"""

import asyncio
import random
from contextlib import ExitStack
from typing import Final

from tests.outage.machine import Machine
from tests.outage.mounts import CannotMount, no_writeback
from tests.outage.scenario import Asked, Shown, Wrong, skipped
from tests.outage.senders import Sent, send_for_ever
from tests.outage.site import Site
from tests.outage.survivors import look_for
from tests.support.servers import server_folder

CONTROLS_MOST: Final = 8
"""Cuts within which a control must have lost something; it ends with the first loss."""
BETWEEN_SECONDS: Final = (0.1, 0.8)
STORE_AWAY: Final = 0.5
"""Share of the instants before which the object store refuses, so that the spool alone has the images."""
CONTROLS: Final = {
    "files": "lambda fd: real(fd) if stat.S_ISDIR(os.fstat(fd).st_mode) else None",
    "folders": "lambda fd: None if stat.S_ISDIR(os.fstat(fd).st_mode) else real(fd)",
}
"""What the service calls instead of os.fsync where the syncing of that is taken out."""


async def power_cut(asked: Asked) -> Shown:
    """So many instants, then a few without syncs, which must lose something."""
    wrong, controls = Wrong(), []
    try:
        with ExitStack() as stack:
            stack.enter_context(no_writeback())
            machine = Machine.build(stack, stack.enter_context(server_folder()))
            seen = await _cut_power(machine, asked, instants=5 if asked.short else 200, wrong=wrong)
            for what, fsync in CONTROLS.items():
                lost = Wrong()
                await _cut_power(machine, asked, instants=CONTROLS_MOST, wrong=lost, without=fsync)
                losses = sum(lost.counts.values())
                controls.append(f"{losses} lost without syncing {what}")
                wrong.add(f"controls without a loss ({what})", not losses)
    except CannotMount as error:
        return skipped(f"this machine cannot mount: {error}")
    return wrong.shown(f"{seen}; control: {', '.join(controls)}")


async def _cut_power(machine: Machine, asked: Asked, *, instants: int, wrong: Wrong, without: str | None = None) -> str:
    """In a control one collector sends now and then and the store is away: no later sync makes good what was left out."""
    chance = asked.random(f"power {without}")
    more = {"PYTHONPATH": str(machine.customized(without))} if without else {}
    async with machine.site(**more) as site:
        sent, checked = Sent(), 0
        sending = asyncio.create_task(
            send_for_ever(
                site.url,
                collectors=1 if without else 3,
                pause_seconds=(0.3, 0.5) if without else (0.0, 0.1),
                chance=chance,
                sent=sent,
            )
        )
        try:
            for number in range(instants):
                site.s3.set("refuse" if without or chance.random() < STORE_AWAY else None)
                await _something_new(sent)
                await asyncio.sleep(chance.uniform(*BETWEEN_SECONDS))
                checked += await _one_cut(machine, site, sent=sent, wrong=wrong, chance=chance)
                if without and any(wrong.counts.values()):
                    break
                if number % 20 == 19:
                    asked.say(f"{number + 1} power cuts, {len(sent.acknowledged)} batches acknowledged")
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            site.s3.set(None)
    return f"{instants} power cuts, {len(sent.acknowledged):,} batches acknowledged, {checked:,} images looked for"


async def _something_new(sent: Sent) -> None:
    """Return when a batch was acknowledged since, so that each cut has something to lose."""
    known = len(sent.acknowledged)
    for _ in range(300):
        if len(sent.acknowledged) > known:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("nothing was acknowledged for 15 s")


async def _one_cut(machine: Machine, site: Site, *, sent: Sent, wrong: Wrong, chance: random.Random) -> int:
    """Stand still, copy, power on the copy, look; then go on. Returns how many images were looked for."""
    with machine.standstill(site), ExitStack() as copies:
        acknowledged = list(sent.acknowledged)
        await asyncio.to_thread(machine.copy_platters)
        survivors = await asyncio.to_thread(machine.power_on_copies, copies)
        return await look_for(acknowledged, survivors, wrong=wrong, chance=chance)
