"""Metrics are versioned data: the built-in ones come once, a change makes a new version."""

from __future__ import annotations

import dataclasses

import pytest
from django.core.exceptions import ValidationError

from experiments.models import Metric
from experiments.selectors import list_metrics
from experiments.services.metrics import BUILTIN, define_metric, ensure_builtin_metrics

pytestmark = pytest.mark.django_db


def test_ensure_builtin_metrics__twice__adds_nothing() -> None:
    first = ensure_builtin_metrics()
    second = ensure_builtin_metrics()
    assert [metric.pk for metric in first] == [metric.pk for metric in second]
    assert {metric.key for metric in first} >= {"conversion", "revenue", "click_rate"}
    assert all(metric.is_builtin and metric.is_current for metric in second)


def test_define_metric__changed_definition__keeps_the_old_version() -> None:
    old = define_metric(draft=BUILTIN[0])
    changed = dataclasses.replace(BUILTIN[0], definition=dataclasses.replace(BUILTIN[0].definition, window_hours=24))
    new = define_metric(draft=changed)
    assert (new.version, new.is_current) == (2, True)
    old.refresh_from_db()
    assert (old.version, old.is_current, old.decoded().window_hours) == (1, False, 168)


def test_define_metric__impossible_definition__refused() -> None:
    broken = dataclasses.replace(BUILTIN[0], definition=dataclasses.replace(BUILTIN[0].definition, window_hours=0))
    with pytest.raises(ValidationError, match="window_hours must be positive"):
        define_metric(draft=broken)
    assert not Metric.objects.exists()


def test_metric__definition_that_is_no_object__refused() -> None:
    metric = Metric(key="x", name="X", kind="count", definition=[1])
    with pytest.raises(ValidationError, match="schema must be one of 1, 2"):
        metric.full_clean()


def test_list_metrics__current_versions__built_in_first() -> None:
    ensure_builtin_metrics()
    define_metric(draft=dataclasses.replace(BUILTIN[0], key="aaa", name="Aaa", description=""))
    Metric.objects.create(key="old", name="Old", kind="count", definition={}, is_current=False)
    choices = list_metrics()
    assert [choice.key for choice in choices][-1] == "aaa"
    assert "old" not in {choice.key for choice in choices}
    conversion = next(choice for choice in choices if choice.key == "conversion")
    assert (conversion.name, conversion.kind, conversion.unit) == ("Conversion", "proportion", "share")
