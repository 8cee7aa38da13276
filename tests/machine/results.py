"""What the suite found, as the table that stands at its end: scenario, runs, result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Results:
    """Filled by the tests as they go; a scenario that failed is in it too."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, scenario: str, runs: int | str, result: str) -> None:
        self.rows.append((scenario, str(runs), result))

    def table(self) -> Iterator[str]:
        """As Markdown."""
        yield "| scenario | runs | result |"
        yield "| --- | --- | --- |"
        for row in self.rows:
            yield "| " + " | ".join(text.replace("|", "/").replace("\n", " ") for text in row) + " |"
