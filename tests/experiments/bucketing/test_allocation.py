from __future__ import annotations

import growthbook.core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.bucketing.allocation import NO_ARM, arm_ranges, arm_table, in_range
from experiments.bucketing.hashing import BUCKETS

percents = st.lists(st.integers(1, 100), min_size=1, max_size=8)


def _weights(parts: list[int]) -> tuple[float, ...]:
    return tuple(part / sum(parts) for part in parts)


def test_arm_ranges__coverage__cuts_each_range() -> None:
    assert arm_ranges(weights=[0.5, 0.5], coverage=0.8) == [(0.0, 0.4), (0.5, 0.9)]


@given(parts=percents, coverage=st.integers(0, 100).map(lambda share: share / 100))
def test_arm_table__any_regime__equals_the_client(parts: list[int], coverage: float) -> None:
    weights = _weights(parts)
    ranges = growthbook.core.getBucketRanges(len(weights), coverage, list(weights))
    theirs = [growthbook.core.chooseVariation(number / BUCKETS, ranges) for number in range(BUCKETS)]
    ours = [-1 if position == NO_ARM else position for position in arm_table(weights=weights, coverage=coverage)]
    assert ours == theirs


@given(parts=percents, low=st.integers(0, 100), high=st.integers(0, 100))
def test_arm_table__raised_coverage__moves_nobody(parts: list[int], low: int, high: int) -> None:
    low, high = sorted((low, high))
    weights = _weights(parts)
    before = arm_table(weights=weights, coverage=low / 100)
    after = arm_table(weights=weights, coverage=high / 100)
    assert all(old in (NO_ARM, new) for old, new in zip(before, after, strict=True))


@given(parts=percents)
def test_arm_table__full_coverage__counts_follow_weights(parts: list[int]) -> None:
    weights = _weights(parts)
    table = arm_table(weights=weights, coverage=1.0)
    for position, weight in enumerate(weights):
        assert abs(table.count(position) - weight * BUCKETS) < 2  # each edge may round by less than one bucket


@pytest.mark.parametrize(
    ("weights", "coverage", "message"),
    [
        ((), 1.0, "1 to 254 arms"),
        ((0.5,) * 255, 1.0, "1 to 254 arms"),
        ((0.5, 0.6), 1.0, "sum to 1"),
        ((1.5, -0.5), 1.0, "each weight"),
        ((float("nan"), 0.5), 1.0, "each weight"),
        ((0.5, 0.5), 1.1, "coverage"),
        ((0.5, 0.5), -0.1, "coverage"),
    ],
)
def test_arm_table__nonsense__refused(weights: tuple[float, ...], coverage: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        arm_table(weights=weights, coverage=coverage)


def test_in_range__bounds__lower_in_upper_out() -> None:
    numbers = [number for number in range(BUCKETS) if in_range(number=number, lower=0.1, upper=0.3)]
    assert (numbers[0], numbers[-1], len(numbers)) == (1_000, 2_999, 2_000)
