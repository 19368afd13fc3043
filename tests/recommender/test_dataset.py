from __future__ import annotations

import numpy as np
import pytest

from recommender.dataset import Dataset, DatasetBuilder, IdIndex


def _added(builder: DatasetBuilder, rows: list[tuple[str, str, float, int]]) -> DatasetBuilder:
    builder.add(
        user_id=np.array([row[0] for row in rows], dtype=np.str_),
        item_id=np.array([row[1] for row in rows], dtype=np.str_),
        weight=np.array([row[2] for row in rows], dtype=np.float32),
        at=np.array([row[3] for row in rows], dtype=np.int64),
    )
    return builder


def test_builder__chunks_in_any_order__sorted_by_person_time_and_item() -> None:
    builder = DatasetBuilder()
    _added(builder, [("v", "b", 1.0, 5), ("u", "c", 2.0, 9)])
    dataset = _added(builder, [("u", "a", 3.0, 2), ("v", "a", 4.0, 5)]).build()
    rows = zip(dataset.user_ids[dataset.users], dataset.item_ids[dataset.items], dataset.weights, strict=True)
    assert list(rows) == [("u", "a", 3.0), ("u", "c", 2.0), ("v", "a", 4.0), ("v", "b", 1.0)]
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == (2, 3, 4)


def test_builder__nothing_added__empty_but_usable() -> None:
    dataset = DatasetBuilder(item_ids=["a"]).build()
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == (0, 1, 0)
    assert dataset.matrix().shape == (0, 1)
    assert dataset.positive_from == 0.0
    assert DatasetBuilder(explicit=True).build().matrix().shape == (0, 0)


def test_builder__events__weighted_by_type_and_others_left_out() -> None:
    builder = DatasetBuilder(event_weights={"view": 1.0, "buy": 5.0, "off": 0.0})
    builder.add_events(
        user_id=np.array(["u", "u", "u", "u"]),
        item_id=np.array(["a", "b", "c", "d"]),
        event_type=np.array(["buy", "view", "off", "other"]),
        at=np.arange(4, dtype=np.int64),
    )
    empty = np.empty(0, dtype=np.str_)
    builder.add_events(user_id=empty, item_id=empty, event_type=empty, at=np.empty(0, dtype=np.int64))
    assert builder.build().weights.tolist() == [5.0, 1.0]


@pytest.mark.parametrize("weight", [np.nan, np.inf])
def test_builder__weight_not_finite__refused(weight: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        _added(DatasetBuilder(), [("u", "a", weight, 0)])


def test_builder__lengths_differ__refused() -> None:
    with pytest.raises(ValueError, match="same length"):
        DatasetBuilder().add(
            user_id=np.array(["u"]),
            item_id=np.array(["a", "b"]),
            weight=np.ones(2, dtype=np.float32),
            at=np.zeros(2, dtype=np.int64),
        )


def test_matrix__repeats__implicit_add_up_and_of_ratings_the_last_stands() -> None:
    rows = [("u", "a", 2.0, 1), ("u", "b", 9.0, 2), ("u", "a", 5.0, 3)]
    implicit = _added(DatasetBuilder(), rows).build()
    explicit = _added(DatasetBuilder(explicit=True), rows).build()
    assert implicit.matrix().toarray().tolist() == [[7.0, 9.0]]
    assert explicit.matrix().toarray().tolist() == [[5.0, 9.0]]
    assert implicit.matrix(aggregate="last").toarray().tolist() == [[5.0, 9.0]]


def test_positives__ratings__from_four_fifths_of_the_top_as_ones() -> None:
    rows = [("u", "a", 5.0, 1), ("u", "b", 4.0, 2), ("u", "c", 3.5, 3), ("u", "a", 1.0, 4)]
    dataset = _added(DatasetBuilder(explicit=True), rows).build(tokens={"a": ("x",)})
    liked = dataset.positives()
    assert dataset.item_ids[liked.items].tolist() == ["b"]  # "a" was rated again, low
    assert liked.weights.tolist() == [1.0]
    assert not liked.explicit
    assert liked.tokens == dataset.tokens == (("x",), (), ())


def test_positives__implicit__everything() -> None:
    dataset = _added(DatasetBuilder(), [("u", "a", 0.5, 1)]).build()
    assert dataset.positives() is dataset


def test_id_index__known_ids_first__keep_their_place() -> None:
    index = IdIndex(["a", "b", "a"])
    assert index.encode(np.array(["c", "b"])).tolist() == [2, 1]
    assert index.names().tolist() == ["a", "b", "c"]
    assert IdIndex().names().size == 0


def test_take__rows__same_people_and_items() -> None:
    dataset = _added(DatasetBuilder(), [("u", "a", 1.0, 1), ("u", "b", 2.0, 2)]).build()
    part: Dataset = dataset.take(np.array([False, True]))
    assert part.weights.tolist() == [2.0]
    assert part.n_items == 2


def test_profiles__repeats__each_item_at_its_last_time_with_its_total() -> None:
    rows = [("u", "b", 1.0, 1), ("u", "a", 2.0, 2), ("u", "b", 4.0, 3), ("v", "c", 1.0, 1), ("u", "c", 8.0, 2)]
    implicit = _added(DatasetBuilder(), rows).build()
    profiles = implicit.profiles()
    assert profiles.indices.tolist() == [0, 2, 1, 2]  # u: a, c, b by last time; v: c
    assert profiles.data.tolist() == [2.0, 8.0, 5.0, 1.0]
    assert (profiles.toarray() == implicit.matrix().toarray()).all()
    explicit = _added(DatasetBuilder(explicit=True), rows).build()
    assert explicit.profiles().data.tolist() == [2.0, 8.0, 4.0, 1.0]
    assert DatasetBuilder(item_ids=["a"]).build().profiles().shape == (0, 1)
