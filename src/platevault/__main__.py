"""Entry point of `platevault` and of `python -m platevault`. Ctrl-C during imports prints no traceback."""

import sys

from platevault.extras import server_module

INTERRUPTED = 130


def main(module: str = "platevault.cli") -> None:
    """Import the module and run its `main`. Ctrl-C ends with exit code 130 and without a traceback."""
    try:
        server_module(module, needed_by="`platevault`").main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
