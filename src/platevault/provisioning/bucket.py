"""Set the bucket up as Platevault needs it, or say what is not so."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from platevault.domain.errors import StoreMisconfigured
from platevault.infra.objectstore.admin.bucket import BucketAdmin
from platevault.infra.objectstore.admin.bucket_xml import CorsRule
from platevault.infra.objectstore.admin.lifecycle import (
    CLEANUP_INCOMPLETE,
    KEEPING_IDS,
    OPTIONAL_IDS,
    TIER_FULL,
    Drift,
    OuterBound,
    Rule,
    compare,
    deleting_before,
    without_lowering,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketReport:
    """How the bucket stands, in sentences that say what to do.

    `done`: what this run changed. `problems`: what must be mended; `ok` is False then. `warnings`: what the server cannot
    do, and how to live with it. `kept`: ids of rules that are not ours and were left alone.
    """

    bucket: str
    ok: bool
    changed: bool
    done: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


async def configure_bucket(
    *,
    admin: BucketAdmin,
    rules_wanted: Sequence[Rule],
    cors_origins: Sequence[str] = (),
    may_lower: bool = True,
) -> BucketReport:
    """Make the bucket if it is absent, private; write our lifecycle rules beside the operator's; read all back and compare.

    Running it again changes nothing. A crash in between leaves a bucket without rules, which keeps everything. With
    `may_lower=False`, for who could not ask how long the longest class is, no rule is lowered: that is a problem, and told.
    """
    done: list[str] = []
    is_new = not await admin.exists() and await admin.create()
    if is_new:
        done.append(f"Created bucket {admin.bucket}.")
    wanted, refused = tuple(rules_wanted), list[str]()
    if not may_lower:
        wanted = without_lowering(wanted, await admin.read_lifecycle(), is_new=is_new)
        refused += _held_back(tuple(rules_wanted), wanted)
    written, not_taken = await _write_lifecycle(admin, wanted)
    refused += not_taken
    done += written
    done += await _write_cors(admin, cors_origins)
    report = await _report(admin, wanted, cors_origins, tuple(done))
    return report if not refused else replace(report, ok=False, problems=(*report.problems, *refused))


async def check_bucket(
    *,
    admin: BucketAdmin,
    rules_wanted: Sequence[Rule],
    cors_origins: Sequence[str] = (),
    may_lower: bool = True,
) -> BucketReport:
    """The report of `configure_bucket`, without changing anything."""
    if not await admin.exists():
        problem = f"Bucket {admin.bucket} does not exist: run `platevault bucket configure`."
        return BucketReport(bucket=admin.bucket, ok=False, changed=False, problems=(problem,))
    wanted = tuple(rules_wanted)
    if not may_lower:
        wanted = without_lowering(wanted, await admin.read_lifecycle(), is_new=False)
    report = await _report(admin, wanted, cors_origins, ())
    not_known = tuple(_held_back(tuple(rules_wanted), wanted))
    return replace(report, warnings=(*report.warnings, *not_known))


async def raise_to(longest_days: int | None, *, admin: BucketAdmin, bound: OuterBound) -> None:
    """When this returns, the rules as the server holds them let an image of a class of `longest_days` live that long.

    None is a class that never ends. For whoever is about to write a longer class: this first, the class after. No rule is
    lowered. Raises `StoreMisconfigured` where the bucket would still delete sooner: then the class must not be written.
    """
    if not await admin.exists():
        raise StoreMisconfigured(f"bucket {admin.bucket} does not exist: run `platevault bucket configure`")
    wanted = without_lowering(bound.rules(longest_days), await admin.read_lifecycle(), is_new=False)
    _done, refused = await _write_lifecycle(admin, wanted)
    sooner = deleting_before(await admin.read_lifecycle(), longest_days)
    if sooner or refused:
        words = "; ".join([*refused, *(f"rule {rule.id or 'without an id'} ({_in_words(rule)})" for rule in sooner)])
        raise StoreMisconfigured(f"bucket {admin.bucket} would delete images before their retention ends: {words}")


async def _write_lifecycle(admin: BucketAdmin, wanted: tuple[Rule, ...]) -> tuple[list[str], list[str]]:
    """What was done, and what the server refused."""
    found = await admin.read_lifecycle()
    drift = compare(wanted, found)
    if drift.as_wanted:
        return [], []
    reason: str | None = None
    for left_out in _omissions(wanted):
        rules = tuple(rule for rule in wanted if rule.id not in left_out)
        if compare(rules, found).as_wanted:
            return [], []  # all that this server takes is there
        reason = await admin.write_lifecycle((*rules, *drift.foreign))
        if reason is None:
            return [f"Wrote lifecycle rules {', '.join(rule.id for rule in rules)}."], []
    theirs = ", ".join(rule.id for rule in drift.foreign) or "none"
    return [], [
        f"The server does not take our lifecycle rules ({reason}) beside the others that stand there: {theirs}."
    ]


def _held_back(asked: tuple[Rule, ...], wanted: tuple[Rule, ...]) -> Iterator[str]:
    taken = {rule.id: rule for rule in wanted if rule.id in KEEPING_IDS}
    for rule in asked:
        there = taken.get(rule.id)
        if rule.id in KEEPING_IDS and there != rule:
            words = "absent" if there is None else _in_words(there)
            yield (
                f"Lifecycle rule {rule.id} stays {words}: the database could not be asked whether a class needs that. Make it"
                " answer (`platevault doctor`), then run `platevault bucket configure`."
            )


def _omissions(wanted: tuple[Rule, ...]) -> Iterator[frozenset[str]]:
    """What to leave out until the server takes the rest: nothing, then what few servers know."""
    ids = {rule.id for rule in wanted}
    for left_out in ((), (TIER_FULL,), (CLEANUP_INCOMPLETE,), (TIER_FULL, CLEANUP_INCOMPLETE)):
        if ids.issuperset(left_out):
            yield frozenset(left_out)


async def _write_cors(admin: BucketAdmin, origins: Sequence[str]) -> list[str]:
    rules = await admin.read_cors() if origins else ()
    lacking = _without_access(origins, rules)
    if not lacking or await admin.write_cors(rules, lacking) is not None:
        return []
    return [f"Allowed pages of {', '.join(lacking)} to read images (CORS)."]


async def _report(
    admin: BucketAdmin,
    wanted: tuple[Rule, ...],
    origins: Sequence[str],
    done: tuple[str, ...],
) -> BucketReport:
    drift = compare(wanted, await admin.read_lifecycle())
    problems = [*_lifecycle_problems(drift), *await _access_problems(admin)]
    warnings = [_LIVE_WITHOUT[rule.id] for rule in drift.missing if rule.id in OPTIONAL_IDS]
    warnings += await _cors_warnings(admin, origins)
    return BucketReport(
        bucket=admin.bucket,
        ok=not problems,
        changed=bool(done),
        done=done,
        problems=tuple(problems),
        warnings=tuple(warnings),
        kept=tuple(rule.id for rule in drift.foreign),
    )


async def _cors_warnings(admin: BucketAdmin, origins: Sequence[str]) -> list[str]:
    try:
        lacking = _without_access(origins, await admin.read_cors() if origins else ())
    except StoreMisconfigured as error:  # the service identity may not look; nothing is lost by it
        return [f"Whether pages of {', '.join(origins)} may read images is not known: {error}"]
    if not lacking:
        return []
    return [
        (
            f"The bucket does not let pages of {', '.join(lacking)} read images from scripts (CORS): run `platevault bucket "
            "configure`; a MinIO server takes it in MINIO_API_CORS_ALLOW_ORIGIN instead."
        ),
    ]


_LIVE_WITHOUT = {
    CLEANUP_INCOMPLETE: (
        f"Lifecycle rule {CLEANUP_INCOMPLETE} is not set: run `platevault bucket configure`; a MinIO server does not take it "
        "and removes incomplete uploads itself, after MINIO_API_STALE_UPLOADS_EXPIRY (24 h)."
    ),
    TIER_FULL: (
        f"Lifecycle rule {TIER_FULL} is not set, full images stay where they are: define the tier (`platevault bucket tier`), then "
        "run `platevault bucket configure`; a server without transitions (SeaweedFS) cannot do it."
    ),
}


def _lifecycle_problems(drift: Drift) -> Iterator[str]:
    again = "run `platevault bucket configure`"
    for rule in drift.missing:
        if rule.id not in OPTIONAL_IDS:
            yield f"Lifecycle rule {rule.id} is missing: {again}."
    for wanted, found in drift.different:
        yield f"Lifecycle rule {wanted.id} is {_in_words(found)}, not {_in_words(wanted)}: {again}."
    for rule in drift.unwanted:
        yield f"Lifecycle rule {rule.id} ({_in_words(rule)}) must go: {again}."
    for danger in drift.dangerous:
        yield (
            f"Lifecycle rule {danger.rule.id or 'without an id'} ({_in_words(danger.rule)}) is dangerous: {danger.reason}. "
            "Remove it, or give it a narrower prefix."
        )


async def _access_problems(admin: BucketAdmin) -> list[str]:
    problems = []
    if await admin.anonymous_access():
        problems.append("Anybody can read the bucket without credentials: remove its policy or anonymous identity.")
    if await admin.versioning() == "enabled":
        problems.append("Versioning is on, so that deleted images stay as old versions: suspend it and remove those.")
    return problems


def _without_access(origins: Sequence[str], rules: Sequence[CorsRule]) -> tuple[str, ...]:
    allowed = {origin for rule in rules if "GET" in rule.methods for origin in rule.origins}
    return tuple(origin for origin in origins if origin not in allowed and "*" not in allowed)


def _in_words(rule: Rule) -> str:
    parts = [f"prefix {rule.prefix!r}"]
    if rule.expire_days is not None:
        parts.append(f"deletes after {rule.expire_days} days")
    if rule.expire_date is not None:
        parts.append(f"deletes from {rule.expire_date} on")
    if rule.transition_days is not None:
        parts.append(f"moves to {rule.transition_tier} after {rule.transition_days} days")
    if rule.abort_uploads_days is not None:
        parts.append(f"aborts uploads after {rule.abort_uploads_days} days")
    if rule.narrowed:
        parts.append("filtered by tag or size")
    parts += rule.extras
    return ", ".join(parts) + ("" if rule.enabled else ", disabled")
