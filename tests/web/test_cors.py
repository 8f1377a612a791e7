"""Another web application may call the API when it is named, and nobody else's page may."""

from pathlib import Path

from tests.support.vaults import a_client, a_vault

ALLOWED = "https://desk.example"


async def test_a_named_origin_may_ask_with_a_token_and_a_purpose_and_see_what_it_needs(
    migrated_url: str, tmp_path: Path
) -> None:
    vault = a_vault(migrated_url, tmp_path, cors_origins=(ALLOWED,))
    async with a_client(vault) as client:
        asked = await client.options(
            "/v1/detections",
            headers={
                "Origin": ALLOWED,
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "authorization, x-purpose, x-case",
            },
        )
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == ALLOWED
        answered = await client.get("/v1/detections", headers={"Origin": ALLOWED})
        assert answered.status_code == 200
        exposed = answered.headers["access-control-expose-headers"].lower()
        assert {"x-image-state", "retry-after", "x-request-id"} <= set(exposed.replace(" ", "").split(","))
        assert "access-control-allow-credentials" not in answered.headers
        refused = await client.get("/v1/detections?surprise=1", headers={"Origin": ALLOWED})
        assert refused.headers["access-control-allow-origin"] == ALLOWED, "it must be able to read why"
    await vault.database.close()


async def test_another_origin_is_not_let_in(migrated_url: str, tmp_path: Path) -> None:
    for origins in ((ALLOWED,), ()):
        vault = a_vault(migrated_url, tmp_path, cors_origins=origins)
        async with a_client(vault) as client:
            for origin in ("https://evil.example", "null", ALLOWED + ".evil.example"):
                answered = await client.get("/v1/detections", headers={"Origin": origin})
                assert "access-control-allow-origin" not in answered.headers
        await vault.database.close()


async def test_signed_images_may_be_shown_by_pages_of_named_origins(migrated_url: str, tmp_path: Path) -> None:
    for origins, policy in (((ALLOWED,), "cross-origin"), ((), "same-origin")):
        vault = a_vault(migrated_url, tmp_path, cors_origins=origins)
        async with a_client(vault, token=None) as client:
            signed = await client.get("/v1/objects/full/2025/01/15/evt_1_full.jpg?signature=wrong")
            other = await client.get("/v1/limits")
        assert signed.headers["cross-origin-resource-policy"] == policy
        assert other.headers["cross-origin-resource-policy"] == "same-origin"
        await vault.database.close()
