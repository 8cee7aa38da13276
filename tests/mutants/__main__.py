"""`python -m tests.mutants [NAME…]`: break each promise on purpose and see which test notices."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import click
from rich.console import Console

from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import Copy, Outcome, Verdict


@click.command(help="Break bwvd on purpose, one defect at a time, in a copy of the tree; say which test notices.")
@click.argument("words", nargs=-1)
@click.option("--jobs", default=1, show_default=True, help="Copies that are tested at the same time.")
@click.option("--list", "only_list", is_flag=True, help="Only name the mutants.")
def main(words: Sequence[str], jobs: int, only_list: bool) -> None:
    console = Console(soft_wrap=True, highlight=False)
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    if not chosen:
        raise click.UsageError(f"no mutant's name holds {' or '.join(words)}")
    if only_list:
        for mutant in chosen:
            console.print(f"invariant {mutant.invariant:2}  {mutant.name}  ({mutant.file})")
        return
    with ExitStack() as stack:
        copies = [stack.enter_context(Copy()) for _ in range(max(jobs, 1))]
        tests = sorted({test for mutant in chosen for test in mutant.tests})
        whole = copies[0].run(tests)
        if whole.verdict is not Verdict.SURVIVED:
            console.print(f"the tests fail without any mutant: {whole.by}")
            sys.exit(2)
        free = list(copies)

        def hunt(number: int) -> Outcome:
            copy = free.pop()
            try:
                return copy.hunt(chosen[number])
            finally:
                free.append(copy)

        survived = 0
        with ThreadPoolExecutor(len(copies)) as pool:
            for mutant, outcome in zip(chosen, pool.map(hunt, range(len(chosen))), strict=True):
                survived += outcome.verdict is Verdict.SURVIVED
                console.print(f"{outcome.verdict.value:9} {mutant.invariant:2}  {mutant.name}: {outcome.by}")
        console.print(f"{len(chosen)} mutants, {len(chosen) - survived} noticed, {survived} survived")
    sys.exit(1 if survived else 0)


if __name__ == "__main__":
    main()
