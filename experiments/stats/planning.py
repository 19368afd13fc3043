"""How long will it take? Unique units over time, duration, and what a running experiment still needs.

Unique units do not grow in proportion to time: the second week brings back many of the first. The
curve of distinct units over days is taken from history and continued by Heaps' law, U(t) ∝ t^b with
b between 0 and 1 fitted to the last third of the history.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from experiments.stats.power import Design, PlanProblem, chance_beyond, power_of
from experiments.stats.results import Alternative, FloatArray

# Days of history under which no curve is fitted: less than a week has no weekend.
SHORTEST_HISTORY = 7
# No plan waits longer than two years; beyond, the answer is "never".
LONGEST_DURATION = 730
# Days in the rhythm of most shops; durations are rounded up to whole weeks.
WEEK = 7


@dataclass(frozen=True, slots=True)
class UniquesForecast:
    """Distinct units by day of history (`observed[d − 1]` after d days) and the exponent beyond it."""

    observed: FloatArray
    exponent: float

    def expected(self, days: float) -> float:
        """Distinct units after `days` days; between the days of history linearly."""
        history = self.observed.size
        if days <= history:
            return float(np.interp(days, np.arange(history + 1), np.concatenate([[0.0], self.observed])))
        return float(self.observed[-1] * (days / history) ** self.exponent)

    def days_for(self, units: float) -> int | None:
        """The first whole day after which `units` distinct units are expected; `None` if never."""
        for days in range(LONGEST_DURATION + 1):
            if self.expected(days) >= units - 1e-9:
                return days
        return None


@dataclass(frozen=True, slots=True)
class Duration:
    """Days to run, rounded up to whole weeks, or `None` with a problem.

    `accrual_days` is when enough units are in; the rest is the metric's window and rounding.
    """

    days: int | None
    accrual_days: int | None
    problem: PlanProblem | None = None


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a running experiment still needs: its power now and the additional units (both arms)."""

    power_now: float
    additional_units: float


def unique_curve(unit_ids: ArrayLike, days: ArrayLike) -> FloatArray:
    """Cumulative distinct units by day, from one row per visit (`days` count from 0, any order).

    >>> unique_curve(["a", "b", "a", "c"], [0, 0, 1, 2])
    array([2., 2., 3.])
    """
    ids, when = np.asarray(unit_ids), np.asarray(days, dtype=np.int64)
    if ids.ndim != 1 or ids.shape != when.shape or (when.size and when.min() < 0):
        raise ValueError("unit_ids and days must be vectors of one length, days 0 or more")
    if when.size == 0:
        return np.zeros(0)
    order = np.argsort(when, kind="stable")
    _, first = np.unique(ids[order], return_index=True)
    return np.asarray(np.bincount(when[order][first], minlength=int(when.max()) + 1).cumsum(), dtype=np.float64)


def fit_uniques(cumulative: ArrayLike) -> UniquesForecast | None:
    """A forecast from cumulative distinct units by day; `None` for a history under a week.

    Source: Heaps, "Information Retrieval" (1978), 7.5; least squares on logarithms.

    >>> forecast = fit_uniques([1_000 * day ** 0.5 for day in range(1, 15)])
    >>> round(forecast.exponent, 3), round(forecast.expected(56))
    (0.5, 7483)
    """
    observed = np.asarray(cumulative, dtype=np.float64)
    if observed.ndim != 1 or not np.all(np.diff(observed, prepend=0.0) >= 0) or not np.isfinite(observed).all():
        raise ValueError("cumulative must be a vector of finite numbers that never falls")
    if observed.size < SHORTEST_HISTORY or observed[-1] == 0:
        return None
    days = np.arange(1, observed.size + 1)
    later = (days >= observed.size * 2 / 3) & (observed > 0)
    if later.sum() < 2:
        return UniquesForecast(observed, 1.0)
    slope = np.polyfit(np.log(days[later]), np.log(observed[later]), 1)[0]
    return UniquesForecast(observed, float(np.clip(slope, 0.0, 1.0)))


def steady_uniques(daily_units: float) -> UniquesForecast:
    """A forecast without history: the same number of new units every day.

    >>> steady_uniques(200).days_for(3_000)
    15
    """
    if not daily_units > 0:
        raise ValueError(f"daily_units must be positive, got {daily_units}")
    return UniquesForecast(np.array([daily_units]), 1.0)


def duration(
    units: float, forecast: UniquesForecast | None, *, coverage: float = 1.0, window_days: float = 0.0
) -> Duration:
    """Days until `units` are in the experiment and their metric windows have closed.

    `coverage` is the share of the forecast's units that enter; `window_days` is how long after its
    exposure a unit counts.

    >>> duration(3_000, steady_uniques(200), window_days=7)
    Duration(days=28, accrual_days=15, problem=None)
    """
    if not (0 <= units < math.inf and window_days >= 0):
        raise ValueError(f"units and window_days must be 0 or more, got {units} and {window_days}")
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must be inside (0, 1], got {coverage}")
    if forecast is None:
        return Duration(None, None, PlanProblem.NO_HISTORY)
    accrual = forecast.days_for(units / coverage)
    if accrual is None:
        return Duration(None, None, PlanProblem.NEVER_REACHED)
    return Duration(WEEK * math.ceil((accrual + window_days) / WEEK), accrual)


def remaining_days(additional_units: float, forecast: UniquesForecast | None, *, elapsed_days: int) -> Duration:
    """Days a running experiment still needs for `additional_units`, on the curve it is following.

    The forecast is that of the experiment's own units (`unique_curve` of its exposures). Not rounded
    to weeks: `days` equals `accrual_days`.

    >>> remaining_days(900, steady_uniques(100), elapsed_days=10)
    Duration(days=9, accrual_days=9, problem=None)
    """
    if forecast is None:
        return Duration(None, None, PlanProblem.NO_HISTORY)
    until = forecast.days_for(forecast.expected(elapsed_days) + additional_units)
    if until is None:
        return Duration(None, None, PlanProblem.NEVER_REACHED)
    left = max(until - elapsed_days, 0)
    return Duration(left, left)


def remaining(
    target_effect: float,
    standard_error: float,
    n_units: float,
    *,
    design: Design | None = None,
    prior_sd: float = math.inf,
) -> Remaining:
    """Power now at the planned effect, and the units still needed for the design's power.

    Everything is on one scale; the error shrinks as 1 / √units and weights stay as they are. It
    asks about the *planned* effect: "observed power" at the observed effect says nothing new. With
    a normal prior of sd `prior_sd` around 0 the question is about the credible interval.

    Raises `ValueError` for a zero effect or one on the wrong side of a one-sided alternative, a non-positive
    error or a prior that is not positive.
    Source: GrowthBook's mid-experiment power (its documentation, 2024), solved exactly.

    >>> told = remaining(0.05, 0.0448678058300158, 20_000)
    >>> round(told.power_now, 6), round(told.additional_units)
    (0.199949, 106406)
    """
    from scipy import optimize

    plan = design or Design()
    if not (abs(target_effect) > 0 and standard_error > 0 and prior_sd > 0):
        raise ValueError(
            "target_effect must not be 0, standard_error and prior_sd must be positive, "
            f"got {target_effect}, {standard_error}, {prior_sd}"
        )

    if plan.alternative is (Alternative.LESS if target_effect > 0 else Alternative.GREATER):
        raise ValueError(f"target_effect {target_effect} lies on the other side of the alternative {plan.alternative}")

    def power_after(factor: float) -> float:
        return power_with_prior(target_effect, standard_error / math.sqrt(1 + factor), design=plan, prior_sd=prior_sd)

    now = power_after(0.0)
    if now >= plan.power:
        return Remaining(now, 0.0)
    furthest = 1.0
    while power_after(furthest) < plan.power:
        furthest *= 2
    factor = float(optimize.brentq(lambda s: power_after(s) - plan.power, 0.0, furthest, xtol=1e-12, rtol=1e-12))
    return Remaining(now, factor * n_units)


def power_with_prior(
    effect: float, standard_error: float, *, design: Design | None = None, prior_sd: float = math.inf
) -> float:
    """Chance that the credible interval under N(0, prior_sd²) excludes 0 when the truth is `effect`.

    With weight w = prior_sd² / (prior_sd² + se²) the posterior mean is w × estimate and its sd √w × se,
    so the estimate must pass c × se / √w: power at an error wider by that factor in the bound only.

    >>> round(power_with_prior(0.05, 0.0448678058300158, prior_sd=0.3), 6)
    0.193848
    """
    plan = design or Design()
    if math.isinf(prior_sd):
        return float(power_of(effect, standard_error, design=plan))
    bound = plan.critical * math.sqrt(1 + (standard_error / prior_sd) ** 2)
    return float(chance_beyond(effect / standard_error, bound, plan.alternative))
