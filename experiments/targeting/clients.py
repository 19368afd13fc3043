"""The clients' form of a rule: a GrowthBook condition, evaluated inside their software."""

from __future__ import annotations

from typing import Any

from experiments.targeting.tree import All, AnyOf, Condition, Rule

_OPERATORS = {
    "eq": "$eq",
    "ne": "$ne",
    "in": "$in",
    "not_in": "$nin",
    "gt": "$gt",
    "gte": "$gte",
    "lt": "$lt",
    "lte": "$lte",
    "exists": "$exists",
}


def to_condition(rule: Rule) -> dict[str, Any]:
    """Compile a rule; the clients' answers equal `evaluate.matches` person by person.

    >>> to_condition(All((Condition("country", "eq", "DE"), Condition("segments", "contains", "vip"))))
    {'$and': [{'country': {'$eq': 'DE'}}, {'segments': {'$elemMatch': {'$eq': 'vip'}}}]}
    """
    match rule:
        case Condition(attribute, "contains", value):
            return {attribute: {"$elemMatch": {"$eq": value}}}
        case Condition(attribute, op, value):
            return {attribute: {_OPERATORS[op]: list(value) if isinstance(value, tuple) else value}}
        case All(()):
            return {}
        case All(rules):
            return {"$and": [to_condition(child) for child in rules]}
        case AnyOf(rules):
            return {"$or": [to_condition(child) for child in rules]}
        case _:
            return {"$not": to_condition(rule.rule)}
