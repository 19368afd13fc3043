"""Looking only at who can have changed sides comes to the same members as looking at everybody."""

from __future__ import annotations

import contextlib
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketing.choices import DeliveryStatus, MembershipCause, MergeReason, Purpose
from marketing.errors import CannotMerge
from marketing.models import Campaign, ChangedProfile, Delivery, Membership, MembershipEvent, Merge, Profile, Segment
from marketing.segmentation.clock import to_micros
from marketing.segmentation.evaluate import Person, explain, matches
from marketing.selectors.segments import load_person, matching_ids, read_rule, vocabulary
from marketing.services.identity import merge, undo_merge
from marketing.services.membership import RefreshResult, refresh_changes, refresh_segment
from marketing.services.profiles import set_traits
from marketing.services.segments import archive_segment, edit_segment
from marketing.services.sending import outbox
from tests.factories.marketing import NOW, give_consent, make_profile, make_segment, send, track
from tests.factories.rules import DAYS, EVENTS, PEOPLE, RULES, deliver, make_world

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
BUYERS_30 = {"event": "Order Completed", "op": "gte", "n": 1, "days": 30}


def refresh(segment: Segment, at: datetime) -> RefreshResult:
    """The incremental refresh of one segment."""
    found = refresh_changes(at=at)
    assert found.failed == []
    return found.refreshed[segment.pk]


def _do_something(rng: random.Random, at: datetime) -> None:
    """One of the things that happen to people."""
    people = list(Profile.objects.living().order_by("pk"))
    person, other = rng.sample(people, 2)
    deed = rng.randrange(9)
    if deed <= 2:
        user = f"u{rng.randrange(2, PEOPLE)}"
        when = at - timedelta(days=rng.choice((0, 0, 1, 4, 29)))  # some come late
        send(track(rng.choice(EVENTS[:-1]), user=user, at=when, revenue=rng.choice((1, 5)), color="x"), at=at)
    elif deed == 3:
        values = rng.choice(({"country": "AT"}, {"visits": 5}, {"plan": "x"}, {"joined": at.date().isoformat()}))
        set_traits(profile_id=person.pk, traits=values, at=at)
    elif deed == 4:
        give_consent(person, rng.choice(tuple(Purpose)), granted=rng.random() < 0.5, at=at)
    elif deed == 5:
        with contextlib.suppress(CannotMerge):
            merge(winner_id=person.pk, loser_id=other.pk, reason=MergeReason.MANUAL, at=at)
    elif deed == 6:
        for done in Merge.objects.filter(undone_at=None).order_by("-pk")[:1]:
            undo_merge(merge_id=done.pk, at=at)
    elif deed == 7:
        make_profile(at=at, country="DE")
    else:
        campaign = Campaign.objects.order_by("slug").first()
        assert campaign is not None
        row = Delivery.objects.filter(campaign=campaign, profile=person).first() or deliver(person, campaign)
        Delivery.objects.filter(pk=row.pk).update(status=DeliveryStatus.SENDING, claim="mine")
        outbox.settle(ids=[row.pk], claim="mine", status=DeliveryStatus.SENT, at=at)


def test_refresh_changes__random_rules_and_histories__same_members_as_a_full_refresh() -> None:
    make_world(3)
    moved = {"entered": 0, "left": 0}

    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(roots=st.lists(RULES, min_size=4, max_size=4), seed=st.integers(0, 10**6))
    def check(roots: list[Any], seed: int) -> None:
        rng = random.Random(seed)
        at = NOW
        segments = [make_segment(root) for root in roots]
        chain = {"any": [{"not": {"in_segment": segments[0].slug}}, {"in_segment": segments[1].slug}]}
        segments.append(make_segment(chain))
        segments.append(make_segment({"not": {"in_segment": segments[-1].slug}}))
        refresh_changes(at=at)
        for _ in range(3):
            for _ in range(3):
                _do_something(rng, at)
            at += timedelta(days=rng.choice((0, 0.3, *DAYS)))
            found = refresh_changes(at=at)
            assert found.failed == []
            for segment in segments:
                assert segment.version is not None
                stored = set(Membership.objects.filter(segment=segment).values_list("profile_id", flat=True))
                assert stored == set(matching_ids(rule=segment.version.rule, at=at)), segment.version.rule
                segment.refresh_from_db(fields=["members_n"])
                assert segment.members_n == len(stored)
                moved["entered"] += found.refreshed[segment.pk].entered
                moved["left"] += found.refreshed[segment.pk].left
        for segment in reversed(segments):
            archive_segment(segment_id=segment.pk, at=at)

    check()
    assert min(moved.values()) > 20  # people must come and go, or the comparison proves nothing


def test_refresh_changes__few_changed__looks_at_these_and_at_whom_the_clock_moved() -> None:
    for number in range(20):
        make_profile(user_id=f"u{number}", at=NOW - 90 * DAY)
    send(*(track("Order Completed", user=f"u{number}", at=NOW - (10 + number) * DAY) for number in range(20)))
    segment = make_segment(BUYERS_30)
    refresh(segment, NOW)

    later = NOW + timedelta(days=2.5)
    send(track("Product Viewed", user="u0", at=later), at=later)
    result = refresh(segment, later)

    # u0 did something; of u18 and u19 the order is too old now (u20 does not exist).
    assert (result.looked_at, result.entered, result.left, result.members) == (3, 0, 2, 18)
    assert refresh(segment, later).looked_at == 0
    assert not ChangedProfile.objects.exists()


def test_refresh_changes__each_cause__is_written_down() -> None:
    clock, doer, agreed, joined = (
        make_profile(user_id=name, country=name.upper()[:2], at=NOW - 90 * DAY) for name in ("aa", "bb", "cc", "dd")
    )
    send(track("Order Completed", user="aa", at=NOW - 29 * DAY))
    twin = make_profile(user_id="twin", at=NOW - 90 * DAY)
    send(track("Order Completed", user="twin", at=NOW - DAY))
    segment = make_segment({"any": [BUYERS_30, {"consent": "profiling"}]})
    refresh(segment, NOW)
    assert set(MembershipEvent.objects.values_list("cause", flat=True)) == {MembershipCause.DEFINITION}

    later = NOW + 2 * DAY
    send(track("Order Completed", user="bb", at=later - timedelta(hours=1)), at=later)
    give_consent(agreed, Purpose.PROFILING, at=later)
    merge(winner_id=joined.pk, loser_id=twin.pk, reason=MergeReason.MANUAL, at=later)
    refresh(segment, later)

    causes = MembershipEvent.objects.filter(at=later).values_list("profile_id", "change", "cause")
    assert set(causes) == {
        (clock.pk, -1, MembershipCause.CLOCK),
        (doer.pk, 1, MembershipCause.EVENT),
        (agreed.pk, 1, MembershipCause.CONSENT),
        (joined.pk, 1, MembershipCause.MERGE),
        (twin.pk, -1, MembershipCause.MERGE),
    }


def test_refresh_changes__late_event__is_behaviour_and_not_the_clock() -> None:
    make_profile(user_id="u", at=NOW - 90 * DAY)
    segment = make_segment(BUYERS_30)
    refresh(segment, NOW)
    send(track("Order Completed", user="u", at=NOW - 20 * DAY), at=NOW + DAY)
    refresh(segment, NOW + DAY)

    assert MembershipEvent.objects.get().cause == MembershipCause.EVENT


def test_refresh_changes__referred_segment_refreshed_alone__dependents_follow() -> None:
    make_profile(user_id="u", at=NOW - 90 * DAY)
    send(track("Order Completed", user="u", at=NOW - 29 * DAY))
    buyers = make_segment(BUYERS_30, slug="buyers")
    others = make_segment({"not": {"in_segment": "buyers"}}, slug="others")
    refresh(others, NOW)
    later = NOW + 2 * DAY
    refresh_segment(segment_id=buyers.pk, at=later)  # on demand; nobody did anything
    result = refresh(others, later)

    assert (result.entered, result.members) == (1, 1)
    assert MembershipEvent.objects.get(segment=others).cause == MembershipCause.CLOCK


def test_refresh_changes__rule_edited__is_counted_for_everybody() -> None:
    make_profile(country="DE")
    make_profile(country="AT")
    segment = make_segment({"trait": "country", "op": "eq", "value": "DE"})
    refresh(segment, NOW)
    rule = {"schema": 1, "root": {"trait": "country", "op": "eq", "value": "AT"}}
    edit_segment(segment_id=segment.pk, rule=rule, at=NOW)
    result = refresh(segment, NOW + DAY)

    assert (result.entered, result.left, result.members) == (1, 1, 1)


def test_refresh_changes__one_fails__the_others_go_on_and_it_is_counted_for_everybody_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken, good = make_segment({"all": []}), make_segment({"all": []})
    refresh(good, NOW)
    make_profile()
    rule = broken.version
    assert rule is not None
    real = refresh_changes.__globals__["condition"]

    def condition(**given: Any) -> Any:
        if failing and failing.pop():
            raise RuntimeError("the disk is full")
        return real(**given)

    failing = [True]
    monkeypatch.setitem(refresh_changes.__globals__, "condition", condition)
    found = refresh_changes(at=NOW + DAY)

    assert [one.segment_id for one in found.failed] == [broken.pk]
    assert found.refreshed[good.pk].members == 1
    broken.refresh_from_db()
    assert broken.failure == "RuntimeError: the disk is full"
    assert not ChangedProfile.objects.exists()
    assert refresh(broken, NOW + 2 * DAY).members == 1
    broken.refresh_from_db()
    assert broken.failed_at is None


def test_refresh_changes__killed_run__its_claims_are_taken_over() -> None:
    segment = make_segment({"all": []})
    refresh(segment, NOW)
    make_profile()
    ChangedProfile.objects.update(claim="of a process that died")

    assert refresh(segment, NOW + DAY).entered == 1
    assert not ChangedProfile.objects.exists()


def test_refresh_changes__very_many_changed__counts_everybody_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    segment = make_segment({"all": []})
    refresh(segment, NOW)
    monkeypatch.setattr("marketing.services.membership.FEW", 1)
    for _ in range(3):
        make_profile()
    result = refresh(segment, NOW + DAY)

    assert (result.looked_at, result.entered) == (0, 3)


def test_explain__flips__are_the_moments_at_which_the_answer_changes() -> None:
    make_world(4)
    words = vocabulary()
    people = [load_person(profile_id=pk, words=words) for pk in Profile.objects.living().values_list("pk", flat=True)]
    seen = [0]

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(root=RULES)
    def check(root: Any) -> None:
        node = read_rule({"schema": 1, "root": root}, words)

        def holds(person: Person, at: int) -> bool:
            return matches(node, person, traits=words.traits, at=at)

        for person in people:
            found = explain(node, person, traits=words.traits, at=to_micros(NOW))
            answer = found.holds
            for flip in found.flips[:5]:
                assert (holds(person, flip - 1), holds(person, flip)) == (answer, not answer)
                answer = not answer
                seen[0] += 1

    check()
    assert seen[0] > 30


@pytest.mark.sqlite
def test_refresh_changes__on_sqlite__reads_the_events_of_the_candidates_only() -> None:
    for number in range(200):
        send(track("Order Completed", user=f"u{number}", at=NOW - DAY))
    segment = make_segment({**BUYERS_30, "n": 2})
    refresh(segment, NOW)
    send(track("Order Completed", user="u7", at=NOW))
    plans: list[str] = []

    def explain_first(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT INTO stage_members"):
            with connection.cursor() as cursor:
                cursor.cursor.execute("EXPLAIN QUERY PLAN " + sql, params)
                plans.append(str(cursor.cursor.fetchall()))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain_first):
        assert refresh(segment, NOW).entered == 1
    assert "marketing_event_profile (profile_id=? AND type_id=? AND at>?)" in plans[0]
    assert "BLOOM" not in plans[0]
