"""The Hillstrom e-mail experiment from its sums: proportion, mean and CUPED conventions to 1e-9."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.stats.aggregates import Aggregates, from_sums
from experiments.stats.cuped import compare_adjusted
from experiments.stats.mean import compare_means
from experiments.stats.proportion import compare_proportions
from experiments.stats.results import Comparison

TOLERANCE = 1e-9


def _cells(sums: dict[str, float]) -> Aggregates:
    products = {
        ("y", "y"): sums["sum_squares"],
        ("x", "x"): sums["covariate_sum_squares"],
        ("y", "x"): sums["cross_sum"],
    }
    return from_sums(["y", "x"], count=sums["n"], sums=[sums["sum"], sums["covariate_sum"]], products=products)


def _check(comparison: Comparison, expected: dict[str, Any]) -> None:
    result = comparison.at()
    assert result.effect_ci is not None
    assert result.lift_ci is not None
    assert result.effect == pytest.approx(expected["effect"], rel=TOLERANCE)
    assert [result.effect_ci.lower, result.effect_ci.upper] == pytest.approx(expected["effect_ci"], rel=TOLERANCE)
    assert result.p_value == pytest.approx(expected["p_value"], rel=TOLERANCE)
    assert result.lift == pytest.approx(expected["lift"], rel=TOLERANCE)
    assert [result.lift_ci.lower, result.lift_ci.upper] == pytest.approx(expected["lift_ci"], rel=TOLERANCE)
    assert result.lift_p_value == pytest.approx(expected["lift_p_value"], rel=TOLERANCE)


def test_comparisons__hillstrom__reproduced_from_the_sums(reference_dir: Path) -> None:
    data = json.loads((reference_dir / "hillstrom.json").read_text(encoding="utf-8"))
    assert data["comparisons"]
    for expected in data["comparisons"]:
        control, arm = _cells(expected["control_sums"]), _cells(expected["arm_sums"])
        if expected["kind"] == "proportion":
            c, t = expected["control_sums"], expected["arm_sums"]
            _check(compare_proportions(c["sum"], c["n"], t["sum"], t["n"]), expected)
        else:
            raw = compare_means(control, arm)
            _check(raw, expected)
            assert float(raw.df) == pytest.approx(expected["df"], rel=TOLERANCE)
        adjusted = compare_adjusted(control, arm)
        _check(adjusted.adjusted, expected["adjusted"])
        assert float(adjusted.theta[0]) == pytest.approx(expected["adjusted"]["theta"], rel=TOLERANCE)
        assert float(adjusted.adjusted.df) == pytest.approx(expected["adjusted"]["df"], rel=TOLERANCE)
        assert float(adjusted.adjusted.control) == pytest.approx(expected["adjusted"]["mean_control"], rel=TOLERANCE)
        assert float(adjusted.adjusted.treatment) == pytest.approx(expected["adjusted"]["mean_arm"], rel=TOLERANCE)
        saved = expected["adjusted"]["variance_saved"]
        assert float(adjusted.variance_saved) == pytest.approx(saved, rel=1e-6)
