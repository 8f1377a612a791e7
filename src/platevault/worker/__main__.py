"""Entry point of `python -m platevault.worker`. Ctrl-C during imports prints no traceback."""

from platevault.__main__ import main

main("platevault.worker.work")
