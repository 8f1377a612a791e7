import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests.support.servers import S3Server

from platevault.domain.errors import SettingsInvalid, StoreMisconfigured, StoreUnavailable
from platevault.infra.objectstore.admin.bucket import BucketAdmin
from platevault.infra.objectstore.admin.bucket_xml import format_lifecycle, parse_lifecycle
from platevault.infra.objectstore.admin.lifecycle import Rule, Tier, compare, wanted_rules
from platevault.provisioning.bucket import BucketReport, check_bucket, configure_bucket

SERVERS = ("seaweed", "minio")
WANTED = wanted_rules(retention_days=365, margin_days=30)
TAKEN_BY_ALL = {"expire-full", "expire-crop", "expire-temp", "expire-derived"}

OF_THE_OPERATOR = """<Rule><ID>their logs</ID><Status>Enabled</Status><Filter><And><Prefix>logs/</Prefix>
<ObjectSizeGreaterThan>500</ObjectSizeGreaterThan></And></Filter><Expiration><Days>3</Days></Expiration></Rule>"""


class Site:
    """A bucket name that nobody used before, on a real server, with an administrator's key."""

    def __init__(self, server: S3Server, name: str) -> None:
        self.server = server
        self.kind = name
        self.bucket = f"plates-{uuid.uuid4().hex[:12]}"
        self.client = server.client("admin")
        self.admin = self.open()

    def open(self, **changes: Any) -> BucketAdmin:
        settings: dict[str, Any] = {
            "endpoint": self.server.endpoint,
            "secure": False,
            "region": self.server.region,
            "bucket": self.bucket,
            "access_key": self.server.admin_access_key,
            "secret_key": self.server.admin_secret_key,
        }
        return BucketAdmin.open(**(settings | changes))

    async def plant(self, rules: str) -> None:
        """Write a lifecycle as somebody else would."""
        found = parse_lifecycle(f"<LifecycleConfiguration>{rules}</LifecycleConfiguration>".encode())
        assert await self.admin.write_lifecycle(found) is None

    async def configure(self, rules: tuple[Rule, ...] = WANTED) -> BucketReport:
        return await configure_bucket(admin=self.admin, rules_wanted=rules)

    async def check(self, rules: tuple[Rule, ...] = WANTED) -> BucketReport:
        return await check_bucket(admin=self.admin, rules_wanted=rules)


@pytest.fixture(params=SERVERS)
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    opened = Site(request.getfixturevalue(request.param), request.param)
    yield opened
    if await opened.admin.exists():
        await asyncio.to_thread(opened.client.remove_bucket, opened.bucket)
    opened.admin.close()


async def test_a_bucket_is_made_private_with_its_rules(site: Site) -> None:
    report = await site.configure()
    assert report.ok
    assert report.changed
    assert report.problems == ()
    assert any("Created bucket" in sentence for sentence in report.done)
    found = {rule.id: rule for rule in await site.admin.read_lifecycle()}
    assert found.keys() >= TAKEN_BY_ALL
    assert found["expire-full"].expire_days == 395
    assert not await site.admin.anonymous_access()
    assert await site.admin.versioning() == "off"


async def test_a_second_run_changes_nothing(site: Site) -> None:
    first = await site.configure()
    before = await site.admin.read_lifecycle()
    second = await site.configure()
    assert second.ok
    assert not second.changed
    assert second.done == ()
    assert second.warnings == first.warnings
    assert await site.admin.read_lifecycle() == before


async def test_what_the_server_does_not_take_is_said_once_and_is_no_fault(site: Site) -> None:
    report = await site.configure()
    ids = {rule.id for rule in await site.admin.read_lifecycle()}
    if site.kind == "minio":
        assert "cleanup-incomplete" not in ids
        assert ["MINIO_API_STALE_UPLOADS_EXPIRY" in sentence for sentence in report.warnings] == [True]
    else:
        assert "cleanup-incomplete" in ids
        assert report.warnings == ()


async def test_a_tier_that_the_server_lacks_is_a_warning_and_all_else_is_set(site: Site) -> None:
    rules = wanted_rules(retention_days=365, margin_days=30, tier=Tier(name="COLD", after_days=90))
    report = await site.configure(rules)
    assert report.ok
    assert any("tier-full" in sentence for sentence in report.warnings)
    assert {rule.id for rule in await site.admin.read_lifecycle()} >= TAKEN_BY_ALL
    assert not (await site.configure(rules)).changed


async def test_a_rule_of_the_operator_is_kept_word_for_word(site: Site) -> None:
    await site.admin.create()
    await site.plant(OF_THE_OPERATOR)
    (before,) = await site.admin.read_lifecycle()
    report = await site.configure()
    assert report.ok
    assert report.kept == ("their logs",)
    (after,) = [rule for rule in await site.admin.read_lifecycle() if rule.id == "their logs"]
    assert after.source == before.source
    assert "ObjectSizeGreaterThan" in after.source
    assert not (await site.configure()).changed


async def test_a_rule_that_somebody_changed_is_reported_and_set_right(site: Site) -> None:
    await site.configure()
    await site.plant(
        "<Rule><ID>expire-full</ID><Status>Enabled</Status><Filter><Prefix>full/</Prefix></Filter>"
        "<Expiration><Days>7</Days></Expiration></Rule>",
    )
    report = await site.check()
    assert not report.ok
    told = " ".join(report.problems)
    assert "expire-full is prefix 'full/', deletes after 7 days, not prefix 'full/', deletes after 395 days" in told
    assert "expire-crop is missing" in told
    assert "expire-full (prefix 'full/', deletes after 7 days) is dangerous" in told
    assert [rule.expire_days for rule in await site.admin.read_lifecycle()] == [7], "a check writes nothing"
    assert (await site.configure()).ok
    assert (await site.check()).ok


async def test_a_rule_that_could_delete_what_is_held_is_never_in_order(site: Site) -> None:
    await site.admin.create()
    await site.plant(
        "<Rule><ID>all of it</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter>"
        "<Expiration><Days>9000</Days></Expiration></Rule>",
    )
    for report in (await site.configure(), await site.check()):
        assert not report.ok
        assert ["legal hold" in sentence and "all of it" in sentence for sentence in report.problems] == [True]
    assert "all of it" in {rule.id for rule in await site.admin.read_lifecycle()}, "it is the operator's to remove"


async def test_a_class_that_never_ends_takes_the_rules_away(site: Site) -> None:
    await site.configure()
    for_ever = wanted_rules(retention_days=None, margin_days=30)
    assert not (await site.check(for_ever)).ok
    assert (await site.configure(for_ever)).ok
    assert not {"expire-full", "expire-crop"} & {rule.id for rule in await site.admin.read_lifecycle()}


async def test_a_longer_class_raises_the_rule(site: Site) -> None:
    await site.configure()
    longer = wanted_rules(retention_days=730, margin_days=30)
    assert (await site.configure(longer)).ok
    assert {rule.expire_days for rule in await site.admin.read_lifecycle() if rule.prefix == "full/"} == {760}


class StubbornBucket(BucketAdmin):
    async def write_lifecycle(self, rules: Sequence[Rule]) -> str | None:
        return "InvalidArgument"


async def test_a_server_that_takes_no_rule_of_ours_is_a_problem(site: Site) -> None:
    await site.admin.create()
    site.admin.__class__ = StubbornBucket
    report = await site.configure()
    assert not report.ok
    assert any("InvalidArgument" in sentence for sentence in report.problems)


async def test_checking_a_bucket_that_is_not_there_makes_none(site: Site) -> None:
    report = await site.check()
    assert not report.ok
    assert "platevault bucket configure" in report.problems[0]
    assert not await site.admin.exists()


async def test_a_bucket_that_anybody_can_read_is_reported(site: Site) -> None:
    await site.configure()
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": ["*"]},
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{site.bucket}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    await asyncio.to_thread(site.client.set_bucket_policy, site.bucket, policy)
    report = await site.check()
    assert not report.ok
    assert "Anybody" in report.problems[0]
    await asyncio.to_thread(site.client.delete_bucket_policy, site.bucket)
    assert (await site.check()).ok


async def test_pages_of_the_ui_may_read_where_the_server_has_cors(site: Site) -> None:
    origins = ("https://ui.example",)
    report = await configure_bucket(admin=site.admin, rules_wanted=WANTED, cors_origins=origins)
    assert report.ok
    if site.kind == "minio":
        assert any("MINIO_API_CORS_ALLOW_ORIGIN" in sentence for sentence in report.warnings)
    else:
        (rule,) = await site.admin.read_cors()
        assert rule.origins == frozenset({"https://ui.example"})
        assert rule.methods == frozenset({"GET"})
        more = await configure_bucket(
            admin=site.admin, rules_wanted=WANTED, cors_origins=(*origins, "https://2.example")
        )
        assert more.changed
        assert [rule.origins for rule in await site.admin.read_cors()] == [
            {"https://ui.example"},
            {"https://2.example"},
        ]
    assert not (await configure_bucket(admin=site.admin, rules_wanted=WANTED, cors_origins=origins)).changed


async def test_two_who_make_the_bucket_at_once_both_have_it(site: Site) -> None:
    made = await asyncio.gather(*(site.admin.create() for _ in range(3)))
    assert sum(made) >= 1
    assert await site.admin.exists()


async def test_wrong_credentials_are_a_setting_to_mend(site: Site) -> None:
    for admin in (site.open(secret_key="notthesecret"), site.open(access_key="nobody")):
        for ask in (admin.exists, admin.create, admin.read_lifecycle, admin.versioning):
            with pytest.raises(StoreMisconfigured) as caught:
                await ask()
            assert "notthesecret" not in str(caught.value)
            assert "nobody" not in str(caught.value)


async def test_the_service_identity_sets_up_no_bucket(site: Site) -> None:
    admin = site.open(access_key=site.server.access_key, secret_key=site.server.secret_key)
    with pytest.raises(StoreMisconfigured):
        await admin.create()


async def test_a_server_that_is_down_is_unavailable() -> None:
    listening = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    settings: dict[str, Any] = {
        "secure": False,
        "region": "us-east-1",
        "bucket": "plates",
        "access_key": "a",
        "secret_key": "b" * 8,
    }
    admin = BucketAdmin.open(endpoint=f"127.0.0.1:{port}", **settings)
    async with listening:
        with pytest.raises(StoreUnavailable):
            await admin.exists()
    with pytest.raises(StoreUnavailable) as caught:
        await admin.read_lifecycle()
    assert not isinstance(caught.value, StoreMisconfigured)


async def test_each_question_is_asked_once() -> None:
    asked = []

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(busy, "127.0.0.1", 0)
    endpoint = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    admin = BucketAdmin.open(
        endpoint=endpoint, secure=False, region="us-east-1", bucket="plates", access_key="a", secret_key="b" * 8
    )
    async with listening:
        for ask in (admin.exists, admin.read_lifecycle, admin.versioning):
            with pytest.raises(StoreUnavailable):
                await ask()
    assert len(asked) == 3


def test_an_endpoint_with_a_scheme_names_its_setting() -> None:
    with pytest.raises(SettingsInvalid, match="MINIO_ENDPOINT"):
        BucketAdmin.open(
            endpoint="http://x/y", secure=False, region="r", bucket="plates", access_key="a", secret_key="b"
        )


async def test_a_bucket_name_that_no_server_takes_is_a_setting_to_mend() -> None:
    admin = BucketAdmin.open(
        endpoint="127.0.0.1:9", secure=False, region="r", bucket="No", access_key="a", secret_key="b"
    )
    with pytest.raises(StoreMisconfigured, match="No"):
        await admin.exists()


def test_a_report_can_be_read_by_programs() -> None:
    report = BucketReport(bucket="plates", ok=False, changed=False, problems=("Mend it.",))
    assert json.loads(json.dumps(report.as_dict()))["problems"] == ["Mend it."]


def test_our_rules_are_read_back_as_they_were_written() -> None:
    rules = wanted_rules(retention_days=365, margin_days=30, tier=Tier(name="COLD & <far>", after_days=90))
    assert compare(rules, parse_lifecycle(format_lifecycle(rules))).as_wanted


@pytest.mark.parametrize(
    ("filters", "prefix", "narrowed"),
    [
        ("<Prefix>old/</Prefix>", "old/", False),
        ("<Filter><Prefix>a/</Prefix></Filter>", "a/", False),
        ("<Filter/>", "", False),
        ("<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>", "", True),
        ("<Filter><And><Prefix>b/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>", "b/", True),
        ("<Filter><And><Prefix>c/</Prefix></And></Filter>", "c/", False),
    ],
)
def test_every_way_to_name_a_prefix_is_read(filters: str, prefix: str, *, narrowed: bool) -> None:
    body = f"<Rule><Status>Enabled</Status>{filters}<Expiration><Days>1</Days></Expiration></Rule>"
    document = (
        f'<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{body}</LifecycleConfiguration>'
    )
    (rule,) = parse_lifecycle(document.encode())
    assert (rule.id, rule.prefix, rule.narrowed, rule.expire_days) == ("", prefix, narrowed, 1)
    assert rule.source == body.replace("<Filter/>", "<Filter />")
