"""A cookie says why its holder looks, and nobody but the vault can write it."""

import hashlib

from itsdangerous import URLSafeTimedSerializer

from platevault.vault import Vault
from platevault.web.session import COOKIE
from tests.web.test_access import ask, signed_in


async def test_a_cookie_with_another_purpose_than_was_signed_is_nothing(vault: Vault) -> None:
    cookies = (await signed_in(vault, purpose="theft")).cookies
    assert (await ask(vault, cookies=cookies)).status_code == 200
    forger = URLSafeTimedSerializer(
        "a key of their own", salt="platevault-session", signer_kwargs={"digest_method": hashlib.sha256}
    )
    _, content = forger.loads_unsafe(cookies[COOKIE])
    assert content["purpose"] == "theft"
    for changed in (content, {**content, "purpose": "curiosity"}):
        assert (await ask(vault, cookies={COOKIE: str(forger.dumps(changed))})).status_code == 401
