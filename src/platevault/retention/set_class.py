"""Set or remove a retention class, with all that follows from it: the bucket before a longer one, old rows and the bucket after a shorter one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from platevault.domain.errors import StoreUnavailable
from platevault.domain.retention_policy import Retention, RetentionClass
from platevault.jobs.run import JobContext
from platevault.provisioning.bucket import configure_bucket, raise_to
from platevault.retention.apply_shorter import apply_shorter
from platevault.retention.classes import set_class, with_class
from platevault.retention.lifecycle_rules import rules_of_the_classes
from platevault.retention.sql.classes import retention_classes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassChange:
    """What a change came to. `shortened`: detections kept for shorter than before, `due` of them now; with `dry_run` they would be.

    `bucket`: what was done to the bucket's rules after it, and what could not be.
    """

    dry_run: bool
    before: tuple[RetentionClass, ...]
    after: tuple[RetentionClass, ...]
    shortened: int
    due: int
    bucket: tuple[str, ...] = ()


async def set_retention_class(
    context: JobContext,
    wanted: RetentionClass | None,
    *,
    at: tuple[str, str],
    default: Retention,
    act: bool,
    moved: Callable[[int], None] = lambda _: None,
) -> ClassChange:
    """Write this class for the patterns `at`, or take theirs away when it is None; with `act` false, say what that would come to.

    Raises `StoreMisconfigured` or `StoreUnavailable` where something would be kept longer and the bucket was not seen to let it: nothing is
    written then. What happens after the class is written is made good by the next sweep where it fails.
    """
    database, now = context.database, await context.time()
    before = await retention_classes(database)
    after = with_class(before, wanted, at=at)
    if act:

        async def let_live(days: int | None) -> None:
            if context.bucket is not None:
                await raise_to(days, admin=context.bucket.admin, bound=context.bucket.bound)

        changed = await set_class(
            wanted, at=at, database=database, default_days=default.keep_for.days, raise_to=let_live, now=now
        )
        before, after = changed.before, changed.after
    reached = await apply_shorter(database, default.with_classes(after), now=now, act=act, moved=moved)
    return ClassChange(
        dry_run=not act,
        before=before,
        after=after,
        shortened=reached.shortened,
        due=reached.due,
        bucket=await _follow(context) if act else (),
    )


async def list_classes(context: JobContext, *, default: Retention) -> dict[str, Any]:
    """The classes in the order in which they are asked, and the default behind them."""
    return {"classes": await retention_classes(context.database), "default_days": default.keep_for.days}


async def _follow(context: JobContext) -> tuple[str, ...]:
    """The bucket's rules come down to the longest class that is left; where that fails the bucket keeps longer, and its guard says so."""
    if context.bucket is None:
        return ()
    try:
        report = await configure_bucket(
            admin=context.bucket.admin,
            rules_wanted=await rules_of_the_classes(context.database, bound=context.bucket.bound),
            cors_origins=context.bucket.cors_origins,
        )
    except StoreUnavailable as error:
        return (
            f"The bucket's rules are as they were, and keep longer: {error}. Run `platevault bucket configure` later.",
        )
    return (*report.done, *report.problems)
