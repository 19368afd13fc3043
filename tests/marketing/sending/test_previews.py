"""A message before it goes: as one person, in one's language, as a test to oneself; nothing is counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.urls import reverse

from experiments.models import Exposure
from marketing.choices import Sensitivity, TraitType
from marketing.errors import CannotSendTest, CannotTransition
from marketing.forms.words import read_words, write_words
from marketing.models import Campaign, ChangeLog, Delivery, Event
from marketing.selectors.campaigns import Words
from marketing.services import lifecycle
from marketing.services.advice import advise
from marketing.services.campaigns import draft_of
from marketing.services.experience import serve
from marketing.services.profiles import declare_trait
from marketing.services.sending.preview import preview_mail, send_test
from recommender.models import Slate
from tests.factories.campaigns import CONTROL, PERSONAL, STARTED, make_campaign, make_user, make_visitor
from tests.factories.marketing import NOW
from tests.factories.sending import LETTER, SILENT, make_mailing, make_recipient
from tests.marketing.sending.conftest import Mailbox

pytestmark = pytest.mark.django_db

GERMAN = Words(language="de", subject="Hallo", headline="Für dich", body="<p>Guten Tag</p>")
GREETING = replace(LETTER, subject="Hi {{ person.first_name }}", body="<p>Code {{ person.plan }}</p>")


@pytest.fixture
def ann() -> User:
    user = make_user()
    User.objects.filter(pk=user.pk).update(email="ann@shop.example")
    user.refresh_from_db()
    return user


def a_mailing(**changes: object) -> Campaign:
    return make_mailing(status="draft", slug="spring", **changes)


def test_preview_mail__person__has_their_words_and_says_what_is_empty() -> None:
    declare_trait(key="first_name", name="First name", type_=TraitType.TEXT)
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT, sensitivity=Sensitivity.PROTECTED)
    campaign = a_mailing(arms=(SILENT, GREETING))
    ada = make_recipient(first_name="Ada", plan="secret")
    found = preview_mail(campaign=campaign, arm_key="letter", profile=ada, at=NOW)
    assert found.mail is not None
    assert (found.mail.subject, found.missing) == ("Hi Ada", ("person.plan",))
    assert "secret" not in found.mail.html
    stranger = preview_mail(campaign=campaign, arm_key="letter", profile=None, at=NOW)
    assert stranger.missing == ("person.first_name", "person.plan")
    assert (
        preview_mail(campaign=campaign, arm_key="control", profile=ada, at=NOW).problem == "This arm gets no message."
    )


@pytest.mark.parametrize(
    ("language", "subject"), [("de", "Hallo"), ("de-AT", "Hallo"), ("DE_ch", "Hallo"), ("fr", "Hello"), ("", "Hello")]
)
def test_preview_mail__language__falls_back_to_the_arms_own_words(language: str, subject: str) -> None:
    letter = replace(LETTER, subject="Hello", translations=(GERMAN,))
    campaign = a_mailing(arms=(SILENT, letter))
    found = preview_mail(campaign=campaign, arm_key="letter", profile=make_recipient(language=language), at=NOW)
    assert found.mail is not None
    assert found.mail.subject == subject
    assert ("Guten Tag" in found.mail.html) == (subject == "Hallo")
    assert "Look around" in found.mail.html  # the button has no German words: it keeps its own


def test_serve__person_with_a_language__sees_the_page_in_it() -> None:
    words = Words(language="de", headline="Für dich")
    campaign = make_campaign(arms=(replace(CONTROL, translations=(words,)), replace(PERSONAL, translations=(words,))))
    profile, visitor = make_visitor()
    type(profile).objects.filter(pk=profile.pk).update(language="de")
    assert serve(slug=campaign.slug, visitor=visitor, at=NOW).arm.headline == "Für dich"


def test_submit__answer_or_dead_link_in_another_language__is_refused(ann: User) -> None:
    for words, reason in (
        (replace(GERMAN, subject="AW: Ihre Bestellung"), "pretends to be an answer"),
        (replace(GERMAN, body='<a href="/shop/">x</a>'), "leads nowhere"),
        (replace(GERMAN, body="{{ person.id"), "cannot be read"),
    ):
        campaign = make_mailing(status="draft", arms=(SILENT, replace(LETTER, translations=(words,))))
        with pytest.raises(CannotTransition, match=reason):
            lifecycle.submit(campaign_id=campaign.pk, at=NOW, actor=ann)


def test_advise__loud_subject__says_so_and_blocks_nothing() -> None:
    campaign = a_mailing(arms=(SILENT, replace(LETTER, subject="ACT NOW")))
    said = [(one.arm, one.text) for one in advise(draft=draft_of(campaign=campaign))]
    assert said[0] == ("Letter", "The subject is all capitals: filters take that for spam.")
    assert said[1] == ("Letter", "Filters know “act now” from spam.")
    assert lifecycle.submit(campaign_id=campaign.pk, at=NOW).status == "in_review"


def test_send_test__own_address__arrives_marked_and_nothing_is_counted(mailbox: Mailbox, ann: User) -> None:
    campaign = make_mailing(slug="spring")
    address = send_test(campaign=campaign, arm_key="letter", profile=make_recipient(), actor=ann, at=STARTED)
    (message,) = mailbox.taken
    assert (address, message["To"]) == ("ann@shop.example", "ann@shop.example")
    assert str(message["Subject"]).startswith("[Test] ")
    assert message["X-Holdout-Test"] == "1"
    assert not Delivery.objects.exists()
    assert not Exposure.objects.exists()
    assert not Slate.objects.exists()
    row = ChangeLog.objects.get(transition="test_send")
    assert (row.actor, row.message) == (ann, "letter → ann@shop.example")
    page = message.get_body(("html",))
    assert page is not None
    links = [part.split('"')[0] for part in page.get_content().split('href="')[1:]]
    client = Client()
    for link in links:
        path = link.removeprefix("https://shop.example")
        assert client.get(path).status_code in (200, 302)
        if "unsubscribe" in path:
            client.post(path)
    assert not Event.objects.filter(type__name__in=("Recommendation Clicked", "Unsubscribed")).exists()


def test_send_test__without_an_address_or_refused__says_why(mailbox: Mailbox, ann: User) -> None:
    campaign = a_mailing()
    mailbox.refusals["ann@shop.example"] = "550 no such user"
    with pytest.raises(CannotSendTest, match="550"):
        send_test(campaign=campaign, arm_key="letter", profile=None, actor=ann, at=NOW)
    ann.email = ""
    with pytest.raises(CannotSendTest, match="no e-mail address"):
        send_test(campaign=campaign, arm_key="letter", profile=None, actor=ann, at=NOW)
    assert not ChangeLog.objects.filter(transition="test_send").exists()


def test_campaign_preview__mail__is_a_sandboxed_frame_on_desk_and_phone(client: Client, ann: User) -> None:
    a_mailing()
    ada = make_recipient(country="DE")
    client.force_login(ann)
    address = reverse("marketing:campaign-preview", args=["spring", "letter"])
    content = client.get(address, {"person": str(ada.public_id), "width": "phone"}).content.decode()
    assert "Hello DE" in content
    assert 'sandbox=""' in content
    assert "mail-frame--phone" in content
    frame = client.get(reverse("marketing:campaign-preview-frame", args=["spring", "letter"]))
    assert frame["X-Frame-Options"] == "SAMEORIGIN"
    assert "default-src 'none'" in frame["Content-Security-Policy"]
    assert "script-src" not in frame["Content-Security-Policy"]
    assert "1 High Street" in frame.content.decode()
    assert "Nobody is called" in client.get(address, {"person": "nobody@example.org"}).content.decode()
    assert "Hello DE" in client.get(address, {"person": ada.email}).content.decode()
    silent = client.get(reverse("marketing:campaign-preview", args=["spring", "control"]))
    assert "This arm gets no message." in silent.content.decode()
    assert client.get(reverse("marketing:campaign-preview-frame", args=["spring", "control"])).status_code == 404
    assert client.get(reverse("marketing:campaign-preview", args=["spring", "nothing"])).status_code == 404


def test_campaign_test_send__button__sends_one_mail_to_the_marketer(client: Client, ann: User) -> None:
    a_mailing()
    client.force_login(ann)
    address = reverse("marketing:campaign-test-send", args=["spring", "letter"])
    assert "on its way to ann@shop.example" in client.post(address, follow=True).content.decode()
    assert [message.to for message in mail.outbox] == [["ann@shop.example"]]
    assert client.get(address).status_code == 405
    User.objects.filter(pk=ann.pk).update(email="")
    assert "no e-mail address" in client.post(address, follow=True).content.decode()
    client.force_login(make_user(role="analyst"))
    assert client.post(address).status_code == 403


def test_words__written_and_read__are_the_same() -> None:
    both = (GERMAN, Words(language="fr-ca", button_text="Voir", body="<p>a</p>\n\n<p>subject: b</p>"))
    assert read_words(write_words(both)) == both
    assert read_words("") == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Hallo", "Line 1: begin with a language"),
        ("[de]\nsubject: a\n[de]\n", "is there twice"),
        ("[de]\nbutton: " + "x" * 41, "more than 40"),
    ],
)
def test_words__that_cannot_be_read__name_the_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_words(text)
