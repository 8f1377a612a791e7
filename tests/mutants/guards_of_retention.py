"""Guards of the sweep and of the retention classes."""

from typing import Final

from tests.mutants.guard import Guard

SWEEP: Final = "retention/test_sweep.py::"
HOLDS: Final = "holds/test_place.py::"
CHANGE: Final = "retention/test_set_class.py::"
ERASURES: Final = "retention/test_erasures.py::"

GUARDS: Final = (
    Guard(
        name="the-held-are-passed-by",
        protects="a hold that came before the erasing wins",
        module="platevault.retention.sql.tombstones",
        old="if not row.erased and not row.held]",
        new="if not row.erased]",
        tests=(f"{SWEEP}test_a_hold_that_comes_between_the_look_and_the_erasing_wins",),
        short=True,
    ),
    Guard(
        name="erasing-waits-for-holds",
        protects="nothing is erased while a hold takes up its detections",
        module="platevault.retention.sql.tombstones",
        old="    await refuse_while_placing(connection)\n",
        new="",
        tests=(f"{HOLDS}test_whoever_erases_waits_for_a_hold_that_is_written_down_and_is_refused_until_it_has_all",),
        short=True,
    ),
    Guard(
        name="holds-wait-for-erasing",
        protects="a hold is written down before or after an erasing, not in the middle of it",
        module="platevault.holds.sql.holds",
        old="        await block_erasures(connection)\n",
        new="",
        tests=(f"{HOLDS}test_a_hold_waits_for_whoever_erases_and_tells_what_was_gone_when_it_came_to_it",),
    ),
    Guard(
        name="sweep-asks-the-marker",
        protects="a restored dump erases nothing",
        module="platevault.retention.expire",
        old="        await refuse_while_it_lags(context)\n",
        new="        pass\n",
        tests=(f"{SWEEP}test_a_restored_dump_stops_the_sweep_before_it_erases",),
    ),
    Guard(
        name="bucket-before-a-longer-class",
        protects="a class is not longer than the bucket lets images live",
        module="platevault.retention.classes",
        old="            await raise_to(longest(after, default_days=default_days))\n",
        new="            pass\n",
        tests=(f"{CHANGE}test_where_the_rule_cannot_be_raised_nothing_is_written[seaweed]",),
    ),
    Guard(
        name="late-puts-are-looked-for",
        protects="a put that came after its image was forgotten leaves nothing behind",
        module="platevault.ingest.recover",
        old="        await uploader.ledger.look_again(recorded.receipt.detection_ids)\n",
        new="",
        tests=(f"{SWEEP}test_a_put_whose_process_died_before_it_learned_is_undone_by_recovery_and_the_next_sweep",),
    ),
    Guard(
        name="runs-that-died-are-recorded",
        protects="what was erased before a crash has its record",
        module="platevault.retention.expire",
        old="since=moment - TOMBSTONES_FOR if before is None else before.started_at - LOOK_BACK",
        new="since=moment",
        tests=(
            f"{SWEEP}test_rows_that_were_erased_before_a_crash_get_their_record_and_lose_their_bytes_in_the_next_run",
        ),
    ),
    Guard(
        name="dead-clocks-count-from-receipt",
        protects="a shorter class does not erase what a dead clock captured in 1970",
        module="platevault.retention.sql.classes",
        old="CASE WHEN d.clock_suspect OR d.received_at - d.captured_at > CAST(:suspect_after AS interval)",
        new="CASE WHEN d.clock_suspect AND CAST(:suspect_after AS interval) IS NOT NULL",
        tests=(f"{SWEEP}test_the_shorter_default_counts_a_dead_clock_from_receipt_even_where_the_row_forgot_that",),
    ),
    Guard(
        name="erasures-reach-the-bucket-first",
        protects="a deletion is not done before the bucket has its record",
        module="platevault.retention.deletions.sql.erase",
        old="    await keep(record)\n",
        new="",
        tests=(f"{ERASURES}test_while_the_bucket_takes_no_record_nothing_is_erased_and_nothing_is_called_done",),
        short=True,
    ),
    Guard(
        name="readers-pass-the-gate",
        protects="a restored database shows nothing before erasures are compared",
        module="platevault.access.sql.access_log",
        old="    await database.gate.passed()\n",
        new="",
        tests=(f"{ERASURES}test_a_restored_dump_shows_nothing_until_the_bucket_answers",),
        short=True,
    ),
    Guard(
        name="pages-pass-the-gate",
        protects="a restored database lists nothing before erasures are compared",
        module="platevault.catalog.sql.logged_search",
        old="    await database.gate.passed()\n",
        new="",
        tests=(f"{ERASURES}test_a_restored_dump_shows_nothing_until_the_bucket_answers",),
    ),
    Guard(
        name="a-new-bucket-says-what-it-lacks",
        protects="a vault in a new bucket shows nothing before an operator accepts that erasures may be missing",
        module="platevault.backup.erasures",
        old="        await objects.create(ERASURES_UNKNOWN, said)\n",
        new="",
        tests=(
            "backup/test_erasures.py::test_in_a_new_folder_without_a_newer_backup_nothing_is_shown_until_an_operator_accepts_it",
        ),
    ),
)
