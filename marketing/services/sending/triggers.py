"""Campaigns that answer something people do: an event, or entering a segment; some time later, unless something else
happened since. The same for every arm: the control's message has its moment, too.

Numbers of rows say nothing about the order in which transactions end, so what was answered is remembered as a moment:
each look begins `LATE` before the last one ended, and who has a message already is left out. What is reported later
than that (an import of the past) triggers nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from itertools import islice
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from marketing.choices import Cadence, CampaignKind, CampaignStatus, MembershipCause
from marketing.models import Activity, Campaign, Delivery, Event, MembershipEvent
from marketing.segmentation.clock import DAY, HOUR, from_micros, to_micros
from marketing.services.sending import audience
from marketing.services.sending.timing import Window, spread

AT_ONCE: Final = 2_000  # people
LATE: Final = HOUR
"""How much later than it happened something may reach us and still trigger a message."""
CATCH_UP: Final = DAY
"""After a pause or an outage, what is due for longer than this is not answered any more."""
BY_THEMSELVES: Final = (MembershipCause.EVENT, MembershipCause.CLOCK, MembershipCause.CONSENT)
"""Whoever comes into a segment because its rule was edited has done nothing."""

Moment = tuple[int, int]
"""Who did it, and when, in microseconds since 1970."""


def triggered() -> QuerySet[Campaign]:
    """Return the running campaigns that wait for something to happen."""
    return Campaign.objects.filter(
        kind=CampaignKind.EMAIL, cadence=Cadence.TRIGGERED, status=CampaignStatus.RUNNING, launched_at__isnull=False
    ).order_by("pk")


def last_happened(*, event: str, profile_ids: Collection[int]) -> dict[int, int]:
    """Return when each of the people did something last, in microseconds; who never did is left out."""
    if not event:
        return {}
    rows = Activity.objects.filter(type__name=event, profile__in=profile_ids)
    return dict(rows.values_list("profile_id", "last_at"))


@transaction.atomic
def answer(*, campaign: Campaign, at: datetime) -> int:
    """Write a message for everybody who did what the campaign waits for, so long ago as it says; return their number.

    Two at once: the second waits for the first one's row of the campaign, and finds that the look was taken.
    """
    assert campaign.launched_at is not None  # `triggered` asks for it
    delay = campaign.delay_minutes * 60_000_000
    until = to_micros(at) - delay
    since = max(campaign.trigger_cursor, until - CATCH_UP) - LATE
    taken = Campaign.objects.filter(
        pk=campaign.pk, status=CampaignStatus.RUNNING, trigger_cursor=campaign.trigger_cursor
    ).update(trigger_cursor=max(until, campaign.trigger_cursor))
    if not taken:
        return 0
    moments = _moments(campaign, since=max(since, to_micros(campaign.launched_at)), until=until)
    people = 0
    while chunk := list(islice(moments, AT_ONCE)):
        people += _enroll(campaign, _first_of_each(campaign, chunk), at=at)
    if people:
        sofar = Campaign.objects.values_list("audience_n", flat=True).get(pk=campaign.pk) or 0
        Campaign.objects.filter(pk=campaign.pk).update(audience_n=sofar + people)
    return people


def _moments(campaign: Campaign, *, since: int, until: int) -> Iterator[Moment]:
    """Yield what happened in the time, the earliest first."""
    if campaign.trigger_event:
        events = Event.objects.filter(type__name=campaign.trigger_event, at__gte=since, at__lte=until)
        return events.order_by("at", "pk").values_list("profile_id", "at").iterator(AT_ONCE)
    assert campaign.trigger_segment_id is not None  # the database's constraint: it has the one or the other
    entries = MembershipEvent.objects.filter(
        segment_id=campaign.trigger_segment_id,
        change=1,
        at__gte=from_micros(since),
        at__lte=from_micros(until),
        cause__in=BY_THEMSELVES,
    )
    rows = entries.order_by("at", "pk").values_list("profile_id", "at").iterator(AT_ONCE)
    return ((profile_id, to_micros(moment)) for profile_id, moment in rows)


def _first_of_each(campaign: Campaign, moments: Collection[Moment]) -> dict[int, int]:
    """Return of each person the first moment that is to be answered: neither cancelled nor answered lately."""
    who = {profile_id for profile_id, _ in moments}
    cancelled = last_happened(event=campaign.cancel_event, profile_ids=who)
    again = None if campaign.again_days is None else campaign.again_days * DAY
    answered: dict[int, int] = {}
    had = Delivery.objects.filter(campaign=campaign, profile__in=who).order_by("triggered_at", "pk")
    for profile_id, moment in had.values_list("profile_id", "triggered_at"):
        answered[profile_id] = moment or 0
    found: dict[int, int] = {}
    for profile_id, moment in moments:
        is_soon = profile_id in answered and (again is None or moment - answered[profile_id] < again)
        if profile_id not in found and not is_soon and cancelled.get(profile_id, 0) <= moment:
            found[profile_id] = moment
    return found


def _enroll(campaign: Campaign, moments: dict[int, int], *, at: datetime) -> int:
    """Write the messages of those of the people whom the campaign may write to."""
    may = audience.audience(segment_id=campaign.segment_id, purposes=campaign.consent_purposes)
    people = list(may.filter(pk__in=moments).order_by("pk").values_list("pk", "email", "timezone"))
    rows = audience.placed(campaign=campaign, people=people, at=at)
    window = Window.of(campaign)
    due = spread(moments=[window.opens(at=at, zone=zone) for _, _, zone in rows], per_minute=campaign.per_minute)
    return audience.write(
        campaign=campaign,
        rows=[
            audience.Row(
                profile_id,
                arm,
                send_at,
                # Once per person is one row for ever; otherwise the moment tells the rows apart.
                occurrence="" if campaign.again_days is None else str(moments[profile_id]),
                triggered_at=moments[profile_id],
            )
            for (profile_id, arm, _), send_at in zip(rows, due, strict=True)
        ],
        at=at,
    )
