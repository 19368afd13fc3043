from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from experiments.errors import CannotTransition, InvalidDesign, UnknownExperiment
from experiments.models import ChangeLog, Exposure, Layer
from experiments.models.experiment import Experiment
from experiments.services import decision, design, lifecycle
from experiments.services.design import ArmSpec, MetricSpec
from experiments.services.metrics import ensure_builtin_metrics
from tests.factories.experiments import STARTED, T0, expose, make_design, make_experiment

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _metrics() -> None:
    ensure_builtin_metrics()


def test_create_experiment__design__stored_as_a_draft() -> None:
    owner = User.objects.create_user("ana")
    plan = make_design(
        targeting={"attribute": "vip", "op": "eq", "value": True}, coverage=0.4, demo_truth={"schema": 1}
    )
    experiment = design.create_experiment(design=plan, at=T0, actor=owner)
    assert (experiment.status, experiment.owner, experiment.created_at) == ("draft", owner, T0)
    assert (experiment.demo_truth, len(experiment.seed)) == ({"schema": 1}, 16)
    phase = experiment.phases.get()
    assert (phase.number, phase.started_at, phase.coverage) == (1, None, 0.4)
    assert phase.targeting == {"schema": 1, "rule": plan.targeting}
    assert list(experiment.arms.order_by("position").values_list("key", "is_control")) == [
        ("control", True),
        ("treatment", False),
    ]
    assert ChangeLog.objects.get(object_id=experiment.pk).transition == "create"


def test_create_experiment__two__have_their_own_seeds() -> None:
    assert make_experiment().seed != make_experiment().seed


def test_create_experiment__seed_given__kept() -> None:
    assert make_experiment(seed="world-1").seed == "world-1"


TWICE = (ArmSpec(key="a", name="A", weight=0.5), ArmSpec(key="a", name="B", weight=0.5))
CONTROLS = (
    ArmSpec(key="a", name="A", weight=0.5, is_control=True),
    ArmSpec(key="b", name="B", weight=0.5, is_control=True),
)
PRIMARIES = (MetricSpec(key="conversion", role="primary"), MetricSpec(key="revenue", role="primary"))


@pytest.mark.parametrize(
    ("overrides", "codes"),
    [
        ({"key": ""}, {"key"}),
        ({"name": ""}, {"key"}),
        ({"key": "taken"}, {"key_taken"}),
        ({"layer_key": "nowhere"}, {"layer_unknown"}),
        ({"layer_lower": 0.6, "layer_upper": 0.6}, {"layer_range"}),
        ({"layer_upper": 1.1}, {"layer_range"}),
        ({"coverage": 1.01}, {"coverage"}),
        ({"alpha": 0.0}, {"alpha_power"}),
        ({"power": 1.0}, {"alpha_power"}),
        ({"targeting": {"any": []}}, {"targeting"}),
        ({"arms": TWICE}, {"arm_key"}),
        ({"arms": CONTROLS}, {"control"}),
        ({"arms": (ArmSpec(key="", name="A", weight=0.5),)}, {"arm_name"}),
        ({"arms": (ArmSpec(key="a", name="A", weight=1.5),)}, {"weight"}),
        ({"arms": tuple(ArmSpec(key=f"a{n}", name="A", weight=0.0) for n in range(255))}, {"arms"}),
        ({"metrics": (MetricSpec(key="nothing", role="primary"),)}, {"metric_unknown"}),
        ({"metrics": (MetricSpec(key="revenue", role="secondary"),) * 2}, {"metric_twice"}),
        ({"metrics": PRIMARIES}, {"primary"}),
        ({"metrics": (MetricSpec(key="revenue", role="other"),)}, {"role"}),
        ({"metrics": (MetricSpec(key="revenue", role="secondary", margin=0.1),)}, {"margin"}),
        ({"metrics": (MetricSpec(key="revenue", role="guardrail", margin=-0.1),)}, {"margin"}),
    ],
)
def test_create_experiment__flaw__refused_with_its_reason(overrides: dict[str, Any], codes: set[str]) -> None:
    make_experiment(key="taken")
    with pytest.raises(InvalidDesign) as error:
        design.create_experiment(design=make_design(**overrides), at=T0)
    assert {reason.code for reason in error.value.reasons} == codes
    assert str(error.value)
    assert Experiment.objects.count() == 1


def test_revise__draft__replaced_but_seed_and_creation_stay() -> None:
    experiment = make_experiment()
    changed = dataclasses.replace(
        make_design(key=experiment.key),
        name="Better name",
        arms=(
            ArmSpec(key="old", name="Old", weight=0.3, is_control=True),
            ArmSpec(key="new", name="New", weight=0.7),
        ),
        metrics=(MetricSpec(key="revenue", role="primary"),),
    )
    revised = design.revise(experiment_key=experiment.key, design=changed, at=STARTED)
    assert (revised.pk, revised.seed, revised.created_at) == (experiment.pk, experiment.seed, T0)
    assert (revised.name, revised.version) == ("Better name", experiment.version + 1)
    assert list(revised.arms.order_by("position").values_list("key", flat=True)) == ["old", "new"]
    assert [row.weight for row in revised.phases.get().phase_arms.order_by("arm__position")] == [0.3, 0.7]
    assert revised.metrics.get().metric.key == "revenue"
    assert ChangeLog.objects.latest("pk").snapshot["name"] == "Better name"


def test_revise__running__refused() -> None:
    experiment = make_experiment(status="running")
    with pytest.raises(CannotTransition, match="draft"):
        design.revise(experiment_key=experiment.key, design=make_design(key=experiment.key), at=STARTED)


def test_revise__unknown__refused() -> None:
    with pytest.raises(UnknownExperiment):
        design.revise(experiment_key="nothing", design=make_design(), at=STARTED)


def test_create_finished__imported__stopped_with_its_phase_in_the_past() -> None:
    stopped_at = STARTED + timedelta(days=7)
    experiment = design.create_finished(
        design=make_design(facts="experiments.facts.warehouse.ParquetFacts", facts_reference="abc"),
        started_at=STARTED,
        stopped_at=stopped_at,
        at=stopped_at + timedelta(days=1),
    )
    assert (experiment.status, experiment.started_at, experiment.stopped_at) == ("stopped", STARTED, stopped_at)
    assert experiment.phases.get().started_at == STARTED
    assert experiment.facts_reference == "abc"
    assert ChangeLog.objects.latest("pk").transition == "import"


def test_create_layer__key_taken__refused() -> None:
    design.create_layer(key="home", name="Home")
    with pytest.raises(InvalidDesign, match="home"):
        design.create_layer(key="home", name="Another")


def test_remove_demo__demo_and_real__only_the_demo_goes() -> None:
    design.create_layer(key="demo-layer", name="Demo", is_demo=True)
    design.create_layer(key="real-layer", name="Real")
    demo = make_experiment(status="running", is_demo=True, layer_key="demo-layer")
    real = make_experiment(status="running", layer_key="real-layer")
    for experiment in (demo, real):
        expose(experiment, "u1", "u2")
    lifecycle.open_phase(experiment_key=demo.key, at=STARTED + timedelta(days=1), coverage=0.5)
    decision.decide(
        experiment_key=demo.key, outcome="ship", arm_key="treatment", reason="yes", at=STARTED + timedelta(days=2)
    )
    assert design.remove_demo() == 1
    assert Experiment.objects.get() == real
    assert Exposure.objects.filter(experiment=real).count() == Exposure.objects.count() == 2
    assert set(ChangeLog.objects.values_list("object_id", flat=True)) == {real.pk}
    assert Layer.objects.get().key == "real-layer"
