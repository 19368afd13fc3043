"""Statements 15 to 17: consent as a record, withdrawn as easily as given; objections stop marketing and profiling."""

from __future__ import annotations

import ast
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client

from experiments.selectors import exposed_counts
from marketing.choices import ASKED_PURPOSES, IdentityKind, Outside, Purpose
from marketing.facts.interactions import Interactions
from marketing.forms.consent import CONSENT_TEXT, ConsentForm
from marketing.models import Consent, ConsentText, Profile
from marketing.segmentation.clock import to_micros
from marketing.selectors.consent import has_consent
from marketing.services.audience import find_person, outside, reachable
from marketing.services.consent import (
    OBJECTION_TEXT,
    STOPPED_BY_OBJECTION,
    Statement,
    object_to_marketing,
    record_consent,
)
from marketing.services.experience import serve
from marketing.services.identity import merge
from marketing.services.imported_consents import ImportedConsent, store_consents
from marketing.services.sending.audience import audience
from tests.factories.campaigns import BROWSER, make_campaign, make_visitor
from tests.factories.marketing import NOW, give_consent, make_profile, send, track

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[3]
LATER = NOW + timedelta(hours=1)


def test_compliance_15__statement__keeps_all_that_proves_it() -> None:
    profile = make_profile(email="ann@example.org")
    give_consent(profile)
    give_consent(profile, Purpose.ANALYTICS)
    mail, pages = Consent.objects.order_by("pk")

    assert (mail.purpose, mail.channel, mail.granted, mail.lawful_basis) == (
        "marketing_email",
        "email",
        True,
        "consent",
    )
    assert (pages.purpose, pages.channel) == ("analytics", "")
    assert (mail.source, mail.at, mail.evidence) == ("test", to_micros(NOW), {})  # no address of the network in it
    assert mail.text_version == "1"
    assert mail.text_sha256 == hashlib.sha256(b"We may write to you.").hexdigest()
    text = ConsentText.objects.get()
    assert (text.sha256, text.text, text.version) == (mail.text_sha256, "We may write to you.", "1")


@pytest.mark.parametrize(
    "change",
    [
        {"granted": False},
        {"purpose": "analytics"},
        {"channel": "page"},
        {"at": 1},
        {"text_sha256": "x"},
        {"text_version": "2"},
        {"lawful_basis": "contract"},
        {"source": "forged"},
        {"evidence": {"forged": True}},
    ],
)
def test_compliance_15__stored_statement__cannot_be_changed_by_anybody(change: dict[str, Any]) -> None:
    give_consent(make_profile())
    with pytest.raises(DatabaseError), transaction.atomic():
        Consent.objects.update(**change)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE marketing_consent SET granted = NOT granted")
    assert Consent.objects.get().granted


def test_compliance_15__withdrawal__is_a_new_row() -> None:
    profile = make_profile()
    give_consent(profile)
    give_consent(profile, granted=False, at=LATER)
    assert list(Consent.objects.order_by("pk").values_list("granted", flat=True)) == [True, False]
    assert not has_consent(profile_id=profile.pk, purpose=Purpose.MARKETING_EMAIL)


def test_compliance_15__code__deletes_statements_only_with_the_person() -> None:
    """Whoever deletes statements: the erasure, through its list of tables, and the demo world's removal."""
    may = {"marketing/services/privacy.py", "marketing/services/demo/removal.py"}
    found = set()
    for path in (ROOT / "marketing").rglob("*.py"):
        text = path.read_text()
        if "Consent" not in text and "marketing_consent" not in text:
            continue
        deletes = [
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "delete"
            and "Consent." in ast.unparse(node.func)
        ]
        if deletes or "DELETE FROM marketing_consent" in text:
            found.add(str(path.relative_to(ROOT)))
    assert found <= may


def test_compliance_15__admin__changes_and_deletes_no_statement(admin_client: Client) -> None:
    give_consent(make_profile())
    row = Consent.objects.get()
    assert admin_client.post(f"/admin/marketing/consent/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"/admin/marketing/consent/{row.pk}/change/", {"granted": ""}).status_code == 403
    assert Consent.objects.get().granted


def test_compliance_16__boxes__are_never_ticked_beforehand() -> None:
    form = ConsentForm()
    assert {field.initial for field in form.fields.values()} == {None}
    assert "checked" not in form.as_p()
    assert Consent._meta.get_field("granted").default is False
    assert Profile._meta.get_field("marketing_ok").default is False
    assert ConsentForm({}).is_valid()
    empty = ConsentForm({})
    assert empty.is_valid()
    assert empty.purposes() == frozenset()


def test_compliance_16__withdrawing__takes_no_more_steps_than_giving() -> None:
    def forms(html: str) -> int:
        return html.count('action="/shop/-/consent/"')

    client = Client(headers={"User-Agent": BROWSER})
    asked = client.get("/shop/").content.decode()
    assert forms(asked) >= 2  # allow and refuse, side by side: one press each
    client.post("/shop/-/consent/", {"analytics": "on", "personalization": "on"})
    shown = client.get("/shop/").content.decode()
    assert forms(shown) == 1  # one press on the same page
    client.post("/shop/-/consent/", {})
    assert not Consent.objects.order_by("-pk")[0].granted
    assert str(CONSENT_TEXT).startswith("May we")


def test_compliance_17__objection__stops_marketing_and_profiling_at_once() -> None:
    ann, bob = (make_profile(email=f"{name}@example.org") for name in ("ann", "bob"))
    for profile in (ann, bob):
        for purpose in ASKED_PURPOSES:
            give_consent(profile, purpose)
    send(track("Product Viewed", user=None, visitor="v1", product_id="p1"))
    everybody = audience(segment_id=None, purposes=("personalization",))
    assert set(everybody) == {ann, bob}
    assert reachable(segment_id=None, purposes=("analytics",)) == 2

    object_to_marketing(profile_id=ann.pk, source="preferences", at=to_micros(LATER))

    assert set(audience(segment_id=None, purposes=())) == {bob}
    ann.refresh_from_db()
    assert (ann.is_objector, ann.marketing_ok) == (True, False)
    for purpose in STOPPED_BY_OBJECTION:
        assert not has_consent(profile_id=ann.pk, purpose=purpose)
        assert has_consent(profile_id=bob.pk, purpose=purpose)
    # Measuring is not direct marketing: that consent stays until it is withdrawn.
    assert has_consent(profile_id=ann.pk, purpose=Purpose.ANALYTICS)
    assert ConsentText.objects.filter(text=OBJECTION_TEXT).exists()


def test_compliance_17__objector_on_a_page__is_in_no_arm() -> None:
    campaign = make_campaign()
    profile, visitor = make_visitor()
    before = serve(slug=campaign.slug, visitor=visitor, at=NOW)
    assert before.is_exposed
    object_to_marketing(profile_id=profile.pk, source="preferences", at=to_micros(LATER))
    # A yes to a single purpose does not take the objection back.
    for purpose in (Purpose.ANALYTICS, Purpose.PERSONALIZATION, Purpose.MARKETING_EMAIL):
        give_consent(profile, purpose, at=LATER + timedelta(minutes=1))
    shown = serve(slug=campaign.slug, visitor=visitor, at=LATER + timedelta(minutes=2))

    assert (shown.outside, shown.arm.key, shown.is_exposed) == (Outside.OBJECTED, "control", False)
    assert sum(exposed_counts(experiment_key=campaign.experiment_key).values()) == 1
    profile.refresh_from_db()
    assert not profile.marketing_ok


def test_compliance_17__objector__is_unknown_to_the_recommender() -> None:
    ann, bob = make_profile(user_id="ann"), make_profile(user_id="bob")
    for profile, user in ((ann, "ann"), (bob, "bob")):
        give_consent(profile, Purpose.PERSONALIZATION)
        send(track("Product Viewed", user=user, product_id="p1"))
    object_to_marketing(profile_id=ann.pk, source="preferences", at=to_micros(LATER))
    give_consent(ann, Purpose.PERSONALIZATION, at=LATER + timedelta(minutes=1))
    facts = Interactions()
    types = ("Product Viewed",)

    learned = facts.interactions(since=None, until=to_micros(LATER), event_types=types)
    assert {user for chunk in learned for user in chunk.user_id} == {str(bob.pk)}
    assert not facts.recent_items(user_id=str(ann.pk), event_types=types, limit=5)
    assert not facts.seen_items(user_id=str(ann.pk), event_types=types)
    assert set(facts.recent_items_many(user_ids=[str(ann.pk), str(bob.pk)], event_types=types, limit=5)) == {
        str(bob.pk)
    }
    assert facts.sample_users(limit=5) == [str(bob.pk)]


def test_compliance_17__objection__survives_a_merge_and_a_later_import() -> None:
    ann, old = make_profile(user_id="ann", email="ann@example.org"), make_profile(user_id="ann-old")
    object_to_marketing(profile_id=old.pk, source="preferences", at=to_micros(NOW))
    from marketing.choices import MergeReason

    merge(winner_id=ann.pk, loser_id=old.pk, reason=MergeReason.MANUAL, at=LATER)
    late = to_micros(LATER + timedelta(days=1))
    store_consents(
        [ImportedConsent((IdentityKind.USER_ID, "ann"), Purpose.MARKETING_EMAIL, True, late, "crm", 1)],
        file_name="crm.csv",
    )
    ann.refresh_from_db()
    assert (ann.is_objector, ann.marketing_ok) == (True, False)


def test_compliance_17__objection_taken_back__says_yes_to_nothing() -> None:
    profile = make_profile(email="ann@example.org")
    give_consent(profile)
    object_to_marketing(profile_id=profile.pk, source="preferences", at=to_micros(LATER))
    object_to_marketing(profile_id=profile.pk, source="preferences", at=to_micros(LATER) + 1, objects=False)
    profile.refresh_from_db()
    assert (profile.is_objector, profile.marketing_ok) == (False, False)
    give_consent(profile, at=LATER + timedelta(minutes=1))
    profile.refresh_from_db()
    assert profile.marketing_ok


def test_outside__objector_without_consent__is_told_as_an_objector() -> None:
    campaign = make_campaign()
    profile, visitor = make_visitor(purposes=())
    object_to_marketing(profile_id=profile.pk, source="preferences", at=to_micros(NOW))
    person = find_person(visitor=visitor)
    from marketing.selectors.campaigns import public_config

    assert outside(visitor=visitor, person=person, campaign=public_config(slug=campaign.slug)) == Outside.OBJECTED


def test_record_consent__same_words_again__are_stored_once() -> None:
    for _ in range(3):
        record_consent(
            statement=Statement(
                profile_id=make_profile().pk,
                purpose=Purpose.ANALYTICS,
                granted=True,
                text_version="1",
                text="Ja, bitte: äöü",
                source="form",
                at=to_micros(NOW),
            )
        )
    assert ConsentText.objects.get().text == "Ja, bitte: äöü"
