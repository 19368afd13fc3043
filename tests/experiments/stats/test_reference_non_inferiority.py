from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from experiments.stats.guardrail import absolute_margin, non_inferiority
from experiments.stats.power import Design, sample_size_for
from experiments.stats.results import Alternative
from tests.experiments.stats.cases import CLOSED_FORM, cases_of, number


def test_reference_non_inferiority__spotify_cases__agree(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "non_inferiority"):
        control, treatment = case["input"]["control"], case["input"]["treatment"]
        margin, direction = case["settings"]["non_inferiority_margins"]
        c, t = control["sum"] / control["n"], treatment["sum"] / treatment["n"]
        error = math.sqrt(c * (1 - c) / control["n"] + t * (1 - t) / treatment["n"])
        out = case["outputs"]
        told = non_inferiority(
            t - c, error, margin=absolute_margin(margin, c), increase_is_good=direction == "increase"
        )
        assert float(told.p_value) == pytest.approx(out["p-value"], rel=CLOSED_FORM), case["name"]
        assert bool(told.held) == out["is_significant"]
        for ours, theirs in ((told.interval.lower, out["ci_lower"]), (told.interval.upper, out["ci_upper"])):
            assert float(ours) == pytest.approx(number(theirs), rel=CLOSED_FORM), case["name"]
        # Their planning: the control's variance in both arms.
        plan = Design(alternative=Alternative.GREATER)
        reach = special.ndtri(0.95) + special.ndtri(0.8)
        powered = reach * np.sqrt(c * (1 - c) * (1 / control["n"] + 1 / treatment["n"]))
        assert float(powered) == pytest.approx(out["powered_effect"], rel=1e-9)
        needed = sample_size_for(abs(out["null_hypothesis"]), c * (1 - c), c * (1 - c), design=plan)
        assert needed.total == pytest.approx(out["required_sample_size"], abs=1), case["name"]
