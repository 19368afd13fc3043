"""User-kNN against the textbook pandas loop: same neighbours, and how much faster.

`PYTHONPATH=. python benchmarks/recommender_neighbours.py FOLDER` with a folder of ratings (MovieLens, say). The loop is
timed on a few people and scaled up; CPU seconds, because the machine may be busy.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from recommender.algorithms.user_knn import UserKNN
from recommender.services.ratings import find_files, read_ratings

NEIGHBOURS = 5
MIN_OVERLAP = 2


def textbook(frame: pd.DataFrame, person: str) -> list[str]:
    """The way tutorials do it: one `corrwith`-like loop over all other people."""
    own = frame.loc[person].dropna()
    found: dict[str, float] = {}
    for other in frame.index:
        if other == person:
            continue
        theirs = frame.loc[other].dropna()
        both = own.index.intersection(theirs.index)
        if len(both) < MIN_OVERLAP:
            continue
        x, y = own[both] - own[both].mean(), theirs[both] - theirs[both].mean()
        bottom = np.sqrt((x**2).sum()) * np.sqrt((y**2).sum())
        if bottom > 1e-9:
            found[other] = float((x * y).sum() / bottom)
    return sorted(found, key=lambda other: (-round(found[other], 9), list(frame.index).index(other)))[:NEIGHBOURS]


def main() -> None:
    """Prints both times and whether the neighbours agree."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people", type=int, default=4)
    arguments = parser.parse_args()
    files, _items = find_files(arguments.folder)
    dataset = read_ratings(*files)
    matrix = dataset.matrix()

    started = time.process_time()
    algorithm = UserKNN({"shrinkage": 0.0, "min_overlap": MIN_OVERLAP})
    arrays = algorithm.fit(dataset, rng=np.random.default_rng(0))
    similarity = algorithm.similarities(arrays, matrix)
    np.fill_diagonal(similarity, 0.0)
    ours = time.process_time() - started

    dense = matrix.toarray()
    frame = pd.DataFrame(np.where(dense > 0, dense, np.nan), index=dataset.user_ids, columns=dataset.item_ids)
    people = dataset.user_ids[np.linspace(0, dataset.n_users - 1, arguments.people).astype(int)].tolist()
    started = time.process_time()
    expected = {person: textbook(frame, person) for person in people}
    loop = (time.process_time() - started) / len(people) * dataset.n_users

    rows = {name: row for row, name in enumerate(dataset.user_ids.tolist())}
    same = 0
    for person, names in expected.items():
        values = similarity[rows[person]]
        kth = np.sort(values)[-NEIGHBOURS]
        same += all(values[rows[name]] >= kth - 1e-6 for name in names)
    print(f"{dataset.n_users} people, {dataset.n_items} items, {dataset.n_interactions} ratings")
    print(f"textbook loop, all people: {loop:.0f} CPU s (from {len(people)}); sparse products: {ours:.2f} CPU s")
    print(f"ratio {loop / ours:.0f} ×; same top {NEIGHBOURS} neighbours for {same} of {len(people)} people")


if __name__ == "__main__":
    main()
