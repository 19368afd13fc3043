from __future__ import annotations

import math
from pathlib import Path

import pytest

from experiments.stats.bayes import NormalPrior, beta_posterior, normal_posterior
from tests.experiments.stats.cases import cases_of
from tests.experiments.stats.peers import gbstats_estimate


def test_reference_bayesian__gbstats_cases__agree(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "bayesian"):
        settings, out = case["settings"], case["outputs"]
        relative = settings["difference_type"] == "relative"
        prior = settings["prior"]
        belief = NormalPrior(prior["mean"], math.sqrt(prior["variance"])) if prior["proper"] else NormalPrior()
        data = case["input"]["control"]
        told = normal_posterior(
            *gbstats_estimate(case, relative=relative),
            prior=belief,
            control_mean=None if relative else data["sum"] / data["n"],
            level=1 - settings["alpha"],
        )
        wanted = pytest.approx
        assert float(told.chance_to_win) == wanted(out["chance_to_win"], rel=1e-12), case["name"]
        assert float(told.mean) == wanted(out["expected"], rel=1e-11), case["name"]
        assert float(told.sd) == wanted(out["posterior_sd"], rel=1e-12), case["name"]
        assert [float(told.interval.lower), float(told.interval.upper)] == wanted(out["ci"], rel=1e-11), case["name"]
        assert float(told.loss_control) == wanted(out["risk_control"], rel=1e-11), case["name"]
        # Their product of a truncated normal loses digits where the loss is small.
        assert float(told.loss_treatment) == wanted(out["risk_treatment"], rel=1e-10), case["name"]


def test_reference_bayesian_beta__all_cases__agree(reference_dir: Path) -> None:
    for case in cases_of(reference_dir, "bayesian_beta"):
        control, treatment, out = case["input"]["control"], case["input"]["treatment"], case["outputs"]
        told = beta_posterior(control["sum"], control["n"], treatment["sum"], treatment["n"])
        assert float(told.chance_to_win) == pytest.approx(out["chance_to_win_treatment"], rel=1e-12)
        assert float(told.loss_treatment) == pytest.approx(out["expected_loss_if_choose_treatment"], rel=1e-10)
        assert float(told.loss_control) == pytest.approx(out["expected_loss_if_choose_control"], rel=1e-10)
