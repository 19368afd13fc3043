"""Trust checks beside the sample ratio: are these the results of the experiment that was designed?

Only the overall sequential SRM blocks a verdict (`experiments.stats.srm`). What is here are
diagnostics: they say where to look. Twenty segments × 28 days, each tested at 0.001, would flag 43 %
of healthy experiments, hence the false-discovery control.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.stats.multiplicity import AdjustedFamily, Adjustment, adjust
from experiments.stats.results import BoolArray, FloatArray
from experiments.stats.srm import srm_test

# Share of flagged slices that may be false.
DIAGNOSTIC_Q = 0.05
# Share of units seen in two arms above which identity or assignment is broken; under it, shared
# devices and cleared cookies explain it.
MULTIPLE_EXPOSURE_RATE = 0.01
# Past lifts needed before a new one can be called unusual.
FEWEST_PAST_LIFTS = 10
# Robust standard deviations from the usual at which Twyman's law applies.
TWYMAN_DEVIATIONS = 5.0
# Factor from the median absolute deviation to the sd of a normal law.
MAD_TO_SD = 1.4826022185056018


class Trend(StrEnum):
    """How the effect moves with days since first exposure."""

    STEADY = "steady"
    FADING = "fading"
    GROWING = "growing"


@dataclass(frozen=True, slots=True)
class SliceDiagnostics:
    """Sample-ratio p-values by slice (flattened) and which are flagged under Benjamini–Hochberg."""

    p_values: FloatArray
    family: AdjustedFamily | None
    flagged: BoolArray


@dataclass(frozen=True, slots=True)
class MultipleExposure:
    """Units seen in two arms: their share, and whether every arm has its part of them.

    `p_value` is that of a chi-square of the arms' counts against their exposed units (`None` without
    any such unit). `is_frequent` marks a share above `MULTIPLE_EXPOSURE_RATE`.
    """

    rate: float
    rates: FloatArray
    p_value: float | None
    is_frequent: bool


@dataclass(frozen=True, slots=True)
class NoveltyTest:
    """Slope of the effect per day since exposure, with its normal test."""

    slope: float
    standard_error: float
    p_value: float
    trend: Trend


@dataclass(frozen=True, slots=True)
class TwymanFlag:
    """How unusual a lift is beside past ones; `None` with too few of them or without a lift.

    "Any figure that looks interesting or different is usually wrong."
    """

    deviations: float | None
    is_flagged: bool
    past: int


def srm_diagnostics(counts: ArrayLike, weights: ArrayLike, *, q: float = DIAGNOSTIC_Q) -> SliceDiagnostics:
    """Sample ratio by slice (segment, day, experiment), flagged under Benjamini–Hochberg.

    `counts` (…, arms); slices without units are left out.

    Source: Fabijan et al. (KDD 2019), section 5; Benjamini & Hochberg (1995).

    >>> srm_diagnostics([[500, 510], [480, 520], [700, 300]], [1, 1]).flagged
    array([False, False,  True])
    """
    p_values = srm_test(counts, weights).p_value
    return fleet_diagnostics(p_values, q=q)


def fleet_diagnostics(p_values: ArrayLike, *, q: float = DIAGNOSTIC_Q) -> SliceDiagnostics:
    """The same over p-values made elsewhere: one per experiment of the fleet, for instance.

    >>> fleet_diagnostics([0.2, 1e-6, 0.8, float("nan")]).flagged
    array([False,  True, False, False])
    """
    given = np.atleast_1d(np.asarray(p_values, dtype=np.float64))
    known = ~np.isnan(given)
    flagged = np.zeros(given.shape, dtype=np.bool_)
    if not known.any():
        return SliceDiagnostics(given, None, flagged)
    family = adjust(given[known], method=Adjustment.BENJAMINI_HOCHBERG, alpha=q)
    flagged[known] = family.rejected
    return SliceDiagnostics(given, family, flagged)


def multiple_exposure(exposed: ArrayLike, multiple: ArrayLike) -> MultipleExposure:
    """Units seen in two arms, by the arm of their first exposure.

    They are left out of the analysis, which is harmless only if they are rare and every arm loses
    the same share.

    >>> told = multiple_exposure([10_000, 10_000], [12, 50])
    >>> round(told.rate, 4), told.p_value < 0.001
    (0.0031, True)
    """
    units, twice = np.asarray(exposed, dtype=np.float64), np.asarray(multiple, dtype=np.float64)
    if units.ndim != 1 or units.shape != twice.shape or not np.all((twice >= 0) & (twice <= units)):
        raise ValueError("exposed and multiple must be vectors of one length with multiple ≤ exposed")
    total, found = float(units.sum()), float(twice.sum())
    rates = np.divide(twice, units, out=np.zeros_like(units), where=units > 0)
    if found == 0:
        return MultipleExposure(0.0, rates, None, is_frequent=False)
    rate = found / total
    # Two-way table of arm × (once, twice): each arm adds (o − e)² / e of both columns.
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = units * rate
        terms = (twice - expected) ** 2 * (1 / expected + 1 / (units - expected))
    filled = (units > 0) & np.isfinite(terms)
    statistic, df = float(terms[filled].sum()), max(int((units > 0).sum()) - 1, 1)
    return MultipleExposure(
        rate, rates, float(special.chdtrc(df, statistic)), is_frequent=rate > MULTIPLE_EXPOSURE_RATE
    )


def novelty_test(
    effects: ArrayLike,
    standard_errors: ArrayLike,
    days: ArrayLike,
    *,
    covariance: ArrayLike | None = None,
    alpha: float = 0.05,
) -> NoveltyTest:
    """Does the effect change with days since first exposure? Generalized least squares on the days.

    The same units make several days' effects, which correlate; give their `covariance` (k × k) if it
    is known. Without it days are taken as independent, and a trend is then a hint, not a proof.

    Raises `ValueError` for fewer than three days, equal days or impossible errors.
    Source: Kohavi, Tang & Xu (2020), chapter 3, "novelty and primacy"; Aitken (1935).

    >>> novelty_test([0.09, 0.07, 0.05, 0.03, 0.01], [0.01] * 5, range(5)).trend.value
    'fading'
    """
    y, error, x = (np.asarray(value, dtype=np.float64) for value in (effects, standard_errors, days))
    if y.ndim != 1 or y.size < 3 or y.shape != x.shape or np.ptp(x) == 0 or not np.isfinite(y + x).all():
        raise ValueError("novelty needs finite effects of three or more different days")
    sigma = np.diag(error**2) if covariance is None else np.asarray(covariance, dtype=np.float64)
    if sigma.shape != (y.size, y.size) or not np.all(np.isfinite(sigma)) or np.any(np.diag(sigma) <= 0):
        raise ValueError("standard errors must be positive and the covariance k × k")
    design = np.column_stack([np.ones_like(x), x])
    weighted = np.linalg.solve(sigma, design)
    precision = design.T @ weighted
    level, slope = np.linalg.solve(precision, weighted.T @ y)
    slope_error = math.sqrt(float(np.linalg.inv(precision)[1, 1]))
    p_value = float(2 * special.ndtr(-abs(slope) / slope_error))
    return NoveltyTest(float(slope), slope_error, p_value, _trend(float(level), float(slope), x, p_value <= alpha))


def twyman_flag(lift: float, past_lifts: ArrayLike) -> TwymanFlag:
    """Is this lift too good (or bad) to be true, beside the lifts of past experiments?

    Robust z: distance from the median in scaled median absolute deviations.

    >>> past = [0.01, -0.02, 0.03, 0.0, 0.02, -0.01, 0.015, 0.005, -0.005, 0.01]
    >>> twyman_flag(0.9, past).is_flagged, twyman_flag(0.03, past).is_flagged
    (True, False)
    """
    past = np.asarray(past_lifts, dtype=np.float64)
    past = past[np.isfinite(past)]
    if past.size < FEWEST_PAST_LIFTS or math.isnan(lift):
        return TwymanFlag(None, is_flagged=False, past=int(past.size))
    middle = float(np.median(past))
    spread = MAD_TO_SD * float(np.median(np.abs(past - middle)))
    if spread == 0:
        return TwymanFlag(None, is_flagged=lift != middle, past=int(past.size))
    deviations = abs(lift - middle) / spread
    return TwymanFlag(deviations, is_flagged=deviations > TWYMAN_DEVIATIONS, past=int(past.size))


def _trend(level: float, slope: float, days: FloatArray, is_significant: bool) -> Trend:
    """Fading: the effect's size shrinks from the first day to the last."""
    if not is_significant:
        return Trend.STEADY
    first, last = level + slope * float(days.min()), level + slope * float(days.max())
    return Trend.FADING if abs(last) < abs(first) else Trend.GROWING
