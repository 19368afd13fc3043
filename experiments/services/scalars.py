"""From the engine's arrays to the report's numbers."""

from __future__ import annotations

import math

from experiments.reports import AlwaysValid, Bounds, Estimate, Message
from experiments.stats.results import Comparison, FloatArray, IntervalResult, Reason, defined


def scalar_estimate(comparison: Comparison, *, variance_saved: FloatArray | None = None) -> Estimate:
    """One comparison as a page shows it."""
    found = comparison.at()
    return Estimate(
        effect=found.effect,
        standard_error=found.standard_error,
        effect_ci=bounds(found.effect_ci),
        p_value=found.p_value,
        lift=found.lift,
        lift_ci=bounds(found.lift_ci),
        lift_p_value=found.lift_p_value,
        df=found.df if found.df is not None and math.isfinite(found.df) else None,
        mean_control=found.control,
        mean_arm=found.treatment,
        variance_saved=None if variance_saved is None else defined(variance_saved),
        reason=message(found.reason),
        lift_reason=message(found.lift_reason),
    )


def bounds(interval: IntervalResult | None) -> Bounds | None:
    """The interval with `None` on an open side."""
    if interval is None:
        return None
    return Bounds(
        lower=interval.lower if math.isfinite(interval.lower) else None,
        upper=interval.upper if math.isfinite(interval.upper) else None,
        level=interval.level,
    )


def message(reason: Reason | None) -> Message | None:
    """The engine's reason as a message."""
    return None if reason is None else Message(reason.label)


def incremental(
    estimate: Estimate, always_valid: AlwaysValid, *, units: int, is_single_look: bool
) -> tuple[float | None, Bounds | None]:
    """What the arm's units brought beyond what control would have: effect × units, with its interval."""
    interval = estimate.effect_ci if is_single_look else always_valid.effect_ci
    if estimate.effect is None or not units:
        return None, None
    if interval is None or interval.lower is None or interval.upper is None:
        return estimate.effect * units, None
    return estimate.effect * units, Bounds(interval.lower * units, interval.upper * units, interval.level)
