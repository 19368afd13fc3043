"""Hybrids: several algorithms as one, by weights, by ranks, one after the other, or one of them by length of history.

`method`: `weighted`, `reciprocal-rank`, `cascade` or `switching` (`mixing.py`; Burke 2002, "Hybrid recommender
systems"). Switching follows the warm-up curve: each member serves from `from.<member>` events on (popularity from 0,
item-kNN from the first, EASE or ALS from some twenty). With `prior` > 0 short histories are drawn towards popularity:
its weight is prior / (prior + events). Weights and the members' parameters are chosen on validation data
(`services.selection`), or learned (`learned.py`), not by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms import mixing
from recommender.algorithms.als import Als, FeatureAls
from recommender.algorithms.association import BoughtTogether
from recommender.algorithms.base import NO_SCORE, Algorithm, Capabilities, Profile, rows_of
from recommender.algorithms.bpr import Bpr
from recommender.algorithms.content import Content
from recommender.algorithms.ease import Ease
from recommender.algorithms.item_knn import ItemKNN
from recommender.algorithms.mixing import METHODS, SWITCHING, WEIGHTED
from recommender.algorithms.next_choice import NextChoice
from recommender.algorithms.popularity import Popularity
from recommender.algorithms.sequence import NextInSequence
from recommender.algorithms.session_knn import SessionKNN
from recommender.algorithms.towers import TwoTower
from recommender.algorithms.user_knn import UserKNN

if TYPE_CHECKING:
    from recommender.algorithms.base import Anchor, Arrays, Parameters, Scores
    from recommender.dataset import Csr, Dataset

MEMBERS: tuple[type[Algorithm], ...] = (
    Ease,
    NextChoice,
    NextInSequence,
    SessionKNN,
    BoughtTogether,
    Als,
    FeatureAls,
    Bpr,
    TwoTower,
    ItemKNN,
    UserKNN,
    Content,
    Popularity,
)
WEIGHT, FROM = "weight", "from"
WARM_UP = {"popularity": 0, "content": 1, "ease": 20, "als": 20, "als-features": 20, "bpr": 20, "two-tower": 20}
"""Events from which a member serves when switching, as measured on films; 1 for those not named."""


@dataclass(frozen=True, slots=True)
class Member:
    """One algorithm of a blend."""

    algorithm: Algorithm
    weight: float
    minimum: float
    """Events from which it serves."""


class Blend(Algorithm):
    """Parameters: `weight.<member>` and `<member>.<parameter>`; a member of weight 0 is not even trained."""

    key: ClassVar[str] = "blend"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True, cold_items=True, needs_interactions=False)
    defaults: ClassVar[Parameters] = {
        **{f"{WEIGHT}.{member.key}": 0.0 for member in MEMBERS},
        **{f"{member.key}.{name}": value for member in MEMBERS for name, value in member.defaults.items()},
        **{f"{FROM}.{member.key}": WARM_UP.get(member.key, 1) for member in MEMBERS},
        "method": WEIGHTED,
        "prior": 0.0,
        f"{WEIGHT}.ease": 0.5,
        f"{WEIGHT}.item-knn": 0.3,
        f"{WEIGHT}.content": 0.2,
    }

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        self.members = [
            Member(
                member(self._own(member)),
                self.number(f"{WEIGHT}.{member.key}"),
                self.number(f"{FROM}.{member.key}"),
            )
            for member in MEMBERS
            if self.number(f"{WEIGHT}.{member.key}") > 0
        ]
        if not self.members:
            raise ValueError(f"{self.key}: at least one weight must be positive")
        if self.parameters["method"] not in METHODS:
            raise ValueError(f"{self.key}: method must be one of {', '.join(METHODS)}")
        self.uses_ratings = any(member.algorithm.uses_ratings for member in self.members)

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Fits each member; one that cannot learn from these data (no descriptions, say) is left out."""
        arrays: Arrays = {
            "n_items": np.array([dataset.n_items]),
            "positive_from": np.array([dataset.positive_from], dtype=np.float32),
            "explicit": np.array([dataset.explicit]),
            "crowd": Popularity({"half_life_days": 0.0}).fit(dataset, rng=rng)["popularity"],
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
            raise ValueError(f"{self.key}: no member can be trained: {'; '.join(refused)}")
        return arrays

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """The members' scores, mixed."""
        fitted = self._fitted(arrays)
        scores = [member.algorithm.score(own, self._profile(arrays, member, profile)) for member, own in fitted]
        return self._mixed(arrays, [member for member, _own in fitted], scores, profile)

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """The members' own block scores, mixed row by row."""
        fitted = self._fitted(arrays)
        blocks = [member.algorithm.score_block(own, self._profiles(arrays, member, profiles)) for member, own in fitted]
        members = [member for member, _own in fitted]
        total: Scores = np.empty(profiles.shape, dtype=np.float32)
        for row, profile in enumerate(rows_of(profiles)):
            total[row] = self._mixed(arrays, members, [block[row] for block in blocks], profile)
        return total

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> tuple[Anchor, ...]:
        """The words of the weightiest member that has some."""
        for member, own in sorted(self._fitted(arrays), key=lambda pair: -pair[0].weight):
            anchors = tuple(member.algorithm.explain(own, self._profile(arrays, member, profile), item))
            if anchors:
                return anchors
        return ()

    def _mixed(self, arrays: Arrays, members: list[Member], scores: list[Scores], profile: Profile) -> Scores:
        method, had = self.parameters["method"], profile.items
        if profile.is_empty and method != SWITCHING:
            return np.full(int(arrays["n_items"][0]), NO_SCORE, dtype=np.float32)
        if method == SWITCHING:
            found = mixing.switching(scores, [member.minimum for member in members], had.size, had)
        else:
            mix = {
                mixing.WEIGHTED: mixing.weighted,
                mixing.RECIPROCAL_RANK: mixing.reciprocal_rank,
                mixing.CASCADE: mixing.cascade,
            }[str(method)]
            found = mix(scores, self._weights(arrays, members), had)
        prior = self.number("prior")
        if prior > 0:
            crowd = prior / (prior + had.size)
            found = mixing.weighted([found, arrays["crowd"]], [1.0 - crowd, crowd], had)
        return found

    def _weights(self, arrays: Arrays, members: list[Member]) -> list[float]:
        return [member.weight for member in members]

    def _own(self, member: type[Algorithm]) -> Parameters:
        return {name: self.parameters[f"{member.key}.{name}"] for name in member.defaults}

    def _fitted(self, arrays: Arrays) -> list[tuple[Member, Arrays]]:
        found = []
        for member in self.members:
            prefix = f"{member.algorithm.key}/"
            own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            if own:
                found.append((member, own))
        return found

    def _profile(self, arrays: Arrays, member: Member, profile: Profile) -> Profile:
        """A member that learnt from likes gets likes, one that learnt from ratings gets ratings."""
        if not self.uses_ratings or member.algorithm.uses_ratings or not arrays["explicit"][0]:
            return profile
        liked = profile.weights >= arrays["positive_from"][0]
        return Profile(profile.items[liked], np.ones(int(liked.sum()), dtype=np.float32))

    def _profiles(self, arrays: Arrays, member: Member, profiles: Csr) -> Csr:
        if not self.uses_ratings or member.algorithm.uses_ratings or not arrays["explicit"][0]:
            return profiles
        likes = profiles.copy()
        likes.data = (likes.data >= arrays["positive_from"][0]).astype(np.float32)
        likes.eliminate_zeros()
        return likes
