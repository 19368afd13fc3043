from __future__ import annotations

import pytest

from marketing.choices import IdentityKind
from marketing.models import Profile
from marketing.selectors.visitors import demo_people, find_demo_person
from marketing.services.profiles import create_profile
from tests.factories.campaigns import make_members
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db


def make_demo_person(address: str) -> Profile:
    return create_profile(identities=[(IdentityKind.EMAIL, address)], traits={"email": address}, at=NOW, is_demo=True)


def test_find_demo_person__number_or_address__finds_the_person() -> None:
    ana = make_demo_person("ana@example.org")
    assert find_demo_person(wanted=str(ana.pk)) == ana.pk
    assert find_demo_person(wanted=" Ana@Example.org ") == ana.pk


def test_find_demo_person__real_or_merged_person__is_none() -> None:
    ana, bo = make_demo_person("ana@example.org"), make_demo_person("bo@example.org")
    Profile.objects.filter(pk=ana.pk).update(is_demo=False)
    Profile.objects.filter(pk=bo.pk).update(merged_into=ana)
    assert find_demo_person(wanted=str(ana.pk)) is None
    assert find_demo_person(wanted="bo@example.org") is None


def test_demo_people__segment__are_its_members_only() -> None:
    ana, _bo = make_demo_person("ana@example.org"), make_demo_person("bo@example.org")
    segment = make_members(ana)
    assert [person.label for person in demo_people(segment_id=segment.pk, limit=5)] == ["ana@example.org"]
    assert len(demo_people(segment_id=None, limit=1)) == 1
