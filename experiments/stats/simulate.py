"""Simulated experiments, A/A and A/B, as sufficient statistics at many looks at once.

Whole batches of experiments are drawn as arrays of shape (looks, runs): binomial counts, or sums
over log-normal baskets. Everything is driven by the `rng` that is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from experiments.stats.aggregates import from_sums
from experiments.stats.floors import FloorKind, check_floor
from experiments.stats.mean import compare_means
from experiments.stats.power import Baseline, mean_baseline, proportion_baseline
from experiments.stats.proportion import compare_proportions
from experiments.stats.results import Alternative, BoolArray, Comparison, FloatArray, IntArray
from experiments.stats.sequential import Scale

# Expected buyers of one arm and run above which the sums of a look are drawn from the normal law of
# their mean and variance. Such an arm holds twenty times the units of the other one or more, so its
# noise is a few percent of the whole and the small arm, where skewness does the harm, stays exact.
EXACT_BUYERS = 25_000


@dataclass(frozen=True, slots=True)
class ArmPath:
    """One arm at cumulative looks: `n` (looks, 1); events, sums and squares (looks, runs)."""

    n: FloatArray
    events: FloatArray
    sums: FloatArray
    squares: FloatArray


class SimulatedMetric(Protocol):
    """A metric whose arms can be drawn."""

    @property
    def kind(self) -> FloorKind:
        """What its floors count."""
        ...

    def draw(self, rng: np.random.Generator, n: IntArray, runs: int, lift: float) -> ArmPath:
        """One arm with this lift at the cumulative units `n`, for many runs."""
        ...

    def compare(self, control: ArmPath, treatment: ArmPath, alternative: Alternative) -> Comparison:
        """The engine's fixed-horizon comparison at every look."""
        ...

    def baseline(self) -> Baseline:
        """What planning needs to know."""
        ...

    @property
    def event_rate(self) -> float:
        """Expected events (see `kind`) of a unit without lift."""
        ...

    @property
    def draws_per_unit(self) -> float:
        """Random numbers that one unit costs; for sizing batches."""
        ...


@dataclass(frozen=True, slots=True)
class Conversion:
    """Each unit converts with probability `rate` × (1 + lift).

    >>> path = Conversion(0.1).draw(np.random.default_rng(1), np.array([1_000, 2_000]), 3, 0.0)
    >>> path.events.shape, path.n.ravel().tolist()
    ((2, 3), [1000.0, 2000.0])
    """

    rate: float
    kind: FloorKind = FloorKind.PROPORTION

    def draw(self, rng: np.random.Generator, n: IntArray, runs: int, lift: float) -> ArmPath:
        """Binomial increments between looks."""
        steps = np.diff(n, prepend=0)[:, None]
        events = rng.binomial(steps, self.rate * (1 + lift), size=(n.size, runs)).cumsum(axis=0).astype(np.float64)
        return ArmPath(n[:, None].astype(np.float64), events, events, events)

    def compare(self, control: ArmPath, treatment: ArmPath, alternative: Alternative) -> Comparison:
        """Wald test of the difference, log-ratio test of the lift."""
        return compare_proportions(control.events, control.n, treatment.events, treatment.n, alternative=alternative)

    def baseline(self) -> Baseline:
        """The rate with its binomial variance."""
        return proportion_baseline(self.rate)

    @property
    def event_rate(self) -> float:
        """The conversion rate."""
        return self.rate

    @property
    def draws_per_unit(self) -> float:
        """Counts cost the same however many units they count."""
        return 0.0


@dataclass(frozen=True, slots=True)
class Revenue:
    """A unit buys with probability `buyers` × (1 + lift) for a log-normal basket (median 1, `sigma`).

    >>> path = Revenue(1.0).draw(np.random.default_rng(1), np.array([5_000, 10_000]), 4, 0.0)
    >>> bool(np.all(path.squares > 0)), path.sums.shape
    (True, (2, 4))
    """

    sigma: float
    buyers: float = 0.01
    kind: FloorKind = FloorKind.MEAN

    def draw(self, rng: np.random.Generator, n: IntArray, runs: int, lift: float) -> ArmPath:
        """Exact baskets, or normal sums for an arm of very many buyers."""
        steps = np.diff(n, prepend=0)[:, None]
        rate = self.buyers * (1 + lift)
        bought = rng.binomial(steps, rate, size=(n.size, runs))
        if n[-1] * rate <= EXACT_BUYERS:
            sums, squares = self._baskets(rng, bought)
        else:
            sums, squares = self._normal_sums(rng, bought)
        return ArmPath(
            n[:, None].astype(np.float64),
            bought.cumsum(axis=0).astype(np.float64),
            sums.cumsum(axis=0),
            squares.cumsum(axis=0),
        )

    def _baskets(self, rng: np.random.Generator, bought: IntArray) -> tuple[FloatArray, FloatArray]:
        baskets = np.exp(self.sigma * rng.standard_normal(int(bought.sum())))
        ends = np.concatenate([[0], bought.ravel().cumsum()])
        told = []
        for values in (baskets, baskets * baskets):
            running = np.concatenate([[0.0], values.cumsum()])
            told.append(np.diff(running[ends]).reshape(bought.shape))
        return told[0], told[1]

    def _normal_sums(self, rng: np.random.Generator, bought: IntArray) -> tuple[FloatArray, FloatArray]:
        first, second = self._moments()
        noise = rng.standard_normal(bought.shape) * np.sqrt(bought * (second - first**2))
        return np.asarray(bought * first + noise), np.asarray(bought * second)

    def _moments(self) -> tuple[float, float]:
        return math.exp(self.sigma**2 / 2), math.exp(2 * self.sigma**2)

    def compare(self, control: ArmPath, treatment: ArmPath, alternative: Alternative) -> Comparison:
        """Welch's test of the difference, log-ratio test of the lift."""
        arms = [
            from_sums(["y"], count=arm.n, sums=[arm.sums], products={("y", "y"): arm.squares})
            for arm in (control, treatment)
        ]
        return compare_means(arms[0], arms[1], alternative=alternative)

    def baseline(self) -> Baseline:
        """More buyers with baskets as before: the variance grows with the rate."""
        first, second = self._moments()
        mean = self.buyers * first
        return mean_baseline(mean, self.buyers * second - mean**2, variance_power=1.0)

    @property
    def event_rate(self) -> float:
        """The share of buyers."""
        return self.buyers

    @property
    def draws_per_unit(self) -> float:
        """One basket per buyer."""
        return self.buyers


@dataclass(frozen=True, slots=True)
class Batch:
    """Many runs of one experiment at all looks, compared by the engine."""

    comparison: Comparison
    n_control: FloatArray
    n_treatment: FloatArray
    events_control: FloatArray
    events_treatment: FloatArray
    kind: FloorKind

    def refused(
        self,
        *,
        scale: Scale,
        alternative: Alternative = Alternative.TWO_SIDED,
        is_group_sequential: bool = False,
    ) -> BoolArray:
        """The looks that the floors refuse."""
        return check_floor(
            self.kind,
            self.events_control,
            self.events_treatment,
            self.n_control,
            self.n_treatment,
            scale=scale,
            alternative=alternative,
            is_group_sequential=is_group_sequential,
        ).refused


def simulate(
    rng: np.random.Generator,
    metric: SimulatedMetric,
    *,
    runs: int,
    total_units: int,
    control_share: float = 0.5,
    looks: int = 50,
    lift: float = 0.0,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> Batch:
    """Draw `runs` experiments with `looks` equally spaced looks up to `total_units` in both arms.

    `lift` is the treatment's relative effect on the metric's mean (0: an A/A test).

    >>> batch = simulate(np.random.default_rng(1), Conversion(0.1), runs=2, total_units=10_000, looks=5)
    >>> batch.comparison.effect.shape, float(batch.n_control[-1, 0])
    ((5, 2), 5000.0)
    """
    if not 0 < control_share < 1:
        raise ValueError(f"control_share must be inside (0, 1), got {control_share}")
    ends = total_units * np.arange(1, looks + 1) // looks
    n_control = np.maximum(np.round(ends * control_share).astype(np.int64), 1)
    control = metric.draw(rng, n_control, runs, 0.0)
    treatment = metric.draw(rng, ends - n_control, runs, lift)
    return Batch(
        comparison=metric.compare(control, treatment, alternative),
        n_control=control.n,
        n_treatment=treatment.n,
        events_control=control.events,
        events_treatment=treatment.events,
        kind=metric.kind,
    )
