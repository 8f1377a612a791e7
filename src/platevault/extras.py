"""Import modules whose libraries come with an extra of the package: the only module that imports by name.

The bare package is the sender. The server's libraries come with `platevault[server]`. Without them each entry point that needs
the server raises `NotInstalled`, which names the extra. See docs/decisions/0001-lazy-server.md.
"""

import importlib
import sys
from types import ModuleType


class NotInstalled(ImportError):
    """An extra of the package is not installed; the message names it."""


def server_module(name: str, *, needed_by: str) -> ModuleType:
    """Import the module `name`, which may need the server's libraries.

    Raises `NotInstalled` if one of them is missing. `needed_by` is the first word of its message.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "platevault"):
            raise  # a module of ours is missing: no extra has it
        if missing in sys.stdlib_module_names:
            raise NotInstalled(
                f"{needed_by} runs on Linux and macOS: Python has no module `{missing}` on this system"
            ) from error
        raise NotInstalled(
            f"{needed_by} needs the server: pip install 'platevault[server]', or 'platevault[server,embedded]' for --embedded and demo (the module `{missing}` is not installed)"
        ) from error
