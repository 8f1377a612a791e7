"""An operator sees in the answer for one detection why an image is not in the bucket; a viewer does not."""

import dataclasses

from platevault.app.vault import Vault
from tests.makers import a_detection, an_image
from tests.support.vaults import RULES, a_client, keep

ADMIN = "admin-token-of-the-tests"


async def test_the_delivery_is_for_operators(vault: Vault) -> None:
    await keep(vault, a_detection("evt_1", images=[an_image("full"), an_image("crop", state="missing")]))
    administered = dataclasses.replace(vault, access=dataclasses.replace(RULES, admin_token=ADMIN))
    async with a_client(administered, token=ADMIN) as operator, a_client(administered) as viewer:
        shown = (await operator.get("/v1/detections/evt_1")).json()
        assert {kind: one["state"] for kind, one in shown["delivery"].items()} == {"full": "stored", "crop": "missing"}
        assert "resend" in shown["delivery"]["crop"]["explanation"]
        page = (await operator.get("/detections/evt_1")).text
        assert "/v1/resend" in page
        assert "delivery" not in (await viewer.get("/v1/detections/evt_1")).json()
        assert "/v1/resend" not in (await viewer.get("/detections/evt_1")).text
        (item,) = (await operator.get("/v1/detections")).json()["items"]
        assert "delivery" not in item
