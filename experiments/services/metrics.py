"""Metrics as versioned data: the built-in ones, drafts, and new versions of any."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Max

from experiments.errors import CannotUseMetric
from experiments.models import Metric
from experiments.services.builtin_metrics import BUILTIN, MetricDraft

__all__ = [
    "BUILTIN",
    "MetricDraft",
    "define_metric",
    "discard_draft",
    "draft_metric",
    "ensure_builtin_metrics",
    "publish_metric",
]


def ensure_builtin_metrics() -> list[Metric]:
    """Store the built-in metrics; a changed definition becomes a new version. Idempotent."""
    return [define_metric(draft=draft, is_builtin=True) for draft in BUILTIN]


@transaction.atomic
def define_metric(*, draft: MetricDraft, is_builtin: bool = False) -> Metric:
    """The current version of a metric; experiments keep the version they were planned with."""
    current = Metric.objects.select_for_update().filter(key=draft.key, is_current=True).first()
    if current and _says(current, draft):
        return current
    metric = Metric(key=draft.key, version=_next_version(draft.key), is_builtin=is_builtin, is_current=False)
    _write(metric, draft)
    return _make_current(metric)


@transaction.atomic
def draft_metric(*, draft: MetricDraft) -> Metric:
    """Keep a draft beside the version in use; there is one draft of a metric, and it is changed in place."""
    metric = Metric.objects.select_for_update().filter(key=draft.key, is_draft=True).first()
    if metric is None:
        is_builtin = Metric.objects.filter(key=draft.key, is_builtin=True).exists()
        if is_builtin:
            raise CannotUseMetric(f"{draft.key} is built in; choose another key for a metric of your own.")
        metric = Metric(key=draft.key, version=_next_version(draft.key), is_draft=True, is_current=False)
    _write(metric, draft)
    return metric


@transaction.atomic
def publish_metric(*, key: str) -> Metric:
    """Let experiments use the draft: it becomes the current version."""
    metric = Metric.objects.select_for_update().filter(key=key, is_draft=True).first()
    if metric is None:
        raise CannotUseMetric(f"There is no draft of {key}.")
    metric.is_draft = False
    metric.save(update_fields=["is_draft"])
    return _make_current(metric)


def discard_draft(*, key: str) -> None:
    """Throw the draft away; nobody used it."""
    deleted, _ = Metric.objects.filter(key=key, is_draft=True).delete()
    if not deleted:
        raise CannotUseMetric(f"There is no draft of {key}.")


def _says(metric: Metric, draft: MetricDraft) -> bool:
    """Whether the stored version means what the draft says, whatever schema it is stored in."""
    content = _content(draft)
    del content["definition"]
    return all(getattr(metric, name) == value for name, value in content.items()) and (
        metric.decoded() == draft.definition
    )


def _content(draft: MetricDraft) -> dict[str, Any]:
    return {
        "name": draft.name,
        "description": draft.description,
        "kind": draft.kind,
        "direction": draft.direction,
        "unit": draft.unit,
        "tags": list(draft.tags),
        "definition": draft.definition.as_json(),
    }


def _next_version(key: str) -> int:
    newest = Metric.objects.filter(key=key).aggregate(newest=Max("version"))["newest"]
    return (newest or 0) + 1


def _write(metric: Metric, draft: MetricDraft) -> None:
    for name, value in _content(draft).items():
        setattr(metric, name, value)
    metric.full_clean()
    metric.save()


def _make_current(metric: Metric) -> Metric:
    Metric.objects.filter(key=metric.key, is_current=True).update(is_current=False)
    metric.is_current = True
    metric.save(update_fields=["is_current"])
    return metric
