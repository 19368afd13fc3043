"""Point 15: personal data is in no log, in no address of a page and on no error page."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from marketing.services.preferences import preferences_path
from marketing.services.sending.tokens import MailClick, click_url, unsubscribe_url
from tests.factories.campaigns import make_user
from tests.factories.marketing import make_profile

pytestmark = pytest.mark.django_db
ADDRESS = "ann.zzyzx@example.org"
ROOT = Path(__file__).parents[3]


def test_error_page__something_breaks__tells_the_log_and_nobody_of_whom(
    stream: io.StringIO, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEBUG = False
    profile = make_profile(email=ADDRESS)

    def breaks(**_: object) -> None:
        raise ValueError(f"no choice for {ADDRESS}")

    monkeypatch.setattr("marketing.views.person.current_choice", breaks)
    client = Client(raise_request_exception=False)
    answer = client.get(preferences_path(public_id=profile.public_id))
    assert answer.status_code == 500
    assert ADDRESS not in answer.content.decode()
    assert "Traceback" not in answer.content.decode()
    assert "[address]" in stream.getvalue()
    assert ADDRESS not in stream.getvalue()


def test_addresses_of_pages__links_for_people__name_nobody() -> None:
    profile = make_profile(user_id="zzyzx-7", email=ADDRESS)
    links = [
        preferences_path(public_id=profile.public_id),
        preferences_path(public_id=profile.public_id, has_rights=True),
        unsubscribe_url(7),
        click_url(MailClick(7, 1, "", 0, "")),
    ]
    for link in links:
        for trace in (ADDRESS, "ann", "zzyzx", "%40", "@"):
            assert trace not in link


def test_addresses_of_pages__searching_people__is_posted(client: Client) -> None:
    make_profile(user_id="zzyzx-7", email=ADDRESS)
    client.force_login(make_user(role="marketer"))
    found = client.post(reverse("marketing:profile-list"), {"q": ADDRESS})
    assert ADDRESS in found.content.decode()
    assert found.request["QUERY_STRING"] == ""
    for template in (ROOT / "templates/marketing").rglob("*.html"):
        for form in re.findall(r'<form[^>]*method="get".*?</form>', template.read_text(), re.DOTALL):
            assert not re.search(r'name="(email|identity|address|q)"', form), template


def test_compliance_17__every_message__names_the_right_to_object() -> None:
    for name in ("message.html", "message.txt"):
        assert "You may object to it at any time." in (ROOT / "templates/marketing/mail" / name).read_text()
    page = Client().get(reverse("marketing:unsubscribe", args=[unsubscribe_url(7).split("/")[-2]])).content.decode()
    assert reverse("marketing:me-link") in page
