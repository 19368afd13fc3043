"""Writing the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import Min

from recommender.errors import InvalidItem
from recommender.models import Item, ModelVersion
from recommender.reports import UpsertCounts
from recommender.services.artefacts import delete_model

BATCH = 500
"""Rows per statement: SQLite allows 32,766 variables, an item has 18."""

CONTENT_FIELDS = (
    "title",
    "category",
    "brand",
    "tags",
    "text",
    "attributes",
    "price",
    "currency",
    "url",
    "image",
    "is_active",
    "stock",
    "min_age",
    "published_at",
    "expires_at",
    "is_demo",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """One item as a catalogue feed gives it."""

    item_id: str
    title: str
    category: str = ""
    brand: str = ""
    tags: Sequence[str] = ()
    text: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    price: int | None = None
    """Micro-units of `currency`."""
    currency: str = ""
    url: str = ""
    image: str = ""
    is_active: bool = True
    stock: int | None = None
    """Pieces there are; None where nobody counts."""
    min_age: int = 0
    published_at: datetime | None = None
    expires_at: datetime | None = None
    is_demo: bool = False


def upsert_items(*, items: Iterable[ItemRow], at: datetime) -> UpsertCounts:
    """Creates and updates items by `item_id`; an unchanged row is not written. All or nothing."""
    created = updated = unchanged = 0
    rows = iter(items)
    with transaction.atomic():
        while batch := list(islice(rows, BATCH)):
            new, changed, same = _upsert_batch(batch, at)
            created, updated, unchanged = created + new, updated + changed, unchanged + same
    return UpsertCounts(created=created, updated=updated, unchanged=unchanged)


def set_popularity(*, scores: Mapping[str, float], at: datetime) -> int:
    """Stores the popularity that the last fallback sorts by; returns how many items changed."""
    changed = []
    for item in Item.objects.only("id", "item_id", "popularity").iterator(chunk_size=2000):
        score = scores.get(item.item_id, 0.0)
        if item.popularity != score:
            item.popularity, item.updated_at = score, at
            changed.append(item)
    Item.objects.bulk_update(changed, ["popularity", "updated_at"], batch_size=BATCH)
    return len(changed)


def remove_demo_items() -> int:
    """Removes the demo world's items, and every model that learned from them with its file; returns the items removed.

    Strategies stay. A model knows a demo item if it was trained since the first of them came.
    """
    with transaction.atomic():
        first = Item.objects.filter(is_demo=True).aggregate(first=Min("created_at"))["first"]
        if first is None:
            return 0
        models = ModelVersion.objects.filter(started_at__gte=first)
        paths = [path for path in models.values_list("path", flat=True) if path]
        models.delete()
        removed = Item.objects.filter(is_demo=True).delete()[0]
        still_used = set(ModelVersion.objects.filter(path__in=paths).values_list("path", flat=True))
    for path in set(paths) - still_used:
        delete_model(path=path)
    return removed


def _upsert_batch(batch: Sequence[ItemRow], at: datetime) -> tuple[int, int, int]:
    wanted = {row.item_id: row for row in batch}  # the last row of an id wins
    known = {item.item_id: item for item in Item.objects.filter(item_id__in=wanted)}
    new: list[Item] = []
    changed: list[Item] = []
    for row in wanted.values():
        values = _checked(row)
        item = known.get(row.item_id)
        if item is None:
            new.append(Item(item_id=row.item_id, created_at=at, updated_at=at, **values))
        elif _assign(item, values):
            item.updated_at = at
            changed.append(item)
    Item.objects.bulk_create(new, batch_size=BATCH)
    Item.objects.bulk_update(changed, [*CONTENT_FIELDS, "updated_at"], batch_size=BATCH)
    return len(new), len(changed), len(batch) - len(new) - len(changed)


def _assign(item: Item, values: Mapping[str, Any]) -> bool:
    differing = [name for name in CONTENT_FIELDS if getattr(item, name) != values[name]]
    for name in differing:
        setattr(item, name, values[name])
    return bool(differing)


def _checked(row: ItemRow) -> dict[str, Any]:
    for problem in _problems(row):
        raise InvalidItem(f"item {row.item_id!r}: {problem}")
    values = asdict(row)
    del values["item_id"]
    return {**values, "tags": list(row.tags), "attributes": dict(row.attributes)}


def _problems(row: ItemRow) -> Iterator[str]:
    if not row.item_id or len(row.item_id) > 200 or not row.item_id.isprintable():
        yield "item_id must have 1 to 200 printable characters"
    if not row.title:
        yield "title must not be empty"
    for name, limit in (
        ("title", 300),
        ("category", 200),
        ("brand", 200),
        ("currency", 3),
        ("url", 1000),
        ("image", 500),
    ):
        if len(getattr(row, name)) > limit:
            yield f"{name} is longer than {limit} characters"
    if row.price is not None and row.price < 0:
        yield "price must not be negative"
    if (row.stock is not None and row.stock < 0) or not 0 <= row.min_age <= 150:
        yield "stock and min_age must not be negative, min_age not above 150"
    if row.url and not row.url.startswith(("/", "https://", "http://")):
        yield "url must be a path or start with https:// or http://"
