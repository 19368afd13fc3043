from __future__ import annotations

import math
from pathlib import Path

import pytest

from experiments.stats.planning import power_with_prior, remaining
from experiments.stats.power import Design
from tests.experiments.stats.cases import cases_of
from tests.experiments.stats.peers import gbstats_estimate

TOLERANCE = 1e-3  # the file's: the peer bisects until its power is within 1e-5


def test_reference_midexperiment_power__gbstats_cases__agree(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "midexperiment_power"):
        settings, out = case["settings"], case["outputs"]
        _, error = gbstats_estimate(case, relative=True)
        assert error**2 == pytest.approx(out["sigmahat2_delta"], rel=1e-12), case["name"]
        units = case["input"]["control"]["n"] + case["input"]["treatment"]["n"]
        corrected = settings["num_goal_metrics"] * (settings["num_variations"] - 1)
        # With several goals the peer wants the stated power for all of them together.
        goals = settings["num_goal_metrics"] if settings["p_value_corrected"] else 1
        plan = Design(
            alpha=settings["alpha"],
            power=settings["target_power"] ** (1 / goals),
            comparisons=corrected if settings["p_value_corrected"] else 1,
        )
        prior = settings["prior"]
        prior_sd = math.sqrt(prior["variance"]) if prior else math.inf
        told = remaining(settings["target_mde"], error, units, design=plan, prior_sd=prior_sd)
        assert told.power_now == pytest.approx(out["power_now"], rel=1e-9), case["name"]
        later = power_with_prior(settings["target_mde"], error / math.sqrt(3), design=plan, prior_sd=prior_sd)
        assert later == pytest.approx(out["power_at_double_extra"], rel=1e-9), case["name"]
        # Where nothing more is needed the peer says None (its defect 6), we say 0.
        needed = out["additional_users"] or 0.0
        assert told.additional_units == pytest.approx(needed, rel=TOLERANCE), case["name"]
