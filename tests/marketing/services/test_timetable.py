from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import call_command

from experiments.selectors import get_status
from marketing import tasks
from marketing.models import Campaign, ChangeLog
from marketing.services import lifecycle
from marketing.services.timetable import advance
from tests.factories.campaigns import STARTED, make_campaign
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def make_scheduled(slug: str = "spring") -> Campaign:
    campaign = make_campaign(status="draft", slug=slug, starts_at=NOW, ends_at=NOW + HOUR)
    return lifecycle.schedule(campaign_id=campaign.pk, at=STARTED)


def test_advance__before_at_and_after__launches_and_finishes_once() -> None:
    campaign = make_scheduled()
    assert advance(at=NOW - HOUR).launched == []
    assert advance(at=NOW).launched == ["spring"]
    assert get_status(experiment_key="campaign-spring") == "running"
    assert advance(at=NOW).launched == []
    assert advance(at=NOW + HOUR).finished == ["spring"]
    assert advance(at=NOW + HOUR).finished == []
    campaign.refresh_from_db()
    assert campaign.status == "finished"
    log = ChangeLog.objects.filter(object_type="campaign", object_id=str(campaign.pk)).order_by("pk")
    assert [row.transition for row in log] == ["create", "schedule", "launch", "finish"]
    assert log[2].message == "by the timetable"


def test_advance__paused__is_finished_too() -> None:
    campaign = make_scheduled()
    advance(at=NOW)
    lifecycle.pause(campaign_id=campaign.pk, at=NOW)
    assert advance(at=NOW + HOUR).finished == ["spring"]


def test_advance__no_longer_possible__is_told_and_holds_up_nobody() -> None:
    broken = make_scheduled("broken")
    make_scheduled("sound")
    broken.arms.filter(key="personal").update(percent=10)
    result = advance(at=NOW)
    assert result.launched == ["sound"]
    assert "60 %" in result.blocked["broken"]
    broken.refresh_from_db()
    assert broken.status == "scheduled"


def test_advance__campaign_without_dates__is_left_alone() -> None:
    campaign = make_campaign()
    result = advance(at=NOW + timedelta(days=4000))
    assert (result.launched, result.finished, result.blocked) == ([], [], {})
    campaign.refresh_from_db()
    assert campaign.status == "running"


def test_advance_campaigns__task_and_command__call_the_service() -> None:
    make_scheduled("first")
    with time_machine.travel(NOW, tick=False):
        tasks.advance_campaigns()
    make_scheduled("second")
    broken = make_scheduled("broken")
    broken.arms.filter(key="personal").update(percent=10)
    out, err = StringIO(), StringIO()
    with time_machine.travel(NOW + HOUR / 2, tick=False):
        call_command("advance_campaigns", stdout=out, stderr=err)
    assert out.getvalue() == "second: launched\n"
    assert err.getvalue().startswith("broken: ")
    out = StringIO()
    with time_machine.travel(NOW + HOUR, tick=False):
        call_command("advance_campaigns", stdout=out, stderr=StringIO())
    assert out.getvalue() == "first: finished\nsecond: finished\n"
