"""The tables of the calibration: rows with their criterion, and Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Monte Carlo errors of slack. Always-valid procedures stay far below their limit; for those whose level
# is exactly at it, three errors would fail a healthy engine in every tenth run of the eighty rows.
ALWAYS_VALID_SLACK, EXACT_SLACK = 3, 4
# The always-valid procedures in the order of their columns.
PROCEDURES = ("absolute", "log", "greater absolute", "greater log", "less absolute", "less log", "mSPRT")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: its cells as text, and whether its criterion holds (`None`: reported only)."""

    table: str
    cells: tuple[str, ...]
    passes: bool | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table's title and header."""

    title: str
    header: tuple[str, ...]


TABLES = {
    "sequential": Table(
        'Always valid, no effect: share of experiments that "win" at some of 50 looks (%)',
        ("metric", "control", "no floor", *PROCEDURES, "looks refused", "all ≤ 5"),
    ),
    "fixed": Table(
        "Fixed horizon, no effect: share significant at 5 % (%)",
        ("metric", "control", "last look", "last look, lift", "at some look", "at some look, lift", "5 ± 0.5"),
    ),
    "group": Table(
        "Group-sequential, five looks, no effect: share that stops (%)",
        ("metric", "control", "O'Brien–Fleming-like", "Pocock-like", "both ≤ 5"),
    ),
    "bayes": Table(
        "Bayesian, no effect: share whose chance to win passes a threshold at some of 50 looks (%)",
        ("metric", "control", "flat prior, 95 %", "N(0, 0.3²), 97.5 %", "N(0, 0.05²), 97.5 %"),
    ),
    "types": Table(
        "Every metric type at a fixed horizon, 500 units an arm (%)",
        ("metric", "runs", "p < 0.01", "p < 0.05", "p < 0.1", "uniformity (p)", "coverage", "holds"),
    ),
    "power": Table(
        "At the planned effect, 50/50, power planned 80 % (%)",
        ("metric", "lift", "design", "units", "found by N*", "at the last look alone", "coverage", "holds"),
    ),
    "srm": Table(
        "Sample ratio, healthy experiments: share that alarms at some of 50 looks (%)",
        ("arms", "sequential at 0.001", "sequential at 0.05", "chi-square at 0.001, every look", "holds"),
    ),
}


def markdown(rows: Sequence[Row]) -> str:
    """The tables as Markdown, in the order of `TABLES`; tables without rows are left out.

    >>> print(markdown([Row("srm", ("50/50", "0", "1", "2", "yes"), True)]).splitlines()[-1])
    | 50/50 | 0 | 1 | 2 | yes |
    """
    parts = []
    for key, table in TABLES.items():
        lines = [row.cells for row in rows if row.table == key]
        if lines:
            body = [table.header, tuple("---" for _ in table.header), *lines]
            parts.append("\n".join([f"### {table.title}", "", *(f"| {' | '.join(line)} |" for line in body)]))
    return "\n\n".join(parts)


def monte_carlo_error(probability: float, runs: int) -> float:
    """Standard error of a share estimated from `runs` simulations.

    >>> round(monte_carlo_error(0.05, 20_000), 5)
    0.00154
    """
    return math.sqrt(probability * (1 - probability) / runs)


def percent(share: float, digits: int = 1) -> str:
    """A share in percent without the sign, which the table's title carries.

    >>> percent(0.0512)
    '5.1'
    """
    return f"{100 * share:.{digits}f}"


def mark(passes: bool | None) -> str:
    """The last cell of a row.

    >>> mark(True), mark(False), mark(None)
    ('yes', '**no**', 'reported')
    """
    return {True: "yes", False: "**no**", None: "reported"}[passes]
