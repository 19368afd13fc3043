from __future__ import annotations

import pytest
from django.db.models import Count

from experiments.selectors import get_report
from experiments.services.lifecycle import get_experiment
from marketing.models import Campaign, Consent, Event, Membership, Profile, Segment
from marketing.services.demo import seed, stage
from marketing.services.demo.draw import DemoWorld
from marketing.services.demo.stage import PERSONALIZED, Season
from marketing.services.demo.world import WINDOW_DAYS, Kind
from recommender.selectors import get_item
from recommender.services.serving import recommend
from tests.marketing.demo.conftest import AT, PEOPLE

pytestmark = pytest.mark.django_db

STATES = {
    "welcome-back": ("running", "decided"),
    "bundle-banner": ("finished", "stopped"),
    "autumn-picks": ("running", "running"),
    "rain-or-shine": ("running", "running"),
    "last-chance": ("running", "running"),
    "first-steps": ("running", "running"),
}


def test_seed__small_world__has_people_with_consents_and_events_in_90_days(demo: DemoWorld) -> None:
    assert Profile.objects.filter(is_demo=True).count() == PEOPLE
    assert Consent.objects.values("profile").distinct().count() == PEOPLE
    assert Event.objects.filter(at__gt=demo.end).count() == 0
    assert Event.objects.filter(profile__is_demo=False).count() == 0
    names = set(Event.objects.values_list("type__name", flat=True))
    assert {"Product Viewed", "Product Added", "Order Completed", "Order Refunded", "Recommendation Clicked"} <= names
    somebody = Profile.objects.order_by("pk")[0]
    assert (somebody.email, somebody.country) == (demo.people.persons[0].email, demo.people.persons[0].country)


def test_seed__all_events__are_stored_once(demo: DemoWorld) -> None:
    orders = Event.objects.filter(type__name="Order Completed")
    assert orders.values("order_id").annotate(n=Count("pk")).filter(n__gt=1).count() == 0
    outside = (demo.events["kind"] == Kind.ORDERED).sum()
    assert orders.count() > outside


def test_seed__segments__have_the_members_whom_the_generator_meant(demo: DemoWorld) -> None:
    sizes = dict(Segment.objects.values_list("slug", "members_n"))
    assert sizes["new-this-month"] == demo.people.is_newcomer.sum()
    assert sizes["regular-visitors"] == PEOPLE - demo.people.is_newcomer.sum()
    assert 0 < sizes["recent-buyers"] < PEOPLE
    for season, slug in ((Season.NOW, "regular-visitors"), (Season.NEW, "new-this-month")):
        members = set(Membership.objects.filter(segment__slug=slug).values_list("profile_id", flat=True))
        first = demo.seasons[season].first
        assert {pk for pk, at in zip(demo.profile_ids, first, strict=True) if at >= 0} <= members


@pytest.mark.parametrize("slug", STATES)
def test_seed__campaign__is_in_its_state_with_the_truth_beside_the_estimate(demo: DemoWorld, slug: str) -> None:
    trial = next(one for one in stage.trials(lift=0.5) if one.slug == slug)
    campaign = Campaign.objects.get(slug=slug)
    experiment = get_experiment(campaign.experiment_key)
    assert (campaign.status, experiment.status) == STATES[slug]
    assert experiment.is_demo
    assert experiment.demo_truth == stage.truth(effects=trial.effects)
    report = get_report(experiment_key=campaign.experiment_key)
    assert report is not None
    assert report.primary is not None
    assert report.primary.comparisons[0].true_lift == trial.effects.conversion
    assert report.verdict.headline.code
    exposed = (demo.seasons[trial.season].first >= 0).sum()
    if trial.loss:
        assert report.exposed_n < exposed
    else:
        assert report.exposed_n == exposed


def test_seed__draft__has_no_experiment(demo: DemoWorld) -> None:
    draft = Campaign.objects.get(slug="set-the-table")
    assert (draft.status, draft.experiment_key) == ("draft", "")


def test_seed__conversions_in_a_trial__come_from_its_outcome_alone(demo: DemoWorld) -> None:
    """Nobody in the finished season orders outside the model between the exposure and the season's end."""
    plan = demo.seasons[Season.PAST]
    orders = demo.events[demo.events["kind"] == Kind.ORDERED]
    first = plan.first[orders["person"]]
    assert not ((first >= 0) & (orders["at"] >= first) & (orders["at"] < plan.end)).any()
    window = WINDOW_DAYS * 86_400 * 1_000_000
    for pk, at in zip(demo.profile_ids, plan.first.tolist(), strict=True):
        if at >= 0:
            count = Event.objects.filter(
                profile=pk, type__name="Order Completed", at__gte=at, at__lt=at + window
            ).count()
            assert count <= 1


def test_seed__strategies__are_trained_and_serve_the_demo_s_items(demo: DemoWorld) -> None:
    for slug in seed.STRATEGIES:
        answer = recommend(
            user_id=str(demo.profile_ids[0]), k=4, strategy=slug, context={}, exclude=(), at=AT, log=False
        )
        assert len(answer.items) == 4
        item = get_item(item_id=answer.items[0].item_id)
        assert item is not None
        assert item.is_demo


def test_seed__clicks__name_their_experiment_and_the_arm_that_was_assigned(demo: DemoWorld) -> None:
    from experiments.services.assignment import assign

    clicks = Event.objects.filter(type__name="Recommendation Clicked", props__campaign="autumn-picks")[:50]
    assert clicks
    for click in clicks:
        given = assign(
            experiment_key=click.props["experiment"],
            unit_type="profile",
            unit_id=str(click.profile_id),
            attributes={},
            at=AT,
        )
        assert given.arm_key == click.props["arm"]
    assert {click.props["arm"] for click in clicks} == {PERSONALIZED, "control"}
