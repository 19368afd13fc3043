"""Predicted ratings of user-kNN (mean-centred, Pearson) against scikit-surprise's `KNNWithMeans`, on the same folds.

Surprise is no requirement of the project: it stands here as an oracle. Both get the ratings in the same order, so that
equally similar neighbours are taken in the same order too.

    pip install --target /tmp/surprise --no-deps scikit-surprise joblib
    PYTHONPATH=.:/tmp/surprise python benchmarks/recommender_surprise.py FOLDER [--folds 5]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from surprise import Dataset as PeerDataset
from surprise import KNNWithMeans, Reader

from recommender.algorithms.base import rows_of
from recommender.algorithms.user_knn import UserKNN
from recommender.services.ratings import find_files, read_ratings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.dataset import Dataset

NEIGHBOURS = 40
SCALE = (0.5, 5.0)


def peers(train: NDArray[Any], values: NDArray[Any], pairs: NDArray[Any]) -> NDArray[np.float64]:
    """Surprise's prediction for each (person, item) of `pairs`."""
    known = [(int(user), int(item), float(value), None) for (user, item), value in zip(train, values, strict=True)]
    model = KNNWithMeans(k=NEIGHBOURS, min_k=1, sim_options={"name": "pearson"}, verbose=False)
    model.fit(PeerDataset(Reader(rating_scale=SCALE)).construct_trainset(known))
    return np.array([model.predict(int(user), int(item)).est for user, item in pairs])


def ours(train: Dataset, pairs: NDArray[Any]) -> NDArray[np.float64]:
    """Our prediction; where nobody near rated the item the person's mean, where nobody did the mean, as the peer."""
    model = UserKNN({"shrinkage": 0.0, "min_overlap": 1, "neighbours": NEIGHBOURS})
    arrays = model.fit(train, rng=np.random.default_rng(0))
    people = rows_of(train.profiles())
    is_rated = np.bincount(train.items, minlength=train.n_items) > 0
    found = np.full(len(pairs), float(train.weights.mean()))
    for place, (person, item) in enumerate(pairs.tolist()):
        profile = people[person]
        if not profile.is_empty and is_rated[item]:
            value = model.predict(arrays, profile, item)
            found[place] = profile.weights.astype(np.float64).mean() if value is None else value
    clipped: NDArray[np.float64] = np.clip(found, *SCALE)
    return clipped


def main() -> None:
    """One line per fold: both errors, and the largest difference of any prediction."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    arguments = parser.parse_args()
    files, _items = find_files(arguments.folder)
    ratings = read_ratings(*files)
    order = np.lexsort((ratings.items, ratings.users))
    pairs, values = np.column_stack([ratings.users, ratings.items])[order], ratings.weights[order]
    fold = np.random.default_rng(0).integers(arguments.folds, size=order.size)
    print(f"{ratings.n_users} people, {ratings.n_items} items, {order.size} ratings")
    for number in range(arguments.folds):
        is_test = fold == number
        theirs = peers(pairs[~is_test], values[~is_test], pairs[is_test])
        started = time.process_time()
        mine = ours(ratings.take(np.isin(np.arange(order.size), order[~is_test])), pairs[is_test])
        seconds = time.process_time() - started
        apart = np.abs(mine - theirs).max()
        errors = [float(np.sqrt(np.mean((found - values[is_test]) ** 2))) for found in (mine, theirs)]
        print(
            f"fold {number}: RMSE {errors[0]:.6f}, KNNWithMeans {errors[1]:.6f}, {abs(errors[0] - errors[1]):.1e} apart"
        )
        print(f"        predictions at most {apart:.1e} apart; {seconds:.0f} CPU s for {is_test.sum()}")


if __name__ == "__main__":
    main()
