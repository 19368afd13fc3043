"""How long each class of data is kept: every night the older is deleted, and counted again as a proof.

What an open experiment still needs of the events is held back, and the proof says so: it counts what is left, and the
page and `/healthz` show it until the experiment is decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q

from experiments.selectors import open_facts_since
from marketing.choices import DataClass, DeliveryStatus, IdentityKind, RequestStatus
from marketing.models import (
    ArchivedPart,
    DataRequest,
    DeadLetter,
    Delivery,
    Event,
    Identity,
    MembershipEvent,
    Profile,
    RetentionProof,
    RetentionRule,
)
from marketing.segmentation.clock import from_micros, to_micros
from marketing.selectors.archive import archive_folder
from marketing.services.privacy import EXPORTS, erase_profile
from marketing.services.summaries import rebuild_summaries
from recommender.services.privacy import count_older, forget_older

# Days. A limit stands where keeping on would need a reason; of events the operator knows the reason, so that they are
# kept until somebody says otherwise.
DEFAULTS: Final[dict[DataClass, int | None]] = {
    DataClass.EVENTS: None,
    DataClass.ANONYMOUS: 395,  # thirteen months, as the French authority recommends for identifiers of visitors
    DataClass.MEMBERSHIP_HISTORY: 730,
    DataClass.DELIVERIES: 730,
    DataClass.SLATES: 395,
    DataClass.DEAD_LETTERS: 90,
    DataClass.EXPORTS: 30,
}
CHUNK: Final = 2_000
PEOPLE: Final = 200
SETTLED: Final = (
    DeliveryStatus.SENT,
    DeliveryStatus.FAILED,
    DeliveryStatus.SKIPPED,
    DeliveryStatus.WITHHELD,
)
"""A message that is still under way is nobody's past."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What one pass found of one class."""

    data_class: DataClass
    days: int
    older_before_n: int
    deleted_n: int
    older_n: int
    """Left after the deletion; 0 is the proof."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How the older rows of a class are counted and deleted."""

    count: Callable[[datetime], int]
    delete: Callable[[datetime, datetime], int]
    """(limit, now) → how many."""


def ensure_rules() -> None:
    """Give every class its row; what was edited stays."""
    for data_class, days in DEFAULTS.items():
        RetentionRule.objects.get_or_create(data_class=data_class, defaults={"days": days})


def apply_retention(*, at: datetime, is_dry_run: bool = False) -> list[Kept]:
    """Delete what is older than its limit, in short transactions, and write the proof; dry, only count."""
    limits = dict(RetentionRule.objects.exclude(days=None).values_list("data_class", "days"))
    results = []
    for data_class, way in WAYS.items():
        days = limits.get(data_class.value)
        if days is None:
            continue
        limit = at - timedelta(days=days)
        before = way.count(limit)
        deleted = way.delete(limit, at) if before and not is_dry_run else 0
        left = before if is_dry_run else way.count(limit)
        results.append(Kept(data_class, days, before, deleted, left))
    if not is_dry_run:
        RetentionProof.objects.bulk_create(
            RetentionProof(
                data_class=one.data_class, at=at, days=one.days, deleted_n=one.deleted_n, older_n=one.older_n
            )
            for one in results
        )
    return results


def _rows(older: Callable[[datetime], models.QuerySet[Any]]) -> _Way:
    """A table whose older rows simply go."""

    def delete(limit: datetime, _at: datetime) -> int:
        deleted = 0
        while ids := list(older(limit).order_by("pk").values_list("pk", flat=True)[:CHUNK]):
            deleted += older(limit).model._default_manager.filter(pk__in=ids).delete()[0]
        return deleted

    return _Way(count=lambda limit: older(limit).count(), delete=delete)


def _events(limit: datetime) -> models.QuerySet[Event]:
    return Event.objects.filter(at__lt=to_micros(limit))


def _parts(limit: datetime) -> models.QuerySet[ArchivedPart]:
    """A file goes when the whole of its day is older."""
    return ArchivedPart.objects.filter(day__lt=limit.date())


def _count_events(limit: datetime) -> int:
    archived = _parts(limit).aggregate(n=models.Sum("rows_n", default=0))["n"]
    return _events(limit).count() + int(archived)


def _delete_events(limit: datetime, _at: datetime) -> int:
    needed = open_facts_since()
    if needed is not None:
        limit = min(limit, from_micros(needed))
    deleted = 0
    while ids := list(_events(limit).order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        with transaction.atomic():
            rows = Event.objects.filter(pk__in=ids)
            people = sorted(set(rows.values_list("profile_id", flat=True)))
            deleted += rows.delete()[0]
            rebuild_summaries(profile_ids=people)
    for part in _parts(limit).order_by("day", "pk"):
        with transaction.atomic():
            people = sorted(set(part.activities.values_list("identity__profile_id", flat=True)))
            deleted += part.rows_n
            part.delete()
            rebuild_summaries(profile_ids=people)
        (archive_folder() / part.path).unlink(missing_ok=True)
    return deleted


def _strangers(limit: datetime) -> models.QuerySet[Profile]:
    """People of whom nothing but a browser is known, and that did not come back."""
    named = Identity.objects.filter(profile=OuterRef("pk")).exclude(
        kind__in=(IdentityKind.ANONYMOUS, IdentityKind.DEVICE)
    )
    quiet = Q(last_seen_at__lt=to_micros(limit)) | Q(last_seen_at=None, created_at__lt=limit)
    return Profile.objects.living().filter(quiet, ~Exists(named), email="", is_demo=False)


def _forget_strangers(limit: datetime, at: datetime) -> int:
    """As an erasure: results of experiments stay as they were."""
    deleted = 0
    while ids := list(_strangers(limit).order_by("pk").values_list("pk", flat=True)[:PEOPLE]):
        for pk in ids:
            erase_profile(profile_id=pk, at=at)
            deleted += 1
    return deleted


def _requests(limit: datetime) -> models.QuerySet[DataRequest]:
    return DataRequest.objects.filter(answered_at__lt=limit).exclude(status=RequestStatus.PENDING)


def _delete_exports(limit: datetime, _at: datetime) -> int:
    deleted = 0
    for row in _requests(limit).order_by("pk"):
        (Path(settings.DATA_DIR) / EXPORTS / f"{row.token}.zip").unlink(missing_ok=True)
        deleted += row.delete()[0]
    return deleted


WAYS: Final[dict[DataClass, _Way]] = {
    DataClass.EVENTS: _Way(_count_events, _delete_events),
    DataClass.ANONYMOUS: _Way(lambda limit: _strangers(limit).count(), _forget_strangers),
    DataClass.MEMBERSHIP_HISTORY: _rows(lambda limit: MembershipEvent.objects.filter(at__lt=limit)),
    DataClass.DELIVERIES: _rows(lambda limit: Delivery.objects.filter(status_at__lt=limit, status__in=SETTLED)),
    DataClass.SLATES: _Way(
        lambda limit: count_older(than=to_micros(limit)), lambda limit, _at: forget_older(than=to_micros(limit))
    ),
    DataClass.DEAD_LETTERS: _rows(lambda limit: DeadLetter.objects.filter(at__lt=limit)),
    DataClass.EXPORTS: _Way(lambda limit: _requests(limit).count(), _delete_exports),
}
