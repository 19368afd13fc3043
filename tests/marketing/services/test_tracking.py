from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from django.core import signing

from marketing.choices import MergeReason, Purpose
from marketing.errors import UnknownVisitor
from marketing.models import Consent, Event, Identity, Link, Profile
from marketing.services.audience import Visitor
from marketing.services.campaigns import ArmDraft
from marketing.services.experience import Experience, serve
from marketing.services.identity import merge
from marketing.services.tracking import (
    button_token,
    choose_consent,
    read_token,
    record_click,
    record_order,
    record_view,
    shown_items,
    target_of,
)
from recommender.models import Item
from recommender.reports import Reason
from tests.factories.campaigns import CONTROL, PERSONAL, make_campaign, make_catalogue, make_visitor
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db
WITH_BUTTON: ArmDraft = replace(PERSONAL, button_text="Go", link="https://example.org/go")


def events(name: str) -> list[Event]:
    return list(Event.objects.filter(type__name=name).order_by("pk"))


def shown(visitor: Visitor) -> Experience:
    campaign = make_campaign(arms=(CONTROL, WITH_BUTTON))
    return serve(slug=campaign.slug, visitor=visitor, at=NOW)


def test_record_click__item_in_an_arm__is_an_event_with_the_experiments_context() -> None:
    profile, visitor = make_visitor()
    experience = shown(visitor)
    first = shown_items(experience=experience)[1]
    click = read_token(token=first.token)
    assert record_click(click=click, visitor=visitor, at=NOW)
    (event,) = events("Recommendation Clicked")
    assert event.profile_id == profile.pk
    assert event.item == first.item.item_id
    assert experience.recommendation is not None
    assert event.recommendation_id == str(experience.recommendation.recommendation_id)
    assert event.props["experiment"] == experience.campaign.experiment_key
    assert event.props["arm"] == experience.arm.key
    assert event.props["campaign"] == experience.campaign.slug
    assert event.props["position"] == first.item.position


def test_compliance_14__suspect_click__is_kept_under_a_name_that_no_metric_reads() -> None:
    _profile, visitor = make_visitor()
    click = read_token(token=shown_items(experience=shown(visitor))[0].token)
    assert record_click(click=click, visitor=replace(visitor, suspicion="prefetch"), at=NOW)
    assert events("Recommendation Clicked") == []
    (event,) = events("Recommendation Click Suspected")
    assert event.props["suspicion"] == "prefetch"


def test_record_click__somebody_else_follows_the_link__nothing_is_stored() -> None:
    _profile, visitor = make_visitor()
    click = read_token(token=shown_items(experience=shown(visitor))[0].token)
    _other, stranger = make_visitor()
    assert not record_click(click=click, visitor=stranger, at=NOW)
    assert not record_click(click=click, visitor=Visitor(), at=NOW)
    assert not Event.objects.exists()


def test_record_click__visitor_signed_in_meanwhile__is_the_same_person() -> None:
    anonymous, visitor = make_visitor()
    click = read_token(token=shown_items(experience=shown(visitor))[0].token)
    known, _ = make_visitor()
    merge(winner_id=known.pk, loser_id=anonymous.pk, reason=MergeReason.SIGN_IN, at=NOW)
    assert record_click(click=click, visitor=visitor, at=NOW)
    assert events("Recommendation Clicked")[0].profile_id == known.pk


def test_record_click__outside_the_experiment__nothing_is_stored() -> None:
    experience = shown(Visitor())
    click = read_token(token=shown_items(experience=experience)[0].token)
    assert (click.who, click.experiment, click.arm) == ("", "", "")
    assert not record_click(click=click, visitor=Visitor(), at=NOW)


def test_token__names_nobody_and_breaks_with_one_changed_letter() -> None:
    profile, visitor = make_visitor()
    token = shown_items(experience=shown(visitor))[0].token
    inside = asdict(read_token(token=token))
    assert profile.pk not in inside.values()
    assert str(profile.public_id) not in str(inside)
    assert visitor.anonymous_id not in str(inside)
    middle = len(token) // 2
    changed = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    with pytest.raises(signing.BadSignature):
        read_token(token=changed)


def test_target_of__button__comes_from_the_stored_link() -> None:
    campaign = make_campaign(arms=(replace(CONTROL, link="https://example.org/go"), PERSONAL))
    experience = serve(slug=campaign.slug, visitor=Visitor(), at=NOW)
    click = read_token(token=button_token(experience=experience))
    assert target_of(click=click) == "https://example.org/go"
    assert target_of(click=replace(click, link_id=4711)) is None
    assert Link.objects.get(campaign=campaign).url == "https://example.org/go"


def test_button_token__arm_without_link__is_empty() -> None:
    campaign = make_campaign(arms=(replace(CONTROL, link=""), PERSONAL))
    assert button_token(experience=serve(slug=campaign.slug, visitor=Visitor(), at=NOW)) == ""


def test_target_of__item__is_its_own_page_or_the_shops() -> None:
    click = read_token(token=shown_items(experience=shown(Visitor()))[0].token)
    assert target_of(click=click) == f"/shop/{click.item}/"
    Item.objects.filter(item_id=click.item).update(url="https://shop.example/x")
    assert target_of(click=click) == "https://shop.example/x"
    Item.objects.filter(item_id=click.item).update(url="javascript:alert(1)")
    assert target_of(click=click) == f"/shop/{click.item}/"
    assert target_of(click=replace(click, item="gone")) is None


def test_shown_items__no_recommendation__is_empty() -> None:
    campaign = make_campaign(arms=(replace(CONTROL, strategy=""), PERSONAL))
    assert shown_items(experience=serve(slug=campaign.slug, visitor=Visitor(), at=NOW)) == []


def test_shown_items__reason_that_names_items__names_them_by_title() -> None:
    experience = shown(Visitor())
    assert experience.recommendation is not None
    first = replace(experience.recommendation.items[0], reason=Reason("because_of", ("item-3",)))
    recommendation = replace(experience.recommendation, items=(first,))
    (one,) = shown_items(experience=replace(experience, recommendation=recommendation))
    assert one.reason == "Because you looked at Thing 3"


def test_record_view__person_with_consent__is_an_event() -> None:
    profile, visitor = make_visitor()
    assert record_view(item_id="item-1", visitor=visitor, at=NOW)
    (event,) = events("Product Viewed")
    assert (event.profile_id, event.item) == (profile.pk, "item-1")


@pytest.mark.parametrize("case", ["nobody", "bot", "no analytics"])
def test_record_view__anybody_else__is_not(case: str) -> None:
    _profile, visitor = make_visitor(purposes=(Purpose.PERSONALIZATION,))
    asked = {"nobody": Visitor(), "bot": replace(make_visitor()[1], suspicion="bot"), "no analytics": visitor}[case]
    assert not record_view(item_id="item-1", visitor=asked, at=NOW)
    assert not Event.objects.exists()


def test_record_order__known_person__is_an_order_with_its_value() -> None:
    make_catalogue()
    profile, visitor = make_visitor()
    order_id = record_order(item_id="item-1", visitor=visitor, at=NOW)
    (event,) = events("Order Completed")
    assert (event.profile_id, event.item, event.order_id) == (profile.pk, "item-1", order_id)
    assert (event.value, event.currency) == (12_500_000, "EUR")


def test_record_order__nobody_or_unknown_item__is_refused() -> None:
    make_catalogue()
    _profile, visitor = make_visitor()
    for who, item in ((Visitor(), "item-1"), (visitor, "gone")):
        with pytest.raises(UnknownVisitor):
            record_order(item_id=item, visitor=who, at=NOW)


def test_choose_consent__new_visitor_allows__a_profile_and_both_words_are_stored() -> None:
    anonymous_id = choose_consent(visitor=Visitor(), purposes=frozenset({"analytics"}), text="May we?", at=NOW)
    words = Consent.objects.order_by("purpose").values_list("purpose", "granted", "source")
    assert list(words) == [("analytics", True, "campaign-pages"), ("personalization", False, "campaign-pages")]
    assert Identity.objects.get().value == anonymous_id


def test_compliance_24__new_visitor_refuses__leaves_no_trace() -> None:
    assert choose_consent(visitor=Visitor(), purposes=frozenset(), text="May we?", at=NOW) == ""
    assert not Profile.objects.exists()
    assert not Consent.objects.exists()


def test_compliance_16__known_visitor_withdraws__is_a_new_row_and_the_cookie_goes() -> None:
    profile, visitor = make_visitor()
    assert choose_consent(visitor=visitor, purposes=frozenset(), text="May we?", at=NOW) == ""
    words = Consent.objects.filter(profile=profile).order_by("pk").values_list("purpose", "granted")
    assert list(words) == [
        ("analytics", True),
        ("personalization", True),
        ("analytics", False),
        ("personalization", False),
    ]


def test_choose_consent__known_visitor_allows_again__keeps_the_same_name() -> None:
    _profile, visitor = make_visitor()
    again = choose_consent(visitor=visitor, purposes=frozenset({"analytics"}), text="May we?", at=NOW)
    assert again == visitor.anonymous_id
    assert Profile.objects.count() == 1
