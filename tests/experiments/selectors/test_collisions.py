from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.selectors import list_collisions
from experiments.services import lifecycle
from experiments.services.design import create_layer
from experiments.services.ramp import RampSpec, apply_due_steps
from marketing.models import Campaign
from tests.factories.campaigns import make_campaign, make_members
from tests.factories.experiments import STARTED, expose, make_design, make_experiment
from tests.factories.marketing import NOW, make_profile

pytestmark = pytest.mark.django_db


def test_list_collisions__live_ones_outside_the_layer__most_shared_first() -> None:
    create_layer(key="home", name="Home")
    create_layer(key="mail", name="Mail")
    few, many = make_experiment(status="running"), make_experiment(status="running", layer_key="mail")
    expose(few, "u1", "u2")
    expose(many, *map(str, range(10)))
    expose(many, "1", arm="control")
    lifecycle.pause(experiment_key=few.key, at=STARTED + timedelta(days=1))
    make_experiment(status="running", layer_key="home", layer_lower=0.5)
    make_experiment(status="stopped")
    make_experiment(status="running", unit_type="household")
    make_experiment()
    draft = make_experiment(layer_key="home", layer_upper=0.5, coverage=0.8)
    people = [make_profile() for _ in range(50)]
    with CaptureQueriesContext(connection) as queries:
        got = list_collisions(experiment_key=draft.key)
    assert [(one.key, one.exposed_n, one.shared_n) for one in got] == [(many.key, 10, 4), (few.key, 2, 1)]
    assert [(one.audience_n, one.both_n) for one in got] == [(len(people), 20), (len(people), 20)]
    assert {one.payload for one in got} == {("title",)}
    assert len(queries) <= 5 + 12 * 2


def test_list_collisions__rules__count_who_matches_both_at_the_coverage_reached() -> None:
    for country in ("DE", "DE", "DE", "DE", "AT", "FR"):
        make_profile(country=country)
    german = {"attribute": "country", "op": "eq", "value": "DE"}
    alpine = {"attribute": "country", "op": "in", "value": ["DE", "AT"]}
    arms = tuple(replace(arm, payload="x") for arm in make_design().arms)
    rival = make_experiment(
        status="running", targeting=german, arms=arms, coverage=0.1, ramp=(RampSpec(timedelta(days=1), 0.5),)
    )
    apply_due_steps(at=STARTED + timedelta(days=1))
    (one,) = list_collisions(experiment_key=make_experiment(targeting=alpine).key)
    assert (one.key, one.audience_n, one.both_n, one.payload, one.is_serious) == (rival.key, 4, 2, (), False)


def test_list_collisions__units_that_are_no_profiles__nobody_can_count() -> None:
    make_experiment(status="running", unit_type="anonymous")
    (one,) = list_collisions(experiment_key=make_experiment(unit_type="anonymous").key)
    assert (one.audience_n, one.both_n) == (None, None)


def test_list_collisions__campaigns__same_place_at_the_same_time_in_their_segments() -> None:
    people = [make_profile() for _ in range(6)]
    gold, silver = make_members(*people[:4]), make_members(*people[2:])
    first, second = make_campaign(segment_id=gold.pk), make_campaign(segment_id=silver.pk)
    (one,) = list_collisions(experiment_key=first.experiment_key)
    assert (one.audience_n, one.both_n, one.is_serious) == (2, 2, True)
    assert one.place is not None
    assert (one.place.kind, one.place.name) == ("page", second.slug)
    Campaign.objects.filter(pk=second.pk).update(starts_at=NOW + timedelta(days=2), ends_at=NOW + timedelta(days=9))
    Campaign.objects.filter(pk=first.pk).update(ends_at=NOW + timedelta(days=1))
    (one,) = list_collisions(experiment_key=first.experiment_key)
    assert (one.place, one.payload) == (None, ())


def test_list_collisions__archived_or_unknown__none() -> None:
    make_experiment(status="running")
    archived = make_experiment(status="archived")
    assert list_collisions(experiment_key=archived.key) == []
    assert list_collisions(experiment_key="nothing") == []


def test_list_collisions__alone__none() -> None:
    assert list_collisions(experiment_key=make_experiment(status="running").key) == []
