"""SQL that is kept: the same text as compiled anew, whatever the moment, and not for ever."""

from __future__ import annotations

import pyarrow as pa
import pytest

from experiments.facts import templates
from experiments.facts.expressions import unit_totals
from experiments.models import Experiment
from experiments.services.planned import planned_metrics
from marketing.facts import EventFacts
from tests.factories.experiments import make_experiment

NOTHING = pa.schema([])


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_kept", type(templates._kept)())


@pytest.mark.django_db
def test_template__another_moment__is_the_sql_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_experiment(status="running")
    _, metrics = planned_metrics(experiment)
    facts = EventFacts()
    built: list[int] = []

    def totals(until: int):  # type: ignore[no-untyped-def]  # an ibis table
        built.append(until)
        return unit_totals(facts, experiment_key=experiment.key, metrics=metrics, until=until)

    for until in (1_700_000_000_000_000, 1_800_000_000_000_000):
        expected = facts.compile(totals(until))
        assert facts.template("totals", totals).at(until) == expected
    assert built.count(templates.UNTIL) == 1


@pytest.mark.django_db
def test_shape__new_event_type__is_another_shape() -> None:
    experiment = make_experiment(status="running")
    types = ("Order Completed", "Never Seen")
    before = EventFacts().shape(experiment_key=experiment.key, event_types=types)
    assert before == EventFacts().shape(experiment_key=experiment.key, event_types=types)
    from marketing.models import EventType

    EventType.objects.create(name="Never Seen")
    assert before != EventFacts().shape(experiment_key=experiment.key, event_types=types)


@pytest.mark.django_db
def test_shape__another_experiment_under_the_key_of_a_removed_one__is_another_shape() -> None:
    """As when the demo world is made anew beside a worker that knows the old one."""
    shapes = set()
    for key in ("first", "second"):
        experiment = make_experiment(status="running", key=key)
        Experiment.objects.filter(pk=experiment.pk).update(key="same")
        shapes.add(EventFacts().shape(experiment_key="same", event_types=("Order Completed",)))
        Experiment.objects.filter(pk=experiment.pk).update(key=f"former-{key}")
    assert len(shapes) == 2


@pytest.mark.django_db
def test_shape__another_key_on_the_same_row__is_another_shape() -> None:
    """SQL names both: the row chooses the exposures, and a filter on the experiment compares the key."""
    experiment = make_experiment(status="running", key="first")
    before = EventFacts().shape(experiment_key="first", event_types=("Order Completed",))
    Experiment.objects.filter(pk=experiment.pk).update(key="second")
    assert before != EventFacts().shape(experiment_key="second", event_types=("Order Completed",))


def test_keep__too_many__drops_the_one_used_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MOST_KEPT", 2)
    made: list[str] = []

    def use(name: str) -> None:
        def compiled() -> templates.Template:
            made.append(name)
            return templates.Template(name, NOTHING)

        assert templates.keep(name, compiled).sql == name

    for name in ("one", "two", "one", "three", "one", "two"):
        use(name)
    assert made == ["one", "two", "three", "two"]
