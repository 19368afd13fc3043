"""Places one after another: limits, promotions, variety, and propensities that are what really happens."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from random import Random

import numpy as np
import pytest

from recommender.services.picking import Candidates, Pick, Places, pick
from recommender.services.rules import Rules


def _candidates(
    values: list[float],
    *,
    categories: list[int] | None = None,
    promoted: list[bool] | None = None,
    weights: list[float] | None = None,
    features: list[list[float]] | None = None,
) -> Candidates:
    return Candidates(
        values=np.array(values),
        categories=np.array(categories or [0] * len(values), dtype=np.int32),
        promoted=None if promoted is None else np.array(promoted),
        weights=None if weights is None else np.array(weights),
        features=None if features is None else np.array(features),
    )


def _pick(candidates: Candidates, rules: Rules, *, k: int = 3, limit: int = 0, seed: int = 0) -> list[Pick]:
    places = Places(k=k, filled=0, used=Counter(), max_per_category=limit)
    return pick(candidates, places, rules=rules, draw=Random(seed).random)


def test_pick__plain__best_first_and_certain() -> None:
    picks = _pick(_candidates([0.9, 0.5, 0.4, 0.1]), Rules())
    assert [(one.candidate, one.propensity, one.is_explored) for one in picks] == [
        (0, 1.0, False),
        (1, 1.0, False),
        (2, 1.0, False),
    ]


def test_pick__category_full__next_category() -> None:
    picks = _pick(_candidates([0.9, 0.8, 0.7, 0.1], categories=[1, 1, 1, 2]), Rules(), limit=2)
    assert [one.candidate for one in picks] == [0, 1, 3]


def test_pick__every_category_full__short() -> None:
    places = Places(k=4, filled=1, used=Counter({1: 1}), max_per_category=1)
    assert pick(_candidates([0.9, 0.8], categories=[1, 1]), places, rules=Rules(), draw=Random(0).random) == []


def test_pick__half_the_places_promoted__every_second_while_there_are_any() -> None:
    candidates = _candidates([0.9, 0.8, 0.7, 0.2, 0.1], promoted=[False, False, False, False, True])
    picks = _pick(candidates, Rules(promoted=("tag=sale",), promoted_percent=50), k=4)
    assert [one.candidate for one in picks] == [0, 4, 1, 2]


def test_pick__variety__unlike_item_before_the_second_best() -> None:
    features = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    candidates = _candidates([1.0, 0.9, 0.5], features=features)
    assert [one.candidate for one in _pick(candidates, Rules(diversity_percent=50))] == [0, 2, 1]
    assert [one.candidate for one in _pick(_candidates([1.0, 0.9, 0.5]), Rules())] == [0, 1, 2]


@pytest.mark.parametrize(
    "rules",
    [
        Rules(explore="epsilon", explore_percent=30),
        Rules(explore="softmax", explore_percent=25),
        Rules(explore="epsilon", explore_percent=60, diversity_percent=40),
        Rules(explore="softmax", explore_percent=50, promoted=("tag=x",), promoted_percent=50),
    ],
    ids=["epsilon", "softmax", "epsilon with variety", "softmax with promotions"],
)
def test_pick__exploring__propensities_are_the_observed_frequencies(rules: Rules) -> None:
    """12,000 slates of three from five: each slate as often as the product of its propensities says (4.5 σ)."""
    candidates = _candidates(
        [1.0, 0.7, 0.6, 0.3, 0.0],
        categories=[0, 0, 1, 1, 2],
        promoted=[False, False, True, False, True] if rules.promoted else None,
        weights=[1.0, 1.0, 1.0, 1.0, 3.0],
        features=[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]] if rules.diversity_percent else None,
    )
    rng, runs = Random(11), 12_000
    seen: Counter[tuple[int, ...]] = Counter()
    chance: dict[tuple[int, ...], float] = {}
    for _ in range(runs):
        places = Places(k=3, filled=0, used=Counter(), max_per_category=2)
        picks = pick(candidates, places, rules=rules, draw=rng.random)
        slate = tuple(one.candidate for one in picks)
        seen[slate] += 1
        product = float(np.prod([one.propensity for one in picks]))
        assert chance.setdefault(slate, product) == pytest.approx(product)
    assert sum(chance.values()) == pytest.approx(1.0, abs=0.01)
    for slate, probability in chance.items():
        sigma = np.sqrt(runs * probability * (1 - probability))
        assert abs(seen[slate] - runs * probability) <= 4.5 * sigma + 1
    assert set(seen) <= set(permutations(range(5), 3))


def test_pick__explored__marked_where_not_the_best() -> None:
    picks = _pick(_candidates([0.9, 0.1], weights=[1.0, 1e12]), Rules(explore="epsilon", explore_percent=100), k=2)
    assert [(one.candidate, one.is_explored) for one in picks] == [(1, True), (0, False)]
