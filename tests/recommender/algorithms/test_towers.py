"""The two-tower model: gradients, the logQ correction, descriptions; and the index that must prove itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recommender.algorithms import index
from recommender.algorithms.als import Als, FeatureAls
from recommender.algorithms.base import NO_SCORE, Profile, rows_of, top_k
from recommender.algorithms.bpr import Bpr
from recommender.algorithms.towers import TwoTower, softmax_errors, without_answers
from tests.recommender.algorithms.conftest import world

NOBODY = Profile(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_errors__against_finite_differences__are_the_gradient() -> None:
    rng = _rng()
    answers = np.array([0, 1, 2, 1], dtype=np.int32)
    people = np.arange(4, dtype=np.int32)
    histories = csr_matrix(np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=np.float32))
    logits = rng.standard_normal((4, 4)).astype(np.float32)

    def loss(values: np.ndarray) -> float:
        has = histories[people][:, answers].toarray() != 0
        np.fill_diagonal(has, False)
        masked = np.where(has, -1e9, values)
        return float(np.mean(np.log(np.exp(masked).sum(axis=1)) - np.diag(masked)))

    found = softmax_errors(logits, answers, histories, people)
    for row in range(4):
        for column in range(4):
            step = np.zeros((4, 4))
            step[row, column] = 1e-4
            slope = (loss(logits + step) - loss(logits - step)) / 2e-4
            assert found[row, column] == pytest.approx(slope, abs=1e-3)
    assert found[2, 0] == 0.0  # the third person has the first item: it is no wrong answer


def test_questions__the_answer__is_left_out_and_the_rest_has_length_one() -> None:
    histories = csr_matrix(np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 0.0]], dtype=np.float32))
    found = without_answers(histories, np.array([0, 1], dtype=np.int32), np.array([1, 0], dtype=np.int32)).toarray()
    np.testing.assert_allclose(found, [[np.sqrt(0.5), 0.0, np.sqrt(0.5)], [0.0, 0.0, 0.0]], rtol=1e-6)


def test_log_q__without_it__popular_items_are_punished() -> None:
    dataset = world(users=90)
    everybody = int(np.flatnonzero(dataset.item_ids == "all")[0])
    dataset = dataset.take((dataset.items != everybody) | (dataset.users % 2 == 0))  # half of the people have it
    leads = {}
    for correct in (True, False):
        algorithm = TwoTower({"correct": correct, "epochs": 8, "factors": 8})
        arrays = algorithm.fit(dataset, rng=_rng())
        scores = algorithm.score_block(arrays, dataset.profiles()[1::2])
        scores = np.where(np.isfinite(scores), scores, np.nan)
        leads[correct] = float(np.mean(scores[:, everybody] - np.nanmean(scores, axis=1)))
    # In the end the correction is worth ln(45 / 18), how much oftener it is drawn than a usual item; eight epochs give
    # a third of it.
    assert leads[True] > leads[False] + 0.2


def test_people_with_tokens__no_history__their_group_speaks() -> None:
    dataset = world(users=90)
    groups = tuple((f"segment={int(name[1:]) % 3}",) for name in dataset.user_ids.tolist())
    dataset = replace(dataset, user_tokens=groups)
    algorithm = TwoTower({"factors": 8})
    arrays = algorithm.fit(dataset, rng=_rng())
    for taste in range(3):
        person = Profile(NOBODY.items, NOBODY.weights, (f"segment={taste}",))
        best = [name for name in dataset.item_ids[top_k(algorithm.score(arrays, person), 6)] if name.startswith("g")]
        assert sum(name.startswith(f"g{taste}") for name in best) > len(best) / 2
    assert np.isneginf(algorithm.score(arrays, Profile(NOBODY.items, NOBODY.weights, ("segment=9",)))).all()


def test_two_tower__no_descriptions__trains_all_the_same() -> None:
    dataset = replace(world(), tokens=())
    arrays = TwoTower({"epochs": 1}).fit(dataset, rng=_rng())
    assert arrays["person_tokens"].size == 0
    assert not arrays["known"][dataset.item_ids.tolist().index("cold")]


@pytest.mark.parametrize(
    "algorithm", [Als({"index": "voyager"}), Bpr({"index": "voyager"}), TwoTower({"index": "voyager"})]
)
def test_index__a_small_catalogue__finds_what_exact_search_finds(algorithm: Als | Bpr | TwoTower) -> None:
    dataset = world()
    arrays = algorithm.fit(dataset, rng=_rng())
    assert arrays["index_recall"][0] >= index.MIN_RECALL
    exact = {name: array for name, array in arrays.items() if not name.startswith("index")}
    profiles = dataset.profiles()
    np.testing.assert_allclose(
        algorithm.score_block(arrays, profiles), algorithm.score_block(exact, profiles), atol=1e-5
    )
    profile = rows_of(profiles)[0]
    np.testing.assert_allclose(algorithm.score(arrays, profile), algorithm.score(exact, profile), atol=1e-5)


def test_index__it_finds_too_little__no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "CANDIDATES", 3)
    with pytest.raises(
        ValueError, match=r"als: the voyager index finds 0\.\d+ of the exact best 50 items, at least 0\.95"
    ):
        Als({"index": "voyager"}).fit(world(), rng=_rng())


def test_index__more_than_fit_at_once__the_oldest_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MAX_OPEN", 1)
    monkeypatch.setattr(index, "_open", {})
    dataset = world()
    for seed in (1, 2):
        Als({"index": "voyager"}).fit(dataset, rng=np.random.default_rng(seed))
    assert len(index._open) == 1


def test_index__library_absent__named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "voyager", None)
    with pytest.raises(ValueError, match="als: index=voyager needs a library: pip install voyager"):
        Als({"index": "voyager"}).fit(world(), rng=_rng())


@pytest.mark.parametrize("parameters", [{"index": "magic"}, {"backend": "magic"}])
def test_als__nonsense__refused(parameters: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        Als(parameters)


def test_feature_als__items_without_words__refused_and_a_cold_item_has_its_kind() -> None:
    dataset = world()
    with pytest.raises(ValueError, match="als-features: no item of the data set has a description"):
        FeatureAls().fit(replace(dataset, tokens=()), rng=_rng())
    algorithm = FeatureAls({"regularization": 1.0})
    arrays = algorithm.fit(dataset, rng=_rng())
    cold = dataset.item_ids.tolist().index("cold")
    likes = arrays["factors"] @ arrays["factors"][cold]
    kin = [float(likes[place]) for place, name in enumerate(dataset.item_ids.tolist()) if name.startswith("g1")]
    others = [float(likes[place]) for place, name in enumerate(dataset.item_ids.tolist()) if name.startswith("g2")]
    assert min(kin) > max(others)


@pytest.mark.parametrize("key", ["als", "bpr", "ease", "item-knn", "content", "two-tower"])
def test_memory__a_change_of_taste__the_last_choices_speak(key: str) -> None:
    from recommender.registry import build

    dataset = world(users=90)
    names = dataset.item_ids.tolist()
    places = [names.index(name) for name in ("g0-0", "g0-1", "g0-2", "g1-0")]
    profile = Profile(np.array(places, dtype=np.int32), np.ones(4, dtype=np.float32))

    def share(memory: float) -> float:
        algorithm = build(key, {"memory": memory})
        arrays = algorithm.fit(dataset, rng=_rng())
        scores = algorithm.score(arrays, profile).copy()
        block = algorithm.score_block(
            arrays, csr_matrix((profile.weights, profile.items, [0, 4]), shape=(1, dataset.n_items))
        )
        np.testing.assert_allclose(block[0], scores, rtol=2e-4, atol=1e-5)
        scores[profile.items] = NO_SCORE
        return sum(str(name).startswith("g1") for name in dataset.item_ids[top_k(scores, 4)].tolist()) / 4

    assert share(0.5) > share(0.0)
