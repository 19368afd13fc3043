from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.stats.results import Alternative
from experiments.stats.sequential import (
    SequentialTest,
    accumulate_p_values,
    confidence_sequence,
    mixture_rho,
    msprt,
    width_ratio,
)
from tests.experiments.stats.cases import CLOSED_FORM, cases_of, number

ALTERNATIVES = {
    "SequentialTwoSidedTTest": Alternative.TWO_SIDED,
    "SequentialOneSidedTreatmentLesserTTest": Alternative.LESS,
    "SequentialOneSidedTreatmentGreaterTTest": Alternative.GREATER,
}


def units_of(case: dict[str, Any]) -> tuple[int, int]:
    return case["input"]["control"]["n"], case["input"]["treatment"]["n"]


def test_reference_sequential__gbstats_cases__agree(reference_dir: Path) -> None:
    """The peer's effect and standard error (its own conventions, tested elsewhere) through our sequence."""
    kinds = [f"sequential_{kind}" for kind in ("mean", "proportion", "ratio", "cuped_mean", "cuped_ratio")]
    for case in cases_of(reference_dir, *kinds):
        settings, out = case["settings"], case["outputs"]
        look = confidence_sequence(
            out["expected"],
            out["stderr"],
            *units_of(case),
            planned_units=settings["sequential_tuning_parameter"],
            alpha=settings["alpha"],
            alternative=ALTERNATIVES[settings["test"]],
        )
        lower, upper = (number(bound) for bound in out["ci"])
        scale = abs(out["expected"]) + out["halfwidth"]
        assert_bound(float(look.interval.lower), lower, scale, case["name"])
        assert_bound(float(look.interval.upper), upper, scale, case["name"])
        if settings["test"] == "SequentialTwoSidedTTest":
            assert float(look.p_value) == pytest.approx(out["p_value"], rel=1e-11), case["name"]
        else:
            assert_one_sided(look, out)
        rho = mixture_rho(
            settings["alpha"] * (1 if "Two" in settings["test"] else 2), settings["sequential_tuning_parameter"]
        )
        assert float(rho) == pytest.approx(out["rho"], rel=CLOSED_FORM), case["name"]


def assert_bound(ours: float, theirs: float, scale: float, name: str) -> None:
    if math.isinf(theirs):
        assert ours == theirs, name
    else:
        assert abs(ours - theirs) <= CLOSED_FORM * scale, name


def assert_one_sided(look: SequentialTest, out: dict[str, Any]) -> None:
    """The peer clips one-sided p to [1e-5, 0.4999] (its defect 6); inside, both sides of alpha agree."""
    if out["p_value"] == 0.4999:
        assert float(look.p_value) > 0.4999
    elif out["p_value"] > 1e-5:
        assert (float(look.p_value) < 0.05) == (out["p_value"] < 0.05)


def test_reference_sequential__path_of_looks__agrees(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "sequential_path"):
        looks = case["outputs"]["looks"]
        p_values = []
        for look in looks:
            n_c, n_t = look["control"]["n"], look["treatment"]["n"]
            c, t = look["control"]["sum"] / n_c, look["treatment"]["sum"] / n_t
            # gbstats' linear delta method for the lift of proportions.
            variance = t * (1 - t) / n_t / c**2 + c * (1 - c) / n_c * t**2 / c**4
            result = confidence_sequence(
                t / c - 1,
                math.sqrt(variance),
                n_c,
                n_t,
                planned_units=case["settings"]["sequential_tuning_parameter"],
                alpha=case["settings"]["alpha"],
            )
            assert float(result.interval.lower) == pytest.approx(look["sequential_ci"][0], rel=1e-11)
            assert float(result.interval.upper) == pytest.approx(look["sequential_ci"][1], rel=1e-11)
            assert float(result.p_value) == pytest.approx(look["sequential_p"], rel=1e-10)
            p_values.append(float(result.p_value))
        running = accumulate_p_values(p_values)
        assert running[-1] == pytest.approx(min(look["sequential_p"] for look in looks), rel=1e-10)


def test_reference_sequential__rho_table__agrees(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "sequential_rho"):
        for label, rho in case["outputs"].items():
            alpha, planned = (float(part.split("=")[1]) for part in label.split(","))
            assert float(mixture_rho(alpha, planned)) == pytest.approx(rho, rel=CLOSED_FORM), label


def test_reference_sequential__price_table__agrees(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "sequential_table"):
        for label, row in case["outputs"].items():
            planned = float(label.split("=")[1])
            units = np.array([float(n) for n in row])
            ratios = width_ratio(units, planned_units=planned, alpha=case["settings"]["alpha"])
            assert ratios == pytest.approx(list(row.values()), rel=CLOSED_FORM), label


def test_reference_msprt__all_cases__agree(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "msprt"):
        c, t, n = (case["input"][name] for name in ("p_control", "p_treatment", "n_per_arm"))
        error = math.sqrt((c * (1 - c) + t * (1 - t)) / n)
        look = msprt(t - c, error, prior_variance=case["settings"]["tau2"], alpha=case["settings"]["alpha"])
        half_width = float(look.interval.upper - look.interval.lower) / 2
        assert float(look.p_value) == pytest.approx(case["outputs"]["p_value"], rel=CLOSED_FORM), case["name"]
        assert half_width == pytest.approx(case["outputs"]["ci_halfwidth"], rel=CLOSED_FORM), case["name"]
