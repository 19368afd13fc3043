"""The parts of the result page beside verdict and numbers: posterior, days, novelty, groups, the registered plan."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from experiments.models import Experiment, Snapshot
from experiments.reports import (
    AgeEffect,
    Bounds,
    Breakdown,
    ExperimentReport,
    Novelty,
    Posterior,
    SegmentEffect,
    SeriesPoint,
    encode_report,
)
from experiments.templatetags import experiment_numbers as numbers
from experiments.templatetags import experiment_results as tags
from experiments.templatetags import experiment_words as sentences
from tests.experiments.reports import make_comparison, make_estimate, make_metric, make_report
from tests.factories.experiments import STARTED, make_experiment

pytestmark = pytest.mark.django_db


def make_rich_report(experiment: Experiment) -> ExperimentReport:
    posterior = Posterior(0.973, 0.015, Bounds(0.001, 0.03, 0.95), 0.0001, 0.0151, 0.3)
    novelty = Novelty(
        "fading", 0.004, (AgeEffect(0, 900, 910, 0.02, 0.01, 0.03), AgeEffect(1, 900, 910, 0.0, None, None))
    )
    comparison = make_comparison(
        posterior=posterior,
        uncapped=make_estimate(lift=0.31),
        novelty=novelty,
        daily=(SeriesPoint("2026-03-08", 300, 310, 0.5, -0.2, 1.1),),
    )
    other = make_comparison(posterior=None)
    groups = (
        SegmentEffect("new", 600, 610, 0.02, Bounds(-0.1, 0.15, 0.95), 0.8, 0.8, 0.05),
        SegmentEffect("returning", 400, 400, 0.4, None, None, None, None),
    )
    report = make_report(
        experiment=experiment.key,
        metrics=(
            make_metric(comparisons=(comparison,), cap=120.0),
            make_metric(key="b", role="secondary", comparisons=(other,)),
        ),
        breakdowns=(
            Breakdown("customer", "treatment", 0.012, groups, 2),
            Breakdown("device", "treatment", None, groups[:1], 0),
        ),
    )
    return replace(report, plan=replace(report.plan, dimensions=("customer", "device")))


def test_page__rich_report__shows_every_part() -> None:
    experiment = make_experiment(status="running")
    report = encode_report(make_rich_report(experiment))
    Snapshot.objects.create(
        experiment=experiment, at=STARTED, status="ok", is_current=True, report=report, engine_version="2"
    )
    user = User.objects.create_user("ana")
    user.user_permissions.set(Permission.objects.filter(codename="view_experiment"))
    client = Client()
    client.force_login(user)
    page = client.get(reverse("experiments:experiment-detail", args=[experiment.key])).content.decode()
    for text in (
        "97.3\u00a0%",  # chance to win
        "raw, not capped",
        "8 Mar 2026",
        "By days since first exposure: fading",
        "Trend: p = 0.0040",
        "Customers, old and new, device",
        "new: never ordered before",
        "2 groups are too small to show.",
        "Too few groups to test.",
        "Registered at the start",
        "Ships when the primary metric is clearly better",
        "Capped at",
    ):
        assert text in page, text


def test_words__codes_of_other_versions__are_shown_as_they_are() -> None:
    assert sentences.trend_name("odd") == "odd"
    assert sentences.rules_name("own") == "own"
    assert sentences.reason_words("") == ""
    assert "fewer than two people" in sentences.reason_words("too_few_units")
    assert numbers.whole_range(None) == "–"
    assert numbers.signed_whole(None) == "–"
    assert tags.age_range(AgeEffect(0, 1, 1, None, None, None), make_metric()) == "–"
