"""Where screenshots of the pages go: PLATEVAULT_SCREENSHOTS, or a temporary folder that is told at the end."""

import os
import tempfile
from pathlib import Path

import pytest

_FOLDER = "PLATEVAULT_SCREENSHOTS"


def screenshot_of(name: str) -> Path:
    """The file of that picture; its folder exists."""
    folder = Path(os.environ[_FOLDER])
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.png"


def pytest_configure(config: pytest.Config) -> None:
    """Before sessions beside this one start, so that all have one folder."""
    os.environ.setdefault(_FOLDER, str(Path(tempfile.gettempdir()) / f"platevault-screenshots-{os.getpid()}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    pictures = sorted(Path(os.environ[_FOLDER]).glob("*.png"))
    if pictures:
        terminalreporter.write_line(f"{len(pictures)} screenshots in {pictures[0].parent}")
