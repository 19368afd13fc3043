"""Fit and recommend against the `implicit` library on the same method, in one run; CPU seconds.

`PYTHONPATH=. python benchmarks/recommender_peers.py [--users 20000 --items 50000 --interactions 1000000]`: lists of 50
without what was seen. Ours folds a person in (nothing about people is stored), the peer looks their vector up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from threadpoolctl import threadpool_limits

from benchmarks.recommender_scale import synthetic
from recommender.algorithms.als import Als
from recommender.algorithms.base import Algorithm
from recommender.algorithms.item_knn import ItemKNN

if TYPE_CHECKING:
    from recommender.dataset import Csr, Dataset

BATCH, BATCHED, ROUNDS, LENGTH = 200, 1_000, 3, 50


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def rate_of(rank: Callable[[int, Csr], object], matrix: Csr) -> float:
    """People per CPU second over the first people, block by block."""
    parts = [(first, matrix[first : first + BATCH]) for first in range(0, BATCHED, BATCH)]
    return BATCHED / cpu(lambda: [rank(first, part) for first, part in parts])


def compare(name: str, ours: Algorithm, peer: Any, dataset: Dataset) -> None:
    """Fits both, ranks in turns, prints a line."""
    matrix = dataset.matrix()
    theirs: Any = matrix.astype(np.float64) if name == "item-kNN" else matrix
    arrays: dict[str, Any] = {}
    fit = cpu(lambda: arrays.update(ours.fit(dataset, rng=np.random.default_rng(0))))
    fit_peer = cpu(lambda: peer.fit(theirs, show_progress=False))
    rates, rates_peer = [], []
    for _round in range(ROUNDS):
        rates.append(rate_of(lambda _first, part: ours.rank_block(arrays, part, part, LENGTH), matrix))
        rates_peer.append(
            rate_of(lambda first, part: peer.recommend(np.arange(first, first + BATCH), part, N=LENGTH), theirs)
        )
    rate, rate_peer = float(np.median(rates)), float(np.median(rates_peer))
    whole = (fit + dataset.n_users / rate) / (fit_peer + dataset.n_users / rate_peer)
    print(f"{name:10} {fit:9.2f} {fit_peer:7.2f} {rate:18.0f} {rate_peer:8.0f} {whole:17.2f}", flush=True)


def main() -> None:
    """One line per method; batches are the medians of interleaved rounds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--interactions", type=int, default=1_000_000)
    arguments = parser.parse_args()
    dataset = synthetic(arguments.users, arguments.items, arguments.interactions, np.random.default_rng(0))
    print(f"{'':10} {'fit ours':>9} {'peer':>7} {'people/CPU s ours':>18} {'peer':>8} {'fit + all, ratio':>17}")
    als = AlternatingLeastSquares(factors=64, iterations=1, regularization=10.0, num_threads=1, random_state=1)
    with threadpool_limits(1):
        compare("item-kNN", ItemKNN({"neighbours": 50}), CosineRecommender(K=50, num_threads=1), dataset)
        compare("ALS", Als({"factors": 64, "iterations": 1}), als, dataset)


if __name__ == "__main__":
    main()
