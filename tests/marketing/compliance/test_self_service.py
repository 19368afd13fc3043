"""Statements 16, 18, 19, 23: what people see, take along and change by themselves, without telling who exists."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from marketing.choices import ASKED_PURPOSES, Purpose, RequestStatus
from marketing.models import Consent, ConsentText, DataRequest, Event, Profile
from marketing.services import answers
from marketing.services.audience import MEASURED
from marketing.services.preferences import Choice, choose, current_choice, preferences_path, read_link, send_link
from marketing.services.privacy import export_profile
from marketing.services.segments import refresh_segment
from tests.factories.campaigns import BROWSER, make_visitor
from tests.factories.marketing import NOW, give_consent, make_profile, make_segment, send, track

pytestmark = pytest.mark.django_db
WORDS = {purpose.value: f"You may: {purpose.value}." for purpose in ASKED_PURPOSES}
ALL = frozenset(purpose.value for purpose in ASKED_PURPOSES)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


@pytest.fixture
def ann() -> Profile:
    return make_profile(user_id="ann", email="ann@example.org")


def path(profile: Profile, *, has_rights: bool = True) -> str:
    return preferences_path(public_id=profile.public_id, has_rights=has_rights)


def test_compliance_16__preference_centre__one_page_gives_and_takes(client: Client, ann: Profile) -> None:
    page = client.get(path(ann)).content.decode()
    assert 'type="checkbox"' in page
    assert " checked" not in page  # nobody said yes to anything
    ticked = dict.fromkeys(ALL, "on")
    assert client.post(path(ann), ticked).status_code == 302
    assert current_choice(profile_id=ann.pk).granted == ALL
    page = client.get(path(ann)).content.decode()
    assert page.count(" checked") == len(ALL)
    assert client.post(path(ann), {}).status_code == 302  # the second form: no to everything, one click
    assert current_choice(profile_id=ann.pk) == Choice(frozenset(), objects=False)
    withdrawn = Event.objects.filter(type__name="Consent Withdrawn").values_list("props", flat=True)
    assert {row["purpose"] for row in withdrawn} == ALL
    ann.refresh_from_db()
    assert not ann.marketing_ok


def test_preference_centre__same_choice_again__adds_no_statement(client: Client, ann: Profile) -> None:
    for _ in range(2):
        client.post(path(ann), {"analytics": "on"})
    assert Consent.objects.count() == 1
    text = ConsentText.objects.get()
    assert (text.version, text.text[:19]) == ("preferences-2026-11", "You may measure wha")


def test_compliance_17__objection_on_the_page__outweighs_every_box(client: Client, ann: Profile) -> None:
    client.post(path(ann), {**dict.fromkeys(ALL, "on"), "objects": "on"})
    ann.refresh_from_db()
    assert ann.is_objector
    assert current_choice(profile_id=ann.pk).granted == frozenset(MEASURED)
    page = client.get(path(ann)).content.decode()
    assert '<input type="hidden" name="objects" value="on">' in page  # withdrawing everything keeps the objection
    client.post(path(ann), {"objects": "on"})
    assert current_choice(profile_id=ann.pk) == Choice(frozenset(), objects=True)


def test_choose__frequency__is_kept_with_the_consent(ann: Profile) -> None:
    yes = Choice(frozenset({"marketing_email"}), objects=False, most_mails=2)
    assert choose(profile_id=ann.pk, choice=yes, texts=WORDS, at=NOW) == 1
    assert choose(profile_id=ann.pk, choice=yes, texts=WORDS, at=NOW) == 0
    assert current_choice(profile_id=ann.pk).most_mails == 2
    more = Choice(frozenset({"marketing_email"}), objects=False)
    assert choose(profile_id=ann.pk, choice=more, texts=WORDS, at=NOW + timedelta(seconds=1)) == 1
    assert current_choice(profile_id=ann.pk) == more


def test_history__statements__stand_with_their_words(client: Client, ann: Profile) -> None:
    give_consent(ann)
    give_consent(ann, granted=False, at=NOW + timedelta(hours=1))
    page = client.get(f"{path(ann, has_rights=False)}history/").content.decode()
    assert page.count("We may write to you.") == 2
    assert page.index("marketing e-mail: no") < page.index("marketing e-mail: yes")


def test_link_of_a_message__changes_preferences_and_no_more(client: Client, ann: Profile) -> None:
    weak = path(ann, has_rights=False)
    assert client.get(weak).status_code == 200
    for page in ("data/", "erase/", "data/abc.zip"):
        answer = client.get(weak + page)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/me/link/")
    client.post(f"{weak}erase/", {"sure": "yes"})
    assert Profile.objects.filter(pk=ann.pk).exists()


@pytest.mark.parametrize("page", ["", "history/", "data/", "data/abc.zip", "erase/"])
def test_link__ours_or_not__tells_nothing_of_who_exists(client: Client, ann: Profile, page: str) -> None:
    good = path(ann)
    changed = good[:-3] + ("A" if good[-3] != "A" else "B") + good[-2:]
    bodies = set()
    call = path(make_profile(user_id="gone"))
    Profile.objects.filter(identities__value="gone").get().identities.all().delete()
    Profile.objects.exclude(pk=ann.pk).delete()
    for address in (changed, "/me/nonsense/", call):
        answer = client.get(address + page)
        assert answer.status_code == 404
        text = answer.content.decode().replace(address + page, "")
        bodies.add(re.sub(r"csrf[^>]*|X-CSRFToken[^}]*", "", text))
    assert len(bodies) == 1


def test_link__old__works_no_more(ann: Profile) -> None:
    token = path(ann).split("/")[2]
    with time_machine.travel(timezone.now() + timedelta(hours=2), tick=False):
        assert read_link(token=token) is None
        weak = path(ann, has_rights=False).split("/")[2]
    with time_machine.travel(timezone.now() + timedelta(days=300), tick=False):
        bearer = read_link(token=weak)
        assert bearer is not None
        assert not bearer.has_rights


def test_link__merged_person__leads_to_the_winner(ann: Profile) -> None:
    old = make_profile(user_id="old")
    token = path(old).split("/")[2]
    Profile.objects.filter(pk=old.pk).update(merged_into=ann)
    bearer = read_link(token=token)
    assert bearer is not None
    assert bearer.profile_id == ann.pk


def test_ask_for_a_link__known_or_not__gets_the_same_answer(
    client: Client, ann: Profile, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketing.tasks.send_preference_link.delay", lambda address: send_link(address=address))
    answers_seen = set()
    for address in ("ann@example.org", "nobody@example.org"):
        with django_capture_on_commit_callbacks(execute=True) as calls:
            answer = client.post("/me/link/", {"email": address})
        assert (answer.status_code, len(calls)) == (200, 1)
        answers_seen.add(re.sub(r"csrf[^>]*|X-CSRFToken[^}]*", "", answer.content.decode()))
    assert len(answers_seen) == 1
    (message,) = mail.outbox
    assert message.to == ["ann@example.org"]
    (url,) = re.findall(r"https?://[^/\s]+(/me/\S+)", str(message.body))
    assert client.get(f"{url}erase/").status_code == 200
    assert "ann" not in url
    assert client.post("/me/link/", {"email": "no address"}).status_code == 200
    assert len(mail.outbox) == 1


def test_start__browser_that_we_know__leads_to_its_person() -> None:
    client = Client(headers={"User-Agent": BROWSER})
    assert client.get("/me/").headers["Location"] == "/me/link/"
    client.post("/shop/-/consent/", {"analytics": "on"})
    page = client.get("/me/", follow=True)
    assert page.status_code == 200
    assert "Your preferences" in page.content.decode()


def test_compliance_18_19__copy_of_the_data__has_everything_within_a_month(client: Client, ann: Profile) -> None:
    give_consent(ann)
    send(track("Product Viewed", user="ann", product_id="=cmd()"), track("Product Viewed", user="bob", product_id="x"))
    segment = make_segment({"all": []}, slug="everybody")
    refresh_segment(segment_id=segment.pk, at=NOW)
    assert client.post(f"{path(ann)}data/").status_code == 302
    client.post(f"{path(ann)}data/")
    request = DataRequest.objects.get()  # one that waits is not asked twice
    assert request.due_at - request.requested_at == timedelta(days=30)
    waiting = client.get(f"{path(ann)}data/").content.decode()
    assert "at the latest" in waiting
    assert client.get(f"{path(ann)}data/{request.token}.zip").status_code == 404

    out = io.StringIO()
    call_command("answer_data_requests", stdout=out)
    assert "1 answered" in out.getvalue()
    request.refresh_from_db()
    assert request.status == RequestStatus.READY
    answer: Any = client.get(f"{path(ann)}data/{request.token}.zip")
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        names = set(archive.namelist())
        everything = json.loads(archive.read("everything.json"))
        provided = json.loads(archive.read("provided.json"))
        events = list(csv.DictReader(io.StringIO(archive.read("provided/event.csv").decode())))
        text = archive.read("everything.json").decode()
    assert {"everything.json", "provided.json", "provided/consent.csv", "concluded/membership.csv"} <= names
    assert everything["segments"][0]["rule"] == "everybody"
    assert {"experiments", "recommendations"} <= everything.keys()
    assert set(provided) == set(answers.PROVIDED)
    assert "membership" not in provided
    assert events[0]["item"] == "'=cmd()"  # a spreadsheet takes it for no formula
    assert "bob" not in text


def test_answer__of_somebody_else__is_not_handed_out(client: Client, ann: Profile) -> None:
    request = answers.ask(profile_id=ann.pk, at=NOW)
    answers.answer_due(at=NOW)
    assert client.get(f"{path(make_profile())}data/{request.token}.zip").status_code == 404
    assert answers.path_of(request).stat().st_mode & 0o077 == 0


def test_answer__fails__is_told_and_the_next_is_answered(ann: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = make_profile()
    answers.ask(profile_id=ann.pk, at=NOW)
    answers.ask(profile_id=bob.pk, at=NOW + timedelta(seconds=1))

    def export(*, profile_id: int) -> dict[str, Any]:
        if profile_id == ann.pk:
            raise OSError("disk full")
        return export_profile(profile_id=profile_id)

    monkeypatch.setattr(answers, "export_profile", export)
    assert answers.answer_due(at=NOW) == 1
    failed = DataRequest.objects.get(profile=ann)
    assert (failed.status, failed.failure) == (RequestStatus.FAILED, "OSError")


def test_compliance_20__erase_me__asks_first_and_leaves_nothing(
    client: Client, ann: Profile, django_capture_on_commit_callbacks: Any
) -> None:
    request = answers.ask(profile_id=ann.pk, at=NOW)
    answers.answer_due(at=NOW)
    assert answers.path_of(request).exists()
    assert client.get(f"{path(ann)}erase/").status_code == 200
    unsure = client.post(f"{path(ann)}erase/")
    assert "Nothing was deleted" in unsure.content.decode()
    assert Profile.objects.filter(pk=ann.pk).exists()
    address = path(ann)
    with django_capture_on_commit_callbacks(execute=True):
        done = client.post(f"{address}erase/", {"sure": "yes"}, follow=True)
    assert "You are erased" in done.content.decode()
    assert not Profile.objects.exists()
    assert not answers.path_of(request).exists()
    assert client.get(address).status_code == 404


def test_pages__signed_links__are_not_passed_on_and_not_kept(client: Client, ann: Profile) -> None:
    answer = client.get(path(ann))
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "no-store" in answer.headers["Cache-Control"]
    assert client.delete(path(ann)).status_code == 405


def test_command__link_of_nobody__says_so(ann: Profile) -> None:
    with pytest.raises(CommandError, match="Nobody"):
        call_command("send_preference_link", "nobody@example.org")
    call_command("send_preference_link", "ANN@example.org", stdout=io.StringIO())
    assert len(mail.outbox) == 1


def test_compliance_23__deadlines__are_met() -> None:
    """Exports within 45 days (CCPA) and a month (GDPR); an opt-out holds at once, not after 15 business days."""
    assert timedelta(days=28) <= answers.DUE <= timedelta(days=30)
    profile, _visitor = make_visitor(purposes=tuple(ASKED_PURPOSES))
    no = Choice(frozenset(), objects=True)
    choose(profile_id=profile.pk, choice=no, texts=WORDS, at=NOW)
    assert current_choice(profile_id=profile.pk) == no
    assert Purpose.OBJECTION not in ASKED_PURPOSES
