from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import IntegrityError, transaction

from marketing.errors import CannotTransition, InvalidCampaign
from marketing.models import Campaign, CampaignArm, ChangeLog, Creative, Link
from marketing.services.campaigns import ArmDraft, create_campaign, draft_of, is_safe_target, revise_campaign
from tests.factories.campaigns import CONTROL, PERSONAL, make_campaign, make_draft
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db


def test_create_campaign__legal_draft__comes_back_as_it_was_written() -> None:
    draft = make_draft(guardrail_metrics=("revenue",), no_control_reason="")
    campaign = create_campaign(draft=draft, at=NOW)
    assert campaign.status == "draft"
    assert draft_of(campaign=campaign) == draft


def test_create_campaign__always__writes_one_log_row_with_a_full_snapshot() -> None:
    campaign = create_campaign(draft=make_draft(), at=NOW)
    row = ChangeLog.objects.get(object_type="campaign", object_id=str(campaign.pk))
    assert row.transition == "create"
    assert row.snapshot["schema"] == 1
    assert [arm["headline"] for arm in row.snapshot["arms"]] == ["New in the shop", "Picked for you"]


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ((CONTROL, replace(PERSONAL, key="control")), "same key"),
        ((CONTROL, replace(PERSONAL, is_control=True)), "at most one control"),
        ((CONTROL, replace(PERSONAL, percent=101)), "between 0 and 100"),
        ((CONTROL, replace(PERSONAL, link="javascript:alert(1)")), "must be a web address"),
        (tuple(replace(PERSONAL, key=f"arm-{n}") for n in range(9)), "at most 8 arms"),
    ],
)
def test_create_campaign__nonsense__is_refused_and_stores_nothing(arms: tuple[ArmDraft, ...], words: str) -> None:
    with pytest.raises(InvalidCampaign, match=words):
        create_campaign(draft=make_draft(arms=arms), at=NOW)
    assert not Campaign.objects.exists()


def test_create_campaign__taken_slug__is_refused() -> None:
    draft = make_draft()
    create_campaign(draft=draft, at=NOW)
    with pytest.raises(InvalidCampaign, match="already"):
        create_campaign(draft=draft, at=NOW)


def test_revise_campaign__same_words__keeps_the_creative_and_new_words_make_a_version() -> None:
    campaign = create_campaign(draft=make_draft(slug="spring"), at=NOW)
    draft = draft_of(campaign=campaign)
    changed = replace(draft, arms=(draft.arms[0], replace(draft.arms[1], headline="Only for you")))
    revise_campaign(campaign_id=campaign.pk, draft=changed, at=NOW)
    versions = Creative.objects.order_by("key", "version").values_list("key", "version", "headline")
    assert list(versions) == [
        ("spring/control", 1, "New in the shop"),
        ("spring/personal", 1, "Picked for you"),
        ("spring/personal", 2, "Only for you"),
    ]
    assert CampaignArm.objects.get(key="personal").creative.version == 2


def test_revise_campaign__running__is_refused_and_changes_nothing() -> None:
    campaign = make_campaign()
    draft = draft_of(campaign=campaign)
    with pytest.raises(CannotTransition, match="frozen"):
        revise_campaign(campaign_id=campaign.pk, draft=replace(draft, name="Other"), at=NOW)
    assert draft_of(campaign=Campaign.objects.get(pk=campaign.pk)) == draft


@pytest.mark.parametrize("url", ["https://example.org/a?b=c", "http://example.org", "/shop/", "/shop/?category=Tents"])
def test_is_safe_target__web_address_or_path__is_safe(url: str) -> None:
    assert is_safe_target(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/\\evil.example",
        "\\evil",
        "/a\r\nSet-Cookie: x",
        "shop/",
        "ftp://example.org",
        " https://example.org",
        "https://example.org/a b",
    ],
)
def test_is_safe_target__anything_else__is_not(url: str) -> None:
    assert not is_safe_target(url)


def test_link__script_stored_past_the_service__is_refused_by_the_database() -> None:
    campaign = create_campaign(draft=make_draft(), at=NOW)
    for url in ("javascript:alert(1)", "//evil.example"):
        with pytest.raises(IntegrityError), transaction.atomic():
            Link.objects.create(campaign=campaign, url=url)
