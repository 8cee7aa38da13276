"""`python -m tests.faults KIND [N …]`: run cases of one kind, all of them by default, and say all that is wrong."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.aftermath import run_case
from tests.faults.campaign import KINDS, TALLY, complaints, places, sample, unseen
from tests.faults.economy import economy
from tests.faults.shift import Phase


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("kind", help=f"one of {', '.join(KINDS)}, or their beginning, or all")
    parser.add_argument("case", type=int, nargs="*", help="which place of the shift")
    parser.add_argument("--sample", type=int, default=0, help="so many places only")
    asked = parser.parse_args()
    found = [kind for name, kind in KINDS.items() if asked.kind == "all" or name.startswith(asked.kind)]
    failed = 0
    with economy(), tempfile.TemporaryDirectory(prefix="bwvd-faults-") as folder:
        for kind in found:
            wrong_of_kind = 0
            for nth in asked.case or (sample(kind, asked.sample) if asked.sample else places(kind)):
                after = run_case(kind, nth)
                wrong = list(complaints(after, Path(folder) / "storage"))
                TALLY.cases[kind.name] += 1
                TALLY.outcomes[kind.name, after.phase or Phase.START, after.outcome] += 1
                failed += bool(wrong)
                wrong_of_kind += bool(wrong)
                if wrong:
                    print(f"{kind.name} {nth} ({after.phase}, {after.outcome}):")
                    print("".join(f"    {line}\n" for line in wrong), end="")
            print(f"{kind.name}: {TALLY.cases[kind.name]} cases, {wrong_of_kind} failed", flush=True)
    for (name, phase, outcome), count in sorted(TALLY.outcomes.items()):
        print(f"{count:6} {name} {phase}: {outcome}")
    if not asked.case and not asked.sample:
        for line in unseen(found):
            print(f"allowed, and shown by no case: {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
