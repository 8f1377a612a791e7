"""The house rules that no linter checks: how large a module may be, and that documents name what there is."""

import ast
import gc
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "platevault").rglob("*.py"))

LINES_MAX = 400
FUNCTION_LINES_MAX = 50
OWN_IMPORTS_MAX = 12
FILES_MAX = 25
MODULE_LINE_MAX = 100
LEVELS_MAX = 3
# The composition root imports every capability, because it wires them. Its files are shorter instead.
ROOT_LINES_MAX = 300
COMPOSITION_ROOT = ROOT / "src" / "platevault" / "app"
# The list of routes imports every handler.
IMPORT_EVERYTHING = {ROOT / "src" / "platevault" / "web" / "routes.py"}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_module_keeps_to_its_budgets(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = parsed(text)
    assert ast.get_docstring(tree), "a module starts with one sentence that says what it is for"
    if path.parent == COMPOSITION_ROOT:
        assert text.count("\n") <= ROOT_LINES_MAX
    else:
        assert text.count("\n") <= LINES_MAX
    if path not in IMPORT_EVERYTHING and path.parent != COMPOSITION_ROOT:
        assert len(own_imports(tree)) <= OWN_IMPORTS_MAX
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert lines_of(node) <= FUNCTION_LINES_MAX, node.name
            assert not any(isinstance(inner, ast.Import | ast.ImportFrom) for inner in ast.walk(node)), node.name


def test_no_test_replaces_what_it_tests() -> None:
    mocked = [
        named(path)
        for path in (ROOT / "tests").rglob("*.py")
        if "unittest" + ".mock" in path.read_text(encoding="utf-8")
    ]
    assert mocked == []


def test_a_package_names_its_modules() -> None:
    missing = [
        named(path) for path in SOURCES if path.name != "__init__.py" and f"`{path.stem}`" not in package_doc(path)
    ]
    assert missing == []


def test_a_package_names_no_module_that_is_gone() -> None:
    gone = [
        f"{named(init)}: {stem}"
        for init in SOURCES
        if init.name == "__init__.py"
        for stem in re.findall(r"^- `(\w+)/?`", package_doc(init), re.MULTILINE)
        if not (init.with_name(f"{stem}.py").exists() or (init.parent / stem / "__init__.py").exists())
    ]
    assert gone == []


def test_a_package_names_each_module_in_a_short_phrase() -> None:
    long = [
        f"{named(init)}: {line}"
        for init in SOURCES
        if init.name == "__init__.py"
        for line in re.findall(r"^- `\w+/?`: .*(?:\n  .*)*", package_doc(init), re.MULTILINE)
        if len(line) > MODULE_LINE_MAX
    ]
    assert long == []


@pytest.mark.parametrize("root", ["src/platevault", "tests"])
def test_no_folder_is_too_full_or_too_deep(root: str) -> None:
    folders = {path.parent for path in (ROOT / root).rglob("*.py")}
    too_full = [named(folder) for folder in folders if len(list(folder.glob("*.py"))) > FILES_MAX]
    too_deep = [named(folder) for folder in folders if len(folder.relative_to(ROOT / root).parts) > LEVELS_MAX]
    assert (too_full, too_deep) == ([], [])


def test_the_root_alembic_folder_is_no_package() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists()


def package_doc(path: Path) -> str:
    return ast.get_docstring(parsed(path.with_name("__init__.py").read_text(encoding="utf-8"))) or ""


def parsed(text: str) -> ast.Module:
    """The module's tree. A collection of garbage in the middle makes some Pythons fail here (python/cpython#106905)."""
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        gc.enable()


def own_imports(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("platevault"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in names if is_module(name)} or {str(node.module)}
    return found


def is_module(name: str) -> bool:
    path = ROOT / "src" / Path(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
