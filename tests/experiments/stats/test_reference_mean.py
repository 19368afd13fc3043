"""Means against gbstats, scipy, spotify-confidence and tea-tasting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.stats.estimates import LiftMethod
from experiments.stats.mean import compare_means, mean_estimate
from experiments.stats.results import ComparisonResult, Reason
from tests.experiments.stats.cases import CLOSED_FORM, cases_of, number
from tests.experiments.stats.reading import (
    alpha_of,
    alternative_of,
    arm,
    expected_of,
    outcome_of,
    raw_arms,
    tea_tasting_of,
)


def _compare(case: dict[str, Any], **options: Any) -> ComparisonResult:
    arms = arm(case["input"]["control"]), arm(case["input"]["treatment"])
    return compare_means(*arms, alpha=alpha_of(case), alternative=alternative_of(case), **options).at()


def _of_engine(folder: Path, engine: str) -> list[dict[str, Any]]:
    found = [case for case in cases_of(folder, "mean") if case["engine"] == engine]
    assert found
    return found


def test_compare_means__gbstats_cases__equal_to_the_closed_form(reference_dir: Path) -> None:
    for case in _of_engine(reference_dir, "gbstats"):
        relative = case["settings"]["difference_type"] == "relative"
        result = _compare(case, lift_method=LiftMethod.LINEAR)
        if case["outputs"]["error"]:
            # the peer answers 0 with p = 1; here the p-value is undefined and says why
            assert result.p_value is None, case["name"]
            assert result.reason == Reason.TOO_FEW_UNITS
            continue
        assert outcome_of(result, relative=relative) == pytest.approx(expected_of(case), rel=CLOSED_FORM), case["name"]
        assert result.df == pytest.approx(case["outputs"]["welch_dof"], rel=CLOSED_FORM)


def test_compare_means__scipy_case__same_statistic_and_p_value(reference_dir: Path) -> None:
    for case in _of_engine(reference_dir, "scipy"):
        result = _compare(case)
        assert result.effect is not None
        assert result.standard_error is not None
        assert result.effect / result.standard_error == pytest.approx(case["outputs"]["t"], rel=CLOSED_FORM)
        assert result.p_value == pytest.approx(case["outputs"]["p_value"], rel=CLOSED_FORM)


def test_compare_means__spotify_cases__same_absolute_test(reference_dir: Path) -> None:
    for case in _of_engine(reference_dir, "spotify-confidence"):
        result = _compare(case, use_t=case["settings"]["test"] != "ZTest")
        outputs = case["outputs"]
        assert result.p_value == pytest.approx(outputs["p-value"], rel=CLOSED_FORM), case["name"]
        assert result.standard_error == pytest.approx(outputs["std_err"], rel=CLOSED_FORM)
        assert result.effect_ci is not None
        bounds = [result.effect_ci.lower, result.effect_ci.upper]
        if not outputs["absolute_difference"]:
            # by design: the peer divides the absolute interval by the control mean and forgets its noise
            bounds = [bound / number(result.control) for bound in bounds]
        assert bounds == pytest.approx([number(outputs["ci_lower"]), number(outputs["ci_upper"])], rel=1e-11)


def test_compare_means__tea_tasting_cases__equal_to_the_closed_form(reference_dir: Path) -> None:
    for case in _of_engine(reference_dir, "tea-tasting"):
        settings = case["settings"]
        options: dict[str, Any] = {"alpha": alpha_of(case), "alternative": alternative_of(case)}
        use_t, equal = settings.get("use_t", True), settings.get("equal_var", False)
        arms = arm(case["input"]["control"]), arm(case["input"]["treatment"])
        result = compare_means(*arms, use_t=use_t, equal_variance=equal, **options)
        own_df = (mean_estimate(arms[0]), mean_estimate(arms[1])) if use_t and not equal else None
        found = tea_tasting_of(result, own_df, **options)
        expected = {key: number(case["outputs"][key]) for key in found}
        assert found == pytest.approx(expected, rel=CLOSED_FORM, abs=1e-14), case["name"]
        # with the effect's degrees of freedom the bounds differ by less than a millionth of the error
        ours = tea_tasting_of(result)
        assert ours == pytest.approx(expected, rel=1e-5), case["name"]


def test_compare_means__raw_values__welch_of_scipy_and_tea_tasting(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "tiny_raw"):
        cells = raw_arms(case)
        result, outputs = compare_means(*cells), case["outputs"]
        if case["name"].startswith("tiny_scipy_welch"):
            bounds = [float(result.effect_ci.lower), float(result.effect_ci.upper)]
            assert float(result.p_value) == pytest.approx(outputs["p_value"], rel=CLOSED_FORM)
            assert float(result.df) == pytest.approx(outputs["df"], rel=CLOSED_FORM)
            assert bounds == pytest.approx(outputs["ci"], rel=CLOSED_FORM)
        if case["name"].startswith("tiny_tt_mean"):
            found = tea_tasting_of(result, (mean_estimate(cells[0]), mean_estimate(cells[1])))
            expected = {key: number(outputs[key]) for key in found}
            assert found == pytest.approx(expected, rel=CLOSED_FORM)
