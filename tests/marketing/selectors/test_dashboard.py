from __future__ import annotations

from dataclasses import replace

import pytest

from experiments.reports import (
    AlwaysValid,
    ArmReport,
    ArmTotals,
    ComparisonReport,
    Estimate,
    ExperimentReport,
    HealthReport,
    Message,
    MetricReport,
    PlanReport,
    SrmReport,
    Verdict,
)
from experiments.selectors import clear_config_cache
from experiments.services import decision, lifecycle
from marketing.models import Campaign
from marketing.selectors import dashboard
from marketing.selectors.dashboard import (
    CampaignCard,
    FunnelRow,
    Stage,
    attention,
    card_of,
    cards_of,
    funnel,
    running_cards,
    shown_arm,
    status_counts,
)
from marketing.services.experience import serve
from tests.factories.campaigns import make_campaign, make_visitor
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db
WORD = Message("word")


def make_report(*, key: str, outcome: str = "continue", healthy: bool = True) -> ExperimentReport:
    """A report of 40 + 44 people, of whom 4 + 9 ordered."""
    nothing = Estimate(*(None,) * 11)
    comparison = ComparisonReport(
        arm="personal",
        control="control",
        n_control=40,
        n_arm=44,
        raw=nothing,
        adjusted=None,
        always_valid=AlwaysValid(None, None, None, 0, 0),
        guardrail=None,
        incremental=None,
        incremental_ci=None,
        true_lift=None,
    )
    totals = tuple(
        ArmTotals(arm, people, 0, None, 0.0, 0, float(ordered), ordered)
        for arm, people, ordered in (("control", 40, 4), ("personal", 44, 9))
    )
    srm = SrmReport(0, 0.7, {"control": 40, "personal": 44}, {"control": 42.0, "personal": 42.0}, is_mismatch=False)
    return ExperimentReport(
        experiment=key,
        name=key,
        at=NOW.isoformat(),
        currency="EUR",
        arms=tuple(ArmReport(arm.arm, arm.arm, arm.arm == "control", 0.5, arm.exposed_n, 0) for arm in totals),
        health=HealthReport(healthy, srm, (), 0, 0.0, None, ()),
        metrics=(
            MetricReport(
                "conversion", "Conversion", "primary", "proportion", "up", "share", 168, totals, (comparison,)
            ),
        ),
        verdict=Verdict(outcome, None, WORD, ()),  # type: ignore[arg-type]  # the parameter of the test is a plain text
        plan=PlanReport(0.05, 0.8, 0.2, 1000, 14, 3.0, 84, 0, covariates=False),
    )


def test_attention__unhealthy_comes_first_then_decisions_then_pauses() -> None:
    cards = []
    for name, status, outcome, healthy in (
        ("Rests", "paused", "continue", True),
        ("Done", "running", "ship", True),
        ("Broken", "running", "ship", False),
        ("Young", "running", "continue", True),
    ):
        campaign = make_campaign(status=status, name=name)
        report = make_report(key=campaign.experiment_key, outcome=outcome, healthy=healthy)
        cards.append(CampaignCard(campaign, report, experiment_status="running"))
    found = attention(cards)
    assert [item.level for item in found] == ["bad", "warning", "good"]
    assert [name in item.text for name, item in zip(("Broken", "Rests", "Done"), found, strict=True)] == [True] * 3
    assert found[0].url == f"/experiments/{cards[2].campaign.experiment_key}/"


def test_attention__decided_already__no_longer_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = make_campaign()
    report = make_report(key=campaign.experiment_key, outcome="ship")
    monkeypatch.setattr(dashboard, "get_reports", lambda *, experiment_keys: dict.fromkeys(experiment_keys, report))
    assert [item.icon for item in attention([card_of(campaign)])] == ["check"]
    decision.decide(
        experiment_key=campaign.experiment_key, outcome="ship", arm_key="personal", reason="It won.", at=NOW
    )
    clear_config_cache()
    assert attention([card_of(campaign)]) == []
    assert card_of(campaign).shipped_arm == "personal"


def test_attention__experiment_paused_beside_the_campaign__is_said() -> None:
    campaign = make_campaign()
    lifecycle.pause(experiment_key=campaign.experiment_key, at=NOW)
    clear_config_cache()
    card = card_of(campaign)
    assert card.is_halted
    (found,) = attention([card])
    assert "its experiment does not" in found.text
    assert found.url == f"/experiments/{campaign.experiment_key}/"


@pytest.mark.parametrize(
    ("outcome", "healthy", "certain"), [("ship", True, True), ("ship", False, False), ("continue", True, False)]
)
def test_is_certain__verdict_and_health__both_must_say_so(outcome: str, healthy: bool, certain: bool) -> None:
    card = CampaignCard(Campaign(), make_report(key="x", outcome=outcome, healthy=healthy))
    assert card.is_certain is certain
    assert not CampaignCard(Campaign(), None).is_certain


def test_cards__with_and_without_report__find_the_first_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign, draft = make_campaign(), make_campaign(status="draft")
    report = make_report(key=campaign.experiment_key)
    monkeypatch.setattr(dashboard, "get_reports", lambda *, experiment_keys: dict.fromkeys(experiment_keys, report))
    with_report, without = cards_of([campaign, draft])
    assert with_report.comparison is report.metrics[0].comparisons[0]
    assert (without.report, without.comparison) == (None, None)


def test_cards__verdict_about_the_second_arm__show_that_one_by_name() -> None:
    report = make_report(key="x", outcome="ship")
    metric = report.metrics[0]
    second = replace(metric.comparisons[0], arm="gift")
    both = replace(metric, comparisons=(*metric.comparisons, second))
    card = CampaignCard(Campaign(), replace(report, metrics=(both,), verdict=replace(report.verdict, arm="gift")))
    assert card.comparison is second
    rows = [FunnelRow(key, key.title(), key == "control", 9, None, None) for key in ("control", "personal", "gift")]
    assert shown_arm(card=card, rows=rows) == "Gift"
    assert shown_arm(card=card, rows=rows[:2]) == ""
    assert shown_arm(card=CampaignCard(Campaign(), None), rows=rows) == ""


def test_running_cards__only_running_and_paused__are_shown() -> None:
    for status in ("draft", "running", "paused", "finished"):
        make_campaign(status=status)
    assert {card.campaign.status for card in running_cards()} == {"running", "paused"}


def test_status_counts__every_state__has_a_number() -> None:
    make_campaign(status="draft")
    make_campaign(status="draft")
    counts = status_counts()
    assert counts["draft"] == 2
    assert counts["running"] == 0
    assert len(counts) == 7


def test_funnel__before_the_first_refresh__counts_exposures_live() -> None:
    campaign = make_campaign()
    shown = serve(slug=campaign.slug, visitor=make_visitor()[1], at=NOW)
    rows = funnel(campaign=campaign, report=None)
    assert {row.key: row.exposed for row in rows}[shown.arm.key] == 1
    assert all(row.clicked is None and row.ordered is None for row in rows)


def test_funnel__with_report__adds_stages_with_their_shares() -> None:
    campaign = make_campaign()
    control, personal = funnel(campaign=campaign, report=make_report(key=campaign.experiment_key))
    assert control.is_control
    assert control.ordered == Stage(people=4, of=40)
    assert personal.ordered is not None
    assert personal.ordered.share == pytest.approx(9 / 44)
    assert personal.clicked is None
    assert Stage(people=0, of=0).share is None


def test_funnel__draft__has_nobody() -> None:
    campaign = make_campaign(status="draft")
    assert [row.exposed for row in funnel(campaign=Campaign.objects.get(pk=campaign.pk), report=None)] == [0, 0]
