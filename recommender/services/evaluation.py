"""Offline evaluation: split, fit on one part, rank for everybody, compare with what the other part says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recommender.algorithms.base import NO_SCORE, Algorithm, top_k_rows
from recommender.algorithms.popularity import Popularity
from recommender.evaluation.ranking import PerPerson, Quality, Truth, accuracy, quality
from recommender.evaluation.splits import MIN_EVENTS, has_real_times, random_per_user, temporal_per_user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Scores
    from recommender.dataset import Csr, Dataset

LIST_LENGTH = 10
BLOCK_CELLS = 1_000_000
"""Cells of one block of scores (float32: 4 MB, and some copies)."""


@dataclass(frozen=True, slots=True)
class Split:
    """A training part, and for `people` (user indices) what they chose afterwards."""

    train: Dataset
    people: NDArray[np.intp]
    truth: Truth
    is_temporal: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """Lists of one model with their accuracy per person and overall."""

    lists: NDArray[np.int32]
    people: PerPerson
    quality: Quality


def split_dataset(dataset: Dataset, *, rng: np.random.Generator, min_events: int = MIN_EVENTS) -> Split:
    """Last fifth of each person's events, by time where there is time, else at random."""
    is_temporal = has_real_times(dataset)
    if is_temporal:
        held_out = temporal_per_user(dataset, min_events=min_events)
    else:
        held_out = random_per_user(dataset, rng=rng, min_events=min_events)
    return split_by(dataset, held_out, is_temporal=is_temporal)


def split_by(dataset: Dataset, held_out: NDArray[np.bool_], *, is_temporal: bool) -> Split:
    """Wanted are held-out items the person likes and did not have before; people without one are not asked."""
    train, test = dataset.take(~held_out), dataset.take(held_out)
    liked = test.weights >= dataset.positive_from
    width = np.int64(dataset.n_items)
    wanted = np.unique(test.users[liked] * width + test.items[liked])
    wanted = wanted[~np.isin(wanted, train.users * width + train.items)]
    users, items = wanted // width, (wanted % width).astype(np.int32)
    people, start = np.unique(users, return_index=True)
    truth = Truth(start=np.append(start, users.size).astype(np.int64), items=items)
    return Split(train=train, people=people.astype(np.intp), truth=truth, is_temporal=is_temporal)


def limited(split: Split, *, max_people: int, rng: np.random.Generator) -> Split:
    """The same question to at most `max_people`, drawn at random."""
    if split.people.size <= max_people:
        return split
    chosen = np.sort(rng.choice(split.people.size, size=max_people, replace=False))
    sizes = split.truth.sizes
    rows = np.repeat(np.isin(np.arange(split.people.size), chosen), sizes)
    truth = Truth(start=np.append(0, np.cumsum(sizes[chosen])), items=split.truth.items[rows])
    return Split(train=split.train, people=split.people[chosen], truth=truth, is_temporal=split.is_temporal)


def profiles_for(algorithm: Algorithm, train: Dataset) -> Csr:
    """Profiles as this algorithm wants them, oldest item first: ratings, or only what was liked."""
    return (train if algorithm.uses_ratings else train.positives()).profiles()


def judge(algorithm: Algorithm, arrays: Arrays, split: Split, *, k: int = LIST_LENGTH) -> Judged:
    """Lists of `k` without anything seen, short ones filled by popularity (as serving does), and their quality."""
    profiles, seen = profiles_for(algorithm, split.train)[split.people], split.train.matrix()
    lists = np.full((split.people.size, k), -1, dtype=np.int32)
    step = max(1, BLOCK_CELLS // max(1, split.train.n_items))
    for first in range(0, split.people.size, step):
        rows = slice(first, first + step)
        lists[rows] = algorithm.rank_block(arrays, profiles[rows], seen[split.people[rows]], k)
    return _judged(lists, seen, split)


def judge_scores(blocks: Iterator[tuple[slice, Scores]], split: Split, *, k: int = LIST_LENGTH) -> Judged:
    """`judge` for scores that come from anywhere: blocks of rows of `split.people`, in order."""
    seen = split.train.matrix()
    lists = np.full((split.people.size, k), -1, dtype=np.int32)
    for rows, scores in blocks:
        usable = np.array(scores, dtype=np.float32)
        _mask(usable, seen[split.people[rows]], NO_SCORE)
        lists[rows] = top_k_rows(usable, k)
    return _judged(lists, seen, split)


def _judged(lists: NDArray[np.int32], seen: Csr, split: Split) -> Judged:
    _fill(lists, _popularity(split.train), seen, split.people)
    people = accuracy(lists, split.truth)
    known_by = np.bincount(seen.indices, minlength=split.train.n_items)
    active = int((np.diff(seen.indptr) > 0).sum())
    return Judged(lists=lists, people=people, quality=quality(lists, people, known_by=known_by, n_people=active))


def _popularity(train: Dataset) -> Scores:
    algorithm = Popularity({"half_life_days": 0.0})
    return algorithm.fit(train, rng=np.random.default_rng(0))["popularity"]


def _mask(scores: Scores, seen: Csr, value: np.float32) -> None:
    rows = np.repeat(np.arange(scores.shape[0]), np.diff(seen.indptr))
    scores[rows, seen.indices] = value


def _fill(lists: NDArray[np.int32], popularity: Scores, seen: Csr, people: NDArray[np.intp]) -> None:
    order = np.argsort(-popularity, kind="stable").astype(np.int32)
    k = lists.shape[1]
    for row in np.flatnonzero(lists[:, -1] < 0):
        have = lists[row][lists[row] >= 0]
        person = int(people[row])
        known = seen.indices[seen.indptr[person] : seen.indptr[person + 1]]
        head = order[: k + have.size + known.size]
        rest = head[~np.isin(head, np.concatenate([have, known]))][: k - have.size]
        lists[row, have.size : have.size + rest.size] = rest
