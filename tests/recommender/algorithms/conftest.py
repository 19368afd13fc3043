from __future__ import annotations

import numpy as np
import pytest

from recommender.dataset import Dataset, DatasetBuilder

GROUPS = 3
PER_GROUP = 8


def world(*, seed: int = 7, users: int = 60, explicit: bool = False) -> Dataset:
    """People of three tastes, each with eight items of their own and one item that everybody has."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str, float, int]] = []
    for number in range(users):
        taste = number % GROUPS
        own = rng.choice(PER_GROUP, size=5, replace=False)
        rows += [(f"u{number}", f"g{taste}-{item}", 4.0 + item % 2, int(rng.integers(1, 10_000))) for item in own]
        rows.append((f"u{number}", "all", 3.0 if explicit else 5.0, 5_000))
        if explicit:
            other = (taste + 1) % GROUPS
            rows.append((f"u{number}", f"g{other}-{rng.integers(PER_GROUP)}", 1.0, 6_000))
    names = [f"g{group}-{item}" for group in range(GROUPS) for item in range(PER_GROUP)]
    builder = DatasetBuilder(item_ids=[*names, "all", "cold"], explicit=explicit)
    builder.add(
        user_id=np.array([row[0] for row in rows]),
        item_id=np.array([row[1] for row in rows]),
        weight=np.array([row[2] for row in rows], dtype=np.float32),
        at=np.array([row[3] for row in rows], dtype=np.int64),
    )
    tokens = {name: (f"category={name[:2]}", f"word={name}") for name in names}
    return builder.build(tokens={**tokens, "cold": ("category=g1", "word=new")})


@pytest.fixture
def implicit_world() -> Dataset:
    return world()


@pytest.fixture
def rated_world() -> Dataset:
    return world(explicit=True)
