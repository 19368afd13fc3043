from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from experiments.selectors import get_status
from experiments.services import lifecycle as experiments
from marketing.errors import CannotTransition, UnknownCampaign
from marketing.models import Campaign, ChangeLog
from marketing.services import lifecycle
from tests.factories.campaigns import CONTROL, PERSONAL, STARTED, let_one_person_launch, make_campaign
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db


def test_launch__complete_draft__starts_the_experiment_and_freezes_the_plan() -> None:
    campaign = make_campaign(status="draft", slug="spring", guardrail_metrics=("revenue",))
    launched = lifecycle.launch(campaign_id=campaign.pk, at=STARTED, message="go")
    assert (launched.status, launched.experiment_key) == ("running", "campaign-spring")
    assert launched.launched_at == STARTED
    assert get_status(experiment_key="campaign-spring") == "running"
    log = ChangeLog.objects.filter(object_id=str(campaign.pk), object_type="campaign").order_by("pk")
    assert [row.transition for row in log] == ["create", "launch"]
    assert log[1].message == "go"
    assert log[1].snapshot["status"] == "running"


def test_launch__incomplete_draft__gives_the_reasons_and_makes_no_experiment() -> None:
    campaign = make_campaign(status="draft", arms=(CONTROL, replace(PERSONAL, headline="", percent=20)))
    with pytest.raises(CannotTransition) as caught:
        lifecycle.launch(campaign_id=campaign.pk, at=STARTED)
    assert len(caught.value.reasons) == 2
    campaign.refresh_from_db()
    assert (campaign.status, campaign.experiment_key) == ("draft", "")
    assert get_status(experiment_key=f"campaign-{campaign.slug}") is None


def test_launch__twice__the_second_is_refused() -> None:
    campaign = make_campaign()
    with pytest.raises(CannotTransition, match="running"):
        lifecycle.launch(campaign_id=campaign.pk, at=NOW)


def test_launch__key_of_an_experiment_that_exists__gives_the_experiments_reason() -> None:
    first = make_campaign(status="draft", slug="spring")
    lifecycle.launch(campaign_id=first.pk, at=STARTED)
    Campaign.objects.filter(pk=first.pk).update(slug="older")
    second = make_campaign(status="draft", slug="spring")
    with pytest.raises(CannotTransition):
        lifecycle.launch(campaign_id=second.pk, at=STARTED)
    second.refresh_from_db()
    assert second.status == "draft"


@pytest.mark.parametrize(
    ("status", "name", "target", "experiment"),
    [
        ("running", "pause", "paused", "paused"),
        ("paused", "resume", "running", "running"),
        ("running", "finish", "finished", "stopped"),
        ("paused", "finish", "finished", "stopped"),
        ("running", "emergency_stop", "finished", "stopped"),
        ("finished", "archive", "archived", "stopped"),
    ],
)
def test_transition__legal__moves_campaign_and_experiment(status: str, name: str, target: str, experiment: str) -> None:
    campaign = make_campaign(status=status)
    moved = lifecycle.ACTIONS[name](campaign_id=campaign.pk, at=NOW)
    assert moved.status == target
    assert get_status(experiment_key=campaign.experiment_key) == experiment


def test_transition__every_other_state__is_refused() -> None:
    for status in ("draft", "in_review", "running", "paused", "finished", "archived"):
        campaign = make_campaign(status=status)
        for name, rule in lifecycle.TRANSITIONS.items():
            if status not in rule.sources:
                with pytest.raises(CannotTransition):
                    lifecycle.ACTIONS[name](campaign_id=campaign.pk, at=NOW)
        campaign.refresh_from_db()
        assert campaign.status == status


def test_finish__experiment_ended_by_an_analyst__only_ends_the_campaign() -> None:
    campaign = make_campaign()
    experiments.stop(experiment_key=campaign.experiment_key, at=NOW)
    assert lifecycle.finish(campaign_id=campaign.pk, at=NOW).status == "finished"


def test_pause__experiment_paused_by_an_analyst__only_pauses_the_campaign_and_resumes_both() -> None:
    campaign = make_campaign()
    experiments.pause(experiment_key=campaign.experiment_key, at=NOW)
    assert lifecycle.pause(campaign_id=campaign.pk, at=NOW).status == "paused"
    assert lifecycle.resume(campaign_id=campaign.pk, at=NOW).status == "running"
    assert get_status(experiment_key=campaign.experiment_key) == "running"


def test_transition__somebody_was_faster__the_loser_is_told_and_nothing_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    campaign = make_campaign()
    pause = experiments.pause

    def finish_meanwhile(**arguments: Any) -> None:
        pause(**arguments)
        Campaign.objects.filter(pk=campaign.pk).update(status="finished")

    monkeypatch.setattr(experiments, "pause", finish_meanwhile)
    with pytest.raises(CannotTransition):
        lifecycle.pause(campaign_id=campaign.pk, at=NOW)
    assert get_status(experiment_key=campaign.experiment_key) == "running"
    assert not ChangeLog.objects.filter(object_type="campaign", transition="pause").exists()


def test_transition__unknown_campaign__says_so() -> None:
    with pytest.raises(UnknownCampaign):
        lifecycle.archive(campaign_id=4711, at=NOW)


def test_available__running__offers_what_leads_on() -> None:
    names = [rule.name for rule in lifecycle.available(campaign=make_campaign())]
    assert names == ["pause", "finish", "emergency_stop"]


def test_campaign__running_without_experiment__is_refused_by_the_database() -> None:
    campaign = make_campaign(status="draft")
    with pytest.raises(IntegrityError), transaction.atomic():
        Campaign.objects.filter(pk=campaign.pk).update(status="running")


def test_available__draft__offers_the_schedule_only_with_a_start() -> None:
    without = make_campaign(status="draft")
    later = make_campaign(status="draft", starts_at=NOW)
    assert [rule.name for rule in lifecycle.available(campaign=without)] == ["submit", "archive"]
    let_one_person_launch()
    assert [rule.name for rule in lifecycle.available(campaign=without)] == ["launch", "archive"]
    assert [rule.name for rule in lifecycle.available(campaign=later)] == ["schedule", "launch", "archive"]


def test_schedule__start_in_the_future__waits_and_can_be_taken_back() -> None:
    campaign = make_campaign(status="draft", starts_at=NOW)
    assert lifecycle.schedule(campaign_id=campaign.pk, at=STARTED).status == "scheduled"
    assert get_status(experiment_key=f"campaign-{campaign.slug}") is None
    assert lifecycle.unschedule(campaign_id=campaign.pk, at=STARTED).status == "draft"


@pytest.mark.parametrize(
    ("dates", "words"),
    [({}, "no start"), ({"starts_at": STARTED}, "no start"), ({"starts_at": NOW, "people_per_day": 1}, "180 days")],
)
def test_schedule__no_start_or_gaps__is_refused(dates: dict[str, Any], words: str) -> None:
    campaign = make_campaign(status="draft", **dates)
    with pytest.raises(CannotTransition, match=words):
        lifecycle.schedule(campaign_id=campaign.pk, at=STARTED)


def test_launch__end_has_passed__is_refused() -> None:
    campaign = make_campaign(status="draft", ends_at=STARTED)
    with pytest.raises(CannotTransition, match="end has passed"):
        lifecycle.launch(campaign_id=campaign.pk, at=STARTED)
