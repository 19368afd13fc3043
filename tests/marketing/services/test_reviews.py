from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from marketing.errors import CannotSwitchReview, CannotTransition, UnknownCampaign
from marketing.models import Campaign, ChangeLog, ReviewPolicy
from marketing.selectors.reviews import change_of, is_review_required, request_of, review_of
from marketing.services import lifecycle, timetable
from marketing.services.affected import affected
from marketing.services.campaigns import draft_of, revise_campaign, snapshot_of
from marketing.services.reviews import start_alone, switch_review
from tests.factories.campaigns import CONTROL, PERSONAL, STARTED, make_campaign, make_members, make_user, make_visitor
from tests.factories.marketing import NOW
from tests.factories.sending import LETTER, SILENT, make_mailing, make_recipient

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return make_user()


@pytest.fixture
def bob() -> User:
    return make_user(role="approver")


def test_launch__draft_by_one_person__needs_a_second(ann: User) -> None:
    campaign = make_campaign(status="draft", actor=ann)
    with pytest.raises(CannotTransition, match="second person"):
        lifecycle.launch(campaign_id=campaign.pk, at=NOW, actor=ann)
    with pytest.raises(CannotTransition, match="second person"):
        lifecycle.schedule(campaign_id=campaign.pk, at=NOW, actor=ann)
    switch_review(is_on=False, reason="one of us", at=NOW, actor=ann)
    assert lifecycle.launch(campaign_id=campaign.pk, at=NOW, actor=ann).status == "running"


def test_approve__second_person__schedules_and_the_clock_launches(ann: User, bob: User) -> None:
    campaign = make_campaign(status="in_review", actor=ann, starts_at=NOW)
    assert lifecycle.approve(campaign_id=campaign.pk, at=STARTED, actor=bob).status == "scheduled"
    assert timetable.advance(at=NOW).launched == [campaign.slug]
    log = ChangeLog.objects.filter(object_type="campaign", object_id=str(campaign.pk)).order_by("pk")
    assert [(row.transition, row.actor) for row in log] == [
        ("create", ann),
        ("submit", ann),
        ("approve", bob),
        ("launch", None),
    ]


def test_approve__without_a_start__waits_for_a_launch(ann: User, bob: User) -> None:
    campaign = make_campaign(status="in_review", actor=ann)
    lifecycle.approve(campaign_id=campaign.pk, at=STARTED, actor=bob)
    assert timetable.advance(at=NOW).launched == []
    assert lifecycle.launch(campaign_id=campaign.pk, at=NOW, actor=ann).status == "running"


def test_approve__who_asked_or_wrote_it__is_refused(ann: User, bob: User) -> None:
    campaign = make_campaign(status="draft", actor=bob)
    lifecycle.submit(campaign_id=campaign.pk, at=STARTED, actor=ann)
    for person in (ann, bob):
        with pytest.raises(CannotTransition, match="a second person must approve"):
            lifecycle.approve(campaign_id=campaign.pk, at=NOW, actor=person)
    with pytest.raises(CannotTransition, match="A person must approve"):
        lifecycle.approve(campaign_id=campaign.pk, at=NOW)
    campaign.refresh_from_db()
    assert campaign.status == "in_review"
    assert lifecycle.approve(campaign_id=campaign.pk, at=NOW, actor=make_user(role="approver")).status == "scheduled"


def test_approve__review_switched_off_meanwhile__anybody_may(ann: User) -> None:
    campaign = make_campaign(status="in_review", actor=ann)
    switch_review(is_on=False, reason="one of us", at=NOW)
    assert lifecycle.approve(campaign_id=campaign.pk, at=NOW, actor=ann).status == "scheduled"


def test_send_back__without_a_word__is_refused_and_with_one_is_a_draft(ann: User, bob: User) -> None:
    campaign = make_campaign(status="in_review", actor=ann)
    with pytest.raises(CannotTransition, match="Write down why"):
        lifecycle.send_back(campaign_id=campaign.pk, at=NOW, actor=bob, message=" ")
    assert lifecycle.send_back(campaign_id=campaign.pk, at=NOW, actor=bob, message="too loud").status == "draft"


def test_withdraw__request__is_a_draft_that_can_be_changed(ann: User) -> None:
    campaign = make_campaign(status="in_review", actor=ann)
    draft = draft_of(campaign=campaign)
    with pytest.raises(CannotTransition, match="Only a draft"):
        revise_campaign(campaign_id=campaign.pk, draft=draft, at=NOW, actor=ann)
    assert request_of(campaign=campaign) is not None
    campaign = lifecycle.withdraw(campaign_id=campaign.pk, at=NOW, actor=ann)
    assert request_of(campaign=campaign) is None
    revise_campaign(campaign_id=campaign.pk, draft=draft, at=NOW, actor=ann)


def test_approve__segment_emptied_meanwhile__is_blocked_by_the_checklist(ann: User, bob: User) -> None:
    segment = make_members(make_visitor()[0])
    campaign = make_campaign(status="in_review", actor=ann, segment_id=segment.pk)
    type(segment).objects.filter(pk=segment.pk).update(members_n=0)
    with pytest.raises(CannotTransition, match="no members"):
        lifecycle.approve(campaign_id=campaign.pk, at=NOW, actor=bob)


def test_unschedule__approved__needs_a_new_review(ann: User, bob: User) -> None:
    campaign = make_campaign(status="in_review", actor=ann)
    lifecycle.approve(campaign_id=campaign.pk, at=STARTED, actor=bob)
    lifecycle.unschedule(campaign_id=campaign.pk, at=STARTED, actor=ann)
    with pytest.raises(CannotTransition, match="second person"):
        lifecycle.launch(campaign_id=campaign.pk, at=NOW, actor=ann)


def test_review_of__never_judged__says_everything_in_words(ann: User) -> None:
    segment = make_members(make_visitor()[0])
    campaign = make_campaign(status="in_review", actor=ann, segment_id=segment.pk, ends_at=NOW + timedelta(days=900))
    review = review_of(campaign=campaign, snapshot=snapshot_of(campaign=campaign))
    said = {one.label: (one.before, one.after) for one in review.differences}
    assert review.since is None
    assert said["People"] == ("", segment.name)
    assert said["Goal"] == ("", "Conversion")
    assert said["Smallest lift worth finding"] == ("", "30 %")
    assert said["Personal picks: headline"] == ("", "Picked for you")
    assert "2029" in said["End"][1]


def test_review_of__sent_back_and_changed__says_only_what_changed(ann: User, bob: User) -> None:
    campaign = make_campaign(status="in_review", actor=ann)
    lifecycle.send_back(campaign_id=campaign.pk, at=STARTED, actor=bob, message="too loud")
    draft = replace(
        draft_of(campaign=campaign),
        name="Calm",
        arms=(CONTROL, replace(PERSONAL, headline="For you", strategy="popularity", item_count=6)),
    )
    revise_campaign(campaign_id=campaign.pk, draft=draft, at=STARTED, actor=ann)
    campaign = lifecycle.submit(campaign_id=campaign.pk, at=NOW, actor=ann, message="quieter")
    review = review_of(campaign=campaign, snapshot=snapshot_of(campaign=campaign))
    assert review.since is not None
    assert review.request is not None
    assert review.request.message == "quieter"
    said = [(one.label, one.before, one.after) for one in review.differences]
    assert said[0] == ("State", "draft", "in review")
    assert said[1] == ("Name", campaign.name.replace("Calm", said[1][1]), "Calm")
    assert [row[0] for row in said[2:]] == [
        "Personal picks: headline",
        "Personal picks: recommendations",
        "Personal picks: number of items",
    ]
    assert said[2][1:] == ("Picked for you", "For you")
    assert said[4][1:] == ("4", "6")


def test_review_of__arm_taken_away__says_so(ann: User, bob: User) -> None:
    third = replace(PERSONAL, key="loud", name="Loud", headline="LOOK", percent=0)
    campaign = make_campaign(status="draft", actor=ann, arms=(CONTROL, PERSONAL, third))
    before = snapshot_of(campaign=campaign)
    revise_campaign(
        campaign_id=campaign.pk,
        draft=replace(draft_of(campaign=campaign), arms=(CONTROL, PERSONAL)),
        at=STARTED,
        actor=ann,
    )
    change = ChangeLog.objects.filter(object_id=str(campaign.pk), transition="revise").get()
    found = change_of(campaign=campaign, change_id=change.pk)
    assert before["arms"][2]["key"] == "loud"
    assert ("Loud", "an arm", "") in [(one.label, one.before, one.after) for one in found.differences]
    with pytest.raises(UnknownCampaign):
        change_of(campaign=make_campaign(), change_id=change.pk)


def test_affected__page_and_mail__count_whom_each_can_address() -> None:
    make_visitor()
    make_recipient()
    make_recipient()
    page = affected(draft=draft_of(campaign=make_campaign(status="draft")))
    assert (page.people, [arm.people for arm in page.arms], page.messages) == (3, [2, 2], 4)
    mail = affected(draft=draft_of(campaign=make_mailing(status="draft", arms=(SILENT, LETTER))))
    assert (mail.people, [(arm.people, arm.is_silent) for arm in mail.arms]) == (2, [(1, True), (1, False)])
    assert mail.messages == 1


def test_switch_review__off_without_a_reason__is_refused(ann: User) -> None:
    with pytest.raises(CannotSwitchReview):
        switch_review(is_on=False, reason=" ", at=NOW, actor=ann)
    assert is_review_required()
    switch_review(is_on=False, reason="one of us", at=NOW, actor=ann)
    assert not is_review_required()
    switch_review(is_on=True, reason="", at=NOW, actor=ann)
    assert is_review_required()
    log = ChangeLog.objects.filter(object_type="review_policy").order_by("pk")
    assert [(row.transition, row.message, row.actor) for row in log] == [
        ("review_off", "one of us", ann),
        ("review_on", "", ann),
    ]
    with pytest.raises(IntegrityError), transaction.atomic():
        ReviewPolicy.objects.create(pk=2, is_on=True, changed_at=NOW)


def test_start_alone__one_account__switches_the_review_off_once(ann: User) -> None:
    assert start_alone(at=NOW)
    assert not is_review_required()
    switch_review(is_on=True, reason="", at=NOW)
    assert not start_alone(at=NOW)
    assert is_review_required()


def test_start_alone__a_team__leaves_it_on(ann: User, bob: User) -> None:
    assert not start_alone(at=NOW)
    assert is_review_required()


def test_submit__unfinished_draft__gives_the_reasons() -> None:
    campaign = make_campaign(status="draft", arms=(CONTROL, replace(PERSONAL, percent=20)))
    with pytest.raises(CannotTransition, match="shares"):
        lifecycle.submit(campaign_id=campaign.pk, at=NOW)
    assert Campaign.objects.get(pk=campaign.pk).status == "draft"
