"""What people in general do: trending, by segment, chance, what was seen last, and what is bought together; by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.algorithms.association import BoughtTogether, session_numbers
from recommender.algorithms.base import Profile, rows_of, top_k
from recommender.algorithms.popularity import Popularity, Random, SegmentPopularity, Trending
from recommender.algorithms.recent import RecentlyViewed
from recommender.dataset import MICROSECONDS_PER_DAY, Dataset, DatasetBuilder

HOUR = MICROSECONDS_PER_DAY // 24
NOBODY = Profile(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def _dataset(rows: list[tuple[str, str, int]], **groups: tuple[str, ...]) -> Dataset:
    builder = DatasetBuilder()
    builder.add(
        user_id=np.array([row[0] for row in rows]),
        item_id=np.array([row[1] for row in rows]),
        weight=np.ones(len(rows), dtype=np.float32),
        at=np.array([row[2] for row in rows], dtype=np.int64),
    )
    return builder.build(user_tokens=groups)


def test_trending__a_steady_best_seller_and_a_new_rush__the_rush_leads() -> None:
    rows = [(f"u{hour}", "steady", hour * HOUR) for hour in range(0, 30 * 24, 2)]
    rows += [(f"v{number}", "rush", 30 * 24 * HOUR - number * HOUR) for number in range(12)]
    dataset = _dataset(rows)
    steady, rush = (dataset.item_ids.tolist().index(name) for name in ("steady", "rush"))
    popular = Popularity({"half_life_days": 0.0}).fit(dataset, rng=_rng())["popularity"]
    surprise = Trending().fit(dataset, rng=_rng())["popularity"]
    assert popular[steady] > popular[rush]
    assert surprise[rush] > 2.0
    # A steady stream of one event in two hours: both decayed sums are rate × half-life / ln 2, the long one almost.
    assert abs(surprise[steady]) < 1.5


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"half_life_days": 20.0}, "below usual_half_life_days"), ({"prior": 0.0}, "prior must be positive")],
)
def test_trending__nonsense__refused(parameters: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Trending(parameters)


def test_segment_popularity__two_groups__shares_drawn_to_everybody_by_hand() -> None:
    rows = [("a", "x", 1), ("b", "x", 1), ("c", "y", 1), ("c", "x", 2)]
    dataset = _dataset(rows, a=("segment=one",), b=("segment=one",), c=("segment=two", "country=de"))
    algorithm = SegmentPopularity({"half_life_days": 0.0, "prior": 2.0})
    arrays = algorithm.fit(dataset, rng=_rng())
    two = algorithm.score(arrays, Profile(NOBODY.items, NOBODY.weights, ("segment=two",)))
    # everybody: x 3/4, y 1/4; group two: x 1, y 1 of 2 events; (1 + 2 · 3/4) / 4 and (1 + 2 · 1/4) / 4
    np.testing.assert_allclose(two, [0.625, 0.375])
    np.testing.assert_allclose(algorithm.score(arrays, NOBODY), [0.75, 0.25])
    unknown = Profile(NOBODY.items, NOBODY.weights, ("segment=three",))
    np.testing.assert_allclose(algorithm.score(arrays, unknown), [0.75, 0.25])


def test_segment_popularity__more_groups_than_kept__the_largest_stay() -> None:
    dataset = _dataset([("a", "x", 1), ("b", "y", 1)], a=("s=1", "s=all"), b=("s=2", "s=all"))
    arrays = SegmentPopularity({"max_segments": 1}).fit(dataset, rng=_rng())
    assert arrays["segments"].tolist() == ["s=all"]


def test_random__many_histories__every_item_equally_often_first() -> None:
    dataset = _dataset([("a", f"i{number}", number) for number in range(10)])
    algorithm = Random()
    arrays = algorithm.fit(dataset, rng=_rng())
    firsts = np.zeros(10)
    for first in range(10):
        for second in range(50):
            history = Profile(np.array([first, second], dtype=np.int32), np.ones(2, dtype=np.float32))
            scores = algorithm.score(arrays, history)
            np.testing.assert_array_equal(scores, algorithm.score(arrays, history))
            firsts[top_k(scores, 1)[0]] += 1
    assert ((firsts - 50) ** 2 / 50).sum() < 27.9  # χ² with 9 degrees of freedom, 0.1 %


def test_recently_viewed__a_history__newest_first_and_nothing_else() -> None:
    dataset = _dataset([("a", "x", 1), ("a", "y", 2), ("b", "z", 1), ("a", "x", 3)])
    algorithm = RecentlyViewed()
    profile = rows_of(dataset.profiles())[0]
    found = top_k(algorithm.score(algorithm.fit(dataset, rng=_rng()), profile), 5)
    assert dataset.item_ids[found].tolist() == ["x", "y"]
    with pytest.raises(ValueError, match="memory must be positive"):
        RecentlyViewed({"memory": 0.0})


BASKETS = [
    *((f"u{number}", name, 1) for number in range(3) for name in ("bread", "butter")),
    ("u3", "bread", 1),
    ("u4", "tea", 1),
    ("u5", "tea", 1),
    ("u5", "bread", 1),
]


@pytest.mark.parametrize(("weighting", "expected"), [("confidence", 0.6), ("lift", 0.6 * np.log(1.2))])
def test_bought_together__baskets_by_hand__confidence_and_lift(weighting: str, expected: float) -> None:
    dataset = _dataset(BASKETS)
    algorithm = BoughtTogether({"weighting": weighting})
    arrays = algorithm.fit(dataset, rng=_rng())
    names = dataset.item_ids.tolist()
    basket = Profile(np.array([names.index("bread")], dtype=np.int32), np.ones(1, dtype=np.float32))
    scores = algorithm.score(arrays, basket)
    # 6 baskets, bread in 5, butter in 3, both in 3: P(butter | bread) = 3/5, lift (3/5) / (3/6) = 1.2
    assert scores[names.index("butter")] == pytest.approx(expected, rel=1e-5)
    assert np.isneginf(scores[names.index("tea")])  # one basket is no support, and the lift is below 1


def test_bought_together__less_support_asked__a_rule_still_needs_its_lift() -> None:
    dataset = _dataset(BASKETS)
    arrays = BoughtTogether({"min_support": 1, "min_lift": 1.5}).fit(dataset, rng=_rng())
    assert arrays["neighbour_item"].size == 0
    with pytest.raises(ValueError, match="weighting must be one of"):
        BoughtTogether({"weighting": "magic"})


def test_session_numbers__a_long_pause__a_new_session() -> None:
    dataset = _dataset([("a", "x", 0), ("a", "y", HOUR), ("a", "z", 3 * HOUR), ("b", "x", 3 * HOUR)])
    assert session_numbers(dataset, gap_hours=1.0).tolist() == [0, 0, 1, 2]
    assert session_numbers(dataset, gap_hours=0.0).tolist() == [0, 0, 0, 1]
