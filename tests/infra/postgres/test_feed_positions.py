"""Places in the change feed after a dump was restored into a server whose transaction ids are others."""

import asyncio

from sqlalchemy import text
from tests.makers import DetectionRows, a_detection, put

from platevault.catalog.feed.sql.feed import begin
from platevault.catalog.sql.search import find_feed_page
from platevault.domain.search_query import Order, Position, Search
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.feed_positions import go_past_all, go_past_rows_ahead
from platevault.provisioning.migrate import migrate
from platevault.renditions.sql.missing import newest_place

FAR_AHEAD = 5_000_000_000


async def keep(database: Database, *kept: DetectionRows) -> None:
    async with database.reading() as connection:
        await put(connection, *kept)
        await connection.commit()


async def read(database: Database, after: Position | None = None) -> tuple[list[str], Position | None]:
    """Ids in the order of the feed, and the place of the last."""
    async with database.reading() as connection:
        search = Search(order=Order.SEQ, after=after or Position(), limit=100)
        found, last = await find_feed_page(search, connection)
    return [one.detection_id for one in found], last


async def test_rows_of_another_servers_dump_are_in_the_feed_and_what_comes_stands_behind_them(
    migrated: Database,
) -> None:
    await keep(migrated, a_detection("restored-1", xid=FAR_AHEAD), a_detection("restored-2", xid=FAR_AHEAD + 7))
    assert (await read(migrated))[0] == [], "they wait for an id that is years away"
    await migrate(migrated)
    ids, last = await read(migrated)
    assert ids == ["restored-1", "restored-2"]
    assert last == Position(xid=FAR_AHEAD + 7, seq=2), "places that readers have stay good"
    await keep(migrated, a_detection("new"))
    assert (await read(migrated))[0] == ["restored-1", "restored-2", "new"]
    assert (await read(migrated, last))[0] == ["new"]
    assert (await newest_place(migrated)) > last


async def test_whoever_read_what_came_after_the_dump_reads_on(migrated: Database) -> None:
    """The restored rows are behind this server's ids, but a reader has seen rows that nobody has any more."""
    await keep(migrated, a_detection("restored"))
    read_before = Position(xid=FAR_AHEAD, seq=400)
    await go_past_all(migrated)
    async with migrated.reading() as connection:
        assert await begin(read_before, connection) == read_before
    await keep(migrated, a_detection("new"))
    assert (await read(migrated, read_before))[0] == ["new"]


async def test_a_second_restore_goes_past_what_came_after_the_first(migrated: Database) -> None:
    await go_past_all(migrated)
    await keep(migrated, a_detection("after the first"))
    _, last = await read(migrated)
    await migrated.transaction(lambda connection: connection.execute(text("CREATE TABLE burnt (n int)")))
    await go_past_all(migrated)
    await keep(migrated, a_detection("after the second"))
    assert (await read(migrated, last))[0] == ["after the second"]
    assert (await read(migrated))[0] == ["after the first", "after the second"]


async def test_a_vault_that_was_not_restored_keeps_its_places(migrated: Database) -> None:
    await keep(migrated, a_detection("first"))
    assert not await go_past_rows_ahead(migrated)
    async with migrated.reading() as open_one, migrated.reading() as other:
        await put(open_one, a_detection("second"))
        await other.execute(text("SELECT pg_current_xact_id()"))
        await other.commit()
        assert not await go_past_rows_ahead(migrated), "nothing that is visible is ahead"
        await open_one.commit()
    _, last = await read(migrated)
    assert last is not None
    assert last.xid < FAR_AHEAD


async def test_who_writes_meanwhile_is_not_passed_by(migrated: Database) -> None:
    """A row that is committed after the numbers changed stands behind all that was read before."""
    await keep(migrated, a_detection("first"))
    async with migrated.reading() as writing:
        await put(writing, a_detection("under way"))
        going = asyncio.ensure_future(go_past_all(migrated))
        waiting = text("SELECT count(*) FROM pg_locks WHERE relation = 'detections'::regclass AND NOT granted")
        while not going.done():
            async with migrated.reading() as asking:
                if (await asking.execute(waiting)).scalar_one():
                    break
            await asyncio.sleep(0.01)
        assert not going.done(), "it waits for who writes"
        assert (await read(migrated))[0] == ["first"]
        await writing.commit()
    await going
    await keep(migrated, a_detection("after"))
    assert (await read(migrated))[0] == ["first", "under way", "after"]
