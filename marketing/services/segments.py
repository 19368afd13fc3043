"""Segments: made, edited as new versions, and refreshed by comparing sets in the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils.text import slugify

from marketing.choices import MembershipCause
from marketing.errors import BadRule, CannotEditSegment
from marketing.models import ChangeLog, Segment, SegmentVersion
from marketing.segmentation.clock import to_micros
from marketing.segmentation.rules import fingerprint, segments_of
from marketing.selectors.segments import condition, read_rule, references, rule_cursor

RESERVED: Final = frozenset(("new", "affinity", "builder", "count"))  # addresses beside `segments/<slug>/`


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """How many entered and left, and how many members there are now."""

    entered: int
    left: int
    members: int


@transaction.atomic
def create_segment(
    *,
    slug: str = "",
    name: str,
    rule: Mapping[str, Any],
    at: datetime,
    actor: User | None = None,
    description: str = "",
    is_demo: bool = False,
) -> Segment:
    """Make a segment; its members come with the first refresh. Without a slug the name gives one."""
    node = read_rule(rule)
    if slug and slug in segments_of(node):
        raise BadRule(f"segment {slug} cannot refer to itself")
    segment = Segment.objects.create(
        slug=slug or free_slug(name),
        name=name,
        description=description,
        owner=actor,
        is_demo=is_demo,
        created_at=at,
    )
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
) -> Segment:
    """Give the segment another rule as a new version; the same rule makes no version."""
    segment = Segment.objects.select_for_update().get(pk=segment_id)
    if segment.archived_at is not None:
        raise CannotEditSegment(f"segment {segment.slug} is archived")
    node = read_rule(rule)
    for slug in segments_of(node):
        if slug == segment.slug or segment.slug in references(slug):
            raise BadRule(f"segment {segment.slug} would depend on itself through {slug}")
    segment.name = segment.name if name is None else name
    segment.description = segment.description if description is None else description
    segment.save(update_fields=["name", "description"])
    _set_rule(segment, rule, at, actor)
    _log(segment, "edit", at, actor)
    return segment


@transaction.atomic
def archive_segment(*, segment_id: int, at: datetime, actor: User | None = None) -> None:
    """Take the segment out of use; its history stays. One that others refer to cannot go."""
    segment = Segment.objects.select_for_update().get(pk=segment_id)
    users = [
        row.slug
        for row in Segment.objects.filter(archived_at=None).exclude(pk=segment.pk).order_by("slug")
        if segment.slug in references(row.slug)
    ]
    if users:
        raise CannotEditSegment(f"segment {segment.slug} is used by {', '.join(users)}")
    if Segment.objects.filter(pk=segment.pk, archived_at=None).update(archived_at=at):
        _log(segment, "archive", at, actor)


def free_slug(name: str) -> str:
    """Return a slug of the name that no segment has."""
    base = slugify(name)[:56] or "segment"
    taken = RESERVED | set(Segment.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    return next(one for one in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if one not in taken)


@transaction.atomic
def refresh_segment(*, segment_id: int, at: datetime) -> RefreshResult:
    """Bring the stored members in line with the rule, and write down who entered and who left.

    The cause is the rule if it was edited since; otherwise the person's own behaviour or traits if they moved since
    the last refresh, and the clock if they did not.
    """
    segment = Segment.objects.select_for_update(of=("self",)).select_related("version").get(pk=segment_id)
    if segment.version is None or segment.archived_at is not None:
        raise CannotEditSegment(f"segment {segment.slug} has no rule in force")
    where = condition(rule=segment.version.rule, at=at)
    if segment.refreshed_version_id == segment.version_id and segment.refreshed_at is not None:
        since = to_micros(segment.refreshed_at)
        moved = "COALESCE(p.last_seen_at, 0) >= %s OR COALESCE(p.traits_at, 0) >= %s"
        cause = f"CASE WHEN {moved} THEN '{MembershipCause.EVENT}' ELSE '{MembershipCause.CLOCK}' END"
        cause_params: tuple[int, ...] = (since, since)
    else:
        cause, cause_params = f"'{MembershipCause.DEFINITION}'", ()
    stamp = connection.ops.adapt_datetimefield_value(at)
    with rule_cursor() as cursor:
        # The key is declared: without an affinity SQLite compares the sets row by row, in minutes.
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS stage_members (id bigint PRIMARY KEY)")
        cursor.execute("DELETE FROM stage_members")
        cursor.execute(
            "INSERT INTO stage_members SELECT p.id FROM marketing_profile p "  # noqa: S608 - compiled, values are parameters
            f"WHERE p.merged_into_id IS NULL AND ({where.sql})",
            where.params,
        )
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE stage_members")
        history = "INSERT INTO marketing_membershipevent (segment_id, profile_id, change, at, cause) "
        new = "NOT EXISTS (SELECT 1 FROM marketing_membership m WHERE m.segment_id = %s AND m.profile_id = s.id)"
        gone = "NOT EXISTS (SELECT 1 FROM stage_members s WHERE s.id = m.profile_id)"
        cursor.execute(
            f"{history} SELECT %s, s.id, 1, %s, {cause} FROM stage_members s "  # noqa: S608 - constants
            f"JOIN marketing_profile p ON p.id = s.id WHERE {new} ORDER BY s.id",
            (segment.pk, stamp, *cause_params, segment.pk),
        )
        entered = cursor.rowcount
        cursor.execute(
            f"{history} SELECT %s, m.profile_id, -1, %s, {cause} FROM marketing_membership m "  # noqa: S608 - constants
            f"JOIN marketing_profile p ON p.id = m.profile_id WHERE m.segment_id = %s AND {gone}",
            (segment.pk, stamp, *cause_params, segment.pk),
        )
        left = cursor.rowcount
        cursor.execute(
            "INSERT INTO marketing_membership (segment_id, profile_id, entered_at) "  # noqa: S608 - constants
            f"SELECT %s, s.id, %s FROM stage_members s WHERE {new} ORDER BY s.id",
            (segment.pk, stamp, segment.pk),
        )
        cursor.execute(
            "DELETE FROM marketing_membership WHERE segment_id = %s "
            "AND profile_id NOT IN (SELECT id FROM stage_members)",
            (segment.pk,),
        )
        cursor.execute("SELECT count(*) FROM stage_members")
        members = cursor.fetchone()[0]
        cursor.execute("DELETE FROM stage_members")
    Segment.objects.filter(pk=segment.pk).update(
        members_n=members, refreshed_at=at, refreshed_version=segment.version_id, failed_at=None, failure=""
    )
    return RefreshResult(entered=entered, left=left, members=members)


def record_failure(*, segment_id: int, reason: str, at: datetime) -> None:
    """Remember that a refresh failed; the members of the last good one stay."""
    Segment.objects.filter(pk=segment_id).update(failed_at=at, failure=reason[:200])


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
            "version": None if segment.version is None else segment.version.number,
            "rule": None if segment.version is None else segment.version.rule,
        },
    )
