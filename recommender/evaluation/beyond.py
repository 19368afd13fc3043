"""What lists do beyond being right: variety, popularity bias, calibration, groups of people and of items, intervals.

Ziegler et al. 2005 (intra-list diversity), Abdollahpouri et al. 2019 (popularity lift), Steck 2018 (calibration,
eq. 3–4), Singh & Joachims 2018 (exposure by group), Efron & Tibshirani 1993 chapter 13 (percentile bootstrap).
Lists are int arrays n × k of item indices, −1 where a list is short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.dataset import Csr

SMOOTHING = 0.01
"""Steck's α: keeps the divergence finite where a list has nothing of a category."""

DRAWS = 1_000
ACTIVITY = ((1, 5), (6, 20), (21, None))
"""Groups of people by their events in the training part; both ends inclusive."""

CATEGORY = "category="


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    lower: float
    upper: float
    n: int


@dataclass(frozen=True, slots=True)
class ItemGroup:
    """How much of the lists a group of items gets, beside how much of the range and of people's choices it is."""

    label: str
    exposure: float
    catalogue: float
    choices: float


def bootstrap(values: NDArray[np.float64], *, rng: np.random.Generator, draws: int = DRAWS) -> Interval:
    """Mean over people with a percentile interval over resamples of people.

    >>> bootstrap(np.ones(5), rng=np.random.default_rng(0))
    Interval(mean=1.0, lower=1.0, upper=1.0, n=5)
    """
    if values.size == 0:
        raise ValueError("bootstrap needs at least one value")
    means = np.empty(draws)
    for at in range(draws):
        means[at] = values[rng.integers(values.size, size=values.size)].mean()
    lower, upper = np.quantile(means, (0.025, 0.975))
    return Interval(mean=float(values.mean()), lower=float(lower), upper=float(upper), n=int(values.size))


def marks_matrix(tokens: Sequence[Sequence[str]]) -> Csr:
    """Items × descriptions (category, brand, tags; no words), rows of length 1; items without any are zero."""
    from scipy.sparse import csr_matrix

    codes: dict[str, int] = {}
    rows, columns, values = [], [], []
    for item, own in enumerate(tokens):
        marks = {token for token in own if not token.startswith("word=")}
        rows += [item] * len(marks)
        columns += [codes.setdefault(mark, len(codes)) for mark in sorted(marks)]
        values += [max(len(marks), 1) ** -0.5] * len(marks)
    shape = (len(tokens), max(len(codes), 1))
    matrix: Csr = csr_matrix((np.array(values, dtype=np.float32), (rows, columns)), shape=shape)
    return matrix


def diversity(lists: NDArray[np.int32], marks: Csr) -> NDArray[np.float64]:
    """Per list 1 − mean cosine over its pairs; lists of fewer than two items are left out.

    Σ over ordered pairs of cosines = |Σ vectors|² − Σ |vector|²: one product instead of k² / 2.
    """
    totals = _chosen(lists, marks.shape[0]) @ marks
    own = np.asarray(marks.multiply(marks).sum(axis=1)).ravel()
    squares = np.asarray(totals.multiply(totals).sum(axis=1)).ravel()
    held = lists >= 0
    alone = np.where(held, own[np.maximum(lists, 0)], 0.0).sum(axis=1)
    sizes = held.sum(axis=1)
    several = sizes >= 2
    pairs = (sizes * (sizes - 1))[several]
    result: NDArray[np.float64] = 1.0 - (squares - alone)[several] / pairs
    return result


def popularity_lift(lists: NDArray[np.int32], profiles: Csr, *, known_by: NDArray[np.int64]) -> float | None:
    """How much more popular the listed items are than those people have: 0 is equal, 1 is twice; None without items."""
    own = _mean_popularity(profiles, known_by)
    listed = _mean_popularity(_chosen(lists, known_by.size), known_by)
    if own is None or listed is None or own == 0:
        return None
    return listed / own - 1.0


def calibration(lists: NDArray[np.int32], profiles: Csr, categories: NDArray[np.int32]) -> NDArray[np.float64]:
    """Per person KL(p ‖ q̃): p the categories of the profile, q those of the list mixed with α · p; 0 is perfect.

    People without a profile or a list of known categories (code ≥ 0) are left out.
    """
    wanted = _shares(profiles, categories)
    given = _shares(_chosen(lists, categories.size), categories)
    usable = (wanted.sum(axis=1) > 0) & (given.sum(axis=1) > 0)
    p, q = wanted[usable], given[usable]
    mixed = (1.0 - SMOOTHING) * q + SMOOTHING * p
    terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0) / np.where(mixed > 0, mixed, 1.0)), 0.0)
    result: NDArray[np.float64] = terms.sum(axis=1)
    return result


def exposure_groups(
    lists: NDArray[np.int32], categories: NDArray[np.int32], labels: Sequence[str], *, known_by: NDArray[np.int64]
) -> list[ItemGroup]:
    """Each category's share of the lists (a place counts 1 / log₂(place + 1)), of the items and of the choices."""
    held = lists >= 0
    attention = np.broadcast_to(1.0 / np.log2(np.arange(lists.shape[1]) + 2.0), lists.shape)[held]
    shown = np.bincount(categories[lists[held]] + 1, weights=attention, minlength=len(labels) + 1)[1:]
    items = np.bincount(categories + 1, minlength=len(labels) + 1)[1:]
    chosen = np.bincount(categories + 1, weights=known_by, minlength=len(labels) + 1)[1:]
    columns = [values / max(float(values.sum()), 1e-12) for values in (shown, items, chosen)]
    return [ItemGroup(label, *(float(column[code]) for column in columns)) for code, label in enumerate(labels)]


def category_codes(tokens: Sequence[Sequence[str]]) -> tuple[NDArray[np.int32], list[str]]:
    """A code per item (−1: none) and the categories' names by code.

    >>> category_codes([["category=mugs", "word=red"], []])
    (array([ 0, -1], dtype=int32), ['mugs'])
    """
    codes: dict[str, int] = {}
    found = np.full(len(tokens), -1, dtype=np.int32)
    for item, own in enumerate(tokens):
        name = next((token.removeprefix(CATEGORY) for token in own if token.startswith(CATEGORY)), None)
        if name is not None:
            found[item] = codes.setdefault(name, len(codes))
    return found, list(codes)


def activity_groups(events: NDArray[np.int64]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Masks of people by their number of events, with a label; empty groups are left out."""
    groups = []
    for low, high in ACTIVITY:
        mask = (events >= low) & (events <= (high or np.iinfo(np.int64).max))
        if mask.any():
            groups.append((f"{low}–{high}" if high else f"{low}+", mask))
    return groups


def lorenz(counts: NDArray[np.int64], *, points: int = 50) -> list[float]:
    """Cumulative share of exposure of the least shown share of items, at `points` + 1 even steps from 0 to 1.

    >>> lorenz(np.array([1, 1, 1, 1]), points=4)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    total = float(counts.sum())
    if total == 0:
        return [0.0] * (points + 1)
    reached = np.concatenate([[0.0], np.cumsum(np.sort(counts)) / total])
    places = np.linspace(0.0, counts.size, points + 1)
    return [float(value) for value in np.interp(places, np.arange(counts.size + 1), reached)]


def _chosen(lists: NDArray[np.int32], n_items: int) -> Csr:
    """Lists as a sparse 0/1 matrix."""
    from scipy.sparse import csr_matrix

    held = lists >= 0
    start = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
    ones = np.ones(int(held.sum()), dtype=np.float32)
    matrix: Csr = csr_matrix((ones, lists[held], start), shape=(lists.shape[0], n_items))
    return matrix


def _mean_popularity(chosen: Csr, known_by: NDArray[np.int64]) -> float | None:
    sizes = np.diff(chosen.indptr)
    if not sizes.sum():
        return None
    owner = np.repeat(np.arange(sizes.size), sizes)
    totals = np.bincount(owner, weights=known_by[chosen.indices], minlength=sizes.size)
    return float((totals[sizes > 0] / sizes[sizes > 0]).mean())


def _shares(chosen: Csr, categories: NDArray[np.int32]) -> NDArray[np.float64]:
    n_categories = int(categories.max(initial=-1)) + 1
    owner = np.repeat(np.arange(chosen.shape[0]), np.diff(chosen.indptr))
    codes = categories[chosen.indices]
    known = codes >= 0
    cells = owner[known] * n_categories + codes[known]
    counts = np.bincount(cells, minlength=chosen.shape[0] * n_categories).reshape(chosen.shape[0], n_categories)
    shares: NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares
