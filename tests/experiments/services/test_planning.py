"""The sample-size helper, held against the statistics engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

from experiments.services.planning import plan
from experiments.stats.sequential import width_ratio


def test_plan__single_look__is_the_textbook_number() -> None:
    found = plan(baseline=0.1, mde=0.1, alpha=0.05, power=0.8)
    # (1.959964 + 0.841621)² (0.1·0.9 + 0.11·0.89) / 0.01² = 14,748.1 per arm
    assert found.total_single_look == 2 * 14_749 - 1
    assert found.mde_abs == pytest.approx(0.01)


def test_plan__every_day__holds_the_power_at_the_planned_size() -> None:
    found = plan(baseline=0.1, mde=0.1)
    assert found.total is not None
    error = np.sqrt((0.1 * 0.9 + 0.11 * 0.89) / (found.total / 2))
    quantile = 1.959963984540054 * float(width_ratio(found.total, planned_units=found.total))
    assert special.ndtr(0.01 / error - quantile) == pytest.approx(0.8, abs=1e-4)
    assert found.total_single_look is not None
    assert 1.9 < found.total / found.total_single_look < 1.93


def test_plan__mean__uses_its_deviation() -> None:
    found = plan(baseline=20.0, mde=0.1, standard_deviation=40.0)
    # 2 · 2 · (1.959964 + 0.841621)² · 1600 / 4
    assert found.total_single_look == 12_559


def test_plan__unequal_arms__serve_the_worst_pair() -> None:
    found = plan(baseline=0.1, mde=0.1, weights=(8, 1, 1))
    assert found.total is not None
    assert found.per_arm == pytest.approx([0.8 * found.total, 0.1 * found.total, 0.1 * found.total], abs=1)
    equal = plan(baseline=0.1, mde=0.1)
    assert equal.total is not None
    assert found.total > equal.total


def test_plan__daily_units__give_whole_weeks() -> None:
    found = plan(baseline=0.1, mde=0.1, daily_units=5_000)
    assert found.days == 14
    assert plan(baseline=0.1, mde=0.1, daily_units=0).days is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": (1.0,)}, "weights"),
        ({"weights": (1.0, 0.0)}, "weights"),
        ({"alpha": 0.0}, "alpha"),
        ({"power": 0.01}, "power"),
        ({"mde": 0.0}, "mde"),
        ({"baseline": 0.0}, "baseline"),
        ({"baseline": 1.0}, "baseline"),
        ({"baseline": 0.9, "mde": 0.2}, "mde_above_one"),
        ({"standard_deviation": -1.0}, "standard_deviation"),
    ],
)
def test_plan__no_answer_exists__says_why(changes: dict[str, Any], reason: str) -> None:
    found = plan(**{"baseline": 0.1, "mde": 0.1, **changes})
    assert found.total is None
    assert found.days is None
    assert found.reason == reason
