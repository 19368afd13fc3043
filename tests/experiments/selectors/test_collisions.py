from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.selectors import list_collisions
from experiments.services import lifecycle
from experiments.services.design import create_layer
from tests.factories.experiments import STARTED, expose, make_experiment

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
    with CaptureQueriesContext(connection) as queries:
        got = list_collisions(experiment_key=draft.key)
    assert [(collision.key, collision.exposed_n, collision.shared_n) for collision in got] == [
        (many.key, 10, 4),
        (few.key, 2, 1),
    ]
    assert len(queries) == 4


def test_list_collisions__archived_or_unknown__none() -> None:
    make_experiment(status="running")
    archived = make_experiment(status="archived")
    assert list_collisions(experiment_key=archived.key) == []
    assert list_collisions(experiment_key="nothing") == []


def test_list_collisions__alone__none() -> None:
    assert list_collisions(experiment_key=make_experiment(status="running").key) == []
