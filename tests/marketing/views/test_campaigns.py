from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from experiments.selectors import clear_config_cache, get_status
from experiments.services.metrics import ensure_builtin_metrics
from marketing.models import Campaign, EventType, Profile
from tests.factories.campaigns import (
    let_one_person_launch,
    make_campaign,
    make_catalogue,
    make_members,
    make_user,
    make_visitor,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def marketer(client: Client) -> Client:
    let_one_person_launch()
    client.force_login(make_user(role="marketer"))
    return client


def form_data(**changes: Any) -> dict[str, Any]:
    """What the browser sends for the form as it first appears, with a name."""
    ensure_builtin_metrics()
    make_catalogue()
    data = {
        "name": "Spring picks",
        "segment": "",
        "consent_purposes": ["analytics", "personalization"],
        "goal_metric": "conversion",
        "guardrail_metrics": ["revenue"],
        "no_control_reason": "",
        "baseline": "5",
        "mde": "20",
        "people_per_day": "1000",
        "arms-TOTAL_FORMS": "2",
        "arms-INITIAL_FORMS": "2",
        "arms-0-name": "Usual page",
        "arms-0-percent": "50",
        "arms-0-headline": "New in the shop",
        "arms-0-button_text": "Look around",
        "arms-0-link": "/shop/",
        "arms-0-strategy": "popularity",
        "arms-0-item_count": "4",
        "arms-1-name": "Personal picks",
        "arms-1-percent": "50",
        "arms-1-headline": "Picked for you",
        "arms-1-strategy": "user-knn",
        "arms-1-item_count": "6",
    }
    return {**data, **changes}


THIRD_ARM = {
    "arms-TOTAL_FORMS": "3",
    "arms-2-name": "Loud",
    "arms-2-percent": "0",
    "arms-2-headline": "LOOK",
    "arms-2-item_count": "4",
}


def test_campaign_create__form_as_it_appears__has_two_arms_ready(marketer: Client) -> None:
    make_catalogue()
    content = marketer.get(reverse("marketing:campaign-create")).content.decode()
    assert 'name="arms-0-headline" value="New in the shop"' in content
    assert 'name="arms-1-headline" value="Picked for you"' in content
    assert "arms-__prefix__-headline" in content
    assert 'value="popularity" selected' in content


def test_campaign_create__segments__are_offered_with_their_size(marketer: Client) -> None:
    segment = make_members(make_visitor()[0])
    content = marketer.get(reverse("marketing:campaign-create")).content.decode()
    assert f"{segment.name} (1)" in content
    marketer.post(reverse("marketing:campaign-create"), form_data(segment=str(segment.pk)))
    campaign = Campaign.objects.get()
    assert campaign.segment == segment
    assert segment.name in marketer.get(campaign.get_absolute_url()).content.decode()


def test_campaign_create__saved__is_a_draft_of_its_maker(marketer: Client) -> None:
    response = marketer.post(reverse("marketing:campaign-create"), form_data(save="1"))
    campaign = Campaign.objects.get()
    assert response["Location"] == f"/campaigns/{campaign.slug}/"
    assert (campaign.slug, campaign.status, campaign.mde) == ("spring-picks", "draft", 0.2)
    assert campaign.owner is not None
    arms = list(campaign.arms.order_by("position").values_list("key", "is_control", "percent", "strategy"))
    assert arms == [("control", True, 50, "popularity"), ("personal-picks", False, 50, "user-knn")]


def test_campaign_create__save_and_launch__runs_after_one_confirmation(marketer: Client) -> None:
    question = marketer.post(reverse("marketing:campaign-create"), form_data(launch="1"), follow=True)
    assert "Launch: Spring picks" in question.content.decode()
    answer = marketer.post(
        reverse("marketing:campaign-transition", args=["spring-picks", "launch"]), {"message": "go"}, follow=True
    )
    assert "Done: Launch" in answer.content.decode()
    assert get_status(experiment_key="campaign-spring-picks") == "running"


def test_campaign_create__start_in_the_future__is_asked_to_be_scheduled(marketer: Client) -> None:
    dates = {"starts_at": "2999-01-01T08:00", "ends_at": "2999-02-01T08:00"}
    question = marketer.post(reverse("marketing:campaign-create"), form_data(launch="1", **dates), follow=True)
    assert "Schedule: Spring picks" in question.content.decode()
    marketer.post(reverse("marketing:campaign-transition", args=["spring-picks", "schedule"]))
    detail = marketer.get(reverse("marketing:campaign-detail", args=["spring-picks"])).content.decode()
    assert "starts Jan. 1, 2999, 8 a.m." in detail
    assert "Take back" in detail
    marketer.post(reverse("marketing:campaign-transition", args=["spring-picks", "unschedule"]))
    edit = marketer.get(reverse("marketing:campaign-edit", args=["spring-picks"])).content.decode()
    assert 'value="2999-01-01T08:00"' in edit


def test_campaign_create__same_name_twice__gets_a_slug_of_its_own(marketer: Client) -> None:
    for _ in range(3):
        marketer.post(reverse("marketing:campaign-create"), form_data(save="1"))
    slugs = Campaign.objects.order_by("pk").values_list("slug", flat=True)
    assert list(slugs) == ["spring-picks", "spring-picks-2", "spring-picks-3"]


@pytest.mark.parametrize("name", ["New", "panel", "💐"])
def test_campaign_create__name_of_another_page__does_not_hide_the_campaign(marketer: Client, name: str) -> None:
    marketer.post(reverse("marketing:campaign-create"), form_data(name=name, save="1"))
    assert Campaign.objects.get().slug not in {"new", "panel", ""}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "This field is required"),
        ({"arms-1-headline": ""}, "This field is required"),
        ({"arms-1-name": "Usual page"}, "Two arms have the same name"),
        ({"arms-1-link": "javascript:alert(1)"}, "must be a web address"),
        ({"arms-1-image": "https://evil.example/x.png"}, "Enter a valid value"),
        ({"goal_metric": "happiness"}, "Select a valid choice"),
        ({"starts_at": "2999-01-02T08:00", "ends_at": "2999-01-01T08:00"}, "The end must come after the start."),
        ({"arms-1-strategy": "horoscope"}, "Select a valid choice"),
    ],
)
def test_campaign_create__bad_input__comes_back_with_the_reason(
    marketer: Client, change: dict[str, str], words: str
) -> None:
    response = marketer.post(reverse("marketing:campaign-create"), form_data(**change))
    assert response.status_code == 422
    assert words in response.content.decode()
    assert not Campaign.objects.exists()


def test_campaign_create__untouched_added_row__is_not_taken_for_nothing(marketer: Client) -> None:
    data = form_data(**{"arms-TOTAL_FORMS": "3", "arms-2-percent": "0", "arms-2-item_count": "4"})
    assert marketer.post(reverse("marketing:campaign-create"), data).status_code == 422


def test_campaign_create__removed_row__is_left_out(marketer: Client) -> None:
    data = form_data(**{**THIRD_ARM, "arms-2-DELETE": "on", "arms-2-headline": ""})
    marketer.post(reverse("marketing:campaign-create"), data)
    assert Campaign.objects.get().arms.count() == 2


def test_campaign_create__slug_taken_meanwhile__says_so(marketer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from marketing.forms import campaigns as forms

    make_campaign(status="draft", slug="spring-picks")
    monkeypatch.setattr(forms, "free_slug", lambda *, name: "spring-picks")
    response = marketer.post(reverse("marketing:campaign-create"), form_data())
    assert response.status_code == 422
    assert "already" in response.content.decode()


def test_campaign_edit__draft__shows_and_stores_it(marketer: Client) -> None:
    campaign = make_campaign(status="draft", slug="spring")
    address = reverse("marketing:campaign-edit", args=["spring"])
    assert "Picked for you" in marketer.get(address).content.decode()
    marketer.post(address, form_data(**{"arms-1-headline": "Only for you"}))
    assert campaign.arms.get(position=1).creative.headline == "Only for you"
    assert marketer.post(address, form_data(name="")).status_code == 422


def test_campaign_edit__running__is_refused(marketer: Client) -> None:
    campaign = make_campaign()
    response = marketer.post(reverse("marketing:campaign-edit", args=[campaign.slug]), form_data())
    assert response.status_code == 422
    assert "frozen" in response.content.decode()


def test_campaign_panel__full_form__tells_people_days_and_previews(marketer: Client) -> None:
    content = marketer.post(reverse("marketing:campaign-panel"), form_data()).content.decode()
    assert "people" in content
    assert "about" in content
    assert content.count("is-done") == 9
    assert "Thing 0" in content


def test_campaign_panel__empty_form__names_what_is_missing(marketer: Client) -> None:
    ensure_builtin_metrics()
    content = marketer.post(reverse("marketing:campaign-panel"), {}).content.decode()
    assert "Fill in the rate" in content
    assert "is-blocked" in content


def test_campaign_panel__half_filled_arms__names_the_arm(marketer: Client) -> None:
    data = form_data(**{"arms-1-headline": "", "arms-1-percent": "x"})
    content = marketer.post(reverse("marketing:campaign-panel"), data).content.decode()
    assert "No headline yet: Personal picks." in content or "Add at least one arm" in content


def test_campaign_list__campaigns__are_shown_by_state(marketer: Client) -> None:
    make_campaign(status="draft", name="A draft")
    make_campaign(name="A running one")
    everything = marketer.get(reverse("marketing:campaign-list")).content.decode()
    assert "A draft" in everything
    assert "A running one" in everything
    drafts = marketer.get(reverse("marketing:campaign-list"), {"status": "draft"}).content.decode()
    assert "A running one" not in drafts


def test_campaign_list__none__invites_to_make_one(marketer: Client) -> None:
    assert "Make the first one" in marketer.get(reverse("marketing:campaign-list")).content.decode()


def test_campaign_list__more_campaigns__no_more_queries(marketer: Client) -> None:
    counted = []
    for number in (2, 4):
        for _ in range(number):
            make_campaign()
        clear_config_cache()
        with CaptureQueriesContext(connection) as captured:
            marketer.get(reverse("marketing:campaign-list"))
        counted.append(len(captured))
    assert counted[0] == counted[1] <= 16


@pytest.mark.parametrize("status", ["draft", "running", "paused", "finished", "archived"])
def test_campaign_detail__every_state__is_shown(marketer: Client, status: str) -> None:
    campaign = make_campaign(status=status)
    response = marketer.get(reverse("marketing:campaign-detail", args=[campaign.slug]))
    assert response.status_code == 200
    content = response.content.decode()
    assert ("Emergency stop" in content) == (status in {"running", "paused"})
    assert ("No result yet" in content) == (status not in {"draft", "archived"})
    assert ("Ready to launch?" in content) == (status == "draft")
    assert "4 items by “Popular now”" in content


def test_campaign_detail__demo__offers_people_to_be(marketer: Client) -> None:
    make_visitor()
    Profile.objects.update(is_demo=True)
    campaign = make_campaign(is_demo=True)
    content = marketer.get(reverse("marketing:campaign-detail", args=[campaign.slug])).content.decode()
    assert "See it as somebody else" in content


def test_campaign_detail__running__queries_stay_bounded(
    marketer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    campaign = make_campaign()
    with django_assert_max_num_queries(28):
        marketer.get(reverse("marketing:campaign-detail", args=[campaign.slug]))


def test_campaign_result__running__is_a_fragment(marketer: Client) -> None:
    campaign = make_campaign()
    content = marketer.get(reverse("marketing:campaign-result", args=[campaign.slug])).content.decode()
    assert "<html" not in content
    assert "From exposure to order" in content


def test_campaign_preview__arm__shows_words_and_items(marketer: Client) -> None:
    campaign = make_campaign()
    profile, _visitor = make_visitor()
    address = reverse("marketing:campaign-preview", args=[campaign.slug, "personal"])
    for query in ({}, {"person": str(profile.pk)}, {"person": "x"}):
        content = marketer.get(address, query).content.decode()
        assert "Picked for you" in content
        assert "Thing 0" in content
    assert marketer.get(reverse("marketing:campaign-preview", args=[campaign.slug, "nothing"])).status_code == 404


def test_campaign_transition__draft_with_gaps__is_blocked_with_reasons(marketer: Client) -> None:
    campaign = make_campaign(status="draft", people_per_day=1)
    address = reverse("marketing:campaign-transition", args=[campaign.slug, "launch"])
    assert "180 days" in marketer.get(address).content.decode()
    response = marketer.post(address)
    assert response.status_code == 409
    assert "180 days" in response.content.decode()


def test_campaign_transition__pause_and_finish__move_the_campaign(marketer: Client) -> None:
    campaign = make_campaign()
    for name, status in (("pause", "paused"), ("resume", "running"), ("finish", "finished")):
        address = reverse("marketing:campaign-transition", args=[campaign.slug, name])
        assert marketer.get(address).status_code == 200
        marketer.post(address)
        campaign.refresh_from_db()
        assert campaign.status == status
    assert "Pause" in marketer.get(campaign.get_absolute_url()).content.decode()


def test_campaign_pages__unknown_names__are_not_found(marketer: Client) -> None:
    campaign = make_campaign()
    for name, arguments in (
        ("campaign-detail", ["nothing"]),
        ("campaign-edit", ["nothing"]),
        ("campaign-transition", [campaign.slug, "explode"]),
    ):
        assert marketer.get(reverse(f"marketing:{name}", args=arguments)).status_code == 404


def test_campaign_pages__wrong_method__are_refused(marketer: Client) -> None:
    campaign = make_campaign()
    assert marketer.get(reverse("marketing:campaign-panel")).status_code == 405
    for name in ("campaign-list",):
        assert marketer.post(reverse(f"marketing:{name}")).status_code == 405
    for name in ("campaign-detail", "campaign-result"):
        assert marketer.post(reverse(f"marketing:{name}", args=[campaign.slug])).status_code == 405


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("marketer", {"list", "create", "launch"}),
        ("approver", {"list", "launch"}),
        ("analyst", {"list"}),
        ("operator", {"list"}),
        ("nobody", set()),
    ],
)
def test_campaign_pages__roles__see_what_they_may(client: Client, role: str, allowed: set[str]) -> None:
    campaign = make_campaign()
    client.force_login(make_user(role=role))
    pages = {
        "list": reverse("marketing:campaign-list"),
        "create": reverse("marketing:campaign-create"),
        "launch": reverse("marketing:campaign-transition", args=[campaign.slug, "pause"]),
    }
    for name, address in pages.items():
        assert client.get(address).status_code == (200 if name in allowed else 403)


def test_campaign_pages__not_signed_in__ask_to_sign_in(client: Client) -> None:
    response = client.get(reverse("marketing:campaign-list"))
    assert response["Location"] == "/accounts/login/?next=/campaigns/"


def test_campaign_create__abandoned_cart__is_stored_and_shown_again(marketer: Client) -> None:
    EventType.objects.create(name="Product Added")
    page = marketer.get(reverse("marketing:campaign-create") + "?kind=email").content.decode()
    assert '<option value="Product Added"></option>' in page
    given = {
        "kind": "email",
        "cadence": "triggered",
        "trigger_event": "Product Added",
        "delay_minutes": "90",
        "cancel_event": "Order Completed",
        "every_days": "3",  # belongs to another choice, and is hidden
        "weekdays": ["0", "4"],
        "expires_hours": "12",
    }
    marketer.post(reverse("marketing:campaign-create"), form_data(save="1", **given))
    campaign = Campaign.objects.get()
    assert (campaign.cadence, campaign.trigger_event, campaign.delay_minutes) == ("triggered", "Product Added", 90)
    assert (campaign.every_days, campaign.weekdays, campaign.expires_hours) == (None, [0, 4], 12)
    again = marketer.get(reverse("marketing:campaign-edit", args=[campaign.slug])).content.decode()
    assert 'value="Order Completed"' in again
    assert '<option value="triggered" selected>' in again


def test_campaign_create__trigger_without_a_start__is_asked_for(marketer: Client) -> None:
    answer = marketer.post(reverse("marketing:campaign-create"), form_data(kind="email", cadence="triggered"))
    assert answer.status_code == 422
    assert "It starts with an event or with a segment" in answer.content.decode()
