"""How far the making of the demo world is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Report = Callable[[str, int, int], None]
"""Takes what is being done, how much is done, and how much there is."""

# What the parts that are not rows weigh in the progress, in rows of events.
TRAINING_WEIGHT: Final = 8_000
SLATES_WEIGHT: Final = 6_000
REFRESH_WEIGHT: Final = 6_000


@dataclass(slots=True)
class Meter:
    """Adds up progress."""

    report: Report
    total: int
    done: int = 0
    step: str = ""

    def begin(self, step: str) -> None:
        """Say what comes next."""
        self.step = step
        self.advance(0)

    def advance(self, rows: int) -> None:
        """Say that so much more is done."""
        self.done = min(self.done + rows, self.total)
        self.report(self.step, self.done, self.total)
