"""Cost against what the control group shows: by hand, undefined with its reason, and coverage by simulation."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest

from experiments.reports import Bounds, ExperimentReport
from marketing.models import Campaign, Delivery, MailFeedback
from marketing.selectors import economics
from marketing.selectors.dashboard import FunnelRow, mail_funnel, retention
from marketing.selectors.economics import Figure, cost_per, economics_of, profit_of, return_on
from marketing.selectors.sending import sending_of
from tests.experiments.reports import make_comparison, make_metric, make_report
from tests.factories.marketing import NOW, make_profile
from tests.factories.sending import make_mailing

pytestmark = pytest.mark.django_db


def a_report() -> ExperimentReport:
    revenue = make_metric(
        key="revenue",
        role="secondary",
        kind="mean",
        unit="money",
        comparisons=(make_comparison(incremental=500.0, incremental_ci=Bounds(100.0, 900.0, 0.95)),),
    )
    return make_report(metrics=(make_metric(comparisons=(make_comparison(),)), revenue))


def a_campaign(**changes: Any) -> Campaign:
    campaign = make_mailing(**changes)
    for _ in range(10):
        Delivery.objects.create(
            campaign=campaign,
            profile=make_profile(),
            arm_key="treatment",
            status="sent",
            status_at=NOW,
            send_at=NOW,
        )
    return campaign


def test_economics_of__costs_and_margin__divides_cost_by_what_was_caused() -> None:
    campaign = a_campaign(fixed_cost=100_000_000, message_cost=200_000, margin=0.4)
    found = economics_of(campaign=campaign, report=a_report())
    assert found is not None
    (arm,) = found.arms
    assert (arm.messages, arm.cost) == (10, 102.0)
    assert arm.conversions.value == 20.2
    assert arm.cost_per_conversion.value == pytest.approx(102 / 20.2)
    assert arm.cost_per_conversion.interval == Bounds(102 / 40.4, 102.0, 0.95)
    assert arm.profit == Figure(98.0, Bounds(-62.0, 258.0, 0.95))
    assert arm.roi.value == pytest.approx(98 / 102)
    assert arm.roi.interval is not None
    assert (arm.roi.interval.lower, arm.roi.interval.upper) == pytest.approx((-62 / 102, 258 / 102))


def test_economics_of__two_treated_arms__share_the_fixed_cost_by_people() -> None:
    campaign = make_mailing(fixed_cost=100_000_000)
    both = (make_comparison(n_arm=300), make_comparison(arm="control", n_arm=100))
    found = economics_of(campaign=campaign, report=make_report(metrics=(make_metric(comparisons=both),)))
    assert found is not None
    assert [arm.cost for arm in found.arms] == [75.0, 25.0]


def test_economics_of__nothing_known__gives_the_reasons() -> None:
    campaign = make_mailing()
    assert economics_of(campaign=campaign, report=None) is None
    nothing = make_comparison(incremental=None, incremental_ci=None)
    found = economics_of(campaign=campaign, report=make_report(metrics=(make_metric(comparisons=(nothing,)),)))
    assert found is not None
    (arm,) = found.arms
    assert arm.conversions == Figure(None, None, "not enough data yet")
    assert arm.cost_per_conversion == Figure(None, None, "no cost was given")
    assert arm.profit == Figure(None, None, "no margin was given")
    assert arm.roi == Figure(None, None, "no cost was given")


def test_economics_of__goal_that_is_a_mean__counts_conversions() -> None:
    revenue = make_metric(key="revenue", role="primary", kind="mean", comparisons=(make_comparison(),))
    conversion = make_metric(role="secondary", name="Orders")
    found = economics_of(campaign=make_mailing(), report=make_report(metrics=(revenue, conversion)))
    assert found is not None
    assert found.goal == "Orders"


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        (Figure(20.0, Bounds(10.0, 40.0, 0.95)), Figure(5.0, Bounds(2.5, 10.0, 0.95))),
        (Figure(20.0, Bounds(-5.0, 40.0, 0.95)), Figure(5.0, Bounds(2.5, None, 0.95), "it may have brought none")),
        (Figure(-2.0, Bounds(-5.0, 4.0, 0.95)), Figure(None, Bounds(25.0, None, 0.95), "it may have brought none")),
        (Figure(-2.0, Bounds(-5.0, -1.0, 0.95)), Figure(None, None, "it brought none")),
        (Figure(20.0), Figure(5.0, None, "not enough data for an interval yet")),
        (Figure(None, reason="why"), Figure(None, None, "why")),
    ],
)
def test_cost_per__effect__is_fiellers_set(effect: Figure, expected: Figure) -> None:
    assert cost_per(cost=100.0, effect=effect) == expected


def test_return_on__margin_missing__keeps_the_reason() -> None:
    profit = profit_of(cost=10.0, margin=None, revenue=Figure(5.0))
    assert return_on(cost=10.0, profit=profit) == Figure(None, None, "no margin was given")
    unsure = profit_of(cost=10.0, margin=0.5, revenue=Figure(40.0, None, "not enough data for an interval yet"))
    assert return_on(cost=10.0, profit=unsure) == Figure(1.0, None, "not enough data for an interval yet")


def test_cost_per__simulated_effects__covers_the_true_cost_as_often_as_the_effects_interval() -> None:
    rng = np.random.default_rng(7)
    truth, error, cost = 12.0, 5.0, 100.0
    draws = rng.normal(truth, error, 4_000)
    held = 0
    for draw in draws:
        found = cost_per(cost=cost, effect=Figure(draw, Bounds(draw - 1.96 * error, draw + 1.96 * error, 0.95)))
        bounds = found.interval
        held += bounds is not None and (bounds.lower or 0) <= cost / truth <= (bounds.upper or np.inf)
    assert held / 4_000 == pytest.approx(0.95, abs=0.01)


def test_examples__of_the_module__hold() -> None:
    assert doctest.testmod(economics).failed == 0


def test_mail_funnel__bounced_and_refused__are_not_delivered() -> None:
    campaign = a_campaign()
    for number, (kind, source) in enumerate((("hard", "mailbox"), ("complaint", "mailbox"), ("blocked", "smtp"))):
        MailFeedback.objects.create(
            campaign=campaign,
            arm_key="treatment",
            kind=kind,
            source=source,
            address_hash=str(number),
            report=kind,
            at=NOW,
        )
    rows = [FunnelRow("control", "C", True, 0, None, None), FunnelRow("treatment", "T", False, 9, None, None)]
    (found,) = mail_funnel(rows=rows, sending=sending_of(campaign=campaign))
    assert (found.row.name, found.audience, found.sent, found.delivered) == ("T", 10, 10, 9)
    assert mail_funnel(rows=rows, sending=None) == []


def test_retention__plan_with_it__shares_by_arm() -> None:
    seven = make_metric(key="retention_7", name="Retention on day 7", kind="retention", role="secondary")
    found = retention(report=make_report(metrics=(make_metric(), seven)))
    assert found is not None
    assert found.columns == ("Retention on day 7",)
    assert [(row.name, row.is_control, row.shares) for row in found.rows] == [
        ("Control", True, (0.1,)),
        ("Treatment", False, (0.12,)),
    ]
    assert retention(report=make_report()) is None
    assert retention(report=None) is None
