"""Confirm the database's clock at the command line."""

from platevault.access.actor import Actor, Look, Scope
from platevault.jobs import vault_clock
from platevault.jobs.run import JobContext
from platevault.jobs.vault_clock import ClockReading


async def confirm_clock(context: JobContext, *, request_id: str) -> ClockReading:
    """Confirm the database's clock for the operator of this machine, with a row in the access log."""
    operator = Actor(subject="operator", kind="command", scopes=frozenset({Scope.ADMIN}))
    look = Look(actor=operator, route="platevault doctor --confirm-clock", request_id=request_id)
    return await vault_clock.confirm_clock(context.database, context.objects, look=look)
