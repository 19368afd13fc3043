"""Statement 22: a segment uses a protected trait with a legal basis and a logged reason only; proxies are told."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from marketing.choices import IdentityKind, Sensitivity, SpecialBasis, TraitType
from marketing.errors import BadRule, ProtectedTrait
from marketing.models import ChangeLog, Segment, TraitDefinition
from marketing.services.profiles import NewProfile, create_profiles, declare_trait
from marketing.services.protected import OVERRIDE, record_basis
from marketing.services.proxies import find_proxies
from marketing.services.segments import create_segment, edit_segment
from tests.factories.campaigns import make_user
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[3]
RULE: dict[str, Any] = {"schema": 1, "root": {"trait": "faith", "op": "eq", "value": "x"}}
PLAIN: dict[str, Any] = {"schema": 1, "root": {"all": []}}
WHY = "A greeting for their holiday."


@pytest.fixture
def faith() -> TraitDefinition:
    return declare_trait(key="faith", name="Faith", type_=TraitType.TEXT, sensitivity=Sensitivity.PROTECTED)


def allow(trait: TraitDefinition) -> None:
    record_basis(definition=trait, basis=SpecialBasis.EXPLICIT_CONSENT, reason="They told us so.", at=NOW)


def test_compliance_22__segment_without_a_basis__cannot_be_made(faith: TraitDefinition) -> None:
    with pytest.raises(ProtectedTrait, match="No legal basis is recorded for faith"):
        create_segment(name="S", rule=RULE, at=NOW, protected_reason=WHY)
    assert not Segment.objects.exists()


def test_compliance_22__segment_without_a_reason__cannot_be_made(faith: TraitDefinition) -> None:
    allow(faith)
    with pytest.raises(ProtectedTrait, match="faith is protected"):
        create_segment(name="S", rule=RULE, at=NOW)
    with pytest.raises(BadRule):
        create_segment(name="S", rule=RULE, at=NOW, protected_reason="  ")
    assert not Segment.objects.exists()


def test_compliance_22__override__is_logged_with_who_and_why(faith: TraitDefinition) -> None:
    allow(faith)
    user = make_user()
    segment = create_segment(name="S", rule=PLAIN, at=NOW, actor=user)
    with pytest.raises(ProtectedTrait):
        edit_segment(segment_id=segment.pk, rule=RULE, at=NOW, actor=user)
    edit_segment(segment_id=segment.pk, rule=RULE, at=NOW, actor=user, protected_reason=WHY)
    log = ChangeLog.objects.get(object_type="segment", transition=OVERRIDE)
    assert (log.actor, log.message, log.snapshot["traits"]) == (user, WHY, ["faith"])
    # The same trait in another wording of the rule needs no second reason.
    edit_segment(segment_id=segment.pk, rule={**RULE, "root": {"not": RULE["root"]}}, at=NOW, actor=user)
    assert ChangeLog.objects.filter(transition=OVERRIDE).count() == 1


def test_compliance_22__page__asks_for_the_reason(client: Client, faith: TraitDefinition) -> None:
    allow(faith)
    client.force_login(make_user())
    segment = create_segment(name="S", rule=PLAIN, at=NOW)
    sent = {"name": "S", "description": "", "rule_json": json.dumps(RULE)}
    refused = client.post(f"/segments/{segment.slug}/edit/", sent)
    assert "faith is protected" in refused.content.decode()
    assert client.post(f"/segments/{segment.slug}/edit/", sent | {"protected_reason": WHY}).status_code == 302
    assert ChangeLog.objects.filter(transition=OVERRIDE).exists()


def test_compliance_22__recommender__has_no_way_to_a_trait() -> None:
    """What models learn from is people's events and items' properties: no trait of a person is a feature."""
    for path in (ROOT / "marketing/facts/interactions.py", *sorted((ROOT / "recommender").rglob("*.py"))):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not names & {"ProfileTrait", "TraitDefinition", "TraitBasis"}, path


def people(n: int, *, start: int, **traits: Any) -> None:
    rows = [
        NewProfile([(IdentityKind.USER_ID, f"u{start + number}")], {name: of(number) for name, of in traits.items()})
        for number in range(n)
    ]
    create_profiles(rows=rows, at=NOW)


def test_compliance_22__trait_that_gives_a_protected_one_away__is_told(client: Client, faith: TraitDefinition) -> None:
    for key, type_ in (("income", TraitType.NUMBER), ("town", TraitType.TEXT), ("shoe", TraitType.NUMBER)):
        declare_trait(key=key, name=key.title(), type_=type_)
    people(
        80,
        start=0,
        faith=lambda _n: "x",
        income=lambda n: 1_000 + n,
        town=lambda n: "A" if n % 10 else "B",
        shoe=lambda n: n % 7,
    )
    people(
        80,
        start=100,
        faith=lambda _n: "y",
        income=lambda n: 1_070 + n,
        town=lambda n: "B" if n % 10 else "A",
        shoe=lambda n: n % 7,
    )
    rule = {
        "schema": 1,
        "root": {"all": [{"trait": key, "op": "is_set"} for key in ("income", "town", "shoe")]},
    }
    found = find_proxies(rule=rule)
    assert {(one.trait, one.protected, one.value) for one in found} == {
        (trait, "Faith", value) for trait in ("Income", "Town") for value in ("x", "y")
    }
    assert all(0.75 <= one.area <= 1 for one in found)
    client.force_login(make_user())
    segment = create_segment(name="S", rule=PLAIN, at=NOW)
    page = client.post(
        f"/segments/{segment.slug}/edit/", {"name": "S", "rule_json": json.dumps(rule)}, follow=True
    ).content.decode()
    assert "“Income” predicts the protected trait “Faith”" in page
    assert "Shoe” predicts" not in page


def test_proxies__few_people__are_not_judged(faith: TraitDefinition) -> None:
    declare_trait(key="income", name="Income", type_=TraitType.NUMBER)
    people(49, start=0, faith=lambda _n: "x", income=lambda _n: 1)
    people(80, start=100, faith=lambda _n: "y", income=lambda _n: 2)
    rule = {"schema": 1, "root": {"trait": "income", "op": "is_set"}}
    assert find_proxies(rule=rule) == []
