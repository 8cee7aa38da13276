"""A process of the benchmark `tests.bench.carrying`: `bwvd` with these arguments, and its peak of memory on stderr."""

from __future__ import annotations

import sys

from bwvd.cli.main import main
from tests.bench.store_child import peak_mb

if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    finally:
        print(peak_mb(), file=sys.stderr)
