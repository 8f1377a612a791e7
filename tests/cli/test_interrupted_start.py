"""Ctrl-C while a command imports its modules."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import inherited_environment

INTERRUPTS = """
import sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupts())
"""


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("typer", ("platevault", "send", "--help")),
        ("uvicorn", ("platevault", "serve")),
        ("platevault.app.vault", ("platevault.worker",)),
    ],
)
def test_ctrl_c_while_modules_are_imported_prints_no_traceback(
    tmp_path: Path, module: str, command: tuple[str, ...]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTS.format(name=module), encoding="utf-8")
    environment = inherited_environment() | {"PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == 130
    assert "Traceback" not in ended.stdout + ended.stderr
