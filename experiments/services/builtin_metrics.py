"""The metrics that every installation has."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_noop

from experiments.models import Metric
from experiments.ports import MICRO, MetricDefinition, Part, PropertyFilter

WEEK_HOURS = 7 * 24
DAY_HOURS = 24
# A fortnight has two of each weekday and lies close enough to predict (Deng et al., WSDM 2013).
LOOKBACK_DAYS = 14


@dataclass(frozen=True, slots=True)
class MetricDraft:
    """A metric in code: what `define_metric` stores."""

    key: str
    name: str
    description: str
    kind: str
    definition: MetricDefinition
    direction: str = Metric.Direction.UP
    unit: str = Metric.Unit.NUMBER
    tags: tuple[str, ...] = ()


def _retention(day: int, name: str, description: str) -> MetricDraft:
    """Any sign of life on the day that begins so many days after the first exposure."""
    return MetricDraft(
        key=f"retention_{day}",
        name=name,
        description=description,
        kind=Metric.Kind.RETENTION,
        unit=Metric.Unit.SHARE,
        definition=MetricDefinition(
            event_types=VISITS,
            aggregation="exists",
            window_hours=DAY_HOURS,
            delay_hours=day * DAY_HOURS,
            lookback_days=LOOKBACK_DAYS,
        ),
        tags=("retention",),
    )


def _share(key: str, name: str, description: str, *event_types: str, tags: tuple[str, ...]) -> MetricDraft:
    """The share of people to whom something unwanted happened within a week."""
    return MetricDraft(
        key=key,
        name=name,
        description=description,
        kind=Metric.Kind.PROPORTION,
        unit=Metric.Unit.SHARE,
        direction=Metric.Direction.DOWN,
        definition=MetricDefinition(event_types=event_types, aggregation="exists", window_hours=WEEK_HOURS),
        tags=tags,
    )


VISITS = ("Page Viewed", "Product Viewed", "Product List Viewed", "Products Searched", "Product Added")

BUILTIN = (
    MetricDraft(
        key="conversion",
        name=gettext_noop("Conversion"),
        description=gettext_noop(
            "Share of exposed people with at least one order in the seven days after their first exposure."
        ),
        kind=Metric.Kind.PROPORTION,
        unit=Metric.Unit.SHARE,
        definition=MetricDefinition(
            event_types=("Order Completed",),
            aggregation="exists",
            window_hours=WEEK_HOURS,
            lookback_days=LOOKBACK_DAYS,
        ),
        tags=("orders",),
    ),
    MetricDraft(
        key="revenue",
        name=gettext_noop("Revenue per person"),
        description=gettext_noop(
            "Order value per exposed person in the seven days after the first exposure, less refunds."
        ),
        kind=Metric.Kind.MEAN,
        unit=Metric.Unit.MONEY,
        definition=MetricDefinition(
            event_types=("Order Completed", "Order Refunded"),
            aggregation="sum",
            window_hours=WEEK_HOURS,
            lookback_days=LOOKBACK_DAYS,
            scale=MICRO,
        ),
        tags=("orders", "money"),
    ),
    MetricDraft(
        key="click_rate",
        name=gettext_noop("Click rate"),
        description=gettext_noop(
            "Share of exposed people who clicked a recommendation of this experiment within a day."
        ),
        kind=Metric.Kind.PROPORTION,
        unit=Metric.Unit.SHARE,
        definition=MetricDefinition(
            event_types=("Recommendation Clicked",),
            aggregation="exists",
            window_hours=DAY_HOURS,
            filters=(PropertyFilter(property="experiment", value="$experiment"),),
        ),
        tags=("engagement",),
    ),
    MetricDraft(
        key="orders",
        name=gettext_noop("Orders per person"),
        description=gettext_noop("Number of orders per exposed person in the seven days after the first exposure."),
        kind=Metric.Kind.COUNT,
        definition=MetricDefinition(
            event_types=("Order Completed",),
            aggregation="count",
            window_hours=WEEK_HOURS,
            lookback_days=LOOKBACK_DAYS,
        ),
        tags=("orders",),
    ),
    MetricDraft(
        key="average_order_value",
        name=gettext_noop("Average order value"),
        description=gettext_noop(
            "Order value less refunds, divided by the number of orders, in the seven days after the first exposure."
        ),
        kind=Metric.Kind.RATIO,
        unit=Metric.Unit.MONEY,
        definition=MetricDefinition(
            event_types=("Order Completed", "Order Refunded"),
            aggregation="sum",
            window_hours=WEEK_HOURS,
            scale=MICRO,
            denominator=Part(event_types=("Order Completed",), aggregation="count"),
        ),
        tags=("orders", "money"),
    ),
    _retention(
        1,
        gettext_noop("Retention on day 1"),
        gettext_noop("Share of exposed people who came back on the day after their first exposure."),
    ),
    _retention(
        7,
        gettext_noop("Retention on day 7"),
        gettext_noop("Share of exposed people who came back on the seventh day after their first exposure."),
    ),
    _retention(
        30,
        gettext_noop("Retention on day 30"),
        gettext_noop("Share of exposed people who came back on the thirtieth day after their first exposure."),
    ),
    _share(
        "unsubscribe_rate",
        gettext_noop("Unsubscribe rate"),
        gettext_noop("Share of exposed people who unsubscribed within seven days."),
        "Email Unsubscribed",
        "Unsubscribed",
        tags=("complaints",),
    ),
    _share(
        "complaint_rate",
        gettext_noop("Complaint rate"),
        gettext_noop("Share of exposed people who marked a message as spam within seven days."),
        "Email Marked As Spam",
        "Email Marked as Spam",
        tags=("complaints",),
    ),
    _share(
        "withdrawal_rate",
        gettext_noop("Withdrawal rate"),
        gettext_noop("Share of exposed people who withdrew a consent within seven days."),
        "Consent Withdrawn",
        tags=("complaints",),
    ),
    _share(
        "refund_rate",
        gettext_noop("Refund rate"),
        gettext_noop("Share of exposed people who got a refund for an order of their first seven days."),
        "Order Refunded",
        tags=("orders",),
    ),
    MetricDraft(
        key="cost",
        name=gettext_noop("Cost per person"),
        description=gettext_noop(
            "What messages and vouchers cost per exposed person in the seven days after the first exposure."
        ),
        kind=Metric.Kind.MEAN,
        unit=Metric.Unit.MONEY,
        direction=Metric.Direction.DOWN,
        definition=MetricDefinition(
            event_types=("Cost Incurred",), aggregation="sum", window_hours=WEEK_HOURS, scale=MICRO
        ),
        tags=("money",),
    ),
)
