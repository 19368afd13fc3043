"""The buckets of many units at once, in numpy; equal to `hashing.bucket_number` on every string.

Lone surrogates, emoji and empty ids included (a property test). Nothing on the path of a single decision
imports this module, so that a web process that never assigns in bulk does not load numpy for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from experiments.bucketing.hashing import BUCKETS, MASK, PRIME, fnv1a32

_BLOCK = 1 << 14
"""Units per step: the work arrays stay in the processor's second-level cache."""
_TAIL_DIGITS = 5
"""The last decimal digits that are hashed one by one; those before come from a table."""


def bucket_numbers(*, seed_state: int, unit_ids: Sequence[str]) -> NDArray[np.uint16]:
    """The buckets' numbers of many units, in their order.

    >>> bucket_numbers(seed_state=fnv1a32("seed"), unit_ids=["a", "a", "b"]).tolist()
    [505, 505, 2696]
    """
    numbers = np.empty(len(unit_ids), dtype=np.uint16)
    for start in range(0, len(unit_ids), _BLOCK):
        block = unit_ids[start : start + _BLOCK]
        numbers[start : start + len(block)] = _hash_digits(_hash_units(block, seed_state)) % np.uint32(BUCKETS)
    return numbers


def _hash_units(block: Sequence[str], seed_state: int) -> NDArray[np.uint32]:
    """FNV-1a over the code units of each id, column by column over ids of falling length."""
    joined = "".join(block)
    if joined.isascii():
        units: NDArray[np.uint8 | np.uint16] = np.frombuffer(joined.encode(), dtype=np.uint8)
        lengths = np.fromiter(map(len, block), dtype=np.int64, count=len(block))
    else:
        units = np.frombuffer(joined.encode("utf-16-le", "surrogatepass"), dtype="<u2")
        lengths = np.fromiter(map(_utf16_length, block), dtype=np.int64, count=len(block))
    states = np.full(len(block), seed_state, dtype=np.uint32)
    longest = int(lengths.max())
    if longest * len(block) == len(units):
        for column in units.reshape(len(block), longest).T.astype(np.uint32, order="C"):
            states ^= column
            states *= np.uint32(PRIME)
        return states
    order = np.argsort(-lengths, kind="stable")
    starts = (np.cumsum(lengths) - lengths)[order]
    # How many ids still have a unit at each position, counted from the longest.
    alive = np.searchsorted(-lengths[order], -np.arange(longest), side="left")
    for position, count in enumerate(alive):
        head = states[:count]
        head ^= units[starts[:count] + position]
        head *= np.uint32(PRIME)
    unsorted = np.empty_like(states)
    unsorted[order] = states
    return unsorted


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _hash_digits(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """FNV-1a over the decimal digits of each value."""
    step = np.uint32(10**_TAIL_DIGITS)
    heads = values // step
    rest = values - heads * step
    states: NDArray[np.uint32] = _head_states()[heads]
    power = step
    for _ in range(_TAIL_DIGITS):
        power = power // np.uint32(10)
        digits = rest // power
        rest -= digits * power
        digits |= np.uint32(0x30)
        states ^= digits
        states *= np.uint32(PRIME)
    for index in np.flatnonzero(heads == 0):
        # No leading zeros: 2 values in 100,000 are this short.
        states[index] = fnv1a32(str(int(values[index])))
    return states


@cache
def _head_states() -> NDArray[np.uint32]:
    """The states after hashing the digits before the tail, for each value of those digits."""
    return np.array([fnv1a32(str(head)) for head in range(MASK // 10**_TAIL_DIGITS + 1)], dtype=np.uint32)
