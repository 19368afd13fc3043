"""The holdout ledger: everybody by their side of the holdout when they entered, through the real event log."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django.fixtures import Settings

from experiments.models import LedgerQuarter
from experiments.selectors.ledger import decode_quarter, list_ledger
from experiments.services import decision, ledger
from experiments.services.holdout import held_out_units, set_holdout
from experiments.services.ledger import SETTLED, quarters_between, update_ledger
from experiments.services.metrics import ensure_builtin_metrics
from experiments.services.refresh import refresh_experiment
from experiments.tasks import update_ledger as ledger_task
from marketing.models import Profile
from tests.factories.experiments import expose, make_experiment
from tests.factories.marketing import make_profile, send, track

pytestmark = pytest.mark.django_db
Q1 = datetime(2026, 1, 1, tzinfo=UTC)
Q2 = datetime(2026, 4, 1, tzinfo=UTC)
PEOPLE = 240


@pytest.fixture
def people() -> list[Profile]:
    """Half of them held out; whoever is not buys twice as often. Some were known before, some came in February."""
    ensure_builtin_metrics()
    set_holdout(share=0.5, at=Q1 - timedelta(days=1))
    rng = np.random.default_rng(3)
    found, messages = [], []
    for number in range(PEOPLE):
        found.append(make_profile(user_id=f"p{number}"))
        came_at = Q1 - timedelta(days=20) if number % 2 else Q1 + timedelta(days=40)
        messages.append(track("Product Viewed", user=f"p{number}", at=came_at, product_id="x"))
    held_out = held_out_units(unit_type="profile", unit_ids=[str(one.pk) for one in found], at=Q1)
    for number, person in enumerate(found):
        if rng.random() < (0.2 if str(person.pk) in held_out else 0.5):
            messages.append(track("Order Completed", user=f"p{number}", at=Q1 + timedelta(days=50), revenue=30.0))
        if number % 3 == 0:
            messages.append(track("Order Completed", user=f"p{number}", at=Q1 - timedelta(days=2), revenue=5.0))
    messages.append(track("Order Completed", user="p1", at=Q2 + timedelta(days=3), revenue=1_000.0))
    send(*messages, at=Q2 + timedelta(days=4))
    return found


def test_update__quarter__compares_everybody_by_their_side_of_the_holdout(people: list[Profile]) -> None:
    update_ledger(at=Q2 + timedelta(hours=1))
    report = decode_quarter(LedgerQuarter.objects.get(starts_on=Q1.date(), metric__key="conversion").report)
    held_out = held_out_units(unit_type="profile", unit_ids=[str(one.pk) for one in people], at=Q1)
    assert (report.people_n, report.held_out_n) == (PEOPLE, len(held_out))
    assert report.effect is not None
    assert report.effect_ci is not None
    assert report.effect_ci.lower is not None
    assert 0.1 < report.effect < 0.5
    assert report.effect_ci.lower > 0
    assert report.incremental == pytest.approx(report.effect * (PEOPLE - len(held_out)))
    assert report.shrunk is not None
    assert report.incremental is not None
    assert 0 < report.shrunk < report.incremental
    revenue = decode_quarter(LedgerQuarter.objects.get(starts_on=Q1.date(), metric__key="revenue").report)
    assert revenue.mean_rest is not None
    assert revenue.mean_rest < 30  # the thousand of April belongs to the next quarter
    assert revenue.variance_saved is not None


def test_update__quarter_after_it_is_settled__is_not_computed_again(people: list[Profile]) -> None:
    rows = update_ledger(at=Q2 + SETTLED)
    assert [(row.starts_on, row.is_closed) for row in rows] == [
        (date(2025, 10, 1), True),
        (date(2025, 10, 1), True),
        (date(2026, 1, 1), True),
        (date(2026, 1, 1), True),
        (date(2026, 4, 1), False),
        (date(2026, 4, 1), False),
    ]
    again = update_ledger(at=Q2 + SETTLED + timedelta(days=1))
    assert {row.starts_on for row in again} == {date(2026, 4, 1)}
    assert LedgerQuarter.objects.count() == 6


def test_update__quarter_before_anybody_could_be_held_out__says_why(people: list[Profile]) -> None:
    update_ledger(at=Q2)
    report = decode_quarter(LedgerQuarter.objects.filter(starts_on=date(2025, 10, 1)).first().report)  # type: ignore[union-attr]  # it is there
    assert (report.people_n, report.incremental, report.reason) == (0, None, "too_few_units")


def test_update__larger_share_later__counts_people_by_the_version_when_they_entered(people: list[Profile]) -> None:
    set_holdout(share=0.9, at=Q1 + timedelta(days=30))
    update_ledger(at=Q2)
    report = decode_quarter(LedgerQuarter.objects.get(starts_on=Q1.date(), metric__key="conversion").report)
    early = [str(one.pk) for number, one in enumerate(people) if number % 2 or number % 3 == 0]
    late = [str(one.pk) for number, one in enumerate(people) if str(one.pk) not in early]
    expected = len(held_out_units(unit_type="profile", unit_ids=early, at=Q1)) + len(
        held_out_units(unit_type="profile", unit_ids=late, at=Q1 + timedelta(days=40))
    )
    assert report.held_out_n == expected


def test_update__shipped_experiment__stands_beside_as_a_single_win(people: list[Profile], settings: Settings) -> None:
    experiment = make_experiment(status="running")  # starts in March 2026
    for number, person in enumerate(people):
        expose(experiment, str(person.pk), arm=("control", "treatment")[number % 2])
    refresh_experiment(experiment_id=experiment.pk, at=Q2 - timedelta(days=2))
    decision.decide(
        experiment_key=experiment.key, outcome="ship", arm_key="treatment", reason="r", at=Q2 - timedelta(days=1)
    )
    update_ledger(at=Q2)
    report = decode_quarter(LedgerQuarter.objects.get(starts_on=Q1.date(), metric__key="conversion").report)
    assert report.wins_n == 1


def test_update__no_holdout__does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert update_ledger(at=Q2) == []
    assert ledger_task() == 0
    call_command("update_ledger")
    assert "there is no global holdout" in capsys.readouterr().out
    assert list_ledger() == []


def test_update__metric_that_is_not_there__is_passed_over() -> None:
    set_holdout(share=0.5, at=Q1)
    assert update_ledger(at=Q2) == []


def test_command__prints_the_ledger(people: list[Profile], capsys: pytest.CaptureFixture[str]) -> None:
    call_command("update_ledger")
    assert "2026 Q1 conversion: +" in capsys.readouterr().out


def test_quarters__across_the_year_in_the_reporting_zone(settings: Settings) -> None:
    settings.REPORTING_TIME_ZONE = "Europe/Berlin"
    found = list(quarters_between(datetime(2025, 12, 31, 23, 30, tzinfo=UTC), datetime(2026, 7, 2, tzinfo=UTC)))
    assert [one.starts_on for one in found] == [date(2026, 1, 1), date(2026, 4, 1), date(2026, 7, 1)]
    assert found[0].starts_at == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert found[0].ends_at == datetime(2026, 3, 31, 22, tzinfo=UTC)


def test_stored__other_schema__is_refused() -> None:
    with pytest.raises(ValueError, match="schema 0"):
        decode_quarter({"schema": 0})


def test_page__empty_and_full__shows_the_sum_and_its_interval(people: list[Profile]) -> None:
    client = Client()
    user = User.objects.create_user("ana")
    user.user_permissions.set(Permission.objects.filter(codename="view_experiment"))
    client.force_login(user)
    url = reverse("experiments:holdout-ledger")
    assert "No quarter yet" in client.get(url).content.decode()
    update_ledger(at=Q2 + timedelta(hours=1))
    with CaptureQueriesContext(connection) as queries:
        page = client.get(url).content.decode()
    assert len(queries) <= 6
    assert "2026 Q1" in page
    assert "Caused so far: +" in page
    assert page.count('<svg class="chart') == 4  # two metrics, wide and on a phone
    assert client.post(url).status_code == 405
    total = next(one for one in list_ledger() if one.key == "conversion")
    assert total.total_ci is not None
    assert ledger.METRICS == ("conversion", "revenue")
