"""A small running experiment with exposures and events in Django's own database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection

from experiments.models import Arm, Experiment, Exposure
from experiments.ports import MICRO
from experiments.services.dirty import mark_dirty
from experiments.services.exposure import microseconds
from tests.experiments.facts.sources import EVENT_TABLE
from tests.factories.experiments import STARTED, make_experiment

FACTS = "tests.experiments.facts.sources.TableFacts"
DAYS = 12
"""People come evenly over this many days."""


@dataclass(frozen=True, slots=True)
class Shop:
    """What people do, by arm."""

    conversion: dict[str, float]
    units_n: int = 1_200
    seed: int = 1


def make_world(shop: Shop, **design: Any) -> Experiment:
    """A running experiment whose people came over twelve days and ordered two hours after."""
    experiment = make_experiment(status="running", **design)
    create_event_table()
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {EVENT_TABLE} VALUES (%s, %s, %s, %s, %s, NULL, NULL)", list(_orders(experiment, shop))
        )
    return experiment


def create_event_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {EVENT_TABLE}"
            " (unit bigint, type text, at bigint, value bigint,"
            " property_experiment text, property_product text, number_quantity bigint)"
        )


def add_order(unit: int, at: datetime, *, value: int = 50 * MICRO) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {EVENT_TABLE} VALUES (%s, %s, %s, %s, NULL, NULL, NULL)",
            [unit, "Order Completed", microseconds(at), value],
        )
    mark_dirty(units=[str(unit)])


def _orders(experiment: Experiment, shop: Shop) -> Iterator[tuple[int, str, int, int, None]]:
    """Exposures are written, orders yielded; some people ordered in the weeks before as well."""
    rng = np.random.default_rng(shop.seed)
    arms = list(Arm.objects.filter(experiment=experiment).order_by("position"))
    phase = experiment.phases.get()
    exposures = []
    for unit in range(1, shop.units_n + 1):
        arm = arms[int(rng.integers(len(arms)))]
        first_at = STARTED + timedelta(days=float(rng.random() * DAYS))
        exposures.append(
            Exposure(
                experiment=experiment,
                phase=phase,
                arm=arm,
                unit_type="profile",
                unit_id=str(unit),
                first_at=microseconds(first_at),
            )
        )
        is_regular = rng.random() < 0.3
        if is_regular:
            yield unit, "Order Completed", microseconds(first_at - timedelta(days=3)), 30 * MICRO, None
        if rng.random() < shop.conversion[arm.key] * (2 if is_regular else 0.6):
            value = int(rng.lognormal(3, 0.5) * 100) * MICRO // 100
            yield unit, "Order Completed", microseconds(first_at + timedelta(hours=2)), value, None
    Exposure.objects.bulk_create(exposures)
