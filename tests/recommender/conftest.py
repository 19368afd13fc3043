from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pytest_django import Settings

from recommender.evaluation.beyond import bootstrap
from recommender.services import evaluation_report
from recommender.services.catalogue import ItemRow, upsert_items
from recommender.services.serving import recommend
from recommender.services.snapshots import forget_snapshots
from recommender.services.strategies import ensure_default_strategies
from recommender.services.training import train
from tests.recommender.fakes import FakeInteractions, Row

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1_000_000)
DAY_US = 86_400_000_000


@pytest.fixture(autouse=True)
def _own_world(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """Events in memory, model files in a folder of the test, nothing remembered."""
    settings.RECOMMENDER_INTERACTIONS = "tests.recommender.fakes.FakeInteractions"
    settings.DATA_DIR = tmp_path
    FakeInteractions.rows = []
    FakeInteractions.error = None
    FakeInteractions.calls = []
    FakeInteractions.arms = []
    FakeInteractions.tokens = {}
    forget_snapshots()
    yield
    forget_snapshots()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no reason for a fallback, except where a test gives a budget of its own."""
    defaults = recommend.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "budget_ms", 10_000)


def taste_rows(*, seed: int = 3, users: int = 45) -> list[Row]:
    """Three tastes with eight items each; a person meets six of their own in a random order, and `all`."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for number in range(users):
        items = [f"g{number % 3}-{item}" for item in rng.choice(8, size=6, replace=False)]
        for place, item in enumerate([*items, "all"]):
            kind = ("Product Viewed", "Product Added", "Order Completed")[(place + 2) % 3]
            rows.append((f"u{number}", item, kind, NOW_US - (40 - place) * DAY_US + number))
    return rows


def catalogue_rows() -> list[ItemRow]:
    rows = [
        ItemRow(
            item_id=f"g{group}-{item}",
            title=f"Thing {group} {item}",
            category=f"Shelf {group}",
            tags=("even",) if item % 2 == 0 else (),
            price=(item + 1) * 1_000_000,
            currency="EUR",
            url=f"/shop/g{group}-{item}/",
        )
        for group in range(3)
        for item in range(8)
    ]
    return [*rows, ItemRow(item_id="all", title="For all"), ItemRow(item_id="new", title="Fresh", category="Shelf 1")]


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals of 50 resamples in the reports of trainings, which 1,000 make three quarters of; the intervals
    themselves are tested in `evaluation/test_beyond.py`."""
    monkeypatch.setattr(evaluation_report, "bootstrap", partial(bootstrap, draws=50))


@pytest.fixture
def shop(db: None) -> None:
    """Catalogue, events and default strategies; nothing trained."""
    FakeInteractions.rows = taste_rows()
    upsert_items(items=catalogue_rows(), at=NOW)
    ensure_default_strategies(at=NOW)


@pytest.fixture
def trained_shop(shop: None) -> None:
    """Every default strategy trained and published."""
    for slug in ("popularity", "item-knn", "user-knn", "content"):
        train(slug=slug, at=NOW)


def later(**delta: float) -> datetime:
    return NOW + timedelta(**delta)
