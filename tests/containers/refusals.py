"""What must not start: values that are missing, and the words of the example."""

from pathlib import Path
from typing import Final

from tests.containers.engine import Failed, Project

EXAMPLE: Final = ("COLLECTOR_TOKEN", "MINIO_SECRET_KEY")
# An installation from before it existed starts without it; /metrics says so then.
OPTIONAL: Final = frozenset({"METRICS_TOKEN"})


def env_is_completed_once(project: Project) -> str:
    """Fresh values, private, and a second run that changes no byte."""
    project.make_env()
    first = project.env_file.read_bytes()
    if project.env_file.stat().st_mode & 0o777 != 0o600:
        raise Failed("the env file is not private")
    again = project.make_env()
    if project.env_file.read_bytes() != first:
        raise Failed("a second run changed it")
    return f"{len(project.values())} values, mode 0600; the second time: {again.partition(': ')[2]}"


def missing(project: Project) -> str:
    """`up` without any one of the values that it needs says what to do, and starts nothing."""
    names = sorted(set(project.values()) - OPTIONAL)
    for name in names:
        ran = project.compose("up", "-d", within=60, env_file=_without(project, name))
        if ran.code == 0 or "run make env" not in ran.said or name not in ran.said:
            raise Failed(f"without {name}, up ended with {ran.code}: {ran.said[-300:]}")
    if project.must("ps", "-aq").strip():
        raise Failed("something was started nevertheless")
    return f"up refuses without each of {len(names)}: “… {names[0]} is missing a value: run make env”"


def example(project: Project) -> str:
    """A service with a word of the example ends with the sentence that names the variable."""
    said = ""
    for name in EXAMPLE:
        for service in ("setup", "api", "worker"):
            words = ("run", "--rm", "-T", "--no-deps", service)
            ran = project.compose(*words, within=60, env_file=_with_word(project, name))
            told = [line for line in ran.said.splitlines() if f"{name} is still the word of .env.example" in line]
            if ran.code != 2 or not told:
                raise Failed(f"{service} with {name}=<random> ended with {ran.code}: {ran.said[-300:]}")
            said = told[0] if service == "setup" else said
    return f"setup, api and worker exit 2: “{said.removeprefix('platevault: ')[:80]}…”"


def _without(project: Project, name: str) -> Path:
    return _changed(project, {key: value for key, value in project.values().items() if key != name})


def _with_word(project: Project, name: str) -> Path:
    return _changed(project, project.values() | {name: "<random>"})


def _changed(project: Project, values: dict[str, str]) -> Path:
    path = project.folder / "changed.env"
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    return path
