"""What a strategy leaves out: the decoder of `StrategyVersion.filters` (schema 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from recommender.errors import InvalidStrategy

SCHEMA = 1
EVERY_TYPE = "*"
"""In `seen`: any event with an item counts as seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Applied before the slate is cut to k."""

    seen: tuple[str, ...] = (EVERY_TYPE,)
    """Event types that make an item seen; empty allows repeats (music, groceries)."""
    categories: tuple[str, ...] = ()
    """Only these categories; empty means all."""
    exclude_categories: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()
    price_min: int | None = None
    price_max: int | None = None
    """Micro-units, both inclusive; an item without a price passes neither."""
    max_per_category: int = 0
    """0: no limit."""


def encode_filters(filters: Filters) -> dict[str, Any]:
    """The JSON form."""
    return {"schema": SCHEMA} | {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(filters).items()
    }


def decode_filters(stored: Mapping[str, Any]) -> Filters:
    """The filters of a stored version; refuses unknown schemas, names and kinds."""
    given = dict(stored)
    if given.pop("schema", SCHEMA) != SCHEMA:
        raise InvalidStrategy(f"filters have the unknown schema {stored['schema']!r}")
    defaults = asdict(Filters())
    for name, value in given.items():
        if name not in defaults:
            raise InvalidStrategy(f"unknown filter {name!r}; known are {', '.join(sorted(defaults))}")
        given[name] = _checked(name, value, is_list=isinstance(defaults[name], tuple), optional=defaults[name] is None)
    return Filters(**given)


def _checked(name: str, value: object, *, is_list: bool, optional: bool) -> object:
    if is_list:
        if isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value):
            return tuple(value)
        raise InvalidStrategy(f"filter {name!r} must be a list of texts")
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidStrategy(f"filter {name!r} must be a whole number of at least 0")
    return value
