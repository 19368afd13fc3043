"""The peers' own estimates, so that their reference cases reach functions that take effect and error.

gbstats reports lifts by the linear delta method (ours: log ratio), hence these few lines of its
published formulas live with the tests and not in the engine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Estimate = tuple[float, float]


def gbstats_estimate(case: dict[str, Any], *, relative: bool) -> Estimate:
    """Effect and standard error of a case of proportions, means, ratios or their CUPED forms."""
    arms = [_arm(case["input"][name]) for name in ("control", "treatment")]
    theta = 0.0
    if "var_x" in arms[0]:
        theta = _theta(arms, ratio="m_post_sum" in case["input"]["control"])
    (c, t) = arms
    change = (t["y"] - theta * t.get("x", 0.0)) - (c["y"] - theta * c.get("x", 0.0))
    var_t = _adjusted(t, theta, 1.0) / t["n"]
    if not relative:
        return change, math.sqrt(var_t + _adjusted(c, theta, 1.0) / c["n"])
    # For a ratio with CUPED the peer takes the gradient at the adjusted lift, for a mean at the raw one.
    factor = 1 + change / c["y"] if "m_post_sum" in case["input"]["control"] else t["y"] / c["y"]
    var_c = _adjusted(c, theta, factor) / c["n"]
    return change / abs(c["y"]), math.sqrt((var_t + var_c) / c["y"] ** 2)


def _adjusted(arm: dict[str, float], theta: float, ratio: float) -> float:
    cross = 2 * theta * arm.get("cov", 0.0) * ratio
    return arm["var_y"] * ratio**2 - cross + theta**2 * arm.get("var_x", 0.0)


def _theta(arms: list[dict[str, float]], *, ratio: bool) -> float:
    if ratio:
        return sum(arm["cov"] for arm in arms) / sum(arm["var_x"] for arm in arms)
    n = sum(arm["n"] for arm in arms)
    total = {key: sum(arm[key] for arm in arms) for key in ("sy", "sx", "sxx", "sxy")}
    cov = total["sxy"] - total["sx"] * total["sy"] / n
    return cov / (total["sxx"] - total["sx"] ** 2 / n)


def _arm(data: dict[str, float]) -> dict[str, float]:
    n = data["n"]
    if "m_post_sum" in data:
        return _cuped_ratio_arm(data)
    if "m_sum" in data:
        mean_m, mean_d = data["m_sum"] / n, data["d_sum"] / n
        r = mean_m / mean_d
        var_m, var_d = (_cov(data[f"{k}_sum_squares"], data[f"{k}_sum"], data[f"{k}_sum"], n) for k in "md")
        cov = _cov(data["m_d_sum_of_products"], data["m_sum"], data["d_sum"], n)
        return {"n": n, "y": r, "var_y": (var_m - 2 * r * cov + r * r * var_d) / mean_d**2}
    if "post_sum" in data:
        sy, sx = data["post_sum"], data["pre_sum"]
        return {
            "n": n,
            "y": sy / n,
            "x": sx / n,
            "sy": sy,
            "sx": sx,
            "sxx": data["pre_sum_squares"],
            "sxy": data["post_pre_sum_of_products"],
            "var_y": _cov(data["post_sum_squares"], sy, sy, n),
            "var_x": _cov(data["pre_sum_squares"], sx, sx, n),
            "cov": _cov(data["post_pre_sum_of_products"], sy, sx, n),
        }
    mean = data["sum"] / n
    if "sum_squares" in data:
        return {"n": n, "y": mean, "var_y": _cov(data["sum_squares"], data["sum"], data["sum"], n)}
    return {"n": n, "y": mean, "var_y": mean * (1 - mean)}


def _cuped_ratio_arm(data: dict[str, float]) -> dict[str, float]:
    n = data["n"]
    names = ("m_post", "d_post", "m_pre", "d_pre")
    sums = [data[f"{name}_sum"] for name in names]
    m, d, mx, dx = (value / n for value in sums)
    sigma = np.empty((4, 4))
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            product = data[f"{one}_sum_squares"] if i == j else data.get(f"{one}_{other}", data.get(f"{other}_{one}"))
            assert product is not None
            sigma[i, j] = _cov(product, sums[i], sums[j], n)
    post = np.array([1 / d, -m / d**2, 0.0, 0.0])
    pre = np.array([0.0, 0.0, 1 / dx, -mx / dx**2])
    return {
        "n": n,
        "y": m / d,
        "x": mx / dx,
        "var_y": float(post @ sigma @ post),
        "var_x": float(pre @ sigma @ pre),
        "cov": float(post @ sigma @ pre),
    }


def _cov(products: float, sum_a: float, sum_b: float, n: float) -> float:
    return (products - sum_a * sum_b / n) / (n - 1)
