"""Entry point of `python -m platevault.worker`, as quiet as that of `platevault`."""

from platevault.__main__ import main

main("platevault.worker.work")
