"""Segments are refreshed by comparing sets, and remember who came and went, and why."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from marketing.choices import MembershipCause, Purpose, TraitType
from marketing.errors import BadRule, CannotEditSegment
from marketing.models import ChangeLog, Membership, MembershipEvent, ProfileTrait, Segment, SegmentVersion
from marketing.segmentation.clock import to_micros
from marketing.segmentation.compiler import compile_rule
from marketing.selectors import segments as reads
from marketing.selectors.segment_references import references, refresh_order
from marketing.services.bulk import staged
from marketing.services.profiles import declare_trait, set_traits
from marketing.services.segments import (
    archive_segment,
    create_segment,
    edit_segment,
    free_slug,
    record_failure,
    refresh_segment,
)
from tests.factories.marketing import NOW, give_consent, make_profile, make_segment, send, track

pytestmark = pytest.mark.django_db
EVERYBODY: dict[str, Any] = {"all": []}
BUYERS_30 = {"event": "Order Completed", "op": "gte", "n": 1, "days": 30}
DAY = timedelta(days=1)


def rule(root: Any) -> dict[str, Any]:
    return {"schema": 1, "root": root}


def history() -> list[tuple[str, int, str]]:
    rows = MembershipEvent.objects.order_by("at", "pk").select_related("profile")
    return [(row.profile.country, row.change, row.cause) for row in rows]


def test_refresh_segment__people_come_and_go__members_and_history_with_causes() -> None:
    make_profile(user_id="a", country="AA", at=NOW - 90 * DAY)
    make_profile(user_id="b", country="BB", at=NOW - 90 * DAY)
    make_profile(user_id="c", country="CC", at=NOW - 90 * DAY)
    send(track("Order Completed", user="a", at=NOW - 29 * DAY), track("Order Completed", user="b", at=NOW - DAY))
    segment = make_segment(BUYERS_30)

    first = refresh_segment(segment_id=segment.pk, at=NOW)
    later = NOW + 2 * DAY
    send(track("Order Completed", user="c", at=later - timedelta(hours=1)), at=later)
    second = refresh_segment(segment_id=segment.pk, at=later)
    third = refresh_segment(segment_id=segment.pk, at=later)

    assert (first.entered, first.left, first.members) == (2, 0, 2)
    assert (second.entered, second.left, second.members) == (1, 1, 2)
    assert (third.entered, third.left, third.members) == (0, 0, 2)
    assert history() == [
        ("AA", 1, MembershipCause.DEFINITION),
        ("BB", 1, MembershipCause.DEFINITION),
        ("CC", 1, MembershipCause.EVENT),
        ("AA", -1, MembershipCause.CLOCK),
    ]
    entered = dict(Membership.objects.values_list("profile__country", "entered_at"))
    assert entered == {"BB": NOW, "CC": later}
    segment.refresh_from_db()
    assert (segment.members_n, segment.refreshed_at, segment.refreshed_version_id) == (2, later, segment.version_id)


def test_refresh_segment__rule_edited__is_the_cause() -> None:
    make_profile(country="DE")
    make_profile(country="AT")
    segment = make_segment({"trait": "country", "op": "eq", "value": "DE"})
    refresh_segment(segment_id=segment.pk, at=NOW)
    edit_segment(segment_id=segment.pk, rule=rule({"trait": "country", "op": "eq", "value": "AT"}), at=NOW)
    refresh_segment(segment_id=segment.pk, at=NOW + DAY)

    assert history() == [("DE", 1, "definition"), ("AT", 1, "definition"), ("DE", -1, "definition")]


def test_refresh_segment__trait_changed__is_the_cause() -> None:
    profile = make_profile(country="DE")
    segment = make_segment({"trait": "country", "op": "eq", "value": "DE"})
    refresh_segment(segment_id=segment.pk, at=NOW)
    set_traits(profile_id=profile.pk, traits={"country": "FR"}, at=NOW + DAY)
    refresh_segment(segment_id=segment.pk, at=NOW + 2 * DAY)

    assert history() == [("FR", 1, "definition"), ("FR", -1, "event")]


def test_refresh_segment__after_a_failure__clears_it() -> None:
    segment = make_segment(EVERYBODY)
    record_failure(segment_id=segment.pk, reason="x" * 300, at=NOW)
    segment.refresh_from_db()
    assert (segment.failed_at, len(segment.failure)) == (NOW, 200)

    refresh_segment(segment_id=segment.pk, at=NOW)
    segment.refresh_from_db()
    assert (segment.failed_at, segment.failure) == (None, "")


def test_create_segment__writes_version_and_change_log() -> None:
    segment = create_segment(name="Löyal buyers!", rule=rule(BUYERS_30), at=NOW, description="who bought")

    assert segment.slug == "loyal-buyers"
    assert str(segment) == "Löyal buyers!"
    assert segment.version is not None
    assert segment.version.number == 1
    entry = ChangeLog.objects.get()
    assert (entry.object_type, entry.object_id, entry.transition) == ("segment", str(segment.pk), "create")
    assert entry.snapshot["rule"] == rule(BUYERS_30)


def test_edit_segment__same_rule__makes_no_version_but_renames() -> None:
    segment = make_segment(BUYERS_30)
    edit_segment(segment_id=segment.pk, rule=rule(dict(BUYERS_30)), at=NOW, name="New", description="text")

    segment.refresh_from_db()
    assert (segment.name, segment.description) == ("New", "text")
    assert SegmentVersion.objects.count() == 1


def test_edit_segment__cycle__is_refused_however_long() -> None:
    first = make_segment(EVERYBODY, slug="first")
    make_segment({"in_segment": "first"}, slug="second")
    make_segment({"not": {"in_segment": "second"}}, slug="third")

    for slug in ("first", "second", "third"):
        with pytest.raises(BadRule, match="would depend on itself"):
            edit_segment(segment_id=first.pk, rule=rule({"in_segment": slug}), at=NOW)
    with pytest.raises(BadRule, match="there is no segment fourth"):
        create_segment(slug="fourth", name="x", rule=rule({"in_segment": "fourth"}), at=NOW)
    assert references("third") == {"first", "second"}
    order = [Segment.objects.get(pk=pk).slug for pk in refresh_order()]
    assert order.index("first") < order.index("second") < order.index("third")


def test_archive_segment__in_use__is_refused_and_otherwise_ends_it() -> None:
    first = make_segment(EVERYBODY, slug="first")
    second = make_segment({"in_segment": "first"}, slug="second")
    with pytest.raises(CannotEditSegment, match="is used by second"):
        archive_segment(segment_id=first.pk, at=NOW)

    archive_segment(segment_id=second.pk, at=NOW)
    archive_segment(segment_id=second.pk, at=NOW)
    archive_segment(segment_id=first.pk, at=NOW)

    assert ChangeLog.objects.filter(transition="archive").count() == 2
    assert refresh_order() == []
    assert list(reads.list_segments()) == []
    assert [row.slug for row in reads.list_segments(with_archived=True)] == ["second", "first"]
    with pytest.raises(CannotEditSegment, match="is archived"):
        edit_segment(segment_id=first.pk, rule=rule(EVERYBODY), at=NOW)
    with pytest.raises(CannotEditSegment, match="no rule in force"):
        refresh_segment(segment_id=first.pk, at=NOW)


def test_free_slug__taken_or_empty_name__gets_a_number_or_a_word() -> None:
    make_segment(EVERYBODY, slug="buyers")
    make_segment(EVERYBODY, slug="buyers-2")

    assert free_slug("Buyers") == "buyers-3"
    assert free_slug("!!!") == "segment"


def test_count__exact_and_sampled__say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        make_profile(country="DE" if number % 3 else "AT")
    germans = rule({"trait": "country", "op": "eq", "value": "DE"})
    exact = reads.count(rule=germans, at=NOW, is_exact=False)
    monkeypatch.setattr(reads, "PREVIEW_FROM", 1)
    monkeypatch.setattr(reads, "PREVIEW_BUCKETS", 1000)
    sampled = reads.count(rule=germans, at=NOW, is_exact=False)

    assert (exact.people, exact.everybody, exact.is_sampled) == (20, 30, False)
    assert (sampled.people, sampled.is_sampled) == (20, True)
    assert exact.percent == pytest.approx(66.67, abs=0.01)
    assert reads.Count(0, 0, is_sampled=False).percent == 0


def test_why__member__is_a_tree_with_the_values_that_decided() -> None:
    profile = make_profile(user_id="a", country="DE")
    send(*(track("Order Completed", user="a", at=NOW - DAY, revenue=5) for _ in range(3)))
    tree = {"all": [BUYERS_30, {"not": {"trait": "country", "op": "eq", "value": "AT"}}]}

    explanation = reads.why(rule=rule(tree), profile_id=profile.pk, at=NOW)

    assert explanation.holds
    assert [part.holds for part in explanation.parts] == [True, True]
    assert explanation.parts[0].value == 3
    assert explanation.parts[1].parts[0].value == "DE"
    assert not explanation.parts[1].parts[0].holds


def test_reads__members_changes_and_overlap__are_those_of_the_last_refresh() -> None:
    german, austrian = make_profile(country="DE"), make_profile(country="AT")
    everybody = make_segment(EVERYBODY)
    germans = make_segment({"trait": "country", "op": "eq", "value": "DE"})
    for segment in (everybody, germans):
        refresh_segment(segment_id=segment.pk, at=NOW)

    assert {row.profile for row in reads.members(segment_id=everybody.pk)} == {german, austrian}
    assert reads.is_member(segment_id=germans.pk, profile_id=german.pk)
    assert not reads.is_member(segment_id=germans.pk, profile_id=austrian.pk)
    assert [row.segment for row in reads.memberships_of(profile_id=austrian.pk)] == [everybody]
    assert [(one.segment, one.shared, one.percent) for one in reads.overlap(segment=everybody)] == [(germans, 1, 50.0)]
    assert reads.overlap(segment=make_segment(EVERYBODY)) == []
    assert len(reads.recent_changes(segment_id=everybody.pk)) == 2
    assert [row.number for row in reads.versions(segment_id=germans.pk)] == [1]
    assert reads.get_segment(slug=germans.slug) == germans


def test_segment_version__changed_behind_the_services__the_database_refuses() -> None:
    segment = make_segment(EVERYBODY)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        SegmentVersion.objects.filter(segment=segment).update(number=9)


# The six traps of Django and SQLite that others fell into.


def test_trap_1__range_on_a_free_trait__finds_people_on_every_database() -> None:
    declare_trait(key="visits", name="Visits", type_=TraitType.NUMBER)
    for visits in (1, 5, 9):
        make_profile(visits=visits)
    between = {
        "all": [{"trait": "visits", "op": "gte", "value": 2}, {"trait": "visits", "op": "lte", "value": 9}],
    }

    assert reads.count(rule=rule(between), at=NOW).people == 2


@pytest.mark.parametrize("key", ["plan", "country"])
def test_trap_2__not__keeps_people_without_the_value(key: str) -> None:
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT)
    for value in ("DE", "AT", None):
        traits: dict[str, Any] = {key: value}
        make_profile(**traits)
    known = {"trait": key, "op": "eq", "value": "DE"}

    assert reads.count(rule=rule({"not": known}), at=NOW).people == 2
    assert reads.count(rule=rule({"trait": key, "op": "ne", "value": "DE"}), at=NOW).people == 1


@pytest.mark.parametrize("bound", [5, 5.5])
def test_bound__person_with_the_value__is_on_exactly_one_side(bound: float) -> None:
    declare_trait(key="visits", name="Visits", type_=TraitType.NUMBER)
    profile = make_profile(visits=bound)
    above, below = (
        reads.matching_ids(rule=rule({"trait": "visits", "op": op, "value": bound}), at=NOW) for op in ("gt", "lte")
    )

    assert (above, below) == ([], [profile.pk])


def _sqlite_plan(root: Any) -> str:
    """How SQLite would run a rule, whatever database the suite runs on."""
    words = reads.vocabulary()
    where = compile_rule(reads.read_rule(rule(root), words), vocabulary=words, at=to_micros(NOW), dialect="sqlite")
    memory = sqlite3.connect(":memory:")
    memory.executescript(
        """
        CREATE TABLE marketing_profile (id integer PRIMARY KEY);
        CREATE TABLE marketing_profiletrait (profile_id bigint, definition_id bigint, number real, text text);
        CREATE INDEX marketing_trait_number ON marketing_profiletrait (definition_id, number, profile_id);
        CREATE UNIQUE INDEX marketing_trait_once ON marketing_profiletrait (profile_id, definition_id);
        CREATE TABLE marketing_event (id integer PRIMARY KEY, type_id bigint, at bigint, profile_id bigint);
        CREATE INDEX marketing_event_type_at ON marketing_event (type_id, at, profile_id);
        CREATE INDEX marketing_event_profile ON marketing_event (profile_id, type_id, at);
        """
    )
    sql = f"EXPLAIN QUERY PLAN SELECT p.id FROM marketing_profile p WHERE {where.sql}"
    plan = " | ".join(str(row[-1]) for row in memory.execute(sql.replace("%s", "?"), where.params))
    memory.close()
    return plan


def test_trap_3__condition_on_a_free_trait__uses_its_index() -> None:
    declare_trait(key="visits", name="Visits", type_=TraitType.NUMBER)

    assert "marketing_trait_number (definition_id=? AND number>?)" in _sqlite_plan(
        {"trait": "visits", "op": "gt", "value": 2}
    )


def test_trap_4__event_count_in_a_window__reads_the_range_and_does_not_skip_through_profiles() -> None:
    send(track("Order Completed", user="a"))
    plan = _sqlite_plan({**BUYERS_30, "n": 2})

    assert "marketing_event_type_at (type_id=? AND at>?)" in plan
    assert "marketing_event_profile" not in plan


def test_trap_5__staged_column_without_a_type__is_refused() -> None:
    with pytest.raises(ValueError, match="types must be among"), staged(name="x", columns={"id": ""}, rows=[]):
        pass


def test_trap_6__second_value_of_a_trait__the_database_refuses() -> None:
    definition = declare_trait(key="visits", name="Visits", type_=TraitType.NUMBER)
    profile = make_profile(visits=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        ProfileTrait.objects.create(profile=profile, definition=definition, number=2, at=1)


def test_consent__latest_statement__decides() -> None:
    one, other = make_profile(), make_profile()
    for purpose in (Purpose.MARKETING_EMAIL, Purpose.PROFILING):
        give_consent(one, purpose, at=NOW)
        give_consent(other, purpose, at=NOW)
        give_consent(other, purpose, granted=False, at=NOW + DAY)
        give_consent(one, purpose, granted=False, at=NOW - DAY)

        assert reads.matching_ids(rule=rule({"consent": purpose}), at=NOW) == [one.pk]


def test_create_segment__refers_to_its_own_name__is_refused() -> None:
    make_segment(EVERYBODY, slug="buyers")
    with pytest.raises(BadRule, match="cannot refer to itself"):
        create_segment(slug="buyers", name="x", rule=rule({"in_segment": "buyers"}), at=NOW)


@pytest.mark.django_db(transaction=True)
def test_count__on_sqlite__does_not_take_the_write_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    real = transaction.Atomic.__enter__

    def enter(self: transaction.Atomic) -> None:
        begun.append("atomic")
        real(self)

    words = rule({"trait": "country", "op": "eq", "value": "DE"})
    monkeypatch.setattr(transaction.Atomic, "__enter__", enter)
    assert reads.count(rule=words, at=NOW).people == 0
    assert begun == ([] if connection.vendor == "sqlite" else ["atomic", "atomic"])
