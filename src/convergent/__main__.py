"""Run the command line with ``python -m convergent``."""

from convergent.cli import main

main()
