"""docs/reliability.md names tests that exist, and each kind has some."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
KINDS = 12


def test_each_test_that_the_page_names_exists() -> None:
    named = TEST.findall(PAGE)
    assert named
    for file, test in named:
        path = ROOT / file
        assert path.is_file(), file
        assert re.search(rf"^(async )?def {test}\(", path.read_text(encoding="utf-8"), re.MULTILINE), (file, test)


def test_each_kind_has_an_answer_and_a_test() -> None:
    rows = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| kind")]
    assert len(rows) == KINDS
    for row in rows:
        assert len(row) == 4, row[0]
        assert TEST.search(row[3]), row[0]
        assert all(cell.strip("| ") for cell in row)


def test_readers_of_the_other_pages_find_it() -> None:
    for page in ("README.md", "docs/OPERATING.md"):
        assert "reliability.md" in (ROOT / page).read_text(encoding="utf-8"), page
