"""A report as flat tables, for spreadsheets, notebooks and other programs: results, totals of the arms, the path."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final, Literal

from experiments.reports import Bounds, ExperimentReport

Kind = Literal["text", "integer", "number"]
Cell = str | int | float | None

# A spreadsheet runs a cell that starts with one of these as a formula.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")

_WHICH: Final[dict[str, Kind]] = {"metric": "text", "name": "text", "role": "text", "arm": "text"}
RESULTS: Final[dict[str, Kind]] = {
    **_WHICH,
    "control": "text",
    "n_control": "integer",
    "n_arm": "integer",
    **dict.fromkeys(
        (
            "mean_control", "mean_arm", "effect", "effect_lower", "effect_upper", "p_value",
            "lift", "lift_lower", "lift_upper", "lift_p_value", "adjusted_effect", "adjusted_lift", "variance_saved",
            "any_day_lift_lower", "any_day_lift_upper", "any_day_p_value",
        ),
        "number",
    ),
}  # fmt: skip
AGGREGATES: Final[dict[str, Kind]] = {
    **_WHICH,
    "exposed_n": "integer",
    "mature_n": "integer",
    "value": "number",
    "total": "number",
    "nonzero_n": "integer",
    "total_so_far": "number",
    "nonzero_so_far_n": "integer",
}
SERIES: Final[dict[str, Kind]] = {
    **_WHICH,
    "day": "text",
    "n_control": "integer",
    "n_arm": "integer",
    "lift": "number",
    "lift_lower": "number",
    "lift_upper": "number",
}


@dataclass(frozen=True, slots=True)
class Table:
    """Named and typed columns, and rows in their order."""

    columns: Mapping[str, Kind]
    rows: tuple[tuple[Cell, ...], ...]

    def records(self) -> list[dict[str, Any]]:
        """Each row by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def table_of(report: ExperimentReport, name: str) -> Table:
    """One of `TABLES`."""
    columns, rows = TABLES[name]
    return Table(columns, tuple(rows(report)))


def to_csv(table: Table) -> str:
    """CSV in which no cell can be taken for a formula."""
    stream = StringIO()
    writer = csv.writer(stream)
    writer.writerow(table.columns)
    writer.writerows([_safe(cell) for cell in row] for row in table.rows)
    return stream.getvalue()


def _safe(cell: Cell) -> Cell:
    """The cell, with an apostrophe before a text that a spreadsheet would run."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def _results(report: ExperimentReport) -> Iterator[tuple[Cell, ...]]:
    for metric in report.metrics:
        for comparison in metric.comparisons:
            raw, adjusted, always = comparison.raw, comparison.adjusted, comparison.always_valid
            yield (
                metric.key,
                metric.name,
                metric.role,
                comparison.arm,
                comparison.control,
                comparison.n_control,
                comparison.n_arm,
                raw.mean_control,
                raw.mean_arm,
                raw.effect,
                *_pair(raw.effect_ci),
                raw.p_value,
                raw.lift,
                *_pair(raw.lift_ci),
                raw.lift_p_value,
                adjusted.effect if adjusted else None,
                adjusted.lift if adjusted else None,
                adjusted.variance_saved if adjusted else None,
                *_pair(always.lift_ci),
                always.p_value,
            )


def _aggregates(report: ExperimentReport) -> Iterator[tuple[Cell, ...]]:
    for metric in report.metrics:
        for arm in metric.arms:
            yield (
                metric.key,
                metric.name,
                metric.role,
                arm.arm,
                arm.exposed_n,
                arm.mature_n,
                arm.value,
                arm.total,
                arm.nonzero_n,
                arm.total_so_far,
                arm.nonzero_so_far_n,
            )


def _series(report: ExperimentReport) -> Iterator[tuple[Cell, ...]]:
    for metric in report.metrics:
        for comparison in metric.comparisons:
            for point in comparison.series:
                yield (
                    metric.key,
                    metric.name,
                    metric.role,
                    comparison.arm,
                    point.day,
                    point.n_control,
                    point.n_arm,
                    point.lift,
                    point.lower,
                    point.upper,
                )


def _pair(bounds: Bounds | None) -> tuple[float | None, float | None]:
    return (None, None) if bounds is None else (bounds.lower, bounds.upper)


TABLES: Final[dict[str, tuple[Mapping[str, Kind], Callable[[ExperimentReport], Iterator[tuple[Cell, ...]]]]]] = {
    "results": (RESULTS, _results),
    "aggregates": (AGGREGATES, _aggregates),
    "series": (SERIES, _series),
}
