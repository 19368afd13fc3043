"""`manage.py refresh_experiments` and the tasks call the same service."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from experiments import tasks
from experiments.models import Experiment, Snapshot
from experiments.selectors import get_results
from tests.experiments.world import FACTS, create_event_table
from tests.factories.experiments import make_experiment

pytestmark = pytest.mark.django_db


@pytest.fixture
def running(settings: Settings) -> Experiment:
    settings.EXPERIMENTS_FACTS = FACTS
    create_event_table()
    return make_experiment(status="running")


def run(*keys: str) -> str:
    stream = io.StringIO()
    call_command("refresh_experiments", *keys, stdout=stream)
    return stream.getvalue()


def test_refresh_experiments__no_keys__refreshes_what_can_change(running: Experiment) -> None:
    make_experiment()
    assert run() == f"{running.key}: ok\n"
    assert Snapshot.objects.filter(is_current=True).count() == 1


def test_refresh_experiments__unknown_key__exits_with_two(running: Experiment) -> None:
    with pytest.raises(CommandError, match="no experiment 'absent'") as caught:
        run("absent", running.key)
    assert caught.value.returncode == 2


def test_refresh_experiments__one_fails__goes_on_and_says_so(running: Experiment, settings: Settings) -> None:
    settings.EXPERIMENTS_FACTS = "tests.experiments.facts.sources.Absent"
    with pytest.raises(CommandError, match="1 of 1 refreshes failed"):
        run(running.key)
    assert get_results(experiment_key=running.key).has_failed


def test_refresh_running_experiments__running_ones__get_one_task_each(
    running: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_experiment()
    asked: list[int] = []
    monkeypatch.setattr(tasks.refresh_experiment, "delay", asked.append)
    assert tasks.refresh_running_experiments() == 1
    assert asked == [running.pk]


def test_refresh_experiment__task__stores_a_result(running: Experiment) -> None:
    assert tasks.refresh_experiment(running.pk) == "ok"
    assert get_results(experiment_key=running.key).report is not None


def test_refresh_experiment__task_of_a_deleted_experiment__ends_quietly() -> None:
    assert tasks.refresh_experiment(0) == "deleted"


def test_refresh_experiment__task_that_fails__records_it(running: Experiment, settings: Settings) -> None:
    settings.EXPERIMENTS_FACTS = "tests.experiments.facts.sources.Absent"
    assert tasks.refresh_experiment(running.pk) == "failed"
    results = get_results(experiment_key=running.key)
    assert (results.report, results.failures_n) == (None, 1)
