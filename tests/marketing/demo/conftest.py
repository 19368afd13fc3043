"""One small demo world, built once for the module and rolled back after it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker

from marketing.services.demo import stage
from marketing.services.demo.draw import DemoWorld
from marketing.services.demo.meter import Report
from marketing.services.demo.results import read_results
from marketing.services.demo.seed import play_demo
from recommender.evaluation.beyond import bootstrap
from recommender.services import evaluation_report

AT = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
PEOPLE = 260
FEW = ("welcome-back", "autumn-picks", "first-steps", "set-the-table")
"""One campaign of each season, and one that never began: each is made in its own way."""


def ignore(step: str, done: int, total: int) -> None:
    """Take progress and show nothing."""


def build(*, seed: int = 1, profiles: int = PEOPLE, report: Report = ignore) -> DemoWorld:
    """Build a world, both parts of it, in the present transaction."""
    last = (0, 0)

    def tell(step: str, done: int, total: int) -> None:
        nonlocal last
        last = (done, total)
        report(step, done, total)

    drawn = play_demo(seed=seed, profiles=profiles, at=AT, lift=0.5, report=tell)
    done, total = last
    read_results(at=AT, report=report, done=done, total=total)
    return drawn


@pytest.fixture(scope="module")
def demo(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[DemoWorld]:
    """A demo world for tests that only read it; take `db` besides."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield build()
        transaction.set_rollback(True)


@pytest.fixture
def few_campaigns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A world of four campaigns and short reports of trainings: these are most of what it takes to build one."""
    monkeypatch.setattr(evaluation_report, "bootstrap", partial(bootstrap, draws=50))
    every = stage.trials
    monkeypatch.setattr(
        stage, "trials", lambda *, lift: tuple(trial for trial in every(lift=lift) if trial.slug in FEW)
    )
