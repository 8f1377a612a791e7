"""Guards of values: what a sender wrote, what it means, and which two spellings are one."""

from typing import Final

from tests.mutants.guard import Guard

GUARDS: Final = (
    Guard(
        name="one-time-grammar",
        protects="a time is never guessed: RFC 3339 with a zone, or the detection is refused",
        module="platevault.domain.moments",
        old="    if found is None:\n        raise NoMoment(",
        new="    if found is None:\n        return datetime.fromtimestamp(float(text), UTC)\n        raise NoMoment(",
        tests=(
            "domain/test_detection.py::test_a_detection_that_is_wrong_in_itself_is_refused_with_a_reason_that_names_the_field",
        ),
    ),
    Guard(
        name="description-never-refuses",
        protects="a value that only describes is left out, and the detection and its images are kept",
        module="platevault.domain.detection",
        old='if line["loc"] and line["loc"][0] not in EVIDENCE:',
        new="if False:",
        tests=("domain/test_described.py::test_what_has_none_is_left_out_and_listed_by_field_and_reason",),
    ),
    Guard(
        name="ignored-is-told",
        protects="the answer lists each field that was left out",
        module="platevault.ingest.verdict",
        old="ignored=read.ignored,",
        new="",
        tests=("ingest/test_ignored.py::test_what_is_left_out_is_listed_without_its_value_and_a_retry_lists_it_again",),
    ),
    Guard(
        name="digest-of-its-form",
        protects="a batch that an older version recorded is compared by the digest of its form",
        module="platevault.ingest.sql.record_batch",
        old="digest = batch.digest_in(found.digest_form)",
        new="digest = batch.digest",
        tests=("ingest/test_digest_form.py::test_a_batch_of_an_older_version_is_replayed_by_the_digest_of_its_form",),
    ),
    Guard(
        name="canonical-digest",
        protects="the same content in another spelling is the same batch",
        module="platevault.formats.native",
        old="shown = ordered if form == 1 else (canonical_detection(raw) for raw in ordered)",
        new="shown = ordered",
        tests=("ingest/test_digest_form.py::test_a_retry_with_other_spellings_of_its_numbers_and_times_is_a_replay",),
    ),
    Guard(
        name="unread-signs",
        protects="an unread sign of a stored plate is one sign",
        module="platevault.domain.plates",
        old="""return _signs_and_wildcards(plate).replace("*", "")""",
        new="""return _signs_and_wildcards(plate).replace("*", "").replace("?", "")""",
        tests=(
            "domain/test_plates.py::test_a_plate_is_compared_by_its_signs_and_digits_by_their_value",
            "catalog/test_plate_readings.py::test_a_plate_is_found_by_what_is_shown",
        ),
    ),
    Guard(
        name="digits-by-value",
        protects="digits of every script are compared by their value",
        module="platevault.domain.plates",
        old="return character if value is None else str(value)",
        new="return character",
        tests=("domain/test_plates.py::test_a_plate_is_compared_by_its_signs_and_digits_by_their_value",),
    ),
    Guard(
        name="look-alikes",
        protects="Cyrillic and Greek look-alikes are found by the misread-tolerant search",
        module="platevault.domain.plate_readings",
        old="return skeleton(text.translate(_LATIN)) if not text.isascii() else skeleton(text)",
        new="return skeleton(text)",
        tests=("domain/test_plate_readings.py::test_a_letter_that_looks_like_a_latin_one_is_alike",),
    ),
    Guard(
        name="forms-limited",
        protects="the forms of one plate that a search looks up are limited",
        module="platevault.domain.plate_readings",
        old="        if left < 0:\n            return\n",
        new="",
        tests=("domain/test_plate_readings.py::test_the_number_of_forms_is_limited",),
    ),
    Guard(
        name="number-out-of-range",
        protects="a number that no program holds leaves out its field, and costs no image and no 500",
        module="platevault.formats.json_text",
        old="except msgspec.ValidationError:  # a number: the text is JSON, for it was split before\n        pass",
        new="except msgspec.ValidationError:\n        raise",
        tests=("formats/test_json_text.py::test_a_number_that_no_program_holds_leaves_out_its_field_and_nothing_else",),
    ),
    Guard(
        name="nan-is-left-out",
        protects="NaN and halves of characters, which encoders write, cost their field alone",
        module="platevault.formats.native",
        old="if plain == text:",
        new="if True:",
        tests=("formats/test_json_text.py::test_half_of_a_character_leaves_out_its_field",),
    ),
    Guard(
        name="frame-behind-bad-length",
        protects="a segment that tells no length, and stray bytes, do not hide width and height",
        module="platevault.domain.images",
        old="_MARKER.search(bytes(view[at : at + _STRAY_BYTES_MAX]))",
        new="_MARKER.match(bytes(view[at : at + _STRAY_BYTES_MAX]))",
        tests=("domain/test_images.py::test_decoders_pass_over_what_hides_the_frame_header_and_so_does_this",),
    ),
)
