"""CUPED, post-stratification and regression against gbstats, tea-tasting, spotify-confidence, mozanalysis."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.stats.cuped import LiftBase, Theta, adjust, compare_adjusted
from experiments.stats.estimates import LiftMethod, compare, estimate
from experiments.stats.linear import Term
from experiments.stats.regression import compare_ancova
from experiments.stats.results import ComparisonResult
from experiments.stats.rows import bootstrap, mann_whitney
from experiments.stats.stratification import StratumModel, compare_stratified
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

RATIO: Term = ("m_post", "d_post")
BEFORE: Term = ("m_pre", "d_pre")


def _gbstats(case: dict[str, Any], **options: Any) -> ComparisonResult:
    relative = case["settings"]["difference_type"] == "relative"
    data = case["input"].get("sufficient_statistics", case["input"])
    result = compare_adjusted(
        arm(data["control"]),
        arm(data["treatment"]),
        alpha=alpha_of(case),
        alternative=alternative_of(case),
        lift_base=LiftBase.UNADJUSTED,
        **options,
    )
    expected = expected_of(case)
    found = result.adjusted.at()
    assert outcome_of(found, relative=relative) == pytest.approx(expected, rel=1e-11), case["name"]
    if "theta" in case["outputs"]:
        assert result.theta.tolist() == pytest.approx([case["outputs"]["theta"]], rel=CLOSED_FORM)
    return found


def test_compare_adjusted__gbstats_means__equal_to_the_closed_form(reference_dir: Path) -> None:
    cases = [c for c in cases_of(reference_dir, "cuped_mean", "tiny_raw") if c["engine"].startswith("gbstats")]
    assert cases
    for case in cases:
        found = _gbstats(case)
        assert found.df == pytest.approx(case["outputs"].get("welch_dof", case["outputs"].get("dof")), rel=CLOSED_FORM)


def test_compare_adjusted__gbstats_proportions__equal_with_divisor_n(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "cuped_proportion"):
        found = _gbstats(case, ddof=0)
        assert found.df == pytest.approx(case["outputs"]["welch_dof"], rel=CLOSED_FORM)


def test_compare_adjusted__gbstats_ratios__equal_with_theta_within_arms(reference_dir: Path) -> None:
    for case in [c for c in cases_of(reference_dir, "cuped_ratio") if c["engine"] == "gbstats"]:
        _gbstats(case, outcome=RATIO, covariates=[BEFORE], theta=Theta.WITHIN_ARMS)


def test_compare_adjusted__gbstats_sequential_ratio__same_relative_error(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "sequential_cuped_ratio", "sequential_cuped_mean"):
        ratio = case["kind"].endswith("ratio")
        options: dict[str, Any] = {}
        if ratio:
            options = {"outcome": RATIO, "covariates": [BEFORE], "theta": Theta.WITHIN_ARMS}
        result = compare_adjusted(
            arm(case["input"]["control"]),
            arm(case["input"]["treatment"]),
            lift_base=LiftBase.UNADJUSTED,
            **options,
        ).adjusted
        assert float(result.lift) == pytest.approx(case["outputs"]["expected"], rel=1e-11)
        assert float(result.lift_standard_error) == pytest.approx(case["outputs"]["stderr"], rel=1e-11)


def test_compare_adjusted__tea_tasting_cases__equal_by_default(reference_dir: Path) -> None:
    cases = [c for c in cases_of(reference_dir, "cuped_mean", "cuped_ratio") if c["engine"] == "tea-tasting"]
    assert cases
    for case in cases:
        options: dict[str, Any] = {}
        if case["kind"] == "cuped_ratio":
            options = {"outcome": RATIO, "covariates": [BEFORE]}
        cells = [arm(case["input"][name]) for name in ("control", "treatment")]
        test: dict[str, Any] = {"alpha": alpha_of(case), "alternative": alternative_of(case)}
        arms = adjust(cells[0], cells[1], **options)
        result = compare_adjusted(cells[0], cells[1], **options, **test).adjusted
        found = tea_tasting_of(result, (arms.control, arms.treatment), **test)
        expected = {key: number(case["outputs"][key]) for key in found}
        # the effect is a difference of two means of about 0.7 and 5e-4 of them: 1e-12 of the means
        assert found == pytest.approx(expected, rel=1e-11, abs=1e-12), case["name"]


def test_compare_adjusted__spotify_regression__within_its_known_error(reference_dir: Path) -> None:
    for case in [c for c in cases_of(reference_dir, "cuped_mean") if c["engine"] == "spotify-confidence"]:
        arms = arm(case["input"]["control"]), arm(case["input"]["treatment"])
        result = compare_adjusted(*arms).adjusted.at()
        assert result.effect == pytest.approx(case["outputs"]["difference"], rel=1e-11)
        # the peer mixes n and n − 1, so its error is 0.03 % off the other two engines
        assert result.standard_error == pytest.approx(case["outputs"]["std_err"], rel=4e-4)


def test_compare_stratified__gbstats_cases__equal_to_the_closed_form(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "post_stratification", "post_stratification_cuped"):
        strata = case["input"]["strata"]
        result = compare_stratified(
            arm([s["control"] for s in strata]),
            arm([s["treatment"] for s in strata]),
            covariates=["pre"] if case["kind"].endswith("cuped") else [],
            model=StratumModel.ANCOVA,
            alpha=alpha_of(case),
            lift_method=LiftMethod.LINEAR,
        )
        chosen = result.adjusted if case["settings"]["post_stratify"] else result.raw
        relative = case["settings"]["difference_type"] == "relative"
        found = outcome_of(chosen.at(), relative=relative)
        assert found == pytest.approx(expected_of(case), rel=1e-11), case["name"]


def test_compare_stratified__cuped_in_strata__near_the_engine_that_pools_residuals(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "post_stratification_cuped"):
        strata = case["input"]["strata"]
        result = compare_stratified(
            arm([s["control"] for s in strata]), arm([s["treatment"] for s in strata]), covariates=["pre"]
        ).adjusted.at()
        if case["settings"]["difference_type"] == "absolute":
            assert result.effect == pytest.approx(case["outputs"]["expected"], rel=1e-4)
            assert result.standard_error == pytest.approx(case["outputs"]["stderr"], rel=1e-3)


def test_compare_ancova__mozanalysis_cases__equal_absolute_effect(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "linear_model_small_raw"):
        covariates = ["pre"] if case["settings"]["covariate"] else []
        adjusted = compare_ancova(*raw_arms(case), outcome="post", covariates=covariates, alpha=alpha_of(case)).adjusted
        found, expected = adjusted.at(), case["outputs"]["comparative"]["treatment"]
        assert found.effect_ci is not None
        assert [found.effect, found.effect_ci.lower, found.effect_ci.upper] == pytest.approx(
            [expected["abs_uplift|exp"], expected["abs_uplift|0.025"], expected["abs_uplift|0.975"]], rel=1e-11
        )
        peer = [expected["rel_uplift|exp"], expected["rel_uplift|0.025"], expected["rel_uplift|0.975"]]
        assert _mozanalysis_lift(case) == pytest.approx(peer, rel=1e-7), case["name"]  # numerical gradients there
        # the means at the pooled covariate, with Student's quantiles, are ours
        assert [number(found.lift)] == pytest.approx(peer[:1], abs=5e-4)


def _mozanalysis_lift(case: dict[str, Any]) -> list[float]:
    """Its lift: normal quantiles, and means predicted at the mean of 10,000 quantiles of the covariate."""
    arms = [case["input"][name] for name in ("control", "treatment")]
    y, x = (np.array(arms[0][key] + arms[1][key], dtype=float) for key in ("post", "pre"))
    treated = np.repeat([0.0, 1.0], [len(arms[0]["post"]), len(arms[1]["post"])])
    columns = [np.ones(y.size), treated]
    at = 0.0
    if case["settings"]["covariate"]:
        columns.append(x)
        at = float(np.quantile(x, np.arange(0, 1, 0.0001)).mean())
    design = np.column_stack(columns)
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ y
    residual = y - design @ beta
    points = np.array([[1.0, 0.0, at], [1.0, 1.0, at]])[:, : design.shape[1]]
    cov = points @ inverse @ points.T * (residual @ residual) / (y.size - design.shape[1])
    c, t = points @ beta
    result = compare(
        estimate(c, math.sqrt(cov[0, 0])), estimate(t, math.sqrt(cov[1, 1])), covariance=cov[0, 1], alpha=alpha_of(case)
    ).at()
    assert result.lift_ci is not None
    return [number(result.lift), result.lift_ci.lower, result.lift_ci.upper]


def test_row_methods__tea_tasting_raw_cases__equal(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "tiny_raw"):
        control, treatment = (case["input"][name]["post"] for name in ("control", "treatment"))
        outputs = case["outputs"]
        if case["name"].startswith("tiny_tt_mw"):
            # the case named "exact" holds the normal approximation without continuity correction
            rank = mann_whitney(control, treatment, continuity=not case["name"].endswith("exact"))
            assert rank.p_value == pytest.approx(outputs["pvalue"], rel=CLOSED_FORM)
            assert rank.treatment_exceeds == pytest.approx(outputs["treatment"], rel=CLOSED_FORM)
        if case["name"].startswith("tiny_tt_med"):
            drawn = bootstrap(
                control, treatment, lambda a: np.median(a, axis=-1), rng=np.random.default_rng(42), resamples=10_000
            )
            assert drawn.effect == outputs["effect_size"]
            assert drawn.lift == pytest.approx(outputs["rel_effect_size"], rel=CLOSED_FORM)
            bounds = [float(drawn.effect_ci.lower), float(drawn.effect_ci.upper)]
            assert bounds == pytest.approx([outputs["effect_size_ci_lower"], outputs["effect_size_ci_upper"]], abs=0.02)
