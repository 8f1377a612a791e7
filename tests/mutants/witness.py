"""A pytest plugin that ends the session unless the copy of the project is what is tested, here and in child processes."""

import subprocess
import sys
from pathlib import Path

import pytest

import platevault
from tests.support.processes import inherited_environment

NOT_THE_COPY = 6  # none of pytest's own exit codes
_ASK = "import platevault; print(platevault.__file__)"


def pytest_sessionstart(session: pytest.Session) -> None:
    here = Path.cwd() / "src" / "platevault" / "__init__.py"
    child = subprocess.run(
        [sys.executable, "-c", _ASK], env=inherited_environment(), cwd="/", capture_output=True, text=True, check=False
    )
    for found in (str(platevault.__file__), child.stdout.strip()):
        if not found or Path(found).resolve() != here.resolve():
            pytest.exit(f"{found or child.stderr} is tested, not {here}", returncode=NOT_THE_COPY)
