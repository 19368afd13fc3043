"""Recent choices say more: weights exp(−rank / memory), rank 0 being the newest of a profile (Ding & Li 2005)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recommender.algorithms.base import Profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.dataset import Csr


def faded(profile: Profile, memory: float) -> Profile:
    """The profile with weights that fade with rank; a memory of 0 forgets nothing.

    >>> profile = Profile(np.array([4, 7], dtype=np.int32), np.ones(2, dtype=np.float32))
    >>> faded(profile, 1.0).weights.round(2).tolist()
    [0.3700000047683716, 1.0]
    """
    if memory <= 0:
        return profile
    ranks = np.arange(profile.items.size)[::-1]
    return Profile(profile.items, profile.weights * weights_of(ranks, memory), profile.tokens)


def faded_rows(profiles: Csr, memory: float) -> Csr:
    """`faded` for each row; rows hold their items oldest first."""
    if memory <= 0:
        return profiles
    result = profiles.copy()
    result.data = profiles.data * weights_of(ranks_of(profiles), memory)
    return result


def ranks_of(profiles: Csr) -> NDArray[np.int64]:
    """For each stored value its place from the end of its row."""
    ends = np.repeat(profiles.indptr[1:], np.diff(profiles.indptr))
    return (ends - 1 - np.arange(profiles.indices.size)).astype(np.int64)


def weights_of(ranks: NDArray[np.signedinteger], memory: float) -> NDArray[np.float32]:
    """exp(−rank / memory)."""
    return np.exp(-ranks / memory).astype(np.float32)
