"""`python -m bwvd` is `bwvd`."""

from bwvd.cli.main import main

main(prog_name="bwvd")
