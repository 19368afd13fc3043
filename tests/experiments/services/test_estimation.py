"""Cells and pooling: by hand, against the engine's plain methods, and where Simpson waits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.definitions import Aggregation, MetricDefinition, Part
from experiments.facts.expressions import DAY, HOUR, PlannedMetric
from experiments.services.estimation import Cells, build_cells, compare_adjusted_arms, compare_arms, value_of_arm
from experiments.services.totals import EventValues, MetricColumns, UnitTotals
from experiments.stats.aggregates import aggregate
from experiments.stats.quantile import compare_quantiles
from experiments.stats.ratio import compare_ratios
from experiments.stats.results import Reason
from experiments.stats.rows import quantile_summary

Ints = NDArray[np.int64]


def metric(*, aggregation: Aggregation = "sum", scale: int = 1, cap: float | None = None) -> PlannedMetric:
    return PlannedMetric(0, "m", MetricDefinition(("E",), aggregation, window_hours=24, scale=scale, cap=cap))


def cells(
    values: list[int],
    arms: list[int],
    *,
    phases: list[int] | None = None,
    first_at: list[int] | None = None,
    before: list[int] | None = None,
    planned: PlannedMetric | None = None,
    day_ends: list[int] | None = None,
    until: int = 100 * DAY,
    kind: str = "mean",
) -> Cells:
    n = len(values)

    def column(numbers: list[int] | None) -> Ints:
        return np.array(numbers if numbers is not None else [0] * n, dtype=np.int64)

    columns = MetricColumns(column(values), None if before is None else column(before))
    totals = UnitTotals(column(arms), column(phases), column(first_at), (columns,), {}, 0, "", "")
    return build_cells(
        totals=totals,
        columns=columns,
        metric=planned or metric(),
        kind=kind,
        shape=(max(phases or [0]) + 1, 2),
        day_ends=day_ends or [],
        until=until,
    )


def test_build_cells__windows__close_on_their_day() -> None:
    # Windows of 24 h close at the day's end exactly, within the next day, after the last midnight, never.
    first_at = [0, 1, DAY + HOUR, 2 * DAY]
    found = cells([1, 2, 4, 8], [0, 0, 0, 0], first_at=first_at, day_ends=[DAY, 2 * DAY], until=2 * DAY + 2 * HOUR)
    assert found.aggregates.count[0, 0].tolist() == [1, 1, 1, 1]
    assert found.sums[0, 0].tolist() == [1, 2, 4, 8]
    assert found.mature().sums[0, 0] == 7
    assert found.cumulative().aggregates.count[0, 0].tolist() == [1, 2]
    assert found.cumulative().sums[0, 0].tolist() == [1, 3]


def test_build_cells__cap__cuts_the_value_and_not_the_count() -> None:
    found = cells([100, 9_000], [0, 0], planned=metric(scale=100, cap=5.0))
    assert found.mature().aggregates.mean("y")[0, 0] == pytest.approx((1 + 5) / 2)
    assert found.nonzero.sum() == 2


def test_build_cells__covariate_of_zeros__is_none() -> None:
    assert not cells([1, 2], [0, 1], before=[0, 0]).has_covariate
    assert cells([1, 2], [0, 1], before=[0, 3]).has_covariate
    assert not cells([1, 2], [0, 1]).has_covariate


def test_compare_arms__mean_by_hand__welch() -> None:
    found = compare_arms(cells([1, 2, 3, 3, 5, 7], [0, 0, 0, 1, 1, 1]).mature(), control=0, arm=1, alpha=0.05).at()
    assert (found.effect, found.lift) == (3.0, 1.5)
    assert found.p_value == pytest.approx(0.1044789, abs=1e-7)
    assert found.df == pytest.approx(2.9412, abs=1e-4)


def test_compare_arms__proportion_by_hand__wald() -> None:
    values = [1] * 10 + [0] * 90 + [1] * 20 + [0] * 80
    found = compare_arms(cells(values, [0] * 100 + [1] * 100, kind="proportion").mature(), control=0, arm=1, alpha=0.05)
    error = (0.1 * 0.9 / 100 + 0.2 * 0.8 / 100) ** 0.5
    assert found.at().standard_error == pytest.approx(error, rel=1e-14)
    assert found.at().lift == pytest.approx(1.0)


@pytest.mark.parametrize(("successes", "is_exact"), [(0, True), (24, True), (25, False)])
def test_compare_arms__few_conversions__use_the_exact_regime(successes: int, is_exact: bool) -> None:
    values = [1] * successes + [0] * (100 - successes) + [1] * 40 + [0] * 60
    data = cells(values, [0] * 100 + [1] * 100, kind="proportion").mature()
    wald = compare_arms(data, control=0, arm=1, alpha=0.05).at()
    found = compare_arms(data, control=0, arm=1, alpha=0.05, use_exact=True).at()
    assert found.effect == wald.effect
    assert (found.p_value != wald.p_value) is is_exact
    mean = compare_arms(
        cells(values, [0] * 100 + [1] * 100).mature(), control=0, arm=1, alpha=0.05, use_exact=True
    ).at()
    assert mean.method == "welch"


def test_compare_arms__phases_with_other_weights__are_pooled_by_their_units() -> None:
    # Phase 0: 10 % treated at a base of 0.2; phase 1: 90 % treated at a base of 0.8; no effect in either.
    values, arms, phases = [], [], []
    for phase, (control_n, arm_n, share) in enumerate([(900, 100, 0.2), (100, 900, 0.8)]):
        for arm, n in ((0, control_n), (1, arm_n)):
            values += [1] * round(n * share) + [0] * round(n * (1 - share))
            arms += [arm] * n
            phases += [phase] * n
    data = cells(values, arms, phases=phases, kind="proportion").mature()
    found = compare_arms(data, control=0, arm=1, alpha=0.05).at()
    assert found.effect == pytest.approx(0.0, abs=1e-12)
    assert found.control == pytest.approx(0.5)
    by_hand = sum(0.25 * p * (1 - p) * (1 / c + 1 / t) for p, c, t in [(0.2, 900, 100), (0.8, 100, 900)])
    assert found.standard_error == pytest.approx(by_hand**0.5, rel=1e-12)
    pooled = np.mean([v for v, a in zip(values, arms, strict=True) if a]) - np.mean(
        [v for v, a in zip(values, arms, strict=True) if not a]
    )
    assert pooled > 0.4  # what adding up the phases would have claimed


def test_compare_arms__equal_phases_of_a_mean__have_satterthwaite_freedom() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 50, 400).tolist()
    arms, phases = [0, 1] * 200, [0] * 200 + [1] * 200
    found = compare_arms(cells(values, arms, phases=phases).mature(), control=0, arm=1, alpha=0.05).at()
    assert found.df is not None
    assert 300 < found.df < 400


def test_compare_arms__phase_with_one_unit_in_an_arm__is_left_out() -> None:
    values = [1, 2, 3, 4, 1_000, 5, 6]
    found = compare_arms(
        cells(values, [0, 0, 1, 1, 0, 1, 1], phases=[0, 0, 0, 0, 1, 1, 1]).mature(),
        control=0,
        arm=1,
        alpha=0.05,
    ).at()
    assert found.effect == 2.0


def test_compare_arms__no_phase_to_compare__has_too_few_units() -> None:
    data = cells([1, 2], [0, 1], phases=[0, 1]).mature()
    found = compare_arms(data, control=0, arm=1, alpha=0.05).at()
    assert found.reason is Reason.TOO_FEW_UNITS


def test_compare_adjusted_arms__covariate_that_explains_most__saves_variance() -> None:
    rng = np.random.default_rng(7)
    before = rng.integers(0, 1_000, 2_000)
    values = before + rng.integers(0, 100, 2_000)
    arms = rng.integers(0, 2, 2_000).tolist()
    data = cells(values.tolist(), arms, before=before.tolist()).mature()
    found = compare_adjusted_arms(data, control=0, arm=1, alpha=0.05)
    plain = compare_arms(data, control=0, arm=1, alpha=0.05).at()
    saved = float(found.variance_saved)
    assert 0.98 < saved < 1.0
    error = found.comparison.at().standard_error
    assert error is not None
    assert plain.standard_error is not None
    assert (error / plain.standard_error) ** 2 == pytest.approx(1 - saved)


def kind_columns(**columns: list[int]) -> MetricColumns:
    return MetricColumns(**{name: np.array(numbers, dtype=np.int64) for name, numbers in columns.items()})  # type: ignore[arg-type]  # the names are those of its columns


def build(columns: MetricColumns, arms: list[int], definition: MetricDefinition, kind: str, **more: Any) -> Cells:
    numbers = np.array(arms, dtype=np.int64)
    totals = UnitTotals(numbers, numbers * 0, numbers * 0, (columns,), {}, 0, "", "")
    planned = PlannedMetric(0, "m", definition)
    fields = {"shape": (1, 2), "day_ends": [DAY, 2 * DAY], "until": 100 * DAY, **more}
    return build_cells(totals=totals, columns=columns, metric=planned, kind=kind, **fields)


def test_ratio__orders_over_visits__is_the_engines_ratio_on_the_same_rows() -> None:
    rng = np.random.default_rng(11)
    visits = rng.integers(1, 9, 3_000)
    orders = rng.binomial(visits, 0.2 + 0.05 * (np.arange(3_000) % 2))
    before = rng.integers(1, 9, 3_000)
    definition = MetricDefinition(
        ("Order",), "count", window_hours=24, lookback_days=7, denominator=Part(("Visit",), "count"), scale=1
    )
    columns = kind_columns(
        totals=orders.tolist(), before=orders.tolist(), per=visits.tolist(), per_before=before.tolist()
    )
    data = build(columns, [0, 1] * 1_500, definition, "ratio").mature()
    found = compare_arms(data, control=0, arm=1, alpha=0.05).at()
    arm = aggregate({"m": orders, "d": visits}, groups=np.arange(3_000) % 2)
    expected = compare_ratios(arm[0], arm[1]).at()
    assert found.effect == pytest.approx(expected.effect, rel=1e-12)
    assert found.p_value == pytest.approx(expected.p_value, rel=1e-9)
    assert value_of_arm(data, 0) == pytest.approx(orders[::2].sum() / visits[::2].sum())
    adjusted = compare_adjusted_arms(data, control=0, arm=1, alpha=0.05)
    assert float(adjusted.variance_saved) > 0.2


def test_ratio__nothing_to_divide_by__is_undefined() -> None:
    definition = MetricDefinition(("Order",), "count", window_hours=24, denominator=Part(("Visit",), "count"))
    columns = MetricColumns(np.array([1, 2, 3, 4]), None, per=np.zeros(4, dtype=np.int64))
    data = build(columns, [0, 0, 1, 1], definition, "ratio").mature()
    found = compare_arms(data, control=0, arm=1, alpha=0.05).at()
    assert found.reason is Reason.ZERO_DENOMINATOR
    assert value_of_arm(data, 0) is None


def test_quantile__of_units__is_the_engines_and_has_one_for_each_day() -> None:
    rng = np.random.default_rng(12)
    values = rng.integers(0, 1_000, 4_000)
    definition = MetricDefinition(("Order",), "sum", window_hours=24, quantile=0.9, scale=10)
    data = build(MetricColumns(values, None), [0, 1] * 2_000, definition, "quantile")
    found = compare_arms(data.mature(), control=0, arm=1, alpha=0.05).at()
    pair = [quantile_summary(values[arm::2] / 10, quantile=0.9) for arm in (0, 1)]
    expected = compare_quantiles(*pair).at()
    assert (found.effect, found.p_value, found.method) == (expected.effect, expected.p_value, "quantile")
    assert value_of_arm(data.mature(), 1) == np.quantile(values[1::2] / 10, 0.9)
    by_day = compare_arms(data.cumulative(), control=0, arm=1, alpha=0.05)
    assert by_day.effect.shape == (2,)
    assert by_day.effect[-1] == expected.effect


def test_quantile__of_events__takes_people_as_clusters() -> None:
    units = np.repeat(np.arange(400), 5)
    rng = np.random.default_rng(13)
    values = np.repeat(rng.integers(0, 1_000, 400), 5) + rng.integers(0, 5, 2_000)
    definition = MetricDefinition(("Load",), "sum", window_hours=24, quantile=0.5, per_event=True)
    columns = MetricColumns(np.ones(400, dtype=np.int64), None, events=EventValues(unit=units, values=values))
    clustered = build(columns, [0, 1] * 200, definition, "quantile").mature()
    alone = build(MetricColumns(values, None), np.repeat([0, 1] * 200, 5).tolist(), definition, "quantile").mature()
    errors = [compare_arms(one, control=0, arm=1, alpha=0.05).at().standard_error for one in (clustered, alone)]
    assert errors[0] is not None
    assert errors[1] is not None
    assert errors[0] > 1.8 * errors[1]  # five copies of one value tell little more than one


def test_quantile__nobody_in_an_arm__is_undefined() -> None:
    definition = MetricDefinition(("Order",), "sum", window_hours=24, quantile=0.5)
    data = build(MetricColumns(np.array([1, 2, 3]), None), [0, 0, 0], definition, "quantile").mature()
    assert compare_arms(data, control=0, arm=1, alpha=0.05).at().reason is Reason.TOO_FEW_UNITS
    assert value_of_arm(data, 1) is None


def test_pooled_cap__is_one_number_for_all_arms_and_recorded() -> None:
    values = [0] * 50 + list(range(1, 51))
    definition = MetricDefinition(("Order",), "sum", window_hours=24, cap_percentile=90.0)
    columns = MetricColumns(np.array(values, dtype=np.int64), None)
    capped = build(columns, [0, 1] * 50, definition, "mean")
    assert capped.cap == pytest.approx(np.percentile(range(1, 51), 90))
    open_ = build(columns, [0, 1] * 50, definition, "mean", is_capped=False)
    assert open_.cap is None
    assert open_.mature().aggregates.mean("y").sum() > capped.mature().aggregates.mean("y").sum()
    nobody = build(MetricColumns(np.zeros(4, dtype=np.int64), None), [0, 1] * 2, definition, "mean")
    assert nobody.cap is None
