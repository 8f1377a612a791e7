"""`python -m platevault`."""

from platevault.cli import main

main()
