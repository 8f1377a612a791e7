"""Guards against wrong clocks."""

from typing import Final

from tests.mutants.guard import Guard

CLOCK: Final = "jobs/test_vault_clock.py::"
BUTTON: Final = "web/pages/test_confirm_clock.py::"
CAP: Final = "retention/test_erasure_cap.py::"
IN_DOUBT: Final = f"{CLOCK}test_while_a_clock_is_in_doubt_nothing_is_erased_expired_or_pruned"

GUARDS: Final = (
    Guard(
        name="erasing-by-the-databases-clock",
        protects="the clock of a process erases nothing",
        module="platevault.jobs.run",
        old="return await self.clock.erasing_time(self.database, self.objects)",
        new="return self.now()",
        tests=(f"{CLOCK}test_the_clock_of_the_process_erases_nothing",),
    ),
    Guard(
        name="a-clock-in-doubt-stops",
        protects="a jump of the database's clock erases nothing",
        module="platevault.jobs.vault_clock",
        old="            raise Stopped(found.reason)\n",
        new="",
        tests=(IN_DOUBT,),
    ),
    Guard(
        name="the-store-is-a-witness",
        protects="a database whose clock differs from the store's erases nothing",
        module="platevault.jobs.vault_clock",
        old="> STORE_APART_MOST:\n            return",
        new="> JUMP_MOST * 1000:\n            return",
        tests=(IN_DOUBT,),
    ),
    Guard(
        name="an-administrator-confirms-the-clock",
        protects="no other role makes a clock in doubt right",
        module="platevault.jobs.vault_clock",
        old="    look.actor.must(Scope.ADMIN)\n",
        new="",
        tests=(
            f"{CLOCK}test_only_an_administrator_confirms_and_the_access_log_has_the_name",
            f"{BUTTON}test_the_api_takes_the_word_of_administrators_only",
        ),
    ),
    Guard(
        name="the-button-asks-for-the-token",
        protects="a viewer's session confirms no clock",
        module="platevault.web.auth.credentials",
        old='    if is_token((token or "").strip(), rules.admin_token):\n',
        new="    if token is not None:\n",
        tests=(f"{BUTTON}test_only_an_administrator_confirms_on_the_page",),
    ),
    Guard(
        name="who-confirmed-the-clock",
        protects="a confirmation leaves the name of its actor",
        module="platevault.jobs.sql.vault_clock",
        old="        await record(look, connection, detection_ids=())\n",
        new="",
        tests=(f"{BUTTON}test_who_confirmed_is_in_the_access_log_with_purpose_and_case",),
    ),
    Guard(
        name="a-jump-stays-visible",
        protects="a heartbeat after the jump does not make it the newest time seen",
        module="platevault.jobs.sql.vault_clock",
        old="AND clock_timestamp() - seen_at <= CAST(:jump AS interval)",
        new="AND CAST(:jump AS interval) IS NOT NULL",
        tests=(f"{CLOCK}test_heartbeats_move_the_seen_time_forward_but_never_over_a_jump",),
    ),
    Guard(
        name="abandoned-by-the-file-systems-clock",
        protects="the clock of a process removes no file that another process writes",
        module="platevault.infra.objectstore.local",
        old="        present = probe.stat().st_mtime\n",
        new="        present = datetime.now(UTC).timestamp()\n",
        tests=(
            "infra/objectstore/test_local.py::test_a_wrong_clock_of_the_process_removes_no_file_that_another_one_writes",
        ),
    ),
    Guard(
        name="held-copies-by-the-databases-clock",
        protects="a process whose clock is behind still reads the copies of held images",
        module="platevault.holds.verify_copies",
        old="await self._upkeep.time() - again_after",
        new="self._upkeep.now() - again_after",
        tests=("holds/test_verify_copies.py::test_a_wrong_clock_of_the_process_changes_nothing_about_what_is_read",),
    ),
    Guard(
        name="one-cap-for-all-runs",
        protects="erasures of other runs count for the limit of 24 hours",
        module="platevault.retention.erasure_cap",
        old="return max(0, min(most, self._limit - done.erased))",
        new="return most",
        tests=(f"{CAP}test_what_all_runs_erased_within_24_hours_counts_and_the_run_that_reaches_the_limit_stops",),
    ),
    Guard(
        name="a-wrong-service-clock-takes-nothing",
        protects="a service whose clock is wrong answers 503 and dates nothing",
        module="platevault.ingest.accept",
        old="    await ingest_context.refuse_wrong_clock()\n",
        new="",
        tests=("ingest/test_wrong_clock.py::test_a_process_whose_clock_is_off_by_more_than_a_minute_takes_no_batch",),
    ),
    Guard(
        name="a-doubtful-clock-expires-nothing-at-receipt",
        protects="while the clock is in doubt a detection is kept that would be expired at receipt",
        module="platevault.ingest.record",
        old="    if judged.depends_on_the_clock and not await rules.clock_is_right():\n",
        new="    if judged.depends_on_the_clock and await rules.clock_is_right() is None:\n",
        tests=("ingest/test_wrong_clock.py::test_while_a_clock_is_in_doubt_nothing_expires_at_receipt",),
    ),
)
