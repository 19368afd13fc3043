from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from scipy import optimize

from experiments.stats.power import (
    Design,
    guardrail_power,
    linear_delta_mde,
    linear_delta_power,
    proportion_baseline,
    sample_size,
    sample_size_for,
)
from experiments.stats.results import Alternative
from experiments.stats.sequential import width_ratio
from experiments.stats.standardized import arcsine_sample_size, t_power, t_sample_size
from tests.experiments.stats.cases import cases_of, number


def cases_by(folder: Path, prefix: str) -> list[dict[str, Any]]:
    return [case for case in cases_of(folder, "power") if case["name"].startswith(prefix)]


def design_of(settings: dict[str, Any]) -> Design:
    side = Alternative.GREATER if settings.get("alternative") == "greater" else Alternative.TWO_SIDED
    return Design(alpha=settings["alpha"], power=settings.get("power", 0.8), alternative=side)


def test_reference_power__formula__agrees(reference_dir: Path) -> None:
    for case in cases_by(reference_dir, "formula_"):
        p0, p1 = case["input"]["p0"], case["input"]["p1"]
        told = sample_size(proportion_baseline(p0), p1 / p0 - 1, design=design_of(case["settings"]))
        assert told.exact_total == pytest.approx(2 * case["outputs"]["n_per_arm"], rel=1e-12)


def test_reference_power__growthbook_calculator__agrees(reference_dir: Path) -> None:
    for case in cases_by(reference_dir, "gbpower_"):
        settings, metric, out = case["settings"], case["input"]["metric"], case["outputs"]
        n = case["input"]["total_users_all_variations"] / case["input"]["n_variations"]
        if metric["type"] == "mean":
            mean, variance = metric["mean"], metric["standard_deviation"] ** 2
        else:
            mean = metric["conversion_rate"]
            variance = mean * (1 - mean)
        plan = Design(alpha=settings["alpha"], power=settings["target_power_for_mde"])
        tuning = settings["sequential_tuning_parameter"]
        width = float(width_ratio(2 * n, planned_units=tuning, alpha=settings["alpha"])) if tuning else 1.0
        power = linear_delta_power(mean, variance, settings["relative_effect"], n, design=plan, width=width)
        # The calculator's own normal quantile and distribution function hold about 1e-7.
        assert power == pytest.approx(out["power_at_relative_effect"], rel=1e-6), case["name"]
        told = linear_delta_mde(mean, variance, n, design=plan, width=width)
        assert told.mde == pytest.approx(out["relative_mde"], rel=1e-6), case["name"]


def test_reference_power__statsmodels__agrees(reference_dir: Path) -> None:
    for case in cases_by(reference_dir, "sm_"):
        plan, out = design_of(case["settings"]), case["outputs"]
        if "p0" in case["input"]:
            n = arcsine_sample_size(case["input"]["p0"], case["input"]["p1"], design=plan)
            assert n == pytest.approx(out["n_per_arm"], rel=1e-9), case["name"]
        else:
            d = case["input"]["d"]
            assert t_sample_size(d, design=plan) == pytest.approx(out["n_per_arm"], rel=1e-9), case["name"]
            assert t_power(d, 1_000, 1_000, design=plan) == pytest.approx(out["power_at_1000"], rel=1e-9)


def test_reference_power__spotify_sample_size__agrees(reference_dir: Path) -> None:
    for case in cases_by(reference_dir, "sp_sample_size"):
        data = case["input"]
        variance = data.get("baseline_variance") or data["baseline"] * (1 - data["baseline"])
        told = sample_size_for(data["absolute_mde"], variance, variance, design=design_of(case["settings"]))
        total, arms, _ = case["outputs"]["result"]
        assert told.exact_total is not None
        assert (math.ceil(told.exact_total), [told.control, told.treatment]) == (total, arms), case["name"]


def test_reference_power__spotify_calculator_with_guardrail__agrees(reference_dir: Path) -> None:
    for case in cases_by(reference_dir, "sp_ssc"):
        rows = case["outputs"]["rows"]
        guardrails = sum(not math.isnan(number(row["non-inferiority margin"])) for row in rows)
        for row in rows:
            power = guardrail_power(case["settings"]["power"], guardrails)
            assert power == pytest.approx(row["adjusted_power"])
            two_sided = row["preference_used_in_test"] == "two-sided"
            # Their one-sided guardrail spends half of the two-sided alpha.
            plan = Design(
                alpha=row["alpha"] if two_sided else row["alpha"] / 2,
                power=power,
                alternative=Alternative.TWO_SIDED if two_sided else Alternative.GREATER,
            )
            effect = row["alternative_hypothesis"] - row["null_hypothesis"]
            moved = row["avg"] + row["alternative_hypothesis"]
            treated = moved * (1 - moved) if row["binary"] else row["var"]
            told = sample_size_for(effect, row["var"], treated, design=plan)
            assert told.total == row["required_sample_size_for_metric"], row["metric_name"]


def test_reference_power__tea_tasting__agrees(reference_dir: Path) -> None:
    for case in cases_by(reference_dir, "tt_"):
        settings, out = case["settings"], case["outputs"]
        mean, sd = pooled(case)
        plan = design_of(settings)
        n_total = settings.get("n_obs")
        if settings["solve_for"] == "power":
            power = t_power(settings["rel_effect_size"] * mean / sd, n_total / 2, n_total / 2, design=plan)
            assert power == pytest.approx(out["power"], rel=1e-9), case["name"]
        elif settings["solve_for"] == "rel_effect_size":
            found = optimize.brentq(
                lambda d, n=n_total, plan=plan: t_power(d, n / 2, n / 2, design=plan) - 0.8, 1e-6, 1, xtol=1e-14
            )
            assert found * sd / mean == pytest.approx(out["rel_effect_size"], rel=1e-9), case["name"]
        elif settings.get("use_t", True):
            d = settings["rel_effect_size"] * mean / sd
            assert math.ceil(2 * t_sample_size(d, design=plan)) == out["n_obs"], case["name"]
        else:
            told = sample_size_for(settings["rel_effect_size"] * mean, sd**2, sd**2, design=plan)
            assert told.exact_total is not None
            assert math.ceil(told.exact_total) == out["n_obs"], case["name"]


def pooled(case: dict[str, Any]) -> tuple[float, float]:
    """Mean and sd of both arms taken as one sample, as the peer does before solving."""
    arms = [case["input"][name] for name in ("control", "treatment")]
    n, total = (sum(arm[key] for arm in arms) for key in ("n", "sum"))
    squares = sum(arm.get("sum_squares", arm["sum"]) for arm in arms)
    return total / n, math.sqrt((squares - total**2 / n) / (n - 1))
