"""The hand-computed example of docs/metrics.md: twelve people, every edge of a window.

`T` is the first exposure of most; times are µs, values micro-units.
"""

from __future__ import annotations

from datetime import UTC, datetime

from experiments.facts.expressions import DAY, HOUR, PlannedMetric
from experiments.ports import MICRO, MetricDefinition, PropertyFilter
from experiments.services.exposure import microseconds

KEY = "hand"
T = microseconds(datetime(2026, 3, 2, 10, tzinfo=UTC))
WEEK = 7 * DAY
UNTIL = T + 30 * DAY

# unit, arm, phase, first_at
EXPOSURES = [
    (1, "control", 1, T),
    (2, "control", 1, T),
    (3, "treatment", 1, T),
    (4, "treatment", 1, T),
    (5, "control", 1, T),
    (5, "treatment", 1, T + HOUR),
    (6, "control", 1, T),
    (7, "treatment", 1, T + 2 * HOUR),
    (7, "treatment", 2, T + DAY),
    (8, "control", 1, T),
    (9, "treatment", 1, T),
    (10, "treatment", 1, T),
    (11, "control", 1, T),
    (12, "control", 1, UNTIL),
]

# unit, type, at, value, the event's property "experiment"
EVENTS = [
    (1, "Order Completed", T + HOUR, 10 * MICRO, None),
    (2, "Order Completed", T - HOUR, 20 * MICRO, None),
    (3, "Order Completed", T + WEEK, 99 * MICRO, None),
    (3, "Order Completed", T + WEEK - 1, 7 * MICRO, None),
    (4, "Order Completed", T, 5 * MICRO, None),
    (5, "Order Completed", T + HOUR, 50 * MICRO, None),
    (7, "Order Completed", T + HOUR, 3 * MICRO, None),
    (7, "Order Completed", T + 3 * HOUR, 4 * MICRO, None),
    (7, "Product Viewed", T + 3 * HOUR, None, None),
    (8, "Order Completed", T + HOUR, 30 * MICRO, None),
    (8, "Order Refunded", T + HOUR, -12 * MICRO, None),
    (9, "Order Completed", T - 14 * DAY, 6 * MICRO, None),
    (9, "Order Completed", T - 14 * DAY - 1, 60 * MICRO, None),
    (10, "Recommendation Clicked", T + HOUR, None, KEY),
    (10, "Recommendation Clicked", T + 2 * HOUR, None, KEY),
    (10, "Recommendation Clicked", T + 2 * HOUR, None, "another"),
    (10, "Recommendation Clicked", T + DAY, None, KEY),
    (11, "Order Completed", T + HOUR, None, None),
    (12, "Order Completed", UNTIL + HOUR, 8 * MICRO, None),
    (13, "Order Completed", T + HOUR, 70 * MICRO, None),
]

METRICS = [
    PlannedMetric(
        index=0,
        key="conversion",
        definition=MetricDefinition(("Order Completed",), "exists", window_hours=168, lookback_days=14),
    ),
    PlannedMetric(
        index=1,
        key="revenue",
        definition=MetricDefinition(
            ("Order Completed", "Order Refunded"), "sum", window_hours=168, lookback_days=14, scale=MICRO
        ),
    ),
    PlannedMetric(
        index=2,
        key="clicks",
        definition=MetricDefinition(
            ("Recommendation Clicked",),
            "count",
            window_hours=24,
            filters=(PropertyFilter("experiment", "$experiment"),),
        ),
    ),
]

# unit, arm, phase, first_at, converted, before, revenue, before, clicks
EXPECTED = [
    (1, "control", 1, T, 1, 0, 10 * MICRO, 0, 0),
    (2, "control", 1, T, 0, 1, 0, 20 * MICRO, 0),
    (3, "treatment", 1, T, 1, 0, 7 * MICRO, 0, 0),
    (4, "treatment", 1, T, 1, 0, 5 * MICRO, 0, 0),
    (6, "control", 1, T, 0, 0, 0, 0, 0),
    (7, "treatment", 1, T + 2 * HOUR, 1, 1, 4 * MICRO, 3 * MICRO, 0),
    (8, "control", 1, T, 1, 0, 18 * MICRO, 0, 0),
    (9, "treatment", 1, T, 0, 1, 0, 6 * MICRO, 0),
    (10, "treatment", 1, T, 0, 0, 0, 0, 2),
    (11, "control", 1, T, 1, 0, 0, 0, 0),
]
MULTI_ARM = [(5, "control"), (5, "treatment")]
