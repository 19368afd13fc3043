"""From the frozen audience to the provider: what arrives, what is withheld, what is held back, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from pytest_django.fixtures import Settings

from experiments.models import Experiment, Exposure
from experiments.selectors import get_report
from experiments.services.refresh import refresh_experiment
from marketing.choices import CampaignStatus, DeliveryStatus, Purpose, SuppressionReason
from marketing.models import Campaign, ChannelState, Delivery, FrequencyCap, Suppression
from marketing.services import lifecycle
from marketing.services.sending import audience, dispatch, outbox
from marketing.services.sending.suppression import address_hash, suppress, suppressed
from tests.factories.campaigns import STARTED
from tests.factories.marketing import NOW, give_consent
from tests.factories.sending import LETTER, make_mailing, make_recipient
from tests.marketing.sending.conftest import Mailbox

pytestmark = pytest.mark.django_db


BOTH = (replace(LETTER, key="control", name="Usual letter", headline="New", is_control=True), LETTER)
"""Two arms that both get a message."""


def run(*, at: object = NOW) -> dispatch.Sent:
    return dispatch.send_due(clock=lambda: at, seconds=30)  # type: ignore[arg-type,return-value]  # a clock that stands


def statuses(campaign: Campaign) -> Counter[str]:
    return Counter(campaign.deliveries.values_list("status", flat=True))


def test_send_due__two_arms__treated_get_a_mail_and_all_are_exposed(mailbox: Mailbox) -> None:
    people = {str(profile.email): profile for profile in (make_recipient(country="DE") for _ in range(40))}
    campaign = make_mailing()

    sent = run()

    campaign.refresh_from_db()
    assert (sent.frozen, campaign.audience_n) == (40, 40)
    assert len(campaign.audience_hash) == 64
    arms = dict(campaign.deliveries.values_list("profile__email", "arm_key"))
    treated = {email for email, arm in arms.items() if arm == "letter"}
    assert set(mailbox.by_recipient()) == treated
    assert statuses(campaign) == {"sent": len(treated), "withheld": 40 - len(treated)}
    exposed = dict(Exposure.objects.values_list("unit_id", "arm__key"))
    assert exposed == {str(people[email].pk): arm for email, arm in arms.items()}
    assert run().outcomes == {}


def test_send_due__message__is_what_a_mailbox_provider_asks_for(mailbox: Mailbox) -> None:
    make_recipient(email="ada@example.org", country="DE", language="de")
    make_mailing(arms=BOTH)

    run()

    (mail,) = mailbox.taken
    assert mail["Subject"] == "Hello DE"
    assert mail["From"] == "The Shop <news@shop.example>"
    assert mail["Message-ID"].endswith("@shop.example>")
    assert mail["Date"]
    assert mail["List-Unsubscribe"].strip().startswith("<https://shop.example/unsubscribe/")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Id"].endswith(".shop.example>")
    text = mail.get_body(("plain",))
    rich = mail.get_body(("html",))
    assert text is not None
    assert rich is not None
    for part in (text.get_content(), rich.get_content()):
        assert "Dear" in part
        assert "1 High Street" in part
        assert "https://shop.example/unsubscribe/" in part
        assert "Thing" in part
        assert "script" not in part
        assert "ada@example.org" not in part


def test_send_due__hidden_reasons__are_found_at_the_last_moment(mailbox: Mailbox) -> None:
    leaver, bouncer, capped, stays = (make_recipient() for _ in range(4))
    campaign = make_mailing(arms=BOTH)
    audience.freeze(campaign_id=campaign.pk, at=STARTED)
    give_consent(leaver, Purpose.MARKETING_EMAIL, granted=False, at=STARTED + timedelta(hours=1))
    suppress(address=bouncer.email, reason=SuppressionReason.COMPLAINT, at=STARTED)
    FrequencyCap.objects.create(messages=1, days=7)
    other = make_mailing(status="draft")
    Delivery.objects.create(
        campaign=other, profile=capped, arm_key="control", status="withheld", status_at=NOW, send_at=NOW
    )

    run()

    assert [str(mail["To"]) for mail in mailbox.taken] == [stays.email]
    reasons = dict(campaign.deliveries.values_list("profile_id", "reason"))
    assert reasons == {leaver.pk: "no_consent", bouncer.pk: "suppressed", capped.pk: "capped", stays.pk: ""}
    assert set(Exposure.objects.values_list("unit_id", flat=True)) == {str(stays.pk)}


@pytest.mark.parametrize(("channel", "sent_n"), [("email", 0), ("page", 1), ("", 0)])
def test_send_due__cap_of_a_channel__counts_that_channel_only(mailbox: Mailbox, channel: str, sent_n: int) -> None:
    person = make_recipient()
    make_mailing(arms=BOTH)
    FrequencyCap.objects.create(messages=1, days=7, channel=channel)
    other = make_mailing(status="draft")
    Delivery.objects.create(
        campaign=other, profile=person, arm_key="control", status="withheld", status_at=NOW, send_at=NOW
    )
    run()
    assert len(mailbox.taken) == sent_n


def test_send_due__refusals__are_told_apart(mailbox: Mailbox) -> None:
    gone, full = make_recipient(email="gone@example.org"), make_recipient(email="full@example.org")
    mailbox.refusals = {"gone@example.org": "550 no such user", "full@example.org": "452 mailbox full"}
    campaign = make_mailing(arms=BOTH)

    run()

    rows = {row.profile_id: row for row in campaign.deliveries.all()}
    assert (rows[gone.pk].status, rows[gone.pk].reason) == ("failed", "550 no such user")
    assert suppressed(addresses={"gone@example.org", "full@example.org"}) == {"gone@example.org"}
    assert (rows[full.pk].status, rows[full.pk].attempts) == ("pending", 1)
    assert rows[full.pk].send_at == NOW + timedelta(minutes=1)
    assert Exposure.objects.count() == 2
    mailbox.refusals = {}
    run(at=NOW + timedelta(minutes=2))
    assert [str(mail["To"]) for mail in mailbox.taken] == ["full@example.org"]


def test_send_due__provider_is_down__waits_and_loses_nothing(mailbox: Mailbox, settings: Settings) -> None:
    for _ in range(10):
        make_recipient()
    campaign = make_mailing(arms=BOTH)
    working, settings.EMAIL_PORT = settings.EMAIL_PORT, 1

    run()

    state = ChannelState.objects.get(channel="email")
    assert state.open_until is not None
    assert state.last_error
    assert statuses(campaign) == {"pending": 10}
    settings.EMAIL_PORT = working
    assert run().outcomes == {}
    run(at=NOW + timedelta(hours=1))
    assert len(mailbox.taken) == 10
    state.refresh_from_db()
    assert state.failures == 0
    assert state.open_until is None


@pytest.mark.parametrize(("policy", "status"), [("hold", "uncertain"), ("resend", "pending")])
def test_send_due__server_hangs_up_in_the_middle__policy_decides(mailbox: Mailbox, policy: str, status: str) -> None:
    make_recipient()
    campaign = make_mailing(arms=BOTH, crash_policy=policy)
    mailbox.hangs_up = True
    assert run().outcomes["unknown"] == 1
    row = campaign.deliveries.get()
    assert (row.status, row.attempts) == (status, 1)
    assert row.reason


def test_send_due__outside_the_hours__waits_for_them(mailbox: Mailbox) -> None:
    night = NOW.replace(hour=3)
    tokyo, berlin = make_recipient(timezone="Asia/Tokyo"), make_recipient(timezone="Europe/Berlin")
    campaign = make_mailing(arms=BOTH, window_from=9, window_until=18)

    run(at=night)

    assert [str(mail["To"]) for mail in mailbox.taken] == [tokyo.email]
    waiting = campaign.deliveries.get(profile=berlin)
    assert waiting.status == DeliveryStatus.PENDING
    assert waiting.send_at == night.replace(hour=8)


def test_send_due__paused_and_ended__stop_within_the_batch(mailbox: Mailbox) -> None:
    for _ in range(5):
        make_recipient()
    campaign = make_mailing()
    audience.freeze(campaign_id=campaign.pk, at=STARTED)
    lifecycle.pause(campaign_id=campaign.pk, at=NOW)
    run()
    assert statuses(campaign) == {"pending": 5}
    lifecycle.emergency_stop(campaign_id=campaign.pk, at=NOW)
    assert statuses(campaign) == {"skipped": 5}
    assert mailbox.taken == []
    assert Campaign.objects.get(pk=campaign.pk).status == CampaignStatus.FINISHED


def test_freeze__twice__is_won_once() -> None:
    make_recipient()
    make_recipient(email="stopped@example.org")
    suppress(address="STOPPED@example.org ", reason=SuppressionReason.MANUAL, at=STARTED)
    campaign = make_mailing()
    assert audience.freeze(campaign_id=campaign.pk, at=NOW) == 1
    assert audience.freeze(campaign_id=campaign.pk, at=NOW) is None
    assert Suppression.objects.get().address_hash == address_hash("stopped@example.org")


def test_freeze__so_many_a_minute__spreads_them() -> None:
    for _ in range(6):
        make_recipient()
    campaign = make_mailing(per_minute=2)
    audience.freeze(campaign_id=campaign.pk, at=NOW)
    moments = sorted(campaign.deliveries.values_list("send_at", flat=True))
    assert [(moment - NOW).total_seconds() for moment in moments] == [0, 30, 60, 90, 120, 150]


@pytest.mark.parametrize(("policy", "after"), [("hold", "uncertain"), ("resend", "pending")])
def test_sweep__worker_died__frees_what_it_held(policy: str, after: str) -> None:
    for _ in range(3):
        make_recipient()
    campaign = make_mailing(crash_policy=policy)
    audience.freeze(campaign_id=campaign.pk, at=NOW)
    claim, rows = outbox.claim(limit=2, at=NOW)
    assert len(rows) == 2
    assert outbox.begin(ids=[rows[0].pk], claim=claim, at=NOW) == [rows[0].pk]
    assert outbox.sweep(at=NOW + outbox.LEASE / 2) == 0

    assert outbox.sweep(at=NOW + outbox.LEASE) == 2

    assert dict(campaign.deliveries.values_list("pk", "status"))[rows[0].pk] == after
    assert dict(campaign.deliveries.values_list("pk", "status"))[rows[1].pk] == "pending"
    assert outbox.settle(ids=[rows[0].pk], claim=claim, status=DeliveryStatus.SENT, at=NOW) == 0
    if policy == "hold":
        (held,) = outbox.uncertain(campaign_id=campaign.pk)
        assert outbox.resolve(campaign_id=campaign.pk, ids=[held.pk], was_sent=False, at=NOW) == 1
        assert campaign.deliveries.get(pk=held.pk).status == "pending"


def test_claim__campaign_that_is_paused__leaves_the_queue_to_the_others() -> None:
    make_recipient()
    resting, running = make_mailing(arms=BOTH), make_mailing(arms=BOTH)
    audience.freeze(campaign_id=resting.pk, at=NOW - timedelta(hours=1))
    audience.freeze(campaign_id=running.pk, at=NOW)
    lifecycle.pause(campaign_id=resting.pk, at=NOW)

    _token, rows = outbox.claim(limit=10, at=NOW)

    assert [row.campaign_id for row in rows] == [running.pk]
    assert outbox.claim(limit=10, at=NOW)[1] == []
    lifecycle.resume(campaign_id=resting.pk, at=NOW)
    assert [row.campaign_id for row in outbox.claim(limit=10, at=NOW)[1]] == [resting.pk]


def test_send_due__one_in_twenty_is_refused__sample_ratio_stays_calm(mailbox: Mailbox) -> None:
    people = [make_recipient() for _ in range(200)]
    campaign = make_mailing()
    mailbox.refusals = {profile.email: "550 5.1.1 no such user" for profile in people[::20]}

    run(at=STARTED + timedelta(minutes=1))

    arms = Counter(campaign.deliveries.values_list("arm_key", flat=True))
    assert statuses(campaign)["failed"] > 0
    assert Counter(Exposure.objects.values_list("arm__key", flat=True)) == arms  # nobody fell out of an arm
    refresh_experiment(experiment_id=Experiment.objects.get(key=campaign.experiment_key).pk, at=NOW)
    report = get_report(experiment_key=campaign.experiment_key)
    assert report is not None
    assert report.primary is not None
    assert {arm.arm: arm.exposed_n for arm in report.primary.arms} == arms
    assert report.health.is_healthy
