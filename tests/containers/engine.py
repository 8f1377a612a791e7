"""A container engine with Compose, and one project on it that is gone afterwards."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
ENGINES: Final = ("docker", "podman")
# What a process needs to run and to find the engine. Nothing else of the caller's shell reaches the proof: Compose prefers
# the shell's variables to those of its env file, so an operator's MINIO_* would otherwise be used.
_KEPT: Final = (
    "PATH", "HOME", "USER", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_HOST", "DOCKER_CONTEXT",
    "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "CONTAINER_HOST", "SSL_CERT_FILE", "MINIO_IMAGE",
)  # fmt: skip


class Failed(Exception):
    """A claim of the proof that is not true, in a sentence."""


class Clock:
    """How much time is left for everything; each wait is cut to it."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, at_most: float) -> float:
        """Seconds to wait for one thing; raises `Failed` when the time for all is over."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise Failed("the time for the whole proof is over")
        return min(left, at_most)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return f"{self.out}\n{self.err}".strip()


def clean_environment(**more: str) -> dict[str, str]:
    """The environment of processes of the proof."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | more


def find_engine() -> str | None:
    """The first program that reaches an engine and has Compose."""
    for name in ENGINES:
        if shutil.which(name) and all(_works([name, *words]) for words in (("info",), ("compose", "version"))):
            return name
    return None


def free_port() -> int:
    """A port of the loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One Compose project with its own name, image, ports, values and volumes, next to whatever else the engine runs."""

    engine: str
    folder: Path
    clock: Clock
    name: str = field(default_factory=lambda: f"platevault-proof-{secrets.token_hex(4)}")
    ports: Mapping[str, int] = field(
        default_factory=lambda: {name: free_port() for name in ("API_PORT", "S3_PORT", "CONSOLE_PORT")}
    )

    @property
    def env_file(self) -> Path:
        return self.folder / "proof.env"

    @property
    def image(self) -> str:
        return f"{self.name}:proof"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['API_PORT']}"

    @property
    def images_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['S3_PORT']}"

    def make_env(self) -> str:
        """Complete the env file as an operator does; what it said."""
        command = [sys.executable, str(ROOT / "scripts" / "make_env.py"), str(self.env_file)]
        ran = self._run(command, within=30)
        if ran.code:
            raise Failed(f"make env: {ran.said}")
        return ran.out.strip()

    def values(self) -> dict[str, str]:
        """The env file as Compose reads it."""
        lines = self.env_file.read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    def compose(self, *words: str, within: float = 120, env_file: Path | None = None) -> Ran:
        """Run `compose`; the code is the caller's to judge."""
        named = (
            "compose",
            "--ansi",
            "never",
            "-p",
            self.name,
            "--project-directory",
            str(ROOT),
            "-f",
            str(ROOT / "docker-compose.yml"),
        )
        command = [self.engine, *named, "--env-file", str(env_file or self.env_file), *words]
        more = {name: str(port) for name, port in self.ports.items()} | {
            "PLATEVAULT_IMAGE": self.image,
            "COMPOSE_ANSI": "never",
        }
        return self._run(command, within=within, more=more)

    def must(self, *words: str, within: float = 120) -> str:
        """Run `compose`, which has to work; what it printed."""
        ran = self.compose(*words, within=within)
        if ran.code:
            raise Failed(f"compose {' '.join(words)[:60]}: {_end(ran.said)}")
        return ran.out

    def python(self, service: str, program: str) -> str:
        """What a Python program prints inside a service's container."""
        return self.must("exec", "-T", service, "python", "-c", program, within=30).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """The engine's own account of a service's container, running or not."""
        identifier = self.must("ps", "-a", "-q", service, within=30).split()[0]
        ran = self._run([self.engine, "inspect", identifier], within=30)
        found: dict[str, Any] = json.loads(ran.out)[0]
        return found

    def image_bytes(self) -> int:
        """The image's size as the engine counts it."""
        return int(self._run([self.engine, "image", "inspect", "-f", "{{.Size}}", self.image], within=30).out)

    def remove(self) -> list[str]:
        """Take everything of the project away; what is left of it nevertheless. Has its own time: it runs after failures too."""
        self.compose("down", "-v", "--remove-orphans", "-t", "5", within=90)
        self._run([self.engine, "image", "rm", "-f", self.image], within=60)
        mine = f"label=com.docker.compose.project={self.name}"
        kinds = (("ps", "-aq"), ("volume", "ls", "-q"), ("network", "ls", "-q"))
        left = [self._run([self.engine, *words, "--filter", mine], within=30).out.split() for words in kinds]
        return [name for names in left for name in names]

    def _run(self, command: Sequence[str], *, within: float, more: Mapping[str, str] | None = None) -> Ran:
        try:
            done = subprocess.run(
                command, env=clean_environment(**(more or {})), cwd=ROOT, capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL, timeout=within,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{' '.join(command)[-60:]}: not done within {within:.0f} seconds") from error
        return Ran(done.returncode, done.stdout, done.stderr)


def _works(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _end(text: str) -> str:
    return " | ".join(text.strip().splitlines()[-6:])
