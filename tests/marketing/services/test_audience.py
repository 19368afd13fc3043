from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from marketing.choices import MergeReason, Outside, Purpose
from marketing.selectors.campaigns import page_config
from marketing.services.audience import Visitor, find_person, outside, reachable
from marketing.services.identity import merge
from tests.factories.campaigns import make_campaign, make_members, make_visitor
from tests.factories.marketing import NOW, give_consent, make_profile

pytestmark = pytest.mark.django_db
ASKED = ("analytics", "personalization")


def test_find_person__known_visitor__is_found_in_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    profile, visitor = make_visitor()
    with django_assert_num_queries(1):
        person = find_person(visitor=visitor, purposes=ASKED)
    assert person is not None
    assert person.profile_id == profile.pk
    assert person.purposes == {"analytics", "personalization"}
    assert person.is_member
    assert person.aliases == ()


def test_find_person__withdrawn_consent__the_newest_word_counts() -> None:
    profile, visitor = make_visitor()
    give_consent(profile, Purpose.ANALYTICS, granted=False, at=NOW)
    give_consent(profile, Purpose.PERSONALIZATION, granted=False, at=NOW - timedelta(days=400))
    person = find_person(visitor=visitor, purposes=ASKED)
    assert person is not None
    assert person.purposes == {"personalization"}


def test_find_person__segment__membership_is_told() -> None:
    member, visitor = make_visitor()
    _other, stranger = make_visitor()
    segment = make_members(member)
    inside, outsider = (find_person(visitor=one, segment_id=segment.pk) for one in (visitor, stranger))
    assert inside is not None
    assert outsider is not None
    assert (inside.is_member, outsider.is_member) == (True, False)


def test_find_person__merged_profile__brings_its_earlier_unit_id() -> None:
    loser, visitor = make_visitor()
    winner = make_profile()
    merge(winner_id=winner.pk, loser_id=loser.pk, reason=MergeReason.SIGN_IN, at=NOW)
    person = find_person(visitor=visitor)
    assert person is not None
    assert person.profile_id == winner.pk
    assert person.aliases == (str(loser.pk),)


@pytest.mark.parametrize(
    "visitor",
    [Visitor(), Visitor(anonymous_id="never-seen"), Visitor(demo_profile_id=4711)],
)
def test_find_person__nobody__is_none(visitor: Visitor) -> None:
    assert find_person(visitor=visitor) is None


def test_find_person__privacy_signal__nobody_is_looked_up(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    _profile, visitor = make_visitor()
    with django_assert_num_queries(0):
        assert find_person(visitor=replace(visitor, opts_out=True)) is None


def test_find_person__playing_a_real_person__is_refused() -> None:
    profile, _visitor = make_visitor()
    assert find_person(visitor=Visitor(demo_profile_id=profile.pk)) is None


def test_find_person__playing_a_demo_person__is_that_person() -> None:
    profile, _visitor = make_visitor()
    profile.__class__.objects.filter(pk=profile.pk).update(is_demo=True)
    person = find_person(visitor=Visitor(demo_profile_id=profile.pk))
    assert person is not None
    assert person.profile_id == profile.pk


def test_outside__each_reason__comes_before_any_arm() -> None:
    campaign = page_config(slug=make_campaign().slug)
    _profile, visitor = make_visitor()
    person = find_person(visitor=visitor, purposes=ASKED)
    assert person is not None
    stopped = replace(campaign, status="paused")
    cases = [
        (stopped, visitor, person, Outside.NOT_RUNNING),
        (campaign, replace(visitor, suspicion="bot"), person, Outside.BOT),
        (campaign, replace(visitor, opts_out=True), None, Outside.PRIVACY_SIGNAL),
        (campaign, Visitor(), None, Outside.NO_VISITOR),
        (campaign, visitor, replace(person, purposes=frozenset({"analytics"})), Outside.NO_CONSENT),
        (campaign, visitor, replace(person, is_member=False), Outside.NOT_IN_SEGMENT),
        (campaign, visitor, person, None),
    ]
    for config, who, known, expected in cases:
        assert outside(visitor=who, person=known, campaign=config) == expected


def test_reachable__segment_and_consents__counts_who_has_all_of_them() -> None:
    both, _ = make_visitor()
    measured, _ = make_visitor(purposes=(Purpose.ANALYTICS,))
    withdrawn, _ = make_visitor()
    make_visitor()
    give_consent(withdrawn, Purpose.PERSONALIZATION, granted=False, at=NOW)
    segment = make_members(both, measured, withdrawn)
    assert reachable(segment_id=segment.pk, purposes=("analytics", "personalization")) == 1
    assert reachable(segment_id=segment.pk, purposes=("analytics",)) == 3
    assert reachable(segment_id=None, purposes=("analytics", "personalization")) == 2


def test_reachable__asked_again__is_remembered(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    reachable(segment_id=None, purposes=("analytics",))
    with django_assert_num_queries(0):
        reachable(segment_id=None, purposes=("analytics",))
