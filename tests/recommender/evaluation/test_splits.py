from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.dataset import Dataset, DatasetBuilder
from recommender.evaluation.splits import has_real_times, random_per_user, temporal_global, temporal_per_user
from recommender.services.evaluation import split_by, split_dataset

ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 1000)), min_size=1, max_size=120)


def _dataset(
    rows: list[tuple[int, int, int]], *, weights: list[float] | None = None, explicit: bool = False
) -> Dataset:
    builder = DatasetBuilder(explicit=explicit)
    builder.add(
        user_id=np.array([f"u{row[0]}" for row in rows]),
        item_id=np.array([f"i{row[1]}" for row in rows]),
        weight=np.array(weights or [1.0] * len(rows), dtype=np.float32),
        at=np.array([row[2] for row in rows], dtype=np.int64),
    )
    return builder.build()


def _spread(users: int = 4, events: int = 10) -> Dataset:
    return _dataset([(user, event, 10 * event + user) for user in range(users) for event in range(events)])


@settings(max_examples=80, deadline=None)
@given(rows=ROWS, share=st.sampled_from([0.1, 0.2, 0.5]))
def test_temporal__any_events__nothing_held_out_is_older_than_what_is_learnt(
    rows: list[tuple[int, int, int]], share: float
) -> None:
    dataset = _dataset(rows)
    if not has_real_times(dataset):
        with pytest.raises(ValueError, match="real time stamps"):
            temporal_per_user(dataset, share=share)
        return
    held_out = temporal_per_user(dataset, share=share)
    for user in range(dataset.n_users):
        own = dataset.users == user
        n = int(own.sum())
        assert int((held_out & own).sum()) == (int(np.ceil(share * n)) if n >= 5 else 0)
        if (held_out & own).any():
            assert dataset.at[own & ~held_out].max() <= dataset.at[own & held_out].min()


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 99))
def test_split__any_events__what_is_asked_was_never_learnt(rows: list[tuple[int, int, int]], seed: int) -> None:
    dataset = _dataset(rows)
    held_out = random_per_user(dataset, rng=np.random.default_rng(seed))
    split = split_by(dataset, held_out, is_temporal=False)
    learnt = set(zip(split.train.users.tolist(), split.train.items.tolist(), strict=True))
    for place, user in enumerate(split.people.tolist()):
        wanted = split.truth.items[split.truth.start[place] : split.truth.start[place + 1]].tolist()
        assert wanted
        assert len(wanted) == len(set(wanted))
        assert not {(user, item) for item in wanted} & learnt
    assert split.train.n_interactions + int(held_out.sum()) == dataset.n_interactions


def test_random__same_seed__same_rows_other_seed_others() -> None:
    dataset = _spread(users=20)
    first, again, other = (random_per_user(dataset, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.sum() == 20 * 2


def test_global__boundary__everything_later_is_held_out() -> None:
    dataset = _spread()
    held_out = temporal_global(dataset)
    assert dataset.at[~held_out].max() < dataset.at[held_out].min()
    assert held_out.mean() == pytest.approx(0.2)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [(0, 1, 5), (0, 2, 5), (1, 1, 5)],
        [(0, 1, 5), (1, 1, 6)],
        [(0, 1, 5), (0, 2, 5), (1, 1, 6), (1, 2, 6), (2, 1, 1), (2, 2, 9)],
    ],
)
def test_real_times__none_constant_single_or_mostly_tied__refused(rows: list[tuple[int, int, int]]) -> None:
    dataset = _dataset(rows)
    assert not has_real_times(dataset)
    for split in (temporal_per_user, temporal_global):
        with pytest.raises(ValueError, match="real time stamps"):
            split(dataset)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_share__outside__refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        temporal_per_user(_spread(), share=share)


def test_split_dataset__time_or_none__temporal_or_random() -> None:
    rng = np.random.default_rng(0)
    assert split_dataset(_spread(), rng=rng).is_temporal
    untimed = _dataset([(user, event, 0) for user in range(4) for event in range(10)])
    assert not split_dataset(untimed, rng=rng).is_temporal


def test_split__ratings__low_ones_are_not_wanted() -> None:
    rows = [(0, item, item) for item in range(10)]
    dataset = _dataset(rows, weights=[5, 5, 5, 5, 5, 5, 5, 5, 1, 4], explicit=True)
    split = split_dataset(dataset, rng=np.random.default_rng(0))
    assert dataset.item_ids[split.truth.items].tolist() == ["i9"]
