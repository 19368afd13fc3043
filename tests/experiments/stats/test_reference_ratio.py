"""Ratios and quantiles against gbstats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.stats.aggregates import from_sums
from experiments.stats.estimates import LiftMethod
from experiments.stats.quantile import QuantileSummary, cluster_factor, compare_quantiles, summarize
from experiments.stats.ratio import compare_ratios
from tests.experiments.stats.cases import CLOSED_FORM, cases_of
from tests.experiments.stats.reading import alpha_of, alternative_of, arm, expected_of, outcome_of


def test_compare_ratios__gbstats_cases__equal_to_the_closed_form(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "ratio"):
        result = compare_ratios(
            arm(case["input"]["control"]),
            arm(case["input"]["treatment"]),
            alpha=alpha_of(case),
            alternative=alternative_of(case),
            lift_method=LiftMethod.LINEAR,
        ).at()
        relative = case["settings"]["difference_type"] == "relative"
        assert outcome_of(result, relative=relative) == pytest.approx(expected_of(case), rel=1e-11), case["name"]
        assert result.df == pytest.approx(case["outputs"]["welch_dof"], rel=CLOSED_FORM)


def _summary(data: dict[str, Any]) -> QuantileSummary:
    factor = 1.0
    if "n_clusters" in data:
        units = from_sums(
            ["below", "observations"],
            count=data["n_clusters"],
            sums=[data["main_sum"], data["denominator_sum"]],
            products={
                ("below", "below"): data["main_sum_squares"],
                ("observations", "observations"): data["denominator_sum_squares"],
                ("below", "observations"): data["main_denominator_sum_product"],
            },
        )
        factor = float(cluster_factor(units, quantile=data["nu"]))
    return summarize(
        data["quantile_hat"],
        data["quantile_lower"],
        data["quantile_upper"],
        data["n"],
        quantile=data["nu"],
        n_star=data["n_star"],
        cluster_factor=factor,
    )


def test_compare_quantiles__gbstats_cases__equal_to_the_closed_form(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "quantile"):
        result = compare_quantiles(
            _summary(case["input"]["control"]),
            _summary(case["input"]["treatment"]),
            alpha=alpha_of(case),
            alternative=alternative_of(case),
            lift_method=LiftMethod.LINEAR,
        ).at()
        relative = case["settings"]["difference_type"] == "relative"
        assert outcome_of(result, relative=relative) == pytest.approx(expected_of(case), rel=1e-11), case["name"]
