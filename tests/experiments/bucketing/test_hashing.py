from __future__ import annotations

import growthbook.core
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.bucketing.hashing import BUCKETS, bucket_number, fnv1a32
from experiments.bucketing.vectorized import PreparedUnits, bucket_numbers

# Any string Python can hold, lone surrogates included; short alphabets make collisions of length likely.
ids = st.one_of(
    st.text(st.characters(), max_size=40),
    st.text(st.sampled_from("aZ09-é漢😀\ud83d\ude00\x00"), max_size=12),
    st.integers(0, 10**12).map(str),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)],  # RFC 9923, appendix of test vectors
)
def test_fnv1a32__published_vectors__equal(text: str, expected: int) -> None:
    assert fnv1a32(text) == expected


@pytest.mark.parametrize(
    ("seed", "unit_id", "bucket"),
    [
        ("seed", "a", 0.0505),
        ("seed", "b", 0.2696),
        ("foo", "ab", 0.2575),
        ("foo", "def", 0.2019),
        ("cow", "🐮", 0.2456),
        ("漢", "\ud83d", 0.7679),
    ],
)
def test_bucket_number__golden_values__equal(seed: str, unit_id: str, bucket: float) -> None:
    assert bucket_number(seed_state=fnv1a32(seed), unit_id=unit_id) / BUCKETS == bucket


@given(seed=st.text(st.characters(), max_size=20), unit_id=ids)
def test_bucket_number__any_id__equals_the_client(seed: str, unit_id: str) -> None:
    ours = bucket_number(seed_state=fnv1a32(seed), unit_id=unit_id) / BUCKETS
    assert ours == growthbook.core.gbhash(seed, unit_id, 2)


@given(unit_ids=st.lists(ids, max_size=30))
def test_bucket_numbers__any_ids__equal_one_by_one(unit_ids: list[str]) -> None:
    state = fnv1a32("1f2e3d4c")
    many = bucket_numbers(seed_state=state, unit_ids=unit_ids)
    assert PreparedUnits(unit_ids).bucket_numbers(seed_state=state).tolist() == many.tolist()
    assert many.dtype == np.uint16
    assert many.tolist() == [bucket_number(seed_state=state, unit_id=unit_id) for unit_id in unit_ids]


def test_bucket_numbers__surrogate_halves_in_neighbours__do_not_join() -> None:
    state = fnv1a32("s")
    halves = ["a\ud83d", "\ude00b", "😀"]
    expected = [bucket_number(seed_state=state, unit_id=half) for half in halves]
    assert bucket_numbers(seed_state=state, unit_ids=halves).tolist() == expected


def test_bucket_numbers__first_hash_of_few_digits__equal_one_by_one() -> None:
    # The first hash of these ids is below 100,000: no digits before the tail, the rare branch.
    state = fnv1a32("rare")
    numbers = np.arange(400_000)
    texts = [str(number) for number in numbers]
    short = [text for text in texts if fnv1a32(text, state=state) < 100_000]
    assert short
    expected = [bucket_number(seed_state=state, unit_id=text) for text in short]
    assert bucket_numbers(seed_state=state, unit_ids=short).tolist() == expected


def test_bucket_numbers__several_blocks__keep_the_order() -> None:
    state = fnv1a32("blocks")
    unit_ids = [f"user-{number}" for number in range(40_000)]
    many = bucket_numbers(seed_state=state, unit_ids=unit_ids)
    assert PreparedUnits(unit_ids).bucket_numbers(seed_state=state).tolist() == many.tolist()
    for index in (0, 16_383, 16_384, 39_999):
        assert many[index] == bucket_number(seed_state=state, unit_id=unit_ids[index])


def test_bucket_numbers__many_units__spread_evenly() -> None:
    many = bucket_numbers(seed_state=fnv1a32("even"), unit_ids=[str(number) for number in range(200_000)])
    counts = np.bincount(many // 100, minlength=100)
    # Chi-square with 99 degrees of freedom exceeds 180 once in a million; the ids are fixed, so this never flickers.
    assert float(((counts - 2_000) ** 2 / 2_000).sum()) < 180
