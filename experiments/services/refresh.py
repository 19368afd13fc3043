"""Refreshing stored results: one at a time for each experiment, the last good one kept."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from experiments.choices import ExperimentStatus
from experiments.errors import UnknownExperiment
from experiments.models import Decision, Experiment, ExperimentMetric, Look, Refresh, Snapshot
from experiments.reports import encode_report
from experiments.services.alerts import raise_alerts, raise_failure

if TYPE_CHECKING:
    from experiments.services.analysis import Analysis
    from experiments.services.looks import LookValues

# Longer than the longest task may run (CELERY_TASK_TIME_LIMIT, 30 minutes): an expired lock is that
# of a worker that was killed.
LOCK_TIME: Final = timedelta(minutes=35)
# Reports of one experiment that are kept besides the current one; looks are never deleted.
KEPT_SNAPSHOTS: Final = 20
LONGEST_ERROR: Final = 500

Status = Literal["ok", "busy", "frozen", "not_started"]


@dataclass(frozen=True, slots=True)
class RefreshOutcome:
    """What a refresh did: `busy` means that another one holds the lock."""

    status: Status
    snapshot_id: int | None = None


def refresh_experiment(*, experiment_id: int, at: datetime) -> RefreshOutcome:
    """Analyze an experiment and store the result; running it twice changes nothing more.

    Results of a decided experiment are frozen: those seen at the decision stay, and if there were
    none they are computed once as of the decision. Whatever goes wrong is raised, after the lock was
    given back; the caller records it with `record_failure`.
    """
    experiment = Experiment.objects.filter(pk=experiment_id).first()
    if experiment is None:
        raise UnknownExperiment(str(experiment_id))
    if experiment.started_at is None:
        return RefreshOutcome("not_started")
    token = _lock(experiment, at)
    if token is None:
        return RefreshOutcome("busy")
    try:
        return _refresh(experiment, at)
    finally:
        Refresh.objects.filter(experiment=experiment, token=token).update(token="", locked_until=None)


def record_failure(*, experiment_id: int, at: datetime, error: Exception) -> None:
    """Keep what went wrong, beside the last good result; nobody else's data is in the text."""
    text = f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
    Refresh.objects.update_or_create(experiment_id=experiment_id, defaults={"attempted_at": at, "error": text})
    Refresh.objects.filter(experiment_id=experiment_id).update(failures_n=F("failures_n") + 1)
    experiment = Experiment.objects.get(pk=experiment_id)
    if Refresh.objects.filter(experiment_id=experiment_id, failures_n=1).exists():
        raise_failure(experiment=experiment, at=at, error=text)
    Snapshot.objects.create(
        experiment_id=experiment_id, at=at, status=Snapshot.Status.FAILED, engine_version=_engine_version(), error=text
    )
    _prune(experiment_id)


def refreshable_ids() -> list[int]:
    """Experiments whose results can still change, and decided ones that have none yet."""
    changing = Q(status__in=(ExperimentStatus.RUNNING, ExperimentStatus.PAUSED, ExperimentStatus.STOPPED))
    frozen = Snapshot.objects.filter(experiment=OuterRef("pk"), is_current=True, is_frozen=True)
    unseen = Q(status=ExperimentStatus.DECIDED) & ~Exists(frozen)
    rows = Experiment.objects.filter(changing | unseen, facts="")
    return list(rows.order_by("pk").values_list("pk", flat=True))


def _engine_version() -> str:
    from experiments.services.analysis import ENGINE_VERSION

    return ENGINE_VERSION


def _lock(experiment: Experiment, at: datetime) -> str | None:
    """A token if nobody holds the lock; the conditional update decides a race."""
    Refresh.objects.get_or_create(experiment=experiment)
    token = secrets.token_hex(16)
    free = Q(locked_until=None) | Q(locked_until__lte=at)
    won = Refresh.objects.filter(free, experiment=experiment).update(token=token, locked_until=at + LOCK_TIME)
    return token if won else None


def _refresh(experiment: Experiment, at: datetime) -> RefreshOutcome:
    current = Snapshot.objects.filter(experiment=experiment, is_current=True).first()
    is_decided = experiment.status in (ExperimentStatus.DECIDED, ExperimentStatus.ARCHIVED)
    if is_decided and current is not None:
        Snapshot.objects.filter(pk=current.pk).update(is_frozen=True)
        return RefreshOutcome("frozen", current.pk)
    until = _frozen_at(experiment) if is_decided else None
    snapshot = _compute(experiment, at=until or at, is_frozen=is_decided)
    return RefreshOutcome("ok", snapshot.pk)


def _frozen_at(experiment: Experiment) -> datetime | None:
    """When the standing decision froze the results."""
    standing = Decision.objects.filter(experiment=experiment, reverted_at=None).exclude(frozen_at=None)
    return standing.order_by("-frozen_at").values_list("frozen_at", flat=True).first()


def _compute(experiment: Experiment, *, at: datetime, is_frozen: bool) -> Snapshot:
    from experiments.services.analysis import analyze

    started = time.monotonic()
    analysis = analyze(experiment=experiment, at=at, is_incremental=not is_frozen)
    duration = time.monotonic() - started
    with transaction.atomic():
        _store_looks(experiment, analysis.new_looks, at=at)
        snapshot = _store_snapshot(experiment, analysis, at=at, is_frozen=is_frozen, duration=duration)
        Refresh.objects.filter(experiment=experiment).update(attempted_at=at, failures_n=0, error="")
        raise_alerts(experiment=experiment, report=analysis.report, at=at)
    _prune(experiment.pk)
    return snapshot


def _store_snapshot(
    experiment: Experiment, analysis: Analysis, *, at: datetime, is_frozen: bool, duration: float
) -> Snapshot:
    Snapshot.objects.filter(experiment=experiment, is_current=True).update(is_current=False)
    return Snapshot.objects.create(
        experiment=experiment,
        at=at,
        status=Snapshot.Status.OK,
        is_current=True,
        is_frozen=is_frozen,
        report=encode_report(analysis.report),
        engine_version=_engine_version(),
        sql=analysis.sql,
        fingerprint=analysis.fingerprint,
        row_counts=analysis.row_counts,
        duration_ms=round(duration * 1000),
        watermark=analysis.watermark,
        timings=analysis.timings,
        aggregates=analysis.aggregates,
    )


def _store_looks(experiment: Experiment, looks: Sequence[LookValues], *, at: datetime) -> None:
    """Write each look once: a look that is there already was seen, and stays."""
    metrics = dict(ExperimentMetric.objects.filter(experiment=experiment).values_list("metric__key", "pk"))
    arms = dict(experiment.arms.values_list("key", "pk"))
    Look.objects.bulk_create(
        [
            Look(
                experiment=experiment,
                metric_id=metrics[look.metric_key],
                arm_id=arms[look.arm],
                seen_at=at,
                day=look.day,
                n_control=look.n_control,
                n_arm=look.n_arm,
                effect=look.effect,
                effect_lower=look.effect_lower,
                effect_upper=look.effect_upper,
                lift=look.lift,
                lift_lower=look.lift_lower,
                lift_upper=look.lift_upper,
                p_value=look.p_value,
                refusal=look.refusal,
            )
            for look in looks
        ],
        ignore_conflicts=True,
    )


def _prune(experiment_id: int) -> None:
    """Keep the current, the frozen and the newest snapshots."""
    disposable = Snapshot.objects.filter(experiment_id=experiment_id, is_current=False, is_frozen=False)
    newest = list(disposable.order_by("-pk").values_list("pk", flat=True)[:KEPT_SNAPSHOTS])
    disposable.exclude(pk__in=newest).delete()
