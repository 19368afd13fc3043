"""Reads of metrics: the list, one metric with its versions, its uses and its survey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count

from experiments.models import ExperimentMetric, Metric, MetricSurvey

SURVEY_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One line of the list of metrics: the version in use, and the draft beside it."""

    key: str
    current: Metric | None
    draft: Metric | None
    uses_n: int

    @property
    def shown(self) -> Metric:
        """What the line is about."""
        metric = self.current or self.draft
        assert metric is not None  # a row is made of at least one of them
        return metric


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """The metric over everybody known at one moment, as if they had all been exposed then."""

    day: str
    units_n: int
    nonzero_n: int
    value: float | None


@dataclass(frozen=True, slots=True)
class TrialArm:
    """The metric in one arm of a demo experiment."""

    arm: str
    units_n: int
    nonzero_n: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Survey:
    """What a metric says about the people who are here."""

    sql: str
    history: tuple[HistoryPoint, ...]
    standard_deviation: float | None
    variance_saved: float | None
    trial_experiment: str
    trial: tuple[TrialArm, ...]


@dataclass(frozen=True, slots=True)
class MetricPage:
    """Everything that the page of one metric shows."""

    metric: Metric
    draft: Metric | None
    versions: tuple[Metric, ...]
    uses: tuple[ExperimentMetric, ...]
    survey: Survey | None
    asked_at: datetime | None
    done_at: datetime | None
    error: str

    @property
    def is_waiting(self) -> bool:
        """Whether a survey was asked for and has not come."""
        return self.asked_at is not None and (self.done_at is None or self.done_at < self.asked_at)


def list_metric_rows() -> list[MetricRow]:
    """Every metric with its current version and its draft, by name."""
    rows: dict[str, MetricRow] = {}
    uses = dict(ExperimentMetric.objects.order_by().values_list("metric__key").annotate(Count("pk")))
    found = Metric.objects.filter(is_current=True) | Metric.objects.filter(is_draft=True)
    for metric in found.order_by("-is_builtin", "name", "key"):
        known = rows.get(metric.key)
        rows[metric.key] = MetricRow(
            key=metric.key,
            current=metric if metric.is_current else known.current if known else None,
            draft=metric if metric.is_draft else known.draft if known else None,
            uses_n=uses.get(metric.key, 0),
        )
    return list(rows.values())


def get_metric_page(*, key: str, version: int | None = None) -> MetricPage | None:
    """One metric: the version asked for, else the current one, else the draft. None if there is none."""
    versions = tuple(Metric.objects.filter(key=key).order_by("-version"))
    draft = next((metric for metric in versions if metric.is_draft), None)
    current = next((metric for metric in versions if metric.is_current), None)
    shown = current or draft if version is None else next((m for m in versions if m.version == version), None)
    if shown is None:
        return None
    row = MetricSurvey.objects.filter(metric=shown).first()
    uses = ExperimentMetric.objects.filter(metric__key=key).select_related("experiment", "metric")
    return MetricPage(
        metric=shown,
        draft=draft,
        versions=versions,
        uses=tuple(uses.order_by("-experiment__created_at", "-pk")),
        survey=None if row is None or row.report is None else decode_survey(row.report),
        asked_at=None if row is None else row.asked_at,
        done_at=None if row is None else row.done_at,
        error="" if row is None else row.error,
    )


def decode_survey(data: Mapping[str, Any]) -> Survey | None:
    """The survey in a stored JSON column; one of another schema is computed anew some day and not shown."""
    if data.get("schema") != SURVEY_SCHEMA:
        return None
    return Survey(
        sql=data["sql"],
        history=tuple(HistoryPoint(**point) for point in data["history"]),
        standard_deviation=data["standard_deviation"],
        variance_saved=data["variance_saved"],
        trial_experiment=data["trial_experiment"],
        trial=tuple(TrialArm(**arm) for arm in data["trial"]),
    )
