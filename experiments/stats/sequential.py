"""Always-valid inference: the page may be looked at every day.

A confidence sequence covers the true effect at *all* looks together with the stated probability, so
stopping at any look is allowed. Here: the asymptotic confidence sequence of Waudby-Smith, Arbour,
Sinha, Kennedy & Ramdas (arXiv 2103.06476v7) and the mixture sequential probability ratio test
(mSPRT) of Johari, Koomen, Pekelis & Walsh (KDD 2017; Operations Research 2022).

Both need a normal estimate with a standard error, which small counts do not give: ask
`experiments.stats.floors` first and pass what it refuses. All arguments broadcast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from experiments.stats.results import (
    Alternative,
    BoolArray,
    FloatArray,
    IntArray,
    Interval,
    IntervalKind,
    Reason,
    ReasonArray,
    first_reason,
)


class Scale(StrEnum):
    """The scale of `effect`: a difference, or ln(treatment / control) whose interval is a lift's."""

    ABSOLUTE = "absolute"
    LOG_RATIO = "log_ratio"


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """One look (or many of one shape): interval and p-value valid at all looks together.

    `interval` is on the lift scale when the test was made on the log ratio. `reasons` says why a
    look is undefined or refused (codes of `Reason`).
    """

    interval: Interval
    p_value: FloatArray
    reasons: ReasonArray


@dataclass(frozen=True, slots=True)
class AccumulatedLooks:
    """What may be reported after each look, on the axis of looks.

    `interval` is the running intersection, NaN once it is empty (`drifting`: the effect is not the
    same at all looks, so no single number describes it); `p_value` the running minimum; `looks`
    the number of looks that counted.
    """

    interval: Interval
    p_value: FloatArray
    drifting: BoolArray
    looks: IntArray


def mixture_rho(alpha: float, planned_units: ArrayLike) -> FloatArray:
    """The mixture's rho that makes the interval narrowest at `planned_units` (N*).

    Source: arXiv 2103.06476v7, equation 161, in its closed-form approximation. For a one-sided
    test give 2 × alpha. Raises `ValueError` outside 0 < alpha < 1 or N* ≤ 0.

    >>> round(float(mixture_rho(0.05, 5_000)), 16)
    0.0398400667713737
    """
    units = np.asarray(planned_units, dtype=np.float64)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be inside (0, 1), got {alpha}")
    if not np.all(units > 0):
        raise ValueError("planned_units must be positive")
    doubled = -2 * math.log(alpha)
    return np.asarray(np.sqrt((doubled + math.log1p(doubled)) / units), dtype=np.float64)


def confidence_sequence(
    effect: ArrayLike,
    standard_error: ArrayLike,
    n_control: ArrayLike,
    n_treatment: ArrayLike,
    *,
    planned_units: ArrayLike,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    scale: Scale = Scale.ABSOLUTE,
    refused: ArrayLike = False,
) -> SequentialTest:
    """Asymptotic confidence sequence around an effect with a fixed-horizon standard error.

    `effect` and `standard_error` are on `scale`; `n_*` are the units so far; `planned_units` is N*,
    the planned size of both arms together, **frozen at the start of the experiment**; `refused`
    marks looks under the floor. The p-value is the smallest alpha at which the sequence (with the
    rho of the stated alpha) excludes no effect, so p < alpha exactly where the interval does.

    Source: arXiv 2103.06476v7, equations 9 and 155 (two-sided) and 134 (one-sided), rho of 161.

    >>> look = confidence_sequence(0.008, 0.004316665379665188, 10_000, 10_000, planned_units=20_000, alpha=0.1)
    >>> float(look.interval.lower), float(look.p_value)  # doctest: +ELLIPSIS
    (-0.0039309979477..., 0.614409363948...)
    """
    change, error, control, treatment, planned, refusal = np.broadcast_arrays(
        np.asarray(effect, dtype=np.float64),
        np.asarray(standard_error, dtype=np.float64),
        np.asarray(n_control, dtype=np.float64),
        np.asarray(n_treatment, dtype=np.float64),
        np.asarray(planned_units, dtype=np.float64),
        np.asarray(refused, dtype=np.bool_),
    )
    if alternative is not Alternative.TWO_SIDED and not 0 < alpha < 0.5:
        raise ValueError(f"alpha of a one-sided sequence must be inside (0, 0.5), got {alpha}")
    enough = (control > 0) & (treatment > 0) & np.isfinite(control + treatment)
    reasons = _why_undefined(change, error, enough, refusal)
    if alternative is Alternative.TWO_SIDED:
        time = (control + treatment) * mixture_rho(alpha, planned) ** 2
        radius, log_p = _two_sided(change, error, time, alpha)
    else:
        time = (control + treatment) * mixture_rho(2 * alpha, planned) ** 2
        signed = change if alternative is Alternative.GREATER else -change
        radius, log_p = _one_sided(signed, error, time, alpha)
    method = f"asymptotic confidence sequence, {scale}"
    return _assemble(change, radius, log_p, reasons, _Form(alpha, alternative, scale, method))


def width_ratio(
    n_units: ArrayLike,
    *,
    planned_units: ArrayLike,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> FloatArray:
    """The price of peeking: half width of the sequence / half width of the fixed-horizon interval.

    `n_units` and `planned_units` count both arms together.

    >>> round(float(width_ratio(5_000, planned_units=5_000)), 4)
    1.5486
    """
    from scipy import special

    two_sided = alternative is Alternative.TWO_SIDED
    tail = alpha / 2 if two_sided else alpha
    time = np.asarray(n_units, dtype=np.float64) * mixture_rho(2 * tail, planned_units) ** 2
    bound = _two_sided if two_sided else _one_sided
    radius, _ = bound(np.zeros_like(time), np.ones_like(time), time, alpha)
    return np.asarray(radius / -special.ndtri(tail), dtype=np.float64)


def msprt(
    effect: ArrayLike,
    standard_error: ArrayLike,
    *,
    prior_variance: ArrayLike,
    alpha: float = 0.05,
    scale: Scale = Scale.ABSOLUTE,
    refused: ArrayLike = False,
) -> SequentialTest:
    """Mixture SPRT with a normal prior N(0, `prior_variance`) on the effect, two-sided.

    Written with the standard error, so arms may be unequal; with V / n = standard error² it is the
    Lambda of the paper. The prior variance is frozen for the experiment.

    Source: Johari, Koomen, Pekelis & Walsh (KDD 2017), equation 10 and section 4.3.

    >>> look = msprt(0.008, (0.186336 / 10_000) ** 0.5, prior_variance=0.0001)
    >>> round(float(look.p_value), 9)
    0.593301202
    """
    change, error, prior, refusal = np.broadcast_arrays(
        np.asarray(effect, dtype=np.float64),
        np.asarray(standard_error, dtype=np.float64),
        np.asarray(prior_variance, dtype=np.float64),
        np.asarray(refused, dtype=np.bool_),
    )
    if not np.all(prior > 0):
        raise ValueError("prior_variance must be positive")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be inside (0, 1), got {alpha}")
    reasons = _why_undefined(change, error, np.ones(change.shape, dtype=np.bool_), refusal)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        time = prior / error**2
    radius, log_p = _two_sided(change, error, time, alpha)
    return _assemble(change, radius, log_p, reasons, _Form(alpha, Alternative.TWO_SIDED, scale, f"msprt, {scale}"))


def accumulate_p_values(p_values: ArrayLike, *, axis: int = 0) -> FloatArray:
    """Running minimum over looks; undefined looks (NaN) change nothing, before the first it is 1.

    >>> accumulate_p_values([np.nan, 0.4, 0.02, 0.3])
    array([1.  , 0.4 , 0.02, 0.02])
    """
    filled = np.nan_to_num(np.asarray(p_values, dtype=np.float64), nan=1.0)
    return np.asarray(np.minimum.accumulate(filled, axis=axis), dtype=np.float64)


def accumulate_looks(interval: Interval, p_value: ArrayLike, *, axis: int = 0) -> AccumulatedLooks:
    """Running intersection of the intervals and running minimum of the p-values over looks.

    The arrays hold the looks on `axis`, oldest first, exactly as they were stored. Undefined or
    refused looks (NaN) count for nothing. An empty intersection stays empty.

    >>> looks = Interval(np.array([-1.0, np.nan, 0.2]), np.array([1.0, np.nan, 1.4]), 0.95)
    >>> told = accumulate_looks(looks, [1.0, np.nan, 0.01])
    >>> told.interval.lower, told.interval.upper, told.looks
    (array([-1. , -1. ,  0.2]), array([1., 1., 1.]), array([1, 1, 2]))
    """
    used = ~(np.isnan(interval.lower) | np.isnan(interval.upper))
    lower = np.maximum.accumulate(np.where(used, interval.lower, -np.inf), axis=axis)
    upper = np.minimum.accumulate(np.where(used, interval.upper, np.inf), axis=axis)
    drifting = np.asarray(lower > upper, dtype=np.bool_)
    looks = np.cumsum(used, axis=axis)
    gone = drifting | (looks == 0)
    return AccumulatedLooks(
        interval=Interval(
            lower=np.where(gone, np.nan, lower),
            upper=np.where(gone, np.nan, upper),
            level=interval.level,
            kind=interval.kind,
            method=f"running intersection of {interval.method}",
        ),
        p_value=accumulate_p_values(p_value, axis=axis),
        drifting=drifting,
        looks=np.asarray(looks, dtype=np.int64),
    )


@dataclass(frozen=True, slots=True)
class _Form:
    alpha: float
    alternative: Alternative
    scale: Scale
    method: str


def _two_sided(change: FloatArray, error: FloatArray, time: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Half width and ln p; `time` is N rho² (or prior variance / standard error²)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shrink = time / (time + 1)
        log_root = np.log1p(time) / 2
        radius = error * np.sqrt(2 / shrink * (log_root - math.log(alpha)))
        log_p = log_root - shrink * (change / error) ** 2 / 2
    return radius, log_p


def _one_sided(change: FloatArray, error: FloatArray, time: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    """As `_two_sided`, against "greater"; an effect of 0 or less gives ln p = 0 or more."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shrink = time / (time + 1)
        log_root = np.log1p(time) / 2
        radius = error * np.sqrt(2 / shrink * np.log1p(np.exp(log_root) / (2 * alpha)))
        exponent = shrink * (change / error) ** 2 / 2
        log_p = log_root - math.log(2) - exponent - np.log(-np.expm1(-exponent))
    return radius, np.where(change > 0, log_p, 0.0)


def _why_undefined(change: FloatArray, error: FloatArray, enough: BoolArray, refused: BoolArray) -> ReasonArray:
    return first_reason(
        [
            (np.asarray(~enough, dtype=np.bool_), Reason.TOO_FEW_UNITS),
            (refused, Reason.TOO_FEW_EVENTS),
            (np.asarray(error <= 0, dtype=np.bool_), Reason.NO_VARIANCE),
            (np.asarray(~(np.isfinite(change) & np.isfinite(error)), dtype=np.bool_), Reason.NOT_FINITE),
        ],
        change.shape,
    )


def _assemble(
    change: FloatArray, radius: FloatArray, log_p: FloatArray, reasons: ReasonArray, form: _Form
) -> SequentialTest:
    undefined = reasons != 0
    lower = np.where(undefined, np.nan, change - radius if form.alternative is not Alternative.LESS else -np.inf)
    upper = np.where(undefined, np.nan, change + radius if form.alternative is not Alternative.GREATER else np.inf)
    if form.scale is Scale.LOG_RATIO:
        with np.errstate(over="ignore"):
            lower, upper = np.expm1(lower), np.expm1(upper)
    p_value = np.exp(np.minimum(log_p, 0.0))
    return SequentialTest(
        interval=Interval(lower, upper, 1 - form.alpha, IntervalKind.ALWAYS_VALID, form.method),
        p_value=np.where(undefined, np.nan, p_value),
        reasons=reasons,
    )
