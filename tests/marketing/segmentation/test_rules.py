"""Rules are read strictly: what cannot be understood is refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest

from marketing.choices import Purpose
from marketing.segmentation.rules import (
    MAX_NODES,
    All,
    EventCount,
    Filter,
    InSegment,
    Not,
    RuleError,
    Sample,
    Trait,
    fingerprint,
    parse,
    segments_of,
)
from marketing.segmentation.vocabulary import SYSTEM_TRAITS, Kind, TraitSpec, Vocabulary, check

WORDS = Vocabulary(
    traits={
        **SYSTEM_TRAITS,
        "plan": TraitSpec(Kind.TEXT, definition=1),
        "vip": TraitSpec(Kind.BOOLEAN, definition=2),
        "joined": TraitSpec(Kind.DATE, definition=3),
    },
    event_types={"Order Completed": 1},
    segments={"buyers": 1},
    purposes=Purpose.values,
)


def rule(root: Any) -> dict[str, Any]:
    return {"schema": 1, "root": root}


def nested(levels: int) -> Any:
    return {"all": []} if levels == 1 else {"not": nested(levels - 1)}


def test_parse__every_kind_of_node__becomes_the_tree() -> None:
    tree = parse(
        rule(
            {
                "all": [
                    {"trait": "country", "op": "in", "value": ["DE", "AT"]},
                    {"not": {"in_segment": "buyers"}},
                    {
                        "event": "Order Completed",
                        "op": "gte",
                        "n": 2.0,
                        "days": 30,
                        "where": [{"property": "color", "op": "eq", "value": "blue"}],
                    },
                    {"sample": {"salt": "a", "percent": 10}},
                    {"trait": "plan", "op": "is_set"},
                ]
            }
        )
    )

    assert tree == All(
        (
            Trait("country", "in", ("DE", "AT")),
            Not(InSegment("buyers")),
            EventCount("Order Completed", "gte", 2, 30, "count", (Filter("color", "eq", "blue"),)),
            Sample("a", 10),
            Trait("plan", "is_set", None),
        )
    )
    assert segments_of(tree) == {"buyers"}
    check(tree, WORDS)


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ([], "a condition must be an object"),
        ({}, "a condition must be one of"),
        ({"all": 1}, "all and any must hold a list"),
        ({"all": [], "x": 1}, "a condition on all does not know x"),
        ({"trait": "plan", "op": "like", "value": "x"}, "op must be one of"),
        ({"trait": "pl'an", "op": "eq", "value": "x"}, "trait must be a name"),
        ({"trait": 1, "op": "eq", "value": "x"}, "trait must be a name"),
        ({"trait": "plan", "op": "eq"}, "value must be a text"),
        ({"trait": "plan", "op": "eq", "value": "x" * 256}, "value must be a text"),
        ({"trait": "plan", "op": "eq", "value": "a\x00"}, "value contains a character that cannot be stored"),
        ({"trait": "plan", "op": "eq", "value": "\ud800"}, "value contains a character that cannot be stored"),
        ({"trait": "plan", "op": "in", "value": "x"}, "in needs a list"),
        ({"trait": "plan", "op": "in", "value": []}, "in needs a list"),
        ({"trait": "birth_year", "op": "eq", "value": float("nan")}, "value must be a number"),
        ({"trait": "birth_year", "op": "eq", "value": 10**30}, "value must be a number"),
        ({"event": "a", "op": "gte"}, "n must be a number"),
        ({"event": "a", "op": "ne", "n": 1}, "op must be one of"),
        ({"event": "a", "op": "gte", "n": True}, "n must be a number"),
        ({"event": "a", "op": "gte", "n": 1, "days": 0}, "days must be between"),
        ({"event": "a", "op": "gte", "n": 1, "measure": "max"}, "measure must be one of"),
        ({"event": "a", "op": "gte", "n": 1, "where": {}}, "where must be a list"),
        ({"event": "a", "op": "gte", "n": 1, "where": [{}]}, "a filter must have property, op and value"),
        ({"sample": 3}, "sample must have salt and percent"),
        ({"sample": {"salt": "a", "percent": 101}}, "percent must be between 0 and 100"),
        ({"all": [{"all": []}] * MAX_NODES}, f"a rule may have {MAX_NODES} conditions at most"),
        (nested(11), "a rule may be nested 10 levels deep at most"),
    ],
)
def test_parse__what_cannot_be_understood__is_refused(root: Any, reason: str) -> None:
    with pytest.raises(RuleError, match=reason):
        parse(rule(root))


@pytest.mark.parametrize("data", [None, [], {"root": {"all": []}}, {"schema": 2, "root": {"all": []}}, {"schema": 1}])
def test_parse__without_the_envelope__is_refused(data: Any) -> None:
    with pytest.raises(RuleError, match="a rule must be"):
        parse(data)


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ({"trait": "shoe", "op": "eq", "value": 1}, "there is no trait shoe"),
        ({"trait": "country", "op": "gt", "value": "DE"}, "country is of the type text, which has no gt"),
        ({"trait": "country", "op": "eq", "value": 1}, "a text is compared with a text"),
        ({"trait": "birth_year", "op": "eq", "value": "x"}, "a number is compared with a number"),
        ({"trait": "revenue", "op": "eq", "value": True}, "a number is compared with a number"),
        ({"trait": "vip", "op": "eq", "value": 1}, "a yes or no is compared with true or false"),
        ({"trait": "joined", "op": "gt", "value": "soon"}, "a date is compared with a date"),
        ({"trait": "last_seen_at", "op": "within_days", "value": "x"}, "needs a number of days"),
        ({"trait": "last_seen_at", "op": "within_days", "value": -1}, "needs a number of days"),
        ({"in_segment": "nobody"}, "there is no segment nobody"),
        ({"consent": "fun"}, "there is no purpose fun"),
    ],
)
def test_check__what_makes_no_sense_here__is_refused(root: Any, reason: str) -> None:
    with pytest.raises(RuleError, match=reason):
        check(parse(rule({"not": root})), WORDS)


@pytest.mark.parametrize(
    ("property_", "op", "value", "reason"),
    [
        ("value", "eq", "x", "value is an amount"),
        ("revenue", "in", [1], "revenue is an amount"),
        ("color", "gt", "x", "gt compares numbers"),
        ("color", "contains", 1, "color contains needs a text"),
        ("product_id", "eq", 1, "product_id eq needs a text"),
        ("color", "in", ["x", 1], "texts and numbers at once"),
    ],
)
def test_check__filter_that_compares_unlike_things__is_refused(
    property_: str, op: str, value: Any, reason: str
) -> None:
    where = [{"property": property_, "op": op, "value": value}]
    with pytest.raises(RuleError, match=reason):
        check(parse(rule({"event": "a", "op": "gte", "n": 1, "where": where})), WORDS)


def test_sample__same_salt__same_people_and_the_share_asked_for() -> None:
    one, again, other = (Sample(salt, 12.3).buckets for salt in ("a", "a", "b"))

    assert one == again != other
    assert len(one) == len(other) == 123
    assert set(one) < set(Sample("a", 50).buckets)
    assert (Sample("a", 0).buckets, len(Sample("a", 100).buckets)) == ((), 1000)


def test_fingerprint__order_of_keys__does_not_matter() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1, "b": 3})
