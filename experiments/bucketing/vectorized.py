"""The buckets of many units at once, in numpy; equal to `hashing.bucket_number` on every string.

Lone surrogates, emoji and empty ids included (a property test). Nothing on the path of a single decision
imports this module, so that a web process that never assigns in bulk does not load numpy for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from experiments.bucketing.hashing import BUCKETS, PRIME, TAIL, TAIL_DIGITS, fnv1a32, head_states

_BLOCK = 1 << 14
"""Units per step: the work arrays stay in the processor's second-level cache."""


def bucket_numbers(*, seed_state: int, unit_ids: Sequence[str]) -> NDArray[np.uint16]:
    """The buckets' numbers of many units, in their order.

    >>> bucket_numbers(seed_state=fnv1a32("seed"), unit_ids=["a", "a", "b"]).tolist()
    [505, 505, 2696]
    """
    numbers = np.empty(len(unit_ids), dtype=np.uint16)
    for start in range(0, len(unit_ids), _BLOCK):
        layout = _lay_out(unit_ids[start : start + _BLOCK])
        numbers[start : start + layout.units_n] = _bucket_numbers(layout, seed_state)
    return numbers


class PreparedUnits:
    """The same units under many seeds: their ids are taken apart once, three quarters of the work.

    >>> PreparedUnits(["a", "a", "b"]).bucket_numbers(seed_state=fnv1a32("seed")).tolist()
    [505, 505, 2696]
    """

    def __init__(self, unit_ids: Sequence[str]) -> None:
        self.units_n = len(unit_ids)
        self._layouts = [_lay_out(unit_ids[start : start + _BLOCK]) for start in range(0, self.units_n, _BLOCK)]

    def bucket_numbers(self, *, seed_state: int) -> NDArray[np.uint16]:
        """The buckets' numbers under one seed, in the order of the ids."""
        numbers = np.empty(self.units_n, dtype=np.uint16)
        start = 0
        for layout in self._layouts:
            numbers[start : start + layout.units_n] = _bucket_numbers(layout, seed_state)
            start += layout.units_n
        return numbers


@dataclass(frozen=True, slots=True)
class _Layout:
    """A block of ids by position: the code units of all ids that are longer, the longest ids first.

    `order` are the places of the ids in the block; `None` where they are as they came.
    """

    units_n: int
    columns: Sequence[NDArray[np.uint32]]
    order: NDArray[np.int64] | None


def _bucket_numbers(layout: _Layout, seed_state: int) -> NDArray[np.uint32]:
    """FNV-1a over the code units of each id, column by column, then over the digits of what came out."""
    states = np.full(layout.units_n, seed_state, dtype=np.uint32)
    for column in layout.columns:
        head = states[: len(column)]
        head ^= column
        head *= np.uint32(PRIME)
    numbers: NDArray[np.uint32] = _hash_digits(states) % np.uint32(BUCKETS)
    if layout.order is None:
        return numbers
    unsorted = np.empty_like(numbers)
    unsorted[layout.order] = numbers
    return unsorted


def _lay_out(block: Sequence[str]) -> _Layout:
    joined = "".join(block)
    lengths = np.fromiter(map(len, block), dtype=np.int64, count=len(block))
    if joined.isascii():
        units: NDArray[np.uint8 | np.uint16] = np.frombuffer(joined.encode(), dtype=np.uint8)
    else:
        units = np.frombuffer(joined.encode("utf-16-le", "surrogatepass"), dtype="<u2")
        lengths += _astral_counts(joined, lengths)
    longest = int(lengths.max())
    if longest * len(block) == len(units):
        columns = units.reshape(len(block), longest).T.astype(np.uint32, order="C")
        return _Layout(units_n=len(block), columns=list(columns), order=None)
    order = np.argsort(-lengths, kind="stable")
    starts = (np.cumsum(lengths) - lengths)[order]
    # How many ids still have a unit at each position, counted from the longest.
    alive = np.searchsorted(-lengths[order], -np.arange(longest), side="left")
    return _Layout(
        units_n=len(block),
        columns=[units[starts[:count] + place].astype(np.uint32) for place, count in enumerate(alive)],
        order=order,
    )


def _astral_counts(joined: str, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many characters of each id take two code units."""
    is_astral = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4") > 0xFFFF
    before = np.concatenate([[0], np.cumsum(is_astral)])
    ends = np.cumsum(lengths)
    counts: NDArray[np.int64] = before[ends] - before[ends - lengths]
    return counts


def _hash_digits(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """FNV-1a over the decimal digits of each value."""
    step = np.uint32(TAIL)
    heads = values // step
    rest = values - heads * step
    states: NDArray[np.uint32] = _head_states()[heads]
    power = step
    for _ in range(TAIL_DIGITS):
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
    return np.array(head_states(), dtype=np.uint32)
