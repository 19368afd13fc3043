"""What the law and the mailbox providers ask of e-mail; the numbers are those of the compliance list."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage

import pytest
from django.core import signing
from django.test import Client
from django.utils import timezone

from marketing.choices import Purpose
from marketing.models import Consent, Delivery, Event, Profile
from marketing.selectors.consent import has_consent
from marketing.services.campaigns import CampaignDraft, draft_of
from marketing.services.checks import launch_checks
from marketing.services.privacy import erase_profile
from marketing.services.sending import audience, dispatch
from marketing.services.sending.tokens import CLICK_SALT, MailClick, click_url, read_unsubscribe, unsubscribe_url
from tests.factories.marketing import NOW
from tests.factories.sending import LETTER, make_mailing, make_recipient
from tests.marketing.sending.conftest import Mailbox

pytestmark = pytest.mark.django_db

BOTH = (replace(LETTER, key="control", name="Usual letter", headline="New", is_control=True), LETTER)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def reader() -> Profile:
    return make_recipient(email="ada@example.org", country="DE")


@pytest.fixture
def mail(mailbox: Mailbox, reader: Profile) -> EmailMessage:
    make_mailing(arms=BOTH)
    dispatch.send_due(clock=lambda: NOW, seconds=30)
    (taken,) = mailbox.taken
    return taken


def path_of(mail: EmailMessage) -> str:
    found = re.fullmatch(r"<https://shop\.example(/\S+)>", mail["List-Unsubscribe"].strip())
    assert found is not None
    return found[1]


def withdrawals(reader: Profile) -> int:
    return Consent.objects.filter(profile=reader, purpose=Purpose.MARKETING_EMAIL, granted=False).count()


def test_compliance_01__every_message__has_both_headers(mail: EmailMessage) -> None:
    assert mail["List-Unsubscribe"].strip().startswith("<https://")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize("form", [True, False])
def test_compliance_02__one_click_post__unsubscribes_without_anything_else(
    mail: EmailMessage, reader: Profile, form: bool
) -> None:
    provider = Client(enforce_csrf_checks=True)
    if form:
        answer = provider.post(
            path_of(mail), "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded"
        )
    else:
        answer = provider.post(path_of(mail), ONE_CLICK)  # multipart
    assert answer.status_code == 200
    assert not has_consent(profile_id=reader.pk, purpose=Purpose.MARKETING_EMAIL)
    reader.refresh_from_db()
    assert not reader.marketing_ok
    assert Event.objects.filter(profile=reader, type__name="Unsubscribed").count() == 1


@pytest.mark.parametrize("method", ["get", "head"])
def test_compliance_03__get_and_head__change_nothing(mail: EmailMessage, reader: Profile, method: str) -> None:
    answer = getattr(Client(), method)(path_of(mail))
    assert answer.status_code == 200
    assert withdrawals(reader) == 0
    assert has_consent(profile_id=reader.pk, purpose=Purpose.MARKETING_EMAIL)


def test_compliance_04__token__is_signed_and_names_nobody(mail: EmailMessage, reader: Profile) -> None:
    path = path_of(mail)
    assert "ada" not in path
    token = path.split("/")[2]
    for place in (0, len(token) // 2, len(token) - 1):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert Client().post(f"/unsubscribe/{changed}/", ONE_CLICK).status_code == 404
    assert withdrawals(reader) == 0
    unknown = unsubscribe_url(10**9).removeprefix("https://shop.example")
    answers = [Client().post(address, ONE_CLICK).content.decode() for address in (path, unknown, path)]
    # The rest of the page holds a token of its own for the switch of the language.
    assert len({answer.partition("<main")[2].partition("</main>")[0] for answer in answers}) == 1


def test_compliance_05__again_and_after_erasure__is_still_200(mail: EmailMessage, reader: Profile) -> None:
    path = path_of(mail)
    assert [Client().post(path, ONE_CLICK).status_code for _ in range(2)] == [200, 200]
    assert withdrawals(reader) == 1
    erase_profile(profile_id=reader.pk, at=NOW)
    assert Client().post(path, ONE_CLICK).status_code == 200
    assert not Profile.objects.filter(pk=reader.pk).exists()


def test_compliance_07__line_breaks_in_a_subject__add_no_header(mailbox: Mailbox, reader: Profile) -> None:
    attack = "Hi {{ person.country }}\r\nBcc: eve@example.org"
    make_mailing(arms=tuple(replace(arm, subject=attack) for arm in BOTH))
    dispatch.send_due(clock=lambda: NOW, seconds=30)
    (mail,) = mailbox.taken
    assert mail["Bcc"] is None
    assert mail["Subject"] == "Hi DE Bcc: eve@example.org"
    assert mail["List-Id"]


def test_compliance_08__unsubscribed_before_the_handing_over__gets_no_message(
    mailbox: Mailbox, reader: Profile
) -> None:
    audience.freeze(campaign_id=make_mailing(arms=BOTH).pk, at=NOW)
    row = Delivery.objects.get()
    Client().post(unsubscribe_url(row.pk).removeprefix("https://shop.example"), ONE_CLICK)
    dispatch.send_due(clock=timezone.now, seconds=30)
    assert mailbox.taken == []


def test_compliance_10__message__has_what_rfc_5322_asks_for(mail: EmailMessage) -> None:
    assert re.fullmatch(r"<\d+\.[0-9a-f]{24}@shop\.example>", mail["Message-ID"])
    assert len(mail.get_all("From", [])) == 1
    assert mail["Date"].datetime is not None
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sender_id": None}, "postal address"),
        ({"arms": (BOTH[0], replace(LETTER, subject=""))}, "No subject yet: Letter"),
        ({"arms": (BOTH[0], replace(LETTER, subject="Re: your order"))}, "pretends to be an answer"),
        ({"arms": (BOTH[0], replace(LETTER, body="{{ person.x"))}, "cannot be read"),
        ({"arms": (BOTH[0], replace(LETTER, body="{{ order.total }}"))}, "names what no message has: order.total"),
    ],
)
def test_compliance_11__draft_that_misleads_or_hides_the_sender__cannot_start(
    change: dict[str, object], said: str
) -> None:
    draft: CampaignDraft = draft_of(campaign=make_mailing(status="draft", arms=BOTH))
    assert all(check.is_done for check in launch_checks(draft=draft) if check.code == "mail")
    (check,) = [one for one in launch_checks(draft=replace(draft, **change)) if one.code == "mail"]  # type: ignore[arg-type]  # any field
    assert said in check.reason


def test_compliance_13__click__leads_where_the_database_says(mail: EmailMessage, reader: Profile) -> None:
    text = mail.get_body(("html",))
    assert text is not None
    paths = re.findall(r"https://shop\.example(/m/[^\"]+)", text.get_content())
    assert len(set(paths)) == 4  # three items and the button
    for path in set(paths):
        plain = Client().get(path)
        assert plain.status_code == 302
        assert plain["Location"].startswith("/shop/")
        assert plain["Referrer-Policy"] == "no-referrer"
        for trick in ("?next=//evil.example", "?url=https://evil.example", "?item=%5Cevil"):
            assert Client().get(path + trick)["Location"] == plain["Location"]
    forged = click_url(MailClick(10**9, 10**9, "", 0, "")).removeprefix("https://shop.example")
    assert Client().get(forged).status_code == 404
    assert Client().get("/m/" + signing.dumps([1, 2, 3, 4, 5], salt="other") + "/").status_code == 404
    assert signing.loads(paths[0].split("/")[2], salt=CLICK_SALT)[0] == Delivery.objects.get().pk


def test_compliance_14__scanners__are_kept_apart(mail: EmailMessage, reader: Profile) -> None:
    text = mail.get_body(("html",))
    assert text is not None
    path = re.findall(r"https://shop\.example(/m/[^\"]+)", text.get_content())[0]
    Delivery.objects.update(status_at=timezone.now() - timedelta(hours=1))
    Client().head(path)
    Client(HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux) Chrome/130 Safari/537.36").get(path)
    Delivery.objects.update(status_at=timezone.now())
    Client(HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux) Chrome/130 Safari/537.36").get(path)
    names = Event.objects.filter(profile=reader).order_by("pk").values_list("type__name", "props")
    found = [
        (name, json.loads(props).get("suspicion", "") if isinstance(props, str) else props.get("suspicion", ""))
        for name, props in names
    ]
    assert found == [
        ("Recommendation Click Suspected", "head"),
        ("Recommendation Clicked", ""),
        ("Recommendation Click Suspected", "too_soon"),
    ]


def test_tokens__round_trip() -> None:
    assert read_unsubscribe(unsubscribe_url(7).split("/")[-2]) == 7
