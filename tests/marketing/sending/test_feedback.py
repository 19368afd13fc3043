"""Bounces and complaints: each stops the address at once, whatever way it came, and nobody can make one up."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from marketing import tasks
from marketing.choices import DeliveryStatus, FeedbackKind, IdentityKind, Purpose, SuppressionReason
from marketing.models import Delivery, Event, Identity, MailFeedback, Profile, Suppression
from marketing.selectors.consent import has_consent
from marketing.services.privacy import erase_profile
from marketing.services.sending import audience, dispatch
from marketing.services.sending.feedback import MOST_SOFT, SOFT_WINDOW, Feedback, record_feedback
from marketing.services.sending.mailboxes import ReadMail, read_bounces
from marketing.services.sending.rendering import message_id
from marketing.services.sending.suppression import suppressed
from tests.factories.marketing import NOW
from tests.factories.sending import make_mailing, make_recipient
from tests.marketing.channels.reports import ABSENCE, complaint, dsn
from tests.marketing.sending.conftest import Mailbox
from tests.marketing.sending.test_dispatch import BOTH, run, statuses

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Profile:
    return make_recipient(email="ada@example.org")


@pytest.fixture
def delivery(ada: Profile) -> Delivery:
    """A message that went out to Ada."""
    audience.freeze(campaign_id=make_mailing(arms=BOTH).pk, at=NOW)
    Delivery.objects.update(status=DeliveryStatus.SENT)
    return Delivery.objects.get()


def id_of(delivery: Delivery) -> str:
    return message_id(delivery.pk, "shop.example")


def read(folder: Path, *mails: bytes) -> ReadMail:
    for number, mail in enumerate(mails):
        (folder / f"{number}.eml").write_bytes(mail)
    return read_bounces(place=str(folder), clock=lambda: NOW)


def is_stopped(address: str = "ada@example.org") -> bool:
    return suppressed(addresses={address}) == {address}


def events(name: str) -> list[dict[str, object]]:
    rows = Event.objects.filter(type__name=name).order_by("pk").values_list("props", flat=True)
    return [json.loads(props) if isinstance(props, str) else props for props in rows]


def test_compliance_12__hard_bounce__stops_the_address_after_one(tmp_path: Path, delivery: Delivery) -> None:
    found = read(tmp_path, dsn(message_id=id_of(delivery)), dsn(message_id=id_of(delivery)))
    assert (found.messages, found.reports, found.others) == (2, 1, 1)
    assert Suppression.objects.get().reason == SuppressionReason.BOUNCE
    (props,) = events("Email Bounced")
    assert (props["kind"], props["status"], props["arm"]) == ("hard", "5.1.1", delivery.arm_key)


def test_compliance_12__complaint__stops_the_address_and_takes_the_consent_back(
    tmp_path: Path, delivery: Delivery, ada: Profile
) -> None:
    assert read(tmp_path, complaint(message_id=id_of(delivery))).reports == 1
    assert Suppression.objects.get().reason == SuppressionReason.COMPLAINT
    assert not has_consent(profile_id=ada.pk, purpose=Purpose.MARKETING_EMAIL)
    assert len(events("Email Marked as Spam")) == 1


def test_compliance_12__soft_bounces__stop_the_address_after_the_third_in_the_window(ada: Profile) -> None:
    for number in range(MOST_SOFT):
        assert not is_stopped()
        feedback = Feedback(FeedbackKind.SOFT, None, "ada@example.org", "4.2.2", "provider", str(number))
        at = NOW + timedelta(days=number)
        assert record_feedback(feedback=feedback, at=at)
        assert not record_feedback(feedback=feedback, at=at)
    assert Suppression.objects.get().reason == SuppressionReason.SOFT_BOUNCES


def test_compliance_12__soft_bounces_far_apart__stop_nobody(ada: Profile) -> None:
    for number in range(MOST_SOFT + 1):
        feedback = Feedback(FeedbackKind.SOFT, None, "ada@example.org", "4.2.2", "provider", str(number))
        record_feedback(feedback=feedback, at=NOW + number * SOFT_WINDOW / (MOST_SOFT - 1))
    assert not is_stopped()


def test_compliance_12__suppression__survives_the_profile_as_a_keyed_hash_only(
    tmp_path: Path, delivery: Delivery, ada: Profile
) -> None:
    read(tmp_path, dsn(message_id=id_of(delivery)))
    erase_profile(profile_id=ada.pk, at=NOW)
    assert is_stopped()
    for row in (*Suppression.objects.values(), *MailFeedback.objects.values()):
        assert "ada@" not in str(row)
        assert len(row["address_hash"]) == 64
    assert read(tmp_path, complaint(message_id=id_of(delivery))).reports == 0  # the person is gone


def test_read_bounces__forged_id__stops_nobody(tmp_path: Path, delivery: Delivery) -> None:
    forged = f"<{delivery.pk}.{'0' * 24}@shop.example>"
    assert read(tmp_path, dsn(message_id=forged), complaint(message_id=forged)) == ReadMail(messages=2, others=2)
    assert not Suppression.objects.exists()


def test_read_bounces__report_that_names_somebody_else__stops_the_recipient_only(
    tmp_path: Path, delivery: Delivery
) -> None:
    make_recipient(email="eve@example.org")
    read(tmp_path, dsn(message_id=id_of(delivery), address="eve@example.org"))
    assert is_stopped()
    assert not is_stopped("eve@example.org")


def test_read_bounces__address_changed_since__stops_the_one_that_bounced(
    tmp_path: Path, delivery: Delivery, ada: Profile
) -> None:
    Profile.objects.filter(pk=ada.pk).update(email="new@example.org")
    assert Identity.objects.filter(profile=ada, kind=IdentityKind.EMAIL, value="ada@example.org").exists()
    read(tmp_path, dsn(message_id=id_of(delivery)))
    assert is_stopped()
    assert not is_stopped("new@example.org")


def test_read_bounces__blocked_message_and_absence_note__stop_nobody(tmp_path: Path, delivery: Delivery) -> None:
    found = read(
        tmp_path,
        dsn(message_id=id_of(delivery), status="5.7.1", words="550 5.7.1 listed"),
        ABSENCE.format(message_id=id_of(delivery)).encode(),
    )
    assert (found.reports, found.others) == (1, 1)
    assert not Suppression.objects.exists()
    assert [one["kind"] for one in events("Email Bounced")] == ["blocked"]


def test_read_bounces__report_about_an_uncertain_message__settles_it(tmp_path: Path, delivery: Delivery) -> None:
    Delivery.objects.update(status=DeliveryStatus.UNCERTAIN)
    read(tmp_path, dsn(message_id=id_of(delivery), action="delivered", status="2.0.0"))
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.SENT
    assert not MailFeedback.objects.exists()


def test_read_bounces__command_and_task__read_the_same_mailbox(
    tmp_path: Path, delivery: Delivery, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "1.eml").write_bytes(dsn(message_id=id_of(delivery)))
    call_command("read_bounces", str(tmp_path))
    assert "1 messages: 1 new reports, 0 others, 0 unreadable." in capsys.readouterr().out
    settings.BOUNCE_MAILBOX = ""
    with pytest.raises(CommandError, match="HOLDOUT_BOUNCE_MAILBOX"):
        call_command("read_bounces")
    tasks.read_bounces()
    settings.BOUNCE_MAILBOX = str(tmp_path)
    (tmp_path / "2.eml").write_bytes(complaint(message_id=id_of(delivery)))
    tasks.read_bounces()
    assert MailFeedback.objects.filter(kind=FeedbackKind.COMPLAINT).count() == 1
    settings.BOUNCE_MAILBOX = "pop3://box:secret@127.0.0.1:1"
    tasks.read_bounces()  # says so in the log and goes on
    with pytest.raises(CommandError, match=r"127\.0\.0\.1 cannot be read"):
        call_command("read_bounces")


def test_send_due__return_path__is_the_envelopes_sender_and_not_the_from_line(mailbox: Mailbox, ada: Profile) -> None:
    campaign = make_mailing(arms=BOTH)
    assert campaign.sender is not None
    campaign.sender.return_path = "bounces@shop.example"
    campaign.sender.save(update_fields=["return_path"])
    run()
    assert mailbox.envelopes == ["bounces@shop.example"]
    assert str(mailbox.taken[0]["From"]) == "The Shop <news@shop.example>"


def test_send_due__blocklisted__suppresses_nobody_and_says_so(mailbox: Mailbox, ada: Profile) -> None:
    mailbox.refusals = {ada.email: "550 5.7.1 your server is on a list"}
    campaign = make_mailing(arms=BOTH)
    dispatch.send_due(clock=lambda: NOW, seconds=30)
    assert statuses(campaign) == {"failed": 1}
    assert not Suppression.objects.exists()
    assert MailFeedback.objects.get().kind == FeedbackKind.BLOCKED
