"""Reads for the management API: the record as querysets, for filters, orders and pages."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from experiments.errors import UnknownExperiment
from experiments.models import ChangeLog, Decision, Experiment, Holdout, Metric, Phase, Snapshot

OBJECT_TYPE = "experiment"


def experiments(*, status: str = "", unit_type: str = "", search: str = "") -> QuerySet[Experiment]:
    """Experiments with their owners."""
    rows = Experiment.objects.select_related("owner")
    if status:
        rows = rows.filter(status=status)
    if unit_type:
        rows = rows.filter(unit_type=unit_type)
    if search:
        rows = rows.filter(Q(key__icontains=search) | Q(name__icontains=search))
    return rows


def get_record(*, key: str) -> Experiment:
    """One experiment with its owner and layer. Raises `UnknownExperiment`."""
    experiment = Experiment.objects.select_related("owner", "layer").filter(key=key).first()
    if experiment is None:
        raise UnknownExperiment(key)
    return experiment


def phases_of(experiment: Experiment) -> QuerySet[Phase]:
    """Its phases with the weights of their arms, in their order."""
    return experiment.phases.prefetch_related("phase_arms__arm").order_by("number")


def decisions_of(experiment: Experiment) -> QuerySet[Decision]:
    """What was decided, reverted decisions too, oldest first."""
    return experiment.decisions.select_related("arm", "by").order_by("pk")


def snapshots(*, key: str) -> QuerySet[Snapshot]:
    """The stored refreshes of one experiment, without their reports. Raises `UnknownExperiment`."""
    return Snapshot.objects.filter(experiment=get_record(key=key)).defer("report", "sql")


def get_snapshot(*, key: str, snapshot_id: int) -> Snapshot | None:
    """One stored refresh with its report."""
    return Snapshot.objects.filter(experiment__key=key, pk=snapshot_id).first()


def metrics(*, kind: str = "") -> QuerySet[Metric]:
    """The current versions of all metrics."""
    rows = Metric.objects.filter(is_current=True)
    return rows.filter(kind=kind) if kind else rows


def get_metric(*, key: str) -> Metric | None:
    """The current version of a metric; its draft where there is no other."""
    rows = Metric.objects.filter(Q(is_current=True) | Q(is_draft=True), key=key)
    return rows.order_by("-is_current").first()


def holdouts(*, unit_type: str = "") -> QuerySet[Holdout]:
    """Every version of every holdout."""
    rows = Holdout.objects.select_related("layer")
    return rows.filter(unit_type=unit_type) if unit_type else rows


def changes(*, experiment: str = "") -> QuerySet[ChangeLog]:
    """The log of this app's changes. Raises `UnknownExperiment`."""
    rows = ChangeLog.objects.select_related("actor").defer("snapshot")
    if experiment:
        rows = rows.filter(object_type=OBJECT_TYPE, object_id=get_record(key=experiment).pk)
    return rows


def weights_of(phase: Phase) -> dict[str, float]:
    """Arm → weight, from what `phases_of` has fetched."""
    rows: list[Any] = sorted(phase.phase_arms.all(), key=lambda row: row.arm.position)
    return {row.arm.key: row.weight for row in rows}
