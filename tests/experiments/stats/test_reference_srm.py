from __future__ import annotations

from pathlib import Path

import pytest

from experiments.stats.srm import exact_srm_p_value, sequential_srm, srm_test
from tests.experiments.stats.cases import cases_of


def test_reference_srm__chi_square_cases__agree(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "srm"):
        if case["engine"] == "tea-tasting":
            continue
        users = case["input"]["users"]
        weights = case["input"].get("weights") or case["settings"]["expected"]
        result = srm_test(users, weights).at()
        if min(weights) > 0:
            assert result.p_value == pytest.approx(case["outputs"]["p_value"], rel=1e-11), case["name"]
        else:
            # The peer counts the leaked units in the total and the arm in df (its defect 3).
            assert result.leaked == sum(u for u, w in zip(users, weights, strict=True) if w == 0), case["name"]
            assert result.p_value != pytest.approx(case["outputs"]["p_value"], rel=1e-3), case["name"]


def test_reference_srm__tea_tasting_cases__agree(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "srm"):
        if case["engine"] != "tea-tasting":
            continue
        control, treatment = case["input"]["control"], case["input"]["treatment"]
        ratio = case["settings"]["ratio_treatment_to_control"]
        if case["settings"]["method"] == "binom":
            p_value = exact_srm_p_value(treatment, control + treatment, ratio / (1 + ratio))
        else:
            check = srm_test([control, treatment], [1, ratio], continuity=case["settings"]["correction"])
            p_value = float(check.p_value)
        assert p_value == pytest.approx(case["outputs"]["pvalue"], rel=1e-10), case["name"]


def test_reference_sequential_srm__all_cases__agree(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "sequential_srm"):
        concentration = float(case["settings"]["dirichlet_alpha"].split()[0])
        result = sequential_srm(case["input"]["users"], case["input"]["weights"], concentration=concentration).at()
        assert result.statistic == pytest.approx(case["outputs"]["log_bayes_factor"], rel=1e-12), case["name"]
        assert result.p_value == pytest.approx(case["outputs"]["p_value_at_this_look"], rel=1e-12), case["name"]
