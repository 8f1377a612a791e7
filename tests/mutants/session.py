"""One pytest session on one copy of the project, and what became of each test in it."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.witness import NOT_THE_COPY

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = ("src", "alembic", "tests", "scripts", "pyproject.toml", ".env.example")
NOT_COPIED: Final = shutil.ignore_patterns(".*", "data")
TEST_WITHIN_SECONDS: Final = 60
SESSION_WITHIN_SECONDS: Final = 300.0
# A mutant that fails like this is misspelt: its guard was not what the test missed.
MISSPELT: Final = ("NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError", "SyntaxError")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a session ended. `passed` and the others have test ids as pytest writes them; `why` is the first failure's line."""

    exit_code: int | None
    seconds: float
    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    in_setup: tuple[str, ...] = ()
    why: str = ""
    output: str = ""

    @property
    def broken(self) -> str | None:
        """Why this says nothing about a guard; None when it does."""
        if self.exit_code is None:
            return f"not at its end after {SESSION_WITHIN_SECONDS:.0f} s"
        if self.exit_code == NOT_THE_COPY:
            return "the copy is not what was tested: " + self.output[-200:]
        if self.exit_code not in (0, 1):
            return f"pytest ended with {self.exit_code}: {self.output[-200:]}"
        if self.exit_code == 1 and not self.failed:
            return "no test failed by itself: " + (self.why or self.output[-200:])
        if self.failed and self.why.startswith(MISSPELT):
            return self.why
        return None


def copy_of(source: Path, target: Path) -> Path:
    """The project without data, environment and history."""
    for name in COPIED:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=NOT_COPIED)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)
    return target


async def run_tests(copy: Path, tests: Sequence[str], *, first_failure_ends: bool) -> Ended:
    """Run these tests (node ids below tests/) in `copy`, on servers of their own."""
    report = copy / "report.xml"
    more = ["-x"] if first_failure_ends else []
    begun = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=no", *more),
        *("-p", "no:cacheprovider", "-p", "tests.mutants.witness", f"--timeout={TEST_WITHIN_SECONDS}"),
        *(f"--junitxml={report}", f"--basetemp={copy / 'tmp'}", "--rootdir=.", *(f"tests/{test}" for test in tests)),
        cwd=copy,
        env={**_without_coverage(), "PYTHONPATH": str(copy / "src")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(SESSION_WITHIN_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        return Ended(exit_code=None, seconds=time.monotonic() - begun)
    finally:
        if process.returncode is None:  # its servers end with it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return _read(report, process.returncode, seconds=time.monotonic() - begun, output=output.decode(errors="replace"))


def _read(report: Path, exit_code: int | None, *, seconds: float, output: str) -> Ended:
    found: dict[str, list[str]] = {"passed": [], "failure": [], "error": [], "skipped": []}
    messages: list[str] = []
    for case in ET.parse(report).iter("testcase") if report.exists() else ():
        *folders, module = case.get("classname", "").split(".")
        name = "/".join([*folders[1:], f"{module}.py"]) + f"::{case.get('name')}"
        outcome = next((child for child in case if child.tag in found), None)
        found["passed" if outcome is None else outcome.tag].append(name)
        if outcome is not None and outcome.tag != "skipped":
            messages.append((outcome.get("message") or "").strip().partition("\n")[0])
    return Ended(
        exit_code=exit_code,
        seconds=seconds,
        passed=tuple(found["passed"]),
        failed=tuple(found["failure"]),
        in_setup=tuple(found["error"]),
        skipped=tuple(found["skipped"]),
        why=messages[0] if messages else "",
        output=output,
    )


def _without_coverage() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
