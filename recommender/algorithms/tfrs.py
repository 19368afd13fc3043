"""A TensorFlow Recommenders model as a plug-in: `RECOMMENDER_ALGORITHMS = ["recommender.algorithms.tfrs.Tfrs"]`.

`tfrs.tasks.Retrieval` with candidate sampling probabilities (the logQ correction) over a mean-of-history tower and an
embedding of items (Yi et al. 2019). TensorFlow is needed in training only (`requirements-tfrs.txt`, 2.2 GB; it runs
with Keras 2, hence `TF_USE_LEGACY_KERAS`); serving is an inner product in numpy. CI does not install it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from recommender.algorithms.base import Capabilities, Parameters
from recommender.algorithms.deep import Deep
from recommender.algorithms.factors import FACTORS, KNOWN
from recommender.algorithms.index import EXACT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Profile
    from recommender.dataset import Dataset


class Tfrs(Deep):
    """Two towers by TensorFlow Recommenders."""

    key: ClassVar[str] = "tfrs"
    capabilities: ClassVar[Capabilities] = Capabilities()
    defaults: ClassVar[Parameters] = {
        "factors": 32,
        "max_history": 50,
        "epochs": 20,
        "batch": 256,
        "step": 0.1,
        "index": EXACT,
    }

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Embeddings of histories and of items."""
        self.require_interactions(dataset)
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
        try:
            import tensorflow as tf
            import tensorflow_recommenders as tfrs
        except ImportError:
            raise ValueError(f"{self.key}: training needs pip install -r requirements-tfrs.txt") from None

        tf.keras.utils.set_random_seed(int(rng.integers(2**31)))
        history, answers = self.examples(dataset)
        drawn = np.bincount(answers, minlength=dataset.n_items) / max(answers.size, 1)
        model = _retrieval(tf, tfrs, dataset.n_items, self.count("factors"))
        model.compile(optimizer=tf.keras.optimizers.Adagrad(self.number("step")))
        examples = {"history": history, "answer": answers, "probability": drawn[answers].astype(np.float32)}
        rows = tf.data.Dataset.from_tensor_slices(examples).shuffle(100_000, seed=1).batch(self.count("batch"))
        model.fit(rows, epochs=self.count("epochs"), verbose=0)
        chosen = np.bincount(dataset.positives().items, minlength=dataset.n_items) > 0
        arrays: Arrays = {
            FACTORS: np.where(chosen[:, None], model.of_items.get_weights()[0], 0).astype(np.float32),
            KNOWN: chosen,
            "history": model.of_people.get_weights()[0][: dataset.n_items].astype(np.float32),
        }
        return self.with_index(arrays, dataset, rng=rng)

    def person(self, arrays: Arrays, profile: Profile) -> NDArray[np.float32] | None:
        """The mean of the history's embeddings."""
        items = profile.items[-self.count("max_history") :]
        items = items[arrays[KNOWN][items]]
        if items.size == 0:
            return None
        mean: NDArray[np.float32] = arrays["history"][items].mean(axis=0)
        return mean


def _retrieval(tf: Any, tfrs: Any, n_items: int, factors: int) -> Any:
    class Retrieval(tfrs.Model):  # type: ignore[misc]  # TensorFlow is not there when types are checked
        def __init__(self) -> None:
            super().__init__()
            self.of_people = tf.keras.layers.Embedding(n_items + 1, factors)
            self.of_items = tf.keras.layers.Embedding(n_items, factors)
            self.task = tfrs.tasks.Retrieval()

        def compute_loss(self, features: Any, training: bool = False) -> Any:
            histories = features["history"]
            inside = tf.cast(histories < n_items, tf.float32)[:, :, None]
            total = tf.reduce_sum(self.of_people(histories) * inside, axis=1)
            mean = total / tf.maximum(tf.reduce_sum(inside, axis=1), 1.0)
            return self.task(
                mean,
                self.of_items(features["answer"]),
                candidate_sampling_probability=features["probability"],
                candidate_ids=features["answer"],
                compute_metrics=False,
            )

    return Retrieval()
