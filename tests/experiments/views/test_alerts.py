"""The page of alerts: what happened, who is told, who reads the digest."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from experiments.models import DigestSubscription, Recipient
from experiments.services.alerts import raise_alerts
from experiments.services.recipients import add_recipient, signing_secret
from tests.experiments.services.test_alerts import make_alarming_report
from tests.factories.experiments import STARTED, make_experiment

pytestmark = pytest.mark.django_db
URL = reverse("experiments:alert-list")


def make_client(*names: str) -> Client:
    user = User.objects.create_user("ana")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def editor() -> Client:
    return make_client("view_experiment", "change_recipient")


def test_page__empty__says_so_and_offers_no_form_to_a_reader() -> None:
    page = make_client("view_experiment").get(URL).content.decode()
    assert "Nothing has happened yet" in page
    assert "Nobody is told yet" in page
    assert "Tell this address" not in page


def test_page__alerts__stay_within_the_query_budget(editor: Client) -> None:
    add_recipient(kind="email", address="all@example.com", at=STARTED)
    for _ in range(3):
        raise_alerts(experiment=make_experiment(status="running"), report=make_alarming_report(), at=STARTED)
    with CaptureQueriesContext(connection) as queries:
        page = editor.get(URL).content.decode()
    assert len(queries) <= 10
    assert page.count("people are lost or added on the way") == 3
    assert "all@example.com: Waiting" in page


def test_recipient_add__webhook__shows_its_secret_once(editor: Client) -> None:
    data = {"kind": "webhook", "address": "https://hooks.example.com/a", "kinds": ["srm"]}
    page = editor.post(reverse("experiments:recipient-add"), data, follow=True).content.decode()
    recipient = Recipient.objects.get()
    assert signing_secret(recipient) in page
    assert signing_secret(recipient) not in editor.get(URL).content.decode()
    assert (recipient.kinds, recipient.created_by.username if recipient.created_by else "") == (["srm"], "ana")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"kind": "email", "address": "nobody"}, "no e-mail address"),
        ({"kind": "pigeon", "address": "a@example.com"}, "pigeon"),
        ({"kind": "email", "address": "a@example.com", "experiment": "absent"}, "absent"),
    ],
)
def test_recipient_add__nonsense__is_told(editor: Client, data: dict[str, str], why: str) -> None:
    answer = editor.post(reverse("experiments:recipient-add"), data)
    assert answer.status_code == 422
    assert why in answer.content.decode()
    assert not Recipient.objects.exists()


def test_recipient_remove__is_told_nothing_more(editor: Client) -> None:
    recipient = add_recipient(kind="email", address="all@example.com", at=STARTED)
    url = reverse("experiments:recipient-remove", args=[recipient.pk])
    assert editor.get(url).status_code == 405
    assert "told nothing more" in editor.post(url, follow=True).content.decode()
    editor.post(url)
    assert not Recipient.objects.exists()


def test_digest_invite__address__is_invited_once_confirmed_refused(editor: Client) -> None:
    url = reverse("experiments:digest-invite")
    assert "An invitation goes to" in editor.post(url, {"address": "eva@example.com"}, follow=True).content.decode()
    assert editor.post(url, {"address": "eva"}).status_code == 422
    DigestSubscription.objects.update(confirmed_at=STARTED + timedelta(days=1))
    answer = editor.post(url, {"address": "eva@example.com"})
    assert answer.status_code == 422
    assert "already" in answer.content.decode()


def test_digest_links__forged__are_gone() -> None:
    for name in ("digest-confirm", "digest-unsubscribe"):
        assert Client().get(reverse(f"experiments:{name}", args=["forged"])).status_code == 410
