"""Taking the demo world away: all of it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q

from experiments.services import design
from experiments.services.privacy import forget_many as forget_units
from marketing.models import (
    Activity,
    Campaign,
    CampaignArm,
    ChangedProfile,
    ChangeLog,
    Consent,
    ConsentText,
    Creative,
    DeadLetter,
    Delivery,
    Event,
    Identity,
    Membership,
    MembershipEvent,
    Merge,
    Profile,
    ProfileAlias,
    ProfileTrait,
    Segment,
    SegmentVersion,
    Source,
    TraitDefinition,
)
from marketing.segmentation.rules import Trait, parse, walk
from marketing.selectors.campaigns import clear_config_cache
from marketing.selectors.segment_references import references
from marketing.services.demo.names import SOURCE, UNIT_TYPE
from recommender.services.catalogue import remove_demo_items
from recommender.services.holds import forget_holders
from recommender.services.privacy import forget_many as forget_users
from recommender.services.snapshots import forget_snapshots

INDEX: Final = "marketing_event_removal"
CHUNK: Final = 250
"""People of one transaction: some ten thousand events, a fraction of a second on SQLite."""
Report = Callable[[int, int], None]


def has_demo_world() -> bool:
    """Tell whether anything of it is there."""
    return (
        Profile.objects.filter(is_demo=True).exists()
        or Campaign.objects.filter(is_demo=True).exists()
        or Segment.objects.filter(is_demo=True).exists()
    )


def remove_demo_world(*, report: Report | None = None) -> int:
    """Remove the demo's campaigns, experiments, segments, items and people with everything about them.

    Each step is a short transaction; what was interrupted is finished by the next call. Returns the number of people.
    """
    _remove_campaigns()
    design.remove_demo()
    _remove_segments()
    removed, total = 0, Profile.objects.filter(is_demo=True).count()
    with _events_by_identity(is_needed=total > 0):
        for ids in _demo_people():
            _remove_people(ids)
            removed += len(ids)
            if report is not None:
                report(removed, max(total, removed))
    remove_demo_items()
    _remove_vocabulary()
    forget_snapshots()  # a world made anew in this process would log slates of models that are gone
    return removed


@transaction.atomic
def _remove_campaigns() -> None:
    campaigns = Campaign.objects.filter(is_demo=True)
    pairs = list(campaigns.values_list("pk", "slug"))
    forget_holders(holders=list(campaigns.exclude(experiment_key="").values_list("experiment_key", flat=True)))
    _forget_changes("campaign", [pk for pk, _ in pairs])
    Delivery.objects.filter(campaign__in=[pk for pk, _ in pairs]).delete()
    CampaignArm.objects.filter(campaign__in=[pk for pk, _ in pairs]).delete()  # arms protect links from the cascade
    campaigns.delete()
    for _, slug in pairs:
        # The creatives' keys are the campaign's slug and the arm's key.
        Creative.objects.filter(key__startswith=f"{slug}/", arms=None).delete()
    transaction.on_commit(clear_config_cache)


@transaction.atomic
def _remove_segments() -> None:
    """Delete the demo's segments; one that somebody's own campaign or segment uses has become theirs, and is kept."""
    own = Segment.objects.filter(is_demo=False).values_list("slug", flat=True)
    used = {slug for one in own for slug in references(one)}
    Segment.objects.filter(Q(campaigns__isnull=False) | Q(slug__in=used), is_demo=True).update(is_demo=False)
    segments = Segment.objects.filter(is_demo=True)
    pks = list(segments.values_list("pk", flat=True))
    _forget_changes("segment", pks)
    segments.update(version=None, refreshed_version=None)  # they protect their versions from the cascade
    segments.delete()


@contextmanager
def _events_by_identity(*, is_needed: bool) -> Iterator[None]:
    """Index the events by identity for the block.

    They have no such index because it would slow down every ingestion; without one the database looks through all
    events, whoever's, each time an identity is deleted.
    """
    if not is_needed:
        yield
        return
    _define(f"CREATE INDEX IF NOT EXISTS {INDEX} ON {Event._meta.db_table} (identity_id)")
    try:
        yield
    finally:
        _define(f"DROP INDEX IF EXISTS {INDEX}")


def _define(statement: str) -> None:
    if connection.in_atomic_block:
        connection.check_constraints()  # PostgreSQL refuses while checks of the same transaction are pending
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _demo_people() -> Iterator[list[int]]:
    while ids := list(Profile.objects.filter(is_demo=True).order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        yield ids


@transaction.atomic
def _remove_people(ids: list[int]) -> None:
    units = [str(pk) for pk in ids]
    forget_units(unit_type=UNIT_TYPE, unit_ids=units)
    forget_users(user_ids=units)
    _forget_changes("profile", ids)
    for model in (Event, Activity, ChangedProfile, Consent, Membership, MembershipEvent, ProfileTrait, Delivery):
        model._default_manager.filter(profile__in=ids).delete()
    Merge.objects.filter(Q(winner__in=ids) | Q(loser__in=ids)).delete()
    ProfileAlias.objects.filter(Q(winner__in=ids) | Q(loser__in=ids)).delete()
    Identity.objects.filter(profile__in=ids).delete()
    # A person of one's own that was merged into a demo person is one's own again.
    Profile.objects.filter(merged_into__in=ids).exclude(pk__in=ids).update(merged_into=None)
    Profile.objects.filter(pk__in=ids).update(merged_into=None)
    Profile.objects.filter(pk__in=ids).delete()


@transaction.atomic
def _remove_vocabulary() -> None:
    """Delete the demo's source and its traits, unless somebody's own data or segments use them by now."""
    said = Consent.objects.filter(text_sha256=OuterRef("sha256"))
    ConsentText.objects.filter(~Exists(said)).delete()
    sources = Source.objects.filter(name=SOURCE)
    DeadLetter.objects.filter(source__in=sources).delete()
    sources.exclude(pk__in=Event.objects.filter(source__in=sources).values("source")).delete()
    rules = SegmentVersion.objects.filter(pk__in=Segment.objects.values("version")).values_list("rule", flat=True)
    used = {node.key for rule in rules for node in walk(parse(rule)) if isinstance(node, Trait)}
    TraitDefinition.objects.filter(is_demo=True, key__in=used).update(is_demo=False)
    TraitDefinition.objects.filter(is_demo=True, profiletrait=None).delete()


def _forget_changes(object_type: str, pks: list[int]) -> None:
    ChangeLog.objects.filter(object_type=object_type, object_id__in=[str(pk) for pk in pks]).delete()
