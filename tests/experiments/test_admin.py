from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from experiments.admin import base as experiments_admin
from experiments.models import ChangeLog, Experiment, Exposure, Layer, Snapshot
from experiments.services.design import create_layer
from experiments.services.holdout import set_holdout
from tests.factories.experiments import STARTED, expose, make_experiment

pytestmark = pytest.mark.django_db

MODELS = sorted(
    (model for model in admin.site._registry if model._meta.app_label == "experiments"), key=lambda m: m.__name__
)


@pytest.fixture
def chief() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("chief"))
    return client


def _url(model: type[Model], page: str, *args: int) -> str:
    return reverse(f"admin:experiments_{model._meta.model_name}_{page}", args=args)


def _act(client: Client, action: str, *experiments: Experiment) -> list[str]:
    page = client.post(
        _url(Experiment, "changelist"), {"action": action, "_selected_action": [e.pk for e in experiments]}
    )
    assert page.status_code == 302
    return [str(message) for message in get_messages(page.wsgi_request)]


@contextmanager
def _queries(limit: int) -> Iterator[None]:
    with CaptureQueriesContext(connection) as queries:
        yield
    assert len(queries) <= limit, [query["sql"] for query in queries]


def test_admin__every_model__registered() -> None:
    names = {model.__name__ for model in MODELS}
    shown_inline = {"Arm", "PhaseArm", "ExperimentMetric"}
    from django.apps import apps

    assert names | shown_inline == {model.__name__ for model in apps.get_app_config("experiments").get_models()}


@pytest.mark.parametrize("model", MODELS)
def test_admin__lists_and_pages__open_with_few_queries(model: type[Model], chief: Client) -> None:
    create_layer(key="home", name="Home")
    set_holdout(share=0.1, at=STARTED)
    for status in ("running", "decided"):
        experiment = make_experiment(status="running" if status == "running" else "draft", layer_key="home")
        if status == "running":
            expose(experiment, *map(str, range(20)))
    make_experiment(status="decided")
    Snapshot.objects.create(experiment=experiment, at=STARTED, status="failed", engine_version="1", error="x")
    with _queries(15):
        assert chief.get(_url(model, "changelist")).status_code == 200
    row = model._default_manager.order_by("pk").first()
    if row is not None:
        with _queries(20):
            assert chief.get(_url(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("model", [Exposure, ChangeLog, Experiment])
def test_admin__facts_and_log__read_only(model: type[Model], chief: Client) -> None:
    expose(make_experiment(status="running"), "u1")
    row = model._default_manager.order_by("pk").first()
    assert row is not None
    assert chief.get(_url(model, "add")).status_code == 403
    assert chief.post(_url(model, "change", row.pk), {}).status_code == 403
    assert chief.post(_url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert model._default_manager.filter(pk=row.pk).exists()


def test_admin__exposures__searched_by_exact_unit(chief: Client) -> None:
    expose(make_experiment(status="running"), "u1", "u12", "u2")
    text = chief.get(_url(Exposure, "changelist"), {"q": "u1"}).content.decode()
    assert "u1<" in text
    assert "u12<" not in text


def test_admin__exposures__count_is_capped(chief: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments_admin, "COUNT_CAP", 3)
    expose(make_experiment(status="running"), *map(str, range(5)))
    with CaptureQueriesContext(connection) as queries:
        assert chief.get(_url(Exposure, "changelist")).status_code == 200
    counts = [
        query["sql"] for query in queries if "COUNT(*)" in query["sql"] and "experiments_exposure" in query["sql"]
    ]
    assert counts
    assert all("LIMIT 3" in sql for sql in counts)


@pytest.mark.parametrize(
    ("before", "action", "after"),
    [
        ("draft", "start", "running"),
        ("running", "pause", "paused"),
        ("paused", "resume", "running"),
        ("running", "stop", "stopped"),
        ("running", "emergency_stop", "stopped"),
        ("stopped", "archive", "archived"),
    ],
)
def test_action__possible__done_through_the_service(chief: Client, before: str, action: str, after: str) -> None:
    experiment = make_experiment(status=before)
    assert _act(chief, action, experiment) == ["1 experiment changed."]
    assert Experiment.objects.get().status == after
    entry = ChangeLog.objects.latest("pk")
    assert (entry.transition, entry.actor) == (action, User.objects.get())


def test_action__some_impossible__reasons_named_and_the_others_done(chief: Client) -> None:
    good, bad = make_experiment(), make_experiment(metrics=(), name="No goal")
    assert _act(chief, "start", bad) == ["No goal: Choose the primary metric, the one that decides."]
    shown = _act(chief, "start", good, bad)
    assert "No goal: Choose the primary metric, the one that decides." in shown
    assert "1 experiment changed." in shown
    assert set(Experiment.objects.values_list("status", flat=True)) == {"running", "draft"}


def test_action__refresh__enqueued_on_commit(
    chief: Client, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: object
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("experiments.tasks.refresh_experiment.delay", asked.append)
    experiment = make_experiment(status="running")
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]  # pytest-django's fixture is untyped
        _act(chief, "refresh", experiment)
    assert asked == [experiment.pk]


def test_action__without_the_permission__not_offered() -> None:
    experiment = make_experiment(status="running")
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_experiment"))
    client = Client()
    client.force_login(viewer)
    assert 'value="stop"' not in client.get(_url(Experiment, "changelist")).content.decode()
    client.post(_url(Experiment, "changelist"), {"action": "stop", "_selected_action": [experiment.pk]})
    assert Experiment.objects.get().status == "running"


def test_layer__made_in_the_admin__gets_a_seed_and_keeps_its_key(chief: Client) -> None:
    assert chief.post(_url(Layer, "add"), {"key": "home", "name": "Home"}).status_code == 302
    layer = Layer.objects.get()
    assert len(layer.seed) == 16
    chief.post(_url(Layer, "change", layer.pk), {"key": "other", "name": "Home page"})
    layer.refresh_from_db()
    assert (layer.key, layer.name) == ("home", "Home page")


def test_snapshots__list__without_the_reports(chief: Client) -> None:
    experiment = make_experiment(status="running")
    Snapshot.objects.create(
        experiment=experiment, at=STARTED + timedelta(days=1), status="ok", engine_version="1", report={"big": "report"}
    )
    with CaptureQueriesContext(connection) as queries:
        chief.get(_url(Snapshot, "changelist"))
    assert not [query for query in queries if '"experiments_snapshot"."report"' in query["sql"]]
