"""Who is in a segment: the rule's people compared with the stored members, in the database.

A full refresh evaluates the rule for everybody. An incremental one does so only for those who can have changed sides:
people with news since the last time, people for whom the clock moved a window past something, and people who entered
or left a segment that the rule refers to. Both come to the same members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import F

from marketing.choices import MembershipCause
from marketing.errors import CannotEditSegment
from marketing.models import Membership, MembershipEvent, Profile, Segment
from marketing.segmentation.clock import to_micros
from marketing.segmentation.flips import flips
from marketing.segmentation.rules import HasConsent, Node, Trait, parse, walk
from marketing.segmentation.vocabulary import Vocabulary
from marketing.selectors.segment_references import referred_segments, refresh_order
from marketing.selectors.segments import (
    condition,
    dialect,
    read_rule,
    rule_cursor,
    rule_in_force,
    vocabulary,
)
from marketing.services.bulk import is_postgres
from marketing.services.changes import STAGE, claim_changes, forget_changes, last_staged, mark_found, stage_changes

FEW: Final = 1_000
MOST_CHANGED: Final = 0.1
"""Of everybody: beyond that, one pass over the indexes is cheaper than looking so many people up one by one."""
STAGES: Final = ("members", "candidates")


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """How many entered and left, how many members there are now, and how many people were looked at."""

    entered: int
    left: int
    members: int
    looked_at: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """A segment that could not be refreshed, and why."""

    segment_id: int
    error: Exception


@dataclass(frozen=True, slots=True)
class ChangesResult:
    """What became of every segment."""

    refreshed: dict[int, RefreshResult]
    failed: list[Failed]


@dataclass(frozen=True, slots=True)
class _Run:
    """What is read once for any number of segments."""

    at: datetime
    words: Vocabulary
    referred: frozenset[str]
    """The segments that other segments' rules name."""

    @classmethod
    def begin(cls, at: datetime) -> _Run:
        return cls(at=at, words=vocabulary(), referred=frozenset(referred_segments()))


@transaction.atomic
def refresh_segment(*, segment_id: int, at: datetime) -> RefreshResult:
    """Bring the stored members in line with the rule, and write down who entered and who left.

    The cause is the rule if it was edited since; otherwise a consent, a merge, or the person's own behaviour or traits
    if one of these moved since the last refresh, and the clock if none did.
    """
    segment = _locked(segment_id)
    with connection.cursor() as cursor:
        stage_changes(cursor)
    return _refresh_all(segment, _Run.begin(at))


def refresh_changes(*, at: datetime) -> ChangesResult:
    """Refresh every segment for the people who can have changed sides, each after the ones it depends on.

    A segment whose rule was edited, or whose last refresh failed, is refreshed for everybody; so are all of them if
    very many people changed. One that fails stops no other.
    """
    claims = claim_changes()
    with connection.cursor() as cursor:
        changed = stage_changes(cursor, claims=claims)
    is_much = changed > FEW and changed > MOST_CHANGED * Profile.objects.count()
    results: dict[int, RefreshResult] = {}
    failed: list[Failed] = []
    order, run = refresh_order(), _Run.begin(at)
    for segment_id in order:
        try:
            with transaction.atomic():
                segment = _locked(segment_id)
                refresh = _refresh_all if is_much or _is_unknown(segment) else _refresh_some
                results[segment_id] = refresh(segment, run)
        except Exception as error:  # noqa: BLE001 - kept on the segment, and told to whoever asked
            record_failure(segment_id=segment_id, reason=f"{type(error).__name__}: {error}", at=at)
            failed.append(Failed(segment_id, error))
    forget_changes(claims=claims)
    return ChangesResult(refreshed=results, failed=failed)


def uncount(*, profile_ids: Sequence[int]) -> None:
    """Take somebody whose memberships are about to be erased out of the segments' numbers."""
    for segment_id in Membership.objects.filter(profile__in=profile_ids).values_list("segment_id", flat=True):
        Segment.objects.filter(pk=segment_id).update(members_n=F("members_n") - 1)


def record_failure(*, segment_id: int, reason: str, at: datetime) -> None:
    """Remember that a refresh failed; the members of the last good one stay."""
    Segment.objects.filter(pk=segment_id).update(failed_at=at, failure=reason[:200])


def _locked(segment_id: int) -> Segment:
    segment = Segment.objects.select_for_update(of=("self",)).select_related("version").get(pk=segment_id)
    if segment.version is None or segment.archived_at is not None:
        raise CannotEditSegment(f"segment {segment.slug} has no rule in force")
    return segment


def _is_unknown(segment: Segment) -> bool:
    """Whether the stored members fulfil some other rule, or none."""
    return (
        segment.refreshed_version_id != segment.version_id
        or segment.refreshed_at is None
        or segment.failed_at is not None
    )


def _refresh_all(segment: Segment, run: _Run) -> RefreshResult:
    where = condition(rule=rule_in_force(segment), at=run.at, words=run.words)
    with rule_cursor() as cursor:
        _make_stages(cursor)
        cursor.execute(
            "INSERT INTO stage_members SELECT p.id FROM marketing_profile p "  # noqa: S608 - compiled, values are parameters
            f"WHERE p.merged_into_id IS NULL AND ({where.sql})",
            where.params,
        )
        members = cursor.rowcount
        _analyze(cursor, "stage_members")
        entered, left = _compare(cursor, segment, run, among="")
        _empty_stages(cursor)
    return _finish(segment, run.at, RefreshResult(entered=entered, left=left, members=members))


def _refresh_some(segment: Segment, run: _Run) -> RefreshResult:
    assert segment.refreshed_at is not None  # or it would be refreshed for everybody
    words, rule, at = run.words, rule_in_force(segment), run.at
    queries = flips(
        read_rule(rule, words),
        vocabulary=words,
        since=to_micros(segment.refreshed_at),
        until=to_micros(at),
        dialect=dialect(),
    )
    where = condition(rule=rule, at=at, scope="stage_candidates", words=words)
    with rule_cursor() as cursor:
        _make_stages(cursor)
        parts = [f"SELECT id FROM {STAGE}", *(query.sql for query in queries)]  # noqa: S608 - constants
        cursor.execute(
            f"INSERT INTO stage_candidates {' UNION '.join(parts)}",
            [value for query in queries for value in query.params],
        )
        looked_at = cursor.rowcount
        if not looked_at:
            return _finish(segment, at, RefreshResult(0, 0, _members_n(segment, 0)))
        _analyze(cursor, "stage_candidates")
        cursor.execute(
            "INSERT INTO stage_members SELECT p.id FROM stage_candidates c CROSS JOIN marketing_profile p "  # noqa: S608 - compiled, values are parameters
            f"WHERE p.id = c.id AND p.merged_into_id IS NULL AND ({where.sql})",
            where.params,
        )
        entered, left = _compare(cursor, segment, run, among="stage_candidates")
        _empty_stages(cursor)
    return _finish(segment, at, RefreshResult(entered, left, _members_n(segment, entered - left), looked_at))


def _members_n(segment: Segment, change: int) -> int:
    """How many members there are now; counted only if merges took some out since the last refresh."""
    rows = MembershipEvent.objects.filter(segment=segment, at__gte=segment.refreshed_at, cause=MembershipCause.MERGE)
    return segment.memberships.count() if rows.exists() else segment.members_n + change


def _compare(cursor: CursorWrapper, segment: Segment, run: _Run, *, among: str) -> tuple[int, int]:
    """Bring the stored members in line with `stage_members` (`among` the people of a table); return who came and went.

    The history is written first: it is what both changes are then read from.
    """
    stamp = connection.ops.adapt_datetimefield_value(run.at)
    cause = _cause(segment)
    history = "INSERT INTO marketing_membershipevent (segment_id, profile_id, change, at, cause) "
    new = "NOT EXISTS (SELECT 1 FROM marketing_membership m WHERE m.segment_id = %s AND m.profile_id = s.id)"
    gone = "NOT EXISTS (SELECT 1 FROM stage_members s WHERE s.id = m.profile_id)"
    old = f"{among} c CROSS JOIN marketing_membership m" if among else "marketing_membership m"
    mine = "m.profile_id = c.id AND m.segment_id = %s" if among else "m.segment_id = %s"
    cursor.execute(
        f"{history} SELECT %s, s.id, 1, %s, {cause} FROM stage_members s "  # noqa: S608 - constants
        f"JOIN marketing_profile p ON p.id = s.id WHERE {new} ORDER BY s.id",
        (segment.pk, stamp, segment.pk),
    )
    entered = cursor.rowcount
    cursor.execute(
        f"{history} SELECT %s, m.profile_id, -1, %s, {cause} FROM {old} "  # noqa: S608 - constants
        f"JOIN marketing_profile p ON p.id = m.profile_id WHERE {mine} AND {gone}",
        (segment.pk, stamp, segment.pk),
    )
    left = cursor.rowcount
    if (entered or left) and segment.slug in run.referred:
        _tell_dependents(cursor, segment, new=new, old=old, mine=mine, gone=gone)
    if entered:
        cursor.execute(
            "INSERT INTO marketing_membership (segment_id, profile_id, entered_at) "  # noqa: S608 - constants
            f"SELECT %s, s.id, %s FROM stage_members s WHERE {new} ORDER BY s.id",
            (segment.pk, stamp, segment.pk),
        )
    if left:
        inside = f"AND profile_id IN (SELECT id FROM {among}) " if among else ""  # noqa: S608 - constants
        cursor.execute(
            f"DELETE FROM marketing_membership WHERE segment_id = %s {inside}"  # noqa: S608 - constants
            "AND profile_id NOT IN (SELECT id FROM stage_members)",
            (segment.pk,),
        )
    return entered, left


def _tell_dependents(cursor: CursorWrapper, segment: Segment, *, new: str, old: str, mine: str, gone: str) -> None:
    """Segments that refer to this one have to look at whoever came and went: in this run, and if it is killed later."""
    moved = (
        f"SELECT s.id FROM stage_members s WHERE {new} UNION "  # noqa: S608 - constants
        f"SELECT m.profile_id FROM {old} WHERE {mine} AND {gone}"
    )
    params = (segment.pk, segment.pk)
    mark_found(query=moved, params=params, cause=MembershipCause.CLOCK)
    also = f"INSERT INTO {STAGE} SELECT id, 0, 0, 0, 0 FROM ({moved}) moved WHERE true ON CONFLICT DO NOTHING"  # noqa: S608 - constants
    cursor.execute(also, params)


def _cause(segment: Segment) -> str:
    """Why somebody (`p`) changed sides, as an expression."""
    if segment.refreshed_version_id != segment.version_id or segment.refreshed_at is None:
        return f"'{MembershipCause.DEFINITION}'"
    causes = [MembershipCause.MERGE, MembershipCause.EVENT]
    if _asks_for_consent(parse(rule_in_force(segment))):
        causes.insert(0, MembershipCause.CONSENT)
    why = f"SELECT 1 FROM {STAGE} n WHERE n.id = p.id AND n.last > {segment.seen_change}"  # noqa: S608 - constants
    whens = (f"WHEN EXISTS ({why} AND n.by_{one} = 1) THEN '{one}'" for one in (cause.value for cause in causes))
    return f"CASE {' '.join(whens)} ELSE '{MembershipCause.CLOCK}' END"


def _asks_for_consent(node: Node) -> bool:
    return any(
        isinstance(one, HasConsent) or (isinstance(one, Trait) and one.key == "marketing_ok") for one in walk(node)
    )


def _finish(segment: Segment, at: datetime, result: RefreshResult) -> RefreshResult:
    Segment.objects.filter(pk=segment.pk).update(
        members_n=result.members,
        refreshed_at=at,
        refreshed_version=segment.version_id,
        seen_change=max(segment.seen_change, last_staged()),
        failed_at=None,
        failure="",
    )
    return result


def _make_stages(cursor: CursorWrapper) -> None:
    """Empty temporary tables; their key is declared: without an affinity SQLite compares the sets row by row."""
    for name in STAGES:
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS stage_{name} (id bigint PRIMARY KEY)")
        cursor.execute(f"DELETE FROM stage_{name}")  # noqa: S608 - constants


def _empty_stages(cursor: CursorWrapper) -> None:
    for name in STAGES:
        # Autovacuum does not see temporary tables: in a long session deleted rows would pile up on PostgreSQL.
        cursor.execute(f"TRUNCATE stage_{name}" if is_postgres() else f"DELETE FROM stage_{name}")  # noqa: S608 - constants


def _analyze(cursor: CursorWrapper, table: str) -> None:
    """Say how few rows the table has: SQLite would else read all events of a type to make a Bloom filter for them."""
    cursor.execute(f"ANALYZE {table}" if is_postgres() else f"ANALYZE temp.{table}")
