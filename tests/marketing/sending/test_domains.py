"""The check of a sender's domain from the button to the advice in the form; who asks the DNS is replaced."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from marketing import tasks
from marketing.channels.domain import NoAnswer
from marketing.models import Sender
from marketing.services.advice import advise
from marketing.services.campaigns import CampaignDraft
from marketing.services.sending.domains import check_sender
from tests.factories.campaigns import make_user
from tests.factories.marketing import NOW
from tests.factories.sending import make_sender

pytestmark = pytest.mark.django_db


class Bare:
    """Knows no record of any name."""

    def texts(self, name: str) -> Sequence[str]:
        return ()


class Silent:
    def texts(self, name: str) -> Sequence[str]:
        raise NoAnswer(name)


@pytest.fixture
def marketer() -> Client:
    client = Client()
    client.force_login(make_user())
    return client


def ask(monkeypatch: pytest.MonkeyPatch, resolver: Bare | Silent) -> None:
    monkeypatch.setattr("marketing.services.sending.domains._name_servers", lambda: resolver)


def advice(sender: Sender) -> list[str]:
    draft = CampaignDraft(
        slug="a",
        name="A",
        goal_metric="conversion",
        arms=(),
        kind="email",
        sender_id=sender.pk,
        people_per_day=1,
        mde=0.1,
    )
    return [one.text for one in advise(draft=draft)]


def test_check_sender__nothing_in_the_dns__is_advice_in_the_form_and_on_the_page(
    marketer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = make_sender()
    listed = reverse("marketing:sender-list")
    assert advice(sender) == []
    assert "not looked up" in marketer.get(listed).content.decode()
    ask(monkeypatch, Bare())
    assert marketer.post(reverse("marketing:sender-check", args=[sender.pk])).status_code == 302
    said = advice(sender)
    assert [text.split()[0] for text in said] == ["shop.example", "Your", "There"]
    assert "List-Unsubscribe-Post" in said[1]
    page = marketer.get(listed).content.decode()
    assert "shop.example has no SPF record" in page
    assert "Looked up in the DNS on" in page


def test_check_sender__get__is_refused(marketer: Client) -> None:
    assert marketer.get(reverse("marketing:sender-check", args=[make_sender().pk])).status_code == 405


def test_check_sender__dns_is_silent__keeps_what_was_known(marketer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = make_sender()
    assert check_sender(sender_id=sender.pk, at=NOW, resolver=Bare())
    ask(monkeypatch, Silent())
    page = marketer.post(reverse("marketing:sender-check", args=[sender.pk]), follow=True)
    assert "did not answer" in page.content.decode()
    sender.refresh_from_db()
    assert sender.domain_checked_at == NOW
    with pytest.raises(CommandError, match="about 1 of 1 senders"):
        call_command("check_senders", stdout=StringIO())


def test_check_senders__command_and_task__check_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = make_sender()
    ask(monkeypatch, Bare())
    tasks.check_senders()
    sender.refresh_from_db()
    assert sender.domain_findings is not None
    assert {finding["code"] for finding in sender.domain_findings} == {"no_spf", "unknown_dkim", "no_dmarc"}
    out = StringIO()
    call_command("check_senders", stdout=out)
    assert "news@shop.example: shop.example has no SPF record" in out.getvalue()


def test_sender_form__another_address__forgets_the_findings(marketer: Client) -> None:
    sender = make_sender()
    check_sender(sender_id=sender.pk, at=NOW, resolver=Bare())
    fields = {"name": "Shop", "email": "news@shop.example", "postal_address": "1 High Street"}
    url = reverse("marketing:sender-edit", args=[sender.pk])
    marketer.post(url, fields)
    sender.refresh_from_db()
    assert sender.domain_findings is not None
    assert marketer.post(url, {**fields, "dkim_selector": "no selector!"}).status_code == 422
    assert marketer.post(url, {**fields, "dkim_selector": "Mail2026"}).status_code == 302
    sender.refresh_from_db()
    assert (sender.dkim_selector, sender.domain_findings, sender.domain_checked_at) == ("mail2026", None, None)
