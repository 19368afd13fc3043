"""Recurring and triggered campaigns: whose turn it is, once per occasion, in the arm that the person has."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from experiments.models import Exposure
from marketing.choices import MembershipCause
from marketing.models import Campaign, Delivery, MembershipEvent, Occurrence, Profile, Segment
from marketing.services import lifecycle
from marketing.services.sending import dispatch, occasions, triggers
from marketing.services.sending.occurrences import turn
from marketing.services.sending.triggers import answer
from marketing.services.tracking import store_event
from tests.factories.campaigns import STARTED, make_members
from tests.factories.marketing import NOW
from tests.factories.sending import make_mailing, make_recipient
from tests.marketing.sending.conftest import Mailbox

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def did(event: str, profile: Profile, *, at: datetime) -> None:
    store_event(event, profile_id=profile.pk, properties={}, at=at)


def weekly(**overrides: Any) -> Campaign:
    return make_mailing(cadence="recurring", every_days=7, **overrides)


def cart(**overrides: Any) -> Campaign:
    """An abandoned cart: an hour after something was put into it, unless something was bought."""
    fields = {"trigger_event": "Product Added", "delay_minutes": 60, "cancel_event": "Order Completed"}
    return make_mailing(cadence="triggered", **{**fields, **overrides})


@pytest.mark.parametrize(
    ("at", "last", "after"),
    [
        (datetime(2026, 10, 1, 8, tzinfo=UTC), (10, 1, 8), (10, 31, 9)),  # Berlin's clocks go back on the 25th
        (datetime(2026, 10, 31, 8, 59, tzinfo=UTC), (10, 1, 8), (10, 31, 9)),
        (datetime(2026, 10, 31, 9, tzinfo=UTC), (10, 31, 9), (11, 30, 9)),
        (datetime(2026, 9, 30, tzinfo=UTC), (10, 1, 8), (10, 31, 9)),
    ],
)
def test_turn__summer_time_ends__keeps_the_time_of_day(
    settings: Any, at: datetime, last: tuple[int, int, int], after: tuple[int, int, int]
) -> None:
    settings.REPORTING_TIME_ZONE = "Europe/Berlin"
    found = turn(first=datetime(2026, 10, 1, 8, tzinfo=UTC), every_days=30, at=at)
    assert found == (datetime(2026, *last, tzinfo=UTC), datetime(2026, *after, tzinfo=UTC))


def test_start_due__each_time__writes_to_whoever_is_there_then_and_keeps_the_arm(mailbox: Mailbox) -> None:
    early = [make_recipient() for _ in range(12)]
    campaign = weekly()
    assert dispatch.send_due(clock=lambda: STARTED, seconds=30).frozen == 0  # not sent as one that is sent once
    assert occasions.start_due(at=STARTED).again == {campaign.slug: 12}
    dispatch.send_due(clock=lambda: STARTED, seconds=30)
    late = make_recipient()
    assert occasions.start_due(at=STARTED + 6 * DAY).again == {}
    assert occasions.start_due(at=STARTED + 7 * DAY).again == {campaign.slug: 13}
    dispatch.send_due(clock=lambda: STARTED + 7 * DAY, seconds=30)

    rows = list(Delivery.objects.values_list("profile_id", "occurrence", "arm_key", "status"))
    assert len(rows) == 25
    assert {status for *_, status in rows} <= {"sent", "withheld"}
    arms: dict[int, set[str]] = {}
    for profile_id, _, arm, _ in rows:
        arms.setdefault(profile_id, set()).add(arm)
    assert set(arms) == {one.pk for one in (*early, late)}
    assert all(len(one) == 1 for one in arms.values())
    # The experiment knows of the first time only.
    assert Exposure.objects.count() == 13
    first, second = Occurrence.objects.order_by("key")
    assert (first.people, second.people) == (12, 13)
    assert first.audience_hash != second.audience_hash
    campaign.refresh_from_db()
    assert (campaign.audience_n, campaign.audience_hash) == (13, second.audience_hash)


def test_start_due__missed_times__are_made_up_for_once(mailbox: Mailbox) -> None:
    make_recipient()
    campaign = weekly()
    lifecycle.pause(campaign_id=campaign.pk, at=STARTED)
    assert occasions.start_due(at=STARTED + 20 * DAY).again == {}
    lifecycle.resume(campaign_id=campaign.pk, at=STARTED + 30 * DAY)
    assert occasions.start_due(at=STARTED + 30 * DAY).again == {campaign.slug: 1}
    assert occasions.start_due(at=STARTED + 30 * DAY).again == {}
    row = Delivery.objects.get()
    # Too late when the next time has come.
    assert row.expires_at == STARTED + 35 * DAY
    sent = dispatch.send_due(clock=lambda: STARTED + 35 * DAY, seconds=30)
    assert +Counter(sent.outcomes) == {"expired": 1}
    assert Exposure.objects.count() == 0


def test_start_due__cart__answers_once_unless_something_was_bought(mailbox: Mailbox) -> None:
    leaver, buyer, waiting, quiet = (make_recipient() for _ in range(4))
    campaign = cart()
    for one in (leaver, buyer):
        did("Product Added", one, at=NOW - 2 * HOUR)
    did("Product Added", leaver, at=NOW - timedelta(minutes=90))
    did("Order Completed", buyer, at=NOW - HOUR)
    did("Product Added", waiting, at=NOW - timedelta(minutes=59))
    did("Product Viewed", quiet, at=NOW - 2 * HOUR)

    # What the log says is read at most an hour and the delay back; the first look goes back a day.
    assert occasions.start_due(at=NOW).answered == {campaign.slug: 1}
    assert Delivery.objects.get().profile_id == leaver.pk
    assert occasions.start_due(at=NOW + timedelta(minutes=1)).answered == {campaign.slug: 1}
    did("Product Added", leaver, at=NOW)
    did("Product Added", buyer, at=NOW)  # starts afresh
    assert occasions.start_due(at=NOW + HOUR).answered == {campaign.slug: 1}
    assert set(Delivery.objects.values_list("profile_id", flat=True)) == {leaver.pk, waiting.pk, buyer.pk}
    campaign.refresh_from_db()
    assert campaign.audience_n == 3


def test_start_due__bought_in_the_night__is_cancelled_before_the_exposure(mailbox: Mailbox) -> None:
    person = make_recipient()
    cart(window_from=8, window_until=20)
    evening = NOW.replace(hour=21)
    did("Product Added", person, at=evening - HOUR)
    occasions.start_due(at=evening)
    assert Delivery.objects.get().send_at == NOW.replace(hour=8) + DAY
    did("Order Completed", person, at=evening)
    sent = dispatch.send_due(clock=lambda: NOW.replace(hour=9) + DAY, seconds=30)
    assert +Counter(sent.outcomes) == {"cancelled": 1}
    assert Exposure.objects.count() == 0


@pytest.mark.parametrize(("again_days", "rows"), [(None, 1), (2, 2), (1, 3)])
def test_start_due__again__after_so_many_days(mailbox: Mailbox, again_days: int | None, rows: int) -> None:
    person = make_recipient()
    cart(again_days=again_days, cancel_event="")
    for day in range(3):
        did("Product Added", person, at=NOW + day * DAY)
        occasions.start_due(at=NOW + day * DAY + HOUR)
        did("Product Added", person, at=NOW + day * DAY + HOUR)
        occasions.start_due(at=NOW + day * DAY + 2 * HOUR)
    assert Delivery.objects.count() == rows


def test_start_due__late_reports__count_for_an_hour(mailbox: Mailbox) -> None:
    late, older = make_recipient(), make_recipient()
    cart(delay_minutes=0)
    occasions.start_due(at=NOW)
    did("Product Added", late, at=NOW - timedelta(minutes=59))
    did("Product Added", older, at=NOW - timedelta(minutes=61))
    occasions.start_due(at=NOW)
    assert [row.profile_id for row in Delivery.objects.all()] == [late.pk]


def test_start_due__before_the_launch_or_long_ago__triggers_nothing(mailbox: Mailbox) -> None:
    person = make_recipient()
    cart(delay_minutes=0)
    did("Product Added", person, at=STARTED - HOUR)
    did("Product Added", person, at=NOW - 26 * HOUR)
    assert occasions.start_due(at=STARTED).answered == {}
    assert occasions.start_due(at=NOW).answered == {}


@pytest.mark.parametrize(
    ("cause", "n"), [(MembershipCause.EVENT, 1), (MembershipCause.CLOCK, 1), (MembershipCause.DEFINITION, 0)]
)
def test_start_due__entering_a_segment__is_something_a_person_does(
    mailbox: Mailbox, cause: MembershipCause, n: int
) -> None:
    person, leaver = make_recipient(), make_recipient()
    segment = Segment.objects.create(slug="lapsing", name="Lapsing", created_at=STARTED)
    cart(trigger_event="", trigger_segment_id=segment.pk, cancel_event="")
    for who, change in ((person, 1), (leaver, -1)):
        MembershipEvent.objects.create(segment=segment, profile=who, change=change, at=NOW - HOUR, cause=cause)
    occasions.start_due(at=NOW)
    assert [row.profile_id for row in Delivery.objects.all()] == [person.pk] * n


def test_start_due__whom_the_campaign_may_not_write_to__gets_no_row(mailbox: Mailbox) -> None:
    member, stranger = make_recipient(), make_recipient()
    cart(segment_id=make_members(member).pk)
    for one in (member, stranger):
        did("Product Added", one, at=NOW - HOUR)
    occasions.start_due(at=NOW)
    assert [row.profile_id for row in Delivery.objects.all()] == [member.pk]


def test_answer__somebody_took_the_look_already__does_nothing(mailbox: Mailbox) -> None:
    person = make_recipient()
    campaign = cart(delay_minutes=0)
    did("Product Added", person, at=NOW)
    stale = Campaign.objects.get(pk=campaign.pk)
    assert answer(campaign=campaign, at=NOW) == 1
    assert answer(campaign=stale, at=NOW + HOUR) == 0
    lifecycle.pause(campaign_id=campaign.pk, at=NOW)
    assert answer(campaign=Campaign.objects.get(pk=campaign.pk), at=NOW + HOUR) == 0


def test_send_due__expired_message__is_not_sent_in_any_arm(mailbox: Mailbox) -> None:
    for _ in range(6):
        make_recipient()
    campaign = make_mailing(expires_hours=2)
    assert dispatch.send_due(clock=lambda: NOW, seconds=0).frozen == 6
    assert set(campaign.deliveries.values_list("expires_at", flat=True)) == {NOW + 2 * HOUR}
    sent = dispatch.send_due(clock=lambda: NOW + 2 * HOUR, seconds=30)
    assert +Counter(sent.outcomes) == {"expired": 6}
    assert Exposure.objects.count() == 0


def test_start_sendings_command__tells_whom_it_gave_a_message(
    mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    person = make_recipient()
    often, answering = weekly(), cart(delay_minutes=0)
    Campaign.objects.update(launched_at=datetime(2026, 1, 1, tzinfo=UTC))
    did("Product Added", person, at=timezone.now())
    call_command("start_sendings")
    said = capsys.readouterr().out
    assert f"{often.slug}: sent again, to 1 people" in said
    assert f"{answering.slug}: 1 people set it off" in said


def test_start_due__one_campaign_raises__the_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, whole = cart(), cart()
    seen = []

    def answers(*, campaign: Campaign, at: datetime) -> int:
        seen.append(campaign.pk)
        if campaign.pk == broken.pk:
            raise ValueError("its segment is gone")
        return 3

    monkeypatch.setattr(triggers, "answer", answers)
    assert occasions.start_due(at=NOW).answered == {whole.slug: 3}
    assert seen == [broken.pk, whole.pk]
    assert f"the occasion of campaign {broken.slug} is not written" in caplog.text
