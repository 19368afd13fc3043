"""The pages of people's data: what is known of them, how fairly they are treated, and what they decide by themselves.

By keyboard only, read by axe in light and dark, and no wider than a telephone.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from marketing.choices import Purpose
from marketing.models import Campaign, Profile, TraitDefinition
from marketing.services.answers import ask
from marketing.services.portrait.run import compute_traits
from marketing.services.preferences import current_choice, preferences_path
from marketing.services.retention import apply_retention
from marketing.services.segments import refresh_segment
from tests.browser.conftest import sign_in
from tests.browser.looks import inspect
from tests.browser.test_campaigns import tab_to
from tests.factories.campaigns import make_campaign, make_user
from tests.factories.marketing import give_consent, make_profile, make_segment, send, track
from tests.marketing.compliance.test_fairness import world

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


@pytest.fixture
def operator(context: BrowserContext, live_server: LiveServer, client: Client) -> User:
    user = make_user(role="operator", is_staff=True)
    user.is_superuser = True
    user.save(update_fields=["is_superuser"])
    client.force_login(user)
    sign_in(context, live_server, client)
    return user


@pytest.fixture
def ann() -> Profile:
    return make_profile(user_id="ann", email="ann@example.org", country="DE")


def heading(page: Page, text: str) -> None:
    """Wait for the page with this heading."""
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_about_people__read_by_axe__have_no_violation(
    page: Page, operator: User, ann: Profile, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    now = timezone.now()
    send(*(track("Order Completed", user="ann", at=now - timedelta(days=n), revenue=20 + n) for n in range(6)), at=now)
    compute_traits(clock=timezone.now)
    apply_retention(at=now)
    campaign = world()
    make_campaign(status="in_review", actor=make_user(role="marketer"), slug="autumn", name="Autumn")
    nested = {"any": [{"event": "Order Completed", "op": "gte", "n": 1}, {"not": {"trait": "country", "op": "is_set"}}]}
    rule = {
        "all": [
            {"trait": "country", "op": "eq", "value": "DE"},
            {"not": {"all": [nested, {"sample": {"salt": "a", "percent": 10}}]}},
        ]
    }
    segment = make_segment(rule, slug="nested")
    refresh_segment(segment_id=segment.pk, at=now)
    ask(profile_id=ann.pk, at=now)
    for name, path in {
        "privacy": "/privacy/",
        "fairness": f"/privacy/fairness/?campaign={campaign.slug}",
        "traits": "/profiles/traits/",
        "trait-form": "/profiles/traits/new/",
        "builder-nested": "/segments/nested/edit/",
        "segment-why-nested": f"/segments/nested/why/{ann.public_id}/",
        "list-new": "/segments/list/",
        "affinity": "/segments/affinity/",
        "review": "/campaigns/autumn/review/",
        "review-policy": "/review-policy/",
    }.items():
        inspect(page, name, path, scheme)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_for_people__read_by_axe__have_no_violation(page: Page, ann: Profile, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    give_consent(ann)
    give_consent(ann, Purpose.PROFILING, granted=False)
    ask(profile_id=ann.pk, at=timezone.now())
    mine = preferences_path(public_id=ann.public_id, has_rights=True)
    for name in ("", "history/", "data/", "erase/"):
        inspect(page, f"me-{name.strip('/') or 'preferences'}", mine + name, scheme)
    inspect(page, "me-link", "/me/link/", scheme)
    inspect(page, "me-erased", "/me/erased/", scheme)


def test_trait_form__keyboard_only__declares_a_trait_and_says_what_is_wrong(page: Page, operator: User) -> None:
    page.goto("/profiles/traits/")
    tab_to(page, "a.button--primary")
    page.keyboard.press("Enter")
    heading(page, "Declare a trait")
    tab_to(page, "[name=key]")
    page.keyboard.type("Shoe size")
    tab_to(page, "[name=name]")
    page.keyboard.type("Shoe size")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.locator("[name=name]")).to_have_value("Shoe size")
    tab_to(page, "[name=key]")
    page.keyboard.press("Control+A")
    page.keyboard.type("shoe_size")
    tab_to(page, "[name=type]")
    page.keyboard.type("number")
    tab_to(page, "main form button[type=submit]")
    page.keyboard.press("Enter")
    heading(page, "Traits")
    expect(page.locator("main")).to_contain_text("shoe_size")
    assert TraitDefinition.objects.get(key="shoe_size").type == "number"


def test_fairness__keyboard_only__is_asked_for_a_campaign(page: Page, operator: User) -> None:
    campaign = world()
    page.goto("/privacy/")
    tab_to(page, "a[href='/privacy/fairness/']")
    page.keyboard.press("Enter")
    heading(page, "Fairness report")
    tab_to(page, "#campaign")
    page.keyboard.type(campaign.name)
    tab_to(page, "main form button[type=submit]")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("not shown: fewer than 50 people")
    tab_to(page, "main .table-wrap")  # what scrolls sideways can be scrolled without a mouse


def test_preference_centre__keyboard_only__gives_takes_and_erases(page: Page, ann: Profile) -> None:
    page.goto(preferences_path(public_id=ann.public_id, has_rights=True))
    tab_to(page, "[name=marketing_email]")
    page.keyboard.press("Space")
    tab_to(page, "main form button[type=submit].button--primary")
    page.keyboard.press("Enter")
    expect(page.locator("[name=marketing_email]")).to_be_checked()
    assert current_choice(profile_id=ann.pk).granted == {"marketing_email"}
    tab_to(page, "main form button[type=submit]:not(.button--primary)")
    page.keyboard.press("Enter")
    expect(page.locator("[name=marketing_email]")).not_to_be_checked()
    assert current_choice(profile_id=ann.pk).granted == frozenset()
    tab_to(page, "a[href$='/data/']")
    page.keyboard.press("Enter")
    heading(page, "A copy of your data")
    tab_to(page, "main form button[type=submit]")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("Asked on")
    tab_to(page, "a[href$='/erase/']")
    page.keyboard.press("Enter")
    heading(page, "Erase everything about you")
    tab_to(page, "button.button--danger")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Nothing was deleted.")
    expect(page.get_by_role("alert")).to_be_focused()
    tab_to(page, "[name=sure]")
    page.keyboard.press("Space")
    tab_to(page, "button.button--danger")
    page.keyboard.press("Enter")
    page.wait_for_url("**/me/erased/")
    assert not Profile.objects.filter(pk=ann.pk).exists()


def test_review__keyboard_only__second_person_approves(page: Page, operator: User) -> None:
    make_campaign(status="in_review", actor=make_user(role="marketer"), slug="autumn", name="Autumn")
    page.goto("/campaigns/autumn/review/")
    tab_to(page, "main a[href$='/do/approve/']")
    page.keyboard.press("Enter")
    heading(page, "Approve: Autumn")
    tab_to(page, "main form button[type=submit]")
    page.keyboard.press("Enter")
    expect(page.locator(".badge--in_review")).to_have_count(0)
    assert Campaign.objects.get(slug="autumn").status in ("scheduled", "running")
