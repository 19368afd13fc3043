"""What a campaign cost and what that bought: only what the control group shows, with intervals.

The cost is known exactly, so that nothing but the effect is uncertain. The interval of cost ÷ effect is then Fieller's
(1954) with a constant numerator: the image of the effect's interval. Where that interval holds 0, the ratio has no
upper bound: it may have bought nothing at all. The return is linear in the incremental revenue, and so is its
interval. The effects' intervals are always valid (or a single look's), so these are, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db.models import Count
from django.utils.translation import gettext as _

from experiments.reports import Bounds, ComparisonReport, ExperimentReport, MetricReport
from marketing.choices import DeliveryStatus
from marketing.models import Campaign

MICRO: Final = 1_000_000
COUNTED: Final = ("proportion", "count", "funnel", "retention")
"""Kinds of goals whose effect times the people is a number of something that can have a price."""
HANDED_OVER: Final = (DeliveryStatus.SENT, DeliveryStatus.UNCERTAIN)
"""What a provider charges for."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its interval; an open side is None. Undefined is None beside the reason."""

    value: float | None
    interval: Bounds | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ArmEconomics:
    """What one treated arm cost and caused; money in the reporting currency."""

    name: str
    messages: int
    cost: float
    conversions: Figure
    revenue: Figure
    cost_per_conversion: Figure
    profit: Figure
    """Margin of the incremental revenue less the cost."""
    roi: Figure
    """Profit ÷ cost: 0.5 is half the cost again."""


@dataclass(frozen=True, slots=True)
class Economics:
    """The treated arms of a campaign."""

    goal: str
    """What is counted as a conversion."""
    currency: str
    margin: float | None
    arms: tuple[ArmEconomics, ...]


def economics_of(*, campaign: Campaign, report: ExperimentReport | None) -> Economics | None:
    """Return what each treated arm cost and bought; None before the first refresh. One query."""
    goal = _goal(report)
    if report is None or goal is None:
        return None
    money = next((metric for metric in report.metrics if metric.key == "revenue"), None)
    sent = _messages(campaign)
    treated = sum(one.n_arm for one in goal.comparisons)
    names = {arm.key: arm.name for arm in report.arms}
    return Economics(
        goal=goal.name,
        currency=report.currency,
        margin=campaign.margin,
        arms=tuple(
            _arm(
                campaign,
                one,
                _of(money, one.arm),
                name=names[one.arm],
                messages=sent.get(one.arm, 0),
                treated=treated,
            )
            for one in goal.comparisons
        ),
    )


def cost_per(*, cost: float, effect: Figure) -> Figure:
    """Return cost ÷ effect for a known cost. Source: Fieller, JRSS B 16 (1954), with a constant numerator.

    >>> cost_per(cost=100.0, effect=Figure(20.0, Bounds(10.0, 40.0, 0.95))).interval
    Bounds(lower=2.5, upper=10.0, level=0.95)
    >>> cost_per(cost=100.0, effect=Figure(20.0, Bounds(-5.0, 40.0, 0.95))).interval
    Bounds(lower=2.5, upper=None, level=0.95)
    """
    if cost <= 0:
        return Figure(None, reason=_("no cost was given"))
    if effect.value is None:
        return Figure(None, reason=effect.reason)
    value = cost / effect.value if effect.value > 0 else None
    bounds = effect.interval
    if bounds is None or bounds.upper is None:
        return Figure(value, reason=_("not enough data for an interval yet"))
    if bounds.upper <= 0:
        return Figure(None, reason=_("it brought none"))
    is_certain = bounds.lower is not None and bounds.lower > 0
    upper = cost / bounds.lower if is_certain and bounds.lower else None
    reason = "" if is_certain else _("it may have brought none")
    return Figure(value, Bounds(cost / bounds.upper, upper, bounds.level), reason)


def profit_of(*, cost: float, margin: float | None, revenue: Figure) -> Figure:
    """Return margin × incremental revenue − cost.

    >>> profit_of(cost=100.0, margin=0.5, revenue=Figure(400.0, Bounds(100.0, 700.0, 0.95)))
    Figure(value=100.0, interval=Bounds(lower=-50.0, upper=250.0, level=0.95), reason='')
    """
    if margin is None:
        return Figure(None, reason=_("no margin was given"))
    if revenue.value is None:
        return Figure(None, reason=revenue.reason)
    return Figure(
        margin * revenue.value - cost, _linear(revenue.interval, factor=margin, shift=-cost), reason=revenue.reason
    )


def return_on(*, cost: float, profit: Figure) -> Figure:
    """Return profit ÷ cost."""
    if cost <= 0:
        return Figure(None, reason=_("no cost was given"))
    if profit.value is None:
        return profit
    return Figure(profit.value / cost, _linear(profit.interval, factor=1 / cost, shift=0.0), reason=profit.reason)


def _linear(bounds: Bounds | None, *, factor: float, shift: float) -> Bounds | None:
    """Return the image of an interval under x → factor · x + shift, for a positive factor."""
    if bounds is None:
        return None
    lower = None if bounds.lower is None else factor * bounds.lower + shift
    upper = None if bounds.upper is None else factor * bounds.upper + shift
    return Bounds(lower, upper, bounds.level)


def _arm(
    campaign: Campaign,
    goal: ComparisonReport,
    money: ComparisonReport | None,
    *,
    name: str,
    messages: int,
    treated: int,
) -> ArmEconomics:
    # The fixed cost is shared by people; an effect counts people whose window has closed, a cost all messages.
    share = goal.n_arm / treated if treated else 0.0
    cost = (campaign.fixed_cost * share + campaign.message_cost * messages) / MICRO
    conversions, revenue = _incremental(goal), _incremental(money)
    profit = profit_of(cost=cost, margin=campaign.margin, revenue=revenue)
    return ArmEconomics(
        name=name,
        messages=messages,
        cost=cost,
        conversions=conversions,
        revenue=revenue,
        cost_per_conversion=cost_per(cost=cost, effect=conversions),
        profit=profit,
        roi=return_on(cost=cost, profit=profit),
    )


def _incremental(comparison: ComparisonReport | None) -> Figure:
    if comparison is None or comparison.incremental is None:
        return Figure(None, reason=_("not enough data yet"))
    reason = "" if comparison.incremental_ci is not None else _("not enough data for an interval yet")
    return Figure(comparison.incremental, comparison.incremental_ci, reason)


def _goal(report: ExperimentReport | None) -> MetricReport | None:
    """Return the metric that is counted: the goal where it can be, otherwise conversions."""
    if report is None or report.primary is None:
        return None
    if report.primary.kind in COUNTED:
        return report.primary
    return next((metric for metric in report.metrics if metric.key == "conversion"), None)


def _of(metric: MetricReport | None, arm: str) -> ComparisonReport | None:
    comparisons = metric.comparisons if metric is not None else ()
    return next((one for one in comparisons if one.arm == arm), None)


def _messages(campaign: Campaign) -> dict[str, int]:
    if not campaign.message_cost:
        return {}
    rows = campaign.deliveries.filter(status__in=HANDED_OVER).values_list("arm_key")
    return dict(rows.annotate(n=Count("pk")).order_by("arm_key"))
