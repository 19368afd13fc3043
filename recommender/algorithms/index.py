"""An approximate index over item vectors that measures its own recall where it is built, and refuses to be bad.

Inner products with vectors of very uneven length are hard for every graph index: with settings off the shelf, recalls
of 0.19 to 1.0 were seen on factors of real data. So nothing here is trusted: the exact best items of real people are
looked for in what the index returns, the share found is stored with the model, and below `MIN_RECALL` there is no
model. The index is stored as bytes in the model's file, and is no code.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.algorithms.base import top_k_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays

EXACT, VOYAGER = "exact", "voyager"
INDEXES = (EXACT, VOYAGER)

MIN_RECALL = 0.95
CANDIDATES = 200
"""Items the index returns: filters and what was seen are taken off them."""

JUDGED = 50
"""Of the exact best, so many must be among the candidates."""

CONNECTIONS, EFFORT = 24, 400
"""Of the graph: links per item, and candidates looked at in building and in asking."""

MAX_OPEN = 8
_open: dict[bytes, Any] = {}
"""By checksum: an index is read from its bytes once per process."""


def build_index(
    factors: NDArray[np.float32], known: NDArray[np.bool_], people: NDArray[np.float32], *, kind: str, owner: str
) -> Arrays:
    """Arrays of the index with its recall; raises ValueError below `MIN_RECALL`, or without the library."""
    try:
        import voyager
    except ImportError:
        raise ValueError(f"{owner}: index={kind} needs a library: pip install {kind}; or use index=exact") from None

    items = np.flatnonzero(known).astype(np.int32)
    index = voyager.Index(
        voyager.Space.InnerProduct,
        num_dimensions=factors.shape[1],
        M=CONNECTIONS,
        ef_construction=EFFORT,
        random_seed=1,
        max_elements=max(items.size, 1),
    )
    index.add_items(factors[items], ids=items.tolist(), num_threads=1)
    data = index.as_bytes()
    arrays: Arrays = {
        "index": np.frombuffer(data, dtype=np.uint8),
        "index_sha256": np.frombuffer(hashlib.sha256(data).digest(), dtype=np.uint8),
        "index_items": np.array([items.size], dtype=np.int64),
    }
    recall = _recall(search(arrays, people), factors, known, people)
    if recall < MIN_RECALL:
        raise ValueError(
            f"{owner}: the {kind} index finds {recall:.3f} of the exact best {JUDGED} items, at least {MIN_RECALL} is "
            f"needed; use index=exact"
        )
    return arrays | {"index_recall": np.array([recall])}


def search(arrays: Arrays, people: NDArray[np.float32]) -> NDArray[np.int32]:
    """Items the index returns for each person, n × candidates."""
    count = min(CANDIDATES, int(arrays["index_items"][0]))
    found, _distances = _opened(arrays).query(
        np.ascontiguousarray(people, dtype=np.float32), k=count, query_ef=max(EFFORT, count), num_threads=1
    )
    return np.asarray(found, dtype=np.int32).reshape(people.shape[0], count)


def _opened(arrays: Arrays) -> Any:
    import voyager

    key = arrays["index_sha256"].tobytes()
    if key not in _open:
        while len(_open) >= MAX_OPEN:
            del _open[next(iter(_open))]
        _open[key] = voyager.Index.load(io.BytesIO(arrays["index"].tobytes()))
    return _open[key]


def _recall(
    found: NDArray[np.int32], factors: NDArray[np.float32], known: NDArray[np.bool_], people: NDArray[np.float32]
) -> float:
    scores = people @ factors.T
    scores[:, ~known] = -np.inf
    exact = top_k_rows(scores, min(JUDGED, int(known.sum())))
    hits = [np.isin(best, row).mean() for best, row in zip(exact, found, strict=True)]
    return float(np.mean(hits)) if hits else 0.0
