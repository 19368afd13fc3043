from __future__ import annotations

import numpy as np
import pytest

from recommender.dataset import Dataset, DatasetBuilder

EXTRAS = {"sasrec": ("torch",), "two-tower-torch": ("torch",)}
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


def social_world(*, seed: int = 7, users: int = 60) -> Dataset:
    """The same people and things; everybody follows six people of their own taste as well."""
    rng = np.random.default_rng(seed)
    things = world(seed=seed, users=users)
    follows = [
        (f"u{number}", f"u{other}")
        for number in range(users)
        for other in rng.choice(np.arange(number % GROUPS, users, GROUPS), size=7, replace=False)
        if other != number
    ]
    builder = DatasetBuilder(item_ids=["cold"])
    names = things.user_ids[things.users], things.item_ids[things.items]
    builder.add(user_id=names[0], item_id=names[1], weight=things.weights, at=things.at)
    builder.add(
        user_id=np.array([follower for follower, _other in follows]),
        item_id=np.array([other for _follower, other in follows]),
        weight=np.ones(len(follows), dtype=np.float32),
        at=rng.integers(1, 10_000, size=len(follows)),
    )
    return builder.build()


def extra_of(key: str) -> tuple[pytest.MarkDecorator, ...]:
    """What must be installed for an algorithm to be trained, as a marker."""
    return tuple(pytest.mark.extra(name) for name in EXTRAS.get(key, ()))


def taste_of(name: str) -> int | None:
    """Of a thing (`g1-4`) or a person (`u7`); None for what everybody has."""
    if name.startswith("g"):
        return int(name[1])
    return int(name[1:]) % GROUPS if name.startswith("u") else None


@pytest.fixture
def implicit_world() -> Dataset:
    return world()


@pytest.fixture
def rated_world() -> Dataset:
    return world(explicit=True)
