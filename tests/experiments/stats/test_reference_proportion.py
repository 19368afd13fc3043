"""Proportions against gbstats, spotify-confidence and tea-tasting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.stats.estimates import LiftMethod, compare, estimate
from experiments.stats.exact import fisher_p_value
from experiments.stats.proportion import compare_proportions, contingency_p_value
from experiments.stats.results import Alternative
from experiments.stats.unconditional import barnard_p_value, boschloo_p_value
from tests.experiments.stats.cases import CLOSED_FORM, cases_of, number
from tests.experiments.stats.reading import alpha_of, alternative_of, expected_of, outcome_of, tea_tasting_of


def _of_engine(folder: Path, engine: str) -> list[dict[str, Any]]:
    found = [case for case in cases_of(folder, "proportion") if case["engine"] == engine]
    assert found
    return found


def _table(case: dict[str, Any]) -> tuple[int, int, int, int]:
    c, t = case["input"]["control"], case["input"]["treatment"]
    return c["sum"], c["n"], t["sum"], t["n"]


def test_compare_proportions__gbstats_cases__equal_with_students_t(reference_dir: Path) -> None:
    for case in _of_engine(reference_dir, "gbstats"):
        relative = case["settings"]["difference_type"] == "relative"
        result = compare_proportions(
            *_table(case),
            alpha=alpha_of(case),
            alternative=alternative_of(case),
            use_t=True,
            lift_method=LiftMethod.LINEAR,
        ).at()
        assert outcome_of(result, relative=relative) == pytest.approx(expected_of(case), rel=CLOSED_FORM), case["name"]
        assert result.df == pytest.approx(case["outputs"]["welch_dof"], rel=CLOSED_FORM)


def test_compare_proportions__spotify_cases__same_absolute_test(reference_dir: Path) -> None:
    for case in _of_engine(reference_dir, "spotify-confidence"):
        result, outputs = compare_proportions(*_table(case), alternative=alternative_of(case)).at(), case["outputs"]
        assert result.p_value == pytest.approx(outputs["p-value"], rel=CLOSED_FORM)
        assert result.standard_error == pytest.approx(outputs["std_err"], rel=CLOSED_FORM)
        assert result.effect_ci is not None
        # by design: the peer's relative interval forgets the noise of the control
        unit = 1.0 if outputs["absolute_difference"] else number(result.control)
        bounds = [result.effect_ci.lower / unit, result.effect_ci.upper / unit]
        assert bounds == pytest.approx([number(outputs["ci_lower"]), number(outputs["ci_upper"])], rel=CLOSED_FORM)


def test_compare_proportions__tea_tasting_normal_cases__equal_to_the_closed_form(reference_dir: Path) -> None:
    cases = [c for c in _of_engine(reference_dir, "tea-tasting") if c["settings"]["method"] == "norm"]
    assert cases
    for case in cases:
        settings = case["settings"]
        result = compare_proportions(
            *_table(case),
            alpha=alpha_of(case),
            alternative=alternative_of(case),
            pooled=settings["equal_var"],
            continuity=settings["correction"],
        )
        found = tea_tasting_of(result)
        expected = {key: number(case["outputs"][key]) for key in found}
        assert found == pytest.approx(expected, rel=CLOSED_FORM, abs=1e-14), case["name"]


def test_p_values_of_a_table__tea_tasting_cases__equal(reference_dir: Path) -> None:
    cases = [c for c in _of_engine(reference_dir, "tea-tasting") if c["settings"]["method"] != "norm"]
    assert cases
    for case in cases:
        table, settings = _table(case), case["settings"]
        method = settings["method"]
        if method == "boschloo":
            # the peer's search for the supremum stops at about 1e-12
            found, tolerance = boschloo_p_value(*table, alternative=alternative_of(case)), 1e-11
        elif method == "barnard":
            found, tolerance = (
                barnard_p_value(*table, alternative=alternative_of(case), pooled=settings["equal_var"]),
                1e-9,
            )
        elif method == "fisher":
            found, tolerance = fisher_p_value(*table, alternative=alternative_of(case)), CLOSED_FORM
        else:
            found, tolerance = (
                float(
                    contingency_p_value(
                        *table, log_likelihood=method == "log-likelihood", continuity=settings["correction"]
                    )
                ),
                CLOSED_FORM,
            )
        assert found == pytest.approx(case["outputs"]["pvalue"], rel=tolerance), case["name"]


def test_compare__spotify_non_inferiority__shifted_null_gives_its_p_value(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "non_inferiority"):
        margin, direction = case["settings"]["non_inferiority_margins"]
        better = Alternative.GREATER if direction == "increase" else Alternative.LESS
        plain = compare_proportions(*_table(case), alternative=better).at()
        null = number(plain.control) * margin * (-1 if direction == "increase" else 1)
        shifted = compare(
            estimate(null, 0.0), estimate(number(plain.effect), number(plain.standard_error)), alternative=better
        ).at()
        outputs = case["outputs"]
        assert null == pytest.approx(outputs["null_hypothesis"], rel=CLOSED_FORM)
        assert shifted.p_value == pytest.approx(outputs["p-value"], rel=CLOSED_FORM)
        assert plain.effect_ci is not None
        bounds = [plain.effect_ci.lower, plain.effect_ci.upper]
        assert bounds == pytest.approx([number(outputs["ci_lower"]), number(outputs["ci_upper"])], rel=CLOSED_FORM)
