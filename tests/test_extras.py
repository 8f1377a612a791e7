"""What is imported by name, and when."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import platevault
from platevault import extras, library
from platevault.extras import NotInstalled, server_module
from platevault.provisioning import bucket
from tests.test_budgets import SOURCES, named, parsed


def test_the_server_names_of_the_package_are_those_of_their_modules() -> None:
    assert platevault.image_storage is library.image_storage
    assert platevault.configure_bucket is bucket.configure_bucket
    assert set(platevault.__all__) <= set(dir(platevault))
    assert [name for name in platevault.__all__ if not hasattr(platevault, name)] == []
    with pytest.raises(AttributeError, match="no attribute 'image_store'"):
        platevault.image_store  # noqa: B018


@pytest.mark.parametrize("program", ["import platevault", "import platevault.cli", "import platevault.cli.send"])
def test_what_a_sender_imports_brings_no_module_of_the_server(program: str) -> None:
    asked = f"import sys; {program}; print(*(name for name in ('platevault.app', 'sqlalchemy', 'fastapi') if name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == "\n"


def test_a_library_that_is_missing_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wants_a_library.py").write_text("import a_library_of_the_server.part", encoding="utf-8")
    (tmp_path / "wants_posix.py").write_text("raise ModuleNotFoundError('no', name='resource')", encoding="utf-8")
    (tmp_path / "wants_ours.py").write_text("import platevault.nothing", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NotInstalled, match=r"`x` needs the server: .*platevault\[server\].*a_library_of_the_server"):
        server_module("wants_a_library", needed_by="`x`")
    with pytest.raises(NotInstalled, match="runs on Linux and macOS: .*`resource`"):
        server_module("wants_posix", needed_by="`x`")
    with pytest.raises(ModuleNotFoundError, match=r"platevault\.nothing"):
        server_module("wants_ours", needed_by="`x`")


def test_only_one_module_imports_by_name() -> None:
    by_name = {
        named(path)
        for path in SOURCES
        for node in ast.walk(parsed(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(alias.name == "importlib" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "importlib")
        or (isinstance(node, ast.Name) and node.id == "__import__")
    }
    assert by_name == {named(Path(extras.__file__))}
