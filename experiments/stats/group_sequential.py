"""Group-sequential designs: a few planned looks, alpha spent along the information.

Spending functions of Lan & DeMets (1983) and Kim & DeMets (1987); bounds by recursive numerical
integration of the Brownian density (Armitage, McPherson & Rowe 1969; Jennison & Turnbull, "Group
Sequential Methods", 2000, chapter 19), at any information times. After the trial: repeated
confidence intervals, repeated p-values, and the median-unbiased estimate with its interval by the
stage-wise ordering (Jennison & Turnbull, chapters 8 and 9).

Information times are the share of the planned information at each look (units so far over planned
units, for one variance). An unplanned look is allowed, because alpha is spent by information and
not by look; but *when* to look must not depend on the results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.stats.quadrature import panels
from experiments.stats.results import FloatArray, Interval, IntervalKind

# Beyond this many standard deviations the density is taken as 0 (its mass there is 1e-33), or beyond
# the design's own quantile by the margin, where that is further out: a path that ends there came near.
TRUNCATION, TRUNCATION_MARGIN = 12.0, 8.0
# Panels of 16 points per kernel standard deviation, and their limits.
PANELS_PER_SD = 0.4
FEWEST_PANELS, MOST_PANELS = 6, 250
# Looks so close that four times as many panels would be needed are refused: the density of one does
# not resolve the step to the next (at half of this the bounds are off by 1e-5).
UNRESOLVED = 4
# The smallest repeated p-value that is told; below, the tail leaves the range of doubles.
SMALLEST_P_VALUE = 1e-300
# A bound above this is reported as infinite: the alpha to spend there is below 1e-300.
LARGEST_BOUND = 38.0


class Spending(StrEnum):
    """How alpha is spent over information time."""

    OBRIEN_FLEMING = "obrien-fleming"
    POCOCK = "pocock"
    POWER = "power"


@dataclass(frozen=True, slots=True)
class GroupBounds:
    """One bound per look.

    `z` are the critical values (infinite where nothing may be spent yet), `nominal_alpha` the
    p-value a look must beat, `spent` the cumulative alpha (both sides together if two-sided).
    """

    times: FloatArray
    z: FloatArray
    nominal_alpha: FloatArray
    spent: FloatArray
    alpha: float
    sides: int


@dataclass(frozen=True, slots=True)
class FinalEstimate:
    """After stopping: the median-unbiased estimate and its exact interval, on the effect's scale."""

    estimate: float
    interval: Interval


def alpha_spent(
    times: ArrayLike,
    *,
    alpha: float = 0.05,
    sides: int = 2,
    spending: Spending = Spending.OBRIEN_FLEMING,
    phi: float = 2,
) -> FloatArray:
    """Cumulative alpha that may be spent at information times (above 1 counts as 1).

    O'Brien–Fleming-like: 2 − 2 Φ(z_{a/2} / √t) per side with a = alpha per side; Pocock-like:
    alpha ln(1 + (e − 1) t); power family: alpha t^phi.

    >>> alpha_spent([0.5, 1.0], spending=Spending.POCOCK).round(6)
    array([0.031006, 0.05    ])
    """
    if not 0 < alpha < 1 or sides not in {1, 2}:
        raise ValueError(f"alpha must be inside (0, 1) and sides 1 or 2, got {alpha} and {sides}")
    if not phi > 0:
        raise ValueError(f"phi must be positive, got {phi}")
    t = np.minimum(np.asarray(times, dtype=np.float64), 1.0)
    if spending is Spending.POCOCK:
        return np.asarray(alpha * np.log1p((math.e - 1) * t), dtype=np.float64)
    if spending is Spending.POWER:
        return np.asarray(alpha * t**phi, dtype=np.float64)
    quantile = -special.ndtri(alpha / sides / 2)
    return np.asarray(sides * 2 * special.ndtr(-quantile / np.sqrt(t)), dtype=np.float64)


def group_bounds(
    times: ArrayLike,
    *,
    alpha: float = 0.05,
    sides: int = 2,
    spending: Spending = Spending.OBRIEN_FLEMING,
    phi: float = 2,
) -> GroupBounds:
    """Critical values at increasing information times, two-sided symmetric or one-sided upper.

    Raises `ValueError` for times that are not positive and increasing, or so close together that the
    step between them is lost (about 0.001 % of the information), or impossible settings. Accuracy:
    about 1e-9 in z.

    >>> group_bounds([0.2, 0.4, 0.6, 0.8, 1.0]).z.round(4)
    array([4.8769, 3.357 , 2.6803, 2.2898, 2.031 ])
    """
    t = _increasing(times)
    spent = alpha_spent(t, alpha=alpha, sides=sides, spending=spending, phi=phi)
    walk = _Walk(sides, reach=float(-special.ndtri(alpha / sides)))
    bounds = [walk.step(float(time), float(new)) for time, new in zip(t, np.diff(spent, prepend=0.0), strict=True)]
    z = np.array(bounds)
    return GroupBounds(t, z, np.asarray(sides * special.ndtr(-z), dtype=np.float64), spent, alpha, sides)


def crossing_probabilities(bounds: GroupBounds, drift: float) -> FloatArray:
    """Chance of stopping for a result at each look when Z has mean drift × √t; the sum is the power.

    `drift` is effect / standard error at the full information.

    >>> bounds = group_bounds([0.5, 1.0])
    >>> round(float(crossing_probabilities(bounds, 0.0).sum()), 9)
    0.05
    """
    walk = _Walk(bounds.sides, drift)
    return np.array([walk.cross(float(t), float(z)) for t, z in zip(bounds.times, bounds.z, strict=True)])


def inflation_factor(bounds: GroupBounds, power: float) -> float:
    """How many times the fixed-horizon sample the design needs at most, for the same power.

    >>> round(inflation_factor(group_bounds([0.2, 0.4, 0.6, 0.8, 1.0], spending=Spending.POCOCK), 0.8), 3)
    1.212
    """
    from scipy import optimize

    fixed = float(special.ndtri(power) - special.ndtri(bounds.alpha / bounds.sides))

    def missing(drift: float) -> float:
        return float(crossing_probabilities(bounds, drift).sum()) - power

    return (float(optimize.brentq(missing, fixed * 0.9, fixed * 3, xtol=1e-10)) / fixed) ** 2


def repeated_interval(effect: ArrayLike, standard_error: ArrayLike, bounds: GroupBounds) -> Interval:
    """Repeated confidence intervals: effect ± bound × standard error at each look, jointly valid.

    The looks are on the last axis. One-sided bounds give an interval open above.

    Source: Jennison & Turnbull (2000), section 9.2.

    >>> repeated_interval([0.3, 0.2], [0.1, 0.07], group_bounds([0.5, 1.0])).lower.round(4)
    array([0.0037, 0.0622])
    """
    change, error = np.asarray(effect, dtype=np.float64), np.asarray(standard_error, dtype=np.float64)
    radius = bounds.z * error
    upper = change + radius if bounds.sides == 2 else np.full_like(change + radius, np.inf)
    return Interval(change - radius, upper, 1 - bounds.alpha, IntervalKind.REPEATED, "repeated confidence interval")


def repeated_p_value(
    z: float, times: ArrayLike, *, sides: int = 2, spending: Spending = Spending.OBRIEN_FLEMING, phi: float = 2
) -> float:
    """The alpha whose design would just stop at the last of `times` with this z; valid at every look.

    >>> bounds = group_bounds([0.5, 1.0])
    >>> round(repeated_p_value(float(bounds.z[0]), [0.5]), 6)
    0.05
    """
    from scipy import optimize

    if math.isnan(z):
        raise ValueError("z must be a number, got nan")
    signed = abs(z) if sides == 2 else z

    def excess(log_alpha: float) -> float:
        given = group_bounds(times, alpha=math.exp(log_alpha), sides=sides, spending=spending, phi=phi)
        return float(given.z[-1]) - signed

    lowest, highest = math.log(SMALLEST_P_VALUE), math.log(1 - 1e-9)
    if excess(highest) > 0:
        return 1.0
    if excess(lowest) < 0:
        return math.exp(lowest)
    return math.exp(float(optimize.brentq(excess, lowest, highest, xtol=1e-10)))


def final_estimate(
    effect: float, standard_error: float, bounds: GroupBounds, *, look: int, level: float = 0.95
) -> FinalEstimate:
    """Median-unbiased estimate and exact interval after stopping at `look` (0-based).

    Outcomes are ordered by stage: crossing above earlier is stronger. The plain estimate is biased
    away from zero after an early stop; this one is above the truth as often as below.

    Source: Jennison & Turnbull (2000), sections 8.4 and 8.5.

    >>> told = final_estimate(0.25, 0.1, group_bounds([0.25, 0.5, 0.75, 1.0]), look=2)
    >>> round(told.estimate, 6), told.interval.lower.round(6)
    (0.24843, np.float64(0.051211))
    """
    from scipy import optimize

    if not 0 <= look < bounds.z.size:
        raise ValueError(f"look must be 0 to {bounds.z.size - 1}, got {look}")
    if not standard_error > 0:
        raise ValueError(f"standard_error must be positive, got {standard_error}")
    z = effect / standard_error
    root = math.sqrt(float(bounds.times[look]))
    unit = standard_error * root  # from drift (the mean of Z at full information) to effect

    def quantile(probability: float) -> float:
        def excess(drift: float) -> float:
            return _at_least(drift, z, bounds, look) - probability

        # An outcome at a late look may be explained by a drift that is stopped early: search from the first look.
        furthest = (abs(z) + TRUNCATION) / math.sqrt(float(bounds.times[0]))
        return unit * float(optimize.brentq(excess, -furthest, furthest, xtol=1e-10))

    tail = (1 - level) / 2
    interval = Interval(
        np.asarray(quantile(tail)),
        np.asarray(quantile(1 - tail)),
        level,
        IntervalKind.CONFIDENCE,
        "stage-wise ordering",
    )
    return FinalEstimate(quantile(0.5), interval)


def _at_least(drift: float, z: float, bounds: GroupBounds, look: int) -> float:
    """P(outcome at least as high as z at `look`) under the drift, by the stage-wise ordering."""
    above, below = _Walk(bounds.sides, drift), 0.0
    higher = 0.0
    for t, bound in zip(bounds.times[:look], bounds.z[:look], strict=True):
        up, down = above.exits(float(t), float(bound))
        higher, below = higher + up, below + down
        above.cross(float(t), float(bound))
    up, down = above.exits(float(bounds.times[look]), abs(z))
    if z >= 0:
        return higher + up
    return 1 - below - (down if bounds.sides == 2 else above.lower_tail(float(bounds.times[look]), z))


class _Walk:
    """The density of the score √t Z over the looks, cut at the bounds passed so far."""

    def __init__(self, sides: int, drift: float = 0.0, *, reach: float = 0.0) -> None:
        self.sides, self.drift = sides, drift
        self.truncation = max(TRUNCATION, reach + TRUNCATION_MARGIN)
        self.time = 0.0
        self.points: FloatArray = np.zeros(1)
        self.mass: FloatArray = np.ones(1)

    def step(self, time: float, to_spend: float) -> float:
        """The bound that spends `to_spend` at `time`; moves on."""
        from scipy import optimize

        if to_spend < SMALLEST_P_VALUE / 2:
            bound = math.inf
        else:

            def excess(z: float) -> float:
                return math.log(sum(self.exits(time, z)) or 1e-320) - math.log(to_spend)

            bound = float(optimize.brentq(excess, -TRUNCATION if self.sides == 1 else 0.0, LARGEST_BOUND, xtol=1e-12))
        self.cross(time, bound)
        return bound

    def exits(self, time: float, z: float) -> tuple[float, float]:
        """P(first exit above, below) at `time` with bound z; nothing moves. One-sided never exits below."""
        if math.isinf(z):
            return 0.0, 0.0
        sd = math.sqrt(time - self.time)
        limit, shift = z * math.sqrt(time), self.points + self.drift * (time - self.time)
        up = float((self.mass * special.ndtr((shift - limit) / sd)).sum())
        down = float((self.mass * special.ndtr((-limit - shift) / sd)).sum()) if self.sides == 2 else 0.0
        return up, down

    def lower_tail(self, time: float, z: float) -> float:
        """P(still running before, and Z ≤ z at `time`)."""
        sd = math.sqrt(time - self.time)
        shift = self.points + self.drift * (time - self.time)
        return float((self.mass * special.ndtr((z * math.sqrt(time) - shift) / sd)).sum())

    def cross(self, time: float, z: float) -> float:
        """P(exit at `time`); moves the density of those who stay on to `time`."""
        probability = sum(self.exits(time, z))
        root, sd = math.sqrt(time), math.sqrt(time - self.time)
        centre = self.drift * time
        low = max(-z if self.sides == 2 else -math.inf, centre / root - self.truncation) * root
        high = min(z, centre / root + self.truncation) * root
        if high <= low:
            self.points, self.mass, self.time = np.array([centre]), np.zeros(1), time
            return probability
        wanted = (high - low) / sd * PANELS_PER_SD
        if wanted > UNRESOLVED * MOST_PANELS:
            raise ValueError(f"times {self.time:g} and {time:.12g} are too close together: make one look of them")
        count = math.ceil(min(max(wanted, FEWEST_PANELS), MOST_PANELS))
        points, weights = panels(np.linspace(low, high, count + 1))
        shift = self.points + self.drift * (time - self.time)
        kernel = np.exp(-(((points[:, None] - shift) / sd) ** 2) / 2) / (sd * math.sqrt(2 * math.pi))
        self.mass = (kernel @ self.mass) * weights
        self.points, self.time = points, time
        return probability


def _increasing(times: ArrayLike) -> FloatArray:
    t = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if t.ndim != 1 or t.size == 0 or not np.all(np.diff(t, prepend=0.0) > 0) or not np.all(np.isfinite(t)):
        raise ValueError(f"times must be a vector of positive increasing numbers, got {times!r}")
    return t
