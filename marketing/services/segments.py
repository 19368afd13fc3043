"""Segments: made, edited as new versions, and refreshed by comparing sets in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction

from marketing.errors import BadRule, CannotEditSegment
from marketing.models import ChangeLog, Segment, SegmentVersion
from marketing.segmentation.rules import fingerprint, segments_of
from marketing.selectors.segment_references import path_to, referrers
from marketing.selectors.segments import read_rule, without_objectors
from marketing.services.membership import RefreshResult, record_failure, refresh_segment
from marketing.services.protected import check_use, protected_in
from marketing.services.slugs import unused_slug

__all__ = [
    "RefreshResult",
    "archive_segment",
    "create_segment",
    "edit_segment",
    "free_slug",
    "record_failure",
    "refresh_segment",
    "restore_segment",
]
RESERVED: Final = frozenset(("new", "affinity", "builder", "count", "list", "lists"))
"""Addresses beside `segments/<slug>/`."""


@transaction.atomic
def create_segment(
    *,
    slug: str = "",
    name: str,
    rule: Mapping[str, Any],
    at: datetime,
    actor: User | None = None,
    description: str = "",
    is_marketing: bool = False,
    is_list: bool = False,
    is_demo: bool = False,
    protected_reason: str = "",
) -> Segment:
    """Make a segment; its members come with the first refresh. Without a slug the name gives one.

    A rule that reads a protected trait needs a reason, which is logged.
    """
    node = read_rule(rule)
    if is_marketing:
        read_rule(without_objectors(rule))
    if slug and slug in segments_of(node):
        raise BadRule(f"segment {slug} cannot refer to itself")
    segment = Segment.objects.create(
        slug=slug or free_slug(name),
        name=name,
        description=description,
        owner=actor,
        is_marketing=is_marketing,
        is_list=is_list,
        is_demo=is_demo,
        created_at=at,
    )
    check_use(about=("segment", segment.pk), traits=protected_in(rule), reason=protected_reason, at=at, actor=actor)
    _set_rule(segment, rule, at, actor)
    _log(segment, "create", at, actor)
    return segment


@transaction.atomic
def edit_segment(
    *,
    segment_id: int,
    rule: Mapping[str, Any],
    at: datetime,
    actor: User | None = None,
    name: str | None = None,
    description: str | None = None,
    is_marketing: bool | None = None,
    protected_reason: str = "",
) -> Segment:
    """Give the segment another rule as a new version; the same rule makes no version."""
    segment = Segment.objects.select_for_update().get(pk=segment_id)
    if segment.archived_at is not None:
        raise CannotEditSegment(f"segment {segment.slug} is archived")
    is_for_marketing = segment.is_marketing if is_marketing is None else is_marketing
    node = read_rule(rule)
    if is_for_marketing:
        read_rule(without_objectors(rule))
    for slug in sorted(segments_of(node)):
        path = path_to(slug, segment.slug)
        if path:
            raise BadRule(f"segment {segment.slug} would depend on itself: {' → '.join((segment.slug, *path))}")
    segment.name = segment.name if name is None else name
    segment.description = segment.description if description is None else description
    if is_for_marketing != segment.is_marketing:
        # The stored members fulfil another condition now: everybody is counted, and the definition is the cause.
        segment.is_marketing, segment.refreshed_version = is_for_marketing, None
    segment.save(update_fields=["name", "description", "is_marketing", "refreshed_version"])
    check_use(about=("segment", segment.pk), traits=protected_in(rule), reason=protected_reason, at=at, actor=actor)
    _set_rule(segment, rule, at, actor)
    _log(segment, "edit", at, actor)
    return segment


@transaction.atomic
def archive_segment(*, segment_id: int, at: datetime, actor: User | None = None) -> None:
    """Take the segment out of use; its history stays. One that others refer to cannot go."""
    segment = Segment.objects.select_for_update().get(pk=segment_id)
    users = referrers(segment.slug)
    if users:
        raise CannotEditSegment(f"segment {segment.slug} is used by {', '.join(users)}")
    if Segment.objects.filter(pk=segment.pk, archived_at=None).update(archived_at=at):
        _log(segment, "archive", at, actor)


@transaction.atomic
def restore_segment(*, segment_id: int, at: datetime, actor: User | None = None) -> None:
    """Take an archived segment into use again; `CannotEditSegment` says why its rule cannot hold any more."""
    segment = Segment.objects.select_for_update(of=("self",)).select_related("version").get(pk=segment_id)
    if segment.archived_at is None:
        return
    if segment.version is not None:
        try:
            read_rule(segment.version.rule)
        except BadRule as error:
            raise CannotEditSegment(f"segment {segment.slug} cannot be used again: {error}") from error
    Segment.objects.filter(pk=segment.pk).update(archived_at=None, refreshed_version=None)
    _log(segment, "restore", at, actor)


def free_slug(name: str) -> str:
    """Return a slug of the name that no segment has."""
    return unused_slug(name, rows=Segment.objects.all(), reserved=RESERVED, usual="segment")


def _set_rule(segment: Segment, rule: Mapping[str, Any], at: datetime, actor: User | None) -> None:
    sha256 = fingerprint(rule)
    if segment.version is not None and segment.version.sha256 == sha256:
        return
    last = SegmentVersion.objects.filter(segment=segment).order_by("-number").first()
    segment.version = SegmentVersion.objects.create(
        segment=segment,
        number=1 if last is None else last.number + 1,
        rule=dict(rule),
        sha256=sha256,
        created_at=at,
        created_by_id=None if actor is None else actor.pk,
    )
    segment.save(update_fields=["version"])


def _log(segment: Segment, transition: str, at: datetime, actor: User | None) -> None:
    ChangeLog.objects.create(
        object_type="segment",
        object_id=str(segment.pk),
        transition=transition,
        actor=actor,
        at=at,
        message=segment.name,
        snapshot={
            "schema": 1,
            "slug": segment.slug,
            "name": segment.name,
            "description": segment.description,
            "is_marketing": segment.is_marketing,
            "version": None if segment.version is None else segment.version.number,
            "rule": None if segment.version is None else segment.version.rule,
        },
    )
