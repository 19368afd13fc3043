"""A campaign without a control group: launched with a typed reason, and never said to have caused anything."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client

from experiments.models import Experiment
from experiments.selectors import get_report
from experiments.services.refresh import refresh_experiment
from marketing.errors import CannotTransition
from marketing.models import Campaign
from marketing.services import lifecycle
from marketing.services.experience import serve
from tests.factories.campaigns import CONTROL, PERSONAL, STARTED, make_campaign, make_user, make_visitor
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db
NOBODY = replace(CONTROL, percent=0)
ALL = replace(PERSONAL, percent=100)
REASON = "The recall of a product: everybody must know."


def test_launch__nobody_in_the_control_and_no_reason__is_refused() -> None:
    campaign = make_campaign(status="draft", arms=(NOBODY, ALL), no_control_reason=" ")
    with pytest.raises(CannotTransition, match="Nobody is in the control group"):
        lifecycle.launch(campaign_id=campaign.pk, at=STARTED)


def test_launch__reason_but_a_control__still_needs_enough_people() -> None:
    campaign = make_campaign(status="draft", no_control_reason=REASON, mde=0.001, people_per_day=1)
    with pytest.raises(CannotTransition, match="longer than"):
        lifecycle.launch(campaign_id=campaign.pk, at=STARTED)


def _refresh(campaign: Campaign) -> None:
    campaign.refresh_from_db()
    pk = Experiment.objects.get(key=campaign.experiment_key).pk
    refresh_experiment(experiment_id=pk, at=NOW + timedelta(days=9))


OTHER = replace(ALL, key="other", name="Other", headline="Also for you", percent=50)


@pytest.mark.parametrize("arms", [(NOBODY, ALL), (NOBODY, replace(ALL, percent=50), OTHER)])
def test_launch__reason_written_down__runs_and_everybody_is_treated(arms: tuple[object, ...]) -> None:
    campaign = make_campaign(status="draft", arms=arms, no_control_reason=REASON)
    campaign = lifecycle.launch(campaign_id=campaign.pk, at=STARTED)
    seen = {serve(slug=campaign.slug, visitor=make_visitor()[1], at=NOW).arm.key for _ in range(12)}
    assert "control" not in seen
    _refresh(campaign)
    report = get_report(experiment_key=campaign.experiment_key)
    assert report is not None
    assert report.health.srm.is_mismatch is False
    assert report.verdict.outcome == "undecided"
    assert report.verdict.headline.code == "no_control"
    assert all(one.incremental is None for metric in report.metrics for one in metric.comparisons)


def test_campaign_detail__without_control__gives_the_reason_instead_of_an_effect(client: Client) -> None:
    campaign = make_campaign(status="draft", arms=(NOBODY, ALL), no_control_reason=REASON)
    lifecycle.launch(campaign_id=campaign.pk, at=STARTED)
    serve(slug=campaign.slug, visitor=make_visitor()[1], at=NOW)
    _refresh(campaign)
    client.force_login(make_user())
    content = client.get(campaign.get_absolute_url()).content.decode()
    assert REASON in content
    assert "Caused by the campaign" not in content
