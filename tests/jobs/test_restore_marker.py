"""The restore marker's number in the database: compared in the statement that counts on, whatever was read before it."""

import pytest

from platevault.infra.postgres.database import Database
from platevault.jobs.sql import restore_marker as generation


async def number_of(database: Database) -> int:
    return (await generation.known(database))[1]


@pytest.mark.parametrize("behind", [0, 1])
async def test_a_number_that_is_not_behind_the_buckets_counts_on(migrated: Database, behind: int) -> None:
    await generation.go_past(migrated, bucket=0)
    number = await number_of(migrated)
    assert await generation.advance(migrated, bucket=number - behind) == number + 1
    assert await number_of(migrated) == number + 1


async def test_a_number_that_a_restore_put_back_after_it_was_read_does_not_count_on(migrated: Database) -> None:
    """Who asks has seen the two agree; the database has become older since, and only the statement can see it."""
    number = await number_of(migrated)
    assert await generation.advance(migrated, bucket=number + 1) is None
    assert await number_of(migrated) == number


async def test_past_the_buckets_number_whichever_is_ahead(migrated: Database) -> None:
    number = await number_of(migrated)
    assert await generation.go_past(migrated, bucket=number + 5) == number + 6
    assert await generation.go_past(migrated, bucket=0) == number + 7
