"""The life of an experiment: one table of transitions, one function that makes them.

The conditional update decides who wins a race, the guards say why something cannot be done, and the change log
gets its row in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from experiments.bucketing.allocation import WEIGHT_TOLERANCE
from experiments.choices import TRANSITIONS, ExperimentStatus, TransitionRule
from experiments.errors import CannotTransition, Reason, UnknownExperiment
from experiments.models import Decision, Experiment, ExperimentMetric, Layer, Phase, PhaseArm
from experiments.selectors.ramp import coverage_in_force, ramp_of
from experiments.services.analysis_plan import decode_plan
from experiments.services.changes import record_change, touch
from experiments.targeting.tree import decode, encode, parse

PLAN_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    code: str
    label: str | Promise
    is_done: bool
    reasons: tuple[Reason, ...]


def start(*, experiment_key: str, at: datetime, actor: User | None = None, message: str = "") -> Experiment:
    """Launch a draft: phase 1 begins and the plan is frozen. Raises `CannotTransition` with the open points."""
    return transition(experiment_key=experiment_key, name="start", at=at, actor=actor, message=message, effect=_begin)


def pause(*, experiment_key: str, at: datetime, actor: User | None = None, message: str = "") -> Experiment:
    """Take in nobody new; units exposed before keep their arm and their windows run on."""
    return transition(experiment_key=experiment_key, name="pause", at=at, actor=actor, message=message)


def resume(*, experiment_key: str, at: datetime, actor: User | None = None, message: str = "") -> Experiment:
    """Take in new units again."""
    return transition(experiment_key=experiment_key, name="resume", at=at, actor=actor, message=message)


def stop(*, experiment_key: str, at: datetime, actor: User | None = None, message: str = "") -> Experiment:
    """End enrolment for good; everybody is served the default."""
    return transition(experiment_key=experiment_key, name="stop", at=at, actor=actor, message=message)


def emergency_stop(*, experiment_key: str, at: datetime, actor: User | None = None, message: str = "") -> Experiment:
    """Serve the default everywhere within seconds, whatever was served, a shipped arm included."""
    return transition(
        experiment_key=experiment_key,
        name="emergency_stop",
        at=at,
        actor=actor,
        message=message,
        effect=lambda experiment: _revert_standing(experiment, at=at, actor=actor),
    )


def archive(*, experiment_key: str, at: datetime, actor: User | None = None, message: str = "") -> Experiment:
    """Put away what is over. A shipped arm goes on being served: archiving changes nobody's experience."""
    return transition(experiment_key=experiment_key, name="archive", at=at, actor=actor, message=message)


@transaction.atomic
def transition(
    *,
    experiment_key: str,
    name: str,
    at: datetime,
    actor: User | None = None,
    message: str = "",
    target: str | None = None,
    effect: Callable[[Experiment], None] | None = None,
) -> Experiment:
    """Make one transition of the table; `effect` is what else it changes, before the log row is written."""
    rule = TRANSITIONS[name]
    experiment = get_experiment(experiment_key)
    if experiment.status not in rule.sources:
        raise CannotTransition(name, [_wrong_status(experiment, rule)])
    changes: dict[str, Any] = {"status": target or rule.target, "version": F("version") + 1}
    if rule.stamp:
        changes[rule.stamp] = at
    if not Experiment.objects.filter(pk=experiment.pk, status=experiment.status).update(**changes):
        raise CannotTransition(name, [Reason("raced", _("Somebody else has just changed this experiment."))])
    # The row is ours now: what the guards see cannot change before the commit.
    experiment.refresh_from_db()
    reasons = [reason for guard in rule.guards for reason in GUARDS[guard].check(experiment)]
    if reasons:
        raise CannotTransition(name, reasons)
    if effect is not None:
        effect(experiment)
        experiment.refresh_from_db()
    record_change(experiment=experiment, transition=name, actor=actor, at=at, message=message)
    return experiment


@transaction.atomic
def open_phase(
    *,
    experiment_key: str,
    at: datetime,
    actor: User | None = None,
    message: str = "",
    weights: Mapping[str, float] | None = None,
    coverage: float | None = None,
    targeting: Mapping[str, Any] | None = None,
) -> Phase:
    """Change weights, coverage or targeting of a running experiment from now on; what is None stays.

    The seed stays, units exposed before keep their arm, and the new regime applies to units first exposed after it.
    What was left of the ramp ends with the old phase; to raise the coverage alone, extend the ramp instead.
    """
    experiment = get_experiment(experiment_key)
    live = experiment.status if experiment.status in (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED) else None
    if live is None or not touch(experiment=experiment, status=live):
        reason = Reason("status", _("Only a running or paused experiment can change its traffic."))
        raise CannotTransition("open_phase", [reason])
    current = experiment.phases.current().get()
    old = {row.arm.key: row for row in current.phase_arms.select_related("arm")}
    new = {key: row.weight for key, row in old.items()} if weights is None else dict(weights)
    share = coverage_in_force(phase=current) if coverage is None else coverage
    reasons = list(
        _flaws_of_phase(current=current, at=at, weights=new, arms=set(old), coverage=share, targeting=targeting)
    )
    if reasons:
        raise CannotTransition("open_phase", reasons)
    Phase.objects.filter(pk=current.pk).update(ended_at=at)
    phase = Phase.objects.create(
        experiment=experiment,
        number=current.number + 1,
        coverage=share,
        targeting=current.targeting if targeting is None else encode(parse(dict(targeting))),
    )
    PhaseArm.objects.bulk_create(PhaseArm(phase=phase, arm=row.arm, weight=new[key]) for key, row in old.items())
    # Last: a trigger refuses weights for a phase that has started.
    Phase.objects.filter(pk=phase.pk).update(started_at=at)
    phase.refresh_from_db()
    experiment.refresh_from_db()
    record_change(experiment=experiment, transition="open_phase", actor=actor, at=at, message=message)
    return phase


def checklist(*, experiment_key: str) -> tuple[ChecklistItem, ...]:
    """What a launch needs, point by point, and what is still open."""
    experiment = get_experiment(experiment_key)
    items = []
    for name in TRANSITIONS["start"].guards:
        reasons = tuple(GUARDS[name].check(experiment))
        items.append(ChecklistItem(name, GUARDS[name].label, not reasons, reasons))
    return tuple(items)


def possible_transitions(experiment: Experiment) -> tuple[TransitionRule, ...]:
    """The rows of the table that start at the experiment's status."""
    return tuple(rule for rule in TRANSITIONS.values() if experiment.status in rule.sources)


def get_experiment(experiment_key: str) -> Experiment:
    """The experiment with this key, or `UnknownExperiment`."""
    experiment = Experiment.objects.filter(key=experiment_key).first()
    if experiment is None:
        raise UnknownExperiment(experiment_key)
    return experiment


def _wrong_status(experiment: Experiment, rule: TransitionRule) -> Reason:
    status = ExperimentStatus(experiment.status)
    return Reason(
        "status",
        _("“%(action)s” is not possible while it is: %(status)s.") % {"action": rule.label, "status": status.label},
    )


def _begin(experiment: Experiment) -> None:
    Phase.objects.filter(experiment=experiment, number=1).update(started_at=experiment.started_at)
    Experiment.objects.filter(pk=experiment.pk).update(plan=_frozen_plan(experiment))


def _frozen_plan(experiment: Experiment) -> dict[str, Any]:
    """The plan as registered at the start; what the caller had put there is kept beside."""
    phase = experiment.phases.get(number=1)
    metrics = experiment.metrics.select_related("metric").order_by("pk")
    return {
        **experiment.plan,
        "analysis": decode_plan(experiment.plan).as_json(),
        "schema": PLAN_SCHEMA,
        # The database refuses every change from here on (migration 0013).
        "registered_at": None if experiment.started_at is None else experiment.started_at.isoformat(),
        "hypothesis": experiment.hypothesis,
        "alpha": experiment.alpha,
        "power": experiment.power,
        "mde": experiment.mde,
        "planned_size": experiment.planned_size,
        "planned_days": experiment.planned_days,
        "coverage": phase.coverage,
        "ramp": ramp_of(phase=phase),
        "targeting": phase.targeting,
        "weights": {
            row.arm.key: row.weight for row in phase.phase_arms.select_related("arm").order_by("arm__position")
        },
        "metrics": [
            {
                "key": use.metric.key,
                "version": use.metric.version,
                "role": use.role,
                "margin": use.margin,
                "ceiling": use.ceiling,
                "window_hours": use.window_hours,
            }
            for use in metrics
        ],
    }


def _revert_standing(experiment: Experiment, *, at: datetime, actor: User | None) -> None:
    Decision.objects.standing().filter(experiment=experiment).update(reverted_at=at, reverted_by=actor)


def _flaws_of_phase(
    *,
    current: Phase,
    at: datetime,
    weights: Mapping[str, float],
    arms: set[str],
    coverage: float,
    targeting: Mapping[str, Any] | None,
) -> Iterator[Reason]:
    if current.started_at is None or at <= current.started_at:
        yield Reason("time", _("A phase can only start after the one before it."))
    if set(weights) != arms:
        yield Reason("weights", _("Every arm needs a weight, and nothing else has one."))
    if abs(sum(weights.values()) - 1.0) > WEIGHT_TOLERANCE or any(weight < 0.0 for weight in weights.values()):
        yield Reason("weights_sum", _("The weights must be positive and sum to 100 %."))
    if not 0.0 < coverage <= 1.0:
        yield Reason("coverage", _("The coverage must be above 0 and at most 100 %."))
    try:
        parse(dict(targeting or {}))
    except ValueError as error:
        yield Reason("targeting", _("The targeting rule cannot be read: %(error)s.") % {"error": error})


@dataclass(frozen=True, slots=True)
class _Guard:
    label: Promise
    check: Callable[[Experiment], Iterator[Reason]]


def _check_arms(experiment: Experiment) -> Iterator[Reason]:
    controls = list(experiment.arms.values_list("is_control", flat=True))
    if len(controls) < 2:
        yield Reason("arms", _("There must be at least two arms."))
    if not any(controls):
        yield Reason("control", _("One arm must be the control."))


def _check_weights(experiment: Experiment) -> Iterator[Reason]:
    arms = PhaseArm.objects.filter(phase__experiment=experiment, phase__number=1)
    weights = list(arms.values_list("weight", "arm__is_control"))
    if abs(sum(weight for weight, _is_control in weights) - 1.0) > WEIGHT_TOLERANCE:
        yield Reason("weights_sum", _("The weights must sum to 100 %."))
    if any(weight <= 0.0 and not (is_control and _has_no_control(experiment)) for weight, is_control in weights):
        yield Reason("weight_zero", _("Every arm needs a weight above 0."))


def _has_no_control(experiment: Experiment) -> bool:
    """Whether the plan says why nothing is compared: then the control may be empty, and no size is planned."""
    return bool(experiment.plan.get("no_control_reason"))


def _check_coverage(experiment: Experiment) -> Iterator[Reason]:
    if experiment.phases.get(number=1).coverage <= 0.0:
        yield Reason("coverage", _("The coverage is 0: nobody would be in the experiment."))


def _check_targeting(experiment: Experiment) -> Iterator[Reason]:
    try:
        decode(experiment.phases.get(number=1).targeting)
    except ValueError as error:
        yield Reason("targeting", _("The targeting rule cannot be read: %(error)s.") % {"error": error})


def _check_primary_metric(experiment: Experiment) -> Iterator[Reason]:
    if not experiment.metrics.filter(role=ExperimentMetric.Role.PRIMARY).exists():
        yield Reason("primary_metric", _("Choose the primary metric, the one that decides."))


def _check_planned_size(experiment: Experiment) -> Iterator[Reason]:
    if not experiment.planned_size and not _has_no_control(experiment):
        yield Reason("planned_size", _("Plan how many units the experiment needs."))


def _check_layer(experiment: Experiment) -> Iterator[Reason]:
    if experiment.layer_id is None or experiment.status == ExperimentStatus.STOPPED:
        return
    # Two launches into one layer wait for each other here.
    Layer.objects.select_for_update().get(pk=experiment.layer_id)
    rivals = Experiment.objects.live().filter(
        layer=experiment.layer_id, layer_lower__lt=experiment.layer_upper, layer_upper__gt=experiment.layer_lower
    )
    for rival in rivals.exclude(pk=experiment.pk).order_by("key"):
        yield Reason("layer_taken", _("“%(name)s” uses the same part of the layer.") % {"name": rival.name})


def _check_prerequisites(experiment: Experiment) -> Iterator[Reason]:
    for needed in experiment.prerequisites.select_related("required").order_by("pk"):
        names = {"name": needed.required.name, "arm": needed.arm_key}
        if needed.required.started_at is None:
            yield Reason("required_draft", _("It requires “%(name)s”, which has not started.") % names)
        elif not needed.required.arms.filter(key=needed.arm_key).exists():
            yield Reason("required_arm", _("It requires the arm %(arm)s, which “%(name)s” does not have.") % names)


GUARDS: dict[str, _Guard] = {
    "arms": _Guard(gettext_lazy("Two arms or more, one of them the control"), _check_arms),
    "weights": _Guard(gettext_lazy("The weights sum to 100 percent"), _check_weights),
    "coverage": _Guard(gettext_lazy("Some traffic is covered"), _check_coverage),
    "targeting": _Guard(gettext_lazy("The targeting rule can be read"), _check_targeting),
    "primary_metric": _Guard(gettext_lazy("A primary metric"), _check_primary_metric),
    "planned_size": _Guard(gettext_lazy("A planned size"), _check_planned_size),
    "layer": _Guard(gettext_lazy("Its part of the layer is free"), _check_layer),
    "prerequisites": _Guard(gettext_lazy("The experiments it requires run"), _check_prerequisites),
}
