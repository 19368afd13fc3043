"""How the scores of several algorithms become one: on a common scale, by ranks, one after the other, or one of them.

All functions take the members' scores for one person and give one score per item; `NO_SCORE` is what nobody has
anything to say about. `had` are the items the person has: they set no scale and take no rank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recommender.algorithms.base import NO_SCORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.algorithms.base import Scores

WEIGHTED, RECIPROCAL_RANK, CASCADE, SWITCHING = "weighted", "reciprocal-rank", "cascade", "switching"
METHODS = (WEIGHTED, RECIPROCAL_RANK, CASCADE, SWITCHING)

RANK_OFFSET = 60
"""k of reciprocal-rank fusion, the value of the paper."""

SHORTLIST = 100
"""Items of the first member that the others of a cascade put in order."""


def on_common_scale(scores: Scores, had: NDArray[np.int32]) -> Scores:
    """Scores divided by the best among items the person does not have; all `NO_SCORE` where that is not positive."""
    new = scores.copy()
    new[had] = NO_SCORE
    best = float(new.max(initial=NO_SCORE))
    if not np.isfinite(best) or best <= 0:
        return np.full_like(scores, NO_SCORE)
    return scores / np.float32(best)


def weighted(members: list[Scores], weights: list[float], had: NDArray[np.int32]) -> Scores:
    """Σ weight · score on the common scale (CombSUM with maximum normalization; Lee 1997)."""
    total: Scores = np.full_like(members[0], NO_SCORE)
    for scores, weight in zip(members, weights, strict=True):
        _add(total, on_common_scale(scores, had), weight)
    return total


def reciprocal_rank(members: list[Scores], weights: list[float], had: NDArray[np.int32]) -> Scores:
    """Σ weight / (60 + rank): needs no scale at all (Cormack, Clarke & Büttcher 2009)."""
    total: Scores = np.full_like(members[0], NO_SCORE)
    for scores, weight in zip(members, weights, strict=True):
        new = scores.copy()
        new[had] = NO_SCORE
        spoken = np.flatnonzero(new > NO_SCORE)
        order = spoken[np.argsort(-new[spoken], kind="stable")]
        fused: Scores = np.full_like(scores, NO_SCORE)
        fused[order] = 1.0 / (RANK_OFFSET + 1.0 + np.arange(order.size))
        _add(total, fused, weight)
    return total


def cascade(members: list[Scores], weights: list[float], had: NDArray[np.int32]) -> Scores:
    """The heaviest member chooses a shortlist, the others put it in order (Burke 2002, section 3.5).

    What is not on the shortlist keeps the first member's order behind it.
    """
    heaviest = int(np.argmax(weights))
    first = on_common_scale(members[heaviest], had)
    rest = [scores for place, scores in enumerate(members) if place != heaviest]
    if not rest:
        return first
    new = first.copy()
    new[had] = NO_SCORE
    short = np.argsort(-new, kind="stable")[:SHORTLIST]
    short = short[new[short] > NO_SCORE]
    refined = weighted(rest, [weight for place, weight in enumerate(weights) if place != heaviest], had)[short]
    order = short[np.lexsort((-new[short], -refined))]
    result = first.copy()
    result[order] = 2.0 - np.arange(order.size) / max(order.size, 1)
    return result


def switching(members: list[Scores], minima: list[float], n_events: int, had: NDArray[np.int32]) -> Scores:
    """The member for the longest history that the person reaches; one that says nothing gives way to the next."""
    usable = [place for place, minimum in enumerate(minima) if n_events >= minimum]
    for place in sorted(usable, key=lambda place: -minima[place]):
        found = on_common_scale(members[place], had)
        if (found > NO_SCORE).any():
            return found
    return np.full_like(members[0], NO_SCORE)


def _add(total: Scores, scores: Scores, weight: float) -> None:
    spoken = scores > NO_SCORE
    total[spoken & (total == NO_SCORE)] = 0.0
    total[spoken] += np.float32(weight) * scores[spoken]
