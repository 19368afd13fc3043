"""Which interactions a model may learn from and which it is asked about; the second never leaks into the first.

All functions expect rows sorted by (user, at, item), as `Dataset` keeps them, and return a mask of held-out rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recommender.dataset import last_of_each, user_starts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.dataset import Dataset

HELD_OUT_SHARE = 0.2
MIN_EVENTS = 5
"""People with fewer events only train: the protocol of the published comparison."""

MAX_TIED_SHARE = 0.5
"""More people than this with one single time stamp for everything: the times are not real."""


def has_real_times(dataset: Dataset) -> bool:
    """False when times are constant, or when most people with several events did everything at one instant.

    "The last in file order" is not time: on web visits listed by page id it made popularity look best.
    """
    if dataset.n_interactions == 0 or dataset.at.min() == dataset.at.max():
        return False
    starts = user_starts(dataset)
    lengths = np.diff(starts)
    several = np.flatnonzero(lengths >= 2)
    if several.size == 0:
        return False
    first, last = dataset.at[starts[several]], dataset.at[starts[several + 1] - 1]
    return float((first == last).mean()) <= MAX_TIED_SHARE


def temporal_per_user(
    dataset: Dataset, *, share: float = HELD_OUT_SHARE, min_events: int = MIN_EVENTS
) -> NDArray[np.bool_]:
    """The last ⌈share · n⌉ events of everybody with at least `min_events`."""
    if not has_real_times(dataset):
        raise ValueError("a temporal split needs real time stamps; use a random one and say so")
    return last_of_each(dataset, share=share, min_events=min_events)


def random_per_user(
    dataset: Dataset, *, rng: np.random.Generator, share: float = HELD_OUT_SHARE, min_events: int = MIN_EVENTS
) -> NDArray[np.bool_]:
    """⌈share · n⌉ events of everybody with at least `min_events`, drawn at random: for data without times."""
    order = np.lexsort((rng.random(dataset.n_interactions), dataset.users))
    held_out = np.zeros(dataset.n_interactions, dtype=bool)
    held_out[order] = last_of_each(dataset, share=share, min_events=min_events)
    return held_out


def temporal_global(dataset: Dataset, *, share: float = HELD_OUT_SHARE) -> NDArray[np.bool_]:
    """Everything from one instant on: no model sees anything that happened after any question it is asked."""
    if not has_real_times(dataset):
        raise ValueError("a temporal split needs real time stamps; use a random one and say so")
    boundary = np.quantile(dataset.at, 1.0 - share, method="lower")
    held_out: NDArray[np.bool_] = dataset.at > boundary
    return held_out
