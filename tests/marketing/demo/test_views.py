from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from marketing import tasks
from marketing.models import Profile
from marketing.services import jobs
from tests.factories.campaigns import make_user

pytestmark = pytest.mark.django_db

PROGRESS = reverse("marketing:demo-progress")
REMOVE = reverse("marketing:demo-remove")


@pytest.fixture
def superuser() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def marketer() -> Client:
    client = Client()
    client.force_login(make_user())
    return client


def make_demo_person() -> Profile:
    return Profile.objects.create(is_demo=True, sample_bucket=0, created_at=timezone.now())


def test_progress__running__asks_again_every_two_seconds(marketer: Client) -> None:
    jobs.begin(name="demo", total=1, at=timezone.now())
    jobs.report(name="demo", step="Meeting the people", done=30, total=120, at=timezone.now())
    response = marketer.get(PROGRESS)
    text = response.content.decode()
    assert 'hx-trigger="every 2s"' in text
    assert f'hx-get="{PROGRESS}?was=running"' in text
    assert "Meeting the people" in text
    assert 'value="25"' in text
    assert "HX-Redirect" not in response


@pytest.mark.parametrize("was", ["running", "waiting"])
def test_progress__just_finished__loads_the_page_anew_and_stops_asking(marketer: Client, was: str) -> None:
    jobs.begin(name="demo", total=1, at=timezone.now())
    jobs.finish(name="demo", at=timezone.now())
    response = marketer.get(PROGRESS, {"was": was})
    assert response["HX-Redirect"] == reverse("marketing:home")
    assert "hx-trigger" not in response.content.decode()
    assert "HX-Redirect" not in marketer.get(PROGRESS)


def test_progress__removal_asked_for__waits_for_the_worker(marketer: Client) -> None:
    make_demo_person()
    response = marketer.get(PROGRESS, {"was": "waiting"})
    assert f'hx-get="{PROGRESS}?was=waiting" hx-trigger="every 2s"' in response.content.decode()
    assert "HX-Redirect" not in response
    jobs.begin(name="demo", total=1, at=timezone.now())
    jobs.report(name="demo", step="Removing the demo world", done=0, total=1, at=timezone.now())
    text = marketer.get(PROGRESS, {"was": "waiting"}).content.decode()
    assert f'hx-get="{PROGRESS}?was=running"' in text
    assert "is being removed" in text


def test_progress__failed__says_why(marketer: Client) -> None:
    jobs.begin(name="demo", total=1, at=timezone.now())
    jobs.fail(name="demo", error="disk <full>", at=timezone.now())
    text = marketer.get(PROGRESS).content.decode()
    assert "disk &lt;full&gt;" in text
    assert "hx-trigger" not in text


def test_progress__demo_is_there__offers_the_removal_to_superusers_only(marketer: Client, superuser: Client) -> None:
    make_demo_person()
    assert REMOVE in superuser.get(PROGRESS).content.decode()
    assert REMOVE not in marketer.get(PROGRESS).content.decode()


def test_progress__nothing_to_say__is_hidden(marketer: Client) -> None:
    assert "hidden" in marketer.get(PROGRESS).content.decode()


def test_progress__costs__few_queries(marketer: Client, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(6):
        marketer.get(PROGRESS)


def test_progress__signed_out_or_posted__is_refused(client: Client, marketer: Client) -> None:
    assert client.get(PROGRESS).status_code == 302
    assert marketer.post(PROGRESS).status_code == 405


def test_remove__superuser__confirms_and_the_worker_removes(
    superuser: Client, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    sent = []
    monkeypatch.setattr(tasks.remove_demo_world, "delay", lambda: sent.append(True))
    make_demo_person()
    assert superuser.get(REMOVE).status_code == 200
    assert sent == []
    with django_capture_on_commit_callbacks(execute=True):
        response = superuser.post(REMOVE)
    assert response["Location"] == reverse("marketing:home") + "?demo=removing"
    assert sent == [True]
    home = superuser.get(response["Location"]).content.decode()
    assert f'hx-get="{PROGRESS}?was=waiting"' in home


def test_remove__others__have_no_access(client: Client, marketer: Client) -> None:
    assert client.post(REMOVE).status_code == 302
    assert marketer.get(REMOVE).status_code == 403
    assert marketer.post(REMOVE).status_code == 403


def test_remove_task__removes__and_is_quiet_while_another_process_works(caplog: pytest.LogCaptureFixture) -> None:
    make_demo_person()
    jobs.begin(name="demo", total=1, at=timezone.now())
    tasks.remove_demo_world()
    assert Profile.objects.count() == 1
    jobs.finish(name="demo", at=timezone.now())
    tasks.remove_demo_world()
    assert Profile.objects.count() == 0
