"""Confirm the database's clock, so that erasing continues."""

import msgspec
from fastapi import Response

from platevault.jobs.vault_clock import confirm_clock as confirm
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired


async def confirm_clock(vault: Wired, look: Looking) -> Response:
    """Take the database's clock for right: retention erases by it again. Needs `admin`. The access log has the name.

    Use it if `/readyz` has `clock` `in doubt` and the database's clock is right. If it is wrong, set the clocks by NTP instead.
    """
    found = await confirm(vault.database, vault.objects, look=look)
    vault.lookout.forget()
    body = {
        "status": "ok" if found.reason is None else "in doubt",
        "database_time": found.database,
        "newest_time_seen": found.seen_at,
        "store_time": found.store,
    }
    return Response(msgspec.json.encode(body), media_type="application/json")
