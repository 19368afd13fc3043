"""Reads of segments: who would be in, who is in, why, and what refers to what."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from django.db import connection, models, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import F, QuerySet

from marketing.choices import DeliveryStatus, ImportKind, Purpose, TraitType
from marketing.errors import BadRule
from marketing.models import (
    Activity,
    Campaign,
    Delivery,
    Event,
    EventType,
    ImportRun,
    Membership,
    MembershipEvent,
    Profile,
    ProfileTrait,
    Segment,
    SegmentVersion,
    TraitDefinition,
)
from marketing.segmentation.clock import to_micros
from marketing.segmentation.compiler import Condition, Dialect, compile_rule
from marketing.segmentation.evaluate import Deed, Explanation, Person, Total, explain
from marketing.segmentation.rules import SAMPLE_BUCKETS, Node, RuleError, parse
from marketing.segmentation.vocabulary import (
    SYSTEM_TRAITS,
    TEXT_PROPERTIES,
    Kind,
    TraitSpec,
    Vocabulary,
    check,
)
from marketing.selectors.consent import consent_state

KINDS: Final = {
    TraitType.TEXT: Kind.TEXT,
    TraitType.NUMBER: Kind.NUMBER,
    TraitType.BOOLEAN: Kind.BOOLEAN,
    TraitType.DATE: Kind.DATE,
}
PREVIEW_BUCKETS: Final = 20  # of 1,000: a fiftieth of the people answers in a fiftieth of the time
MOST_OVERLAPS: Final = 10
MOST_EVENT_NAMES: Final = 300
SAMPLE: Final = f"(SELECT s.id FROM marketing_profile s WHERE s.sample_bucket < {PREVIEW_BUCKETS})"  # noqa: S608 - constants
Z_95: Final = 1.96  # standard deviations on either side of the mean that hold 95 % of a normal distribution
PREVIEW_FROM: Final = 50_000  # profiles: below that the exact count is quick enough


@dataclass(frozen=True, slots=True)
class Count:
    """How many people a rule is true of; `is_sampled` says that it was counted on a sample and scaled up."""

    people: int
    everybody: int
    is_sampled: bool
    margin: int = 0
    """Half the width of the 95 % interval of a sampled number (normal approximation of the binomial)."""

    @property
    def percent(self) -> float:
        return 100 * self.people / self.everybody if self.everybody else 0.0


def trait_specs() -> dict[str, TraitSpec]:
    """Return the traits of profiles by name, in one query."""
    declared = {
        row.key: TraitSpec(KINDS[TraitType(row.type)], definition=row.pk) for row in TraitDefinition.objects.all()
    }
    return {**declared, **SYSTEM_TRAITS}


def vocabulary() -> Vocabulary:
    """Return what rules may speak of here."""
    return Vocabulary(
        traits=trait_specs(),
        event_types=dict(EventType.objects.values_list("name", "pk")),
        segments=dict(Segment.objects.filter(archived_at=None).values_list("slug", "pk")),
        purposes=Purpose.values,
        campaigns=dict(Campaign.objects.values_list("slug", "pk")),
    )


def read_rule(rule: Any, words: Vocabulary | None = None) -> Node:
    """Return the rule's tree; `BadRule` says what is wrong with it."""
    try:
        node = parse(rule)
        check(node, vocabulary() if words is None else words)
    except RuleError as error:
        raise BadRule(str(error)) from error
    return node


def condition(*, rule: Any, at: datetime, scope: str | None = None, words: Vocabulary | None = None) -> Condition:
    """Return the rule as SQL on `marketing_profile p`; in a `scope` (a table of ids) it is right for these only."""
    words = vocabulary() if words is None else words
    node = read_rule(rule, words)
    return compile_rule(node, vocabulary=words, at=to_micros(at), dialect=dialect(), scope=scope)


def dialect() -> Dialect:
    """Return in which SQL rules are compiled here."""
    return cast("Dialect", connection.vendor)


@contextmanager
def rule_cursor() -> Iterator[CursorWrapper]:
    """A cursor for compiled rules.

    PostgreSQL keeps a set of ids in a hash table only if it expects it to fit into `work_mem`; if not, it looks every
    person up in the whole set.
    """
    if connection.vendor != "postgresql":
        # No transaction: on SQLite it would begin by taking the write lock, and a count only reads.
        with connection.cursor() as cursor:
            yield cursor
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '128MB'")
        cursor.execute("SET LOCAL jit = off")
        yield cursor


def rule_in_force(segment: Segment) -> dict[str, Any]:
    """Return the rule that decides who is a member: of a segment for marketing, without those who objected to it."""
    assert segment.version is not None  # the caller asked for it
    rule: dict[str, Any] = segment.version.rule
    return without_objectors(rule) if segment.is_marketing else rule


def without_objectors(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rule for everybody who did not object to direct marketing (Art. 21 GDPR)."""
    return {**rule, "root": {"all": [rule["root"], {"not": {"consent": Purpose.OBJECTION.value}}]}}


def count(*, rule: Any, at: datetime, is_exact: bool = True) -> Count:
    """Count the people of a rule; inexact, a large population is counted on a sample of it."""
    with rule_cursor() as cursor:
        cursor.execute("SELECT count(*) FROM marketing_profile WHERE merged_into_id IS NULL")
        everybody = cursor.fetchone()[0]
    is_sampled = not is_exact and everybody >= PREVIEW_FROM
    where = rule_people(rule=rule, at=at, is_sampled=is_sampled)
    with rule_cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {where.sql}", where.params)  # noqa: S608 - compiled, values are parameters
        found = cursor.fetchone()[0]
    share = PREVIEW_BUCKETS / SAMPLE_BUCKETS if is_sampled else 1
    spread = math.sqrt(found * (1 - found * SAMPLE_BUCKETS / PREVIEW_BUCKETS / everybody)) if is_sampled else 0
    return Count(
        people=round(found / share),
        everybody=everybody,
        is_sampled=is_sampled,
        margin=math.ceil(Z_95 * spread / share) if found < everybody * share else 0,
    )


def rule_people(*, rule: Any, at: datetime, is_sampled: bool = False) -> Condition:
    """Return what follows `FROM` to find the people (`p`) of a rule; sampled, a fiftieth of them.

    A sample is looked up person by person, so that the whole of nobody's behaviour is read.
    """
    if is_sampled:
        where = condition(rule=rule, at=at, scope=SAMPLE)
        bucket = f"p.sample_bucket < {PREVIEW_BUCKETS} AND "
    else:
        where, bucket = condition(rule=rule, at=at), ""
    return Condition(f"marketing_profile p WHERE {bucket}p.merged_into_id IS NULL AND ({where.sql})", where.params)


def is_small() -> bool:
    """Tell whether there are so few people that a page can wait for a refresh."""
    return not Profile.objects.order_by("pk").values_list("pk")[PREVIEW_FROM:].exists()


def matching_ids(*, rule: Any, at: datetime, limit: int | None = None, is_sampled: bool = False) -> list[int]:
    """Return the profiles that a rule is true of, in the order of their keys."""
    where = rule_people(rule=rule, at=at, is_sampled=is_sampled)
    end = "" if limit is None else f" LIMIT {int(limit)}"
    with rule_cursor() as cursor:
        cursor.execute(f"SELECT p.id FROM {where.sql} ORDER BY p.id{end}", where.params)  # noqa: S608 - compiled, values are parameters
        return [row[0] for row in cursor.fetchall()]


def get_segment(*, slug: str) -> Segment | None:
    """Return the segment with its rule."""
    return Segment.objects.select_related("version", "owner").filter(slug=slug).first()


def list_segments(*, with_archived: bool = False, archived: bool = False) -> QuerySet[Segment]:
    """Return the segments for a list, newest first: those in use, all of them, or only the archived ones."""
    rows = Segment.objects.select_related("version", "owner").order_by("-created_at", "-pk")
    if archived:
        return rows.exclude(archived_at=None)
    return rows if with_archived else rows.filter(archived_at=None)


def members(*, segment_id: int) -> QuerySet[Membership]:
    """Return the stored members, newest first."""
    rows = Membership.objects.filter(segment=segment_id).select_related("profile")
    return rows.order_by("-entered_at", "-pk")


def is_member(*, segment_id: int, profile_id: int) -> bool:
    """Tell whether the profile was in the segment at its last refresh."""
    return Membership.objects.filter(segment=segment_id, profile=profile_id).exists()


def memberships_of(*, profile_id: int) -> QuerySet[Membership]:
    """Return the segments that a profile is in, since when."""
    return Membership.objects.filter(profile=profile_id).select_related("segment").order_by("segment__name", "pk")


def recent_changes(*, segment_id: int, limit: int = 20) -> list[MembershipEvent]:
    """Return the last people who entered or left."""
    rows = MembershipEvent.objects.filter(segment=segment_id).select_related("profile")
    return list(rows.order_by("-at", "-pk")[:limit])


def versions(*, segment_id: int) -> list[SegmentVersion]:
    """Return the wordings of the rule, newest first."""
    return list(SegmentVersion.objects.filter(segment=segment_id).select_related("created_by").order_by("-number"))


def imports_of(*, slug: str) -> QuerySet[ImportRun]:
    """Return the files that a list was made of, the newest first."""
    return ImportRun.objects.filter(kind=ImportKind.MEMBERS, mapping__segment=slug).order_by("-started_at", "-pk")


def load_person(*, profile_id: int, words: Vocabulary) -> Person:
    """Return everything that a rule may ask about one person."""
    profile = Profile.objects.get(pk=profile_id)
    traits: dict[str, Any] = {key: getattr(profile, spec.column) for key, spec in SYSTEM_TRAITS.items()}
    for row in ProfileTrait.objects.filter(profile=profile_id).select_related("definition"):
        traits.setdefault(row.definition.key, row.text if row.number is None else row.number)
    columns = tuple(dict.fromkeys(TEXT_PROPERTIES.values()))
    events = Event.objects.filter(profile=profile_id).annotate(name=F("type__name"))
    deeds = [
        Deed(
            event=row["name"],
            at=row["at"],
            value=row["value"],
            texts={column: row[column] or "" for column in columns},
            props=row["props"] if isinstance(row["props"], dict) else json.loads(row["props"]),
        )
        for row in events.values("name", "at", "value", "props", *columns)
    ]
    names = {pk: slug for slug, pk in words.segments.items()}
    inside = Membership.objects.filter(profile=profile_id).values_list("segment_id", flat=True)
    granted = {str(purpose) for purpose, row in consent_state(profile_id=profile_id).items() if row.granted}
    if Purpose.OBJECTION.value in granted:
        granted.discard(Purpose.MARKETING_EMAIL.value)  # whoever objects is not written to, whatever they said before
    return Person(
        traits={key: value for key, value in traits.items() if value not in ("", None)},
        deeds=deeds,
        segments={names[pk] for pk in inside if pk in names},
        consents=granted,
        sample_bucket=profile.sample_bucket,
        totals=_totals(profile_id),
        sent=_sent(profile_id),
    )


def _totals(profile_id: int) -> dict[str, Total]:
    rows = Activity.objects.filter(profile=profile_id).values_list("type__name", "n", "total", "first_at", "last_at")
    return {name: Total(*values) for name, *values in rows}


def _sent(profile_id: int) -> dict[str, list[int]]:
    sent: dict[str, list[int]] = {}
    rows = Delivery.objects.filter(profile=profile_id, status=DeliveryStatus.SENT)
    for slug, at in rows.values_list("campaign__slug", "status_at"):
        sent.setdefault(slug, []).append(to_micros(at))
    return sent


def why(*, rule: Any, profile_id: int, at: datetime) -> Explanation:
    """Return the rule as a tree of what holds for one person, with the values that decided."""
    words = vocabulary()
    node = read_rule(rule, words)
    person = load_person(profile_id=profile_id, words=words)
    return explain(node, person, traits=words.traits, at=to_micros(at))


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many members another segment shares."""

    segment: Segment
    shared: int
    percent: float


def overlap(*, segment: Segment, limit: int = MOST_OVERLAPS) -> list[Overlap]:
    """Return the segments that share members with this one, those that share most first."""
    mine = Membership.objects.filter(segment=segment)
    total = mine.count()
    rows = (
        Membership.objects.filter(profile__in=mine.values("profile_id"), segment__archived_at=None)
        .exclude(segment=segment)
        .values("segment_id")
        .annotate(shared=models.Count("id"))
        .order_by("-shared", "segment_id")[:limit]
    )
    shared = {row["segment_id"]: row["shared"] for row in rows}
    found = Segment.objects.in_bulk(shared)
    return [Overlap(segment=found[pk], shared=n, percent=100 * n / total) for pk, n in shared.items()]


def event_names() -> list[str]:
    """Return the names of events that were ever stored, a few hundred at most, for a form that suggests them."""
    return list(EventType.objects.order_by("name").values_list("name", flat=True)[:MOST_EVENT_NAMES])
