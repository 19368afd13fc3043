"""Choosing a model for a data set, on validation data only: the best single one, or a blend if that is better.

Nothing here knows a data set. The candidates are the same for all; a family that cannot learn from the data (ratings,
descriptions, too many items) refuses and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.algorithms.base import NO_SCORE, Value
from recommender.algorithms.blend import WEIGHT
from recommender.algorithms.ease import most_chosen
from recommender.evaluation.splits import has_real_times
from recommender.registry import build
from recommender.services.evaluation import Split, judge_scores, limited, profiles_for, split_dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.algorithms.base import Scores
    from recommender.dataset import Dataset

MAX_CELLS = 6_000_000
"""People × items of one candidate's scores that are kept for blending (float32: 24 MB)."""

LEFT_EVENTS = 4
"""What the held-out fifth leaves of five events: validation asks the people whom the test asks."""

MAX_PEOPLE = 10_000
"""People asked on validation: paired differences of some 0.001 are then more than noise."""

STEPS = (0.1, 0.3, 1.0)
"""Weights tried for a further member, relative to the sum so far."""

MAX_ROUNDS = 8
MIN_GAIN = 5e-4
"""NDCG a further member must add on validation: a tenth of the usual standard error, so that noise is not collected."""

SMALL_CATALOGUE = 1_000

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One algorithm with parameters."""

    key: str
    parameters: Mapping[str, Value]

    def __str__(self) -> str:
        return f"{self.key} {', '.join(f'{name}={value}' for name, value in self.parameters.items())}".strip()


@dataclass(frozen=True, slots=True)
class Validated:
    """A candidate with its NDCG@10 on validation data."""

    candidate: Candidate
    ndcg: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What to train: the chosen one, the best of each family, and all figures of the validation."""

    chosen: Validated
    best_single: Validated
    families: tuple[Validated, ...]
    """Best candidate of each algorithm, best first."""


def candidates(dataset: Dataset) -> list[Candidate]:
    """What is tried on every data set of this kind (ratings or not, with descriptions or not, small or large)."""
    found = [Candidate("popularity", {"half_life_days": 0.0})]
    found += [Candidate("ease", {"regularization": value, "binary": True}) for value in (10.0, 30.0, 100.0, 300.0)]
    found += [Candidate("als", {"factors": factors, "regularization": 10.0}) for factors in (32, 64)]
    found += [
        Candidate("item-knn", {"weighting": weighting, "neighbours": neighbours})
        for weighting, neighbours in (("cosine", 100), ("tfidf", 100), ("bm25", 50), ("bm25", 200))
    ]
    found += [
        Candidate("user-knn", {"similarity": "cosine", "min_overlap": 1, "shrinkage": 10.0, "neighbours": neighbours})
        for neighbours in (40, 100)
    ]
    found += [Candidate("bpr", {"learning_rate": step}) for step in (0.01, 0.05)]
    found += [Candidate("two-tower", {"epochs": epochs}) for epochs in (10, 20)]
    if dataset.explicit:
        found.append(Candidate("user-knn", {"similarity": "pearson", "shrinkage": 100.0, "neighbours": 40}))
        found.append(Candidate("item-knn", {"weighting": "adjusted-cosine", "neighbours": 200, "shrinkage": 50.0}))
    if has_real_times(dataset):
        found += [Candidate("sequence", {"window": 10, "memory": memory}) for memory in (3.0, 5.0, 20.0)]
        found += [Candidate("session-knn", {"memory": memory}) for memory in (3.0, 10.0)]
        found.append(Candidate("bought-together", {}))
    if any(dataset.tokens):
        found += [Candidate("content", {}), Candidate("als-features", {})]
    if most_chosen(dataset.positives().matrix(), SMALL_CATALOGUE + 1).size <= SMALL_CATALOGUE:
        found.append(Candidate("next-choice", {}))
    return found


def choose(train: Dataset, *, rng: np.random.Generator, seed: int, say: Say) -> Choice:
    """Splits the training part once more, tries all candidates, then adds members to a blend as long as it gains."""
    most = min(MAX_PEOPLE, max(1, MAX_CELLS // train.n_items))
    split = limited(split_dataset(train, rng=rng, min_events=LEFT_EVENTS), max_people=most, rng=rng)
    scored: list[tuple[Validated, Scores]] = []
    for candidate in candidates(train):
        say(str(candidate))
        scores = _scores(candidate, split, seed)
        scored.append((Validated(candidate, _ndcg(scores, split)), _common_scale(scores, split)))
    families: dict[str, Validated] = {}
    for validated, _values in sorted(scored, key=lambda pair: -pair[0].ndcg):
        families.setdefault(validated.candidate.key, validated)
    ranked = tuple(families.values())
    say("blend")
    return Choice(chosen=_blended(scored, ranked[0], split), best_single=ranked[0], families=ranked)


def _scores(candidate: Candidate, split: Split, seed: int) -> Scores:
    algorithm = build(candidate.key, candidate.parameters)
    arrays = algorithm.fit(split.train, rng=np.random.default_rng(seed))
    return np.array(algorithm.score_block(arrays, profiles_for(algorithm, split.train)[split.people]))


def _ndcg(scores: Scores, split: Split) -> float:
    return judge_scores(iter([(slice(0, split.people.size), scores)]), split).quality.ndcg


def _common_scale(scores: Scores, split: Split) -> NDArray[np.float32]:
    """As `Blend` adds them: divided by the best score among items the person does not have; nothing said is 0."""
    new = scores.copy()
    seen = split.train.matrix()[split.people]
    rows = np.repeat(np.arange(new.shape[0]), np.diff(seen.indptr))
    new[rows, seen.indices] = NO_SCORE
    best = new.max(axis=1, keepdims=True)
    usable = np.isfinite(best) & (best > 0)
    scaled: NDArray[np.float32] = np.where(usable & (scores > NO_SCORE), scores / np.where(usable, best, 1), 0)
    return scaled.astype(np.float32)


def _blended(scored: list[tuple[Validated, NDArray[np.float32]]], best: Validated, split: Split) -> Validated:
    """Greedy forward selection, one candidate per algorithm (Caruana et al. 2004, "Ensemble selection")."""
    weights: dict[int, float] = {}
    total, reached = np.zeros_like(scored[0][1]), 0.0
    for _round in range(MAX_ROUNDS):
        options = [
            (_ndcg(total + weight * values, split), place, weight)
            for place, (validated, values) in enumerate(scored)
            if _may_join(place, validated.candidate.key, weights, scored)
            for weight in ((1.0,) if not weights else [step * sum(weights.values()) for step in STEPS])
        ]
        ndcg, place, weight = max(options, key=lambda option: option[0])
        if ndcg < reached + MIN_GAIN:
            break
        reached = ndcg
        weights[place] = weights.get(place, 0.0) + weight
        total = total + np.float32(weight) * scored[place][1]
    if len(weights) == 1 or reached < best.ndcg + MIN_GAIN:
        return best
    return Validated(Candidate("blend", _blend_parameters(weights, scored)), reached)


def _may_join(
    place: int, key: str, weights: Mapping[int, float], scored: list[tuple[Validated, NDArray[np.float32]]]
) -> bool:
    return place in weights or key not in {scored[taken][0].candidate.key for taken in weights}


def _blend_parameters(
    weights: Mapping[int, float], scored: list[tuple[Validated, NDArray[np.float32]]]
) -> dict[str, Value]:
    parameters: dict[str, Any] = dict.fromkeys((f"{WEIGHT}.ease", f"{WEIGHT}.item-knn", f"{WEIGHT}.content"), 0.0)
    total = sum(weights.values())
    for place, weight in weights.items():
        candidate = scored[place][0].candidate
        parameters[f"{WEIGHT}.{candidate.key}"] = round(weight / total, 4)
        parameters |= {f"{candidate.key}.{name}": value for name, value in candidate.parameters.items()}
    return parameters
