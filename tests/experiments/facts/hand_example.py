"""The hand-computed example of docs/metrics.md: twelve people, every edge of a window.

`T` is the first exposure of most; times are µs, values micro-units.
"""

from __future__ import annotations

from datetime import UTC, datetime

from experiments.facts.expressions import DAY, HOUR, PlannedMetric
from experiments.ports import MICRO, MetricDefinition, Part, PropertyFilter
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

# unit, type, at, value, the event's properties "experiment", "product" and "quantity" (millionths)
ORDER, REFUND, VIEW, CLICK = "Order Completed", "Order Refunded", "Product Viewed", "Recommendation Clicked"
MINUTE = HOUR // 60
EVENTS = [
    (1, ORDER, T + HOUR, 10 * MICRO, None, None, None),
    (1, ORDER, T + 2 * DAY, 1 * MICRO, None, None, None),
    (1, VIEW, T + 30 * MINUTE, None, None, "A", 1 * MICRO),
    (1, VIEW, T + 40 * MINUTE, None, None, "B", 2 * MICRO),
    (1, VIEW, T + 50 * MINUTE, None, None, "A", 3 * MICRO),
    (2, ORDER, T - HOUR, 20 * MICRO, None, None, None),
    (2, VIEW, T - 2 * HOUR, None, None, "C", 1 * MICRO),
    (2, VIEW, T - 20 * DAY, None, None, "D", 1 * MICRO),
    (3, ORDER, T + WEEK, 99 * MICRO, None, None, None),
    (3, ORDER, T + WEEK - 1, 7 * MICRO, None, None, None),
    (3, VIEW, T + WEEK, None, None, "A", 1 * MICRO),
    (4, ORDER, T, 5 * MICRO, None, None, None),
    (4, ORDER, T + 8 * DAY, 50 * MICRO, None, None, None),
    (4, VIEW, T + HOUR, None, None, "A", 1 * MICRO),
    (5, ORDER, T + HOUR, 50 * MICRO, None, None, None),
    (5, VIEW, T + HOUR, None, None, "A", 1 * MICRO),
    (7, ORDER, T + HOUR, 3 * MICRO, None, None, None),
    (7, ORDER, T + 3 * HOUR, 4 * MICRO, None, None, None),
    (7, VIEW, T + 3 * HOUR, None, None, None, None),
    (8, ORDER, T + HOUR, 30 * MICRO, None, None, None),
    (8, REFUND, T + HOUR, -12 * MICRO, None, None, None),
    (8, VIEW, T + 10 * MINUTE, None, None, "A", 1 * MICRO),
    (9, ORDER, T - 14 * DAY, 6 * MICRO, None, None, None),
    (9, ORDER, T - 14 * DAY - 1, 60 * MICRO, None, None, None),
    (9, VIEW, T + HOUR, None, None, "A", 1 * MICRO),
    (9, VIEW, T + DAY, None, None, "B", 1 * MICRO),
    (10, CLICK, T - HOUR, None, KEY, None, None),
    (10, CLICK, T + HOUR, None, KEY, None, None),
    (10, CLICK, T + 2 * HOUR, None, KEY, None, None),
    (10, CLICK, T + 2 * HOUR, None, "another", None, None),
    (10, CLICK, T + DAY, None, KEY, None, None),
    (10, VIEW, T + DAY - 1, None, None, "B", 2 * MICRO),
    (10, VIEW, T + 2 * DAY, None, None, "B", 2 * MICRO),
    (11, ORDER, T + HOUR, None, None, None, None),
    (11, VIEW, T + 25 * HOUR, None, None, "A", 5 * MICRO),
    (12, ORDER, UNTIL - HOUR, 9 * MICRO, None, None, None),
    (12, ORDER, UNTIL + HOUR, 8 * MICRO, None, None, None),
    (12, VIEW, UNTIL - 2 * HOUR, None, None, "A", 1 * MICRO),
    (13, ORDER, T + HOUR, 70 * MICRO, None, None, None),
    (13, VIEW, T + HOUR, None, None, "A", 1 * MICRO),
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
    (1, "control", 1, T, 1, 0, 11 * MICRO, 0, 0),
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

_ORDERS = {"window_hours": 168, "lookback_days": 14, "scale": MICRO}
_VIEWS = {"window_hours": 168}
# What no sum of the event's value says, one metric for each; a name, the definition, and the units' numbers in the
# order of its columns (everybody else has zeros).
KINDS: list[tuple[str, MetricDefinition, dict[int, tuple[int, ...]]]] = [
    (
        "average order value",
        MetricDefinition((ORDER, REFUND), "sum", denominator=Part((ORDER,), "count"), **_ORDERS),  # type: ignore[arg-type]  # typed defaults
        {
            1: (11 * MICRO, 0, 2, 0),
            2: (0, 20 * MICRO, 0, 1),
            3: (7 * MICRO, 0, 1, 0),
            4: (5 * MICRO, 0, 1, 0),
            7: (4 * MICRO, 3 * MICRO, 1, 1),
            8: (18 * MICRO, 0, 1, 0),
            9: (0, 6 * MICRO, 0, 1),
            11: (0, 0, 1, 0),
        },
    ),
    (
        "largest order",
        MetricDefinition((ORDER,), "max", window_hours=168, scale=MICRO),
        {1: (10 * MICRO,), 3: (7 * MICRO,), 4: (5 * MICRO,), 7: (4 * MICRO,), 8: (30 * MICRO,)},
    ),
    (
        "first order",
        MetricDefinition((ORDER,), "first", **_ORDERS),  # type: ignore[arg-type]  # typed defaults
        {
            1: (10 * MICRO, 0),
            2: (0, 20 * MICRO),
            3: (7 * MICRO, 0),
            4: (5 * MICRO, 0),
            7: (4 * MICRO, 3 * MICRO),
            8: (30 * MICRO, 0),
            9: (0, 6 * MICRO),
        },
    ),
    (
        "last order",
        MetricDefinition((ORDER,), "last", window_hours=168, scale=MICRO),
        {1: (1 * MICRO,), 3: (7 * MICRO,), 4: (5 * MICRO,), 7: (4 * MICRO,), 8: (30 * MICRO,)},
    ),
    (
        "different products",
        MetricDefinition((VIEW,), "distinct", value_property="product", lookback_days=14, **_VIEWS),  # type: ignore[arg-type]  # typed defaults
        {1: (2, 0), 2: (0, 1), 4: (1, 0), 8: (1, 0), 9: (2, 0), 10: (1, 0), 11: (1, 0)},
    ),
    (
        "quantity",
        MetricDefinition((VIEW,), "sum", value_property="quantity", scale=MICRO, **_VIEWS),  # type: ignore[arg-type]  # typed defaults
        {1: (6 * MICRO,), 4: (MICRO,), 8: (MICRO,), 9: (2 * MICRO,), 10: (4 * MICRO,), 11: (5 * MICRO,)},
    ),
    (
        "views of two or more",
        MetricDefinition((VIEW,), "count", filters=(PropertyFilter("quantity", "2", "gte"),), **_VIEWS),  # type: ignore[arg-type]  # typed defaults
        {1: (2,), 10: (2,), 11: (1,)},
    ),
    (
        "views of something else than A",
        MetricDefinition((VIEW,), "count", filters=(PropertyFilter("product", "A", "ne"),), **_VIEWS),  # type: ignore[arg-type]  # typed defaults
        {1: (1,), 9: (1,), 10: (2,)},
    ),
    (
        "retention on day 1",
        MetricDefinition((VIEW,), "exists", window_hours=24, delay_hours=24),
        {9: (1,), 11: (1,)},
    ),
    (
        "retention from day 1 on",
        MetricDefinition((VIEW,), "exists", window_hours=144, delay_hours=24),
        {9: (1,), 10: (1,), 11: (1,)},
    ),
    (
        "view, then order",
        MetricDefinition((ORDER,), "exists", after=(VIEW,), lookback_days=14, window_hours=168),
        {1: (1, 0), 2: (0, 1), 7: (1, 1), 8: (1, 0), 9: (0, 1)},
    ),
]
KIND_METRICS = [PlannedMetric(index, name, definition) for index, (name, definition, _) in enumerate(KINDS)]
# The single orders inside the windows, for quantiles of orders.
ORDER_VALUES = [
    (1, 1 * MICRO),
    (1, 10 * MICRO),
    (3, 7 * MICRO),
    (4, 5 * MICRO),
    (7, 4 * MICRO),
    (8, 30 * MICRO),
]


def kinds_expected() -> list[tuple[object, ...]]:
    """The rows of `unit_totals` for `KIND_METRICS`."""
    return [
        (
            *row[:4],
            *(
                number
                for metric, (_, _, numbers) in zip(KIND_METRICS, KINDS, strict=True)
                for number in numbers.get(int(row[0]), (0,) * len(metric.columns))
            ),
        )
        for row in EXPECTED
    ]
