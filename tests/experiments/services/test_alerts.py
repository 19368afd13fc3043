"""Alerts: each event once, told to whom it concerns, by mail and by webhook, through real servers."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import standardwebhooks
from django.core.management import call_command
from django.utils import timezone
from pytest_django.fixtures import Settings

from experiments.choices import AlertKind, DeliveryStatus
from experiments.errors import InvalidDesign, UnknownExperiment
from experiments.models import Alert, AlertDelivery, Experiment, Recipient
from experiments.reports import ExperimentReport, Guardrail, Message, Verdict
from experiments.services import alert_delivery, refresh
from experiments.services.alert_delivery import LEASE, WAITS, send_due
from experiments.services.alerts import raise_alerts
from experiments.services.recipients import add_recipient, remove_recipient, signing_secret
from tests.experiments.channels.receivers import mail_server, webhook_receiver
from tests.experiments.reports import make_comparison, make_health, make_metric, make_report
from tests.experiments.world import FACTS, Shop, make_world
from tests.factories.experiments import STARTED, make_experiment

pytestmark = pytest.mark.django_db
AT = STARTED + timedelta(days=16)


def make_alarming_report() -> ExperimentReport:
    """Everything that is worth an alert at once."""
    harmed = Guardrail(
        "harmed", 0.02, Message("guardrail_harmed", {"arm": "B", "metric": "M", "lower": -0.2, "upper": -0.1})
    )
    mismatch = Message("srm_mismatch", {"p_value": 1e-9}, level="bad")
    health = make_health()
    return make_report(
        health=replace(health, is_healthy=False, srm=replace(health.srm, is_mismatch=True), messages=(mismatch,)),
        metrics=(make_metric(comparisons=(make_comparison(guardrail=harmed),)),),
        plan=replace(make_report().plan, planned_size=2_000),
        verdict=Verdict("stop", None, Message("stop_harm", {"metric": "Conversion"}, level="bad"), ()),
    )


def raise_once(experiment: Experiment | None = None) -> int:
    return raise_alerts(
        experiment=experiment or make_experiment(status="running"), report=make_alarming_report(), at=AT
    )


def test_raise__the_same_report_twice__writes_each_event_once() -> None:
    experiment = make_experiment(status="running")
    assert raise_once(experiment) == 4
    assert raise_once(experiment) == 0
    kinds = set(Alert.objects.values_list("kind", flat=True))
    assert kinds == {AlertKind.SRM, AlertKind.GUARDRAIL, AlertKind.SIZE, AlertKind.DECISION}
    assert raise_once() == 4  # another experiment's events are its own


def test_raise__nothing_remarkable_or_a_file__writes_nothing() -> None:
    experiment = make_experiment(status="running")
    assert raise_alerts(experiment=experiment, report=make_report(), at=AT) == 0
    assert raise_alerts(experiment=experiment, report=replace(make_alarming_report(), is_single_look=True), at=AT) == 0


def test_raise__recipients__hear_of_what_they_asked_for_and_once() -> None:
    experiment, other = make_experiment(status="running"), make_experiment(status="running")
    add_recipient(kind="email", address="all@example.com", at=AT)
    add_recipient(kind="email", address="all@example.com", at=AT, experiment_key=experiment.key)
    add_recipient(kind="email", address="srm@example.com", at=AT, kinds=["srm"])
    add_recipient(kind="email", address="other@example.com", at=AT, experiment_key=other.key)
    silent = add_recipient(kind="email", address="silent@example.com", at=AT)
    Recipient.objects.filter(pk=silent.pk).update(is_active=False)
    raise_once(experiment)
    told = AlertDelivery.objects.values_list("alert__kind", "recipient__address")
    assert sorted(told) == [
        ("decision", "all@example.com"),
        ("guardrail", "all@example.com"),
        ("size", "all@example.com"),
        ("srm", "all@example.com"),
        ("srm", "srm@example.com"),
    ]


def test_refresh__experiment_with_a_clear_effect__raises_its_alerts(settings: Settings) -> None:
    settings.EXPERIMENTS_FACTS = FACTS
    experiment = make_world(Shop({"control": 0.2, "treatment": 0.5}, units_n=800), planned_size=500)
    refresh.refresh_experiment(experiment_id=experiment.pk, at=AT)
    refresh.refresh_experiment(experiment_id=experiment.pk, at=AT + timedelta(hours=1))
    assert sorted(Alert.objects.values_list("kind", "subject")) == [("decision", "ship/treatment"), ("size", "")]


def test_failure__in_a_row__is_told_once_and_again_after_a_success(settings: Settings) -> None:
    settings.EXPERIMENTS_FACTS = FACTS
    experiment = make_world(Shop({"control": 0.2, "treatment": 0.2}, units_n=60))
    for hours in (0, 1, 2):
        refresh.record_failure(experiment_id=experiment.pk, at=AT + timedelta(hours=hours), error=OSError("disk full"))
    assert Alert.objects.filter(kind="refresh").count() == 1
    assert "disk full" in Alert.objects.get(kind="refresh").message["parameters"]["error"]
    refresh.refresh_experiment(experiment_id=experiment.pk, at=AT + timedelta(hours=3))
    refresh.record_failure(experiment_id=experiment.pk, at=AT + timedelta(hours=4), error=OSError("disk full"))
    assert Alert.objects.filter(kind="refresh").count() == 2


def test_send__mail_server_that_refuses_at_first__gets_each_alert_once(settings: Settings) -> None:
    add_recipient(kind="email", address="ana@example.com", at=AT)
    raise_once()
    with mail_server(settings, refusals=1) as mails:
        assert send_due(at=AT) == alert_delivery.Sending(sent_n=3, failed_n=1)
        assert send_due(at=AT) == alert_delivery.Sending(sent_n=0, failed_n=0)
        assert send_due(at=AT + WAITS[0]).sent_n == 1
        assert send_due(at=AT + timedelta(days=9)).sent_n == 0
    assert len({mail["Message-ID"] for mail in mails}) == 4
    assert {mail["To"] for mail in mails} == {"ana@example.com"}
    body = next(mail for mail in mails if "shares" in mail["Subject"]).get_content()
    assert "people are lost or added on the way" in body
    assert f"{settings.PUBLIC_URL}/experiments/experiment-" in body
    assert set(AlertDelivery.objects.values_list("status", flat=True)) == {DeliveryStatus.SENT}


def test_send__webhook__arrives_signed_and_a_repetition_keeps_its_name(settings: Settings) -> None:
    settings.ALERT_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]
    now = timezone.now()  # the receiver refuses a time stamp of long ago
    with webhook_receiver(500) as received:
        recipient = add_recipient(kind="webhook", address=received.url, at=AT, kinds=["srm"])
        raise_once()
        assert send_due(at=now) == alert_delivery.Sending(sent_n=0, failed_n=1)
        assert "answered 500" in AlertDelivery.objects.get().error
        assert send_due(at=now + WAITS[0]).sent_n == 1
    (first, _), (headers, body) = received.requests
    assert first["webhook-id"] == headers["webhook-id"]
    data = standardwebhooks.Webhook(signing_secret(recipient)).verify(body, headers)
    assert data == json.loads(body)
    assert (data["type"], data["data"]["code"]) == ("experiment.srm", "srm_mismatch")
    assert "people are lost" in data["data"]["text"]


def test_send__private_address_without_permission__is_given_up_in_the_end() -> None:
    add_recipient(kind="webhook", address="http://127.0.0.1:80/", at=AT, kinds=["srm"])
    raise_once()
    at = AT
    for wait in (*WAITS, timedelta(0)):
        assert send_due(at=at).failed_n == 1
        at += wait
    delivery = AlertDelivery.objects.get()
    assert (delivery.status, delivery.attempts_n) == (DeliveryStatus.FAILED, len(WAITS) + 1)
    assert "not public" in delivery.error
    assert send_due(at=at + timedelta(days=2)).failed_n == 0


def test_send__sender_that_was_killed__is_replaced_when_its_lease_ends(settings: Settings) -> None:
    add_recipient(kind="email", address="ana@example.com", at=AT, kinds=["srm"])
    raise_once()
    AlertDelivery.objects.update(status=DeliveryStatus.SENDING, due_at=AT + LEASE)
    with mail_server(settings) as mails:
        assert send_due(at=AT + timedelta(minutes=1)).sent_n == 0
        assert send_due(at=AT + LEASE).sent_n == 1
    assert len(mails) == 1


def test_send__row_claimed_by_another_sender__is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    add_recipient(kind="email", address="ana@example.com", at=AT, kinds=["srm"])
    raise_once()
    claim = AlertDelivery.objects.filter

    def taken(*args: Any, **kwargs: Any) -> Any:
        if "pk" in kwargs and kwargs.get("status") == DeliveryStatus.PENDING:
            claim(pk=kwargs["pk"]).update(status=DeliveryStatus.SENDING, due_at=AT + LEASE)
        return claim(*args, **kwargs)

    monkeypatch.setattr(AlertDelivery.objects, "filter", taken)
    assert send_due(at=AT) == alert_delivery.Sending(sent_n=0, failed_n=0)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"kind": "email", "address": "nobody"}, "no e-mail address"),
        ({"kind": "webhook", "address": "ftp://example.com"}, "cannot be called"),
        ({"kind": "email", "address": "a@example.com", "kinds": ["weather"]}, "weather"),
    ],
)
def test_add_recipient__nonsense__says_what_is_wrong(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidDesign, match=why):
        add_recipient(at=AT, **fields)


def test_add_recipient__twice__is_refused_and_removal_lets_it_in_again() -> None:
    recipient = add_recipient(kind="email", address="a@example.com", at=AT)
    with pytest.raises(InvalidDesign, match="already"):
        add_recipient(kind="email", address="a@example.com", at=AT)
    assert remove_recipient(recipient_id=recipient.pk)
    assert not remove_recipient(recipient_id=recipient.pk)
    add_recipient(kind="email", address="a@example.com", at=AT)
    with pytest.raises(UnknownExperiment):
        add_recipient(kind="email", address="b@example.com", at=AT, experiment_key="absent")


def test_command__sends_what_waits(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    add_recipient(kind="email", address="ana@example.com", at=AT, kinds=["srm"])
    raise_once()
    with mail_server(settings) as mails:
        call_command("send_alerts", "--digest")
    assert len(mails) == 1
    assert "alerts sent: 1, failed: 0; invitations sent: 0\ndigests sent: 0" in capsys.readouterr().out
