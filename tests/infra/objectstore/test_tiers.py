"""A cold tier on a second real MinIO server: defined, tried, used, and left without a trace of what was deleted."""

import asyncio
import hashlib
import io
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import S3Error
from tests.support.servers import BUCKET, S3Server, find_minio, minio_server

from platevault.domain.errors import StoreMisconfigured, StoreUnavailable
from platevault.infra.objectstore.admin.bucket import BucketAdmin
from platevault.infra.objectstore.admin.bucket_xml import parse_lifecycle
from platevault.infra.objectstore.admin.lifecycle import Tier, wanted_rules
from platevault.infra.objectstore.admin.tier import RemoteTier
from platevault.infra.objectstore.admin.tiers import TierAdmin
from platevault.infra.objectstore.s3.presign import S3UrlSigner, SigningIdentity
from platevault.infra.objectstore.s3.store import S3Store
from platevault.provisioning.bucket import configure_bucket
from platevault.provisioning.setup import Key
from platevault.provisioning.tier import TierReport, define_tier, show_tiers

IMAGE = b"\xff\xd8\xff" + bytes(range(256)) * 400
WAIT_SECONDS = 60.0


class Servers:
    """The server that has the bucket, the cold one, and what an operator has of both."""

    def __init__(self, hot: S3Server, cold: S3Server) -> None:
        self.hot = hot
        self.cold = cold
        self.admin = TierAdmin.open(**where(hot), access_key=hot.admin_access_key, secret_key=hot.admin_secret_key)
        self.bucket = BucketAdmin.open(
            **where(hot), bucket=BUCKET, access_key=hot.admin_access_key, secret_key=hot.admin_secret_key
        )
        self.objects = S3Store.open(**where(hot), bucket=BUCKET, access_key=hot.access_key, secret_key=hot.secret_key)
        self.key = a_user_of(cold)

    def tier(self, name: str) -> RemoteTier:
        return RemoteTier(
            name=name, kind="minio", endpoint=f"http://{self.cold.endpoint}", bucket=BUCKET, prefix=f"{name.lower()}/"
        )

    async def in_the_cold(self) -> set[str]:
        listed = await asyncio.to_thread(lambda: list(self.cold.client("admin").list_objects(BUCKET, recursive=True)))
        return {str(found.object_name) for found in listed}

    async def storage_class(self, key: str) -> str | None:
        found = await asyncio.to_thread(self.hot.client().stat_object, BUCKET, key)
        return found.metadata.get("x-amz-storage-class")

    async def move_at_once(self, name: str) -> None:
        """Our rule, with 0 days, which the server takes when an object is put."""
        rule = (
            f"<Rule><ID>tier-full</ID><Status>Enabled</Status><Filter><Prefix>full/</Prefix></Filter>"
            f"<Transition><Days>0</Days><StorageClass>{name}</StorageClass></Transition></Rule>"
        )
        found = parse_lifecycle(f"<LifecycleConfiguration>{rule}</LifecycleConfiguration>".encode())
        assert await self.bucket.write_lifecycle(found) is None

    async def put(self, key: str) -> None:
        client = self.hot.client()
        await asyncio.to_thread(client.put_object, BUCKET, key, io.BytesIO(IMAGE), len(IMAGE), "image/jpeg")

    async def bytes_by_url(self, key: str) -> httpx2.Response:
        signer = S3UrlSigner(
            public_endpoint=f"http://{self.hot.endpoint}",
            bucket=BUCKET,
            identity=SigningIdentity(
                access_key=self.hot.presign_access_key, secret_key=self.hot.presign_secret_key, region=self.hot.region
            ),
        )
        url = signer.sign(key, now=datetime.now(UTC), valid_for=timedelta(minutes=5)).url
        async with httpx2.AsyncClient() as browser:
            return await browser.get(url)


def a_user_of(cold: S3Server) -> Key:
    """With the rights that docs/OPERATING.md asks for, and no other."""
    actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"]
    resources = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    key = Key(access_key=secrets.token_hex(10), secret_key=secrets.token_hex(20))
    admin = MinioAdmin(
        endpoint=cold.endpoint,
        credentials=StaticProvider(cold.admin_access_key, cold.admin_secret_key),
        region=cold.region,
        secure=False,
    )
    admin.policy_add("cold", policy={"Version": "2012-10-17", "Statement": [statement]})
    admin.user_add(key.access_key, key.secret_key)
    admin.attach_policy(["cold"], user=key.access_key)
    return key


def where(server: S3Server) -> dict[str, Any]:
    return {"endpoint": server.endpoint, "secure": False, "region": server.region}


@pytest.fixture(scope="module")
def cold(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """The second MinIO server; `minio` is the first."""
    if request.config.getoption("--containers"):
        pytest.skip("a container does not reach a server of this machine")
    program = find_minio()
    assert program is not None, "the first one was found"
    with minio_server(program) as started:
        yield started


@pytest.fixture
async def pair(minio: S3Server, cold: S3Server) -> AsyncIterator[Servers]:
    opened = Servers(minio, cold)
    yield opened
    for key in [key async for key, _, _ in opened.objects.list("")]:
        await opened.objects.delete(key)
    await asyncio.to_thread(minio.client("admin").delete_bucket_lifecycle, BUCKET)
    await opened.objects.close()
    opened.bucket.close()


@pytest.fixture
def name() -> str:
    """Of a tier that no test had before: a server does not forget one."""
    return f"TIER-{secrets.token_hex(4).upper()}"


async def until(what: Callable[[], Awaitable[object]]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not await what():
        assert time.monotonic() < end, "it took too long"
        await asyncio.sleep(0.2)


async def test_a_tier_is_defined_tried_and_found_again(pair: Servers, name: str) -> None:
    tier = pair.tier(name)
    first = await define_tier(tier, admin=pair.admin, key=pair.key)
    assert first.verified == name
    assert first.done == (f"Defined tier {name} at {tier.place}.",)
    assert tier in first.tiers
    again = await define_tier(tier, admin=pair.admin, key=pair.key)
    assert again.done == ()
    assert again.tiers == first.tiers
    assert (await show_tiers(name, admin=pair.admin)).verified == name
    assert await pair.in_the_cold() == set(), "what was tried there is gone"


async def test_a_rule_that_names_the_tier_is_taken_and_read_back(pair: Servers, name: str) -> None:
    rules = wanted_rules(retention_days=365, margin_days=30, tier=Tier(name=name, after_days=90))
    before = await configure_bucket(admin=pair.bucket, rules_wanted=rules)
    assert any("platevault bucket tier" in warning for warning in before.warnings)
    await define_tier(pair.tier(name), admin=pair.admin, key=pair.key)
    report = await configure_bucket(admin=pair.bucket, rules_wanted=rules)
    assert report.ok
    (rule,) = [rule for rule in await pair.bucket.read_lifecycle() if rule.id == "tier-full"]
    assert (rule.prefix, rule.transition_days, rule.transition_tier) == ("full/", 90, name)
    assert not (await configure_bucket(admin=pair.bucket, rules_wanted=rules)).changed


async def test_a_moved_image_is_served_by_its_url_and_gone_from_both_servers_when_we_delete_it(
    pair: Servers, name: str
) -> None:
    await define_tier(pair.tier(name), admin=pair.admin, key=pair.key)
    await pair.move_at_once(name)
    full, crop = "full/2025/01/15/evt_cold_full.jpg", "crop/2025/01/15/evt_cold_crop.jpg"
    await pair.put(full)
    await pair.put(crop)

    async def moved() -> bool:
        return await pair.storage_class(full) == name

    await until(moved)
    assert len(await pair.in_the_cold()) == 1
    assert await pair.storage_class(crop) is None, "crops are small and looked at: they stay"
    answer = await pair.bytes_by_url(full)
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(IMAGE).digest()
    assert answer.headers["content-type"] == "image/jpeg"
    assert await pair.objects.get(full) == IMAGE
    assert await pair.objects.copy(full, f"holds/{full}"), "a hold copies what is in the cold too"
    assert await pair.storage_class(f"holds/{full}") is None, "and the copy is on the server itself"

    await pair.objects.delete(full)

    async def gone() -> bool:
        return await pair.in_the_cold() == set()

    await until(gone)
    assert (await pair.bytes_by_url(full)).status_code == 404
    assert await pair.objects.get(f"holds/{full}") == IMAGE


async def test_any_s3_server_can_be_the_cold_one(pair: Servers, seaweed: S3Server, name: str) -> None:
    tier = RemoteTier(name=name, kind="s3", endpoint=f"http://{seaweed.endpoint}", bucket=BUCKET, prefix=f"{name}/")
    key = Key(access_key=seaweed.access_key, secret_key=seaweed.secret_key)
    for _ in range(2):
        assert (await define_tier(tier, admin=pair.admin, key=key)).verified == name
    assert tier in await pair.admin.list()
    await pair.move_at_once(name)
    image = "full/2025/01/18/evt_cold_full.jpg"
    await pair.put(image)

    async def moved() -> bool:
        return await pair.storage_class(image) == name

    await until(moved)
    assert (await pair.bytes_by_url(image)).content == IMAGE
    await pair.objects.delete(image)

    async def gone() -> bool:
        there = seaweed.client().list_objects(BUCKET, prefix=tier.prefix, recursive=True)
        return not await asyncio.to_thread(list, there)

    await until(gone)


async def test_a_key_that_the_cold_server_refuses_leaves_the_tier_working(pair: Servers, name: str) -> None:
    tier = pair.tier(name)
    await define_tier(tier, admin=pair.admin, key=pair.key)
    await pair.move_at_once(name)
    key = "full/2025/01/16/evt_cold_full.jpg"
    await pair.put(key)

    async def moved() -> bool:
        return await pair.storage_class(key) == name

    await until(moved)
    nonsense = Key(access_key="nobody", secret_key="nonsense-nonsense")
    with pytest.raises(StoreMisconfigured) as caught:
        await define_tier(tier, admin=pair.admin, key=nonsense, new_key=True)
    assert "nonsense" not in str(caught.value)
    assert (await pair.bytes_by_url(key)).content == IMAGE
    another = "full/2025/01/17/evt_cold_full.jpg"
    await pair.put(another)

    async def moved_too() -> bool:
        return await pair.storage_class(another) == name

    await until(moved_too)
    assert (await define_tier(tier, admin=pair.admin, key=nonsense)).done == (), "who only looks needs no key"


async def test_a_tier_gets_a_new_key(pair: Servers, name: str) -> None:
    tier = pair.tier(name)
    root = Key(access_key=pair.cold.admin_access_key, secret_key=pair.cold.admin_secret_key)
    await define_tier(tier, admin=pair.admin, key=pair.key)
    assert (await define_tier(tier, admin=pair.admin, key=root, new_key=True)).done == (
        f"Gave tier {name} its new key.",
    )


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"bucket": "nobodys-bucket"}, "TIER_BUCKET must be there"),
        ({"name": "cold"}, "capitals"),
        ({"name": "STANDARD"}, "choose another"),
        ({"endpoint": "http://127.0.0.1:9"}, "TIER_ENDPOINT does not answer"),
    ],
)
async def test_what_is_wrong_with_a_tier_is_said_in_the_words_of_the_settings(
    pair: Servers, name: str, wrong: dict[str, str], told: str
) -> None:
    with pytest.raises(StoreMisconfigured, match=told):
        await define_tier(replace(pair.tier(name), **wrong), admin=pair.admin, key=pair.key)
    assert name not in {tier.name for tier in await pair.admin.list()}


async def test_a_prefix_that_somebody_uses_is_not_shared(pair: Servers, name: str) -> None:
    tier = pair.tier(name)
    there = f"{tier.prefix}somebodys"
    client = pair.cold.client()
    await asyncio.to_thread(client.put_object, BUCKET, there, io.BytesIO(IMAGE), len(IMAGE))
    with pytest.raises(StoreMisconfigured, match="choose an empty prefix"):
        await define_tier(tier, admin=pair.admin, key=pair.key)
    await asyncio.to_thread(client.remove_object, BUCKET, there)


async def test_of_two_who_define_a_tier_at_once_who_is_refused_is_told_to_run_it_again(
    pair: Servers, name: str
) -> None:
    both = (define_tier(pair.tier(name), admin=pair.admin, key=pair.key) for _ in range(2))
    found = await asyncio.gather(*both, return_exceptions=True)
    refused = [str(one) for one in found if isinstance(one, StoreMisconfigured)]
    assert all(isinstance(one, TierReport | StoreMisconfigured) for one in found), found
    assert [told for told in refused if "run it again" not in told] == []
    assert (await define_tier(pair.tier(name), admin=pair.admin, key=pair.key)).verified == name
    assert (await define_tier(pair.tier(name), admin=pair.admin, key=pair.key)).done == ()


async def test_a_tier_does_not_move(pair: Servers, name: str) -> None:
    tier = pair.tier(name)
    await define_tier(tier, admin=pair.admin, key=pair.key)
    with pytest.raises(StoreMisconfigured, match="cannot be moved"):
        await define_tier(replace(tier, prefix="elsewhere/"), admin=pair.admin, key=pair.key)
    assert tier in await pair.admin.list()


async def test_the_service_identity_defines_no_tier(pair: Servers, name: str) -> None:
    service = TierAdmin.open(**where(pair.hot), access_key=pair.hot.access_key, secret_key=pair.hot.secret_key)
    for ask in (service.list(), service.add(pair.tier(name), access_key="a", secret_key="b"), service.verify(name)):
        with pytest.raises(StoreMisconfigured, match="admin:SetTier"):
            await ask


async def test_a_server_without_tiers_is_told_so_and_nothing_is_put_into_it(seaweed: S3Server) -> None:
    admin = TierAdmin.open(**where(seaweed), access_key=seaweed.admin_access_key, secret_key=seaweed.admin_secret_key)
    tier = RemoteTier(name="COLD", kind="minio", endpoint="http://127.0.0.1:9", bucket=BUCKET)
    with pytest.raises(StoreMisconfigured, match="no remote tiers.*GLACIER_IR"):
        await define_tier(tier, admin=admin, key=Key(access_key="a", secret_key="b" * 8))
    names = [bucket.name for bucket in await asyncio.to_thread(seaweed.client("admin").list_buckets)]
    assert "minio" not in names
    with pytest.raises(S3Error):
        await asyncio.to_thread(seaweed.client("admin").stat_object, "minio", "admin/v3/tier")


async def test_a_server_that_is_down_is_unavailable() -> None:
    admin = TierAdmin.open(endpoint="127.0.0.1:9", secure=False, region="us-east-1", access_key="a", secret_key="b" * 8)
    with pytest.raises(StoreUnavailable):
        await admin.list()
