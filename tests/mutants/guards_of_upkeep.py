"""Guards of what may destroy (reconcile, rebuild, the restore marker), and of the places that batches take."""

from typing import Final

from tests.mutants.guard import Guard

GUARDS: Final = (
    Guard(
        name="reserved-while-an-orphan-goes",
        protects="an ingest of the same id waits while its orphan goes",
        file="src/platevault/stores/inventory.py",
        old='        await connection.execute(_RESERVE, {"detection_id": names["detection_id"], "collector": _RESERVER})\n',
        new="",
        tests=("flows/test_reconcile.py::test_an_ingest_of_the_same_id_waits_while_its_orphan_goes",),
    ),
    Guard(
        name="orphans-are-looked-up-again",
        protects="what became known after the list was made is no orphan",
        file="src/platevault/stores/inventory.py",
        old="        if (await connection.execute(_IS_KNOWN, names)).scalar_one():\n            raise _Undo(None)\n",
        new="",
        tests=(
            "flows/test_reconcile.py::test_an_object_that_became_known_between_the_list_and_the_act_is_never_quarantined",
        ),
    ),
    Guard(
        name="marker-is-asked",
        protects="a restored dump destroys nothing",
        file="src/platevault/flows/put_right.py",
        old="            await refuse_while_it_lags(self.upkeep)\n",
        new="            pass\n",
        tests=(
            "flows/test_reconcile.py::test_a_database_that_lags_never_advances_and_nothing_is_done_until_an_operator_confirms",
        ),
        short=True,
    ),
    Guard(
        name="marker-never-passes-a-lag",
        protects="a database that lags does not hide it",
        file="src/platevault/stores/generation.py",
        old=" WHERE number >= :bucket RETURNING",
        new=" WHERE number >= 0 OR number >= :bucket RETURNING",
        tests=(
            "flows/test_reconcile.py::test_a_database_that_lags_never_advances_and_nothing_is_done_until_an_operator_confirms",
        ),
    ),
    Guard(
        name="reconcile-caps",
        protects="a run does no more than it was allowed",
        file="src/platevault/flows/put_right.py",
        old="        if self.notes.counts[what] >= self.most:",
        new="        if False:",
        tests=("flows/test_reconcile.py::test_the_cap_counts_for_rows_too",),
    ),
    Guard(
        name="missing-is-looked-at-again",
        protects="a list says how things were, a look how they are",
        file="src/platevault/flows/put_right.py",
        old="            if await self.upkeep.objects.stat(key) is not None:\n                return None\n            return ImageState.MISSING",
        new="            return ImageState.MISSING",
        tests=("flows/test_reconcile.py::test_an_object_that_comes_between_the_first_look_and_the_act_is_not_missing",),
    ),
    Guard(
        name="found-again-is-hashed",
        protects="a missing image is stored again by its digest alone",
        file="src/platevault/flows/put_right.py",
        old="        if await digest_of(data) != row.sha256:",
        new="        if False:",
        tests=("flows/test_reconcile.py::test_an_object_that_comes_back_with_its_digest_is_stored_again",),
    ),
    Guard(
        name="holds-stop-reconcile",
        protects="a held image is never marked missing",
        file="src/platevault/stores/inventory.py",
        old=" AND state = 'stored' AND holds = 0",
        new=" AND state = 'stored'",
        tests=("flows/test_schedule.py::test_a_held_image_is_not_marked_missing_by_any_decision",),
    ),
    Guard(
        name="dry-run",
        protects="without --yes nothing is changed",
        file="src/platevault/flows/put_right.py",
        old="        if not self.act:\n            return False\n        if self.notes",
        new="        if self.notes",
        tests=("flows/test_reconcile.py::test_a_dry_run_changes_nothing_and_says_the_same",),
        also=(("src/platevault/flows/put_right.py", "        return self.act\n", "        return True\n"),),
    ),
    Guard(
        name="rebuild-leaves-tombstones",
        protects="rebuild never revives what was forgotten",
        file="src/platevault/stores/rebuilding.py",
        old="    WHERE d.erased_at IS NULL AND d.collector_id",
        new="    WHERE d.collector_id",
        tests=("flows/test_rebuild.py::test_tombstones_and_rows_that_are_there_stay_as_they_are",),
        also=(
            (
                "src/platevault/stores/rebuilding.py",
                "i.kind = u.kind)\n        AND NOT EXISTS (SELECT FROM detections d WHERE d.detection_id = u.detection_id AND d.erased_at IS NOT NULL)\n",
                "i.kind = u.kind)\n",
            ),
        ),
    ),
    Guard(
        name="one-acts-alone",
        protects="of two that act at once one stops",
        file="src/platevault/stores/acting.py",
        old="        yield taken\n        if taken:",
        new="        yield True\n        if taken:",
        tests=("flows/test_reconcile.py::test_while_one_acts_no_other_does_and_reports_are_made",),
    ),
    Guard(
        name="the-only-copy-stays",
        protects="the copy of an orphan that is gone meanwhile is not taken back",
        file="src/platevault/flows/put_right.py",
        old="        if now is not None and now.etag == copy.original.etag:",
        new="        if now is None or now.etag == copy.original.etag:",
        tests=("flows/test_reconcile.py::test_the_copy_of_an_orphan_that_is_gone_meanwhile_stays",),
    ),
    Guard(
        name="marker-names-the-vault",
        protects="a strange bucket is told from our own, whatever its number",
        file="src/platevault/flows/generation.py",
        old="    is_other = in_bucket.vault not in (None, vault)\n",
        new="    is_other = False\n",
        tests=("flows/test_reconcile.py::test_another_vaults_bucket_stops_everything_until_an_operator_confirms",),
    ),
    Guard(
        name="marker-of-another-vault-stands",
        protects="a marker that another vault writes at the same moment is not overwritten",
        file="src/platevault/flows/generation.py",
        old=" or found.vault != vault",
        new="",
        tests=(
            "flows/test_reconcile.py::test_a_marker_that_another_vault_writes_at_the_same_moment_is_never_overwritten",
        ),
    ),
    Guard(
        name="backup-order",
        protects="what a row of the dump waits for is in the copy of the spool",
        file="src/platevault/flows/backup.py",
        old="        if wanted.database:\n            parts",
        new="        if wanted.spool:\n            first = await asyncio.to_thread(copy_spool, site.spool_dir, draft.folder / SPOOL, keep_room=draft.keep_room)\n        if wanted.database:\n            parts",
        tests=("flows/test_backup.py::test_what_a_row_of_the_dump_waits_for_is_in_the_copy_of_the_spool",),
        also=(
            (
                "src/platevault/flows/backup.py",
                "            node, copied = await asyncio.to_thread(\n                copy_spool, site.spool_dir, draft.folder / SPOOL, keep_room=draft.keep_room\n            )\n",
                "            node, copied = first\n",
            ),
        ),
    ),
    Guard(
        name="bucket-after-spool",
        protects="an image that leaves the spool while a backup is made is in it",
        file="src/platevault/flows/backup.py",
        old="        if wanted.spool:\n            node, copied",
        new="        if wanted.bucket:\n            early = await _copy_bucket(site, draft, notes=notes, moved=moved)\n        if wanted.spool:\n            node, copied",
        tests=("flows/test_backup.py::test_an_image_that_leaves_the_spool_while_a_backup_is_made_is_in_it",),
        also=(
            (
                "src/platevault/flows/backup.py",
                '            parts["bucket"] = await _copy_bucket(site, draft, notes=notes, moved=moved)\n',
                '            parts["bucket"] = early\n',
            ),
        ),
    ),
    Guard(
        name="a-starting-server-is-told-again",
        protects="what a starting server forgets it is told again",
        file="src/platevault/stores/objects/identities.py",
        old="            kind = _Forgotten if code_of(error) in _NOT_THERE else StoreMisconfigured\n",
        new="            kind = StoreMisconfigured\n",
        tests=("stores/test_identities.py::test_what_a_starting_server_forgets_it_is_told_again_from_the_beginning",),
    ),
    Guard(
        name="a-restore-shows",
        protects="whoever restores a backup's dump is stopped before anything is destroyed",
        file="src/platevault/flows/take_dump.py",
        old="        found = await advance(site.upkeep)\n",
        new="        found = await marker(database=site.upkeep.database, objects=site.upkeep.objects)\n",
        tests=(
            "flows/test_restore.py::test_after_everything_was_destroyed_a_backup_brings_it_back_and_nothing_more_is_lost",
        ),
        also=(
            (
                "src/platevault/flows/take_dump.py",
                "from platevault.flows.generation import advance\n",
                "from platevault.flows.generation import marker\n",
            ),
        ),
    ),
    Guard(
        name="half-a-backup-has-no-name",
        protects="a backup that did not come to its end is none",
        file="src/platevault/stores/backup_folder.py",
        old="    if not path.is_file() or backup.name.startswith(_UNFINISHED):",
        new='    if not path.is_file():\n        return Manifest(began_at=datetime.min, ended_at=datetime.min, parts={"bucket": {}}, files=())\n    if False:',
        tests=(
            "flows/test_backup.py::test_a_backup_that_did_not_come_to_its_end_is_none_and_the_next_run_takes_over_its_objects",
        ),
    ),
    Guard(
        name="slow-bodies-give-way",
        protects="dripping bodies keep no honest sender out",
        file="src/platevault/flows/admission.py",
        old="if len(reception.bodies) >= BODIES_AT_ONCE and not make_way(reception):",
        new="if len(reception.bodies) >= BODIES_AT_ONCE:",
        tests=(
            "flows/test_admission.py::test_as_many_dripping_bodies_as_there_are_places_do_not_keep_an_honest_one_out",
        ),
    ),
    Guard(
        name="turns",
        protects="a batch waits for its turn for a bounded time",
        file="src/platevault/flows/admission.py",
        old="        async with asyncio.timeout(TURN_WITHIN_SECONDS):\n            await reception.turns.acquire()",
        new="        await reception.turns.acquire()",
        tests=("flows/test_admission.py::test_a_batch_waits_for_its_turn_for_a_bounded_time_and_nothing_of_it_stays",),
    ),
    Guard(
        name="crowd",
        protects="a new batch is refused while as many wait as may",
        file="src/platevault/flows/admission.py",
        old="    if sum(arrival.complete for arrival in reception.bodies) >= IN_TURN_AT_ONCE:",
        new="    if False:",
        tests=(
            "flows/test_admission.py::test_with_enough_batches_waiting_for_their_turn_a_new_one_is_refused_before_its_body_is_read",
        ),
    ),
)
