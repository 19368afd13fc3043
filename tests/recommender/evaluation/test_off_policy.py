from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender.evaluation.off_policy import (
    bootstrap,
    direct,
    doubly_robust,
    importance_weights,
    ips,
    report_weights,
    snips,
)

N = 40_000
Column = NDArray[np.float64]


def _world(seed: int = 3) -> tuple[Column, Column, Column, Column]:
    """Three actions, logged with known probabilities; the true value of the target policy is 0.46."""
    rng = np.random.default_rng(seed)
    logging, target, rates = np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.3, 0.6]), np.array([0.1, 0.3, 0.6])
    actions = rng.choice(3, size=N, p=logging)
    reward = (rng.random(N) < rates[actions]).astype(np.float64)
    weights = importance_weights(logging[actions], target[actions])
    return reward, weights, rates[actions], np.full(N, float(target @ rates))


def test_estimators__known_truth__all_find_it() -> None:
    reward, weights, predicted, expected = _world()
    assert ips(reward, weights) == pytest.approx(0.46, abs=0.02)
    assert snips(reward, weights) == pytest.approx(0.46, abs=0.02)
    assert direct(expected) == pytest.approx(0.46)
    for normalized in (False, True):
        found = doubly_robust(reward, weights, predicted, expected, self_normalized=normalized)
        assert found == pytest.approx(0.46, abs=0.015)


def test_doubly_robust__wrong_model__weights_mend_it() -> None:
    reward, weights, predicted, expected = _world()
    assert direct(expected + 0.2) == pytest.approx(0.66)
    assert doubly_robust(reward, weights, predicted + 0.2, expected + 0.2) == pytest.approx(0.46, abs=0.02)


def test_interval__covers_the_truth_and_the_estimate() -> None:
    reward, weights, *_ = _world()
    rng = np.random.default_rng(1)
    found = bootstrap(lambda rows: ips(reward[rows], weights[rows]), N, rng=rng, draws=200)
    assert found.lower < 0.46 < found.upper
    assert found.estimate == ips(reward, weights)
    with pytest.raises(ValueError, match="two rounds"):
        bootstrap(lambda _rows: 0.0, 1, rng=rng)


def test_weights__fine__no_warning() -> None:
    _reward, weights, *_ = _world()
    report = report_weights(weights)
    assert report.warnings == ()
    assert report.mean_weight == pytest.approx(1.0, abs=0.03)
    assert 1_000 < report.effective_rounds < N


def test_weights__one_huge__every_warning_and_clipping_helps() -> None:
    propensity = np.append(np.full(9_999, 0.5), 1e-6)
    target = np.append(np.full(9_999, 0.45), 0.9)
    report = report_weights(importance_weights(propensity, target))
    assert set(report.warnings) == {"few_effective_rounds", "one_weight_dominates"}
    clipped = report_weights(importance_weights(propensity, target, clip=10.0))
    assert clipped.max_weight == 10.0
    assert clipped.warnings == ("mean_weight_off",)


def test_weights__all_zero_or_one_round__named_not_crashed() -> None:
    zero = report_weights(np.zeros(5))
    assert zero.effective_rounds == 0
    assert "few_effective_rounds" in zero.warnings
    assert np.isnan(snips(np.ones(5), np.zeros(5)))
    assert np.isnan(doubly_robust(np.ones(5), np.zeros(5), np.ones(5), np.ones(5), self_normalized=True))
    assert "mean_weight_off" not in report_weights(np.array([3.0])).warnings


@pytest.mark.parametrize(
    ("propensity", "target", "words"),
    [
        ([0.5], [0.5, 0.5], "same length"),
        ([0.0], [0.5], "propensity"),
        ([1.5], [0.5], "propensity"),
        ([0.5], [2.0], "target"),
    ],
)
def test_weights__bad_probabilities__refused(propensity: list[float], target: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        importance_weights(np.array(propensity), np.array(target))


@pytest.mark.parametrize(("log", "key"), [("random", "bts_from_random"), ("bts", "random_from_bts")])
def test_open_bandit_data__estimates_and_diagnostics__equal_the_reference(
    reference_dir: Path, data_dir: Path, log: str, key: str
) -> None:
    reference = json.loads((reference_dir / "ope.json").read_text())["all"]
    policy = np.array(reference["pi_bts"])
    with (data_dir / "obd-small" / log / "all" / "all.csv").open(newline="") as file:
        rows = [
            (int(row["item_id"]), int(row["position"]) - 1, float(row["click"]), float(row["propensity_score"]))
            for row in csv.DictReader(file)
        ]
    items, places = (np.array([row[column] for row in rows]) for column in (0, 1))
    reward, propensity = (np.array([row[column] for row in rows]) for column in (2, 3))
    target = policy[items, places] if log == "random" else np.full(len(rows), 1 / reference["n_actions"])
    weights = importance_weights(propensity, target)
    expected = reference[key]
    assert ips(reward, weights) == pytest.approx(expected["ips"]["value"], rel=1e-6)
    assert snips(reward, weights) == pytest.approx(expected["snips"]["value"], rel=1e-6)
    report = report_weights(weights)
    assert report.mean_weight == pytest.approx(expected["diag"]["mean_w"], rel=1e-6)
    assert report.max_weight == pytest.approx(expected["diag"]["max_w"], rel=1e-6)
    assert report.effective_rounds == pytest.approx(expected["diag"]["ess"], rel=1e-6)
