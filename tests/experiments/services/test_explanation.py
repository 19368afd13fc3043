from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from experiments.models import Experiment, Phase
from experiments.selectors import clear_config_cache
from experiments.services import decision
from experiments.services.design import Requirement, create_layer
from experiments.services.explanation import explain_unit
from experiments.services.holdout import set_holdout
from experiments.services.ramp import RampSpec, apply_due_steps
from marketing.choices import MergeReason
from marketing.services.identity import merge
from tests.factories.experiments import STARTED, T0, expose, make_experiment
from tests.factories.marketing import make_profile

pytestmark = pytest.mark.django_db

LATER = STARTED + timedelta(days=1)
GERMANS = {"attribute": "country", "op": "eq", "value": "DE"}


def test_explain_unit__in__bucket_arm_and_exposures() -> None:
    experiment = make_experiment(status="running", seed="seed", targeting=GERMANS)
    expose(experiment, "b", arm="control", at=LATER)
    expose(experiment, "b", arm="treatment", at=STARTED)
    (got,) = explain_unit(unit_type="profile", unit_id="b", attributes={"country": "DE"}, at=LATER)
    assert (got.experiment_key, got.status, got.assignment.arm_key, got.assignment.is_in) == (
        experiment.key,
        "running",
        "control",
        True,
    )
    assert got.reason_label == "Assigned by its bucket"
    assert [(check.name, check.bucket, check.is_inside) for check in got.arms] == [
        ("control", 0.2696, True),
        ("treatment", 0.2696, False),
    ]
    assert [(line.attribute, line.holds) for line in got.targeting] == [("country", True)]
    assert [exposure.arm_key for exposure in got.exposures] == ["treatment", "control"]
    assert got.exposures[0].seen_at == STARTED
    assert got.is_quarantined
    assert (got.layer, got.holdouts) == (None, ())


def test_explain_unit__layer_and_holdouts__their_positions_and_ranges() -> None:
    create_layer(key="home", name="Home")
    set_holdout(share=0.3, at=T0)
    set_holdout(share=0.1, at=LATER + timedelta(days=1))
    make_experiment(status="running", layer_key="home", layer_upper=0.25)
    (got,) = explain_unit(unit_type="profile", unit_id="u1", attributes={}, at=LATER)
    assert got.layer is not None
    assert (got.layer.name, got.layer.upper, got.layer.is_inside) == ("home", 0.25, got.layer.bucket < 0.25)
    assert [(check.upper, check.is_inside) for check in got.holdouts] == [(0.3, got.holdouts[0].bucket < 0.3)]


def test_explain_unit__ramp_and_prerequisite__phase_coverage_and_what_is_served() -> None:
    parent = make_experiment(status="running", name="Parent")
    steps = (RampSpec(timedelta(hours=1), 0.4), RampSpec(timedelta(hours=2), 0.6), RampSpec(timedelta(days=9), 1.0))
    make_experiment(
        status="running", name="Child", coverage=0.2, ramp=steps, requires=(Requirement(parent.key, "treatment"),)
    )
    apply_due_steps(at=STARTED + timedelta(hours=3))
    seen = set()
    for unit_id in map(str, range(30)):
        child, above = explain_unit(unit_type="profile", unit_id=unit_id, attributes={}, at=LATER)
        assert child.phase is not None
        assert (child.phase.number, child.phase.started_at, child.phase.coverage) == (1, STARTED, 0.6)
        assert child.phase.step_n == 2
        (check,) = child.prerequisites
        assert (check.name, check.arm_key, check.served) == ("Parent", "treatment", above.assignment.arm_key)
        assert check.reason_label == "Assigned by its bucket"
        assert check.holds is (above.assignment.arm_key == "treatment")
        if not check.holds:
            assert child.assignment.reason == "prerequisite"
        seen.add(check.holds)
        before, _above = explain_unit(unit_type="profile", unit_id=unit_id, attributes={}, at=STARTED)
        assert before.phase is not None
        assert (before.phase.coverage, before.phase.step_n) == (0.2, 0)
    assert seen == {True, False}


def test_explain_unit__profile__what_is_stored_of_it_and_what_is_typed() -> None:
    make_experiment(status="running", targeting=GERMANS)
    profile, merged = make_profile(country="DE"), make_profile()
    merge(winner_id=profile.pk, loser_id=merged.pk, reason=MergeReason.MANUAL, at=STARTED)
    (got,) = explain_unit(unit_type="profile", unit_id=str(profile.pk), attributes={}, at=LATER)
    assert [(line.actual, line.holds) for line in got.targeting] == [("DE", True)]
    (typed,) = explain_unit(unit_type="profile", unit_id=str(profile.pk), attributes={"country": "FR"}, at=LATER)
    assert [(line.actual, line.holds) for line in typed.targeting] == [("FR", False)]
    expose(Experiment.objects.get(), str(merged.pk), arm="control")
    (got,) = explain_unit(unit_type="profile", unit_id=str(profile.pk), attributes={}, at=LATER)
    assert (got.assignment.arm_key, got.assignment.reason) == ("control", "sticky")
    assert [exposure.arm_key for exposure in got.exposures] == ["control"]
    (stranger,) = explain_unit(unit_type="profile", unit_id="9" * 40, attributes={}, at=LATER)
    assert [line.actual for line in stranger.targeting] == [None]


def test_explain_unit__several__live_first_and_other_kinds_of_unit_left_out() -> None:
    stopped = make_experiment(status="stopped", name="A stopped one")
    running = make_experiment(status="running", name="Z running one")
    make_experiment(status="running", unit_type="household")
    make_experiment()
    got = explain_unit(unit_type="profile", unit_id="u1", attributes={}, at=LATER)
    assert [explanation.experiment_key for explanation in got] == [running.key, stopped.key]
    assert got[1].assignment.reason == "stopped"
    assert explain_unit(unit_type="session", unit_id="u1", attributes={}, at=LATER) == ()


def test_explain_unit__merged__exposures_of_earlier_ids_count() -> None:
    experiment = make_experiment(status="running")
    expose(experiment, "old", arm="treatment")
    (got,) = explain_unit(unit_type="profile", unit_id="new", attributes={}, at=LATER, aliases=["old"])
    assert (got.assignment.reason, len(got.exposures), got.is_quarantined) == ("sticky", 1, False)


def test_explain_unit__experiment_without_a_phase__still_explained() -> None:
    experiment = make_experiment(status="stopped", is_demo=True)
    phases = Phase.objects.filter(experiment=experiment)
    for phase in phases:
        phase.phase_arms.all().delete()
    clear_config_cache()
    (got,) = explain_unit(unit_type="profile", unit_id="u1", attributes={}, at=LATER)
    assert (got.arms, got.targeting) == ((), ())


@pytest.fixture
def viewer() -> Client:
    user = User.objects.create_user("ana")
    user.user_permissions.set(Permission.objects.filter(codename="view_experiment"))
    client = Client()
    client.force_login(user)
    return client


URL = "experiments:experiment-explain"


def test_page__post__explains(viewer: Client) -> None:
    create_layer(key="home", name="Home")
    set_holdout(share=0.3, at=T0)
    set_holdout(share=0.3, at=T0, layer_key="home")
    experiment = make_experiment(status="running", targeting=GERMANS, layer_key="home", name="Hero")
    expose(experiment, "u1", arm="control")
    expose(experiment, "u1", arm="treatment")
    shipped = make_experiment(status="running", name="Shipped one")
    decision.decide(experiment_key=shipped.key, outcome="ship", arm_key="treatment", reason="yes", at=LATER)
    page = viewer.post(reverse(URL), {"unit_type": "profile", "unit_id": "u1", "attributes": ""})
    text = page.content.decode()
    for words in ("Hero", "Global holdout", "Holdout of home", "Layer home", "missing", "does not hold", "two arms"):
        assert words in text
    assert "Control in phase 1" in text
    assert "Shipped one" in text


def test_page__get__asks(viewer: Client) -> None:
    text = viewer.get(reverse(URL)).content.decode()
    assert 'name="unit_id"' in text
    assert "No experiment" not in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit_id": ""}, "This field is required."),
        ({"attributes": "[1]"}, "must be a JSON object"),
        ({"attributes": "{"}, "Enter a valid JSON"),
    ],
)
def test_page__mistake__shown(viewer: Client, change: dict[str, str], message: str) -> None:
    Experiment.objects.all().delete()
    page = viewer.post(reverse(URL), {"unit_type": "profile", "unit_id": "u1", "attributes": "{}", **change})
    assert page.status_code == 200
    assert message in page.content.decode()


def test_page__nothing_of_that_kind__said(viewer: Client) -> None:
    page = viewer.post(reverse(URL), {"unit_type": "session", "unit_id": "u1"})
    assert "No experiment randomizes this kind of unit." in page.content.decode()


def test_page__without_permission__refused() -> None:
    client = Client()
    assert client.get(reverse(URL)).status_code == 302
    client.force_login(User.objects.create_user("eve"))
    assert client.get(reverse(URL)).status_code == 403
