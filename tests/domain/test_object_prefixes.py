"""The table of prefixes: what it says, who takes it, and that no other module spells a prefix."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import platevault
from platevault.backup.manifest import NOT_COPIED
from platevault.domain.object_keys import CHECK_KEY, CROP, FULL, RESERVED_KINDS, parse_object_key
from platevault.domain.object_prefixes import (
    CROP_IMAGES,
    DERIVED_IMAGES,
    FULL_IMAGES,
    HOLD_COPIES,
    OTHER_IMAGES,
    PREFIXES,
    SET_ASIDE,
    TEMP_UPLOADS,
    VAULT_MARKS,
    Held,
    ObjectPrefix,
    prefix_of,
)
from platevault.infra.objectstore.admin.lifecycle import CANARY, Rule, compare, wanted_rules
from platevault.infra.objectstore.admin.policies import PRESIGN, policies_for
from platevault.infra.postgres.upload_tables import metadata
from platevault.jobs.restore_marker import KEY as MARKER

SOURCE = Path(platevault.__file__).parent
TABLE = "domain/object_prefixes.py"
SPELT = re.compile("(?:^|['\"])(?:" + "|".join(p.folder for p in PREFIXES if p is not OTHER_IMAGES) + ")/")
IMAGE_KEY = "full/2025/01/15/evt_1_full.jpg"


def literals(text: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each string that is no docstring."""
    tree = ast.parse(text)
    docs = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def spelt_in(text: str) -> list[tuple[int, str]]:
    """The strings that spell a prefix. A whole key of an image is an example of an answer."""
    return [(line, found) for line, found in literals(text) if SPELT.search(found) and parse_object_key(found) is None]


def test_no_other_module_spells_a_prefix() -> None:
    found = {
        str(path.relative_to(SOURCE)): spelt
        for path in sorted(SOURCE.rglob("*.py"))
        if (spelt := spelt_in(path.read_text(encoding="utf-8")))
    }
    assert set(found) == {TABLE}, {path: spelt for path, spelt in found.items() if path != TABLE}


@pytest.mark.parametrize(
    "source",
    [
        'KEY = "holds/"',
        'key = f"derived/{name}"',
        "SQL = \"WHERE key LIKE 'holds/%'\"",
        'copy(key, under="quarantine/other/")',
        'put("full/2025/" + name)',
    ],
)
def test_the_search_for_prefixes_finds_them(source: str) -> None:
    assert spelt_in(source)


def test_each_prefix_is_known_by_its_keys_and_its_owner_is_a_table() -> None:
    assert len({prefix.name for prefix in PREFIXES}) == len(PREFIXES)
    for prefix in PREFIXES:
        assert prefix_of(prefix.name.replace("{kind}", "rear") + "anything") is prefix
        assert prefix.owner is None or prefix.owner in metadata.tables
    for foreign in ("", "full", "full/", "Full/x", "/x", "a_b/x"):
        assert prefix_of(foreign) is None


def test_kinds_of_images_are_those_that_a_hold_copies_and_reconcile_looks_at() -> None:
    kinds = [prefix for prefix in PREFIXES if prefix.is_of_kinds]
    assert kinds == [FULL_IMAGES, CROP_IMAGES, OTHER_IMAGES]
    assert [prefix for prefix in PREFIXES if prefix.reconciled] == kinds
    assert [prefix for prefix in PREFIXES if prefix.scrubbed] == [*kinds, HOLD_COPIES]
    assert (FULL_IMAGES.folder, CROP_IMAGES.folder) == (FULL, CROP)
    assert {"temp", "derived", "holds", "quarantine", "meta"} == RESERVED_KINDS


def test_the_rules_of_the_bucket_are_those_of_the_table() -> None:
    rules = {rule.prefix: (rule.id, rule.expire_days) for rule in wanted_rules(retention_days=365, margin_days=5)}
    assert {prefix: rule for prefix, rule in rules.items() if prefix} == {
        "full/": ("expire-full", 370),
        "crop/": ("expire-crop", 370),
        "temp/": ("expire-temp", 1),
        "derived/": ("expire-derived", 30),
    }
    assert not {"full/", "crop/"} & {rule.prefix for rule in wanted_rules(retention_days=None, margin_days=5)}


@pytest.mark.parametrize("prefix", [prefix for prefix in PREFIXES if prefix.expiry is None], ids=lambda p: p.name)
def test_a_foreign_rule_over_what_must_stay_is_a_danger(prefix: ObjectPrefix) -> None:
    rule = Rule(id="theirs", prefix=prefix.name, expire_days=9999)
    dangers = compare(wanted_rules(retention_days=365, margin_days=5), [rule]).dangerous
    assert [danger.reason for danger in dangers] == ([] if prefix.kept_because is None else [prefix.kept_because])


def test_what_a_hold_protects_is_deleted_by_no_rule_of_ours() -> None:
    assert [prefix for prefix in PREFIXES if prefix.held is Held.AS_COPY] == [HOLD_COPIES]
    assert {prefix for prefix in PREFIXES if prefix.kept_because} == {HOLD_COPIES, SET_ASIDE, VAULT_MARKS}
    assert all(prefix.expiry is None for prefix in PREFIXES if prefix.kept_because)


def test_a_backup_leaves_out_what_the_table_says() -> None:
    assert {prefix.name for prefix in PREFIXES if not prefix.backed_up} == {TEMP_UPLOADS.name, DERIVED_IMAGES.name}
    assert set(NOT_COPIED) == {TEMP_UPLOADS.name, DERIVED_IMAGES.name, CHECK_KEY}


def test_a_presigned_url_leads_only_to_what_the_table_says() -> None:
    denied = policies_for("b")[PRESIGN]["Statement"][1]["Resource"]
    hidden = {prefix.name for prefix in PREFIXES if not prefix.viewable}
    assert hidden == {TEMP_UPLOADS.name, SET_ASIDE.name, VAULT_MARKS.name}
    assert set(denied) == {f"arn:aws:s3:::b/{name}*" for name in hidden}


@pytest.mark.parametrize(
    ("key", "prefix"),
    [(CHECK_KEY, VAULT_MARKS), (MARKER, VAULT_MARKS), (CANARY, TEMP_UPLOADS), (IMAGE_KEY, FULL_IMAGES)],
)
def test_the_keys_that_are_written_beside_images_are_inside(key: str, prefix: ObjectPrefix) -> None:
    assert prefix_of(key) is prefix
