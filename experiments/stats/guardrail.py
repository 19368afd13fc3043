"""Guardrails: showing that something is *not* harmed.

"Not significantly worse" is no evidence of safety. A guardrail is safe when harm beyond a margin
that was written into the plan is ruled out (non-inferiority). Metrics that the control cannot have,
such as unsubscribes from the campaign's e-mail, are ceilings on the treated arm's own rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.stats.estimates import check_alpha
from experiments.stats.results import (
    Alternative,
    BoolArray,
    FloatArray,
    Interval,
    IntervalKind,
    Reason,
    ReasonArray,
    first_reason,
)
from experiments.stats.sequential import SequentialTest, confidence_sequence

# The prior of the always-valid ceiling: Jeffreys', as wide as a proportion allows.
CEILING_PRIOR = (0.5, 0.5)


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """`p_value` of "worse by the margin or more", and the one-sided interval of the effect.

    Undefined (NaN, not held) with a code in `reasons` where there is no variance.
    """

    p_value: FloatArray
    interval: Interval
    held: BoolArray
    reasons: ReasonArray


@dataclass(frozen=True, slots=True)
class CeilingTest:
    """The treated arm's rate against a ceiling.

    `p_harmed` is small when the rate is shown to be above, `p_safe` when it is shown not to be;
    `interval` holds both one-sided bounds of the rate, each at the test's level. Without units all but
    the interval (0 to 1) is NaN, with a code in `reasons`.
    """

    rate: FloatArray
    interval: Interval
    p_harmed: FloatArray
    p_safe: FloatArray
    reasons: ReasonArray


def absolute_margin(margin: ArrayLike, control_mean: ArrayLike) -> FloatArray:
    """A relative margin on the absolute scale, taking the control's mean as known.

    On the log-ratio scale no conversion is needed: the margin there is −ln(1 − margin).

    >>> absolute_margin(0.02, [0.1, -5.0])
    array([0.002, 0.1  ])
    """
    return np.asarray(np.asarray(margin, dtype=np.float64) * np.abs(np.asarray(control_mean, dtype=np.float64)))


def non_inferiority(
    effect: ArrayLike,
    standard_error: ArrayLike,
    *,
    margin: ArrayLike,
    increase_is_good: bool = True,
    alpha: float = 0.05,
    df: ArrayLike = np.inf,
) -> NonInferiority:
    """One-sided test against "worse by `margin` or more", normal or Student's t; broadcasts.

    `margin` ≥ 0 is on the effect's scale. It is held where p ≤ alpha, which is where the one-sided
    interval excludes the margin. Raises `ValueError` for a negative margin.

    Source: Schultzberg, Ankargren & Frånberg (2024), section 2; ICH E9, 3.3.2.

    >>> told = non_inferiority(0.008, 0.004316665379665188, margin=0.002)
    >>> round(float(told.p_value), 9), bool(told.held)
    (0.010262684, True)
    """
    change, error, tolerated, freedom = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (effect, standard_error, margin, df))
    )
    check_alpha(alpha)
    if np.any(tolerated < 0):
        raise ValueError("margin must be 0 or more")
    signed = change if increase_is_good else -change
    reasons = first_reason(
        [
            (~np.isfinite(change + error + tolerated) | np.isnan(freedom), Reason.NOT_FINITE),
            (np.asarray(error <= 0, dtype=np.bool_), Reason.NO_VARIANCE),
        ],
        change.shape,
    )
    error = np.where(reasons == 0, error, np.nan)
    z = (signed + tolerated) / error
    finite = np.isfinite(freedom)
    freedom = np.where(finite, freedom, 1.0)
    p_value = np.where(finite, special.stdtr(freedom, -z), special.ndtr(-z))
    quantile = np.where(finite, -special.stdtrit(freedom, alpha), -special.ndtri(alpha))
    open_side = np.where(reasons == 0, np.inf, np.nan)
    bound = signed - quantile * error
    lower, upper = (bound, open_side) if increase_is_good else (-open_side, -bound)
    interval = Interval(lower, upper, 1 - alpha, IntervalKind.CONFIDENCE, "one-sided")
    return NonInferiority(p_value, interval, np.asarray(p_value <= alpha, dtype=np.bool_), reasons)


def sequential_non_inferiority(
    effect: ArrayLike,
    standard_error: ArrayLike,
    n_control: ArrayLike,
    n_treatment: ArrayLike,
    *,
    margin: ArrayLike,
    planned_units: ArrayLike,
    increase_is_good: bool = True,
    alpha: float = 0.05,
    refused: ArrayLike = False,
) -> SequentialTest:
    """The same at any look: the one-sided confidence sequence of the effect shifted by the margin.

    The interval is that of the *shifted* effect (effect + margin): above 0 means the margin is held.

    >>> look = sequential_non_inferiority(0.001, 0.0004, 50_000, 50_000, margin=0.001, planned_units=100_000)
    >>> bool(look.p_value < 0.05)
    True
    """
    change, tolerated = np.asarray(effect, dtype=np.float64), np.asarray(margin, dtype=np.float64)
    if np.any(tolerated < 0):
        raise ValueError("margin must be 0 or more")
    return confidence_sequence(
        (change if increase_is_good else -change) + tolerated,
        standard_error,
        n_control,
        n_treatment,
        planned_units=planned_units,
        alpha=alpha,
        alternative=Alternative.GREATER,
        refused=refused,
    )


def ceiling_test(events: ArrayLike, n_units: ArrayLike, *, ceiling: ArrayLike, alpha: float = 0.05) -> CeilingTest:
    """Exact binomial test of a rate against a ceiling, at one look.

    Source: Clopper & Pearson (1934).

    >>> told = ceiling_test(3, 2_000, ceiling=0.005)
    >>> round(float(told.p_safe), 4), told.interval.upper.round(5)
    (0.0102, np.float64(0.00387))
    """
    check_alpha(alpha)
    hits, units, limit = _counts(events, n_units, ceiling)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = hits / units
        lower = np.where(hits > 0, special.betaincinv(np.maximum(hits, 0.5), units - hits + 1, alpha), 0.0)
        upper = np.where(hits < units, special.betaincinv(hits + 1, np.maximum(units - hits, 0.5), 1 - alpha), 1.0)
        p_harmed = np.where(hits > 0, special.betainc(np.maximum(hits, 0.5), units - hits + 1, limit), 1.0)
        p_safe = np.where(hits < units, special.betaincc(hits + 1, np.maximum(units - hits, 0.5), limit), 1.0)
    return CeilingTest(
        rate=rate,
        interval=Interval(lower, upper, 1 - alpha, IntervalKind.CONFIDENCE, "clopper-pearson, each bound"),
        p_harmed=np.where(units > 0, p_harmed, np.nan),
        p_safe=np.where(units > 0, p_safe, np.nan),
        reasons=_no_units(units),
    )


def sequential_ceiling_test(
    events: ArrayLike, n_units: ArrayLike, *, ceiling: ArrayLike, alpha: float = 0.05
) -> CeilingTest:
    """The same at any look: likelihood ratio of a Beta mixture against the ceiling.

    E(p) = ∫ u^x (1 − u)^(n − x) dBeta(u) / (p^x (1 − p)^(n − x)) is a martingale under the rate p, so
    p-values 1 / E and the rates with E < 1 / alpha are valid at all looks. No floor is needed.

    Source: Robbins, "Statistical methods related to the law of the iterated logarithm" (1970);
    Howard, Ramdas, McAuliffe & Sekhon (Annals of Statistics 2021).

    >>> told = sequential_ceiling_test(60, 4_000, ceiling=0.005)
    >>> bool(told.p_harmed < 0.001), bool(told.interval.lower > 0.005)
    (True, True)
    """
    check_alpha(alpha)
    hits, units, limit = _counts(events, n_units, ceiling)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = hits / units
    log_e = _log_mixture(hits, units) - _log_likelihood(hits, units, limit)
    p_value = np.exp(-np.maximum(log_e, 0.0))
    return CeilingTest(
        rate=rate,
        interval=_mixture_interval(hits, units, alpha),
        p_harmed=np.where(units > 0, np.where(rate > limit, p_value, 1.0), np.nan),
        p_safe=np.where(units > 0, np.where(rate < limit, p_value, 1.0), np.nan),
        reasons=_no_units(units),
    )


def _mixture_interval(hits: FloatArray, units: FloatArray, alpha: float) -> Interval:
    """Rates whose E-value stays under 1 / alpha: bisection on each side of the observed rate."""
    target = _log_mixture(hits, units) + math.log(alpha)
    peak = np.divide(hits, units, out=np.full(hits.shape, 0.5), where=units > 0)
    ends = []
    for far in (0.0, 1.0):
        outside, inside = np.full(peak.shape, far), peak
        for _ in range(60):
            middle = (outside + inside) / 2
            excluded = _log_likelihood(hits, units, middle) <= target
            outside, inside = np.where(excluded, middle, outside), np.where(excluded, inside, middle)
        ends.append(outside)
    return Interval(ends[0], ends[1], 1 - alpha, IntervalKind.ALWAYS_VALID, "beta mixture")


def _log_mixture(hits: FloatArray, units: FloatArray) -> FloatArray:
    a, b = CEILING_PRIOR
    return np.asarray(special.betaln(a + hits, b + units - hits) - special.betaln(a, b), dtype=np.float64)


def _log_likelihood(hits: FloatArray, units: FloatArray, rate: FloatArray) -> FloatArray:
    return np.asarray(special.xlogy(hits, rate) + special.xlog1py(units - hits, -rate), dtype=np.float64)


def _no_units(units: FloatArray) -> ReasonArray:
    return first_reason([(np.asarray(units == 0, dtype=np.bool_), Reason.TOO_FEW_UNITS)], units.shape)


def _counts(events: ArrayLike, n_units: ArrayLike, ceiling: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    hits, units, limit = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (events, n_units, ceiling))
    )
    if not np.all((hits >= 0) & (hits <= units)):
        raise ValueError("events must lie between 0 and n_units")
    if not np.all((limit > 0) & (limit < 1)):
        raise ValueError("ceiling must be inside (0, 1)")
    return hits, units, limit
