"""Guards of what clients may take: the memory of deliveries, the event loop, and the share of one actor."""

from typing import Final

from tests.mutants.guard import Guard

GUARDS: Final = (
    Guard(
        name="delivery-budget",
        protects="deliveries hold no more memory than their budget",
        module="platevault.infra.concurrency.delivery_budget",
        old="if not self._bytes.take(size):",
        new="if not self._bytes.take(size) and False:",
        tests=(
            "infra/concurrency/test_delivery_budget.py::test_a_delivery_holds_two_chunks_however_large_the_image_is",
        ),
        short=True,
    ),
    Guard(
        name="delivery-cut",
        protects="an image that is gone in the middle is never taken for a whole one",
        module="platevault.infra.concurrency.delivery_budget",
        old="if chunk is None or len(chunk) != wanted:",
        new="if chunk is None:",
        tests=(
            "infra/concurrency/test_delivery_budget.py::test_bytes_that_are_gone_in_the_middle_end_the_delivery[short]",
        ),
    ),
    Guard(
        name="delivery-stalled",
        protects="a client that takes nothing gives its memory back",
        module="platevault.web.api.catalog.content_response",
        old="async with asyncio.timeout(self._taken_within):",
        new="async with asyncio.timeout(None):",
        tests=(
            "web/api/catalog/test_content_response.py::test_a_client_that_takes_nothing_is_cut_and_its_memory_given_back",
        ),
    ),
    Guard(
        name="delivery-same-version",
        protects="the parts of one delivery are of one version of the object",
        module="platevault.infra.objectstore.local",
        old="if version is not None and version.etag != etag:",
        new="if False:",
        tests=("infra/objectstore/test_objectstore.py::test_a_part_of_an_object_is_read_of_that_version_alone[local]",),
    ),
    Guard(
        name="large-manifest-beside-the-loop",
        protects="a large manifest does not stop the event loop",
        module="platevault.ingest.receive",
        old="return parse() if size <= PARSED_ON_THE_LOOP_BYTES_MAX else await parsers.do(parse)",
        new="return parse()",
        tests=("ingest/test_loop_pause.py::test_no_manifest_of_four_megabytes_stops_the_loop",),
    ),
    Guard(
        name="describing-bytes",
        protects="what describes a detection is small before anything looks into it",
        module="platevault.formats.describing_data",
        old="if excess > 0:",
        new="if False:",
        tests=(
            "formats/test_describing_data.py::test_as_much_as_the_limit_is_kept_and_one_byte_more_is_left_out_by_name",
        ),
    ),
    Guard(
        name="render-share",
        protects="one actor does not take the places of all others that wait for pictures",
        module="platevault.renditions.capacity",
        old="if self._asked_by[subject] >= max(1, self._places // 2):",
        new="if False:",
        tests=(
            "renditions/test_capacity.py::test_one_actor_waits_for_half_of_the_places_and_leaves_the_others_to_others",
        ),
    ),
    Guard(
        name="stream-share",
        protects="one actor does not take all places of the stream",
        module="platevault.catalog.feed.subscribers",
        old="if self._taken_by[subject] >= self.most_of_one:",
        new="if False:",
        tests=("catalog/test_follow.py::test_one_actor_does_not_take_all_places",),
    ),
    Guard(
        name="delivery-share",
        protects="one actor's slow readers leave memory for those of each other actor",
        module="platevault.infra.concurrency.delivery_budget",
        old="if held and held + size > SHARE_OF_FREE * (self._most - self._bytes.taken - size):",
        new="if False:",
        tests=(
            "infra/concurrency/test_delivery_budget.py::test_the_readers_of_one_actor_leave_memory_for_those_of_each_other_actor",
        ),
    ),
)
