"""JSON columns with a schema version ↔ frozen dataclasses of texts, whole numbers, switches and lists of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import TYPE_CHECKING, Any, TypeVar

from recommender.errors import InvalidStrategy

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Decoded = TypeVar("Decoded", bound="DataclassInstance")

SCHEMA = 1


def encode(value: DataclassInstance) -> dict[str, Any]:
    """The JSON form."""
    return {"schema": SCHEMA} | {
        name: list(one) if isinstance(one, tuple) else one for name, one in asdict(value).items()
    }


def decode(kind: type[Decoded], stored: Mapping[str, Any], *, label: str) -> Decoded:
    """What was stored; refuses unknown schemas, names and kinds. `label` names one entry in messages."""
    given = dict(stored)
    if given.pop("schema", SCHEMA) != SCHEMA:
        raise InvalidStrategy(f"{label}: unknown schema {stored['schema']!r}")
    defaults = {one.name: one.default for one in fields(kind) if one.default is not MISSING}
    for name, value in given.items():
        if name not in defaults:
            raise InvalidStrategy(f"unknown {label} {name!r}; known are {', '.join(sorted(defaults))}")
        given[name] = _checked(f"{label} {name!r}", value, default=defaults[name])
    return kind(**given)


def _checked(label: str, value: object, *, default: object) -> object:
    if isinstance(default, tuple):
        if isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value):
            return tuple(value)
        raise InvalidStrategy(f"{label} must be a list of texts")
    if isinstance(default, (str, bool)):
        if isinstance(value, type(default)):
            return value
        raise InvalidStrategy(f"{label} must be {'a text' if isinstance(default, str) else 'true or false'}")
    if value is None and default is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidStrategy(f"{label} must be a whole number of at least 0")
    return value
