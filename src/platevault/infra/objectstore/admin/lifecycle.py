"""What the bucket itself may delete, and when: the rules that are wanted, and how far found ones are from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from platevault.domain.errors import SettingsInvalid
from platevault.domain.object_prefixes import CROP_IMAGES, DERIVED_IMAGES, FULL_IMAGES, PREFIXES, TEMP_UPLOADS

ABORT_UPLOADS_DAYS = 7

EXPIRE_FULL = FULL_IMAGES.rule_id
EXPIRE_CROP = CROP_IMAGES.rule_id
EXPIRE_TEMP = TEMP_UPLOADS.rule_id
EXPIRE_DERIVED = DERIVED_IMAGES.rule_id
CLEANUP_INCOMPLETE = "cleanup-incomplete"
TIER_FULL = "tier-full"

_EXPIRING: Final = tuple((prefix, prefix.expiry) for prefix in PREFIXES if prefix.expiry is not None)
OWN_IDS = frozenset({*(prefix.rule_id for prefix, _ in _EXPIRING), CLEANUP_INCOMPLETE, TIER_FULL})
OPTIONAL_IDS = frozenset({CLEANUP_INCOMPLETE, TIER_FULL})
"""Rules that some servers do not know; without them nothing is lost and nothing is kept that must go."""

CANARY: Final = f"{TEMP_UPLOADS.name}lifecycle/canary"
"""An object that nobody but the bucket's own lifecycle deletes: while it is old and there, the rules do not run."""

KEEPING_IDS: Final = frozenset(prefix.rule_id for prefix, expiry in _EXPIRING if expiry.days is None)
"""The rules that delete images: the net below the sweep."""

NOT_AT_ONCE: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes of AWS whose objects answer no GET until somebody restores them, for hours."""

_FULL: Final = FULL_IMAGES.name
_KEPT: Final = tuple(prefix.name for prefix, expiry in _EXPIRING if expiry.days is None)
"""The prefixes of images that the bucket keeps as long as the longest retention class."""
_NEVER_EXPIRE = {prefix.name: prefix.kept_because for prefix in PREFIXES if prefix.kept_because is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One lifecycle rule of a bucket.

    `narrowed`: it also asks for a tag or a size. `extras`: names of its other actions. `source` is the server's own
    spelling, so that a rule of the operator can be written back word for word; it does not count in comparisons.
    """

    id: str
    prefix: str = ""
    enabled: bool = True
    expire_days: int | None = None
    expire_date: str | None = None
    abort_uploads_days: int | None = None
    transition_days: int | None = None
    transition_tier: str | None = None
    narrowed: bool = False
    extras: tuple[str, ...] = ()
    source: str = field(default="", compare=False, repr=False)

    @property
    def deletes(self) -> bool:
        """True when objects go because of it."""
        return self.enabled and (self.expire_days is not None or self.expire_date is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A cheaper place for full images: the server's name for it, and after how many days they move there."""

    name: str
    after_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterBound:
    """What the settings say of the bucket's rules; the longest retention class is the database's to tell."""

    default_days: int
    margin_days: int
    tier: Tier | None = None

    def rules(self, longest_days: int | None) -> tuple[Rule, ...]:
        """`wanted_rules` for the longest class in days; None when a class never ends."""
        return wanted_rules(retention_days=longest_days, margin_days=self.margin_days, tier=self.tier)


@dataclass(frozen=True, slots=True, kw_only=True)
class Danger:
    """A rule that deletes what must stay, and what that is."""

    rule: Rule
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How found rules differ from wanted ones. Rules with ids that are not ours are the operator's: `foreign`, and kept."""

    missing: tuple[Rule, ...] = ()
    different: tuple[tuple[Rule, Rule], ...] = ()
    unwanted: tuple[Rule, ...] = ()
    foreign: tuple[Rule, ...] = ()
    dangerous: tuple[Danger, ...] = ()

    @property
    def as_wanted(self) -> bool:
        """Our own rules are exactly the wanted ones."""
        return not (self.missing or self.different or self.unwanted)

    @property
    def only_optional_missing(self) -> bool:
        """Nothing but rules that some servers do not know is missing."""
        return not (self.different or self.unwanted) and {rule.id for rule in self.missing} <= OPTIONAL_IDS


def wanted_rules(*, retention_days: int | None, margin_days: int, tier: Tier | None = None) -> tuple[Rule, ...]:
    """The rules of a bucket whose longest retention class has `retention_days`; None when a class never ends.

    The bucket's own deletion is the net below our sweep, so it comes `margin_days` later. Raises `SettingsInvalid` for a
    number of days that no server takes, and for a tier that images would reach only when they are deleted.
    """
    rules = [
        *(
            Rule(id=prefix.rule_id, prefix=prefix.name, expire_days=expiry.days)
            for prefix, expiry in _EXPIRING
            if expiry.days is not None
        ),
        Rule(id=CLEANUP_INCOMPLETE, abort_uploads_days=ABORT_UPLOADS_DAYS),
    ]
    if margin_days < 0:
        raise SettingsInvalid("LIFECYCLE_MARGIN_DAYS: must not be negative")
    if retention_days is not None:
        if retention_days < 1:
            raise SettingsInvalid("IMAGE_RETENTION_DAYS: must be at least 1")
        days = retention_days + margin_days
        rules[:0] = [
            Rule(id=prefix.rule_id, prefix=prefix.name, expire_days=days)
            for prefix, expiry in _EXPIRING
            if expiry.days is None
        ]
    if tier is not None:
        rules.append(_tier_rule(tier, rules))
    return tuple(rules)


def compare(wanted: Iterable[Rule], found: Iterable[Rule]) -> Drift:
    """What has to change in `found` so that our own rules are the wanted ones, and what of the rest is dangerous."""
    wanted, found = tuple(wanted), tuple(found)
    standing: dict[str, Rule] = {}
    unwanted: list[Rule] = []
    wanted_ids = {rule.id for rule in wanted}
    for rule in found:
        if rule.id not in OWN_IDS:
            continue
        # Some servers take one id twice; the second of them has no right to be there.
        if rule.id not in wanted_ids or rule.id in standing:
            unwanted.append(rule)
        else:
            standing[rule.id] = rule
    return Drift(
        missing=tuple(rule for rule in wanted if rule.id not in standing),
        different=tuple(
            (rule, standing[rule.id]) for rule in wanted if rule.id in standing and standing[rule.id] != rule
        ),
        unwanted=tuple(unwanted),
        foreign=tuple(rule for rule in found if rule.id not in OWN_IDS),
        dangerous=tuple(_dangers(wanted, found)),
    )


def without_lowering(wanted: Sequence[Rule], found: Sequence[Rule], *, is_new: bool) -> tuple[Rule, ...]:
    """`wanted`, but no image goes sooner than `found` lets it: for whoever does not know how long the longest class is.

    A standing rule is only raised. One that is absent stays absent, because a class may never end, unless the bucket is new.
    """
    standing = {rule.id: rule for rule in found if rule.id in KEEPING_IDS}
    rules = []
    for rule in wanted:
        there = standing.get(rule.id)
        if there is not None and not _is_raise(there, rule):
            rules.append(there)
        elif there is not None or is_new or rule.id not in KEEPING_IDS:
            rules.append(rule)
    return tuple(rules)


def deleting_before(found: Iterable[Rule], longest_days: int | None) -> tuple[Rule, ...]:
    """The rules, whoever wrote them, that delete images younger than `longest_days`; None: of a class that never ends."""
    return tuple(
        rule
        for rule in found
        if rule.deletes and _sooner(rule, longest_days) and any(_may_match(rule, prefix) for prefix in _KEPT)
    )


def _is_raise(there: Rule, rule: Rule) -> bool:
    """True when `rule` in the place of `there` deletes nothing that `there` keeps."""
    if not there.deletes or there.narrowed or there.expire_days is None or rule.expire_days is None:
        return False
    return rule.prefix.startswith(there.prefix) and there.expire_days <= rule.expire_days


def _tier_rule(tier: Tier, rules: list[Rule]) -> Rule:
    gone_after = next((rule.expire_days for rule in rules if rule.id == EXPIRE_FULL), None)
    if tier.after_days < 1 or not tier.name:
        raise SettingsInvalid("TIER_AFTER_DAYS: must be at least 1, with a TIER_NAME")
    if tier.name in NOT_AT_ONCE:
        raise SettingsInvalid(f"TIER_NAME: objects in {tier.name} cannot be shown; GLACIER_IR and STANDARD_IA can")
    if gone_after is not None and tier.after_days >= gone_after:
        raise SettingsInvalid(f"TIER_AFTER_DAYS: must be below {gone_after} days, when the bucket deletes full images")
    return Rule(id=TIER_FULL, prefix=_FULL, transition_days=tier.after_days, transition_tier=tier.name)


def _dangers(wanted: tuple[Rule, ...], found: tuple[Rule, ...]) -> Iterable[Danger]:
    kept_days = {rule.prefix: rule.expire_days for rule in wanted if rule.id in KEEPING_IDS}
    for rule in found:
        if not rule.deletes:
            continue
        reasons = [why for prefix, why in _NEVER_EXPIRE.items() if _may_match(rule, prefix)]
        reasons += [
            f"it deletes {prefix} images before their retention ends"
            for prefix in _KEPT
            if _may_match(rule, prefix) and _sooner(rule, kept_days.get(prefix))
        ]
        if reasons:
            yield Danger(rule=rule, reason=", and ".join(reasons))


def _may_match(rule: Rule, prefix: str) -> bool:
    # A tag or size narrows a rule by what anyone may set on an object later: it counts as matching.
    return prefix.startswith(rule.prefix) or rule.prefix.startswith(prefix)


def _sooner(rule: Rule, kept_days: int | None) -> bool:
    """True when the rule deletes before `kept_days`; None means that images stay for ever. A fixed date ignores age."""
    return kept_days is None or rule.expire_days is None or rule.expire_days < kept_days
