from __future__ import annotations

import threading

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from experiments.errors import UnknownExperiment
from experiments.models import Experiment, Phase
from experiments.selectors import config as config_module
from experiments.selectors import get_config, list_configs
from experiments.services import decision, lifecycle
from tests.factories.experiments import STARTED, make_experiment

pytestmark = pytest.mark.django_db


class _Clock:
    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    stopped = _Clock()
    monkeypatch.setattr(config_module, "time", stopped)
    return stopped


def test_get_config__published__everything_assignment_needs() -> None:
    experiment = make_experiment(status="running", coverage=0.6)
    config = get_config(experiment_key=experiment.key)
    assert config is not None
    assert (config.id, config.status, config.unit_type, config.seed) == (
        experiment.pk,
        "running",
        "profile",
        experiment.seed,
    )
    assert [(arm.key, arm.is_control, arm.payload) for arm in config.arms] == [
        ("control", True, {"title": "plain"}),
        ("treatment", False, {"title": "new"}),
    ]
    phase = config.phases[0]
    assert (phase.number, phase.started_at, phase.coverage, phase.weights) == (1, STARTED, 0.6, (0.5, 0.5))
    assert config.shipped is None
    assert set(list_configs()) == {experiment.key}


def test_get_config__draft__none_and_unknown__raises() -> None:
    experiment = make_experiment()
    assert get_config(experiment_key=experiment.key) is None
    with pytest.raises(UnknownExperiment):
        get_config(experiment_key="nothing")


def test_cache__fresh__no_query_and_stale_but_unchanged__one(clock: _Clock) -> None:
    experiment = make_experiment(status="running")
    get_config(experiment_key=experiment.key)
    with CaptureQueriesContext(connection) as queries:
        get_config(experiment_key=experiment.key)
    assert len(queries) == 0
    clock.now += config_module.TTL_SECONDS
    with CaptureQueriesContext(connection) as queries:
        get_config(experiment_key=experiment.key)
        get_config(experiment_key=experiment.key)
    assert len(queries) == 1


def test_cache__transition_in_this_process__seen_at_once(clock: _Clock) -> None:
    experiment = make_experiment(status="running")
    get_config(experiment_key=experiment.key)
    lifecycle.pause(experiment_key=experiment.key, at=STARTED)
    config = get_config(experiment_key=experiment.key)
    assert config is not None
    assert config.status == "paused"
    decision.decide(experiment_key=experiment.key, outcome="ship", arm_key="treatment", reason="yes", at=STARTED)
    config = get_config(experiment_key=experiment.key)
    assert config is not None
    assert config.shipped is not None
    assert config.shipped.arm.key == "treatment"


def test_cache__database_does_not_answer__last_state_is_served(
    clock: _Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = make_experiment(status="running")
    known = get_config(experiment_key=experiment.key)

    def fail() -> tuple[int, ...]:
        raise OperationalError("gone")

    monkeypatch.setattr(config_module, "_version", fail)
    clock.now += 60
    assert get_config(experiment_key=experiment.key) is known
    assert "did not answer" in caplog.text
    config_module.clear_config_cache()
    with pytest.raises(OperationalError):
        get_config(experiment_key=experiment.key)


def test_cache__one_broken_row__the_others_are_served(caplog: pytest.LogCaptureFixture) -> None:
    broken = make_experiment()
    Phase.objects.filter(experiment=broken).update(targeting={"schema": 99})
    good = make_experiment(status="running")
    Experiment.objects.filter(pk=broken.pk).update(status="running", started_at=STARTED)
    Phase.objects.filter(experiment=broken).update(started_at=STARTED)
    assert set(list_configs()) == {good.key}
    assert f"experiment {broken.pk} cannot be read" in caplog.text


def test_cache__refresh_by_another_thread__stale_is_served_meanwhile(clock: _Clock) -> None:
    experiment = make_experiment(status="running")
    known = get_config(experiment_key=experiment.key)
    clock.now += 60
    with config_module._cache._lock, CaptureQueriesContext(connection) as queries:
        assert get_config(experiment_key=experiment.key) is known
    assert len(queries) == 0


def test_cache__many_threads__one_refresh(clock: _Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    started = threading.Barrier(4)

    def count() -> tuple[int, ...]:
        calls.append(1)
        threading.Event().wait(0.05)  # long enough for the other threads to ask
        return (0, 0, 0)

    monkeypatch.setattr(config_module, "_version", count)
    monkeypatch.setattr(config_module, "_load", dict)
    monkeypatch.setattr(config_module, "_drafts", frozenset)

    def read() -> None:
        started.wait()
        list_configs()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
