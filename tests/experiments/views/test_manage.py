from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from experiments.models import ChangeLog, Decision, Experiment
from experiments.services import decision
from experiments.services.design import ArmSpec
from tests.factories.experiments import STARTED, expose, make_experiment

pytestmark = pytest.mark.django_db

LATER = STARTED + timedelta(days=2)


def _client(*codenames: str) -> Client:
    user = User.objects.create_user("ana")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames, content_type__app_label="experiments"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def analyst() -> Client:
    return _client("view_experiment", "launch_experiment", "decide_experiment")


def _url(name: str, experiment: Experiment, **parts: str) -> str:
    return reverse(f"experiments:experiment-{name}", kwargs={"key": experiment.key, **parts})


def test_list__experiments_in_several_states__rows_without_the_archived(analyst: Client) -> None:
    running = make_experiment(status="running", planned_days=14, name="Home page hero")
    make_experiment(status="decided", name="Decided one")
    archived = make_experiment(status="archived")
    page = analyst.get(reverse("experiments:experiment-list"))
    assert page.status_code == 200
    text = page.content.decode()
    assert "Home page hero" in text
    assert _url("detail", running) in text
    assert "of 14" in text
    assert "no result yet" in text
    assert "badge--ship" in text
    assert archived.name not in text


def test_list__filter__only_that_state(analyst: Client) -> None:
    make_experiment(status="running", name="Running one")
    make_experiment(status="archived", name="Archived one")
    text = analyst.get(reverse("experiments:experiment-list"), {"status": "archived"}).content.decode()
    assert "Archived one" in text
    assert "Running one" not in text


def test_list__unknown_state__all(analyst: Client) -> None:
    make_experiment(status="running", name="Running one")
    assert "Running one" in analyst.get(reverse("experiments:experiment-list"), {"status": "x"}).content.decode()


def test_list__nothing__says_what_to_do(analyst: Client) -> None:
    url = reverse("experiments:experiment-list")
    assert "No experiments yet" in analyst.get(url).content.decode()
    assert "None in this state" in analyst.get(url, {"status": "paused"}).content.decode()


def test_list__many_experiments__pages_and_few_queries(analyst: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.views.manage.SHOWN_PER_PAGE", 2)
    for number in range(5):
        make_experiment(status="running", name=f"Experiment number {number}")
    with CaptureQueriesContext(connection) as queries:
        text = analyst.get(reverse("experiments:experiment-list"), {"page": "2"}).content.decode()
    assert len(queries) <= 9
    assert "Page 2" in text


@pytest.mark.parametrize("name", ["list", "transition", "decide", "revert"])
@pytest.mark.parametrize("is_known", [True, False])
def test_pages__without_permission__refused(name: str, is_known: bool) -> None:
    experiment = make_experiment(status="running")
    parts = {} if name == "list" else {"key": experiment.key}
    if name == "transition":
        parts["transition"] = "pause"
    url = reverse(f"experiments:experiment-{name}", kwargs=parts)
    page = (_client() if is_known else Client()).get(url)
    assert page.status_code == (403 if is_known else 302)
    if name != "list":
        assert (_client_again() if is_known else Client()).post(url).status_code == (403 if is_known else 302)
    assert Experiment.objects.get().status == "running"


def _client_again() -> Client:
    client = Client()
    client.force_login(User.objects.get(username="ana"))
    return client


def test_transition__get__asks_and_changes_nothing(analyst: Client) -> None:
    experiment = make_experiment(status="running")
    page = analyst.get(_url("transition", experiment, transition="pause"))
    assert "Nobody new is taken in" in page.content.decode()
    assert Experiment.objects.get().status == "running"


def test_transition__post__done_with_actor_and_message(analyst: Client) -> None:
    experiment = make_experiment(status="running")
    page = analyst.post(_url("transition", experiment, transition="pause"), {"message": "stock is out"})
    assert page.status_code == 302
    assert page["Location"] == _url("detail", experiment)
    assert Experiment.objects.get().status == "paused"
    entry = ChangeLog.objects.latest("pk")
    assert (entry.transition, entry.message, entry.actor) == ("pause", "stock is out", User.objects.get())


@pytest.mark.parametrize(
    ("before", "transition", "after"),
    [
        ("draft", "start", "running"),
        ("paused", "resume", "running"),
        ("running", "stop", "stopped"),
        ("decided", "emergency_stop", "stopped"),
        ("stopped", "archive", "archived"),
    ],
)
def test_transition__each__possible(analyst: Client, before: str, transition: str, after: str) -> None:
    experiment = make_experiment(status=before)
    url = _url("transition", experiment, transition=transition)
    assert analyst.get(url).status_code == 200
    assert analyst.post(url).status_code == 302
    assert Experiment.objects.get().status == after


def test_transition__start_of_an_unfinished_draft__checklist_names_the_open_points(analyst: Client) -> None:
    experiment = make_experiment(metrics=(), planned_size=None)
    url = _url("transition", experiment, transition="start")
    assert "Choose the primary metric" in analyst.get(url).content.decode()
    page = analyst.post(url)
    assert page.status_code == 200
    assert "Plan how many units" in page.content.decode()
    assert Experiment.objects.get().status == "draft"


def test_transition__start_beside_another__says_how_many_people_they_share(analyst: Client) -> None:
    other = make_experiment(status="running", name="Basket reminder")
    expose(other, *map(str, range(8)))
    experiment = make_experiment(coverage=0.5)
    text = analyst.get(_url("transition", experiment, transition="start")).content.decode()
    assert "Basket reminder" in text
    assert "at most 4 of 8" in text


def test_transition__impossible_now__said(analyst: Client) -> None:
    experiment = make_experiment(status="stopped")
    text = analyst.get(_url("transition", experiment, transition="pause")).content.decode()
    assert "not possible while the experiment is" in text
    assert "csrfmiddlewaretoken" not in text.split("<main")[1].split("</main>")[0]


@pytest.mark.parametrize("transition", ["decide-it", "open_phase", "revise"])
def test_transition__unknown__not_found(analyst: Client, transition: str) -> None:
    experiment = make_experiment(status="running")
    assert analyst.post(_url("transition", experiment, transition=transition)).status_code == 404


def test_pages__unknown_experiment__not_found(analyst: Client) -> None:
    for name, parts in (("transition", {"transition": "pause"}), ("decide", {}), ("revert", {})):
        url = reverse(f"experiments:experiment-{name}", kwargs={"key": "nothing", **parts})
        assert analyst.get(url).status_code == 404


def test_pages__wrong_method__refused(analyst: Client) -> None:
    experiment = make_experiment(status="running")
    assert analyst.post(reverse("experiments:experiment-list")).status_code == 405
    assert analyst.put(_url("decide", experiment)).status_code == 405


SHIP: dict[str, Any] = {"outcome": "ship", "arm_key": "treatment", "holdback_percent": "5", "reason": "It won."}


def test_decide__get__form_and_warning_without_a_result(analyst: Client) -> None:
    experiment = make_experiment(status="running")
    text = analyst.get(_url("decide", experiment)).content.decode()
    assert "you decide without data" in text
    assert '<option value="treatment" selected>' in text
    assert 'value="control"' not in text


def test_decide__two_treatments__none_is_chosen_beforehand(analyst: Client) -> None:
    arms = (
        ArmSpec(key="control", name="Control", weight=0.4, is_control=True),
        ArmSpec(key="a", name="A", weight=0.3),
        ArmSpec(key="b", name="B", weight=0.3),
    )
    text = analyst.get(_url("decide", make_experiment(status="running", arms=arms))).content.decode()
    assert '<option value="a">' in text
    assert '<option value="" selected>' in text


def test_decide__ship__acted_on(analyst: Client) -> None:
    experiment = make_experiment(status="running")
    page = analyst.post(_url("decide", experiment), SHIP)
    assert page["Location"] == _url("detail", experiment)
    made = Decision.objects.get()
    assert made.arm is not None
    assert (made.outcome, made.arm.key, made.holdback, made.by) == ("ship", "treatment", 0.05, User.objects.get())
    assert Experiment.objects.get().status == "decided"


def test_decide__stop_with_leftovers_of_ship__leftovers_ignored(analyst: Client) -> None:
    experiment = make_experiment(status="running")
    analyst.post(_url("decide", experiment), {**SHIP, "outcome": "stop"})
    made = Decision.objects.get()
    assert (made.outcome, made.arm, made.holdback) == ("stop", None, 0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arm_key": ""}, "Choose the arm to ship."),
        ({"arm_key": "control"}, "not one of the available choices"),
        ({"reason": ""}, "This field is required."),
        ({"outcome": "party"}, "not one of the available choices"),
        ({"holdback_percent": "100"}, "less than or equal to 99"),
    ],
)
def test_decide__nonsense__shown_in_the_form(analyst: Client, change: dict[str, str], message: str) -> None:
    experiment = make_experiment(status="running")
    page = analyst.post(_url("decide", experiment), {**SHIP, **change})
    assert page.status_code == 200
    assert message in page.content.decode()
    assert Experiment.objects.get().status == "running"


def test_decide__draft__said(analyst: Client) -> None:
    experiment = make_experiment()
    assert "not possible while the experiment is" in analyst.get(_url("decide", experiment)).content.decode()


def test_revert__decided__one_confirmation(analyst: Client) -> None:
    experiment = make_experiment(status="running")
    decision.decide(experiment_key=experiment.key, outcome="ship", arm_key="treatment", reason="Looks good", at=LATER)
    url = _url("revert", experiment)
    text = analyst.get(url).content.decode()
    assert "Looks good" in text
    assert "Running" in text
    assert analyst.post(url, {"message": "bug"}).status_code == 302
    assert Experiment.objects.get().status == "running"
    assert Decision.objects.get().reverted_by == User.objects.get()


def test_revert__nothing_decided__said(analyst: Client) -> None:
    experiment = make_experiment(status="running")
    url = _url("revert", experiment)
    assert "There is no decision to revert." in analyst.get(url).content.decode()
    page = analyst.post(url)
    assert page.status_code == 200
    assert "There is no decision to revert." in page.content.decode()
