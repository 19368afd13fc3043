"""Calibration: do the procedures keep their promises on simulated experiments?

Independent tasks that return rows: A/A tests (always valid, fixed horizon, group-sequential), power
and coverage at the planned effect, sample-ratio alarms. `manage.py calibrate` runs them and writes
the tables into docs/statistics.md; the criteria are those of the project's third issue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from experiments.stats.bayes import NormalPrior, normal_posterior
from experiments.stats.calibration_metrics import METRIC_TYPES, FixedHorizon, FixedQuantile
from experiments.stats.calibration_tables import (
    ALWAYS_VALID_SLACK,
    EXACT_SLACK,
    PROCEDURES,
    Row,
    mark,
    monte_carlo_error,
    percent,
)
from experiments.stats.floors import needed_events
from experiments.stats.group_sequential import Spending, group_bounds
from experiments.stats.power import Design, detectable_effect, sample_size
from experiments.stats.results import Alternative, BoolArray, FloatArray, Interval
from experiments.stats.sequential import Scale, SequentialTest, accumulate_p_values, confidence_sequence, msprt
from experiments.stats.simulate import EXACT_BUYERS, Batch, Conversion, Revenue, SimulatedMetric, simulate
from experiments.stats.srm import SRM_THRESHOLD, sequential_srm, srm_test

ALPHA = 0.05
LOOKS = 50
GROUP_LOOKS = 5
GROUP_SPENDING = (Spending.OBRIEN_FLEMING, Spending.POCOCK)
# Priors on the lift and the chance to win at which a marketer might stop.
BAYES_RULES = ((NormalPrior(), 0.95), (NormalPrior(0.0, 0.3), 0.975), (NormalPrior(0.0, 0.05), 0.975))
# Random baskets held at once: six million floats and their running sums are about 200 MB.
DRAWS_AT_ONCE = 6_000_000
RUNS_AT_ONCE = 2_000
# Events that the smaller arm has at the last look of an A/A test: beyond every floor.
FINAL_CONVERSIONS, FINAL_BUYERS = 500, 2_000
PLANNED_POWER = 0.8
# "At that single look to the formula ± 2 points", and what must be found by the planned size.
POWER_TOLERANCE, POWER_FLOOR = 0.02, 0.78
# "Fixed horizon at the last look 5 % ± 0.5, coverage 95 ± 1".
FIXED_TOLERANCE, COVERAGE_TOLERANCE = 0.005, 0.01

METRICS: dict[str, SimulatedMetric] = {
    "conversion 10 %": Conversion(0.1),
    "conversion 1 %": Conversion(0.01),
    "conversion 0.2 %": Conversion(0.002),
    "revenue, σ 1": Revenue(1.0),
    "revenue, σ 1.5": Revenue(1.5),
}
CONTROL_SHARES = (0.5, 0.1, 0.05, 0.01)
PLANNED_LIFTS = {
    "conversion 10 %": 0.1,
    "conversion 1 %": 0.2,
    "conversion 0.2 %": 0.5,
    "revenue, σ 1": 0.2,
    "revenue, σ 1.5": 0.2,
}


@dataclass(frozen=True, slots=True)
class _Procedure:
    """One always-valid procedure over a batch."""

    scale: Scale
    alternative: Alternative = Alternative.TWO_SIDED
    is_msprt: bool = False

    def apply(self, batch: Batch, planned: float, prior_variance: float) -> SequentialTest:
        """The test at every look; mSPRT takes the prior where the others take the planned size."""
        refused = batch.refused(scale=self.scale, alternative=self.alternative)
        if self.is_msprt:
            change, error = batch.comparison.effect, batch.comparison.standard_error
            return msprt(change, error, prior_variance=prior_variance, refused=refused)
        return _sequence(batch, self.scale, planned, refused=refused, alternative=self.alternative)


_PROCEDURES = dict(
    zip(
        PROCEDURES,
        (
            _Procedure(Scale.ABSOLUTE),
            _Procedure(Scale.LOG_RATIO),
            _Procedure(Scale.ABSOLUTE, Alternative.GREATER),
            _Procedure(Scale.LOG_RATIO, Alternative.GREATER),
            _Procedure(Scale.ABSOLUTE, Alternative.LESS),
            _Procedure(Scale.LOG_RATIO, Alternative.LESS),
            _Procedure(Scale.ABSOLUTE, is_msprt=True),
        ),
        strict=True,
    )
)


@dataclass(frozen=True, slots=True)
class FalsePositives:
    """A/A tests of one metric at one control share."""

    metric: str
    share: float
    runs: int
    seed: int

    @property
    def label(self) -> str:
        """For the progress bar."""
        return f"no effect: {self.metric}, {self.share:.0%} control"

    def run(self) -> list[Row]:
        """Rows of the tables "sequential", "fixed", "group" and "bayes"."""
        metric = METRICS[self.metric]
        wins: Counter[str] = Counter()
        refused = 0.0
        fixed, group, bayes = np.zeros((2, 2)), np.zeros(len(GROUP_SPENDING)), np.zeros(len(BAYES_RULES))
        total = self._total(metric)
        for batch in _batches(metric, self.runs, (total, self.share, 0.0), self.seed):
            wins["no floor"] += _wins(_sequence(batch, Scale.ABSOLUTE, total / LOOKS))
            refused += float(batch.refused(scale=Scale.ABSOLUTE).mean(axis=0).sum())
            for name, procedure in _PROCEDURES.items():
                for when, planned in self._planned_sizes(metric, procedure, total):
                    prior = self._prior_variance(metric, total) * total / planned
                    wins[f"{name} {when}"] += _wins(procedure.apply(batch, planned, prior))
            fixed += _fixed_wins(batch)
            group += _group_wins(batch)
            bayes += _bayes_wins(batch)
        return [
            self._sequential_row(wins, refused / self.runs),
            self._fixed_row(fixed / self.runs),
            self._group_row(group / self.runs),
            Row("bayes", (self.metric, f"{self.share:.0%}", *map(percent, bayes / self.runs)), None),
        ]

    def _total(self, metric: SimulatedMetric) -> int:
        events = FINAL_CONVERSIONS if isinstance(metric, Conversion) else FINAL_BUYERS
        return round(events / metric.event_rate / min(self.share, 1 - self.share))

    def _planned_sizes(self, metric: SimulatedMetric, procedure: _Procedure, total: int) -> Iterator[tuple[str, float]]:
        """N* as planned, and where it hurts most: at the look that just passes the floor."""
        yield "planned", float(total)
        smaller = min(self.share, 1 - self.share)
        floor = needed_events(metric.kind, smaller, scale=procedure.scale, alternative=procedure.alternative)
        yield "floor", float(floor) / metric.event_rate / smaller

    def _prior_variance(self, metric: SimulatedMetric, total: int) -> float:
        """mSPRT's prior: its sd is the detectable effect, or the mean itself where nothing is."""
        plan = Design(power=PLANNED_POWER, weights=(self.share, 1 - self.share), sequential=True)
        baseline = metric.baseline()
        return (detectable_effect(baseline, total, design=plan).mde_abs or baseline.mean) ** 2

    def _sequential_row(self, wins: Counter[str], refused: float) -> Row:
        worst = [max(wins[f"{name} planned"], wins[f"{name} floor"]) / self.runs for name in PROCEDURES]
        passes = max(worst) <= ALPHA + ALWAYS_VALID_SLACK * monte_carlo_error(ALPHA, self.runs)
        cells = (percent(wins["no floor"] / self.runs), *map(percent, worst), f"{100 * refused:.0f}", mark(passes))
        return Row("sequential", (self.metric, f"{self.share:.0%}", *cells), passes)

    def _fixed_row(self, found: FloatArray) -> Row:
        """The last looks must be 5 %; skewed values in unequal arms are reported only."""
        slack = FIXED_TOLERANCE + EXACT_SLACK * monte_carlo_error(ALPHA, self.runs)
        judged = isinstance(METRICS[self.metric], Conversion) or self.share == 0.5
        holds = bool(np.all(np.abs(found[0] - ALPHA) <= slack)) if judged else None
        cells = (self.metric, f"{self.share:.0%}", *map(percent, found.ravel()), mark(holds))
        return Row("fixed", cells, holds)

    def _group_row(self, found: FloatArray) -> Row:
        """At most 5 %; nothing stops where every look is refused."""
        holds = bool(found.max() <= ALPHA + EXACT_SLACK * monte_carlo_error(ALPHA, self.runs))
        shown = [percent(each) if each else "refused" for each in found]
        return Row("group", (self.metric, f"{self.share:.0%}", *shown, mark(holds)), holds)


@dataclass(frozen=True, slots=True)
class PlannedPower:
    """A/B tests at the planned effect and size, 50/50."""

    metric: str
    scale: Scale
    is_sequential: bool
    runs: int
    seed: int

    @property
    def design(self) -> str:
        """The design in words."""
        return f"{'sequential' if self.is_sequential else 'fixed'}, {self.scale.replace('_', ' ')}"

    @property
    def label(self) -> str:
        """For the progress bar."""
        return f"planned effect: {self.metric}, {self.design}"

    def run(self) -> list[Row]:
        """One row of the table "power"."""
        metric, lift = METRICS[self.metric], PLANNED_LIFTS[self.metric]
        plan = Design(power=PLANNED_POWER, sequential=self.is_sequential, scale=self.scale)
        total = sample_size(metric.baseline(), lift, design=plan).total
        assert total is not None
        truth = lift * metric.baseline().mean if self.scale is Scale.ABSOLUTE else lift
        found, last, covered = 0, 0, 0
        for batch in _batches(metric, self.runs, (total, 0.5, lift), self.seed):
            if self.is_sequential:
                test = _sequence(batch, self.scale, float(total), refused=batch.refused(scale=self.scale))
                found += _wins(test)
                p_last, inside = test.p_value[-1], test.interval.contains(truth) | np.isnan(test.p_value)
            else:
                p_values, interval = _fixed(batch, self.scale)
                p_last, inside = p_values[-1], interval.contains(truth)[-1:]
            last += int((p_last < ALPHA).sum())
            covered += int(inside.all(axis=0).sum())
        return [self._row(total, found / self.runs, last / self.runs, covered / self.runs)]

    def _row(self, total: int, found: float, last: float, covered: float) -> Row:
        slack = EXACT_SLACK * monte_carlo_error(PLANNED_POWER, self.runs)
        gap = EXACT_SLACK * monte_carlo_error(1 - ALPHA, self.runs)
        holds = abs(last - PLANNED_POWER) <= POWER_TOLERANCE + slack
        if self.is_sequential:
            holds = holds and found >= POWER_FLOOR - slack and covered >= 1 - ALPHA - gap
        else:
            holds = holds and abs(covered - (1 - ALPHA)) <= COVERAGE_TOLERANCE + gap
        by_then = percent(found) if self.is_sequential else "–"
        cells = (f"{PLANNED_LIFTS[self.metric]:.0%}", self.design, f"{total:,}", by_then, percent(last))
        return Row("power", (self.metric, *cells, percent(covered), mark(holds)), holds)


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Healthy experiments under the sample-ratio tests, looked at 50 times."""

    weights: tuple[float, ...]
    runs: int
    seed: int
    units_per_look: int = 1_000

    @property
    def name(self) -> str:
        """The designed weights."""
        return " : ".join(f"{weight:g}" for weight in self.weights)

    @property
    def label(self) -> str:
        """For the progress bar."""
        return f"sample ratio: {self.name}"

    def run(self) -> list[Row]:
        """One row of the table "srm"."""
        rng = np.random.default_rng(self.seed)
        share = np.array(self.weights) / sum(self.weights)
        alarms = np.zeros(3)
        for start in range(0, self.runs, RUNS_AT_ONCE):
            size = (LOOKS, min(RUNS_AT_ONCE, self.runs - start))
            counts = rng.multinomial(self.units_per_look, share, size=size).cumsum(axis=0)
            lowest = sequential_srm(counts, share).p_value.min(axis=0)
            naive = srm_test(counts, share).p_value.min(axis=0)
            alarms += [(lowest < SRM_THRESHOLD).sum(), (lowest < ALPHA).sum(), (naive < SRM_THRESHOLD).sum()]
        found = alarms / self.runs
        limit = SRM_THRESHOLD + ALWAYS_VALID_SLACK * monte_carlo_error(SRM_THRESHOLD, self.runs)
        holds = bool(found[0] <= limit and found[1] <= ALPHA)
        return [Row("srm", (self.name, *(percent(each, 2) for each in found), mark(holds)), holds)]


Task = FalsePositives | PlannedPower | SampleRatio | FixedHorizon | FixedQuantile


def tasks(*, runs: int, seed: int) -> list[Task]:
    """Every task of the grid, each with its own seed.

    >>> len(tasks(runs=100, seed=1))
    52
    """
    found: list[Task] = [
        FalsePositives(name, share, runs, seed + 1_000 * index + round(100 * share))
        for index, name in enumerate(METRICS)
        for share in CONTROL_SHARES
    ]
    found += [
        PlannedPower(name, scale, is_sequential, runs, seed + 100_000 + index)
        for index, name in enumerate(METRICS)
        for scale in Scale
        for is_sequential in (True, False)
    ]
    found += [FixedHorizon(name, runs, seed + 300_000 + index) for index, name in enumerate(METRIC_TYPES)]
    found += [
        FixedQuantile(quantile, is_clustered, runs, seed + 400_000)
        for quantile, is_clustered in ((0.5, False), (0.9, False), (0.9, True))
    ]
    designs = ((1.0, 1.0), (9.0, 1.0), (1.0, 1.0, 1.0))
    return found + [SampleRatio(weights, runs, seed + 200_000) for weights in designs]


def _batches(metric: SimulatedMetric, runs: int, setting: tuple[int, float, float], seed: int) -> Iterator[Batch]:
    """The runs in portions that fit into memory; `setting` is total units, control share and lift."""
    total, share, lift = setting
    rng = np.random.default_rng(seed)
    baskets = min(metric.draws_per_unit * total * (1 + lift), 2.0 * EXACT_BUYERS)
    size = int(min(RUNS_AT_ONCE, max(1.0, DRAWS_AT_ONCE // max(baskets, 1.0))))
    for start in range(0, runs, size):
        yield simulate(
            rng,
            metric,
            runs=min(size, runs - start),
            total_units=total,
            control_share=share,
            looks=LOOKS,
            lift=lift,
        )


def _sequence(
    batch: Batch,
    scale: Scale,
    planned: float,
    *,
    refused: BoolArray | bool = False,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> SequentialTest:
    found = batch.comparison
    change, error = found.effect, found.standard_error
    if scale is Scale.LOG_RATIO:
        change, error = found.log_ratio, found.log_ratio_standard_error
    return confidence_sequence(
        change,
        error,
        batch.n_control,
        batch.n_treatment,
        planned_units=planned,
        alternative=alternative,
        scale=scale,
        refused=refused,
    )


def _fixed(batch: Batch, scale: Scale) -> tuple[FloatArray, Interval]:
    found = batch.comparison
    if scale is Scale.ABSOLUTE:
        return found.p_value, found.effect_ci
    return found.lift_p_value, found.lift_ci


def _fixed_wins(batch: Batch) -> FloatArray:
    """Runs significant (rows) at the last look and at some look, (columns) by scale."""
    told = [_fixed(batch, scale)[0] for scale in Scale]
    return np.array([[(p[-1] < ALPHA).sum() for p in told], [_ever(p).sum() for p in told]], dtype=np.float64)


def _group_wins(batch: Batch) -> FloatArray:
    """Runs that stop at one of the equally spaced looks, by spending function."""
    every = LOOKS // GROUP_LOOKS
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.abs(batch.comparison.effect / batch.comparison.standard_error)
    z = np.where(batch.refused(scale=Scale.ABSOLUTE, is_group_sequential=True), np.nan, z)[every - 1 :: every]
    return np.array([(z > bounds[:, None]).any(axis=0).sum() for bounds in _group_z()], dtype=np.float64)


def _bayes_wins(batch: Batch) -> FloatArray:
    """Runs whose chance to win passes a rule's threshold, either way, at some look."""
    found = batch.comparison
    told = []
    for prior, threshold in BAYES_RULES:
        posterior = normal_posterior(found.effect, found.standard_error, prior=prior, control_mean=found.control)
        chance = np.nan_to_num(posterior.chance_to_win, nan=0.5)
        told.append((np.maximum(chance, 1 - chance) > threshold).any(axis=0).sum())
    return np.array(told, dtype=np.float64)


@cache
def _group_z() -> tuple[FloatArray, ...]:
    times = np.arange(1, GROUP_LOOKS + 1) / GROUP_LOOKS
    return tuple(group_bounds(times, alpha=ALPHA, spending=each).z for each in GROUP_SPENDING)


def _wins(test: SequentialTest) -> int:
    return int(_ever(test.p_value).sum())


def _ever(p_values: FloatArray) -> BoolArray:
    """Whether each run is significant at some look."""
    return np.asarray(accumulate_p_values(p_values)[-1] < ALPHA, dtype=np.bool_)
