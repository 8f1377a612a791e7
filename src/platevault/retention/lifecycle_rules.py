"""The lifecycle rules that the bucket should have: those of the settings, for the longest retention class in the database."""

from dataclasses import dataclass

from platevault.domain.errors import DatabaseUnavailable
from platevault.infra.objectstore.admin.lifecycle import OuterBound, Rule
from platevault.infra.postgres.database import Database
from platevault.retention.sql.classes import longest_days


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesWanted:
    """The rules, and `may_lower`: False where the database did not answer, so that a class may be longer than they say."""

    rules: tuple[Rule, ...]
    may_lower: bool


async def rules_of_the_classes(database: Database, *, bound: OuterBound) -> tuple[Rule, ...]:
    """For the longest class as it is now; raises `DatabaseUnavailable` also where the schema is not there yet."""
    return bound.rules(await longest_days(database, default_days=bound.default_days))


async def rules_as_far_as_known(database: Database, *, bound: OuterBound) -> RulesWanted:
    """The same; where the database does not answer, those of the default class, by which no rule may be lowered."""
    try:
        return RulesWanted(rules=await rules_of_the_classes(database, bound=bound), may_lower=True)
    except DatabaseUnavailable:
        return RulesWanted(rules=bound.rules(bound.default_days), may_lower=False)
