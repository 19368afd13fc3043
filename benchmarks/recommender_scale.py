"""Fit, batch and single-person speed on synthetic data of any size; CPU seconds and peak memory.

`PYTHONPATH=. python benchmarks/recommender_scale.py`; the defaults end within a minute. The size of a large shop is
`--users 1000000 --items 50000 --interactions 50000000`.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from recommender.algorithms.als import Als
from recommender.algorithms.base import Algorithm, rows_of, top_k
from recommender.algorithms.item_knn import ItemKNN
from recommender.algorithms.popularity import Popularity
from recommender.dataset import Dataset

ALGORITHMS: tuple[Algorithm, ...] = (
    Popularity(),
    ItemKNN({"neighbours": 50}),
    Als({"factors": 64, "iterations": 1}),
)
BATCH = 200
BATCHED = 2_000
SINGLE = 200


def synthetic(users: int, items: int, interactions: int, rng: np.random.Generator) -> Dataset:
    """People of 100 tastes; within a taste items are chosen by Zipf's law."""
    who = np.sort(rng.integers(users, size=interactions, dtype=np.int32))
    rank = (rng.random(interactions) ** 3 * (items // 100)).astype(np.int32)
    what = (rank * 100 + who % 100).astype(np.int32) % items
    order = np.lexsort((what, who))
    return Dataset(
        user_ids=np.arange(users).astype(np.str_),
        item_ids=np.arange(items).astype(np.str_),
        users=who[order],
        items=what[order],
        weights=np.ones(interactions, dtype=np.float32),
        at=np.arange(interactions, dtype=np.int64),
    )


def main() -> None:
    """One line per algorithm."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--interactions", type=int, default=1_000_000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    dataset = synthetic(arguments.users, arguments.items, arguments.interactions, rng)
    profiles = dataset.matrix()
    print(f"{'':12} {'fit CPU s':>10} {'batch/CPU s':>12} {'p50 ms':>8} {'p99 ms':>8} {'peak MB':>8}")
    for algorithm in ALGORITHMS:
        started = time.process_time()
        arrays = algorithm.fit(dataset, rng=np.random.default_rng(0))
        fit = time.process_time() - started
        started = time.process_time()
        for first in range(0, BATCHED, BATCH):
            algorithm.rank_block(arrays, profiles[first : first + BATCH], profiles[first : first + BATCH], 50)
        rate = BATCHED / (time.process_time() - started)
        times = []
        for profile in rows_of(profiles[:SINGLE]):
            begun = time.perf_counter()
            top_k(algorithm.score(arrays, profile), 50)
            times.append((time.perf_counter() - begun) * 1000)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        p50, p99 = np.quantile(times, [0.5, 0.99])
        print(f"{algorithm.key:12} {fit:10.2f} {rate:12.0f} {p50:8.2f} {p99:8.2f} {peak:8.0f}")


if __name__ == "__main__":
    main()
