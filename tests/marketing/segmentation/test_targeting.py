"""One rule, three forms: SQL over the profiles, Python over their attributes, the clients' own evaluator."""

from __future__ import annotations

from typing import Any

import growthbook.core
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.targeting.clients import to_condition
from experiments.targeting.evaluate import matches
from experiments.targeting.tree import EVERYONE, Condition, Not, Rule, parse
from marketing.models import Membership, Profile, ProfileTrait, TraitDefinition
from marketing.segmentation.targeting import compile_targeting
from marketing.selectors.people import list_attributes, targeted
from marketing.selectors.segments import vocabulary
from tests.examples import examples
from tests.experiments.targeting.strategies import rules_about
from tests.factories.marketing import NOW, make_profile, make_segment

pytestmark = pytest.mark.django_db

WORDS = ("", "a", "b", "ab", "é", "\ud7ff", "\ue000", "\uffee", "😀", "😀a", "a😀", "a\uffee", "10", "9")
NUMBERS = (None, -2.0, 0.0, 0.5, 1.0, 9.0, 10.0, 1e9, 2.0**53)
HUGE = 10**400
"""No double is as large."""
NAMES = ("word", "amount", "vip", "country", "birth_year", "orders_n", "revenue", "marketing_ok", "segments", "nothing")
values = st.one_of(
    st.sampled_from([word for word in WORDS if word] + ["gold", "DE"]),
    st.sampled_from([-2, 0, 1, 9, 10, 1990, 12.5, 0.5, -0.0, 2**53, 2**53 + 1, -(2**53) - 1, HUGE, -HUGE]),
    st.booleans(),
)


@pytest.fixture
def world() -> list[Profile]:
    word = TraitDefinition.objects.create(key="word", name="Word", type="text")
    amount = TraitDefinition.objects.create(key="amount", name="Amount", type="number")
    vip = TraitDefinition.objects.create(key="vip", name="VIP", type="boolean")
    gold = make_segment({"all": []}, slug="gold")
    Membership.objects.filter(segment=gold).delete()
    profiles = [make_profile() for _ in WORDS]
    for index, profile in enumerate(profiles):
        number = NUMBERS[index % len(NUMBERS)]
        Profile.objects.filter(pk=profile.pk).update(
            country=("DE", "", "AT")[index % 3],
            birth_year=(None, 1990, 2001)[index % 3],
            orders_n=index,
            revenue=index * 2_500_000,
            marketing_ok=index % 2 == 0,
        )
        if WORDS[index]:
            ProfileTrait.objects.create(profile=profile, definition=word, text=WORDS[index], at=0)
        if number is not None:
            ProfileTrait.objects.create(profile=profile, definition=amount, number=number, at=0)
        if index % 3:
            ProfileTrait.objects.create(profile=profile, definition=vip, number=index % 2, at=0)
        if index % 4 == 0:
            Membership.objects.create(segment=gold, profile=profile, entered_at=NOW)
    return profiles


def _chosen(rule: Rule) -> set[int]:
    condition = targeted(rule)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT p.id FROM marketing_profile p WHERE {condition.sql}", condition.params)
        return {pk for (pk,) in cursor.fetchall()}


@pytest.mark.thorough
@pytest.mark.no_cover
@given(data=st.data())
@settings(max_examples=examples(80, full=300), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_targeting__any_rule__sql_python_and_client_agree_person_by_person(
    world: list[Profile], data: st.DataObject
) -> None:
    rule = data.draw(rules_about(NAMES, values))
    people = list_attributes(profile_ids=[profile.pk for profile in world])
    by_sql = _chosen(rule)
    condition = to_condition(rule)
    for pk, attributes in people.items():
        expected = matches(rule, attributes)
        assert (pk in by_sql) is expected, attributes
        assert growthbook.core.evalCondition(attributes, condition) is expected, attributes


@pytest.mark.parametrize("op", ["gt", "gte", "lt", "lte"])
@pytest.mark.parametrize("value", [word for word in WORDS if word])
def test_targeting__order_of_texts__by_utf16_code_units(world: list[Profile], op: str, value: str) -> None:
    rule = Condition("word", op, value)
    people = list_attributes(profile_ids=[profile.pk for profile in world])
    assert _chosen(rule) == {pk for pk, attributes in people.items() if matches(rule, attributes)}


@pytest.mark.parametrize("op", ["eq", "gt", "gte", "lt", "lte"])
@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**53, HUGE, -HUGE], ids=["up", "down", "two", "+", "-"])
def test_targeting__numbers_between_two_doubles__cut_exactly(world: list[Profile], op: str, value: int) -> None:
    rule = Condition("amount", op, value)
    people = list_attributes(profile_ids=[profile.pk for profile in world])
    assert _chosen(rule) == {pk for pk, attributes in people.items() if matches(rule, attributes)}


def test_targeting__everyone_and_nobody(world: list[Profile]) -> None:
    everyone = {profile.pk for profile in world}
    assert _chosen(EVERYONE) == everyone
    assert _chosen(Not(EVERYONE)) == set()
    assert _chosen(parse({"attribute": "segments", "op": "contains", "value": "no such segment"})) == set()


def test_targeting__address_and_moments__are_no_attributes(world: list[Profile]) -> None:
    attributes: dict[str, Any] = next(iter(list_attributes(profile_ids=[world[0].pk]).values()))
    assert not {"email", "first_seen_at", "last_seen_at"} & set(attributes)
    assert attributes["segments"] == ["gold"]
    sql = compile_targeting(Condition("email", "exists", value=True), vocabulary=vocabulary(), dialect="sqlite").sql
    assert "email" not in sql


@pytest.mark.parametrize("value", ["a\x00b", "\ud83d"])
def test_parse__text_that_no_database_keeps__is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="NUL"):
        parse({"attribute": "word", "op": "eq", "value": value})
