"""The user that a server runs as which refuses to run as root."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from platevault.domain.errors import SettingsInvalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Unprivileged:
    """A user other than root, by name and numbers."""

    name: str
    user: int
    group: int


def unprivileged_for(folder: Path) -> Unprivileged | None:
    """Whom to run as: None (ourselves) unless we are root; then the folder's owner, or `nobody` where that is root."""
    if os.geteuid() != 0:
        return None
    owner = folder.stat().st_uid
    try:
        found = pwd.getpwuid(owner) if owner != 0 else pwd.getpwnam("nobody")
    except KeyError as error:
        raise SettingsInvalid(
            f"PostgreSQL does not run as root, and there is no user {owner or 'nobody'} to run it as: start Platevault as"
            f" another user, or give {folder} to one with chown",
        ) from error
    return Unprivileged(name=found.pw_name, user=found.pw_uid, group=found.pw_gid)


def check_reachable(folder: Path, who: Unprivileged) -> None:
    """Raise `SettingsInvalid`, with the folder to open, when this user cannot enter the folder."""
    closed = next((path for path in reversed((folder, *folder.parents)) if not _may_enter(path, who)), None)
    if closed is None:
        return
    raise SettingsInvalid(
        f"PostgreSQL does not run as root, and user {who.name} cannot enter {closed}: choose a --data-dir outside of it"
        f" (such as /var/lib/platevault), run `chmod o+x {closed}`, or start Platevault as another user",
    )


def runnable_copy(package: Path, program: Path, *, who: Unprivileged, copy_to: Path) -> Path:
    """The program as this user can run it: itself, or a copy of its package where it stands in a closed folder.

    The package's shared libraries stand beside it, in `<package>.libs`.
    """
    if _succeeds([str(program), "--version"], who=who):
        return program
    copied = copy_to / package.name / program.relative_to(package)
    if not copied.exists() or copied.stat().st_mtime != program.stat().st_mtime:
        shutil.rmtree(copy_to, ignore_errors=True)
        tree = program.relative_to(package).parts[0]
        shutil.copytree(package / tree, copy_to / package.name / tree, symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.exists():
            shutil.copytree(libraries, copy_to / libraries.name, symlinks=True)
        _open_for_all(copy_to)
    if not _succeeds([str(copied), "--version"], who=who):
        raise SettingsInvalid(
            f"user {who.name} can run neither {program} nor its copy {copied}: is that folder mounted with noexec?"
            " Choose another --data-dir, or start Platevault as another user",
        )
    return copied


def _may_enter(folder: Path, who: Unprivileged) -> bool:
    return _succeeds(["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)], who=who)


def _succeeds(arguments: list[str], *, who: Unprivileged) -> bool:
    try:
        done = subprocess.run(
            arguments,
            cwd="/",
            user=who.user,
            group=who.group,
            extra_groups=[],
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


def _open_for_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
