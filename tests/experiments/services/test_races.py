"""Races between connections. They need a database with row locks, so the suite has them on PostgreSQL only:
SQLite lets one writer in at a time (`transaction_mode` IMMEDIATE), and its test database is one connection."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from experiments.errors import CannotTransition
from experiments.models import ChangeLog, Experiment, Exposure
from experiments.services import decision, lifecycle
from experiments.services.design import create_layer
from experiments.services.exposure import ExposureRow, microseconds, record_many
from tests.factories.experiments import STARTED, make_experiment
from tests.races import at_once

LATER = STARTED + timedelta(days=2)

if connection.vendor == "postgresql":

    @pytest.mark.django_db(transaction=True)
    def test_start__by_two_at_once__one_wins() -> None:
        key = make_experiment().key
        errors = at_once(*[lambda: lifecycle.start(experiment_key=key, at=STARTED)] * 4)
        assert [type(error) for error in errors] == [CannotTransition] * 3
        assert ChangeLog.objects.filter(transition="start").count() == 1
        assert Experiment.objects.get().version == 2

    @pytest.mark.django_db(transaction=True)
    def test_start__two_experiments_of_one_layer_at_once__one_wins() -> None:
        create_layer(key="home", name="Home")
        keys = [make_experiment(layer_key="home").key for _ in range(3)]
        errors = at_once(*(lambda key=key: lifecycle.start(experiment_key=key, at=STARTED) for key in keys))
        assert [error.reasons[0].code for error in errors if isinstance(error, CannotTransition)] == ["layer_taken"] * 2
        assert Experiment.objects.live().count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_decide__by_two_at_once__one_decision() -> None:
        key = make_experiment(status="running").key
        errors = at_once(*[lambda: decision.decide(experiment_key=key, outcome="stop", reason="Harm.", at=LATER)] * 3)
        assert [type(error) for error in errors] == [CannotTransition] * 2
        assert Experiment.objects.get().decisions.count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_record_many__same_rows_in_opposite_orders__no_deadlock_and_the_earliest_stays() -> None:
        experiment = make_experiment(status="running")

        def rows(hour: int) -> list[ExposureRow]:
            return [
                ExposureRow(
                    experiment_key=experiment.key,
                    unit_type="profile",
                    unit_id=str(number),
                    arm_key="treatment",
                    phase=1,
                    at=microseconds(STARTED + timedelta(hours=hour)),
                )
                for number in range(2_000)
            ]

        errors = at_once(
            *(lambda hour=hour: record_many(rows=rows(hour)[:: 1 if hour % 2 else -1]) for hour in range(1, 5))
        )
        assert errors == []
        assert Exposure.objects.count() == 2_000
        first_at = microseconds(STARTED + timedelta(hours=1))
        assert set(Exposure.objects.values_list("first_at", flat=True)) == {first_at}
