"""What people in general choose: popularity, what is trending, popularity among people like this one, and chance.

None of these needs a history, and all are baselines or ends of fallback chains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from zlib import crc32

import numpy as np

from recommender.algorithms.base import Algorithm, Capabilities
from recommender.dataset import MICROSECONDS_PER_DAY, to_csr, token_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Parameters, Profile, Scores
    from recommender.dataset import Csr, Dataset


class Popularity(Algorithm):
    """The sum of event weights per item, halved for every half-life that has passed since the event."""

    key: ClassVar[str] = "popularity"
    capabilities: ClassVar[Capabilities] = Capabilities(
        personalized=False, needs_interactions=False, cold_items=True, reason="popular"
    )
    defaults: ClassVar[Parameters] = {"half_life_days": 30.0}
    """0 days means no decay."""

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Σ w · 2^(−age / half-life) per item; the age counts from the newest event of the data, not from a clock."""
        return {"popularity": decayed_totals(dataset, half_life_days=self.number("half_life_days")).astype(np.float32)}

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """The same for everybody."""
        return arrays["popularity"].astype(np.float32, copy=False)

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """One row, repeated without copying."""
        row = arrays["popularity"].astype(np.float32, copy=False)
        return np.broadcast_to(row, (profiles.shape[0], row.size))


class Trending(Popularity):
    """What is chosen more often than usual right now, in standard deviations of a Poisson count.

    With c the sum of weights under the short half-life and μ what the long one lets expect of it, it is
    (c − μ) / √(μ + prior): a steady best-seller is at 0, and `prior` keeps an item of two events from the top
    (Kleinberg 2003 for bursts).
    """

    key: ClassVar[str] = "trending"
    defaults: ClassVar[Parameters] = {"half_life_days": 1.0, "usual_half_life_days": 14.0, "prior": 5.0}

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        if not 0 < self.number("half_life_days") < self.number("usual_half_life_days"):
            raise ValueError("trending: half_life_days must be positive and below usual_half_life_days")
        if self.number("prior") <= 0:
            raise ValueError("trending: prior must be positive")

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """The decayed sum of a steady stream is its rate times the half-life: hence the ratio of half-lives."""
        short, usual = self.number("half_life_days"), self.number("usual_half_life_days")
        recent = decayed_totals(dataset, half_life_days=short)
        expected = decayed_totals(dataset, half_life_days=usual) * (short / usual)
        surprise = (recent - expected) / np.sqrt(expected + self.number("prior"))
        return {"popularity": surprise.astype(np.float32)}


class SegmentPopularity(Algorithm):
    """Popularity among people who share a description (`segment=vip`, `country=de`), drawn towards everybody's.

    For a person with several descriptions it is the mean of their shares. `prior` is the number of events at which a
    group's own share weighs as much as everybody's.
    """

    key: ClassVar[str] = "segment-popularity"
    capabilities: ClassVar[Capabilities] = Capabilities(
        personalized=False, needs_interactions=False, cold_items=True, user_tokens=True, reason="popular"
    )
    defaults: ClassVar[Parameters] = {"half_life_days": 30.0, "prior": 100.0, "max_segments": 100}

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """One row of shares for everybody, and one per description of the most people."""
        weights = decayed_weights(dataset.positives(), half_life_days=self.number("half_life_days"))
        positives = dataset.positives()
        totals = np.bincount(positives.items, weights=weights, minlength=dataset.n_items)
        everybody = totals / max(float(totals.sum()), 1e-12)
        arrays: Arrays = {"popularity": everybody.astype(np.float32), "segments": np.empty(0, dtype="<U1")}
        if not any(dataset.user_tokens):
            return arrays
        members, names = token_matrix(dataset.user_tokens)
        sizes = np.bincount(members.indices, minlength=len(names))
        kept = np.argsort(-sizes, kind="stable")[: self.count("max_segments")]
        by_user = to_csr(
            positives.users, positives.items, weights.astype(np.float32), shape=(dataset.n_users, dataset.n_items)
        )
        sums = (members[:, kept].T @ by_user).toarray()
        prior = self.number("prior")
        shares = (sums + prior * everybody) / (sums.sum(axis=1, keepdims=True) + prior)
        return arrays | {"segments": np.array(names)[kept], "shares": shares.astype(np.float32)}

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """The mean of the shares of the groups the person is in; everybody's for somebody in none."""
        known = np.flatnonzero(np.isin(arrays["segments"], profile.tokens)) if profile.tokens else ()
        scores: Scores = arrays["shares"][known].mean(axis=0) if len(known) else arrays["popularity"]
        return scores.astype(np.float32, copy=False)


class Random(Algorithm):
    """Every order equally likely, another one for every history: a floor in evaluations, and logs that answer anything.

    The order depends on the seed of the training and on the profile alone, so that a slate can be made again.
    """

    key: ClassVar[str] = "random"
    capabilities: ClassVar[Capabilities] = Capabilities(
        personalized=False, needs_interactions=False, cold_items=True, uniform=True, reason="explored"
    )

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """A seed and the number of items."""
        return {"seed": rng.integers(2**31, size=1), "n_items": np.array([dataset.n_items])}

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Independent uniform numbers."""
        history = crc32(np.ascontiguousarray(profile.items, dtype=np.int32).tobytes())
        return np.random.default_rng((int(arrays["seed"][0]), history)).random(
            int(arrays["n_items"][0]), dtype=np.float32
        )


def decayed_weights(positives: Dataset, *, half_life_days: float) -> NDArray[np.float64]:
    """w · 2^(−age / half-life) of each event; a half-life of 0 lets nothing decay."""
    weights = positives.weights.astype(np.float64)
    half_life = half_life_days * MICROSECONDS_PER_DAY
    if half_life > 0 and weights.size:
        weights = weights * np.exp2((positives.at - positives.at.max()) / half_life)
    return weights


def decayed_totals(dataset: Dataset, *, half_life_days: float) -> NDArray[np.float64]:
    """Sums of decayed weights per item."""
    positives = dataset.positives()
    weights = decayed_weights(positives, half_life_days=half_life_days)
    return np.bincount(positives.items, weights=weights, minlength=dataset.n_items).astype(np.float64)
