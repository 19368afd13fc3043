from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from experiments.selectors import exposed_counts
from experiments.services import decision
from experiments.services import lifecycle as experiments
from experiments.services.privacy import export
from marketing.choices import MergeReason, Outside, Purpose
from marketing.errors import UnknownCampaign
from marketing.models import Campaign, OutsideCount
from marketing.selectors.campaigns import clear_config_cache, outside_counts
from marketing.services import experience, lifecycle
from marketing.services.audience import Visitor
from marketing.services.experience import serve
from marketing.services.identity import merge
from recommender.errors import UnknownStrategy
from recommender.models import Slate
from tests.factories.campaigns import CONTROL, PERSONAL, make_campaign, make_members, make_visitor
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db


def exposed(campaign: Campaign) -> int:
    return sum(exposed_counts(experiment_key=campaign.experiment_key).values())


def test_serve__eligible_person__is_exposed_once_and_keeps_the_arm() -> None:
    campaign = make_campaign()
    profile, visitor = make_visitor()
    shown = [serve(slug=campaign.slug, visitor=visitor, at=NOW) for _ in range(3)]
    assert {one.arm.key for one in shown} <= {"control", "personal"}
    assert len({one.arm.key for one in shown}) == 1
    assert all(one.is_exposed and one.outside is None for one in shown)
    counts = exposed_counts(experiment_key=campaign.experiment_key)
    assert counts[shown[0].arm.key] == 1
    assert sum(counts.values()) == 1
    exported = export(unit_type="profile", unit_id=str(profile.pk))
    assert "analytics" in str(exported)


def test_serve__many_people__both_arms_are_shown() -> None:
    campaign = make_campaign()
    arms = {serve(slug=campaign.slug, visitor=make_visitor()[1], at=NOW).arm.key for _ in range(24)}
    assert arms == {"control", "personal"}


def test_serve__in_an_arm__the_slate_carries_experiment_arm_and_campaign() -> None:
    campaign = make_campaign()
    _profile, visitor = make_visitor()
    shown = serve(slug=campaign.slug, visitor=visitor, at=NOW)
    assert shown.recommendation is not None
    assert len(shown.recommendation.items) == 4
    assert dict(shown.recommendation.context) == {
        "campaign": campaign.slug,
        "arm": shown.arm.key,
        "experiment": campaign.experiment_key,
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"suspicion": "bot"}, Outside.BOT),
        ({"suspicion": "prefetch"}, Outside.BOT),
        ({"opts_out": True}, Outside.PRIVACY_SIGNAL),
        ({"anonymous_id": ""}, Outside.NO_VISITOR),
    ],
)
def test_serve__outside__default_experience_and_no_exposure(change: dict[str, Any], reason: Outside) -> None:
    campaign = make_campaign()
    visitor = replace(make_visitor()[1], **change)
    shown = serve(slug=campaign.slug, visitor=visitor, at=NOW)
    assert (shown.outside, shown.arm.key, shown.is_exposed) == (reason, "control", False)
    assert exposed(campaign) == 0
    assert not Slate.objects.exists()


def test_compliance_24__no_consent__default_outside_the_experiment_in_no_arm() -> None:
    campaign = make_campaign()
    _profile, visitor = make_visitor(purposes=(Purpose.ANALYTICS,))
    shown = serve(slug=campaign.slug, visitor=visitor, at=NOW)
    assert shown.outside == Outside.NO_CONSENT
    assert exposed(campaign) == 0


def test_compliance_24__no_consent__is_counted_without_a_name() -> None:
    campaign = make_campaign()
    for visitor in (Visitor(), Visitor(), replace(make_visitor()[1], suspicion="bot")):
        serve(slug=campaign.slug, visitor=visitor, at=NOW)
    serve(slug=campaign.slug, visitor=Visitor(), at=NOW + timedelta(days=1))
    serve(slug=campaign.slug, visitor=make_visitor()[1], at=NOW)
    rows = outside_counts(campaign=campaign)
    assert [(row.reason, row.n) for row in rows] == [("no_visitor", 3), ("bot", 1)]
    assert rows[0].label == "Nobody we may recognize: no consent was given."
    assert OutsideCount.objects.count() == 3


def test_serve__not_in_the_segment__is_not_randomized() -> None:
    member, visitor = make_visitor()
    campaign = make_campaign(segment_id=make_members(member).pk)
    assert serve(slug=campaign.slug, visitor=visitor, at=NOW).is_exposed
    stranger = serve(slug=campaign.slug, visitor=make_visitor()[1], at=NOW)
    assert stranger.outside == Outside.NOT_IN_SEGMENT
    assert exposed(campaign) == 1


def test_serve__visitor_who_signed_in__keeps_the_arm_of_the_anonymous_profile() -> None:
    campaign = make_campaign()
    for _ in range(6):
        anonymous, visitor = make_visitor()
        before = serve(slug=campaign.slug, visitor=visitor, at=NOW)
        known, _ = make_visitor()
        merge(winner_id=known.pk, loser_id=anonymous.pk, reason=MergeReason.SIGN_IN, at=NOW)
        assert serve(slug=campaign.slug, visitor=visitor, at=NOW).arm == before.arm


def test_serve__paused__everybody_gets_the_default() -> None:
    campaign = make_campaign()
    _profile, visitor = make_visitor()
    serve(slug=campaign.slug, visitor=visitor, at=NOW)
    lifecycle.pause(campaign_id=campaign.pk, at=NOW)
    clear_config_cache()
    shown = serve(slug=campaign.slug, visitor=visitor, at=NOW)
    assert (shown.outside, shown.arm.key) == (Outside.NOT_RUNNING, "control")


def test_serve__experiment_stopped_by_an_analyst__default_and_no_exposure() -> None:
    campaign = make_campaign()
    experiments.stop(experiment_key=campaign.experiment_key, at=NOW)
    shown = serve(slug=campaign.slug, visitor=make_visitor()[1], at=NOW)
    assert shown.outside == Outside.NOT_ASSIGNED
    assert exposed(campaign) == 0


def test_serve__shipped__everybody_gets_the_shipped_arm_without_exposure() -> None:
    campaign = make_campaign()
    decision.decide(
        experiment_key=campaign.experiment_key, outcome="ship", arm_key="personal", reason="It won.", at=NOW
    )
    shown = [serve(slug=campaign.slug, visitor=make_visitor()[1], at=NOW) for _ in range(8)]
    assert {one.arm.key for one in shown} == {"personal"}
    assert not any(one.is_exposed for one in shown)
    assert exposed(campaign) == 0
    assert shown[0].recommendation is not None
    assert "experiment" not in shown[0].recommendation.context


def test_serve__exposure_refused__nobody_sees_an_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = make_campaign()
    monkeypatch.setattr(experience, "_expose", lambda *args: False)
    shown = serve(slug=campaign.slug, visitor=make_visitor()[1], at=NOW)
    assert (shown.outside, shown.arm.key) == (Outside.NOT_RECORDED, "control")


def test_serve__database_fails__default_experience(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = make_campaign()

    def fail(**kwargs: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(experience, "record_many", fail)
    shown = serve(slug=campaign.slug, visitor=make_visitor()[1], at=NOW)
    assert (shown.outside, shown.recommendation, shown.arm.key) == (Outside.NOT_RECORDED, None, "control")


def test_serve__recommender_fails__the_creative_shows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = make_campaign()

    def fail(**kwargs: object) -> None:
        raise UnknownStrategy("gone")

    monkeypatch.setattr(experience, "recommend", fail)
    shown = serve(slug=campaign.slug, visitor=make_visitor()[1], at=NOW)
    assert shown.is_exposed
    assert shown.recommendation is None


def test_serve__arm_without_strategy__asks_for_nothing() -> None:
    plain = (replace(CONTROL, strategy=""), replace(PERSONAL, strategy=""))
    campaign = make_campaign(arms=plain)
    assert serve(slug=campaign.slug, visitor=make_visitor()[1], at=NOW).recommendation is None


def test_serve__unknown_campaign__says_so() -> None:
    with pytest.raises(UnknownCampaign):
        serve(slug="nowhere", visitor=Visitor(), at=NOW)


def test_serve__warm__at_most_eight_queries() -> None:
    campaign = make_campaign()
    for _ in range(12):
        serve(slug=campaign.slug, visitor=make_visitor()[1], at=NOW)
    _profile, visitor = make_visitor()
    with CaptureQueriesContext(connection) as captured:
        assert serve(slug=campaign.slug, visitor=visitor, at=NOW).is_exposed
    # The test's own transaction turns the service's transaction into save points, which a server has not.
    queries = [query["sql"] for query in captured.captured_queries if "SAVEPOINT" not in query["sql"]]
    assert 5 <= len(queries) <= 8


def test_serve__emergency_stop__acts_without_a_restart() -> None:
    campaign = make_campaign()
    _profile, visitor = make_visitor()
    serve(slug=campaign.slug, visitor=visitor, at=NOW)
    lifecycle.emergency_stop(campaign_id=campaign.pk, at=NOW)
    clear_config_cache()
    assert serve(slug=campaign.slug, visitor=visitor, at=NOW).outside == Outside.NOT_RUNNING


def test_serve__rule_of_the_experiment_names_a_segment__only_its_members_are_in() -> None:
    campaign = make_campaign()
    (member, visitor), (_, stranger) = make_visitor(), make_visitor()
    segment = make_members(member)
    experiments.open_phase(
        experiment_key=campaign.experiment_key,
        at=NOW - timedelta(hours=1),
        targeting={"attribute": "segments", "op": "contains", "value": segment.slug},
    )
    assert serve(slug=campaign.slug, visitor=visitor, at=NOW).is_exposed
    serve(slug=campaign.slug, visitor=stranger, at=NOW)  # the process remembers the strategy of either arm from here on
    with CaptureQueriesContext(connection) as queries:
        outside = serve(slug=campaign.slug, visitor=stranger, at=NOW)
    assert (outside.is_exposed, outside.outside) == (False, Outside.NOT_ASSIGNED)
    assert len(queries) <= 8, [query["sql"] for query in queries]
