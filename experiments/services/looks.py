"""Looks: always-valid inference at the end of each day, stored as seen, reported accumulated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from experiments.reports import AlwaysValid, Bounds, Message, SeriesPoint
from experiments.services.analysis_plan import DecidingScale
from experiments.services.estimation import SHARES, Cells, compare_adjusted_arms, compare_arms
from experiments.stats.floors import FloorKind, check_floor
from experiments.stats.results import Comparison, FloatArray, Interval, IntervalKind, Reason, reason_at
from experiments.stats.sequential import Scale, SequentialTest, accumulate_looks, confidence_sequence

TOO_FEW: Final = Reason.TOO_FEW_EVENTS.label


@dataclass(frozen=True, slots=True)
class LookValues:
    """What one look saw; `p_value` is on the deciding scale, `refusal` says why there is none."""

    metric_key: str
    arm: str
    day: date
    n_control: int
    n_arm: int
    effect: float | None
    effect_lower: float | None
    effect_upper: float | None
    lift: float | None
    lift_lower: float | None
    lift_upper: float | None
    p_value: float | None
    refusal: str


@dataclass(frozen=True, slots=True)
class LookPlan:
    """What is frozen for all looks at one comparison."""

    alpha: float
    planned_units: float | None
    scale: DecidingScale
    minimum_sample: int = 0


@dataclass(frozen=True, slots=True)
class Events:
    """Non-zero units in the smaller arm and how many a look needs; the same of all units, if a metric asks for it."""

    found: int
    needed: int
    units: int
    units_needed: int


def take_looks(
    *,
    cells: Cells,
    control: int,
    arm: int,
    plan: LookPlan,
    days: Sequence[date],
    names: tuple[str, str],
    adjusted: bool,
) -> list[LookValues]:
    """One look for each ended day on which more windows had closed than the day before.

    `names` are the keys of metric and arm. Days without new closed windows would repeat a look.
    """
    if not days or plan.planned_units is None:
        return []
    through = cells.cumulative()
    counts = through.aggregates.count.sum(axis=0)
    n_control, n_arm = counts[control], counts[arm]
    both = n_control + n_arm
    is_new = np.diff(both, prepend=0.0) > 0
    if adjusted:
        comparison = compare_adjusted_arms(through, control=control, arm=arm, alpha=plan.alpha).comparison
    else:
        comparison = compare_arms(through, control=control, arm=arm, alpha=plan.alpha)
    absolute, relative = _sequences(
        through, comparison, control=control, arm=arm, plan=plan, planned_units=plan.planned_units
    )
    deciding = relative if plan.scale == "relative" else absolute
    return [
        LookValues(
            metric_key=names[0],
            arm=names[1],
            day=day,
            n_control=int(n_control[index]),
            n_arm=int(n_arm[index]),
            effect=_number(comparison.effect[index]),
            effect_lower=_number(absolute.interval.lower[index]),
            effect_upper=_number(absolute.interval.upper[index]),
            lift=_number(comparison.lift[index]),
            lift_lower=_number(relative.interval.lower[index]),
            lift_upper=_number(relative.interval.upper[index]),
            p_value=_number(deciding.p_value[index]),
            refusal=_refusal(deciding, comparison, plan.scale, index),
        )
        for index, day in enumerate(days)
        if is_new[index]
    ]


def _sequences(
    cells: Cells, comparison: Comparison, *, control: int, arm: int, plan: LookPlan, planned_units: float
) -> tuple[SequentialTest, SequentialTest]:
    """The confidence sequences of difference and ratio, refused under their floors."""
    counts, events = cells.aggregates.count.sum(axis=0), _events(cells)
    n_control, n_arm = counts[control], counts[arm]
    is_small = np.minimum(n_control, n_arm) < plan.minimum_sample
    tests = []
    for scale, effect, error in (
        (Scale.ABSOLUTE, comparison.effect, comparison.standard_error),
        (Scale.LOG_RATIO, comparison.log_ratio, comparison.log_ratio_standard_error),
    ):
        floor = check_floor(floor_kind(cells.kind), events[control], events[arm], n_control, n_arm, scale=scale)
        tests.append(
            confidence_sequence(
                effect,
                error,
                n_control,
                n_arm,
                planned_units=planned_units,
                alpha=plan.alpha,
                scale=scale,
                refused=floor.refused | is_small,
            )
        )
    return tests[0], tests[1]


def floor_kind(kind: str) -> FloorKind:
    """What counts as an event for the floors."""
    return FloorKind.PROPORTION if kind in SHARES else FloorKind.MEAN


def _events(cells: Cells) -> FloatArray:
    """Units with a number other than 0, by arm; of a quantile each unit tells something, a zero too."""
    counted = cells.aggregates.count if cells.kind == "quantile" else cells.nonzero
    return np.asarray(counted.sum(axis=0), dtype=np.float64)


def events_needed(cells: Cells, *, control: int, arm: int, plan: LookPlan) -> Events:
    """How far the smaller arm is from the floor, over all closed windows."""
    counts, events = cells.aggregates.count.sum(axis=0), _events(cells)
    scale = Scale.LOG_RATIO if plan.scale == "relative" else Scale.ABSOLUTE
    check = check_floor(floor_kind(cells.kind), events[control], events[arm], counts[control], counts[arm], scale=scale)
    return Events(
        found=int(check.events),
        needed=math.ceil(float(check.needed)),
        units=int(min(counts[control], counts[arm])),
        units_needed=plan.minimum_sample,
    )


def report_looks(
    looks: Sequence[LookValues], *, plan: LookPlan, events: Events
) -> tuple[AlwaysValid, tuple[SeriesPoint, ...]]:
    """Running minimum and running intersection over the looks as they were stored."""
    ordered = sorted(looks, key=lambda look: look.day)
    if not ordered:
        return _no_looks(Message("no_window_closed" if plan.planned_units else "no_planned_size")), ()
    p_values = _array([look.p_value for look in ordered])
    level = 1 - plan.alpha
    absolute = accumulate_looks(_interval(ordered, "effect", level), p_values)
    relative = accumulate_looks(_interval(ordered, "lift", level), p_values)
    used = [look for look in ordered if not look.refusal]
    deciding = relative if plan.scale == "relative" else absolute
    reason = None
    if not used:
        reason = _why_refused(ordered[-1], events)
    elif bool(deciding.drifting[-1]):
        reason = Message("effect_is_drifting", level="warning")
    always = AlwaysValid(
        p_value=float(deciding.p_value[-1]) if used else None,
        effect_ci=_bounds(absolute.interval, -1),
        lift_ci=_bounds(relative.interval, -1),
        looks_n=len(used),
        refused_n=len(ordered) - len(used),
        reason=reason,
    )
    series = tuple(
        SeriesPoint(
            day=look.day.isoformat(),
            n_control=look.n_control,
            n_arm=look.n_arm,
            lift=look.lift,
            lower=_number(relative.interval.lower[index]),
            upper=_number(relative.interval.upper[index]),
        )
        for index, look in enumerate(ordered)
    )
    return always, series


def _no_looks(reason: Message) -> AlwaysValid:
    return AlwaysValid(p_value=None, effect_ci=None, lift_ci=None, looks_n=0, refused_n=0, reason=reason)


def single_look() -> AlwaysValid:
    """A finished experiment from a file has one look, so nothing to guard against peeking."""
    return _no_looks(Message("single_look"))


def _why_refused(look: LookValues, events: Events) -> Message:
    if look.refusal == TOO_FEW and events.units < events.units_needed:
        return Message("too_small_sample", {"found": events.units, "needed": events.units_needed})
    if look.refusal == TOO_FEW:
        return Message("too_few_events", {"found": events.found, "needed": events.needed})
    return Message(look.refusal)


def _refusal(deciding: SequentialTest, comparison: Comparison, scale: DecidingScale, index: int) -> str:
    """Why a look gives no inference: the most telling reason first."""
    if not math.isnan(deciding.p_value[index]):
        return ""
    found = reason_at(deciding.reasons, index)
    if found is Reason.TOO_FEW_EVENTS:
        return TOO_FEW
    told = reason_at(comparison.lift_reasons if scale == "relative" else comparison.reasons, index)
    return (told or found or Reason.NOT_FINITE).label


def _interval(looks: Sequence[LookValues], name: str, level: float) -> Interval:
    lower = _array([getattr(look, f"{name}_lower") for look in looks])
    upper = _array([getattr(look, f"{name}_upper") for look in looks])
    return Interval(lower, upper, level, IntervalKind.ALWAYS_VALID, "asymptotic confidence sequence")


def _bounds(interval: Interval, index: int) -> Bounds | None:
    lower, upper = _number(interval.lower[index]), _number(interval.upper[index])
    if lower is None or upper is None:
        return None
    return Bounds(lower=lower, upper=upper, level=interval.level)


def _array(values: Sequence[float | None]) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _number(value: float) -> float | None:
    """A JSON number, or `None` for what JSON cannot hold."""
    number = float(value)
    return number if math.isfinite(number) else None
