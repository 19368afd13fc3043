"""Follow graphs and sessions, by hand and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.algorithms.base import Profile
from recommender.algorithms.session_knn import SessionKNN
from recommender.algorithms.social import FriendsLike, PeopleYouMayKnow
from recommender.dataset import Dataset, DatasetBuilder
from tests.recommender.algorithms.conftest import social_world, world

FOLLOWS = [
    ("ann", "bob"),
    ("ann", "cat"),
    ("bob", "dan"),
    ("cat", "dan"),
    ("cat", "eve"),
    ("eve", "fay"),
    ("fay", "eve"),
]
LIKES = [("bob", "tea"), ("cat", "tea"), ("cat", "mug"), ("dan", "pan")]


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def _dataset(pairs: list[tuple[str, str]]) -> Dataset:
    builder = DatasetBuilder()
    builder.add(
        user_id=np.array([pair[0] for pair in pairs]),
        item_id=np.array([pair[1] for pair in pairs]),
        weight=np.ones(len(pairs), dtype=np.float32),
        at=np.arange(len(pairs), dtype=np.int64),
    )
    return builder.build()


def _scores(key: str, names: tuple[str, ...], method: str = "") -> dict[str, float]:
    dataset = _dataset([*FOLLOWS, ("zoe", "ann"), *LIKES])
    algorithm = PeopleYouMayKnow({"method": method}) if method else FriendsLike()
    assert algorithm.key == key
    arrays = algorithm.fit(dataset, rng=_rng())
    places = [dataset.item_ids.tolist().index(name) for name in names]
    profile = Profile(np.array(places, dtype=np.int32), np.ones(len(places), dtype=np.float32))
    scores = algorithm.score(arrays, profile)
    for item in np.flatnonzero(np.isfinite(scores)).tolist():
        if method != "pagerank" and item not in places:
            gains = [anchor.contribution for anchor in algorithm.explain(arrays, profile, item)]
            assert sum(gains) == pytest.approx(scores[item], rel=1e-5)
    return {name: float(score) for name, score in zip(dataset.item_ids.tolist(), scores, strict=True) if score > -1e30}


def test_people__common_neighbours__are_counted() -> None:
    found = _scores("people-you-may-know", ("bob", "cat"), "common-neighbours")
    assert found["dan"] == 2.0
    assert found["eve"] == 1.0
    assert "tea" not in found


def test_people__adamic_adar__a_friend_of_few_says_more() -> None:
    found = _scores("people-you-may-know", ("bob", "cat"), "adamic-adar")
    # ties of bob: ann, dan; of cat: ann, dan, eve
    assert found["dan"] == pytest.approx(1 / np.log(2) + 1 / np.log(3), rel=1e-6)
    assert found["eve"] == pytest.approx(1 / np.log(3), rel=1e-6)


def test_people__pagerank__equals_the_linear_system() -> None:
    dataset = social_world()
    algorithm = PeopleYouMayKnow({"method": "pagerank", "steps": 200})
    arrays = algorithm.fit(dataset, rng=_rng())
    degrees = np.diff(arrays["tie_start"])
    ties = np.zeros((degrees.size, degrees.size))
    ties[np.repeat(np.arange(degrees.size), degrees), arrays["tie_person"]] = 1.0
    friends = np.flatnonzero(degrees > 0)[:3]
    restart = np.zeros(degrees.size)
    restart[friends] = 1 / 3
    walk = ties / np.maximum(degrees, 1)[:, None]
    expected = np.linalg.solve(np.eye(degrees.size) - 0.85 * walk.T, 0.15 * restart)
    scores = algorithm.score(arrays, Profile(friends.astype(np.int32), np.ones(3, dtype=np.float32)))
    np.testing.assert_allclose(np.where(np.isfinite(scores), scores, 0.0), expected, atol=1e-6)


def test_people__nobody_followed__no_score() -> None:
    assert _scores("people-you-may-know", ("tea",), "pagerank") == {}


def test_friends__their_choices__heavy_choosers_say_less() -> None:
    found = _scores("friends-like", ("bob", "cat"))
    assert found["tea"] == pytest.approx(1 + 1 / np.sqrt(2), rel=1e-6)
    assert found["mug"] == pytest.approx(1 / np.sqrt(2), rel=1e-6)
    assert set(found) == {"tea", "mug"}


def test_social__no_item_is_a_person__refused() -> None:
    with pytest.raises(ValueError, match="no item of the data set is a person"):
        FriendsLike().fit(world(), rng=_rng())


@pytest.mark.parametrize("parameters", [{"method": "magic"}, {"damping": 1.0}, {"steps": 0}])
def test_people__nonsense__refused(parameters: dict[str, float | str]) -> None:
    with pytest.raises(ValueError, match="people-you-may-know: "):
        PeopleYouMayKnow(parameters)


SESSIONS = [("a", "x"), ("a", "y"), ("a", "z"), ("b", "y"), ("b", "w"), ("c", "q")]


def test_session__the_last_item_counts_most__what_followed_it_leads() -> None:
    dataset = _dataset(SESSIONS)
    algorithm = SessionKNN({"memory": 1.0, "reach": 1.0})
    names = dataset.item_ids.tolist()
    asked = Profile(np.array([names.index("x"), names.index("y")], dtype=np.int32), np.ones(2, dtype=np.float32))
    scores = algorithm.score(algorithm.fit(dataset, rng=_rng()), asked)
    near = np.exp(-1.0)
    assert scores[names.index("z")] == pytest.approx((1 + near) / np.sqrt(3) * near, rel=1e-5)
    assert scores[names.index("w")] == pytest.approx(1 / np.sqrt(2) * near, rel=1e-5)
    assert np.isneginf(scores[names.index("q")])
    with pytest.raises(ValueError, match="session-knn: "):
        SessionKNN({"window": 0})
