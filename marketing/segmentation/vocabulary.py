"""What a rule may speak of in one installation, and whether it speaks sensibly."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from marketing.segmentation.rules import (
    AGO_OPS,
    NUMBER_OPS,
    PRESENCE_OPS,
    SET_OPS,
    TEXT_OPS,
    EventCount,
    EventTime,
    Filter,
    HasConsent,
    InSegment,
    Node,
    RuleError,
    Scalar,
    Sent,
    Trait,
    walk,
)

MICRO: Final = 1_000_000
EPOCH_DAY: Final = date(1970, 1, 1)


class Kind(StrEnum):
    """How a trait's values are kept and compared."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"  # days since 1970
    MOMENT = "moment"  # microseconds since 1970
    MONEY = "money"  # millionths of the reporting currency


OPS: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.TEXT: (*TEXT_OPS, *PRESENCE_OPS),
    Kind.NUMBER: (*NUMBER_OPS, *SET_OPS, *PRESENCE_OPS),
    Kind.MONEY: NUMBER_OPS,
    Kind.BOOLEAN: ("eq", "ne", *PRESENCE_OPS),
    Kind.DATE: (*NUMBER_OPS, *AGO_OPS, *PRESENCE_OPS),
    Kind.MOMENT: (*AGO_OPS, *PRESENCE_OPS),
}
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "in": lambda left, right: left in right,
    "not_in": lambda left, right: left not in right,
    "contains": operator.contains,
    "starts_with": str.startswith,
}
# Event properties that are columns of the event table.
TEXT_PROPERTIES: Final = {
    "product_id": "item",
    "sku": "item",
    "order_id": "order_id",
    "recommendation_id": "recommendation_id",
    "currency": "currency",
}
VALUE_PROPERTIES: Final = ("value", "revenue")


@dataclass(frozen=True, slots=True)
class TraitSpec:
    """Where a trait is kept: a column of the profile, or the rows of a definition."""

    kind: Kind
    column: str = ""
    definition: int = 0
    is_nullable: bool = True


@dataclass(frozen=True, slots=True)
class Vocabulary:
    traits: Mapping[str, TraitSpec]
    event_types: Mapping[str, int]
    segments: Mapping[str, int]
    purposes: Collection[str]
    campaigns: Mapping[str, int] = field(default_factory=dict)


SYSTEM_TRAITS: Final[dict[str, TraitSpec]] = {
    "email": TraitSpec(Kind.TEXT, column="email"),
    "country": TraitSpec(Kind.TEXT, column="country"),
    "language": TraitSpec(Kind.TEXT, column="language"),
    "timezone": TraitSpec(Kind.TEXT, column="timezone"),
    "birth_year": TraitSpec(Kind.NUMBER, column="birth_year"),
    "first_seen_at": TraitSpec(Kind.MOMENT, column="first_seen_at"),
    "last_seen_at": TraitSpec(Kind.MOMENT, column="last_seen_at"),
    "orders_n": TraitSpec(Kind.NUMBER, column="orders_n", is_nullable=False),
    "revenue": TraitSpec(Kind.MONEY, column="revenue", is_nullable=False),
    "marketing_ok": TraitSpec(Kind.BOOLEAN, column="marketing_ok", is_nullable=False),
}


def check(node: Node, vocabulary: Vocabulary) -> None:
    """Raise `RuleError` if the rule names something unknown, or compares what cannot be compared.

    An event that was never seen is not an error: its count is zero until it arrives.
    """
    for one in walk(node):
        if isinstance(one, Trait):
            _check_trait(one, vocabulary)
        elif isinstance(one, EventCount | EventTime):
            for filter_ in one.where:
                _check_filter(filter_)
        elif isinstance(one, InSegment) and one.slug not in vocabulary.segments:
            raise RuleError(f"there is no segment {one.slug}")
        elif isinstance(one, HasConsent) and one.purpose not in vocabulary.purposes:
            raise RuleError(f"there is no purpose {one.purpose}")
        elif isinstance(one, Sent) and one.campaign not in vocabulary.campaigns:
            raise RuleError(f"there is no campaign {one.campaign}")


def _check_trait(node: Trait, vocabulary: Vocabulary) -> None:
    spec = vocabulary.traits.get(node.key)
    if spec is None:
        raise RuleError(f"there is no trait {node.key}")
    if node.op not in OPS[spec.kind]:
        raise RuleError(f"{node.key} is of the type {spec.kind}, which has no {node.op}")
    for value in values_of(node.value):
        if node.op in AGO_OPS:
            if isinstance(value, bool | str) or value < 0:
                raise RuleError(f"{node.key} {node.op} needs a number of days")
        else:
            stored(spec.kind, value)


def _check_filter(node: Filter) -> None:
    for value in values_of(node.value):
        if node.property in VALUE_PROPERTIES and (isinstance(value, str | bool) or node.op not in NUMBER_OPS):
            raise RuleError(f"{node.property} is an amount and is compared with a number")
        if isinstance(value, str | bool):
            if node.op not in TEXT_OPS:
                raise RuleError(f"{node.op} compares numbers")
        elif node.property in TEXT_PROPERTIES or node.op not in (*NUMBER_OPS, *SET_OPS):
            raise RuleError(f"{node.property} {node.op} needs a text")
    kinds = {isinstance(value, str | bool) for value in values_of(node.value)}
    if len(kinds) > 1:
        raise RuleError(f"{node.property} is compared with texts and numbers at once")


def values_of(value: Scalar | tuple[Scalar, ...] | None) -> tuple[Scalar, ...]:
    """Return one value or many as a tuple."""
    return value if isinstance(value, tuple) else () if value is None else (value,)


def stored(kind: Kind, value: Scalar) -> Scalar:
    """Return a rule's value in the form in which the trait is kept; `RuleError` if it cannot be."""
    if kind == Kind.TEXT:
        if not isinstance(value, str):
            raise RuleError(f"a text is compared with a text, got {value!r}")
        return value
    if kind == Kind.BOOLEAN:
        if not isinstance(value, bool):
            raise RuleError(f"a yes or no is compared with true or false, got {value!r}")
        return value
    if kind == Kind.DATE:
        return _day(value)
    if isinstance(value, str | bool):
        raise RuleError(f"a number is compared with a number, got {value!r}")
    return micro(value) if kind == Kind.MONEY else value


def micro(value: float) -> int:
    """Return an amount in whole units as millionths."""
    return round(Decimal(repr(value)) * MICRO)


def compare(op: str, left: Any, right: Any) -> bool:
    """Tell whether `left op right`; both are known. `right` is a tuple for the set operators."""
    return bool(_COMPARISONS[op](left, right))


def as_text(value: Scalar) -> str:
    """Return a text, or yes and no as JSON writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _day(value: Scalar) -> int:
    try:
        return (date.fromisoformat(str(value)) - EPOCH_DAY).days
    except ValueError as error:
        raise RuleError(f"a date is compared with a date like 2026-11-24, got {value!r}") from error
