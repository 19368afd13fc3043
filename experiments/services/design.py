"""Design: making an experiment, and changing it while it is a draft."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from experiments.bucketing.allocation import NO_ARM
from experiments.choices import ExperimentStatus
from experiments.errors import CannotTransition, InvalidDesign, Reason, UnknownExperiment
from experiments.models import (
    Arm,
    ChangeLog,
    Experiment,
    ExperimentMetric,
    Exposure,
    Layer,
    Metric,
    Phase,
    PhaseArm,
    Prerequisite,
)
from experiments.models.experiment import new_seed
from experiments.selectors.config import clear_config_cache
from experiments.services.changes import OBJECT_TYPE, record_change, touch
from experiments.services.ramp import RampSpec, add_steps, flaws_of_ramp
from experiments.targeting.tree import decode, encode, parse, to_json


@dataclass(frozen=True, slots=True)
class ArmSpec:
    key: str
    name: str
    weight: float
    is_control: bool = False
    payload: Any = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """The current version of the metric `key` in this role."""

    key: str
    role: str
    margin: float | None = None
    window_hours: int | None = None
    ceiling: float | None = None
    """Of a guardrail that the control cannot have: the highest acceptable rate of a treated arm."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Only units that the experiment serves this arm."""

    experiment_key: str
    arm_key: str


@dataclass(frozen=True, slots=True)
class Design:
    """Everything that is planned. `targeting` is a bare rule of `experiments.targeting`, `{}` for everyone."""

    key: str
    name: str
    arms: tuple[ArmSpec, ...] = ()
    metrics: tuple[MetricSpec, ...] = ()
    hypothesis: str = ""
    unit_type: str = "profile"
    layer_key: str = ""
    layer_lower: float = 0.0
    layer_upper: float = 1.0
    coverage: float = 1.0
    ramp: tuple[RampSpec, ...] = ()
    requires: tuple[Requirement, ...] = ()
    targeting: Mapping[str, Any] = field(default_factory=dict)
    alpha: float = 0.05
    power: float = 0.8
    mde: float | None = None
    planned_size: int | None = None
    planned_days: int | None = None
    facts: str = ""
    facts_reference: str = ""
    plan: Mapping[str, Any] = field(default_factory=dict)
    is_demo: bool = False
    demo_truth: Mapping[str, Any] | None = None
    # Only for worlds that must come out the same again; empty is random.
    seed: str = ""


@transaction.atomic
def create_experiment(*, design: Design, at: datetime, actor: User | None = None) -> Experiment:
    """Make a draft owned by `actor`. Raises `InvalidDesign`; what a launch needs besides is its checklist's matter."""
    experiment = _create(design, at=at, actor=actor)
    record_change(experiment=experiment, transition="create", actor=actor, at=at, message="")
    return experiment


@transaction.atomic
def revise(*, experiment_key: str, design: Design, at: datetime, actor: User | None = None) -> Experiment:
    """Replace the design of a draft; seed, owner and time of creation stay."""
    experiment = Experiment.objects.filter(key=experiment_key).first()
    if experiment is None:
        raise UnknownExperiment(experiment_key)
    if not touch(experiment=experiment, status=ExperimentStatus.DRAFT):
        raise CannotTransition("revise", [Reason("status", _("Only a draft can be changed."))])
    _check(design, exclude_pk=experiment.pk)
    Experiment.objects.filter(pk=experiment.pk).update(**_columns(design))
    experiment.arms.all().delete()
    experiment.phases.all().delete()
    experiment.metrics.all().delete()
    experiment.prerequisites.all().delete()
    experiment.refresh_from_db()
    _add_parts(experiment, design)
    record_change(experiment=experiment, transition="revise", actor=actor, at=at, message="")
    return experiment


@transaction.atomic
def create_finished(
    *, design: Design, started_at: datetime, stopped_at: datetime, at: datetime, actor: User | None = None
) -> Experiment:
    """Take in an experiment that ran elsewhere: stopped, its only phase in the past."""
    experiment = _create(design, at=at, actor=actor)
    Phase.objects.filter(experiment=experiment).update(started_at=started_at)
    Experiment.objects.filter(pk=experiment.pk).update(
        status=ExperimentStatus.STOPPED, started_at=started_at, stopped_at=stopped_at
    )
    experiment.refresh_from_db()
    record_change(experiment=experiment, transition="import", actor=actor, at=at, message="")
    return experiment


def design_of(*, experiment_key: str) -> Design:
    """The design of a stored experiment, as its first phase has it: what a form shows and a copy starts from."""
    experiment = Experiment.objects.select_related("layer").filter(key=experiment_key).first()
    if experiment is None:
        raise UnknownExperiment(experiment_key)
    phase = experiment.phases.get(number=1)
    rows = phase.phase_arms.select_related("arm").order_by("arm__position")
    uses = experiment.metrics.select_related("metric").order_by("pk")
    return Design(
        key=experiment.key,
        name=experiment.name,
        arms=tuple(ArmSpec(row.arm.key, row.arm.name, row.weight, row.arm.is_control, row.arm.payload) for row in rows),
        metrics=tuple(MetricSpec(use.metric.key, use.role, use.margin, use.window_hours, use.ceiling) for use in uses),
        hypothesis=experiment.hypothesis,
        unit_type=experiment.unit_type,
        layer_key="" if experiment.layer is None else experiment.layer.key,
        layer_lower=experiment.layer_lower,
        layer_upper=experiment.layer_upper,
        coverage=phase.coverage,
        ramp=tuple(RampSpec(step.after, step.coverage) for step in phase.ramp.order_by("after")),
        requires=tuple(
            Requirement(row.required.key, row.arm_key)
            for row in experiment.prerequisites.select_related("required").order_by("pk")
        ),
        targeting=to_json(decode(phase.targeting)) if phase.targeting else {},
        alpha=experiment.alpha,
        power=experiment.power,
        mde=experiment.mde,
        planned_size=experiment.planned_size,
        planned_days=experiment.planned_days,
        facts=experiment.facts,
        facts_reference=experiment.facts_reference,
        plan=experiment.plan,
        is_demo=experiment.is_demo,
        demo_truth=experiment.demo_truth,
        seed=experiment.seed,
    )


def create_layer(*, key: str, name: str, is_demo: bool = False) -> Layer:
    """Make a traffic space in which experiments exclude each other."""
    if Layer.objects.filter(key=key).exists():
        raise InvalidDesign([Reason("layer_key", _("The layer “%(key)s” exists already.") % {"key": key})])
    return Layer.objects.create(key=key, name=name, is_demo=is_demo)


@transaction.atomic
def remove_demo() -> int:
    """Delete the demo experiments with their facts, results and logs, and nothing else; return how many they were."""
    demo = list(Experiment.objects.demo().values_list("pk", flat=True))
    Exposure.objects.filter(experiment__in=demo).delete()
    ChangeLog.objects.filter(object_type=OBJECT_TYPE, object_id__in=demo).delete()
    Experiment.objects.filter(pk__in=demo).delete()
    Layer.objects.filter(is_demo=True, experiments=None, holdouts=None).delete()
    clear_config_cache()
    transaction.on_commit(clear_config_cache)
    return len(demo)


def _create(design: Design, *, at: datetime, actor: User | None) -> Experiment:
    _check(design, exclude_pk=None)
    experiment = Experiment.objects.create(
        created_at=at, owner=actor, seed=design.seed or new_seed(), **_columns(design)
    )
    _add_parts(experiment, design)
    return experiment


def _columns(design: Design) -> dict[str, Any]:
    return {
        "key": design.key,
        "name": design.name,
        "hypothesis": design.hypothesis,
        "unit_type": design.unit_type,
        "layer": Layer.objects.get(key=design.layer_key) if design.layer_key else None,
        "layer_lower": design.layer_lower,
        "layer_upper": design.layer_upper,
        "alpha": design.alpha,
        "power": design.power,
        "mde": design.mde,
        "planned_size": design.planned_size,
        "planned_days": design.planned_days,
        "facts": design.facts,
        "facts_reference": design.facts_reference,
        "plan": dict(design.plan),
        "is_demo": design.is_demo,
        "demo_truth": None if design.demo_truth is None else dict(design.demo_truth),
    }


def _add_parts(experiment: Experiment, design: Design) -> None:
    phase = Phase.objects.create(
        experiment=experiment, number=1, coverage=design.coverage, targeting=encode(parse(dict(design.targeting)))
    )
    add_steps(phase, design.ramp)
    required = {
        row.key: row for row in Experiment.objects.filter(key__in=[item.experiment_key for item in design.requires])
    }
    Prerequisite.objects.bulk_create(
        Prerequisite(experiment=experiment, required=required[item.experiment_key], arm_key=item.arm_key)
        for item in design.requires
    )
    arms = Arm.objects.bulk_create(
        Arm(
            experiment=experiment,
            key=spec.key,
            name=spec.name,
            is_control=spec.is_control,
            payload=spec.payload,
            position=position,
        )
        for position, spec in enumerate(design.arms)
    )
    PhaseArm.objects.bulk_create(
        PhaseArm(phase=phase, arm=arm, weight=spec.weight) for arm, spec in zip(arms, design.arms, strict=True)
    )
    metrics = {
        metric.key: metric
        for metric in Metric.objects.filter(is_current=True, key__in=[spec.key for spec in design.metrics])
    }
    ExperimentMetric.objects.bulk_create(
        ExperimentMetric(
            experiment=experiment,
            metric=metrics[spec.key],
            role=spec.role,
            margin=spec.margin,
            ceiling=spec.ceiling,
            window_hours=spec.window_hours,
        )
        for spec in design.metrics
    )


def _check(design: Design, *, exclude_pk: int | None) -> None:
    reasons = [
        *_flaws_of_frame(design, exclude_pk),
        *_flaws_of_arms(design),
        *_flaws_of_metrics(design),
        *flaws_of_ramp(design.ramp, coverage=design.coverage),
        *_flaws_of_requirements(design),
    ]
    if reasons:
        raise InvalidDesign(reasons)


def _flaws_of_frame(design: Design, exclude_pk: int | None) -> Iterator[Reason]:
    if not design.key or not design.name:
        yield Reason("key", _("An experiment needs a key and a name."))
    namesakes = Experiment.objects.filter(key=design.key)
    if (namesakes if exclude_pk is None else namesakes.exclude(pk=exclude_pk)).exists():
        yield Reason("key_taken", _("The key “%(key)s” is taken.") % {"key": design.key})
    if design.layer_key and not Layer.objects.filter(key=design.layer_key).exists():
        yield Reason("layer_unknown", _("There is no layer “%(key)s”.") % {"key": design.layer_key})
    if not 0.0 <= design.layer_lower < design.layer_upper <= 1.0:
        yield Reason("layer_range", _("The range in the layer must lie within 0 and 1 and not be empty."))
    if not 0.0 <= design.coverage <= 1.0:
        yield Reason("coverage", _("The coverage must lie between 0 and 1."))
    if not 0.0 < design.alpha < 1.0 or not 0.0 < design.power < 1.0:
        yield Reason("alpha_power", _("Alpha and power must lie between 0 and 1."))
    try:
        parse(dict(design.targeting))
    except ValueError as error:
        yield Reason("targeting", _("The targeting rule cannot be read: %(error)s.") % {"error": error})


def _flaws_of_arms(design: Design) -> Iterator[Reason]:
    for key, count in Counter(arm.key for arm in design.arms).items():
        if count > 1:
            yield Reason("arm_key", _("Two arms have the key “%(key)s”.") % {"key": key})
    if any(not arm.key or not arm.name for arm in design.arms):
        yield Reason("arm_name", _("Every arm needs a key and a name."))
    if sum(arm.is_control for arm in design.arms) > 1:
        yield Reason("control", _("Only one arm can be the control."))
    if len(design.arms) >= NO_ARM:
        yield Reason("arms", _("There can be at most %(count)d arms.") % {"count": NO_ARM - 1})
    if any(not 0.0 <= arm.weight <= 1.0 for arm in design.arms):
        yield Reason("weight", _("The weight of an arm must lie between 0 and 1."))


def _flaws_of_requirements(design: Design) -> Iterator[Reason]:
    keys = [item.experiment_key for item in design.requires]
    if len(set(keys)) < len(keys):
        yield Reason("required_twice", _("An experiment can be required only once."))
    for item in design.requires:
        required = Experiment.objects.filter(key=item.experiment_key).first()
        names = {"key": item.experiment_key, "arm": item.arm_key}
        if required is None or not required.arms.filter(key=item.arm_key).exists():
            yield Reason("required_unknown", _("There is no experiment “%(key)s” with an arm %(arm)s.") % names)
        elif required.unit_type != design.unit_type:
            yield Reason("required_unit", _("“%(key)s” randomizes another kind of unit.") % names)
    if _reaches(design.key, set(keys)):
        yield Reason("required_cycle", _("The experiments would require each other."))


def _reaches(key: str, keys: set[str]) -> bool:
    """Whether following prerequisites from `keys` leads to `key`."""
    seen: set[str] = set()
    while keys - seen:
        seen |= keys
        rows = Prerequisite.objects.filter(experiment__key__in=keys)
        keys = set(rows.values_list("required__key", flat=True))
    return key in seen


def _may_have_ceiling(metric: MetricSpec) -> bool:
    is_bare_guardrail = metric.role == ExperimentMetric.Role.GUARDRAIL and metric.margin is None
    return is_bare_guardrail and metric.ceiling is not None and 0 < metric.ceiling < 1


def _flaws_of_metrics(design: Design) -> Iterator[Reason]:
    keys = [metric.key for metric in design.metrics]
    known = set(Metric.objects.filter(is_current=True, key__in=keys).values_list("key", flat=True))
    for key in sorted(set(keys) - known):
        yield Reason("metric_unknown", _("There is no metric “%(key)s”.") % {"key": key})
    for key, count in Counter(keys).items():
        if count > 1:
            yield Reason("metric_twice", _("The metric “%(key)s” is listed twice.") % {"key": key})
    if sum(metric.role == ExperimentMetric.Role.PRIMARY for metric in design.metrics) > 1:
        yield Reason("primary", _("Only one metric can be the primary one."))
    for metric in design.metrics:
        if metric.role not in ExperimentMetric.Role.values:
            yield Reason("role", _("“%(role)s” is not a role of a metric.") % {"role": metric.role})
        if metric.margin is not None and (metric.margin < 0 or metric.role != ExperimentMetric.Role.GUARDRAIL):
            yield Reason("margin", _("Only a guardrail has a margin, and it is not negative."))
        if metric.ceiling is not None and not _may_have_ceiling(metric):
            yield Reason(
                "ceiling", _("Only a guardrail without a margin has a ceiling, and it lies between 0 and 100 %.")
            )
