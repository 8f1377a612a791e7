"""Guards of what cannot go on by itself: dead letters, a busy store, nodes that are gone."""

from typing import Final

from tests.mutants.guard import Guard

GUARDS: Final = (
    Guard(
        name="no-drain-of-the-dead",
        protects="a dead letter is not tried again by itself",
        module="platevault.delivery.sql.images",
        old=" AND dead_at IS NULL\n",
        new="\n",
        tests=(
            "delivery/test_dead_letters.py::test_an_image_that_the_store_refuses_while_it_takes_others_is_set_aside_with_its_reason",
        ),
    ),
    Guard(
        name="refusals-counted",
        protects="what the store refuses for good is given up at last",
        module="platevault.delivery.sql.images",
        old=", refusals = refusals + u.refused",
        new="",
        tests=(
            "delivery/test_dead_letters.py::test_an_image_that_the_store_refuses_while_it_takes_others_is_set_aside_with_its_reason",
        ),
    ),
    Guard(
        name="refusals-of-one",
        protects="a store that refuses everything buries nothing",
        module="platevault.delivery.put",
        old="    if uploader.breaker.succeeded_within(TAKES_OTHERS_SECONDS):\n        return True\n",
        new="    return True\n",
        tests=("delivery/test_dead_letters.py::test_a_store_that_refuses_everything_buries_nothing",),
        short=True,
    ),
    Guard(
        name="dead-letters-capped",
        protects="dead/ has a cap of its own",
        module="platevault.infra.spool.dead_letters",
        old="if self.used() + size > self.max_bytes:",
        new="if False:",
        tests=("delivery/test_dead_letters.py::test_dead_letters_have_a_cap_of_their_own",),
    ),
    Guard(
        name="dead-letters-are-read",
        protects="a dead letter is found where its row says",
        module="platevault.infra.spool.spool",
        old='(self._folder if file.startswith(f"{FOLDER}/") else self._ready) / file',
        new="self._ready / file",
        tests=("delivery/test_dead_letters.py::test_a_dead_letter_is_still_shown_and_heals_once_its_node_is_lost",),
    ),
    Guard(
        name="less-when-busy",
        protects="a busy store is asked for less",
        module="platevault.delivery.put",
        old="            uploader.wants_less()\n",
        new="            pass\n",
        tests=("delivery/test_drain.py::test_a_busy_store_is_asked_for_less_until_it_bears_it_and_loses_nothing",),
    ),
    Guard(
        name="store-faults-hold-no-image-back",
        protects="an outage is held against no image",
        module="platevault.delivery.upload",
        old="        after = max(RETRY_BASE, timedelta(seconds=uploader.breaker.seconds_left))\n",
        new="        after = RETRY_CAP\n",
        tests=(
            "delivery/test_drain.py::test_what_is_wrong_with_the_store_is_held_against_no_image_and_ends_its_wait_with_the_pause",
        ),
    ),
    Guard(
        name="slow-ones-hold-nobody-up",
        protects="one image without an answer holds up no other",
        module="platevault.delivery.drain",
        old="return_when=asyncio.FIRST_COMPLETED",
        new="return_when=asyncio.ALL_COMPLETED",
        tests=("delivery/test_drain.py::test_one_image_without_an_answer_does_not_hold_up_the_others",),
    ),
    Guard(
        name="living-node-is-not-lost",
        protects="a node that was seen lately is not declared lost",
        module="platevault.delivery.sql.lost_images",
        old=" AND coalesce(greatest(api_seen_at, worker_seen_at), first_seen_at) < now() - CAST(:silent AS interval)",
        new=" AND now() > now() - CAST(:silent AS interval)",
        tests=("delivery/test_resend.py::test_a_node_that_was_seen_lately_is_not_declared_lost",),
    ),
    Guard(
        name="lost-node-comes-back",
        protects="a node that comes back is found",
        module="platevault.delivery.sql.nodes",
        old="api_seen_at = now(), lost_at = NULL",
        new="api_seen_at = now()",
        tests=("delivery/test_resend.py::test_a_lost_node_that_comes_back_brings_its_images_itself",),
    ),
    Guard(
        name="resend-by-collector",
        protects="a collector is told of its own images only",
        module="platevault.delivery.sql.lost_images",
        old=" AND d.collector_id = :collector_id",
        new=" AND (true OR d.collector_id = :collector_id)",
        tests=(
            "delivery/test_resend.py::test_all_images_of_a_lost_node_are_listed_to_their_collector_and_healed_by_a_resend",
        ),
    ),
    Guard(
        name="a-lost-node-keeps-its-file",
        protects="a spool file stays while a missing image may have its only bytes in it",
        module="platevault.delivery.sql.images",
        old="WHERE spool_node = :node AND spool_file = :file) AS wanted",
        new="WHERE state = 'pending' AND spool_node = :node AND spool_file = :file) AS wanted",
        tests=(
            "delivery/test_resend.py::test_a_node_that_is_declared_lost_while_it_uploads_keeps_what_is_not_in_the_store",
        ),
    ),
    Guard(
        name="who-beats-is-not-lost",
        protects="a node that is seen while it is declared lost loses nothing more",
        module="platevault.delivery.sql.lost_images",
        old=" AND EXISTS (SELECT FROM nodes WHERE node_id = :node AND lost_at IS NOT NULL)",
        new="",
        tests=("delivery/test_resend.py::test_a_node_that_beats_in_the_middle_is_not_lost_any_further",),
    ),
    Guard(
        name="letters-without-a-row-stay",
        protects="a dead letter that no row knows of is never deleted",
        module="platevault.delivery.reclaim",
        old="if state in DONE_WITH:",
        new="if state is None or state in DONE_WITH:",
        tests=("delivery/test_dead_letters.py::test_a_letter_without_a_row_stays",),
    ),
)
