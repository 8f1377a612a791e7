import pytest
from hypothesis import given
from hypothesis import strategies as st

from platevault.domain.errors import SettingsInvalid
from platevault.infra.objectstore.admin.lifecycle import (
    OWN_IDS,
    OuterBound,
    Rule,
    Tier,
    compare,
    deleting_before,
    wanted_rules,
    without_lowering,
)

WANTED = wanted_rules(retention_days=365, margin_days=30)


def test_images_go_after_the_longest_class_and_the_margin() -> None:
    by_id = {rule.id: rule for rule in WANTED}
    assert by_id["expire-full"] == Rule(id="expire-full", prefix="full/", expire_days=395)
    assert by_id["expire-crop"] == Rule(id="expire-crop", prefix="crop/", expire_days=395)
    assert by_id["expire-temp"] == Rule(id="expire-temp", prefix="temp/", expire_days=1)
    assert by_id["expire-derived"] == Rule(id="expire-derived", prefix="derived/", expire_days=30)
    assert by_id["cleanup-incomplete"] == Rule(id="cleanup-incomplete", abort_uploads_days=7)


def test_a_class_that_never_ends_leaves_images_to_the_sweep() -> None:
    ids = {rule.id for rule in wanted_rules(retention_days=None, margin_days=30)}
    assert ids == {"expire-temp", "expire-derived", "cleanup-incomplete"}


def test_a_tier_takes_full_images() -> None:
    rules = wanted_rules(retention_days=365, margin_days=30, tier=Tier(name="COLD", after_days=90))
    assert rules[-1] == Rule(id="tier-full", prefix="full/", transition_days=90, transition_tier="COLD")


@pytest.mark.parametrize(
    ("retention_days", "margin_days", "tier"),
    [(0, 30, None), (1, -1, None), (60, 30, Tier(name="COLD", after_days=90)), (365, 30, Tier(name="", after_days=9))],
)
def test_days_that_make_no_sense_are_a_setting_to_mend(
    retention_days: int, margin_days: int, tier: Tier | None
) -> None:
    with pytest.raises(SettingsInvalid):
        wanted_rules(retention_days=retention_days, margin_days=margin_days, tier=tier)


def test_a_tier_one_day_before_the_end_is_taken() -> None:
    assert wanted_rules(retention_days=61, margin_days=30, tier=Tier(name="COLD", after_days=90))


@given(st.none() | st.integers(1, 10_000), st.integers(0, 400))
def test_wanted_rules_are_ours_safe_and_as_wanted(retention_days: int | None, margin_days: int) -> None:
    rules = wanted_rules(retention_days=retention_days, margin_days=margin_days)
    drift = compare(rules, rules)
    assert {rule.id for rule in rules} <= OWN_IDS
    assert drift.as_wanted
    assert not drift.dangerous


def test_an_empty_bucket_misses_all_rules() -> None:
    drift = compare(WANTED, ())
    assert drift.missing == WANTED
    assert not drift.as_wanted


def test_a_rule_of_the_operator_is_kept_and_named() -> None:
    theirs = Rule(id="logs", prefix="logs/", expire_days=3)
    drift = compare(WANTED, (*WANTED, theirs))
    assert drift.foreign == (theirs,)
    assert drift.as_wanted
    assert not drift.dangerous


@pytest.mark.parametrize(
    "changed",
    [
        Rule(id="expire-full", prefix="full/", expire_days=394),
        Rule(id="expire-full", prefix="full/", expire_days=395, enabled=False),
        Rule(id="expire-full", prefix="full/", expire_days=395, narrowed=True),
        Rule(id="expire-full", prefix="full/", expire_days=395, extras=("NoncurrentVersionExpiration",)),
        Rule(id="expire-full", prefix="full", expire_days=395),
    ],
)
def test_a_changed_rule_is_different(changed: Rule) -> None:
    drift = compare(WANTED, (changed, *WANTED[1:]))
    assert drift.different == ((WANTED[0], changed),)
    assert not drift.as_wanted


def test_a_rule_read_from_a_server_is_not_different_for_its_spelling() -> None:
    read = Rule(id="expire-full", prefix="full/", expire_days=395, source="<Rule>…</Rule>")
    assert compare(WANTED, (read, *WANTED[1:])).as_wanted


def test_a_rule_of_ours_that_is_no_longer_wanted_must_go() -> None:
    for_ever = wanted_rules(retention_days=None, margin_days=30)
    drift = compare(for_ever, WANTED)
    assert {rule.id for rule in drift.unwanted} == {"expire-full", "expire-crop"}
    assert {danger.rule.id for danger in drift.dangerous} == {"expire-full", "expire-crop"}


def test_one_id_twice_must_go_once() -> None:
    twice = Rule(id="expire-temp", prefix="x/", expire_days=1)
    assert compare(WANTED, (*WANTED, twice)).unwanted == (twice,)


@pytest.mark.parametrize("prefix", ["", "h", "holds", "holds/", "holds/full/2025/", "q", "quarantine/x", "meta/"])
def test_a_rule_that_can_match_what_never_expires_is_dangerous(prefix: str) -> None:
    rule = Rule(id="theirs", prefix=prefix, expire_days=9999)
    drift = compare(WANTED, (*WANTED, rule))
    assert [danger.rule for danger in drift.dangerous] == [rule]


@pytest.mark.parametrize("prefix", ["logs/", "hold", "holdings/", "temp/x/", "fullmoon/"])
def test_a_rule_for_another_place_is_not_dangerous_unless_holds_start_like_it(prefix: str) -> None:
    drift = compare(WANTED, (*WANTED, Rule(id="theirs", prefix=prefix, expire_days=3)))
    assert bool(drift.dangerous) == "holds/".startswith(prefix)


@pytest.mark.parametrize(
    ("rule", "dangerous"),
    [
        (Rule(id="theirs", prefix="full/2025/", expire_days=394), True),
        (Rule(id="theirs", prefix="full/2025/", expire_days=395), False),
        (Rule(id="theirs", prefix="crop/", expire_date="2030-01-01T00:00:00Z"), True),
        (Rule(id="theirs", prefix="full/", expire_days=3, narrowed=True), True),
        (Rule(id="theirs", prefix="full/", expire_days=3, enabled=False), False),
        (Rule(id="theirs", prefix="", abort_uploads_days=1), False),
        (Rule(id="theirs", prefix="full/", transition_days=1, transition_tier="COLD"), False),
    ],
)
def test_a_rule_that_deletes_images_too_early_is_dangerous(rule: Rule, *, dangerous: bool) -> None:
    assert bool(compare(WANTED, (*WANTED, rule)).dangerous) is dangerous


def test_missing_only_what_some_servers_do_not_know_can_be_lived_with() -> None:
    assert compare(WANTED, [rule for rule in WANTED if rule.id != "cleanup-incomplete"]).only_optional_missing
    assert not compare(WANTED, WANTED[1:]).only_optional_missing


@pytest.mark.parametrize("name", ["GLACIER", "DEEP_ARCHIVE"])
def test_a_storage_class_whose_objects_cannot_be_shown_is_no_tier(name: str) -> None:
    with pytest.raises(SettingsInvalid, match="GLACIER_IR"):
        wanted_rules(retention_days=365, margin_days=30, tier=Tier(name=name, after_days=90))


@given(
    st.none() | st.integers(1, 3000),
    st.none() | st.integers(1, 3000),
    st.booleans(),
)
def test_who_does_not_know_the_longest_class_never_makes_an_image_go_sooner(
    standing_days: int | None, guessed_days: int | None, is_new: bool
) -> None:
    bound = OuterBound(default_days=365, margin_days=30)
    standing = () if is_new else bound.rules(standing_days)
    rules = without_lowering(bound.rules(guessed_days), standing, is_new=is_new)
    before = None if is_new else standing_days
    assert is_new or deleting_before(rules, before if before is None else before + 30) == ()
    assert not compare(rules, rules).missing


@pytest.mark.parametrize(
    "there",
    [
        Rule(id="expire-full", prefix="full/2020/", expire_days=10),
        Rule(id="expire-full", prefix="full/", expire_days=10, enabled=False),
        Rule(id="expire-full", prefix="full/", expire_days=10, narrowed=True),
        Rule(id="expire-full", prefix="full/", expire_days=1000),
        Rule(id="expire-full", prefix="full/", transition_days=3, transition_tier="COLD"),
    ],
)
def test_a_standing_rule_that_deletes_less_than_ours_stays(there: Rule) -> None:
    assert there in without_lowering(WANTED, [there], is_new=False)


def test_a_standing_rule_that_deletes_more_than_ours_is_raised() -> None:
    for there in (
        Rule(id="expire-full", prefix="full/", expire_days=10),
        Rule(id="expire-full", prefix="", expire_days=395),
    ):
        assert WANTED[0] in without_lowering(WANTED, [there], is_new=False)


@pytest.mark.parametrize(
    ("rule", "sooner"),
    [
        (Rule(id="a", prefix="full/", expire_days=395), False),
        (Rule(id="a", prefix="full/", expire_days=394), True),
        (Rule(id="a", prefix="", expire_days=1), True),
        (Rule(id="a", prefix="crop/2025/", expire_days=1), True),
        (Rule(id="a", prefix="full/", expire_date="2030-01-01T00:00:00Z"), True),
        (Rule(id="a", prefix="temp/", expire_days=1), False),
        (Rule(id="a", prefix="full/", expire_days=1, enabled=False), False),
    ],
)
def test_a_rule_that_ends_images_before_their_class_is_found(rule: Rule, *, sooner: bool) -> None:
    assert (deleting_before([rule], 395) == (rule,)) is sooner
    assert bool(deleting_before([rule], None)) is (rule.deletes and rule.prefix != "temp/")
