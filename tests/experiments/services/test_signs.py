"""Signs of trouble: late data, strayed exposures, bots, metrics that dry up, arms that differed from the start."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from pytest_django.fixtures import Settings

from experiments.facts.expressions import DAY
from experiments.models import Experiment
from experiments.reports import Message
from experiments.services import signs
from experiments.services.analysis import analyze
from experiments.services.assignment import assign
from experiments.services.exposure import microseconds
from experiments.services.metric_reports import Measured
from experiments.services.signs import Signs, sign_messages
from experiments.templatetags.experiment_words import WORDS, words
from tests.experiments.services.test_estimation import cells
from tests.experiments.world import FACTS, Shop, make_world
from tests.factories.experiments import STARTED, expose, make_experiment

AT = STARTED + timedelta(days=16)


def codes(found: Signs, *, status: str = "running") -> dict[str, str]:
    messages = list(sign_messages(found, Experiment(status=status), AT))
    assert all(message.code in WORDS and words(message) for message in messages)
    return {message.code: message.level for message in messages}


def test_signs__nothing_odd__says_nothing() -> None:
    late = microseconds(AT - timedelta(hours=3))
    assert codes(Signs(last_event_at=late, checked_n=500, strayed_n=2, people_n=500, bots_n=20)) == {}
    assert codes(Signs()) == {}


def test_signs__no_event_for_a_day__data_is_late_while_it_runs() -> None:
    old = Signs(last_event_at=microseconds(AT - timedelta(days=2)))
    assert codes(old) == {"data_delayed": "warning"}
    assert codes(old, status="stopped") == {}


def test_signs__exposures_to_other_arms_and_bots__warn() -> None:
    assert codes(Signs(checked_n=500, strayed_n=50)) == {"exposures_strayed": "warning"}
    assert codes(Signs(checked_n=50, strayed_n=50)) == {}
    assert codes(Signs(people_n=300, bots_n=200)) == {"bots_many": "warning"}


@pytest.mark.django_db
def test_strayed__exposures_by_the_hash_and_others__are_told_apart() -> None:
    experiment = make_experiment(status="running")
    for number in range(120):
        found = assign(
            experiment_key=experiment.key, unit_type="profile", unit_id=str(number), attributes={}, at=STARTED
        )
        assert found.arm_key is not None
        other = "control" if found.arm_key == "treatment" else "treatment"
        expose(experiment, str(number), arm=other if number < 30 else found.arm_key)
    report = analyze_with_profiles(experiment)
    strayed = next(message for message in report if message.code == "exposures_strayed")
    assert strayed.parameters == {"count": 30, "share": 0.25}


def analyze_with_profiles(experiment: Experiment) -> tuple[Message, ...]:
    return analyze(experiment=experiment, at=AT).report.health.messages


def measured(values: list[int], first_at: list[int], before: list[int] | None = None) -> Measured:
    n = len(values)
    found = cells(
        values,
        [0, 1] * (n // 2),
        first_at=first_at,
        before=before,
        day_ends=[DAY * k for k in range(1, 8)],
        until=8 * DAY,
    )
    return Measured(cells=found, uncapped=None, is_adjusted=before is not None)


def test_dried_up__events_until_some_day__is_told_only_where_many_are_missing() -> None:
    first_at = np.linspace(0, 6 * DAY - 1, 1_200).astype(int).tolist()
    alive = [1 if number % 4 == 0 else 0 for number in range(1_200)]
    dead = [value if at < 4 * DAY else 0 for value, at in zip(alive, first_at, strict=True)]
    rare = [1 if number % 600 == 0 and at < 4 * DAY else 0 for number, at in enumerate(first_at)]
    assert not signs._has_dried_up(measured(alive, first_at))
    assert signs._has_dried_up(measured(dead, first_at))
    assert not signs._has_dried_up(measured(rare, first_at))


def test_bias__arms_that_differed_before__has_a_small_p_value() -> None:
    rng = np.random.default_rng(2)
    n = 2_000
    fair, biased = rng.integers(0, 9, n), rng.integers(0, 9, n) + np.arange(n) % 2
    run = FakeRun()
    assert (signs._bias(run, measured([0] * n, [0] * n, fair.tolist())) or 0) > 0.001  # type: ignore[arg-type]  # what it reads of a run
    assert (signs._bias(run, measured([0] * n, [0] * n, biased.tolist())) or 1) < 1e-6  # type: ignore[arg-type]  # what it reads of a run
    assert signs._bias(run, measured([0] * n, [0] * n)) is None  # type: ignore[arg-type]  # what it reads of a run


class FakeRun:
    control = 0
    treatments = (1,)


@pytest.mark.django_db
def test_analyze__biased_start__gets_no_verdict(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.EXPERIMENTS_FACTS = FACTS
    experiment = make_world(Shop({"control": 0.2, "treatment": 0.4}, units_n=400), planned_size=200)
    monkeypatch.setattr(signs, "_bias", lambda *_: 1e-9)
    report = analyze(experiment=experiment, at=AT).report
    assert report.verdict.headline.code == "not_healthy"
    assert "biased_start" in {message.code for message in report.verdict.reasons}
