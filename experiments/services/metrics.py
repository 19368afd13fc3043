"""Metrics as versioned data: the built-in ones, and new versions of any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_noop

from experiments.models import Metric
from experiments.ports import MICRO, MetricDefinition, PropertyFilter

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
    ),
    MetricDraft(
        key="unsubscribe_rate",
        name=gettext_noop("Unsubscribe rate"),
        description=gettext_noop("Share of exposed people who unsubscribed within seven days."),
        kind=Metric.Kind.PROPORTION,
        unit=Metric.Unit.SHARE,
        direction=Metric.Direction.DOWN,
        definition=MetricDefinition(event_types=("Email Unsubscribed",), aggregation="exists", window_hours=WEEK_HOURS),
    ),
    MetricDraft(
        key="refund_rate",
        name=gettext_noop("Refund rate"),
        description=gettext_noop("Share of exposed people who got a refund for an order of their first seven days."),
        kind=Metric.Kind.PROPORTION,
        unit=Metric.Unit.SHARE,
        direction=Metric.Direction.DOWN,
        definition=MetricDefinition(event_types=("Order Refunded",), aggregation="exists", window_hours=WEEK_HOURS),
    ),
)


def ensure_builtin_metrics() -> list[Metric]:
    """Store the built-in metrics; a changed definition becomes a new version. Idempotent."""
    return [define_metric(draft=draft, is_builtin=True) for draft in BUILTIN]


@transaction.atomic
def define_metric(*, draft: MetricDraft, is_builtin: bool = False) -> Metric:
    """The current version of a metric; experiments keep the version they were planned with."""
    content: Mapping[str, Any] = {
        "name": draft.name,
        "description": draft.description,
        "kind": draft.kind,
        "direction": draft.direction,
        "unit": draft.unit,
        "definition": draft.definition.as_json(),
    }
    current = Metric.objects.select_for_update().filter(key=draft.key, is_current=True).first()
    if current and all(getattr(current, name) == value for name, value in content.items()):
        return current
    version = 1
    if current:
        version = current.version + 1
        Metric.objects.filter(pk=current.pk).update(is_current=False)
    metric = Metric(key=draft.key, version=version, is_builtin=is_builtin, **content)
    metric.full_clean()
    metric.save(force_insert=True)
    return metric
