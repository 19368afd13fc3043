"""Which people an item would suit best: for a segment. Reads all events, so it belongs into a task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from recommender.algorithms.base import NO_SCORE
from recommender.errors import InvalidItem, NotTrained
from recommender.services.assortment import micros
from recommender.services.evaluation import BLOCK_CELLS, profiles_for
from recommender.services.snapshots import loaded_model, plan_for
from recommender.services.training_data import load_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.dataset import Csr
    from recommender.services.snapshots import LoadedModel


@dataclass(frozen=True, slots=True)
class Affinity:
    """One person, and how well the item suits them on the model's own scale."""

    user_id: str
    score: float


def people_for_item(*, item_id: str, strategy: str, at: datetime, limit: int) -> list[Affinity]:
    """The people whom the strategy's model would recommend the item with the highest score, without those who have it.

    Raises `UnknownStrategy`, `NotTrained` where no model serves, `InvalidItem` where the model does not know the item.
    """
    plan = plan_for(strategy)
    served = plan.chain[0].model
    if served is None:
        raise NotTrained(f"the strategy {strategy!r} has no model yet; train it first")
    model = loaded_model(served)
    target = model.index_of.get(item_id)
    if target is None:
        raise InvalidItem(f"item {item_id!r} was not there when the model of {strategy!r} was trained; train it again")
    data = load_data(since=None, until=micros(at)).dataset
    profiles = _as_the_model_counts(profiles_for(model.algorithm, data), data.item_ids, model)
    has_it = np.diff(profiles[:, target].tocsr().indptr) > 0
    scores = _scores(model, profiles, target)
    scores[has_it | ~np.isfinite(scores) | (scores <= NO_SCORE)] = NO_SCORE
    order = np.argsort(-scores, kind="stable")[: max(limit, 0)]
    chosen = order[scores[order] > NO_SCORE]
    return [Affinity(str(data.user_ids[row]), float(scores[row])) for row in chosen]


def _as_the_model_counts(profiles: Csr, item_ids: NDArray[np.str_], model: LoadedModel) -> Csr:
    """The same profiles with the model's item indices; items it does not know fall away."""
    from scipy.sparse import csr_matrix

    place = np.array([model.index_of.get(name, -1) for name in item_ids.tolist()], dtype=np.int64)
    columns = place[profiles.indices]
    known = columns >= 0
    kept = np.concatenate([[0], np.cumsum(known)])
    start = kept[profiles.indptr]
    shape = (profiles.shape[0], len(model.item_ids))
    result: Csr = csr_matrix((profiles.data[known], columns[known], start), shape=shape)
    return result


def _scores(model: LoadedModel, profiles: Csr, target: int) -> NDArray[np.float64]:
    """The item's score for everybody, by blocks of bounded size; people without a profile get none."""
    step = max(1, BLOCK_CELLS // max(1, len(model.item_ids)))
    scores = np.full(profiles.shape[0], float(NO_SCORE))
    for first in range(0, profiles.shape[0], step):
        rows = slice(first, first + step)
        scores[rows] = model.algorithm.score_block(model.arrays, profiles[rows])[:, target]
    scores[np.diff(profiles.indptr) == 0] = NO_SCORE
    return scores
