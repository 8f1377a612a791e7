"""What a figure was measured on, and how quiet the machine has to be for a verdict."""

import os
import platform
import sysconfig
from typing import Final

# With more of the machine used by others, a figure says more about them than about us.
NOISE_MAX: Final = 0.10


def described() -> str:
    """Processors, Python and its optimisation, operating system."""
    flags = sysconfig.get_config_var("CONFIG_ARGS") or ""
    optimised = "PGO" if "--enable-optimizations" in flags else "no PGO"
    return f"{os.cpu_count()} processors, Python {platform.python_version()} ({optimised}), {platform.system()} {platform.release()}"
