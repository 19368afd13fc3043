"""Statement 25: nobody gets marketing before the mailbox was shown to be theirs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core import mail
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks

from marketing.choices import IdentityKind, Purpose
from marketing.models import Consent, Profile
from marketing.selectors.consent import has_consent
from marketing.services.confirmation import send_question
from marketing.services.profiles import create_profile
from marketing.services.sending.audience import audience
from marketing.views.visitor import VISITOR_COOKIE, remember_visitor
from tests.factories.campaigns import BROWSER
from tests.factories.marketing import give_consent

pytestmark = pytest.mark.django_db
TODAY = datetime(2026, 11, 24, 12, tzinfo=UTC)
WANTS = {"marketing_email": "on", "most_mails": "4"}


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketing.tasks.send_confirmation.delay", lambda pk: send_question(profile_id=pk))


@pytest.fixture
def eve() -> Profile:
    identities = [(IdentityKind.ANONYMOUS, "browser-1"), (IdentityKind.EMAIL, "eve@example.org")]
    return create_profile(identities=identities, traits={"email": "eve@example.org"}, at=TODAY - timedelta(days=1))


@pytest.fixture
def browser(eve: Profile) -> Client:
    """A browser that we know; whoever sits before it may not be the one who reads the mailbox."""
    response = HttpResponse()
    remember_visitor(response, "browser-1")
    client = Client(HTTP_USER_AGENT=BROWSER)
    client.cookies[VISITOR_COOKIE] = response.cookies[VISITOR_COOKIE].value
    return client


def own_page(browser: Client) -> str:
    return browser.get("/me/")["Location"]


def says_yes(browser: Client, capture: DjangoCaptureOnCommitCallbacks) -> str:
    """Tick the box in the browser, and return the path of the link that came by e-mail."""
    with capture(execute=True):
        assert browser.post(own_page(browser), WANTS).status_code == 302
    found = re.search(r"https?://[^/]+(/me/confirm/\S+)", str(mail.outbox[-1].body))
    assert found is not None
    return found[1]


def is_in_audience(profile: Profile) -> bool:
    return audience(segment_id=None, purposes=()).filter(pk=profile.pk).exists()


@time_machine.travel(TODAY, tick=False)
def test_compliance_25__yes_in_a_browser__counts_once_the_link_was_followed_and_posted(
    browser: Client, eve: Profile, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    path = says_yes(browser, django_capture_on_commit_callbacks)
    assert mail.outbox[-1].to == ["eve@example.org"]
    assert "eve" not in path
    assert not has_consent(profile_id=eve.pk, purpose=Purpose.MARKETING_EMAIL)
    scanner = Client()
    assert scanner.get(path).status_code == scanner.head(path).status_code == 200
    assert not is_in_audience(eve)
    assert "it is confirmed" in scanner.post(path).content.decode()
    assert is_in_audience(eve)
    statement = Consent.objects.filter(purpose=Purpose.MARKETING_EMAIL).order_by("pk").last()
    assert statement is not None
    assert statement.evidence["most_mails"] == 4
    # The link confirmed that one statement: it never does so again, not even after a withdrawal.
    assert scanner.post(path).status_code == 404
    give_consent(eve, granted=False, at=TODAY + timedelta(minutes=1))
    assert scanner.post(path).status_code == 404
    assert not is_in_audience(eve)


def test_compliance_25__link__expires_and_cannot_be_made_up(
    browser: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with time_machine.travel(TODAY, tick=False):
        path = says_yes(browser, django_capture_on_commit_callbacks)
        assert Client().get(path[:-3] + "xx/").status_code == 404
    with time_machine.travel(TODAY + timedelta(days=7, seconds=1), tick=False):
        assert Client().post(path).status_code == 404


@time_machine.travel(TODAY, tick=False)
def test_compliance_25__unticked_or_another_address__the_link_confirms_nothing(
    browser: Client, eve: Profile, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    first = says_yes(browser, django_capture_on_commit_callbacks)
    with time_machine.travel(TODAY + timedelta(minutes=1), tick=False):
        browser.post(own_page(browser), {})
        assert Client().post(first).status_code == 404
    with time_machine.travel(TODAY + timedelta(minutes=2), tick=False):
        second = says_yes(browser, django_capture_on_commit_callbacks)
        Profile.objects.filter(pk=eve.pk).update(email="mallory@example.org")
        assert Client().post(second).status_code == 404
    assert not has_consent(profile_id=eve.pk, purpose=Purpose.MARKETING_EMAIL)


def test_send_confirmation_command__nobody_waits__says_so(eve: Profile) -> None:
    with pytest.raises(CommandError, match="Nobody waits"):
        call_command("send_confirmation", str(eve.pk))
