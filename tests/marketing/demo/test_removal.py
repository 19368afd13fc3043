from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db import models

from experiments.services.assignment import assign
from experiments.services.exposure import ExposureRow, record_many
from experiments.services.lifecycle import get_experiment
from marketing.models import Campaign, Event, Profile, Segment, TraitDefinition
from marketing.segmentation.clock import to_micros
from marketing.services.demo.removal import has_demo_world, remove_demo_world
from marketing.services.segments import create_segment, refresh_segment
from recommender.services.serving import recommend
from recommender.services.strategies import ensure_default_strategies
from tests.factories.campaigns import make_campaign, make_visitor
from tests.factories.marketing import make_profile, make_segment, send, track
from tests.marketing.demo.conftest import AT, build

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("few_campaigns")]

# What a fresh installation has too, or keeps as vocabulary.
KEPT = {
    "marketing.EventType",
    "experiments.Metric",
    "recommender.EventWeight",
    "recommender.Strategy",
    "recommender.StrategyVersion",
    "recommender.ChangeLog",
}


def rows() -> dict[str, int]:
    """Rows of every model of the three apps."""
    return {
        model._meta.label: model._default_manager.count()
        for app in ("marketing", "experiments", "recommender")
        for model in apps.get_app_config(app).get_models()
    }


def test_removal__of_the_only_world__leaves_nothing() -> None:
    ensure_default_strategies(at=AT)
    before = rows()
    build(profiles=60)
    assert has_demo_world()
    assert remove_demo_world() == 60
    assert not has_demo_world()
    left = {name: count for name, count in rows().items() if count != before[name] and name not in KEPT}
    assert left == {}


def test_removal__mixed_database__takes_the_demo_and_nothing_else() -> None:
    mine, visitor = make_visitor()
    campaign = make_campaign()
    own_segment = create_segment(name="Own", rule={"schema": 1, "root": {"all": []}}, at=AT)
    assert send(track("Order Completed", visitor=visitor.anonymous_id, revenue=12)).accepted == 1
    expose(campaign.experiment_key, mine.pk)
    before = snapshot_of_mine(mine)
    build(profiles=60)
    refresh_segment(segment_id=own_segment.pk, at=AT)
    demo_person = Profile.objects.filter(is_demo=True).order_by("pk")[0]
    expose(campaign.experiment_key, demo_person.pk)
    recommend(user_id=str(demo_person.pk), k=3, strategy="popularity", context={}, exclude=(), at=AT)
    remove_demo_world()
    assert Profile.objects.filter(is_demo=True).count() == 0
    assert snapshot_of_mine(mine) == before
    assert Campaign.objects.get() == campaign
    refresh_segment(segment_id=own_segment.pk, at=AT)
    assert Segment.objects.get().members_n == 1


def test_removal__demo_segment_in_an_own_campaign__stays_and_is_one_s_own() -> None:
    build(profiles=60)
    segment = Segment.objects.get(slug="recent-buyers")
    make_campaign(status="draft", segment_id=segment.pk)
    remove_demo_world()
    kept = Segment.objects.get()
    assert (kept.slug, kept.is_demo) == ("recent-buyers", False)
    assert kept.version is not None


def test_removal__demo_segment_in_an_own_segment__stays_with_the_traits_of_its_rule() -> None:
    build(profiles=60)
    own = make_segment({"not": {"in_segment": "new-this-month"}})
    remove_demo_world()
    assert set(Segment.objects.values_list("slug", "is_demo")) == {(own.slug, False), ("new-this-month", False)}
    assert list(TraitDefinition.objects.values_list("key", "is_demo")) == [("member_since", False)]
    make_profile()
    refresh_segment(segment_id=own.pk, at=AT)
    own.refresh_from_db()
    assert (own.members_n, own.failure) == (1, "")


def test_removal__facts_that_protect_a_profile__are_all_known() -> None:
    """A new model that keeps profiles from being deleted needs a line in `removal.py`."""
    protecting = {
        relation.related_model.__name__
        for relation in Profile._meta.related_objects
        if relation.on_delete is models.PROTECT
    }
    assert protecting == {"Consent", "Event", "Identity", "Profile"}


def test_removal__nothing_there__does_nothing() -> None:
    assert remove_demo_world() == 0


def expose(experiment_key: str, profile_id: int) -> None:
    given = assign(experiment_key=experiment_key, unit_type="profile", unit_id=str(profile_id), attributes={}, at=AT)
    assert given.arm_key is not None
    row = ExposureRow(
        experiment_key=experiment_key,
        unit_type="profile",
        unit_id=str(profile_id),
        arm_key=given.arm_key,
        phase=1,
        at=to_micros(AT),
    )
    assert record_many(rows=[row]).accepted == 1


def snapshot_of_mine(profile: Profile) -> dict[str, Any]:
    """Everything that belongs to a person who is not of the demo, and the own campaign's experiment."""
    pk = profile.pk
    campaign = Campaign.objects.get(is_demo=False)
    experiment = get_experiment(campaign.experiment_key)
    return {
        "profile": Profile.objects.filter(pk=pk).values().get(),
        "events": list(Event.objects.filter(profile=pk).values()),
        "identities": list(profile.identities.values()),
        "campaign": Campaign.objects.filter(pk=campaign.pk).values().get(),
        "exposures": list(experiment.exposures.values("unit_id", "first_at")),
    }
