from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from experiments.forms.traffic import parse_ramp, ramp_text
from experiments.models import Experiment
from experiments.selectors import ramp as ramps
from experiments.selectors.ramp import get_ramp
from experiments.services import lifecycle
from experiments.services.design import ArmSpec, Requirement, create_experiment, design_of
from experiments.services.forcing import COOKIE, LIFETIME, force_token, forced_arms
from experiments.services.metrics import ensure_builtin_metrics
from experiments.services.ramp import RampSpec
from tests.experiments.services.test_ramp import _harmful, _ill
from tests.factories.campaigns import BROWSER, make_campaign
from tests.factories.experiments import make_design, make_experiment

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def launcher() -> Client:
    user = User.objects.create_user("ana")
    names = ("view_experiment", "launch_experiment", "change_experiment")
    user.user_permissions.set(Permission.objects.filter(codename__in=names, content_type__app_label="experiments"))
    client = Client()
    client.force_login(user)
    return client


def _running(**change: object) -> Experiment:
    """Started a few hours ago: the page works by the clock."""
    ensure_builtin_metrics()
    at = timezone.now() - 5 * HOUR
    key = create_experiment(design=make_design(**change), at=at).key
    return lifecycle.start(experiment_key=key, at=at)


def _url(experiment: Experiment) -> str:
    return reverse("experiments:experiment-traffic", kwargs={"key": experiment.key})


def _text(content: bytes) -> str:
    """The page with plain blanks."""
    return re.sub(r"[\u00a0\u202f]", " ", content.decode())


def test_ramp_text__and_back__the_same() -> None:
    steps = (RampSpec(24 * HOUR, 0.25), RampSpec(72 * HOUR, 1.0))
    assert ramp_text(steps) == "24: 25, 72: 100"
    assert parse_ramp("24: 25%\n72:100,") == steps
    for nonsense in ("24", "a: 5", "5: b", "1e99: 5"):
        with pytest.raises(ValueError, match=nonsense.split(":", maxsplit=1)[0]):
            parse_ramp(nonsense)


def test_traffic__running__shows_phases_ramp_requirements_and_links(launcher: Client) -> None:
    parent = _running()
    experiment = _running(
        coverage=0.1, ramp=(RampSpec(24 * HOUR, 0.5),), requires=(Requirement(parent.key, "treatment"),)
    )
    content = _text(launcher.get(_url(experiment)).content)
    for text in ("10.0 %", "50.0 %", "due ", "24: 50", parent.name, "/experiments/-/force/", "X-Holdout-Force"):
        assert text in content, text
    assert launcher.get(_url(make_experiment())).status_code == 200
    assert launcher.get(reverse("experiments:experiment-traffic", kwargs={"key": "nothing"})).status_code == 404


@pytest.mark.parametrize(("stored", "text"), [(_ill, "health checks fail"), (_harmful, "guardrail is harmed")])
def test_traffic__held_ramp__says_why(
    launcher: Client, monkeypatch: pytest.MonkeyPatch, stored: object, text: str
) -> None:
    experiment = _running(coverage=0.1, ramp=(RampSpec(24 * HOUR, 0.5),))
    monkeypatch.setattr(ramps, "get_report", stored)
    assert text in launcher.get(_url(experiment)).content.decode()


def test_traffic__coverage__is_raised_now_and_by_steps(launcher: Client) -> None:
    experiment = _running(coverage=0.1)
    typed = {"action": "coverage", "now_percent": "20", "ramp": "24: 50, 48: 100", "message": "slowly"}
    assert launcher.post(_url(experiment), typed).status_code == 302
    ramp = get_ramp(experiment_key=experiment.key)
    assert ramp is not None
    assert [(step.coverage, step.applied_at is not None) for step in ramp.steps] == [
        (0.2, True),
        (0.5, False),
        (1.0, False),
    ]
    assert launcher.post(_url(experiment), {"action": "coverage", "ramp": ""}).status_code == 302
    ramp = get_ramp(experiment_key=experiment.key)
    assert ramp is not None
    assert not ramp.is_pending


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ({"action": "coverage", "now_percent": "5"}, "does not cover more"),
        ({"action": "coverage", "ramp": "soon"}, "is no step"),
        ({"action": "phase", "phase-weight-control": "90"}, "required"),
        ({"action": "phase", "phase-targeting": "[1]"}, "must be a JSON object"),
        ({"action": "phase", "phase-weight-treatment": "90"}, "sum to 100"),
    ],
)
def test_traffic__nonsense__says_why_and_changes_nothing(launcher: Client, typed: dict[str, str], text: str) -> None:
    experiment = _running(coverage=0.1)
    rest = {"phase-weight-control": "50", "phase-weight-treatment": "50", "phase-targeting": "{}"}
    missing = {} if "phase-weight-control" in typed else {"phase-coverage_percent": "10"}
    response = launcher.post(_url(experiment), rest | missing | typed)
    assert (response.status_code, text in response.content.decode()) == (200, True)
    assert experiment.phases.count() == 1
    assert not experiment.phases.get().ramp.exists()


def test_traffic__phase__is_opened(launcher: Client) -> None:
    experiment = _running(coverage=0.1)
    typed = {
        "action": "phase",
        "phase-weight-control": "20",
        "phase-weight-treatment": "80",
        "phase-coverage_percent": "5",
        "phase-targeting": "",
        "phase-message": "fewer",
    }
    assert launcher.post(_url(experiment), typed).status_code == 302
    phase = experiment.phases.get(number=2)
    assert (phase.coverage, phase.targeting) == (0.05, {})
    assert sorted(phase.phase_arms.values_list("weight", flat=True)) == [0.2, 0.8]
    assert "open" in launcher.get(_url(experiment)).content.decode()


def test_edit__ramp_and_requirement__are_kept(launcher: Client) -> None:
    parent, other = make_experiment(), make_experiment()
    draft = make_experiment(requires=(Requirement(parent.key, "control"), Requirement(other.key, "control")))
    url = reverse("experiments:experiment-edit", kwargs={"key": draft.key})
    page = launcher.get(url).context
    initial = page["form"].initial
    assert initial["requires"] == f"{parent.key}:control"
    rows = {f"arms-{n}-{k}": v for n, row in enumerate(page["arms"].initial) for k, v in row.items() if k != "payload"}
    management = {"arms-TOTAL_FORMS": "2", "arms-INITIAL_FORMS": "0"}
    typed = {k: v for k, v in initial.items() if v is not None and k != "targeting"}
    typed |= {"ramp": "24: 100", "coverage_percent": "10", "requires": f"{parent.key}:treatment"}
    assert launcher.post(url, typed | rows | management).status_code == 302
    design = design_of(experiment_key=draft.key)
    assert design.ramp == (RampSpec(24 * HOUR, 1.0),)
    assert design.requires == (Requirement(parent.key, "treatment"), Requirement(other.key, "control"))


def test_force_arm__signed_link__shows_it_in_the_slot_and_counts_nobody() -> None:
    campaign = make_campaign()
    at = timezone.now()
    browser = Client(headers={"User-Agent": BROWSER})
    slot = reverse("marketing:page-slot", args=[campaign.slug])
    token = force_token(experiment_key=campaign.experiment_key, arm_key="personal", at=at)
    other = force_token(experiment_key=make_experiment().key, arm_key="control", at=at)
    for one in (other, token, token):
        response = browser.get(reverse("experiments:force-arm", args=[one]), {"next": slot})
        assert (response.status_code, response["Location"]) == (302, slot)
    assert len(forced_arms(tokens=browser.cookies[COOKIE].value, at=at)) == 2
    assert "Picked for you" in browser.get(slot).content.decode()
    experiment = Experiment.objects.get(key=campaign.experiment_key)
    assert not experiment.exposures.exists()
    browser.get(reverse("experiments:force-arm", args=["off"]))
    assert "Picked for you" not in browser.get(slot).content.decode()


def test_force_arm__forged_old_or_foreign_address__refused() -> None:
    draft = make_experiment()
    old = force_token(experiment_key=draft.key, arm_key="control", at=timezone.now() - 2 * LIFETIME)
    client = Client()
    for token in ("wrong", old):
        assert client.get(reverse("experiments:force-arm", args=[token])).status_code == 404
    good = reverse(
        "experiments:force-arm", args=[force_token(experiment_key=draft.key, arm_key="control", at=timezone.now())]
    )
    assert client.get(good, {"next": "https://evil.example/"})["Location"] == "/"
    assert client.post(good).status_code == 405


def test_explain__forced_arm__is_said(launcher: Client) -> None:
    experiment = _running(arms=(ArmSpec("control", "Control", 0.5, is_control=True), ArmSpec("new", "New", 0.5)))
    launcher.cookies[COOKIE] = force_token(experiment_key=experiment.key, arm_key="new", at=timezone.now())
    typed = {"unit_type": "profile", "unit_id": "7", "attributes": "{}"}
    content = _text(launcher.post(reverse("experiments:experiment-explain"), typed).content)
    assert "A signed link shows new in this browser" in content
    assert "100.0 % covered" in content
