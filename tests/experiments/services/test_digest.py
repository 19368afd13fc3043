"""The weekly digest: only to addresses that confirmed, once a week, ended with one click."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest
import time_machine
from django.test import Client
from pytest_django.fixtures import Settings

from experiments.errors import InvalidDesign
from experiments.models import DigestSubscription
from experiments.services import digest
from experiments.services.alerts import raise_alerts
from tests.experiments.channels.receivers import mail_server
from tests.experiments.services.test_alerts import make_alarming_report
from tests.factories.experiments import STARTED, make_experiment

pytestmark = pytest.mark.django_db
# A Monday, after the hour of sending.
MONDAY = datetime(2026, 3, 23, 8, 0, tzinfo=UTC)
INVITED = MONDAY - timedelta(days=4)


def make_reader(**fields: object) -> DigestSubscription:
    reader = digest.invite(address="eva@example.com", at=INVITED)
    DigestSubscription.objects.filter(pk=reader.pk).update(
        **{"confirmed_at": INVITED, "invitation_sent_at": INVITED, **fields}
    )
    reader.refresh_from_db()
    return reader


def path_in(mail: EmailMessage, name: str) -> str:
    text = str(mail.get_content())
    return next(word for word in text.split() if f"/digest/{name}/" in word).split("8000", 1)[-1]


def test_invite__mail_opened_by_a_scanner__confirms_nothing_the_button_does(settings: Settings) -> None:
    digest.invite(address="eva@example.com", at=INVITED)
    with time_machine.travel(INVITED, tick=False), mail_server(settings) as mails:
        assert digest.send_digests(at=MONDAY) == 0  # nothing before the confirmation
        assert digest.send_invitations(at=INVITED) == 1
        assert digest.send_invitations(at=INVITED) == 0
        link = path_in(mails[0], "confirm")
        client = Client()
        assert b"Yes, send it" in client.get(link).content
        assert DigestSubscription.objects.get().confirmed_at is None
        assert b"Thank you" in client.post(link).content
    assert DigestSubscription.objects.get().confirmed_at == INVITED
    with pytest.raises(InvalidDesign, match="already"):
        digest.invite(address="Eva@example.com", at=MONDAY)


def test_invite__old_link__is_void() -> None:
    reader = digest.invite(address="eva@example.com", at=INVITED)
    with time_machine.travel(INVITED, tick=False):
        token = digest.token_of(reader, "confirm")
    with time_machine.travel(INVITED + timedelta(days=31), tick=False):
        assert Client().get(f"/experiments/-/digest/confirm/{token}/").status_code == 410
        assert not digest.confirm(token=token, at=MONDAY)


def test_invite__second_time__makes_the_first_links_void() -> None:
    first = digest.invite(address="eva@example.com", at=INVITED)
    token = digest.token_of(first, "confirm")
    digest.invite(address="eva@example.com", at=INVITED, language="xx")
    assert digest.subscription_of(token=token, purpose="confirm") is None
    assert DigestSubscription.objects.get().language == "en"


def test_invite__nonsense__is_refused() -> None:
    with pytest.raises(InvalidDesign, match="no e-mail address"):
        digest.invite(address="eva", at=INVITED)


def test_send__mail_server_down__invitation_and_digest_wait_for_the_next_run(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    digest.invite(address="new@example.com", at=INVITED)
    make_reader()
    assert digest.send_invitations(at=INVITED) == 0
    assert digest.send_digests(at=MONDAY) == 0
    with mail_server(settings) as mails:
        assert digest.send_invitations(at=INVITED) == 1
        assert digest.send_digests(at=MONDAY) == 1
    assert len(mails) == 2


def test_send__monday__tells_what_runs_was_decided_and_happened_once_a_week(settings: Settings) -> None:
    make_reader()
    running = make_experiment(status="running", name="Larger pictures")
    make_experiment(status="decided", name="Shorter form")
    raise_alerts(experiment=running, report=make_alarming_report(), at=MONDAY - timedelta(days=1))
    with mail_server(settings) as mails:
        assert digest.send_digests(at=MONDAY - timedelta(hours=2)) == 0  # too early in the morning
        assert digest.send_digests(at=MONDAY) == 1
        assert digest.send_digests(at=MONDAY + timedelta(days=3)) == 0
        assert digest.send_digests(at=MONDAY + timedelta(days=8)) == 1
    text = mails[0].get_content()
    assert "Larger pictures (Running, 20 days)" in text
    assert "Shorter form: Ship (Treatment). It won." in text
    assert "people are lost or added" in text
    assert mails[0]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_send__confirmed_during_the_week__waits_for_the_next_monday(settings: Settings) -> None:
    make_reader(confirmed_at=MONDAY + timedelta(days=1))
    with mail_server(settings):
        assert digest.send_digests(at=MONDAY + timedelta(days=2)) == 0
        assert digest.send_digests(at=MONDAY + timedelta(days=7)) == 1


def test_unsubscribe__one_click_of_a_mail_program__ends_it(settings: Settings) -> None:
    make_reader()
    with mail_server(settings) as mails:
        digest.send_digests(at=MONDAY)
        link = path_in(mails[0], "unsubscribe")
        client = Client(enforce_csrf_checks=True)
        assert b"Unsubscribe" in client.get(link).content
        assert DigestSubscription.objects.get().ended_at is None
        assert client.post(link, {"List-Unsubscribe": "One-Click"}).status_code == 200
        assert client.post(link).status_code == 200
        assert digest.send_digests(at=MONDAY + timedelta(days=7)) == 0
    reader = DigestSubscription.objects.get()
    assert reader.ended_at is not None
    assert not digest.confirm(token=digest.token_of(reader, "confirm"), at=STARTED)
    assert not digest.unsubscribe(token="forged", at=STARTED)
