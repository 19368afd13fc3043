"""What a control that gets nothing cannot have is held against a ceiling: unsubscribes and complaints."""

from __future__ import annotations

from datetime import timedelta

import pytest

from experiments.models import Experiment
from experiments.selectors import get_report
from experiments.services.refresh import refresh_experiment
from marketing.models import Delivery
from marketing.services.sending.dispatch import send_due
from marketing.services.sending.replies import unsubscribe
from tests.factories.campaigns import STARTED
from tests.factories.marketing import NOW
from tests.factories.sending import make_mailing, make_recipient
from tests.marketing.sending.conftest import Mailbox

pytestmark = pytest.mark.django_db


def test_unsubscribes__of_the_treated_arm__are_judged_against_the_ceiling(mailbox: Mailbox) -> None:
    for _ in range(30):
        make_recipient()
    campaign = make_mailing(unsubscribe_ceiling=0.01, complaint_ceiling=0.001)
    send_due(clock=lambda: STARTED + timedelta(minutes=1), seconds=5)
    for delivery in Delivery.objects.filter(status="sent"):
        unsubscribe(delivery_id=delivery.pk, at=STARTED + timedelta(hours=1))
    refresh_experiment(experiment_id=Experiment.objects.get(key=campaign.experiment_key).pk, at=NOW)
    report = get_report(experiment_key=campaign.experiment_key)
    assert report is not None
    found = {metric.key: metric.comparisons[0].guardrail for metric in report.metrics if metric.role == "guardrail"}
    left, complained = found["unsubscribe_rate"], found["complaint_rate"]
    assert left is not None
    assert complained is not None
    assert (left.status, left.rate, left.ceiling) == ("harmed", 1.0, 0.01)
    assert (complained.status, complained.rate) == ("open", 0.0)
