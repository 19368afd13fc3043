"""Learned blending: the weights of a blend from data, by logistic regression on what people chose next.

The last fifth of each person's events is the answer; members trained on the rest score the items, and a logistic model
learns from their scores (on the common scale) which of the items in the members' lists were chosen ("stacking": Wolpert
1992; Sill et al. 2009 for recommenders). Weights are kept at 0 or above, so that a member can be ignored but not turned
round. Then the members are trained on everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import NO_SCORE, Capabilities, Parameters, rows_of, top_k
from recommender.algorithms.blend import WEIGHT, Blend
from recommender.algorithms.mixing import on_common_scale
from recommender.dataset import last_of_each

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Profile, Scores
    from recommender.algorithms.blend import Member
    from recommender.dataset import Dataset

HELD_OUT_SHARE = 0.2
MIN_EVENTS = 5
MAX_PEOPLE = 2_000
PER_MEMBER = 50
"""Items of each member's list that are judged: the answers stand out among the hard ones only."""

RIDGE = 1e-3


class LearnedBlend(Blend):
    """As `blend`, but a weight only says that a member takes part."""

    key: ClassVar[str] = "learned-blend"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True, cold_items=True)
    defaults: ClassVar[Parameters] = {
        **Blend.defaults,
        f"{WEIGHT}.ease": 1.0,
        f"{WEIGHT}.item-knn": 1.0,
        f"{WEIGHT}.content": 1.0,
        f"{WEIGHT}.popularity": 1.0,
    }

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Members twice: on four fifths for the weights, on everything for serving."""
        self.require_interactions(dataset)
        weights = self._learned(dataset, rng)
        arrays = super().fit(dataset, rng=rng)
        return arrays | {"learned": weights}

    def _weights(self, arrays: Arrays, members: list[Member]) -> list[float]:
        names = [member.algorithm.key for member in self.members]
        if "learned" not in arrays:
            return super()._weights(arrays, members)
        return [float(arrays["learned"][names.index(member.algorithm.key)]) for member in members]

    def _learned(self, dataset: Dataset, rng: np.random.Generator) -> NDArray[np.float64]:
        """One weight per member, equal ones where there is nothing to learn from."""
        equal = np.ones(len(self.members))
        answers = last_of_each(dataset, share=HELD_OUT_SHARE, min_events=MIN_EVENTS)
        if not answers.any():
            return equal
        rest = dataset.take(~answers)
        arrays = super().fit(rest, rng=rng)
        asked = np.unique(dataset.users[answers])
        asked = np.sort(rng.choice(asked, size=min(MAX_PEOPLE, asked.size), replace=False))
        profiles = rows_of((rest if self.uses_ratings else rest.positives()).profiles()[asked])
        liked = answers & (dataset.weights >= dataset.positive_from)
        bounds = np.searchsorted(dataset.users, [asked, asked + 1]).T.tolist()
        rows, labels = [], []
        for (start, stop), profile in zip(bounds, profiles, strict=True):
            inputs, items = self._inputs(arrays, profile)
            rows.append(inputs)
            labels.append(np.isin(items, dataset.items[start:stop][liked[start:stop]]))
        inputs, chosen = np.vstack(rows), np.concatenate(labels)
        return logistic(inputs, chosen) if chosen.any() else equal

    def _inputs(self, arrays: Arrays, profile: Profile) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Scores on the common scale, items × members, of the items that stand high in some member's list."""
        scores: list[Scores] = [np.zeros(int(arrays["n_items"][0]), dtype=np.float32) for _member in self.members]
        lists = []
        keys = [member.algorithm.key for member in self.members]
        for member, own in self._fitted(arrays):
            found = on_common_scale(member.algorithm.score(own, self._profile(arrays, member, profile)), profile.items)
            found[profile.items] = NO_SCORE
            lists.append(top_k(found, PER_MEMBER))
            scores[keys.index(member.algorithm.key)] = np.where(found > NO_SCORE, found, 0.0)
        items = np.unique(np.concatenate(lists))
        return np.stack(scores, axis=1)[items].astype(np.float64), items


def logistic(inputs: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Non-negative weights of a logistic regression with an intercept, of sum 1 (L-BFGS-B)."""
    from scipy.optimize import minimize

    answers = chosen.astype(np.float64)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = inputs @ parameters[:-1] + parameters[-1]
        errors = 1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30))) - answers
        value = np.mean(np.logaddexp(0.0, logits) - answers * logits) + RIDGE * (parameters[:-1] @ parameters[:-1])
        slope = np.append(errors @ inputs / answers.size + 2 * RIDGE * parameters[:-1], errors.mean())
        return float(value), slope

    n = inputs.shape[1]
    bounds = [(0.0, None)] * n + [(None, None)]
    found = minimize(loss, np.append(np.ones(n), -1.0), jac=True, bounds=bounds, method="L-BFGS-B").x[:-1]
    total = float(found.sum())
    return np.asarray(found / total if total > 0 else np.ones(n) / n, dtype=np.float64)
