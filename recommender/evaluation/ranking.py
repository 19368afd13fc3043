"""How good ranked lists are: accuracy per person, and what the lists do to the catalogue.

Järvelin & Kekäläinen 2002 (NDCG, binary gains), Manning, Raghavan & Schütze 2008 chapter 8 (precision, recall, MAP,
MRR), Vargas & Castells 2011 (novelty as self-information), Fleder & Hosanagar 2009 (Gini of exposure).
Lists are int arrays n × k of item indices, best first, −1 where a list is short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NORMAL_975 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Truth:
    """What each of n people chose afterwards: person i wanted the distinct `items[start[i]:start[i + 1]]`."""

    start: NDArray[np.int64]
    items: NDArray[np.int32]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of wanted items per person."""
        return np.diff(self.start)


@dataclass(frozen=True, slots=True)
class PerPerson:
    """Accuracy of each person's list, for everybody with at least one wanted item; arrays of one length."""

    ndcg: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average_precision: NDArray[np.float64]
    reciprocal_rank: NDArray[np.float64]
    hit: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quality:
    """Averages over people, and the lists as a whole."""

    n: int
    ndcg: float
    ndcg_se: float
    recall: float
    precision: float
    map: float
    mrr: float
    hit_rate: float
    coverage: float
    """Share of the catalogue that is in at least one list."""
    novelty: float
    """Mean −log2 of the share of people who know the recommended item."""
    gini: float
    """0: every item is shown equally often; 1: one item only."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean difference over the same people with a 95 % interval (normal; thousands of people)."""

    difference: float
    lower: float
    upper: float
    n: int


def accuracy(lists: NDArray[np.int32], truth: Truth) -> PerPerson:
    """Accuracy per person, people without a wanted item left out.

    >>> truth = Truth(start=np.array([0, 1]), items=np.array([7], dtype=np.int32))
    >>> accuracy(np.array([[3, 7]], dtype=np.int32), truth).reciprocal_rank.tolist()
    [0.5]
    """
    n, k = lists.shape
    sizes = truth.sizes
    owner = np.repeat(np.arange(n), sizes)
    width = int(max(lists.max(initial=-1), truth.items.max(initial=-1))) + 2
    wanted = np.unique(owner * width + truth.items)
    asked = np.arange(n)[:, None] * width + lists
    hits = np.isin(asked, wanted) & (lists >= 0)
    keep = sizes > 0
    hits, sizes = hits[keep].astype(np.float64), sizes[keep]
    gains = 1.0 / np.log2(np.arange(k) + 2.0)
    possible = np.minimum(sizes, k)
    found = hits.sum(axis=1)
    ranks = np.arange(1, k + 1)
    precisions = np.cumsum(hits, axis=1) / ranks
    first = np.where(found > 0, hits.argmax(axis=1) + 1.0, np.inf)
    return PerPerson(
        ndcg=(hits @ gains) / np.cumsum(gains)[possible - 1],
        recall=found / sizes,
        precision=found / k,
        average_precision=(precisions * hits).sum(axis=1) / possible,
        reciprocal_rank=1.0 / first,
        hit=(found > 0).astype(np.float64),
    )


def quality(lists: NDArray[np.int32], people: PerPerson, *, known_by: NDArray[np.int64], n_people: int) -> Quality:
    """Averages; `known_by` says for each item of the catalogue how many of `n_people` training people have it."""
    n = people.ndcg.size
    if n == 0:
        raise ValueError(
            "nobody has a wanted item: there is nothing to evaluate (it takes people with five events or more, whose "
            "last fifth names an item that they did not have before)"
        )
    shown = np.bincount(lists[lists >= 0], minlength=known_by.size)
    return Quality(
        n=n,
        ndcg=float(people.ndcg.mean()),
        ndcg_se=float(people.ndcg.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan"),
        recall=float(people.recall.mean()),
        precision=float(people.precision.mean()),
        map=float(people.average_precision.mean()),
        mrr=float(people.reciprocal_rank.mean()),
        hit_rate=float(people.hit.mean()),
        coverage=float((shown > 0).mean()),
        novelty=_novelty(shown, known_by, n_people),
        gini=gini(shown),
    )


def paired(better: NDArray[np.float64], than: NDArray[np.float64]) -> PairedDifference:
    """Mean of the differences person by person: far sharper than comparing two averages.

    >>> paired(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 2.0]))
    PairedDifference(difference=1.0, lower=1.0, upper=1.0, n=3)
    """
    if better.shape != than.shape or better.size < 2:
        raise ValueError("paired needs two arrays of one length of at least 2")
    gains = better - than
    mean = float(gains.mean())
    margin = NORMAL_975 * float(gains.std(ddof=1)) / float(np.sqrt(gains.size))
    return PairedDifference(difference=mean, lower=mean - margin, upper=mean + margin, n=int(gains.size))


def gini(counts: NDArray[np.integer] | Sequence[int]) -> float:
    """Gini coefficient of non-negative counts; 0 when all are zero.

    >>> gini([1, 1, 1]), round(gini([0, 0, 6]), 3)
    (0.0, 0.667)
    """
    values = np.sort(np.asarray(counts, dtype=np.float64))
    total = float(values.sum())
    if total == 0:
        return 0.0
    n = values.size
    return float((2 * np.arange(1, n + 1) - n - 1) @ values / (n * total))


def _novelty(shown: NDArray[np.int64], known_by: NDArray[np.int64], n_people: int) -> float:
    total = int(shown.sum())
    if total == 0:
        return 0.0
    share = np.maximum(known_by, 1) / max(n_people, 1)
    return float((shown * -np.log2(share)).sum() / total)
