"""Rows that have the sums of the reference: the data set itself may not be copied into the project."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TOLERANCE = 1e-9


def load_reference(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "hillstrom.json").read_text())
    return loaded


def write_rows(path: Path, reference: dict[str, Any], metric: str) -> None:
    """A file with one row per customer whose sums by arm are those of one metric."""
    rows: list[tuple[str, float, float]] = []
    comparisons = [one for one in reference["comparisons"] if one["metric"] == metric]
    kind = comparisons[0]["kind"]
    arms = {one["arm"]: one["arm_sums"] for one in comparisons}
    arms[comparisons[0]["control"]] = comparisons[0]["control_sums"]
    for arm, sums in arms.items():
        y, x = rebuild_flags(sums) if kind == "proportion" else rebuild_values(sums)
        rows += [(arm, one, other) for one, other in zip(y.tolist(), x.tolist(), strict=True)]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["segment", metric, "history"])
        writer.writerows((arm, f"{y:.0f}" if kind == "proportion" else f"{y:.15f}", f"{x:.13f}") for arm, y, x in rows)


def rebuild_values(sums: dict[str, float]) -> tuple[Floats, Floats]:
    """y = mean + s·u and x = mean + b·u + c·v with u, v = ±1, balanced and orthogonal."""
    n = int(sums["n"])
    m = n - n % 4
    u, v = np.zeros(n), np.zeros(n)
    u[:m], v[:m] = np.tile([1, 1, -1, -1], m // 4), np.tile([1, -1, 1, -1], m // 4)
    y_mean, x_mean = sums["sum"] / n, sums["covariate_sum"] / n
    s = np.sqrt((sums["sum_squares"] - n * y_mean**2) / m)
    b = (sums["cross_sum"] - n * y_mean * x_mean) / (s * m)
    c = np.sqrt((sums["covariate_sum_squares"] - n * x_mean**2) / m - b**2)
    return y_mean + s * u, x_mean + b * u + c * v


def rebuild_flags(sums: dict[str, float]) -> tuple[Floats, Floats]:
    """y = 1 for the first k; x has each group's mean plus an alternation that gives the squares."""
    n, k = int(sums["n"]), int(sums["sum"])
    y = np.zeros(n)
    y[:k] = 1
    means = np.where(y == 1, sums["cross_sum"] / k, (sums["covariate_sum"] - sums["cross_sum"]) / (n - k))
    swing = np.zeros(n)
    for start, stop in ((0, k), (k, n)):
        even = (stop - start) // 2 * 2
        swing[start : start + even] = np.tile([1, -1], even // 2)
    spread = (sums["covariate_sum_squares"] - (means**2).sum()) / np.abs(swing).sum()
    return y, means + np.sqrt(spread) * swing


def differences(found: dict[str, Any], reference: dict[str, Any], metrics: set[str]) -> list[str]:
    """Every figure that is not equal to the reference to 1e-9 relative, by name."""
    wanted = {(one["arm"], one["metric"]): one for one in reference["comparisons"] if one["metric"] in metrics}
    wrong = _differences("srm", found["srm"]["p_value"], reference["srm"]["p_value"])
    got = {(one["arm"], one["metric"]): one for one in found["comparisons"]}
    if got.keys() != wanted.keys():
        wrong.append(f"comparisons {sorted(got)}")
    for key, expected in wanted.items():
        one = got[key]
        names = ("kind", "control", "effect", "effect_ci", "p_value", "lift", "lift_ci", "lift_p_value")
        pairs = [(name, one[name], expected[name]) for name in names]
        pairs += [
            (f"adjusted {name}", one["adjusted"][name], expected["adjusted"][name])
            for name in (*names[2:], "covariates", "variance_saved")
        ]
        for arm in ("control", "arm"):
            pairs.append((f"n_{arm}", one[f"n_{arm}"], expected[f"{arm}_sums"]["n"]))
            pairs.append((f"mean_{arm}", one[f"mean_{arm}"], expected[f"{arm}_sums"]["mean"]))
        for name, value, other in pairs:
            wrong += _differences(f"{key} {name}", value, other)
    return wrong


def _differences(name: str, value: Any, expected: Any) -> list[str]:
    if isinstance(expected, list):
        return [
            text
            for index, (one, other) in enumerate(zip(value, expected, strict=True))
            for text in _differences(f"{name}[{index}]", one, other)
        ]
    if isinstance(expected, str):
        return [] if value == expected else [f"{name}: {value!r} is not {expected!r}"]
    return [] if abs(value - expected) <= TOLERANCE * abs(expected) else [f"{name}: {value!r} is not {expected!r}"]
