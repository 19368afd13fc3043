"""The holdout ledger as it was stored: what everything together caused, quarter by quarter."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from experiments.models import LedgerQuarter
from experiments.reports import Bounds

LEDGER_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class QuarterReport:
    """One quarter: people as they entered, those held out as control. `None` beside a `reason` where undefined.

    `incremental` is the effect per person times the people who were not held out. `shrunk` pulls it towards nothing by
    its own noise. The single wins are what the shipped arms of experiments claim for the same quarter.
    """

    people_n: int
    held_out_n: int
    mean_rest: float | None
    mean_held_out: float | None
    effect: float | None
    effect_ci: Bounds | None
    p_value: float | None
    lift: float | None
    lift_ci: Bounds | None
    incremental: float | None
    incremental_ci: Bounds | None
    shrunk: float | None
    shrunk_ci: Bounds | None
    variance_saved: float | None
    wins_n: int
    wins: float
    wins_shrunk: float
    reason: str = ""
    schema: int = LEDGER_SCHEMA


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A quarter with its frame."""

    starts_on: date
    at: datetime
    is_closed: bool
    report: QuarterReport

    @property
    def name(self) -> str:
        """The quarter as people write it."""
        return f"{self.starts_on.year} Q{(self.starts_on.month - 1) // 3 + 1}"


@dataclass(frozen=True, slots=True)
class LedgerMetric:
    """One metric over the quarters, and their sum where they can be added."""

    key: str
    name: str
    unit: str
    rows: tuple[LedgerRow, ...]

    @property
    def total(self) -> float:
        """The incremental effects of all quarters together."""
        return sum(row.report.incremental or 0.0 for row in self.rows)

    @property
    def total_shrunk(self) -> float:
        """The same after shrinkage."""
        return sum(row.report.shrunk or 0.0 for row in self.rows)

    @property
    def total_wins(self) -> float:
        """What the single wins add up to."""
        return sum(row.report.wins for row in self.rows)

    @property
    def total_ci(self) -> Bounds | None:
        """An interval of the total: quarters are taken as independent, so that half widths add as squares."""
        known = [row.report for row in self.rows if row.report.incremental_ci is not None]
        if not known:
            return None
        squares = 0.0
        for one in known:
            bounds = one.incremental_ci
            if bounds is None or bounds.lower is None or bounds.upper is None:
                return None
            squares += ((bounds.upper - bounds.lower) / 2) ** 2
        half = squares**0.5
        return Bounds(self.total - half, self.total + half, 0.95)


def encode_quarter(report: QuarterReport) -> dict[str, Any]:
    """The JSON form."""
    return dataclasses.asdict(report)


def decode_quarter(data: Mapping[str, Any]) -> QuarterReport:
    """The report in a stored column; ValueError for a schema that no decoder reads."""
    if data.get("schema") != LEDGER_SCHEMA:
        message = f"no decoder for ledger schema {data.get('schema')!r}"
        raise ValueError(message)
    bounds = {name: None if value is None else Bounds(**value) for name, value in data.items() if name.endswith("_ci")}
    return QuarterReport(**{**data, **bounds})


def list_ledger(*, unit_type: str = "profile") -> list[LedgerMetric]:
    """Every metric of the ledger, its quarters oldest first."""
    rows = LedgerQuarter.objects.filter(unit_type=unit_type).select_related("metric")
    by_metric: dict[tuple[str, str, str], list[LedgerRow]] = {}
    for row in rows.order_by("starts_on", "pk"):
        key = (row.metric.key, row.metric.name, row.metric.unit)
        stored = LedgerRow(
            starts_on=row.starts_on, at=row.at, is_closed=row.is_closed, report=decode_quarter(row.report)
        )
        by_metric.setdefault(key, []).append(stored)
    return [LedgerMetric(*key, rows=tuple(found)) for key, found in sorted(by_metric.items())]
