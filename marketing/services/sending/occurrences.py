"""Campaigns that are sent again and again: when the next time is, and whose turn it is then.

The audience is chosen anew each time; everybody keeps the arm, which is a hash of the person, and the experiment knows
of the first message only. A time that was missed (nobody worked, a pause) is made up for until the next.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from marketing.choices import Cadence, CampaignKind, CampaignStatus
from marketing.models import Campaign, Occurrence
from marketing.services.sending import audience

ONE_DAY: Final = timedelta(days=1)


def recurring() -> QuerySet[Campaign]:
    """Return the running campaigns that are sent again and again."""
    return Campaign.objects.filter(
        kind=CampaignKind.EMAIL,
        cadence=Cadence.RECURRING,
        status=CampaignStatus.RUNNING,
        launched_at__isnull=False,
        every_days__gte=1,
    ).order_by("pk")


def turn(*, first: datetime, every_days: int, at: datetime) -> tuple[datetime, datetime]:
    """Return the last time from `first` on that has come by `at`, and the one after it.

    Days are those of the house's time zone: at the same time of day, whatever summer time does in between.
    """
    zone = ZoneInfo(settings.REPORTING_TIME_ZONE)
    start = first.astimezone(zone)
    number = max((at.astimezone(zone).date() - start.date()).days // every_days, 0)
    # Adding days to a local time keeps the hour.
    if start + number * every_days * ONE_DAY > at:
        number = max(number - 1, 0)
    return start + number * every_days * ONE_DAY, start + (number + 1) * every_days * ONE_DAY


@transaction.atomic
def hold(*, campaign: Campaign, at: datetime) -> int | None:
    """Freeze the audience of the time that has come; return its size, None where that was done already.

    The row of the occurrence and its messages are one transaction: whoever comes second waits for it and finds the row;
    a worker that dies in the middle leaves nothing. What could not go before the next time is not sent any more.
    """
    assert campaign.launched_at is not None  # `recurring` asks for both
    assert campaign.every_days is not None
    moment, after = turn(first=campaign.launched_at, every_days=campaign.every_days, at=at)
    occurrence, is_new = Occurrence.objects.get_or_create(
        campaign=campaign, key=moment.date().isoformat(), defaults={"at": at}
    )
    if not is_new:
        return None
    frozen = audience.fill(campaign=campaign, at=at, occurrence=occurrence.key, too_late=after)
    Occurrence.objects.filter(pk=occurrence.pk).update(people=frozen.people, audience_hash=frozen.digest)
    Campaign.objects.filter(pk=campaign.pk).update(audience_n=frozen.people, audience_hash=frozen.digest)
    return frozen.people
