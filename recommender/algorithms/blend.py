"""Weighted blend of several algorithms: each member's scores on a common scale, added up with weights.

A member's scores are divided by its best score for the same person among items they do not have, so that a weight means
the same for everybody (CombSUM with maximum normalization; Lee 1997, "Analyses of multiple evidence combination").
Weights and the members' parameters are chosen on validation data (`services.selection`), not by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.als import Als
from recommender.algorithms.base import NO_SCORE, Algorithm, Capabilities, Profile, rows_of
from recommender.algorithms.content import Content
from recommender.algorithms.ease import Ease
from recommender.algorithms.item_knn import ItemKNN
from recommender.algorithms.next_choice import NextChoice
from recommender.algorithms.popularity import Popularity
from recommender.algorithms.sequence import NextInSequence
from recommender.algorithms.user_knn import UserKNN

if TYPE_CHECKING:
    from recommender.algorithms.base import Anchor, Arrays, Parameters, Scores
    from recommender.dataset import Csr, Dataset

MEMBERS: tuple[type[Algorithm], ...] = (
    Ease,
    NextChoice,
    NextInSequence,
    Als,
    ItemKNN,
    UserKNN,
    Content,
    Popularity,
)
WEIGHT = "weight"


@dataclass(frozen=True, slots=True)
class _Member:
    algorithm: Algorithm
    weight: float


class Blend(Algorithm):
    """Parameters: `weight.<member>` and `<member>.<parameter>`; a member of weight 0 is not even trained."""

    key: ClassVar[str] = "blend"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True, cold_items=True, needs_interactions=False)
    defaults: ClassVar[Parameters] = {
        **{f"{WEIGHT}.{member.key}": 0.0 for member in MEMBERS},
        **{f"{member.key}.{name}": value for member in MEMBERS for name, value in member.defaults.items()},
        f"{WEIGHT}.ease": 0.5,
        f"{WEIGHT}.item-knn": 0.3,
        f"{WEIGHT}.content": 0.2,
    }

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        self.members = [
            _Member(member(self._own(member)), self.number(f"{WEIGHT}.{member.key}"))
            for member in MEMBERS
            if self.number(f"{WEIGHT}.{member.key}") > 0
        ]
        if not self.members:
            raise ValueError("blend: at least one weight must be positive")
        self.uses_ratings = any(member.algorithm.uses_ratings for member in self.members)

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Fits each member; one that cannot learn from these data (no descriptions, say) is left out."""
        arrays: Arrays = {
            "n_items": np.array([dataset.n_items]),
            "positive_from": np.array([dataset.positive_from], dtype=np.float32),
            "explicit": np.array([dataset.explicit]),
        }
        refused: list[str] = []
        for member in self.members:
            try:
                learned = member.algorithm.fit(dataset, rng=rng)
            except ValueError as error:
                refused.append(str(error))
                continue
            arrays |= {f"{member.algorithm.key}/{name}": array for name, array in learned.items()}
        if len(refused) == len(self.members):
            raise ValueError(f"blend: no member can be trained: {'; '.join(refused)}")
        return arrays

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Σ weight · score / best score."""
        total: Scores = np.full(int(arrays["n_items"][0]), NO_SCORE, dtype=np.float32)
        if profile.is_empty:
            return total
        for member, own in self._fitted(arrays):
            scores = member.algorithm.score(own, self._profile(arrays, member, profile))
            _add(total[None, :], scores[None, :], member.weight, [profile])
        return total

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """The members' own block scores, blended row by row."""
        total: Scores = np.full(profiles.shape, NO_SCORE, dtype=np.float32)
        rows = rows_of(profiles)
        for member, own in self._fitted(arrays):
            scores = member.algorithm.score_block(own, self._profiles(arrays, member, profiles))
            _add(total, scores, member.weight, rows)
        total[[row.is_empty for row in rows]] = NO_SCORE
        return total

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> tuple[Anchor, ...]:
        """The words of the weightiest member that has some."""
        for member, own in sorted(self._fitted(arrays), key=lambda pair: -pair[0].weight):
            anchors = tuple(member.algorithm.explain(own, self._profile(arrays, member, profile), item))
            if anchors:
                return anchors
        return ()

    def _own(self, member: type[Algorithm]) -> Parameters:
        return {name: self.parameters[f"{member.key}.{name}"] for name in member.defaults}

    def _fitted(self, arrays: Arrays) -> list[tuple[_Member, Arrays]]:
        found = []
        for member in self.members:
            prefix = f"{member.algorithm.key}/"
            own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            if own:
                found.append((member, own))
        return found

    def _profile(self, arrays: Arrays, member: _Member, profile: Profile) -> Profile:
        """A member that learnt from likes gets likes, one that learnt from ratings gets ratings."""
        if not self.uses_ratings or member.algorithm.uses_ratings or not arrays["explicit"][0]:
            return profile
        liked = profile.weights >= arrays["positive_from"][0]
        return Profile(profile.items[liked], np.ones(int(liked.sum()), dtype=np.float32))

    def _profiles(self, arrays: Arrays, member: _Member, profiles: Csr) -> Csr:
        if not self.uses_ratings or member.algorithm.uses_ratings or not arrays["explicit"][0]:
            return profiles
        likes = profiles.copy()
        likes.data = (likes.data >= arrays["positive_from"][0]).astype(np.float32)
        likes.eliminate_zeros()
        return likes


def _add(total: Scores, scores: Scores, weight: float, rows: list[Profile]) -> None:
    """Adds weight · score / best of the row to `total` in place; the best is taken over items not in the profile."""
    for place, row in enumerate(rows):
        values = scores[place]
        new = values.copy()
        new[row.items] = NO_SCORE
        best = float(new.max(initial=NO_SCORE))
        if not np.isfinite(best) or best <= 0:
            continue
        spoken = values > NO_SCORE
        known = total[place]
        known[spoken & (known == NO_SCORE)] = 0.0
        known[spoken] += np.float32(weight / best) * values[spoken]
