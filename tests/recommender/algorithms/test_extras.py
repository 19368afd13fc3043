"""What needs an extra (PyTorch, Apache Spark, TensorFlow): listed as not run without it; refusals always run."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from recommender.algorithms.als import Als
from recommender.algorithms.base import NO_SCORE, Algorithm, rows_of, top_k
from recommender.algorithms.deep import SasRec, TorchTwoTower
from recommender.algorithms.tfrs import Tfrs
from recommender.dataset import Dataset
from tests.recommender.algorithms.conftest import taste_of, world


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def _right(algorithm: Algorithm, dataset: Dataset) -> float:
    arrays = algorithm.fit(dataset, rng=_rng())
    right = []
    for user, profile in enumerate(rows_of(dataset.profiles())):
        scores = algorithm.score(arrays, profile).copy()
        scores[profile.items] = NO_SCORE
        best = dataset.item_ids[top_k(scores, 2)]
        right += [taste_of(name) == taste_of(str(dataset.user_ids[user])) for name in best]
    return float(np.mean(right))


@pytest.mark.parametrize(
    ("algorithm", "module", "words"),
    [
        (SasRec(), "torch", "sasrec needs PyTorch .* requirements-deep.txt"),
        (TorchTwoTower(), "torch", "two-tower-torch needs PyTorch"),
        (Als({"backend": "spark"}), "pyspark.ml.recommendation", "als: backend=spark needs pyspark and Java"),
        (Tfrs(), "tensorflow", "tfrs: training needs .* requirements-tfrs.txt"),
    ],
)
def test_extra__absent__training_names_what_to_install(
    algorithm: Algorithm, module: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=words):
        algorithm.fit(world(), rng=_rng())


@pytest.mark.extra("torch")
def test_sasrec__one_person__numpy_gives_what_torch_gives() -> None:
    import torch

    from recommender.algorithms.deep import _attention

    dataset = world()
    algorithm = SasRec({"epochs": 2})
    arrays = algorithm.fit(dataset, rng=_rng())
    network = _attention(torch, dataset.n_items, factors=32, blocks=2, length=30, dropout=0.0).eval()
    network.load_state_dict(
        {name.removeprefix("net/"): torch.tensor(value) for name, value in arrays.items() if name.startswith("net/")}
    )
    for profile in rows_of(dataset.profiles())[:5]:
        history = np.full(30, dataset.n_items, dtype=np.int64)
        history[-profile.items.size :] = profile.items
        with torch.no_grad():
            expected = network(torch.from_numpy(history[None]))[0].numpy()
        person = algorithm.person(arrays, profile)
        assert person is not None
        np.testing.assert_allclose(person, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.java
@pytest.mark.extra("pyspark")
def test_spark__als__the_same_model_form_and_tastes_lead() -> None:
    dataset = world()
    algorithm = Als({"backend": "spark", "factors": 8, "regularization": 1.0, "iterations": 5})
    arrays = algorithm.fit(dataset, rng=_rng())
    plain = Als({"factors": 8}).fit(dataset, rng=_rng())
    assert {name: (array.dtype, array.shape) for name, array in arrays.items()} == {
        name: (array.dtype, array.shape) for name, array in plain.items()
    }
    assert _right(algorithm, dataset) > 0.6


@pytest.mark.slow
@pytest.mark.extra("tensorflow_recommenders")
def test_tfrs__tastes__lead() -> None:
    assert _right(Tfrs(), world()) > 0.6
