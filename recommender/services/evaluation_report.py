"""The evaluation report of a training: plain values, stored with the model."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.evaluation.beyond import (
    activity_groups,
    bootstrap,
    calibration,
    category_codes,
    diversity,
    exposure_groups,
    lorenz,
    marks_matrix,
    popularity_lift,
)

if TYPE_CHECKING:
    from recommender.services.evaluation import Judged, Split

SCHEMA = 1
MOST_CATEGORIES = 12
"""Categories of their own in the report, the largest first; the others are together."""

MEASURES = {
    "ndcg": "ndcg",
    "recall": "recall",
    "precision": "precision",
    "map": "average_precision",
    "mrr": "reciprocal_rank",
    "hit_rate": "hit",
}


def build_report(judged: Judged, baseline: Judged, split: Split, *, rng: np.random.Generator) -> dict[str, Any]:
    """Accuracy with intervals and by group, the same of popularity, and what the lists do to the range."""
    train = split.train
    seen = train.matrix()
    known_by = np.bincount(seen.indices, minlength=train.n_items)
    profiles = seen[split.people]
    asked = np.diff(profiles.indptr)
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "accuracy": {
            name: asdict(bootstrap(getattr(judged.people, column), rng=rng)) for name, column in MEASURES.items()
        },
        "popularity": asdict(bootstrap(baseline.people.ndcg, rng=rng)),
        "gain": asdict(bootstrap(judged.people.ndcg - baseline.people.ndcg, rng=rng)),
        "people": [
            {"label": label, **asdict(bootstrap(judged.people.ndcg[mask], rng=rng))}
            for label, mask in activity_groups(asked)
        ],
        "popularity_lift": popularity_lift(judged.lists, profiles, known_by=known_by),
        "lorenz": lorenz(np.bincount(judged.lists[judged.lists >= 0], minlength=train.n_items)),
        "items": [],
    }
    if train.tokens:
        categories, labels = category_codes(train.tokens)
        varied = diversity(judged.lists, marks_matrix(train.tokens))
        report["diversity"] = asdict(bootstrap(varied, rng=rng)) if varied.size else None
        if labels:
            apart = calibration(judged.lists, profiles, categories)
            report["calibration"] = asdict(bootstrap(apart, rng=rng)) if apart.size else None
            groups = exposure_groups(judged.lists, categories, labels, known_by=known_by)
            groups.sort(key=lambda group: (-group.choices, group.label))
            report["items"] = [asdict(group) for group in groups[:MOST_CATEGORIES]]
    return report
