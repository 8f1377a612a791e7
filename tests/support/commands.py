"""Processes that may end while they are looked at."""

import psutil


def command_of(pid: int) -> str:
    """Its program and arguments; nothing when it has ended."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:  # or a zombie, which is one
        return ""


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
