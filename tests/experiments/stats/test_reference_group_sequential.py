from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from experiments.stats.group_sequential import Spending, group_bounds, repeated_interval
from tests.experiments.stats.cases import cases_of

TOLERANCE = 1e-4  # the file's, for own and Spotify's integration; ours agrees to 1e-7 with the former


def spending_of(words: str) -> Spending:
    if "Phi" in words:
        return Spending.OBRIEN_FLEMING
    return Spending.POCOCK if "ln(" in words else Spending.POWER


def test_reference_group_sequential__bounds__agree(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "group_sequential"):
        if "information_fractions" not in case["input"]:
            continue
        settings, out = case["settings"], case["outputs"]
        told = group_bounds(
            case["input"]["information_fractions"],
            alpha=settings["alpha"],
            sides=settings["sides"],
            spending=spending_of(settings["spending"]),
        )
        assert told.z == pytest.approx(out["z_bounds"], abs=TOLERANCE), case["name"]
        nominal = out.get("nominal_two_sided_alpha") or out["nominal_alpha"]
        assert told.nominal_alpha == pytest.approx(nominal, abs=TOLERANCE), case["name"]
        if "cumulative_alpha_spent_per_side" in out:
            spent = [each * settings["sides"] for each in out["cumulative_alpha_spent_per_side"]]
            assert told.spent == pytest.approx(spent, rel=1e-12), case["name"]


def test_reference_group_sequential__spotify_looks__agree(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "group_sequential"):
        if "rows" not in case["input"]:
            continue
        rows, told = case["input"]["rows"], case["outputs"]["rows"]
        control = [row for row in rows if row["v"] == "control"]
        treatment = [row for row in rows if row["v"] == "treatment"]
        pairs = list(zip(control, treatment, strict=True))
        times = [(c["n"] + t["n"]) / case["settings"]["final_expected_sample_size"] for c, t in pairs]
        bounds = group_bounds(times, alpha=case["settings"]["alpha"], spending=Spending.POWER)
        effects = np.array([t["s"] / t["n"] - c["s"] / c["n"] for c, t in pairs])
        errors = np.array([math.sqrt(sum(variance(arm) / arm["n"] for arm in pair)) for pair in pairs])
        interval = repeated_interval(effects, errors, bounds)
        assert effects == pytest.approx([row["difference"] for row in told])
        assert bounds.nominal_alpha == pytest.approx([row["adjusted_alpha"] for row in told], abs=TOLERANCE)
        assert interval.lower == pytest.approx([row["adjusted ci_lower"] for row in told], abs=TOLERANCE)
        assert interval.upper == pytest.approx([row["adjusted ci_upper"] for row in told], abs=TOLERANCE)


def variance(arm: dict[str, float]) -> float:
    rate = arm["s"] / arm["n"]
    return rate * (1 - rate)
