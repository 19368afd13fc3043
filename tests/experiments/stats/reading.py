"""From the arms of a reference case to aggregates, and what the peers' settings mean here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.stats.aggregates import Aggregates, aggregate, from_sums
from experiments.stats.estimates import Estimate, estimate, significance, welch_df
from experiments.stats.results import Alternative, Comparison, ComparisonResult
from tests.experiments.stats.cases import number

NAMES = ("m_post", "d_post", "m_pre", "d_pre")


def arm(data: dict[str, Any] | Sequence[dict[str, Any]]) -> Aggregates:
    """One arm of sums, or a list of strata as an axis."""
    cells = [data] if isinstance(data, dict) else list(data)
    first = cells[0]

    def get(key: str) -> Any:
        found = [float(cell[key]) for cell in cells]
        return found[0] if isinstance(data, dict) else found

    if "m_post_sum" in first:
        products = {
            (a, b): get(f"{a}_sum_squares" if a == b else f"{a}_{b}" if f"{a}_{b}" in first else f"{b}_{a}")
            for i, a in enumerate(NAMES)
            for b in NAMES[i:]
        }
        return from_sums(NAMES, count=get("n"), sums=[get(f"{name}_sum") for name in NAMES], products=products)
    if "m_sum" in first:
        products = {
            ("m", "m"): get("m_sum_squares"),
            ("d", "d"): get("d_sum_squares"),
            ("m", "d"): get("m_d_sum_of_products"),
        }
        return from_sums(["m", "d"], count=get("n"), sums=[get("m_sum"), get("d_sum")], products=products)
    if "post_sum" in first:
        # a 0/1 column is its own square
        squares = {
            name: get(f"{name}_sum_squares" if f"{name}_sum_squares" in first else f"{name}_sum")
            for name in ("post", "pre")
        }
        products = {
            ("post", "post"): squares["post"],
            ("pre", "pre"): squares["pre"],
            ("post", "pre"): get("post_pre_sum_of_products"),
        }
        sums = [get("post_sum"), get("pre_sum")]
        return from_sums(["post", "pre"], count=get("n"), sums=sums, products=products)
    return from_sums(["y"], count=get("n"), sums=[get("sum")], products={("y", "y"): get("sum_squares")})


def raw_arms(case: dict[str, Any]) -> tuple[Aggregates, Aggregates]:
    """Both arms of a case that gives the units' values."""
    control, treatment = case["input"]["control"], case["input"]["treatment"]
    cells = aggregate(
        {"post": control["post"] + treatment["post"], "pre": control["pre"] + treatment["pre"]},
        groups=[0] * len(control["post"]) + [1] * len(treatment["post"]),
    )
    return cells[0], cells[1]


def alternative_of(case: dict[str, Any]) -> Alternative:
    """The side of the test a case asks for."""
    settings = case["settings"]
    words = f"{settings.get('test', '')} {settings.get('alternative', '')}".lower()
    if "greater" in words:
        return Alternative.GREATER
    return Alternative.LESS if "less" in words else Alternative.TWO_SIDED


def alpha_of(case: dict[str, Any]) -> float:
    """The size of a case's test."""
    settings = case["settings"]
    return float(settings.get("alpha", 1 - settings.get("confidence_level", 0.95)))


def outcome_of(result: ComparisonResult, *, relative: bool) -> dict[str, float | None]:
    """The numbers of one scale under the names gbstats uses."""
    interval = result.lift_ci if relative else result.effect_ci
    return {
        "expected": result.lift if relative else result.effect,
        "p_value": result.lift_p_value if relative else result.p_value,
        "lower": None if interval is None else interval.lower,
        "upper": None if interval is None else interval.upper,
    }


def expected_of(case: dict[str, Any]) -> dict[str, float]:
    """A gbstats case's answer under the same names."""
    outputs = case["outputs"]
    return {
        "expected": number(outputs["expected"]),
        "p_value": number(outputs["p_value"]),
        "lower": number(outputs["ci"][0]),
        "upper": number(outputs["ci"][1]),
    }


def tea_tasting_of(
    comparison: Comparison,
    arms: tuple[Estimate, Estimate] | None = None,
    *,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> dict[str, float]:
    """Effect, lift and intervals under the names tea-tasting uses; its p-value is the absolute one.

    By design its lift interval has degrees of freedom of its own, Welch's formula on the squared
    coefficients of variation; here both scales have those of the effect. `arms` asks for its way.
    """
    interval = comparison.lift_ci
    if arms is not None:
        relative = [estimate(1.0, arm.standard_error / arm.value, arm.df) for arm in arms]
        df = welch_df(relative[0], relative[1])
        error = comparison.log_ratio_standard_error
        log = significance(comparison.log_ratio, error, df, alpha=alpha, alternative=alternative).interval
        lower = np.where(np.isinf(log.lower), log.lower, np.expm1(log.lower))
        interval = replace(log, lower=lower, upper=np.expm1(log.upper))
    return {
        "effect_size": float(comparison.effect),
        "effect_size_ci_lower": float(comparison.effect_ci.lower),
        "effect_size_ci_upper": float(comparison.effect_ci.upper),
        "rel_effect_size": float(comparison.lift),
        "rel_effect_size_ci_lower": float(interval.lower),
        "rel_effect_size_ci_upper": float(interval.upper),
        "pvalue": float(comparison.p_value),
    }
