"""Choosing places one after another: the best candidate, or a drawn one, within limits. Numpy only, no state.

Each place is filled given the places before it, so the propensity that is logged is the probability of this item at
this place *given those before*: exact for every rule, and the product over the places is the probability of the slate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recommender.services.rules import EPSILON, Rules

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Pick(NamedTuple):
    """One place."""

    candidate: int
    propensity: float
    is_explored: bool
    """Drawn, and not what would have stood here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Arrays of one length, best value first."""

    values: NDArray[np.float64]
    """On a scale of [0, 1], before similarity counts; boosted ones may lie above."""
    categories: NDArray[np.int32]
    promoted: NDArray[np.bool_] | None
    weights: NDArray[np.float64] | None
    """Of each candidate in a draw; None where nothing is drawn."""
    features: NDArray[np.float64] | None
    """Rows of length 1 whose products are similarities in [0, 1]; None where similarity does not count."""


@dataclass(slots=True, kw_only=True)
class Places:
    """What stands already and what is wanted, across the links that fill one slate."""

    k: int
    filled: int
    used: Counter[int]
    """Places per category."""
    max_per_category: int


def pick(candidates: Candidates, places: Places, *, rules: Rules, draw: Callable[[], float]) -> list[Pick]:
    """Fills the free places as far as the candidates go; `draw` gives uniform numbers in [0, 1)."""
    mixing = rules.diversity_percent / 100 if candidates.features is not None else 0.0
    values = (1.0 - mixing) * candidates.values  # −inf for what can no longer be taken
    if places.max_per_category:
        full = [category for category, n in places.used.items() if n >= places.max_per_category]
        values[np.isin(candidates.categories, full)] = -np.inf
    features = mixing * candidates.features if mixing and candidates.features is not None else None
    closest = np.zeros(values.size)
    picks: list[Pick] = []
    for place in range(places.filled, places.k if values.size else places.filled):
        worth = values if features is None else values - closest
        if candidates.promoted is not None and is_promotion_place(place, rules.promoted_percent):
            wanted = np.where(candidates.promoted, worth, -np.inf)
            worth = wanted if wanted.max() > -np.inf else worth
        best = int(worth.argmax())
        if worth[best] == -np.inf:
            break
        chosen = _choose(worth, best, candidates.weights, rules, draw)
        picks.append(chosen)
        values[chosen.candidate] = -np.inf
        if features is not None and candidates.features is not None:
            np.maximum(closest, features @ candidates.features[chosen.candidate], out=closest)
        if places.max_per_category:
            category = int(candidates.categories[chosen.candidate])
            places.used[category] += 1
            if places.used[category] >= places.max_per_category:
                values[candidates.categories == category] = -np.inf
    return picks


def is_promotion_place(place: int, percent: int) -> bool:
    """Whether this place (from 0) belongs to promotions, spread evenly: 25 % of eight are the fourth and the eighth.

    >>> [place for place in range(8) if is_promotion_place(place, 25)]
    [3, 7]
    """
    return (place + 1) * percent // 100 > place * percent // 100


def draw_chances(
    worth: NDArray[np.float64], weights: NDArray[np.float64], *, best: int, rules: Rules
) -> NDArray[np.float64]:
    """Probability of each candidate for one place; −inf in `worth` means not eligible.

    ε-greedy: (1 − ε) for the best, ε shared by weight. Softmax (Luce 1959; Plackett 1975): weight · exp(worth / τ).

    >>> draw_chances(np.array([2.0, 1.0]), np.ones(2), best=0, rules=Rules(explore="epsilon", explore_percent=20))
    array([0.9, 0.1])
    """
    share = rules.explore_percent / 100
    if rules.explore == EPSILON:
        eligible = np.where(np.isneginf(worth), 0.0, weights)
        chances: NDArray[np.float64] = share * eligible / eligible.sum()
        chances[best] += 1.0 - share
    else:
        chances = weights * np.exp((worth - worth[best]) / share)
        chances /= chances.sum()
    return chances


def _choose(
    worth: NDArray[np.float64],
    best: int,
    weights: NDArray[np.float64] | None,
    rules: Rules,
    draw: Callable[[], float],
) -> Pick:
    if weights is None:
        return Pick(best, 1.0, is_explored=False)
    chances = draw_chances(worth, weights, best=best, rules=rules)
    reached = np.cumsum(chances)
    drawn = int(np.searchsorted(reached, draw() * reached[-1], side="right"))
    chosen = min(drawn, int(chances.nonzero()[0][-1]))  # rounding may reach past the last one
    return Pick(chosen, float(chances[chosen]), is_explored=chosen != best)
