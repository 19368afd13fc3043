"""What a strategy leaves out: `StrategyVersion.filters` (schema 1). Applied before the slate is cut to k."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recommender.services.decoding import decode, encode

EVERY_TYPE = "*"
"""In `seen`: any event with an item counts as seen."""

PURCHASE = "Order Completed"
"""The event behind `bought_days`."""

DISMISSED = "Product Dismissed"
""""Not interested": what a person dismissed is never shown to that person again, whatever the strategy says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Hidden, unpublished, expired and dismissed items are left out by every strategy; these come on top."""

    seen: tuple[str, ...] = (EVERY_TYPE,)
    """Event types that make an item seen; empty allows repeats (music, groceries)."""
    bought_days: int = 0
    """Leaves out what was bought within so many days; 0: no such limit."""
    show_out_of_stock: bool = False
    """Items whose stock is counted and zero are left out unless this is set."""
    hide_age_restricted: bool = False
    """Leaves out restricted items even for people of the age (the others never see them)."""
    categories: tuple[str, ...] = ()
    """Only these categories; empty means all."""
    exclude_categories: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    """Ids of items this strategy never shows."""
    price_min: int | None = None
    price_max: int | None = None
    """Micro-units, both inclusive; an item without a price passes neither."""
    max_per_category: int = 0
    """0: no limit."""


def encode_filters(filters: Filters) -> dict[str, Any]:
    """The JSON form."""
    return encode(filters)


def decode_filters(stored: Mapping[str, Any]) -> Filters:
    """The filters of a stored version; refuses unknown schemas, names and kinds."""
    return decode(Filters, stored, label="filter")
