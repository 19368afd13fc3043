"""Statement 22: protected traits need a recorded basis; the report compares groups, never a few people."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction
from django.test import Client

from experiments.services.exposure import ExposureRow, record_many
from experiments.services.shares import auc, compare_shares, mean_bounds, share_bounds
from marketing.choices import IdentityKind, Sensitivity, SpecialBasis, TraitType
from marketing.errors import CannotReport, ProtectedTrait
from marketing.models import Campaign, ChangeLog, TraitBasis, TraitDefinition
from marketing.segmentation.clock import to_micros
from marketing.services.fairness import MINIMUM, FairnessReport, GroupRow, of_campaign, of_segment
from marketing.services.profiles import NewProfile, create_profiles, declare_trait
from marketing.services.protected import record_basis
from tests.factories.campaigns import STARTED, make_campaign, make_catalogue, make_members, make_user
from tests.factories.marketing import NOW, send, track

pytestmark = pytest.mark.django_db
ARMS = ("control", "personal")


def protect(key: str, type_: TraitType = TraitType.TEXT, *, has_basis: bool = True) -> TraitDefinition:
    trait = declare_trait(key=key, name=key.title(), type_=type_, sensitivity=Sensitivity.PROTECTED)
    if has_basis:
        record_basis(definition=trait, basis=SpecialBasis.EXPLICIT_CONSENT, reason="They told us so.", at=NOW)
    return trait


def people(n: int, *, start: int = 0, **traits: Any) -> list[int]:
    rows = [NewProfile([(IdentityKind.USER_ID, f"u{start + number}")], traits) for number in range(n)]
    return create_profiles(rows=rows, at=STARTED)


def expose(campaign: Campaign, ids: list[int], *, converts: tuple[int, int], start: int = 0) -> None:
    """Half of them in each arm; of each arm the first so many buy."""
    at = STARTED + timedelta(days=1)
    rows, orders = [], []
    for place, pk in enumerate(ids):
        arm = ARMS[place % 2]
        rows.append(ExposureRow(campaign.experiment_key, "profile", str(pk), arm, 1, to_micros(at)))
        if place // 2 < converts[place % 2]:
            orders.append(track("Order Completed", user=f"u{start + place}", at=at + timedelta(days=2), revenue=5))
    record_many(rows=rows)
    send(*orders, at=NOW)


def world() -> Campaign:
    """200 of group a, half of them reached; 100 of group b, all reached; 20 of c."""
    protect("origin")
    protect("member", TraitType.BOOLEAN)
    campaign = make_campaign()
    a = people(200, origin="a", member=True)
    b = people(100, start=200, origin="b", member=False)
    c = people(20, start=300, origin="c")
    expose(campaign, [*a[:100]], converts=(10, 25))
    expose(campaign, b, converts=(10, 10), start=200)
    expose(campaign, c, converts=(1, 1), start=300)
    return campaign


def row(report: FairnessReport, traits: str, label: str) -> GroupRow:
    (found,) = [one for one in report.groups if (one.traits, one.label) == (traits, label)]
    return found


def test_compliance_22__report__compares_delivery_conversion_and_lift_by_group() -> None:
    report = of_campaign(slug=world().slug, at=NOW)
    a, b = row(report, "Origin", "a"), row(report, "Origin", "b")
    assert a.delivery is not None
    assert (a.delivery.successes, a.delivery.n) == (100, 200)
    assert a.delivery.bounds == share_bounds(successes=100, n=200)
    assert a.difference == compare_shares(control_successes=120, control_n=120, successes=100, n=200)
    assert a.conversion is not None
    assert (a.conversion.successes, a.conversion.n) == (35, 100)
    control, personal = a.arms
    assert control.conversion is not None
    assert (control.conversion.successes, control.conversion.n, control.effect) == (10, 50, None)
    assert personal.effect == compare_shares(control_successes=10, control_n=50, successes=25, n=50)
    assert personal.effect is not None
    assert personal.effect.effect == pytest.approx(0.3)
    assert b.arms[1].effect is not None
    assert b.arms[1].effect.effect == pytest.approx(0)


def test_compliance_22__few_people__are_not_shown() -> None:
    report = of_campaign(slug=world().slug, at=NOW)
    c = row(report, "Origin", "c")
    assert (c.delivery, c.conversion, c.arms) == (None, None, ())
    assert row(report, "Member", "not known").delivery is None
    assert report.suppressed_n == 3  # c, nobody knows, and both
    assert MINIMUM == 50
    assert '"20"' not in json.dumps([str(one) for one in report.groups])


def test_report__two_traits__are_crossed() -> None:
    report = of_campaign(slug=world().slug, at=NOW)
    both = row(report, "Member × Origin", "yes × a")
    assert both.delivery is not None
    assert both.delivery.n == 200


def test_report__arm_of_few__shows_the_group_without_it() -> None:
    protect("origin")
    campaign = make_campaign()
    expose(campaign, people(98, origin="a"), converts=(5, 5))
    people(100, start=200, origin="b")
    a = row(of_campaign(slug=campaign.slug, at=NOW), "Origin", "a")
    assert a.conversion is not None
    assert [arm.conversion for arm in a.arms] == [None, None]
    b = row(of_campaign(slug=campaign.slug, at=NOW), "Origin", "b")
    assert b.conversion is None  # nobody of them was reached


def test_report__numbers_of_many_values__are_four_groups() -> None:
    protect("income", TraitType.NUMBER)
    campaign = make_campaign()
    rows = [NewProfile([(IdentityKind.USER_ID, f"i{n}")], {"income": n}) for n in range(400)]
    create_profiles(rows=rows, at=STARTED)
    report = of_campaign(slug=campaign.slug, at=NOW)
    assert [(one.label, one.delivery.n) for one in report.groups if one.delivery] == [
        ("100 – 200", 100),
        ("200 – 300", 100),
        ("< 100", 100),
        ("≥ 300", 100),
    ]


def test_compliance_22__no_legal_basis__is_no_report() -> None:
    protect("origin", has_basis=False)
    with pytest.raises(ProtectedTrait, match="No legal basis is recorded for origin"):
        of_campaign(slug=make_campaign().slug, at=NOW)


def test_compliance_22__basis__needs_a_reason_and_is_logged() -> None:
    trait = protect("origin", has_basis=False)
    with pytest.raises(DatabaseError), transaction.atomic():
        record_basis(definition=trait, basis=SpecialBasis.STATISTICS, reason="", at=NOW)
    record_basis(definition=trait, basis=SpecialBasis.STATISTICS, reason="A study.", at=NOW, actor=make_user())
    assert TraitBasis.objects.get().basis == "statistics"
    log = ChangeLog.objects.get(object_type="trait")
    assert (log.message, log.snapshot["basis"]) == ("A study.", "statistics")
    with pytest.raises(DatabaseError), transaction.atomic():
        ChangeLog.objects.update(message="forged")


def test_report__nothing_to_report_on__says_what_is_missing() -> None:
    campaign = make_campaign()
    with pytest.raises(CannotReport, match="No trait is marked as protected"):
        of_campaign(slug=campaign.slug, at=NOW)
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT)
    with pytest.raises(CannotReport, match="plan is no protected trait"):
        of_campaign(slug=campaign.slug, at=NOW, traits=["plan"])
    with pytest.raises(CannotReport, match="no campaign “nothing”"):
        of_campaign(slug="nothing", at=NOW)
    with pytest.raises(CannotReport, match="no segment “nothing”"):
        of_segment(slug="nothing", at=NOW)
    for key in "abcde":
        protect(key)
    with pytest.raises(CannotReport, match="at most 4"):
        of_campaign(slug=campaign.slug, at=NOW)


def test_report__segment_with_a_strategy__shares_without_a_lift() -> None:
    protect("origin")
    make_catalogue()
    a, b = people(60, origin="a"), people(60, start=100, origin="b")
    from marketing.models import Profile

    segment = make_members(*Profile.objects.filter(pk__in=[*a, *b[:30]]))
    report = of_segment(slug=segment.slug, at=NOW, strategy="popularity")
    assert not report.has_experiment
    delivered = {one.label: one.delivery.value for one in report.groups if one.delivery}
    assert delivered == {"a": 1, "b": 0.5}
    assert all(one.arms == () for one in report.groups)
    (shown,) = {item.category for item in report.items}
    assert shown == "Things"
    assert [(item.label, item.people_n, item.value) for item in report.items] == [("Origin: a", 60, 1)]


def test_command_and_page__campaign__show_the_same(client: Client) -> None:
    campaign = world()
    out = io.StringIO()
    call_command("fairness_report", "--campaign", campaign.slug, stdout=out)
    assert "reached   100 of 200 = 50.0 %" in out.getvalue()
    assert "3 groups have fewer than 50 people: not shown" in out.getvalue()
    out = io.StringIO()
    call_command("fairness_report", "--campaign", campaign.slug, "--trait", "origin", "--json", stdout=out)
    assert json.loads(out.getvalue())["has_experiment"] is True
    with pytest.raises(CommandError, match="no campaign"):
        call_command("fairness_report", "--campaign", "nothing")
    client.force_login(make_user(role="analyst"))
    page = client.get("/privacy/fairness/", {"campaign": campaign.slug}).content.decode()
    assert "Origin: a" in page
    assert "not shown: fewer than 50 people" in page
    assert "no campaign" in client.get("/privacy/fairness/", {"campaign": "nothing"}).content.decode()
    assert client.get("/privacy/fairness/").status_code == 200


def test_shares__impossible_counts__raise() -> None:
    with pytest.raises(ValueError, match="between 0 and n"):
        share_bounds(successes=3, n=2)
    with pytest.raises(ValueError, match="two units"):
        mean_bounds(values=[1.0])
    with pytest.raises(ValueError, match="at least one unit"):
        auc(positives=[], negatives=[1.0])
    mean, bounds = mean_bounds(values=[1.0, 2.0, 3.0])
    assert mean == 2
    assert bounds.lower == pytest.approx(2 - 4.302653 / 3**0.5, rel=1e-6)
