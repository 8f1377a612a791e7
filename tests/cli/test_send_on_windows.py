"""`platevault send` where Python lacks the modules that Windows has not."""

import subprocess
import sys

# The libraries come first: how they look for their platform is their own affair.
_PROGRAM = """
import asyncio, subprocess, sys, sysconfig, types
import httpx2, msgspec, typer, PIL.Image, pydantic, rich.console, rich.progress
from typer.testing import CliRunner

sysconfig.get_config_vars()
absent = {"fcntl", "grp", "pwd", "resource", "termios"}
for name in absent:
    sys.modules[name] = None  # `import` raises ModuleNotFoundError
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
sys.platform = "win32"
from platevault.cli import app
ran = CliRunner().invoke(app, sys.argv[1:])
sys.platform = "linux"
print(ran.output, ran.exception)
sys.exit(ran.exit_code)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=False)


def test_the_sender_starts_without_the_modules_that_windows_lacks() -> None:
    shown = run("send", "--help")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "Send photographs" in shown.stdout


def test_the_server_says_that_it_does_not_run_there() -> None:
    refused = run("serve")
    assert "`platevault serve` runs on Linux and macOS" in refused.stdout + refused.stderr
