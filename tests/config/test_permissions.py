"""The permission matrix: every URL of the product times every role. A new URL without a row fails here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from marketing.roles import ROLES
from marketing.services.setup import prepare
from tests.factories.campaigns import make_campaign, make_catalogue, make_user
from tests.factories.marketing import NOW, make_profile, make_segment

PUBLIC = "public"  # anybody; the page checks what it must itself (consent, signature, key)
SIGNED_IN = "signed in"
SUPERUSER = "superuser"


@dataclass(frozen=True)
class Row:
    """Who may reach a URL: a permission, or one of the words above; and how it is reached."""

    allowed: str
    method: str = "get"
    arguments: dict[str, str] = field(default_factory=dict)


CAMPAIGN = {"slug": "matrix"}
EXPERIMENT = {"key": "matrix"}
METRIC = {"key": "conversion"}
STRATEGY = {"slug": "popularity"}
MATRIX: dict[str, Row] = {
    "login": Row(PUBLIC),
    "logout": Row(PUBLIC, "post"),
    "one-time-sign-in": Row(PUBLIC, arguments={"uid": "MQ", "token": "wrong"}),
    "set_language": Row(PUBLIC, "post"),
    "healthz": Row(PUBLIC),
    "experiments:experiment-list": Row("experiments.view_experiment"),
    "experiments:experiment-explain": Row("experiments.view_experiment"),
    "experiments:fleet-health": Row("experiments.view_experiment"),
    "experiments:holdout-ledger": Row("experiments.view_experiment"),
    "experiments:metric-list": Row("experiments.view_experiment"),
    "experiments:metric-create": Row("experiments.change_experiment"),
    "experiments:metric-detail": Row("experiments.view_experiment", arguments=METRIC),
    "experiments:metric-edit": Row("experiments.change_experiment", arguments=METRIC),
    "experiments:metric-survey": Row("experiments.view_experiment", "post", METRIC),
    "experiments:metric-publish": Row("experiments.change_experiment", "post", METRIC),
    "experiments:metric-discard": Row("experiments.change_experiment", "post", METRIC),
    "experiments:alert-list": Row("experiments.view_experiment"),
    "experiments:recipient-add": Row("experiments.change_recipient", "post"),
    "experiments:recipient-remove": Row("experiments.change_recipient", "post", {"recipient_id": "1"}),
    "experiments:digest-invite": Row("experiments.change_recipient", "post"),
    "experiments:digest-confirm": Row(PUBLIC, arguments={"token": "wrong"}),
    "experiments:digest-unsubscribe": Row(PUBLIC, arguments={"token": "wrong"}),
    "experiments:experiment-create": Row("experiments.add_experiment"),
    "experiments:experiment-edit": Row("experiments.change_experiment", arguments=EXPERIMENT),
    "experiments:experiment-detail": Row("experiments.view_experiment", arguments=EXPERIMENT),
    "experiments:experiment-report": Row("experiments.view_experiment", arguments=EXPERIMENT),
    "experiments:experiment-table": Row(
        "experiments.view_experiment", arguments=EXPERIMENT | {"table": "results", "extension": "csv"}
    ),
    "experiments:experiment-certificate": Row("experiments.view_experiment", arguments=EXPERIMENT),
    "experiments:experiment-refresh": Row("experiments.view_experiment", "post", EXPERIMENT),
    "experiments:force-arm": Row(PUBLIC, arguments={"token": "wrong"}),
    "experiments:experiment-traffic": Row("experiments.launch_experiment", arguments=EXPERIMENT),
    "experiments:experiment-decide": Row("experiments.decide_experiment", arguments=EXPERIMENT),
    "experiments:experiment-revert": Row("experiments.decide_experiment", arguments=EXPERIMENT),
    "experiments:experiment-transition": Row(
        "experiments.launch_experiment", arguments=EXPERIMENT | {"transition": "pause"}
    ),
    "recommender:strategy-list": Row("recommender.view_strategy"),
    "recommender:strategy-detail": Row("recommender.view_strategy", arguments=STRATEGY),
    "recommender:strategy-new": Row("recommender.change_strategy"),
    "recommender:strategy-edit": Row("recommender.change_strategy", arguments=STRATEGY),
    "recommender:strategy-preview": Row("recommender.change_strategy", "post"),
    "recommender:strategy-compare": Row("recommender.view_strategy"),
    "recommender:strategy-train": Row("recommender.train_strategy", "post", STRATEGY),
    "recommender:strategy-roll-back": Row("recommender.train_strategy", arguments=STRATEGY),
    "recommender:model-detail": Row("recommender.view_strategy", arguments=STRATEGY | {"model_id": "1"}),
    "recommender:model-publish": Row("recommender.train_strategy", arguments=STRATEGY | {"model_id": "1"}),
    "recommender:user-detail": Row("recommender.view_strategy", arguments={"user_id": "1"}),
    "marketing:home": Row(SIGNED_IN),
    "marketing:demo-progress": Row(SIGNED_IN),
    "marketing:demo-remove": Row(SUPERUSER),
    "marketing:campaign-list": Row("marketing.view_campaign"),
    "marketing:campaign-create": Row("marketing.add_campaign"),
    "marketing:campaign-panel": Row("marketing.add_campaign", "post"),
    "marketing:campaign-detail": Row("marketing.view_campaign", arguments=CAMPAIGN),
    "marketing:campaign-edit": Row("marketing.change_campaign", arguments=CAMPAIGN),
    "marketing:campaign-result": Row("marketing.view_campaign", arguments=CAMPAIGN),
    "marketing:campaign-preview": Row("marketing.view_campaign", arguments=CAMPAIGN | {"arm_key": "personal"}),
    "marketing:campaign-review": Row("marketing.view_campaign", arguments=CAMPAIGN),
    "marketing:campaign-change": Row("marketing.view_campaign", arguments=CAMPAIGN | {"change_id": "1"}),
    "marketing:review-policy": Row("marketing.view_campaign"),
    "marketing:campaign-preview-frame": Row("marketing.view_campaign", arguments=CAMPAIGN | {"arm_key": "personal"}),
    "marketing:campaign-test-send": Row("marketing.change_campaign", "post", CAMPAIGN | {"arm_key": "personal"}),
    "marketing:sender-list": Row("marketing.view_campaign"),
    "marketing:sender-add": Row("marketing.change_sender"),
    "marketing:sender-check": Row("marketing.change_sender", arguments={"sender_id": "1"}, method="post"),
    "marketing:sender-edit": Row("marketing.change_sender", arguments={"sender_id": "1"}),
    "marketing:campaign-resolve": Row("marketing.launch_campaign", "post", CAMPAIGN),
    "marketing:campaign-transition": Row("marketing.launch_campaign", arguments=CAMPAIGN | {"name": "pause"}),
    "marketing:segment-list": Row("marketing.view_segment"),
    "marketing:segment-affinity": Row("marketing.add_segment"),
    "marketing:segment-new": Row("marketing.add_segment"),
    "marketing:segment-detail": Row("marketing.view_segment", arguments={"slug": "matrix"}),
    "marketing:segment-edit": Row("marketing.change_segment", arguments={"slug": "matrix"}),
    "marketing:segment-builder": Row("marketing.view_segment", "post"),
    "marketing:segment-count": Row("marketing.view_segment", "post"),
    "marketing:segment-overlap": Row("marketing.view_segment", arguments={"slug": "matrix"}),
    "marketing:segment-refresh": Row("marketing.change_segment", "post", {"slug": "matrix"}),
    "marketing:segment-archive": Row("marketing.change_segment", arguments={"slug": "matrix"}),
    "marketing:segment-list-new": Row("marketing.add_segment"),
    "marketing:segment-restore": Row("marketing.change_segment", "post", {"slug": "matrix"}),
    "marketing:segment-export": Row("marketing.view_segment", "post", {"slug": "matrix"}),
    "marketing:segment-upload": Row("marketing.change_segment", "post", {"slug": "matrix"}),
    "marketing:segment-imports": Row("marketing.view_segment", arguments={"slug": "matrix"}),
    "marketing:segment-rejected": Row("marketing.change_segment", arguments={"slug": "matrix", "run_id": "1"}),
    "marketing:segment-why": Row("marketing.view_segment", arguments={"slug": "matrix", "public_id": "PROFILE"}),
    "marketing:profile-list": Row("marketing.view_profile"),
    "marketing:trait-list": Row("marketing.view_profile"),
    "marketing:trait-new": Row("marketing.add_traitdefinition"),
    "marketing:profile-detail": Row("marketing.view_profile", arguments={"public_id": "PROFILE"}),
    "marketing:page": Row(PUBLIC, arguments=CAMPAIGN),
    "marketing:page-slot": Row(PUBLIC, arguments=CAMPAIGN),
    "marketing:follow": Row(PUBLIC, arguments={"token": "wrong"}),
    "marketing:mail-follow": Row(PUBLIC, arguments={"token": "wrong"}),
    "marketing:unsubscribe": Row(PUBLIC, arguments={"token": "wrong"}),
    "marketing:privacy": Row("marketing.view_profile"),
    "marketing:fairness": Row("marketing.view_profile"),
    "marketing:me-start": Row(PUBLIC),
    "marketing:me-link": Row(PUBLIC),
    "marketing:me-erased": Row(PUBLIC),
    "marketing:me-confirm": Row(PUBLIC, arguments={"token": "wrong"}),
    "marketing:me": Row(PUBLIC, arguments={"token": "wrong"}),
    "marketing:me-history": Row(PUBLIC, arguments={"token": "wrong"}),
    "marketing:me-data": Row(PUBLIC, arguments={"token": "wrong"}),
    "marketing:me-download": Row(PUBLIC, arguments={"token": "wrong", "name": "wrong"}),
    "marketing:me-erase": Row(PUBLIC, "post", {"token": "wrong"}),
    "marketing:provider-events": Row(PUBLIC, "post", {"provider": "none"}),
    "marketing:shop": Row(PUBLIC),
    "marketing:shop-item": Row(PUBLIC, arguments={"item_id": "item-1"}),
    "marketing:shop-be": Row("marketing.view_profile", "post"),
    "marketing:consent": Row(PUBLIC, "post"),
    "marketing:shop-buy": Row(PUBLIC, "post", {"item_id": "item-1"}),
    "webapi:schema": Row(PUBLIC),
    "webapi:docs": Row(PUBLIC),
    "webapi:nothing": Row(PUBLIC),
}


def _names(resolver: URLResolver, namespace: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLPattern):
            yield f"{namespace}{pattern.name}"
        elif str(pattern.app_name).endswith("-api"):
            continue  # tests/webapi/test_permissions.py has a row for each method
        elif pattern.app_name != "admin":  # Django's own: every view of it demands a member of staff
            yield from _names(pattern, f"{pattern.namespace}:" if pattern.namespace else namespace)


NAMES = sorted(set(_names(get_resolver())))


@pytest.fixture
def world(db: None) -> str:
    """One of each thing that a URL can name; returns the profile's public id."""
    prepare(at=NOW)
    make_catalogue()
    make_campaign(status="running", slug="matrix")
    make_segment({"all": []}, slug="matrix")
    return str(make_profile(user_id="matrix").public_id)


def _may(row: Row, role: str) -> bool:
    if row.allowed == PUBLIC or role == SUPERUSER:
        return True
    if row.allowed == SIGNED_IN:
        return role != "anonymous"
    return row.allowed in ROLES.get(role, ())


def test_matrix__urls_and_rows__are_the_same_set() -> None:
    assert set(NAMES) == set(MATRIX)


@pytest.mark.parametrize("role", ["anonymous", *ROLES, SUPERUSER])
def test_matrix__role__reaches_what_its_row_says(world: str, role: str) -> None:
    wrong = []
    for name, row in MATRIX.items():
        client = Client()
        if role == SUPERUSER:
            client.force_login(User.objects.filter(is_superuser=True).first() or User.objects.create_superuser("root"))
        elif role != "anonymous":
            client.force_login(User.objects.filter(groups__name=role).first() or make_user(role=role))
        arguments = {key: world if value == "PROFILE" else value for key, value in row.arguments.items()}
        answer = getattr(client, row.method)(reverse(name, kwargs=arguments))
        is_refused = answer.status_code == 403 or (
            answer.status_code == 302 and answer.headers["Location"].startswith("/accounts/login/?next=")
        )
        if is_refused == _may(row, role) or answer.status_code >= 500:
            wrong.append(f"{name}: {answer.status_code} for {role}, row says {row.allowed}")
    assert wrong == []


def test_admin__without_staff__is_refused(world: str) -> None:
    client = Client()
    client.force_login(make_user(role="marketer"))
    assert client.get("/admin/").status_code == 302
