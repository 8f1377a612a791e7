"""A reported field is added by one declaration, its parser, a migration and a schema: all consumers take it from the list."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.added_field.checkout import CHECKOUT, FIELD, checkout_with_the_field

FILES_MAX = 5


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A copy of the source with the field, and the files that were edited."""
    folder = tmp_path_factory.mktemp("checkout")
    return folder, checkout_with_the_field(folder)


def test_a_field_is_added_by_at_most_five_files(checkout: tuple[Path, list[str]]) -> None:
    _folder, edited = checkout
    assert 4 <= len(edited) <= FILES_MAX, edited
    assert sum(path.startswith("src/platevault/web/schemas/") for path in edited) == 1


def test_a_field_that_was_added_is_stored_searched_shown_exported_and_erased(
    checkout: tuple[Path, list[str]], empty_database_url: str, tmp_path: Path
) -> None:
    folder, _edited = checkout
    told = subprocess.run(
        [sys.executable, "-m", "tests.support.added_field.site", empty_database_url, str(tmp_path)],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-4000:]
    seen: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    assert Path(seen.pop("source")).is_relative_to(folder)
    assert seen.pop("schemas") >= 2
    assert seen == {
        "stored": ["solid-7"],
        "differs": [FIELD],
        "answer": "solid-7",
        "feed": ["solid-7", "another"],
        "found": ["evt_1"],
        "found by JSON": ["evt_1"],
        "page": True,
        "manifest": ["another", "solid-7"],
        "table": ["another", "solid-7"],
        "filled": ["filled"],
        "erased": [None],
    }
