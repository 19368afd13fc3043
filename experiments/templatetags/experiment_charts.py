"""Charts as server-rendered SVG: this module places, the templates draw. No number is made here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from django import template

from experiments.reports import Bounds, ComparisonReport, ExperimentReport, MetricReport, SeriesPoint
from experiments.selectors.ledger import LedgerMetric
from experiments.templatetags.experiment_numbers import signed_percent

register = template.Library()

MARGIN: Final = 12
AXIS_HEIGHT: Final = 28
SERIES_HEIGHT: Final = 240
SERIES_LEFT: Final = 58
# Half the height of a row's piece of grid: grid lines end before the labels begin.
ROW_GRID: Final = 15
TICKS: Final = 5
# The band of the first days is many times wider than the rest and would flatten the picture.
BAND_FACTOR: Final = 4.0
SMALLEST_RANGE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Layout:
    """One drawing: on a phone the labels stand above the rows, on a wide page beside them."""

    name: str
    width: int
    row_height: int
    plot_start: int
    label_rise: int
    value_room: int

    @property
    def plot_end(self) -> int:
        """Where the plot ends and the column of values begins."""
        return self.width - MARGIN - self.value_room


PHONE: Final = Layout("phone", width=360, row_height=52, plot_start=MARGIN, label_rise=16, value_room=0)
WIDE: Final = Layout("wide", width=760, row_height=40, plot_start=270, label_rise=0, value_room=80)


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis."""

    place: float
    label: str
    is_zero: bool


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One comparison: label, point and intervals in pixels."""

    label: str
    arm: str
    text: str
    y_label: int
    y: int
    y_top: int
    y_bottom: int
    x: float | None
    x_lower: float | None
    x_upper: float | None
    x_truth: float | None
    tone: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values to pixels, clamped to the drawing."""

    lower: float
    upper: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.lower) / (self.upper - self.lower)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 2)

    def ticks(self) -> list[Tick]:
        """Round values inside the range, zero among them."""
        step = _round_step((self.upper - self.lower) / TICKS)
        first = math.ceil(self.lower / step)
        values = [index * step for index in range(first, math.floor(self.upper / step) + 1)]
        places = 0 if step >= 0.01 else 1
        return [Tick(self(value), signed_percent(value, places), abs(value) < step / 2) for value in values]


def interval_of(comparison: ComparisonReport, report: ExperimentReport) -> Bounds | None:
    """The interval that pages show: always valid, or that of the only look."""
    return comparison.deciding.lift_ci if report.is_single_look else comparison.always_valid.lift_ci


@register.inclusion_tag("experiments/results/_forest.html")
def forest_plot(report: ExperimentReport) -> dict[str, Any]:
    """Lift with its interval for every metric and arm, drawn for a wide page and for a phone."""
    pairs = [(metric, comparison) for metric in report.metrics for comparison in metric.comparisons]
    values: list[float | None] = []
    for _metric, comparison in pairs:
        bounds = interval_of(comparison, report)
        values += [comparison.deciding.lift, comparison.true_lift]
        values += [bounds.lower, bounds.upper] if bounds else []
    return {
        "report": report,
        "drawings": [_forest(pairs, report, layout, _range(values)) for layout in (WIDE, PHONE)] if pairs else [],
        "has_truth": any(comparison.true_lift is not None for _metric, comparison in pairs),
    }


def _forest(
    pairs: Sequence[tuple[MetricReport, ComparisonReport]],
    report: ExperimentReport,
    layout: Layout,
    limits: tuple[float, float],
) -> dict[str, Any]:
    scale = Scale(*limits, layout.plot_start, layout.plot_end)
    bottom = len(pairs) * layout.row_height
    return {
        "layout": layout,
        "rows": [
            _forest_row(metric, comparison, report, scale=scale, y=index * layout.row_height, layout=layout)
            for index, (metric, comparison) in enumerate(pairs)
        ],
        "ticks": scale.ticks(),
        "height": bottom + AXIS_HEIGHT,
        "axis": bottom,
        "axis_text": bottom + 18,
        "value_x": layout.width - 4,
    }


def _forest_row(
    metric: MetricReport,
    comparison: ComparisonReport,
    report: ExperimentReport,
    *,
    scale: Scale,
    y: int,
    layout: Layout,
) -> ForestRow:
    bounds = interval_of(comparison, report)
    lift = comparison.deciding.lift
    middle = y + layout.row_height // 2 + layout.label_rise // 2 + 2
    return ForestRow(
        label=metric.name,
        arm=next(arm.name for arm in report.arms if arm.key == comparison.arm),
        text=signed_percent(lift),
        y_label=y + layout.label_rise if layout.label_rise else middle + 4,
        y=middle,
        y_top=middle - ROW_GRID,
        y_bottom=middle + ROW_GRID,
        x=_place(scale, lift),
        x_lower=_place(scale, bounds.lower if bounds else None),
        x_upper=_place(scale, bounds.upper if bounds else None),
        x_truth=_place(scale, comparison.true_lift),
        tone=_tone(bounds, metric.direction),
    )


@register.inclusion_tag("experiments/_quarter_chart.html")
def quarter_chart(metric: LedgerMetric) -> dict[str, Any]:
    """The lift of everything by quarter with its interval."""
    values: list[float | None] = []
    for row in metric.rows:
        bounds = row.report.lift_ci
        values += [row.report.lift, bounds.lower if bounds else None, bounds.upper if bounds else None]
    limits = _range(values)
    return {"metric": metric, "drawings": [_quarters(metric, layout, limits) for layout in (WIDE, PHONE)]}


def _quarters(metric: LedgerMetric, layout: Layout, limits: tuple[float, float]) -> dict[str, Any]:
    scale = Scale(*limits, layout.plot_start, layout.plot_end)
    bottom = len(metric.rows) * layout.row_height
    rows = []
    for index, row in enumerate(metric.rows):
        bounds, top = row.report.lift_ci, index * layout.row_height
        middle = top + layout.row_height // 2 + layout.label_rise // 2 + 2
        rows.append(
            ForestRow(
                label=row.name,
                arm="",
                text=signed_percent(row.report.lift),
                y_label=top + layout.label_rise if layout.label_rise else middle + 4,
                y=middle,
                y_top=middle - ROW_GRID,
                y_bottom=middle + ROW_GRID,
                x=_place(scale, row.report.lift),
                x_lower=_place(scale, bounds.lower if bounds else None),
                x_upper=_place(scale, bounds.upper if bounds else None),
                x_truth=None,
                tone=_tone(bounds, "up"),
            )
        )
    return {
        "layout": layout,
        "rows": rows,
        "ticks": scale.ticks(),
        "height": bottom + AXIS_HEIGHT,
        "axis": bottom,
        "axis_text": bottom + 18,
    }


@register.inclusion_tag("experiments/results/_series.html")
def lift_series(report: ExperimentReport, metric: MetricReport, comparison: ComparisonReport) -> dict[str, Any]:
    """Lift at the end of each day with the band that may be read on any day."""
    points = [point for point in comparison.series if point.lift is not None]
    return {
        "report": report,
        "metric": metric,
        "comparison": comparison,
        "arm": next(arm for arm in report.arms if arm.key == comparison.arm),
        "points": points,
        "drawings": [_series(points, comparison, layout) for layout in (WIDE, PHONE)] if points else [],
    }


def _series(points: Sequence[SeriesPoint], comparison: ComparisonReport, layout: Layout) -> dict[str, Any]:
    y = Scale(*_series_range(points, comparison), SERIES_HEIGHT - AXIS_HEIGHT, MARGIN)
    right = layout.width - MARGIN
    x = _time_scale(points, right=right)
    places = [(x(date.fromisoformat(point.day).toordinal()), point) for point in points]
    return {
        "layout": layout,
        "line": " ".join(f"{place},{y(point.lift or 0.0)}" for place, point in places),
        "bands": _bands(places, y),
        "last": (places[-1][0], y(points[-1].lift or 0.0)),
        "truth": _place(y, comparison.true_lift),
        "ticks": y.ticks(),
        "days": [(places[0][0], "start", points[0].day), (places[-1][0], "end", points[-1].day)][: len(points)],
        "height": SERIES_HEIGHT,
        "left": SERIES_LEFT,
        "right": right,
        "axis_text": SERIES_HEIGHT - 8,
    }


def _time_scale(points: Sequence[SeriesPoint], *, right: int) -> Scale:
    days = [date.fromisoformat(point.day).toordinal() for point in points]
    return Scale(min(days), max(*days, min(days) + 1), SERIES_LEFT, right)


def _bands(places: Sequence[tuple[float, SeriesPoint]], y: Scale) -> list[str]:
    """Polygons of consecutive days that have an interval."""
    bands: list[str] = []
    run: list[tuple[float, float, float]] = []
    for place, point in [*places, (0.0, None)]:
        if point is not None and point.lower is not None and point.upper is not None:
            run.append((place, y(point.lower), y(point.upper)))
            continue
        if run:
            there = [f"{x},{upper}" for x, _lower, upper in run]
            back = [f"{x},{lower}" for x, lower, _upper in reversed(run)]
            bands.append(" ".join([*there, *back]))
        run = []
    return bands


def _series_range(points: Sequence[SeriesPoint], comparison: ComparisonReport) -> tuple[float, float]:
    """The last interval decides the range; earlier, wider ones are cut off."""
    bounds = comparison.always_valid.lift_ci
    lifts = [point.lift for point in points]
    if bounds is None or bounds.lower is None or bounds.upper is None:
        return _range([*lifts, comparison.true_lift])
    middle, half = (bounds.lower + bounds.upper) / 2, (bounds.upper - bounds.lower) / 2
    window = [middle - BAND_FACTOR / 2 * half, middle + BAND_FACTOR / 2 * half]
    return _range([*window, lifts[-1] if lifts else None, comparison.true_lift])


def _range(values: Iterable[float | None]) -> tuple[float, float]:
    """From the smallest to the largest value, zero included, with some air."""
    known = [0.0, *(value for value in values if value is not None and math.isfinite(value))]
    lower, upper = min(known), max(known)
    air = max((upper - lower) * 0.06, SMALLEST_RANGE / 2)
    return lower - air, upper + air


def _round_step(raw: float) -> float:
    """The next of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))


def _place(scale: Scale, value: float | None) -> float | None:
    return None if value is None else scale(value)


def _tone(bounds: Bounds | None, direction: str) -> str:
    """Whether the interval excludes no effect, and on which side."""
    if bounds is None or bounds.lower is None or bounds.upper is None or bounds.lower <= 0 <= bounds.upper:
        return ""
    is_up = bounds.lower > 0
    return "is-good" if is_up == (direction == "up") else "is-bad"
