"""Metric definitions: what is stored comes back, what is wrong is refused with its reason."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.ports import MetricDefinition, PropertyFilter, decode_definition

DEFINITION = MetricDefinition(
    event_types=("Order Completed", "Order Refunded"),
    aggregation="sum",
    window_hours=168,
    delay_hours=1,
    lookback_days=14,
    scale=1_000_000,
    cap=500.0,
    filters=(PropertyFilter("experiment", "$experiment"), PropertyFilter("campaign", "spring")),
    covariate_event_types=("Product Viewed",),
)


def test_decode_definition__stored_form__gives_the_definition_back() -> None:
    assert decode_definition(DEFINITION.as_json()) == DEFINITION


def test_decode_definition__only_what_is_needed__has_defaults() -> None:
    data = {"schema": 1, "event_types": ["Page Viewed"], "aggregation": "count", "window_hours": 24}
    assert decode_definition(data) == MetricDefinition(("Page Viewed",), "count", 24)


def test_properties__filters__are_named_once_in_order() -> None:
    assert DEFINITION.properties == ("campaign", "experiment")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 3}, "schema must be one of 1, 2, got 3"),
        ({"surprise": 1}, "unknown keys: surprise"),
        ({"event_types": []}, "at least one event"),
        ({"aggregation": "median"}, "aggregation must be one of exists, count, sum, max"),
        ({"window_hours": 0}, "window_hours must be positive"),
        ({"delay_hours": -1}, "delay_hours must not be negative"),
        ({"lookback_days": -1}, "lookback_days must not be negative"),
        ({"scale": 0}, "scale must be positive"),
        ({"cap": 0.0}, "cap must be positive"),
        ({"filters": [{"property": "a b", "value": "x"}]}, "filter properties must be identifiers"),
        ({"filters": [{"property": "a"}]}, "missing key: value"),
    ],
)
def test_decode_definition__wrong_part__is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_definition({**DEFINITION.as_json(), **change})


def test_decode_definition__missing_part__is_named() -> None:
    data = DEFINITION.as_json()
    del data["window_hours"]
    with pytest.raises(ValueError, match="missing key: window_hours"):
        decode_definition(data)
