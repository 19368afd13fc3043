"""The certificate: a thousand A/A tests on the past, by the hash and the tests that will be used."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings
from scipy import stats

from experiments.bucketing.hashing import BUCKETS, bucket_number, fnv1a32
from experiments.bucketing.vectorized import PreparedUnits
from experiments.errors import UnknownExperiment
from experiments.models import Certificate, Experiment
from experiments.ports import MICRO
from experiments.selectors.certificates import decode_certificate, get_certificate
from experiments.services import certificate
from experiments.services.certificate import CannotCertify, certify, wilson
from experiments.services.design import ArmSpec, MetricSpec
from experiments.services.estimation import compare_arms
from experiments.services.exposure import microseconds
from experiments.tasks import certify_experiment
from tests.experiments.facts.sources import EVENT_TABLE
from tests.experiments.world import FACTS, create_event_table
from tests.factories.experiments import T0, make_experiment

pytestmark = pytest.mark.django_db
PEOPLE = 900


@pytest.fixture(autouse=True)
def past(settings: Settings) -> list[tuple[int, bool]]:
    """People who looked at something in the four weeks before, some of whom bought; per person whether."""
    settings.EXPERIMENTS_FACTS = FACTS
    create_event_table()
    rng = np.random.default_rng(8)
    rows: list[tuple[Any, ...]] = []
    bought: list[tuple[int, bool]] = []
    for unit in range(1, PEOPLE + 1):
        seen_at = T0 - timedelta(days=8 + float(rng.random() * 27))
        rows.append((unit, "Product Viewed", microseconds(seen_at), None, None))
        rows.append((unit, "Product Viewed", microseconds(seen_at + timedelta(hours=1)), None, None))
        is_regular = rng.random() < 0.3
        if is_regular:
            rows.append((unit, "Order Completed", microseconds(seen_at - timedelta(days=3)), 20 * MICRO, None))
        has_bought = bool(rng.random() < (0.5 if is_regular else 0.1))
        bought.append((unit, has_bought))
        if has_bought:
            value = int(rng.lognormal(3, 1)) * MICRO
            rows.append((unit, "Order Completed", microseconds(seen_at + timedelta(hours=2)), value, None))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {EVENT_TABLE} VALUES (%s, %s, %s, %s, %s, NULL, NULL)", rows)
    return bought


def make_draft(**design: Any) -> Experiment:
    return make_experiment(
        metrics=(MetricSpec("conversion", "primary"), MetricSpec("revenue", "secondary")), mde=0.2, **design
    )


def test_certify__past_without_an_effect__alarms_as_often_as_promised() -> None:
    # On these heavy tails 5.9 % is the truth for revenue: one random seed in forty would be called unsound.
    draft = make_draft(seed="a seed like any other")
    seen: list[tuple[int, int]] = []
    row = certify(experiment_key=draft.key, at=T0, triggers=["Product Viewed"], progress=lambda *n: seen.append(n))
    report = decode_certificate(row.report)
    assert (report.units_n, report.seeds_n, seen[-1]) == (PEOPLE, 1_000, (1_000, 1_000))
    for one in report.metrics:
        assert one.rate_lower is not None
        assert one.rate is not None
        assert one.rate_upper is not None
        assert one.rate_lower < one.rate < one.rate_upper
        assert one.is_sound, one
        assert one.rate_upper > 0.035, one
        assert one.mde is not None
        assert one.days_needed is not None
        assert one.days_needed % 7 == 0
    conversion = report.metrics[0]
    assert conversion.variance_saved is not None
    assert 0.05 < conversion.variance_saved < 0.4
    assert report.srm_rate is not None
    assert report.srm_rate < 0.03
    assert report.is_sound


def test_certify__one_seed__is_the_hash_and_the_test_of_the_experiment(past: list[tuple[int, bool]]) -> None:
    """The first seed by hand: everybody through the scalar hash, the two shares through a z-test."""
    draft = make_draft()
    draft.plan = {"analysis": {"schema": 1, "covariates": False, "scale": "absolute"}}
    draft.save(update_fields=["plan"])
    captured: list[Any] = []
    original = compare_arms

    def spy(cells: Any, **more: Any) -> Any:
        found = original(cells, **more)
        captured.append((cells, found))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificate, "compare_arms", spy)
        certify(experiment_key=draft.key, at=T0, seeds=2, triggers=["Product Viewed"])
    state = fnv1a32(f"{draft.seed}:certificate:1")
    arms = {unit: bucket_number(seed_state=state, unit_id=str(unit)) / BUCKETS >= 0.5 for unit, _ in past}
    groups = [[int(has) for unit, has in past if arms[unit] is side] for side in (False, True)]
    cells, found = captured[0]
    assert cells.aggregates.count[0, :, 1].tolist() == [len(groups[0]), len(groups[1])]
    rates = [np.mean(group) for group in groups]
    error = sum(rate * (1 - rate) / len(group) for rate, group in zip(rates, groups, strict=True)) ** 0.5
    assert found.effect[1] == pytest.approx(rates[1] - rates[0], rel=1e-9)
    assert found.p_value[1] == pytest.approx(2 * stats.norm.sf(abs(rates[1] - rates[0]) / error), rel=1e-9)


def test_certify__three_arms_of_other_sizes__each_against_control() -> None:
    arms = (
        ArmSpec("control", "Control", 0.5, is_control=True),
        ArmSpec("a", "A", 0.3),
        ArmSpec("b", "B", 0.2),
    )
    row = certify(experiment_key=make_draft(arms=arms, coverage=0.8).key, at=T0, seeds=100, triggers=["Product Viewed"])
    report = decode_certificate(row.report)
    assert [(one.metric, one.arm) for one in report.metrics] == [
        ("conversion", "A"),
        ("conversion", "B"),
        ("revenue", "A"),
        ("revenue", "B"),
    ]
    assert report.metrics[0].mde is not None


def test_certify__nobody_in_the_past_or_no_experiment__says_so() -> None:
    with pytest.raises(CannotCertify, match="0 people had one of the events Never"):
        certify(experiment_key=make_draft().key, at=T0, triggers=["Never"])
    with pytest.raises(UnknownExperiment):
        certify(experiment_key="absent", at=T0)
    assert certify_experiment("absent") == "impossible"


def test_certify__test_that_alarms_too_often__is_not_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PreparedUnits, "bucket_numbers", _clustered)
    row = certify(experiment_key=make_draft().key, at=T0, seeds=200, triggers=["Product Viewed"])
    assert not decode_certificate(row.report).is_sound


def _clustered(units: PreparedUnits, *, seed_state: int) -> Any:
    """A hash that keeps a quarter of the people together: shares of the arms vary far too much."""
    rng = np.random.default_rng(seed_state)
    numbers = rng.integers(0, BUCKETS, units.units_n)
    numbers[: units.units_n // 4] = rng.integers(0, BUCKETS)
    return numbers


def test_command__prints_the_table_and_refuses_nonsense(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: T0)
    draft = make_draft()
    with suppress(CommandError):  # of honest certificates, too, a few alarm by chance
        call_command("certify", draft.key, "--seeds", "60", "--trigger", "Product Viewed")
    out = capsys.readouterr().out
    assert "900 people, 28 days, 60 A/A tests" in out
    assert "Sample ratio:" in out
    with pytest.raises(CommandError, match="at least 1"):
        call_command("certify", draft.key, "--seeds", "0")
    with pytest.raises(CommandError, match="absent"):
        call_command("certify", "absent")


def test_page__before_and_after__shows_what_was_found() -> None:
    draft = make_draft()
    user = User.objects.create_user("ana")
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_experiment", "launch_experiment"]))
    client = Client()
    client.force_login(user)
    url = reverse("experiments:experiment-certificate", args=[draft.key])
    assert "Not tested yet" in client.get(url).content.decode()
    assert "is being tested" in client.post(url, follow=True).content.decode()
    start = reverse("experiments:experiment-transition", args=[draft.key, "start"])
    assert "not tested on the past yet" in client.get(start).content.decode()
    certify(experiment_key=draft.key, at=T0, seeds=100, triggers=["Product Viewed"])
    page = client.get(url).content.decode()
    assert "were divided into the arms 100 times" in page
    assert "Certificate of 2 Mar 2026" in client.get(start).content.decode()
    user.user_permissions.set(Permission.objects.filter(codename="view_experiment"))
    assert client.post(url).status_code == 403


def test_stored__other_schema__is_refused() -> None:
    draft = make_draft()
    assert get_certificate(experiment_key=draft.key) is None
    Certificate.objects.create(experiment=draft, at=T0, report={"schema": 0})
    with pytest.raises(ValueError, match="schema 0"):
        get_certificate(experiment_key=draft.key)


def test_wilson__no_trial__has_no_interval() -> None:
    assert wilson(0, 0) == (None, None)
    assert wilson(0, 10)[0] == 0.0


def test_decode__certificate_of_the_first_schema__judges_by_the_interval_it_had() -> None:
    row = certify(experiment_key=make_draft().key, at=T0, seeds=50, triggers=["Product Viewed"])
    old = {**row.report, "schema": 1, "srm_lower": 0.02}
    del old["is_balanced"]
    old["metrics"] = [{name: value for name, value in one.items() if name != "is_sound"} for one in old["metrics"]]
    report = decode_certificate(old)
    assert not report.is_balanced
    lower = [one.rate_lower for one in report.metrics]
    assert [one.is_sound for one in report.metrics] == [None if low is None else low <= 0.05 for low in lower]
