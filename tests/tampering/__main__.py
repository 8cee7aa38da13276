"""`python -m tests.tampering [--count 500] [--cuts 500] [--seed N]`: an insider's changes, and honest power cuts.

Prints a table: kind of change, trials, told by the device, told by `verify` before and after its start, missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.economy import economy
from tests.fuzz.target import scratch
from tests.tampering.campaign import Row, Trial, cut, insider, insiders, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tampering", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="changes by an insider (default 500)")
    parser.add_argument("--cuts", type=int, default=500, help="honest power cuts (default 500)")
    parser.add_argument("--seed", type=int, default=0, help="of everything (default 0)")
    parser.add_argument("--trial", type=int, metavar="N", help="only this change")
    parser.add_argument("--cut", type=int, metavar="N", help="only this power cut")
    asked = parser.parse_args()
    with economy(), tempfile.TemporaryDirectory(prefix="bwvd-tampering-", dir=scratch()) as under:
        folder = Path(under) / "card"
        if asked.trial is not None:
            trial = Trial(asked.seed, asked.trial)
            insider(trial, folder, row := Row())
            said = row.missed
            print(trial.name)
        elif asked.cut is not None:
            said = [wrong] if (wrong := cut(asked.seed, asked.cut, folder)) else []
        else:
            rows = insiders(asked.count, asked.seed, folder)
            print("\n".join(table(rows)), flush=True)
            said = [line for row in rows.values() for line in row.missed]
            alarms = [wrong for number in range(asked.cuts) if (wrong := cut(asked.seed, number, folder))]
            print(f"{asked.cuts} honest power cuts, {len(alarms)} false alarms")
            said += alarms
    print("\n".join(said))
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
