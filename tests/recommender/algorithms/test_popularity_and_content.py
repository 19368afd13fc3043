from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from recommender.algorithms.base import (
    NO_SCORE,
    Algorithm,
    Arrays,
    Parameters,
    Profile,
    Scores,
    gather,
    merged,
    rows_of,
    top_k,
    top_k_rows,
)
from recommender.algorithms.content import Content
from recommender.algorithms.popularity import Popularity
from recommender.dataset import MICROSECONDS_PER_DAY, Dataset, DatasetBuilder
from tests.recommender.algorithms.conftest import world

RNG = np.random.default_rng(0)


def _built(rows: list[tuple[str, str, float, int]], tokens: Mapping[str, tuple[str, ...]] | None = None) -> Dataset:
    builder = DatasetBuilder(item_ids=sorted({row[1] for row in rows} | set(tokens or {})))
    builder.add(
        user_id=np.array([row[0] for row in rows]),
        item_id=np.array([row[1] for row in rows]),
        weight=np.array([row[2] for row in rows], dtype=np.float32),
        at=np.array([row[3] for row in rows], dtype=np.int64) * MICROSECONDS_PER_DAY,
    )
    return builder.build(tokens=tokens)


def test_popularity__half_life__halves_with_age_from_the_newest_event() -> None:
    dataset = _built([("u", "a", 5.0, 0), ("u", "b", 3.0, 30), ("v", "b", 1.0, 15)])
    fitted = Popularity({"half_life_days": 30.0}).fit(dataset, rng=RNG)
    assert fitted["popularity"].tolist() == pytest.approx([2.5, 3.0 + 2**-0.5])
    flat = Popularity({"half_life_days": 0.0}).fit(dataset, rng=RNG)
    assert flat["popularity"].tolist() == [5.0, 4.0]


def test_content__three_items__tf_idf_cosine_by_hand() -> None:
    tokens = {"a": ("x", "y"), "b": ("x",), "c": ("z",), "d": ()}
    dataset = _built([("u", "a", 2.0, 0)], tokens)
    arrays = Content().fit(dataset, rng=RNG)
    idf = {"x": math.log(4 / 3) + 1, "y": math.log(4 / 2) + 1}
    expected = idf["x"] / math.hypot(idf["x"], idf["y"])
    scores = Content().score(arrays, Profile(np.array([0], dtype=np.int32), np.array([2.0], dtype=np.float32)))
    assert scores.tolist() == pytest.approx([1.0, expected, -np.inf, -np.inf])


def test_content__token_twice__counts_by_one_plus_log() -> None:
    dataset = _built([("u", "a", 1.0, 0)], {"a": ("x", "x", "y"), "b": ("y",)})
    arrays = Content().fit(dataset, rng=RNG)
    idf_x, idf_y = math.log(3 / 2) + 1, 1.0
    assert arrays["token_weight"][0] / arrays["token_weight"][1] == pytest.approx((1 + math.log(2)) * idf_x / idf_y)


def test_content__rare_and_common_tokens__left_out_on_demand() -> None:
    tokens = {"a": ("all", "ab"), "b": ("all", "ab"), "c": ("all", "only")}
    dataset = _built([("u", "a", 1.0, 0)], tokens)
    arrays = Content({"min_document_frequency": 2, "max_document_share": 0.9}).fit(dataset, rng=RNG)
    assert arrays["token_item"].tolist() == [0, 1]
    assert arrays["token_weight"].tolist() == [1.0, 1.0]


def test_content__no_descriptions__refused() -> None:
    with pytest.raises(ValueError, match="content: no item of the data set has a description"):
        Content().fit(_built([("u", "a", 1.0, 0)]), rng=RNG)


def test_top_k__ties_and_missing__lower_index_first_and_left_out() -> None:
    scores = np.array([1, 2, 2, NO_SCORE, 2], dtype=np.float32)
    assert top_k(scores, 2).tolist() == [1, 2]
    assert top_k(scores, 9).tolist() == [1, 2, 4, 0]
    assert top_k(scores, 0).tolist() == []
    assert top_k_rows(np.stack([scores, scores[::-1]]), 5).tolist() == [[1, 2, 4, 0, -1], [0, 2, 3, 4, -1]]


def test_gather__no_rows__empty() -> None:
    positions, owner = gather(np.array([0, 2, 3]), np.empty(0, dtype=np.int32))
    assert positions.size == owner.size == 0


@pytest.mark.parametrize(
    ("value", "error"),
    [("x", TypeError), (True, TypeError), (1.5, TypeError), (-1, ValueError), (float("nan"), ValueError)],
)
def test_merged__wrong_kind_or_range__refused(value: float | str, error: type[Exception]) -> None:
    with pytest.raises(error, match="x: parameter 'k'"):
        merged({"k": 5}, {"k": value}, owner="x")


def test_merged__text_flag_and_float__kept_as_their_kind() -> None:
    defaults: Parameters = {"name": "a", "flag": False, "share": 0.5, "k": 5}
    assert merged(defaults, {"name": "b", "flag": True, "share": 1, "k": 6.0}, owner="x") == {
        "name": "b",
        "flag": True,
        "share": 1.0,
        "k": 6,
    }


class OnlyScore(Algorithm):
    """The least a plug-in has to write."""

    key = "only-score"

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        return {"n": np.array([dataset.n_items])}

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        return np.full(int(arrays["n"][0]), profile.weights.sum(), dtype=np.float32)


def test_base__block_not_written__one_by_one() -> None:
    dataset = _built([("u", "a", 2.0, 0), ("v", "b", 3.0, 0)])
    algorithm = OnlyScore()
    block = algorithm.score_block(algorithm.fit(dataset, rng=RNG), dataset.matrix())
    assert block.tolist() == [[2.0, 2.0], [3.0, 3.0]]
    assert algorithm.explain({}, Profile(np.array([0], dtype=np.int32), np.ones(1, dtype=np.float32)), 0) == ()


def test_content__vectors_of_a_plug_in__take_part_by_weight() -> None:
    dataset = world()
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((dataset.n_items, 3)).astype(np.float32)
    dataset = replace(dataset, vectors=vectors)
    profile = rows_of(dataset.profiles())[0]
    tokens, mixed = (
        Content({"vectors_weight": weight}).score(Content({"vectors_weight": weight}).fit(dataset, rng=rng), profile)
        for weight in (0.0, 0.5)
    )
    algorithm = Content({"vectors_weight": 0.5})
    arrays = algorithm.fit(dataset, rng=rng)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    person = profile.weights @ unit[profile.items]
    cosine = np.maximum(unit @ (person / np.linalg.norm(person)), 0.0)
    expected = 0.5 * np.where(np.isfinite(tokens), tokens, 0.0) + 0.5 * cosine
    np.testing.assert_allclose(np.where(np.isfinite(mixed), mixed, 0.0), expected, atol=1e-5)
    np.testing.assert_allclose(algorithm.score_block(arrays, dataset.profiles()[:1])[0], mixed, rtol=1e-4)
    best = int(np.argmax(mixed))
    assert algorithm.explain(arrays, profile, best)[0].contribution > 0
    with pytest.raises(ValueError, match="vectors_weight must lie between 0 and 1"):
        Content({"vectors_weight": 2.0})
