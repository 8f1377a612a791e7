"""Guards of backups: encryption, detection of changes, and pruning."""

from typing import Final

from tests.mutants.guard import Guard

ENCRYPTED: Final = "backup/test_encrypted.py::"

GUARDS: Final = (
    Guard(
        name="backups-are-encrypted",
        protects="nothing of a detection can be read in an encrypted backup",
        module="platevault.backup.folder",
        old="by=None if recipients is None else recipients.encrypt)",
        new="by=None)",
        tests=(f"{ENCRYPTED}test_nothing_of_a_detection_can_be_read_in_an_encrypted_backup",),
    ),
    Guard(
        name="names-of-the-spool-tell-nothing",
        protects="an encrypted backup has no detection's id in a name",
        module="platevault.backup.create",
        old=', sealed=f"{SPOOL}/{number}"',
        new="",
        tests=(f"{ENCRYPTED}test_nothing_of_a_detection_can_be_read_in_an_encrypted_backup",),
    ),
    Guard(
        name="the-readable-manifest-names-nothing",
        protects="the readable manifest has no name of a file, part or object",
        module="platevault.backup.manifest",
        old="replace(entry, name=None) for entry",
        new="entry for entry",
        tests=(f"{ENCRYPTED}test_nothing_of_a_detection_can_be_read_in_an_encrypted_backup",),
    ),
    Guard(
        name="recipients-are-in-names",
        protects="after a change of recipients each file is written for the new ones",
        module="platevault.backup.sealed_objects",
        old='",".join(recipients.names).encode()',
        new='b""',
        tests=(f"{ENCRYPTED}test_after_a_change_of_recipients_each_file_is_written_for_the_new_ones",),
    ),
    Guard(
        name="files-are-not-swapped",
        protects="two encrypted objects that were swapped with their digests are found",
        module="platevault.backup.sealed_objects",
        old="_name_in(line) != entry.name or ",
        new="",
        tests=(f"{ENCRYPTED}test_files_of_two_objects_that_were_swapped_with_their_digests_are_found_by_the_identity",),
    ),
    Guard(
        name="both-manifests-are-of-one-backup",
        protects="a readable manifest of another backup is found",
        module="platevault.backup.whole_backup",
        old="    if not details.is_of(readable):\n",
        new="    if False:\n",
        tests=(f"{ENCRYPTED}test_a_manifest_of_another_backup_is_found_by_the_identity",),
    ),
    Guard(
        name="a-cut-dump-is-named-as-one",
        protects="a dump that cannot be decrypted to its end is named as damaged",
        module="platevault.backup.sql.pg_dump",
        old="    working.result()\n    if running",
        new="    if running",
        tests=(f"{ENCRYPTED}test_a_dump_that_cannot_be_decrypted_to_its_end_is_not_restored",),
    ),
    Guard(
        name="no-plain-backup-beside-encrypted-ones",
        protects="a lost setting writes no plate in plain beside encrypted backups",
        module="platevault.backup.folder",
        old="    _refuse_to_be_plain(out, recipients)\n",
        new="",
        tests=(f"{ENCRYPTED}test_beside_a_plain_backup_an_encrypted_one_shares_nothing_and_no_plain_one_follows",),
    ),
    Guard(
        name="newer-erasures-need-their-key",
        protects="a newer backup whose erasures cannot be read stops a restore",
        module="platevault.backup.erasure_sources",
        old="        except Corrupted as error:\n",
        new="        except Exception as error:\n",
        tests=(f"{ENCRYPTED}test_erasures_of_a_newer_encrypted_backup_are_done_again[plain]",),
    ),
    Guard(
        name="pruning-asks-the-clocks",
        protects="while a clock is in doubt no backup is pruned",
        module="platevault.backup.prune",
        old="await site.job_context.erasing_time()",
        new="await site.job_context.time()",
        tests=("backup/test_prune.py::test_while_a_clock_is_in_doubt_nothing_is_pruned",),
    ),
    Guard(
        name="pruning-holds-against-the-newest",
        protects="a clock that jumped ahead prunes no backup that is young beside the newest",
        module="platevault.backup.prune",
        old="min(now, newest.began_at) - keep_for",
        new="now - keep_for",
        tests=("backup/test_prune.py::test_a_clock_that_is_wrong_prunes_nothing_that_is_young_beside_the_newest",),
    ),
    Guard(
        name="the-last-of-a-part-stays",
        protects="the last backup that has a part is not pruned",
        module="platevault.backup.prune",
        old="manifest.parts.keys() <= other.parts.keys() and ",
        new="",
        tests=("backup/test_prune.py::test_the_last_backup_with_a_part_stays_until_a_newer_one_has_it",),
    ),
)
