"""The lifecycle rules that the bucket should have: those of the settings, for the longest retention class in the database."""

from collections.abc import Sequence
from dataclasses import dataclass

from platevault.domain.errors import DatabaseUnavailable
from platevault.domain.lifecycle import OuterBound, Rule
from platevault.stores.database import Database
from platevault.stores.objects.bucket import BucketAdmin
from platevault.stores.retention import longest_days


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesWanted:
    """The rules, and `may_lower`: False where the database did not answer, so that a class may be longer than they say."""

    rules: tuple[Rule, ...]
    may_lower: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedBucket:
    """A bucket, and what it is held against again and again."""

    admin: BucketAdmin
    bound: OuterBound
    cors_origins: Sequence[str] = ()


async def rules_of_the_classes(database: Database, *, bound: OuterBound) -> tuple[Rule, ...]:
    """For the longest class as it is now; raises `DatabaseUnavailable` also where the schema is not there yet."""
    return bound.rules(await longest_days(database, default_days=bound.default_days))


async def rules_as_far_as_known(database: Database, *, bound: OuterBound) -> RulesWanted:
    """The same; where the database does not answer, those of the default class, by which no rule may be lowered."""
    try:
        return RulesWanted(rules=await rules_of_the_classes(database, bound=bound), may_lower=True)
    except DatabaseUnavailable:
        return RulesWanted(rules=bound.rules(bound.default_days), may_lower=False)
