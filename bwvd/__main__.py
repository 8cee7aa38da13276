"""`python -m bwvd` is `bwvd`."""

from bwvd.cli import main

main(prog_name="bwvd")
