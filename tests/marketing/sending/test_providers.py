"""A provider with an API: what it answers, and what it reports by webhook."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
import requests
from anymail.exceptions import AnymailAPIError, AnymailRecipientsRefused, AnymailRequestsAPIError
from django.test import Client
from pytest_django.fixtures import Settings

from marketing.channels import Fate, Mail
from marketing.channels.providers import VIEWS, ProviderChannel
from marketing.channels.registry import open_email
from marketing.choices import DeliveryStatus, FeedbackKind, SuppressionReason
from marketing.models import Delivery, MailFeedback, Suppression
from marketing.services.sending import audience
from marketing.services.sending.tokens import message_key
from tests.factories.marketing import NOW
from tests.factories.sending import make_mailing, make_recipient
from tests.marketing.sending.test_dispatch import BOTH

pytestmark = pytest.mark.django_db
MAIL = Mail("news@shop.example", "ada@example.org", "Hi", "Hi", "<p>Hi</p>", "<1@shop.example>", key="1.abc")
SECRET = "hook:secret"


@pytest.fixture
def delivery(settings: Settings) -> Delivery:
    settings.MAIL_PROVIDER, settings.ANYMAIL = "postmark", {"WEBHOOK_SECRET": SECRET}
    make_recipient(email="ada@example.org")
    audience.freeze(campaign_id=make_mailing(arms=BOTH).pk, at=NOW)
    Delivery.objects.update(status=DeliveryStatus.UNCERTAIN)
    return Delivery.objects.get()


def post(body: object, *, provider: str = "postmark", secret: str = SECRET) -> int:
    login = b64encode(secret.encode()).decode()
    answer = Client(enforce_csrf_checks=True).post(
        f"/hooks/mail/{provider}/",
        json.dumps(body),
        content_type="application/json",
        HTTP_AUTHORIZATION=f"Basic {login}",
    )
    return answer.status_code


def bounce(delivery: Delivery | None, kind: str = "HardBounce", details: str = "550 5.1.1 unknown") -> dict[str, Any]:
    metadata = {} if delivery is None else {"delivery": message_key(delivery.pk)}
    return {
        "RecordType": "Bounce",
        "Type": kind,
        "ID": 42,
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "Email": "ada@example.org",
        "Details": details,
        "BouncedAt": "2026-11-24T10:00:00Z",
        "Metadata": metadata,
    }


def test_compliance_12__provider_reports_a_hard_bounce__stops_the_address_once(delivery: Delivery) -> None:
    assert [post(bounce(delivery)), post(bounce(delivery))] == [200, 200]
    assert Suppression.objects.get().reason == SuppressionReason.BOUNCE
    feedback = MailFeedback.objects.get()
    assert (feedback.kind, feedback.source, feedback.campaign_id) == ("hard", "postmark", delivery.campaign_id)
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.SENT  # it had left after all


def test_provider_events__message_not_named__its_word_about_the_address_counts(delivery: Delivery) -> None:
    assert [post(bounce(None)), post(bounce(None))] == [200, 200]
    assert Suppression.objects.count() == MailFeedback.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"Type": "SoftBounce", "Details": "mailbox full"}, FeedbackKind.SOFT),
        ({"Type": "HardBounce", "Details": "550 5.7.1 listed"}, FeedbackKind.BLOCKED),
        ({"Type": "Blocked", "Details": "isp"}, FeedbackKind.BLOCKED),
        ({"RecordType": "SpamComplaint", "Type": "SpamComplaint", "Details": ""}, FeedbackKind.COMPLAINT),
    ],
)
def test_provider_events__other_reports__are_told_apart(
    delivery: Delivery, body: dict[str, str], kind: FeedbackKind
) -> None:
    assert post({**bounce(delivery), **body}) == 200
    assert MailFeedback.objects.get().kind == kind
    assert Suppression.objects.exists() == (kind is FeedbackKind.COMPLAINT)


def test_provider_events__delivered__settles_what_was_uncertain(delivery: Delivery) -> None:
    body = {
        "RecordType": "Delivery",
        "MessageID": "x",
        "Recipient": "ada@example.org",
        "DeliveredAt": "2026-11-24T10:00:00Z",
        "Metadata": {"delivery": message_key(delivery.pk)},
    }
    assert post(body) == 200
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.SENT
    assert not MailFeedback.objects.exists()


def test_provider_events__wrong_secret_other_provider_or_no_report__change_nothing(
    delivery: Delivery, settings: Settings
) -> None:
    assert post(bounce(delivery), secret="hook:wrong") == 400
    assert post(bounce(delivery), provider="mailgun") == 404
    assert post(["no", "report"]) == 400
    assert Client().get("/hooks/mail/postmark/").status_code == 405
    settings.ANYMAIL = {}
    assert post(bounce(delivery)) == 404  # without a secret nobody is believed
    assert not MailFeedback.objects.exists()


def test_views__every_provider__has_its_webhook_in_the_library() -> None:
    from importlib import import_module

    from config.env import MAIL_PROVIDERS

    assert set(VIEWS) == set(MAIL_PROVIDERS)
    signed = {"amazon_ses", "mandrill", "resend"}  # they need a package or a key of their own to be made
    for provider in sorted(set(VIEWS) - signed):
        assert hasattr(import_module(f"anymail.webhooks.{provider}"), VIEWS[provider])


class _Failing:
    def __init__(self, error: Exception) -> None:
        self.error, self.connection = error, None

    def open(self) -> bool:
        return True

    def close(self) -> None:
        return None

    def send_messages(self, messages: list[Any]) -> int:
        assert messages[0].metadata == {"delivery": "1.abc"}
        raise self.error


def _answered(status: int) -> AnymailRequestsAPIError:
    response = requests.Response()
    response.status_code = status
    return AnymailRequestsAPIError("no", response=response)


class _NoConnection(AnymailRequestsAPIError, requests.ConnectTimeout):  # type: ignore[misc]  # the library is untyped
    """What anymail makes of a connection that does not come about."""


class _Broken(AnymailRequestsAPIError, requests.ReadTimeout):  # type: ignore[misc]  # the library is untyped
    """What anymail makes of an answer that does not come."""


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (_answered(422), Fate.REJECTED),
        (AnymailRecipientsRefused("refused"), Fate.REJECTED),
        (_answered(429), Fate.DOWN),
        (_answered(401), Fate.DOWN),
        (_answered(503), Fate.UNKNOWN),
        (AnymailAPIError("what"), Fate.UNKNOWN),
        (_NoConnection("no"), Fate.DOWN),
        (_Broken("no"), Fate.UNKNOWN),
    ],
)
def test_provider_channel__what_the_api_answers__is_told_apart(error: Exception, fate: Fate) -> None:
    channel = ProviderChannel()
    channel._backend = _Failing(error)
    assert channel.send(MAIL).fate is fate


def test_open_email__provider_configured__uses_its_api(settings: Settings) -> None:
    assert not isinstance(open_email(), ProviderChannel)
    settings.MAIL_PROVIDER = "postmark"
    settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "x"}
    settings.EMAIL_BACKEND = "anymail.backends.postmark.EmailBackend"
    assert isinstance(open_email(), ProviderChannel)
