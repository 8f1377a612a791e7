"""`make mutants` breaks what it says it breaks: its list is kept with the code."""

import ast
from pathlib import Path

import pytest

from tests.mutants.guard import Guard, GuardNotFound, MutantBroken
from tests.mutants.guards import GUARDS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_each_guard_stands_where_the_list_says_and_has_a_test(guard: Guard) -> None:
    guard.without(ROOT)
    for test in guard.tests:
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert name.partition("[")[0] in {getattr(node, "name", None) for node in tree.body}


def test_names_of_guards_are_unique() -> None:
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)


@pytest.mark.parametrize(("old", "new"), [("x = 1", "x = 2"), ("z", "y"), ("y = 1", "y = (")])
def test_a_guard_that_is_not_there_once_and_a_mutant_that_is_no_python_are_errors(
    tmp_path: Path, old: str, new: str
) -> None:
    (tmp_path / "module.py").write_text("x = 1\nx = 1\ny = 1\n", encoding="utf-8")
    guard = Guard(name="one", protects="nothing", module="module", old=old, new=new, tests=("none",))
    with pytest.raises((GuardNotFound, MutantBroken)):
        guard.remove(tmp_path)
    assert (tmp_path / "module.py").read_text(encoding="utf-8") == "x = 1\nx = 1\ny = 1\n"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("def f():\n    call(a, b)\n    end()\n", "def f():\n    pass\n    end()\n"),
        ("def f():\n    call(\n        a,\n        b,\n    )\n    end()\n", "def f():\n    pass\n    end()\n"),
    ],
)
def test_a_guard_is_found_however_its_lines_are_broken(tmp_path: Path, text: str, left: str) -> None:
    (tmp_path / "module.py").write_text(text, encoding="utf-8")
    guard = Guard(
        name="one", protects="nothing", module="module", old="    call(a, b)\n", new="    pass\n", tests=("none",)
    )
    guard.remove(tmp_path)
    assert (tmp_path / "module.py").read_text(encoding="utf-8") == left


def test_two_names_that_are_written_apart_are_not_found_written_together(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("notx\n", encoding="utf-8")
    guard = Guard(name="one", protects="nothing", module="module", old="not x", new="x", tests=("none",))
    with pytest.raises(GuardNotFound):
        guard.remove(tmp_path)
