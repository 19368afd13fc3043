"""The bucket of a unit: GrowthBook's hash, version 2.

``bucket = (fnv1a32(str(fnv1a32(seed + unit_id))) mod 10000) / 10000``, where ``fnv1a32`` is the 32-bit
Fowler-Noll-Vo hash 1a (RFC 9923) over UTF-16 code units, as JavaScript's ``charCodeAt`` reads a string.
Hashing code points instead would put ids with emoji into other arms than the JavaScript client does.

`bucket_number` answers for one unit in plain Python, `bucketing.vectorized` for many at once in numpy.
"""

from __future__ import annotations

from functools import cache

BUCKETS = 10_000
"""How many positions there are; a bucket's number divided by this is the bucket in [0, 1)."""

OFFSET = 0x811C9DC5
PRIME = 0x01000193
MASK = 0xFFFFFFFF
TAIL_DIGITS = 5
"""The last decimal digits of the first hash are hashed one by one; those before come from a table."""
TAIL: int = 10**TAIL_DIGITS


def fnv1a32(text: str, *, state: int = OFFSET) -> int:
    """Hash the UTF-16 code units of a string, continuing from `state`.

    >>> hex(fnv1a32("foobar"))
    '0xbf9cf968'
    >>> fnv1a32("bar", state=fnv1a32("foo")) == fnv1a32("foobar")
    True
    """
    if text.isascii():
        for unit in text.encode():
            state = (state ^ unit) * PRIME & MASK
        return state
    data = text.encode("utf-16-le", "surrogatepass")
    for low, high in zip(data[::2], data[1::2], strict=True):
        state = (state ^ (low | high << 8)) * PRIME & MASK
    return state


def bucket_number(*, seed_state: int, unit_id: str) -> int:
    """The bucket's number in 0…9999; `seed_state` is ``fnv1a32(seed)``, computed once per experiment.

    >>> bucket_number(seed_state=fnv1a32("seed"), unit_id="a")
    505
    """
    # The loop of `fnv1a32` is repeated here: this is the hot path of every decision.
    state = seed_state
    if unit_id.isascii():
        for unit in unit_id.encode():
            state = (state ^ unit) * 0x01000193 & 0xFFFFFFFF
    else:
        state = fnv1a32(unit_id, state=state)
    head, tail = divmod(state, TAIL)
    if head == 0:
        return fnv1a32(str(state)) % BUCKETS
    state = head_states()[head]
    for digit in b"%05d" % tail:
        state = (state ^ digit) * 0x01000193 & 0xFFFFFFFF
    return state % BUCKETS


@cache
def head_states() -> tuple[int, ...]:
    """The states after hashing the digits before the tail, for each value of those digits.

    Half of the second hash looked up: 42,950 numbers, 1.7 MB, 40 ms once per process.
    """
    return tuple(fnv1a32(str(head)) for head in range(MASK // TAIL + 1))
