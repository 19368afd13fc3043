"""Definitions of every kind: they come back as stored, and each part that cannot be is named."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.definitions import MetricDefinition, Part, PropertyFilter, check_kind, decode_definition
from experiments.services.builtin_metrics import BUILTIN

FULL = MetricDefinition(
    event_types=("Order Completed",),
    aggregation="sum",
    window_hours=168,
    delay_hours=24,
    lookback_days=14,
    scale=1_000_000,
    filters=(PropertyFilter("quantity", "2", "gte"), PropertyFilter("category", "shoes", "ne")),
    value_property="price",
    denominator=Part(("Product Viewed",), "distinct", (PropertyFilter("depth", "3", "lt"),), "product_id"),
    denominator_scale=2,
    cap_percentile=99.0,
    minimum_sample=50,
)


def test_decode__full_definition__comes_back() -> None:
    assert decode_definition(FULL.as_json()) == FULL


def test_decode__smallest_of_the_second_schema__has_defaults() -> None:
    data = {"schema": 2, "event_types": ["Page Viewed"], "aggregation": "exists", "window_hours": 24}
    assert decode_definition(data) == MetricDefinition(("Page Viewed",), "exists", 24)
    ratio = {**data, "denominator": {"event_types": ["Order Completed"], "aggregation": "count"}}
    assert decode_definition(ratio).denominator == Part(("Order Completed",), "count")


def test_first_schema__knows_what_it_knew() -> None:
    data = {"schema": 1, "event_types": ["Page Viewed"], "aggregation": "count", "window_hours": 24}
    assert decode_definition(data).aggregation == "count"
    with pytest.raises(ValueError, match="aggregation must be one of exists, count, sum"):
        decode_definition({**data, "aggregation": "max"})
    with pytest.raises(ValueError, match="unknown keys: quantile"):
        decode_definition({**data, "quantile": 0.5})


def test_reads__every_part__named_once_in_order() -> None:
    assert FULL.read_types == ("Order Completed", "Product Viewed")
    assert FULL.properties == ("category", "product_id")
    assert FULL.numbers == ("depth", "price", "quantity")
    funnel = MetricDefinition(
        ("Order Completed",), "exists", 24, after=("Product Viewed",), covariate_event_types=("x",)
    )
    assert funnel.read_types == ("Order Completed", "Product Viewed", "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aggregation": "median"}, "aggregation must be one of exists, count, sum, max"),
        ({"event_types": []}, "event_types must name at least one event"),
        ({"aggregation": "distinct", "value_property": ""}, "distinct needs the property"),
        ({"aggregation": "count"}, "count takes no value_property"),
        ({"value_property": "a b"}, "value_property must be an identifier"),
        ({"after": ["Product Viewed"]}, "go with exists only"),
        ({"filters": [{"property": "a b", "value": "x"}]}, "filter properties must be identifiers"),
        ({"filters": [{"property": "a", "value": "x", "operator": "like"}]}, "filter operators must be among eq, ne"),
        ({"filters": [{"property": "a", "value": "x", "operator": "lt"}]}, "compares numbers needs a number"),
        ({"denominator": {"event_types": [], "aggregation": "count"}}, "denominator: event_types must name"),
        ({"denominator_scale": 0}, "denominator_scale must be positive"),
        ({"quantile": 1.0}, "quantile must lie between 0 and 1"),
        ({"per_event": True}, "per_event needs a quantile"),
        ({"cap_percentile": 100}, "cap_percentile must lie between 50 and 100"),
        ({"cap": 5.0}, "cap and cap_percentile exclude each other"),
        ({"minimum_sample": -1}, "minimum_sample must not be negative"),
    ],
)
def test_decode__wrong_part__is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_definition({**FULL.as_json(), **change})


EXISTS = MetricDefinition(("x",), "exists", 24)
SUM = MetricDefinition(("x",), "sum", 24)


@pytest.mark.parametrize(
    ("kind", "definition", "message"),
    [
        ("mean", FULL, "a mean has no denominator"),
        ("ratio", SUM, "a ratio needs a denominator"),
        ("mean", MetricDefinition(("x",), "sum", 24, quantile=0.5), "a mean has no quantile"),
        ("quantile", SUM, "a quantile needs a share"),
        ("proportion", SUM, "a proportion aggregates by one of exists"),
        ("retention", EXISTS, "delay_hours must be positive"),
        ("funnel", EXISTS, "a funnel step needs the steps before it"),
        ("proportion", MetricDefinition(("x",), "exists", 24, after=("y",)), "a proportion has no steps"),
        ("proportion", MetricDefinition(("x",), "exists", 24, cap=1.0), "a proportion cannot be capped"),
        ("quantile", MetricDefinition(("x",), "sum", 24, quantile=0.5, lookback_days=1), "a quantile has no covariate"),
    ],
)
def test_check_kind__definition_that_does_not_give_it__is_refused(
    kind: str, definition: MetricDefinition, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_kind(kind, definition)


@pytest.mark.parametrize("draft", BUILTIN, ids=lambda draft: draft.key)
def test_builtin__each__gives_what_its_kind_needs(draft: Any) -> None:
    check_kind(draft.kind, draft.definition)
    assert decode_definition(draft.definition.as_json()) == draft.definition
