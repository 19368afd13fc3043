"""Planning arithmetic: power, sample size and detectable effect for two arms out of several.

Everything here uses the normal law of the estimate (`standardized` has the t test's and Cohen's h). A *design* says
how the verdict will be reached; the arithmetic then inverts

    power = P(reject) = 1 − Φ(c − e/se) [+ Φ(−c − e/se) for two sides]

with c the critical value: the normal quantile, or for a sequential design the half width of the
confidence sequence at its planned size N*, which is where it is narrowest. Looks before N* only add
power. `mde` is relative to the control, `mde_abs` absolute.

A ratio metric is planned as a mean: give the ratio and the delta-method variance per unit. CUPED is
planned by `variance_reduction`, the squared correlation of metric and covariate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.stats.results import Alternative, FloatArray
from experiments.stats.sequential import Scale, width_ratio

# The search for a detectable relative effect ends at +100,000 %: no plan waits for more.
LARGEST_LIFT = 1_000.0


class PlanProblem(StrEnum):
    """Why there is no answer."""

    OUTSIDE_RATE_RANGE = "outside_rate_range"
    NOT_DETECTABLE = "not_detectable"
    NEVER_REACHED = "never_reached"
    NO_HISTORY = "no_history"


@dataclass(frozen=True, slots=True)
class Design:
    """How the verdict will be reached.

    `weights` are those of all arms, control first; the plan is made for the treatment with the
    smallest weight. `comparisons` divides alpha (Bonferroni over the declared family). `sequential`
    plans for a confidence sequence whose N* is the planned size.

    >>> round(Design().critical, 6), round(Design(sequential=True).critical, 6)
    (1.959964, 3.035209)
    """

    alpha: float = 0.05
    power: float = 0.8
    alternative: Alternative = Alternative.TWO_SIDED
    weights: tuple[float, ...] = (0.5, 0.5)
    comparisons: int = 1
    sequential: bool = False
    scale: Scale = Scale.ABSOLUTE

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1 or not 0 < self.power < 1:
            raise ValueError(f"alpha and power must be inside (0, 1), got {self.alpha} and {self.power}")
        if self.power <= self.alpha:
            raise ValueError(f"power must exceed alpha, got {self.power} and {self.alpha}")
        if len(self.weights) < 2 or min(self.weights) <= 0:
            raise ValueError(f"weights must hold two positive numbers or more, got {self.weights}")
        if self.comparisons < 1:
            raise ValueError(f"comparisons must be 1 or more, got {self.comparisons}")

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of all units in the control and in the smallest treatment."""
        total = sum(self.weights)
        return self.weights[0] / total, min(self.weights[1:]) / total

    @property
    def level(self) -> float:
        """Alpha of one comparison."""
        return self.alpha / self.comparisons

    @property
    def critical(self) -> float:
        """How many standard errors the estimate must be from no effect, at the planned size."""
        tail = self.level / 2 if self.alternative is Alternative.TWO_SIDED else self.level
        quantile = float(-special.ndtri(tail))
        if not self.sequential:
            return quantile
        return quantile * float(width_ratio(1.0, planned_units=1.0, alpha=self.level, alternative=self.alternative))


@dataclass(frozen=True, slots=True)
class Baseline:
    """The control's mean and the per-unit variances of both arms under a given lift."""

    mean: float
    variance: Callable[[float], float]
    largest_lift: float
    smallest_lift: float = -1.0


@dataclass(frozen=True, slots=True)
class SampleSize:
    """Units needed, over all arms and in the two that decide; `None` with a problem if none suffice.

    `exact_total` is the number before rounding each arm up.
    """

    total: int | None
    control: int | None
    treatment: int | None
    exact_total: float | None
    problem: PlanProblem | None = None


@dataclass(frozen=True, slots=True)
class Detectable:
    """The smallest effect that the design finds with its power, or `None` with a problem."""

    mde: float | None
    mde_abs: float | None
    problem: PlanProblem | None = None


def power_of(effect: ArrayLike, standard_error: ArrayLike, *, design: Design | None = None) -> FloatArray:
    """Chance of a significant result when the true effect is `effect`; broadcasts.

    >>> round(float(power_of(2.8, 1.0)), 4)
    0.7996
    """
    plan = design or Design()
    z = np.asarray(effect, dtype=np.float64) / np.asarray(standard_error, dtype=np.float64)
    return chance_beyond(z, plan.critical, plan.alternative)


def chance_beyond(z: ArrayLike, critical: float, alternative: Alternative) -> FloatArray:
    """Chance that a normal statistic with mean `z` passes the critical value on the alternative's side.

    >>> round(float(chance_beyond(2.8, 1.959964, Alternative.TWO_SIDED)), 4)
    0.7996
    """
    mean = np.asarray(z, dtype=np.float64)
    above, below = special.ndtr(mean - critical), special.ndtr(-mean - critical)
    if alternative is Alternative.TWO_SIDED:
        return np.asarray(above + below, dtype=np.float64)
    return np.asarray(above if alternative is Alternative.GREATER else below, dtype=np.float64)


def proportion_baseline(rate: float) -> Baseline:
    """A proportion: the treatment's own variance p(1 − p) moves with its rate.

    >>> round(proportion_baseline(0.1).variance(0.1), 4)
    0.0979
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate must be inside (0, 1), got {rate}")
    return Baseline(rate, lambda lift: rate * (1 + lift) * (1 - rate * (1 + lift)), 1 / rate - 1)


def mean_baseline(
    mean: float, variance: float, *, variance_reduction: float = 0.0, variance_power: float = 0.0
) -> Baseline:
    """A mean (or a ratio with its delta-method variance per unit).

    `variance_reduction` in [0, 1) is what CUPED takes away: the squared correlation. The treatment's
    variance is that of the control × (1 + lift)^`variance_power`: 0 leaves it, 1 is more buyers with
    baskets as before, 2 is larger values.

    >>> mean_baseline(10.0, 144.0, variance_reduction=0.25).variance(0.1)
    108.0
    """
    if mean == 0 or not variance > 0 or not 0 <= variance_reduction < 1:
        raise ValueError(
            "mean must not be 0, variance must be positive and variance_reduction in [0, 1), "
            f"got {mean}, {variance}, {variance_reduction}"
        )
    left = variance * (1 - variance_reduction)
    return Baseline(mean, lambda lift: left * (1 + lift) ** variance_power, LARGEST_LIFT)


def sample_size(baseline: Baseline, mde: float, *, design: Design | None = None) -> SampleSize:
    """Units for finding a relative effect `mde` with the design's power.

    n = (c + z_power)² × (v_C / w_C + v_T / w_T) / effect², each arm rounded up; on the log-ratio
    scale the effect is ln(1 + mde) and the variances are relative. Raises `ValueError` for mde = 0 and for a
    mean that is not positive on the log-ratio scale.

    Source: Chow, Shao & Wang, "Sample Size Calculations in Clinical Research" (2nd ed.), 3.2 and 4.2.

    >>> told = sample_size(proportion_baseline(0.1), 0.1)
    >>> told.control, told.treatment, told.total
    (14749, 14749, 29498)
    """
    plan = design or Design()
    if mde == 0:
        raise ValueError("mde must not be 0: no sample size finds nothing")
    if not baseline.smallest_lift < mde < baseline.largest_lift:
        return SampleSize(None, None, None, None, PlanProblem.OUTSIDE_RATE_RANGE)
    if is_wrong_side(plan.alternative, increase=mde > 0):
        return SampleSize(None, None, None, None, PlanProblem.NOT_DETECTABLE)
    effect, variances = _signal(baseline, mde, plan)
    return sample_size_for(effect, *variances, design=plan)


def sample_size_for(
    effect: float, variance_control: float, variance_treatment: float, *, design: Design | None = None
) -> SampleSize:
    """Units for an absolute effect (on the design's scale) and given variances per unit.

    NOT_DETECTABLE on the other side of a one-sided alternative. Raises `ValueError` for no effect or
    negative variances.

    >>> sample_size_for(0.3, 137.0, 137.0).exact_total.__round__()
    47791
    """
    plan = design or Design()
    if not (abs(effect) > 0 and variance_control >= 0 and variance_treatment >= 0):
        raise ValueError(
            "effect must not be 0 and variances must be 0 or more, "
            f"got {effect}, {variance_control}, {variance_treatment}"
        )
    if is_wrong_side(plan.alternative, increase=effect > 0):
        return SampleSize(None, None, None, None, PlanProblem.NOT_DETECTABLE)
    control, treatment = plan.shares
    reach = plan.critical + float(special.ndtri(plan.power))
    total = reach**2 * (variance_control / control + variance_treatment / treatment) / effect**2
    weight = sum(plan.weights)
    arms = [math.ceil(total * one / weight - 1e-9) for one in plan.weights]
    smallest = 1 + min(range(len(arms) - 1), key=lambda i: plan.weights[1 + i])
    return SampleSize(sum(arms), arms[0], arms[smallest], total)


def planned_power(baseline: Baseline, mde: float, n_total: float, *, design: Design | None = None) -> float:
    """Power at a relative effect with `n_total` units over all arms.

    Raises `ValueError` for a total not positive or an effect that the metric cannot have.

    >>> round(planned_power(proportion_baseline(0.1), 0.1, 29_496.09), 4)
    0.8
    """
    plan = design or Design()
    if not n_total > 0:
        raise ValueError(f"n_total must be positive, got {n_total}")
    if not baseline.smallest_lift < mde < baseline.largest_lift:
        raise ValueError(f"mde must lie between {baseline.smallest_lift} and {baseline.largest_lift:g}, got {mde}")
    effect, (variance_control, variance_treatment) = _signal(baseline, mde, plan)
    control, treatment = plan.shares
    error = math.sqrt((variance_control / control + variance_treatment / treatment) / n_total)
    return float(power_of(effect, error, design=plan))


def detectable_effect(
    baseline: Baseline, n_total: float, *, design: Design | None = None, increase: bool = True
) -> Detectable:
    """The smallest relative effect found with the design's power by `n_total` units over all arms.

    >>> round(detectable_effect(mean_baseline(10.0, 144.0), 100_000).mde, 6)
    0.021263
    """
    from scipy import optimize

    plan = design or Design()
    furthest = baseline.largest_lift if increase else baseline.smallest_lift
    sign = 1.0 if increase else -1.0
    if is_wrong_side(plan.alternative, increase=increase):
        return Detectable(None, None, PlanProblem.NOT_DETECTABLE)
    limit = abs(furthest) * (1 - 1e-12)

    def missing(size: float) -> float:
        return planned_power(baseline, sign * size, n_total, design=plan) - plan.power

    if missing(limit) < 0:
        # On the log scale a fall towards −100 % becomes noisier than it grows: look for one in between.
        found = [size for size in limit * np.geomspace(1e-9, 1.0, 400) if missing(float(size)) >= 0]
        if not found:
            return Detectable(None, None, PlanProblem.NOT_DETECTABLE)
        limit = float(found[0])
    size = sign * float(optimize.brentq(missing, 1e-15, limit, xtol=1e-15, rtol=1e-13))
    return Detectable(size, size * abs(baseline.mean))


def guardrail_power(power: float, guardrails: int) -> float:
    """The power to plan each metric with when shipping needs the success *and* every guardrail.

    Guardrails are all required to pass, so they do not inflate the false-positive rate; but each
    may fail by chance: the chance of missing, 1 − power, is split over them and the success metric.

    Source: Schultzberg, Ankargren & Frånberg, "Risk-aware product decisions in A/B tests with
    multiple metrics" (2024), section 3.

    >>> guardrail_power(0.8, 1)
    0.9
    """
    if guardrails < 0:
        raise ValueError(f"guardrails must be 0 or more, got {guardrails}")
    return 1 - (1 - power) / (guardrails + 1)


def linear_delta_power(
    mean: float, variance: float, lift: float, n_per_arm: float, *, design: Design | None = None, width: float = 1.0
) -> float:
    """Power in the convention of GrowthBook's calculator, for comparing plans with it.

    Linear delta method for the lift, equal arms of one variance. `width` multiplies the standard
    error: their sequential model with `width_ratio` at the two arms' units. That widens the noise
    as well as the interval and so understates the power of a look; ours widens the interval alone.

    >>> round(linear_delta_power(10.0, 144.0, 0.03, 50_000), 6)
    0.973446
    """
    plan = design or Design()
    if mean == 0 or not (variance > 0 and n_per_arm > 0):
        raise ValueError(
            f"mean must not be 0, variance and n_per_arm must be positive, got {mean}, {variance}, {n_per_arm}"
        )
    error = width * math.sqrt(variance / (n_per_arm * mean**2) * (1 + (1 + lift) ** 2))
    return float(power_of(lift, error, design=plan))


def linear_delta_mde(
    mean: float, variance: float, n_per_arm: float, *, design: Design | None = None, width: float = 1.0
) -> Detectable:
    """Detectable lift in the same convention: (1 + √(1 − A²)) / A − 1, A = 1 − k² v / (n m²).

    >>> round(linear_delta_mde(10.0, 144.0, 50_000).mde, 6)
    0.021492
    """
    plan = design or Design()
    if mean == 0 or not (variance > 0 and n_per_arm > 0):
        raise ValueError(
            f"mean must not be 0, variance and n_per_arm must be positive, got {mean}, {variance}, {n_per_arm}"
        )
    reach = width * (plan.critical + float(special.ndtri(plan.power)))
    noise = reach**2 * variance / (n_per_arm * mean**2)
    if noise >= 1:
        return Detectable(None, None, PlanProblem.NOT_DETECTABLE)
    a = 1 - noise
    lift = (1 + math.sqrt(1 - a * a)) / a - 1
    return Detectable(lift, lift * abs(mean))


def is_wrong_side(alternative: Alternative, *, increase: bool) -> bool:
    """Whether an effect of this sign can never be found by a one-sided test.

    >>> is_wrong_side(Alternative.GREATER, increase=False)
    True
    """
    return alternative is (Alternative.LESS if increase else Alternative.GREATER)


def _signal(baseline: Baseline, mde: float, plan: Design) -> tuple[float, tuple[float, float]]:
    """Effect on the design's scale and variances per unit of control and treatment."""
    control, treatment = baseline.variance(0.0), baseline.variance(mde)
    if plan.scale is Scale.ABSOLUTE:
        return mde * abs(baseline.mean), (control, treatment)
    if not baseline.mean > 0:
        raise ValueError(f"the log ratio needs a positive mean, got {baseline.mean}")
    other = baseline.mean * (1 + mde)
    return math.log1p(mde), (control / baseline.mean**2, treatment / other**2)
