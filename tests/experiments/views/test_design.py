from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from experiments.models import Experiment
from experiments.services import lifecycle
from experiments.services.design import ArmSpec, MetricSpec, create_layer, design_of
from experiments.services.metrics import ensure_builtin_metrics
from tests.factories.experiments import STARTED, make_experiment

pytestmark = pytest.mark.django_db

NEW = "experiments:experiment-create"


def _client(*codenames: str) -> Client:
    user = User.objects.create_user("ana")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames, content_type__app_label="experiments"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def analyst() -> Client:
    ensure_builtin_metrics()
    return _client("view_experiment", "add_experiment", "change_experiment")


def _edit(experiment: Experiment) -> str:
    return reverse("experiments:experiment-edit", kwargs={"key": experiment.key})


def _typed(**change: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": "Checkout button",
        "key": "checkout-button",
        "hypothesis": "Green sells.",
        "unit_type": "profile",
        "primary_metric": "conversion",
        "guardrails": ["revenue"],
        "planned_size": "5000",
        "planned_days": "14",
        "mde_percent": "20",
        "coverage_percent": "80",
        "targeting": '{"attribute": "country", "op": "eq", "value": "DE"}',
        "layer_key": "",
        "layer_from_percent": "0",
        "layer_to_percent": "100",
        "arms-TOTAL_FORMS": "3",
        "arms-INITIAL_FORMS": "2",
        "arms-0-name": "Grey",
        "arms-0-key": "grey",
        "arms-0-percent": "33.3",
        "arms-0-payload": "",
        "arms-1-name": "Green",
        "arms-1-key": "green",
        "arms-1-percent": "33.3",
        "arms-1-payload": '{"color": "green"}',
        "arms-2-name": "Red",
        "arms-2-key": "red",
        "arms-2-percent": "33.4",
        "arms-2-payload": "[1]",
    }
    return {**fields, **change}


def test_create__form__opens_with_control_and_treatment(analyst: Client) -> None:
    text = analyst.get(reverse(NEW)).content.decode()
    assert 'name="arms-0-key" value="control"' in text
    assert 'name="arms-1-key" value="treatment"' in text
    assert "data-row-template" in text


def test_create__typed__draft_that_can_start(analyst: Client) -> None:
    page = analyst.post(reverse(NEW), _typed())
    assert page.status_code == 302, page.content.decode()
    experiment = Experiment.objects.get()
    assert page["Location"] == reverse("experiments:experiment-detail", kwargs={"key": "checkout-button"})
    assert (experiment.status, experiment.owner) == ("draft", User.objects.get())
    design = design_of(experiment_key=experiment.key)
    assert design.arms == (
        ArmSpec("grey", "Grey", 0.333, True, {}),
        ArmSpec("green", "Green", 0.333, False, {"color": "green"}),
        ArmSpec("red", "Red", 0.334, False, [1]),
    )
    assert design.metrics == (MetricSpec("conversion", "primary"), MetricSpec("revenue", "guardrail", 0.1))
    assert (design.mde, design.coverage, design.planned_size, design.planned_days) == (0.2, 0.8, 5_000, 14)
    assert design.targeting == {"attribute": "country", "op": "eq", "value": "DE"}
    assert lifecycle.start(experiment_key=experiment.key, at=STARTED).status == "running"


def test_create__row_removed_and_goal_listed_as_guardrail__left_out(analyst: Client) -> None:
    change = {"arms-2-DELETE": "on", "arms-1-percent": "66.7", "guardrails": ["conversion"], "targeting": ""}
    assert analyst.post(reverse(NEW), _typed(**change)).status_code == 302
    design = design_of(experiment_key="checkout-button")
    assert [arm.key for arm in design.arms] == ["grey", "green"]
    assert [spec.key for spec in design.metrics] == ["conversion"]
    assert design.targeting == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "This field is required."),
        ({"key": "new"}, "the address of another page"),
        ({"key": "a b"}, "Enter a valid"),
        ({"targeting": "{"}, "Enter a valid JSON"),
        ({"targeting": "[1]"}, "must be a JSON object"),
        ({"targeting": '{"any": []}'}, "The targeting rule cannot be read"),
        ({"arms-1-key": "grey"}, "Two arms have the key"),
        ({"arms-1-percent": "101"}, "less than or equal to 100"),
        ({"arms-1-name": ""}, "This field is required."),
        ({"layer_from_percent": "60", "layer_to_percent": "50"}, "The range in the layer"),
    ],
)
def test_create__mistake__shown_and_nothing_stored(analyst: Client, change: dict[str, str], message: str) -> None:
    page = analyst.post(reverse(NEW), _typed(**change))
    assert page.status_code == 200
    assert message in page.content.decode()
    assert not Experiment.objects.exists()


def test_edit__draft__form_shows_what_is_stored_and_changes_it(analyst: Client) -> None:
    create_layer(key="home", name="Home page")
    experiment = make_experiment(
        layer_key="home",
        layer_lower=0.25,
        metrics=(
            MetricSpec("conversion", "primary", window_hours=48),
            MetricSpec("revenue", "guardrail", 0.02),
            MetricSpec("click_rate", "secondary"),
        ),
        plan={"campaign": "spring"},
        mde=0.05,
    )
    text = analyst.get(_edit(experiment)).content.decode()
    assert 'name="key"' not in text
    assert 'name="layer_from_percent" value="25.0"' in text
    typed = _typed(name="Better name", layer_key="home", layer_from_percent="25")
    assert analyst.post(_edit(experiment), typed).status_code == 302
    design = design_of(experiment_key=experiment.key)
    assert (design.name, design.layer_key, design.layer_lower, design.plan) == (
        "Better name",
        "home",
        0.25,
        {"campaign": "spring"},
    )
    assert design.metrics == (
        MetricSpec("conversion", "primary", None, 48),
        MetricSpec("revenue", "guardrail", 0.02),
        MetricSpec("click_rate", "secondary"),
    )
    assert design.seed == experiment.seed


def test_edit__mistake__shown(analyst: Client) -> None:
    experiment = make_experiment()
    page = analyst.post(_edit(experiment), _typed(targeting='{"any": []}'))
    assert "The targeting rule cannot be read" in page.content.decode()
    assert "This field is required." in analyst.post(_edit(experiment), _typed(name="")).content.decode()


def test_edit__running__only_a_draft(analyst: Client) -> None:
    experiment = make_experiment(status="running")
    assert analyst.get(_edit(experiment)).status_code == 302
    page = analyst.post(_edit(experiment), _typed())
    assert "Only a draft can be changed." in page.content.decode()
    assert Experiment.objects.get().name == experiment.name


def test_edit__unknown__not_found(analyst: Client) -> None:
    assert analyst.get(reverse("experiments:experiment-edit", kwargs={"key": "nothing"})).status_code == 404


def test_design__without_permission__refused() -> None:
    experiment = make_experiment()
    client = _client("view_experiment")
    for url in (reverse(NEW), _edit(experiment)):
        assert client.get(url).status_code == 403
        assert client.post(url).status_code == 403
        assert Client().get(url).status_code == 302
        assert client.put(url).status_code == 405


def test_detail__draft__offers_the_change_to_whoever_may(analyst: Client) -> None:
    draft, running = make_experiment(), make_experiment(status="running")
    for experiment, is_offered in ((draft, True), (running, False)):
        page = analyst.get(reverse("experiments:experiment-detail", kwargs={"key": experiment.key}))
        assert (_edit(experiment) in page.content.decode()) is is_offered
