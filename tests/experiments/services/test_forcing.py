from __future__ import annotations

from datetime import timedelta

import pytest

from experiments.errors import UnknownExperiment
from experiments.models import Exposure
from experiments.services.forcing import LIFETIME, force, force_token, forced_arms
from experiments.wire.decide import Decide
from tests.experiments.wire.client import OpenGate, ask, ask_flag
from tests.factories.experiments import STARTED, make_experiment

pytestmark = pytest.mark.django_db


@pytest.fixture
def decide() -> Decide:
    return Decide(OpenGate())


def _token(key: str, arm: str = "treatment") -> str:
    from django.utils import timezone

    return force_token(experiment_key=key, arm_key=arm, at=timezone.now())


def test_forced_arms__signed_and_young__are_read() -> None:
    first, second = make_experiment(status="running"), make_experiment()
    tokens = ", ".join(force_token(experiment_key=one.key, arm_key="treatment", at=STARTED) for one in (first, second))
    at = STARTED + LIFETIME - timedelta(seconds=1)
    assert forced_arms(tokens=tokens, at=at) == {first.key: "treatment", second.key: "treatment"}
    assert forced_arms(tokens=tokens, at=STARTED + LIFETIME + timedelta(seconds=1)) == {}
    assert forced_arms(tokens=f"{tokens}x,nonsense,a:b,", at=at) == {first.key: "treatment"}
    assert forced_arms(tokens="", at=at) == {}
    with pytest.raises(UnknownExperiment):
        force_token(experiment_key=first.key, arm_key="nothing", at=STARTED)


def test_force__arm_that_is_gone__nothing() -> None:
    experiment = make_experiment(status="running")
    assert force(experiment_key=experiment.key, forced={experiment.key: "gone"}) is None
    assert force(experiment_key=experiment.key, forced={}) is None


def test_ofrep__forced__shows_the_arm_to_anybody_and_counts_nobody(decide: Decide) -> None:
    experiment = make_experiment(status="running", unit_type="user_id", coverage=0.0001)
    plain = ask_flag(decide, experiment.key, targetingKey="u1")
    assert plain.body["variant"] == "code-default"
    path, body = f"/ofrep/v1/evaluate/flags/{experiment.key}", {"context": {"targetingKey": "u1"}}
    seen = ask(decide, path, body, HTTP_X_HOLDOUT_FORCE=_token(experiment.key))
    assert (seen.body["variant"], seen.body["value"], seen.body["reason"]) == ("treatment", {"title": "new"}, "STATIC")
    assert (seen.body["metadata"]["inExperiment"], seen.body["metadata"]["reason"]) == (False, "forced")
    forged = ask(decide, path, body, HTTP_X_HOLDOUT_FORCE=f"{_token(experiment.key)}x")
    assert forged.body["variant"] == "code-default"
    assert not Exposure.objects.exists()


def test_ofrep__forced_draft__shows_before_the_start(decide: Decide) -> None:
    draft = make_experiment(unit_type="user_id")
    path, body = f"/ofrep/v1/evaluate/flags/{draft.key}", {"context": {"targetingKey": "u1"}}
    assert ask(decide, path, body).status == 404
    token = _token(draft.key, "control")
    seen = ask(decide, path, body, HTTP_X_HOLDOUT_FORCE=token)
    assert (seen.status, seen.body["variant"], seen.body["metadata"]["inExperiment"]) == (200, "control", False)
    bulk = ask(decide, "/ofrep/v1/evaluate/flags", body, HTTP_X_HOLDOUT_FORCE=token)
    assert [flag["key"] for flag in bulk.body["flags"]] == [draft.key]
    draft.arms.all().delete()
    assert ask(decide, path, body, HTTP_X_HOLDOUT_FORCE=token).status == 404
    assert ask(decide, "/ofrep/v1/evaluate/flags", body, HTTP_X_HOLDOUT_FORCE=token).body["flags"] == []


def test_remote__forced__has_the_value_and_nothing_to_report(decide: Decide) -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    body = {"attributes": {"id": "u1", "consent": True}}
    seen = ask(decide, "/api/eval/hk_client", body, HTTP_X_HOLDOUT_FORCE=_token(experiment.key, "control"))
    assert seen.body["features"][experiment.key]["rules"] == [{"force": {"title": "plain"}}]


@pytest.mark.parametrize(
    ("agent", "attribute", "reason"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1)", None, "bot"),
        ("python-requests/2.32", "Mozilla/5.0 (compatible; bingbot/2.0)", "bot"),
        ("python-requests/2.32", None, "split"),
        ("python-requests/2.32", ["no", "text"], "split"),
        ("Mozilla/5.0 Firefox/130", "Mozilla/5.0 Firefox/130", "split"),
    ],
)
def test_ofrep__bots__get_the_default(decide: Decide, agent: str, attribute: object, reason: str) -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    context = {"targetingKey": "u1", "consent": True} | ({} if attribute is None else {"userAgent": attribute})
    path = f"/ofrep/v1/evaluate/flags/{experiment.key}"
    seen = ask(decide, path, {"context": context}, HTTP_USER_AGENT=agent)
    assert seen.body["metadata"]["reason"] == reason
    assert seen.body["metadata"]["inExperiment"] is (reason == "split")


def test_ofrep__bot__still_gets_what_was_shipped(decide: Decide) -> None:
    experiment = make_experiment(status="decided", unit_type="user_id")
    path = f"/ofrep/v1/evaluate/flags/{experiment.key}"
    seen = ask(decide, path, {"context": {"targetingKey": "u1"}}, HTTP_USER_AGENT="Googlebot/2.1")
    assert seen.body["variant"] == "treatment"
