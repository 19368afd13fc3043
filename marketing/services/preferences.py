"""What a person decides about their own data: the links that prove who asks, and what was chosen.

Links of three kinds. One in a message lets its bearer change preferences, for as long as people keep messages. One that
was asked for, sent to the person's own address and valid for an hour, also hands the data out and deletes it: messages
get forwarded. One made for a browser that we know does the same, but proves no address: whoever says yes to e-mail
there is asked once more, by a message to the address (`confirmation.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _

from marketing.channels.note import send_note
from marketing.choices import ASKED_PURPOSES, IdentityKind, Purpose
from marketing.models import Consent, Profile
from marketing.segmentation.clock import to_micros
from marketing.selectors.consent import UNCONFIRMED, consent_state, unconfirmed
from marketing.selectors.profiles import find_by_identity
from marketing.services.audience import Visitor, find_person
from marketing.services.consent import Statement, object_to_marketing, record_consents
from marketing.services.tracking import store_withdrawals

PREFERENCES: Final = "marketing.person.preferences"
RIGHTS: Final = "marketing.person.rights"
BROWSER: Final = "marketing.person.browser"
KEPT: Final = timedelta(days=400)
"""How long the link of a message works; CAN-SPAM asks for 30 days."""
FRESH: Final = timedelta(hours=1)
SOURCE: Final = "preferences"
TEXT_VERSION: Final = "preferences-2026-11"
MOST_MAILS: Final = (1, 2, 4, 8)
"""What somebody can choose: so many marketing e-mails in thirty days."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a link is about, and whether it may hand data out and delete it."""

    profile_id: int
    has_rights: bool
    reads_mailbox: bool
    """Whether the link came by e-mail, to the person's own address."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose, all of it at once; `most_mails` in thirty days, None for no limit of one's own."""

    granted: frozenset[str]
    objects: bool
    most_mails: int | None = None


def preferences_path(*, public_id: uuid.UUID, has_rights: bool = False) -> str:
    """Return the path of somebody's preference centre, signed; nothing in it names the person."""
    return _path(public_id, salt=RIGHTS if has_rights else PREFERENCES)


def _path(public_id: uuid.UUID, *, salt: str) -> str:
    return reverse("marketing:me", args=[signing.dumps(public_id.hex, salt=salt)])


def preferences_url(*, public_id: uuid.UUID, has_rights: bool = False) -> str:
    """Return the absolute address of somebody's preference centre."""
    return settings.PUBLIC_URL.rstrip("/") + preferences_path(public_id=public_id, has_rights=has_rights)


def read_link(*, token: str) -> Bearer | None:
    """Return whom a link is about; None where it is not ours, too old, or about nobody any more: all the same."""
    for salt, age in ((RIGHTS, FRESH), (BROWSER, FRESH), (PREFERENCES, KEPT)):
        try:
            public_id = uuid.UUID(signing.loads(token, salt=salt, max_age=age))
        except (signing.BadSignature, ValueError, TypeError, AttributeError):
            continue
        row = Profile.objects.filter(public_id=public_id).values_list("pk", "merged_into_id").first()
        if row is not None:
            return Bearer(row[1] or row[0], has_rights=salt != PREFERENCES, reads_mailbox=salt != BROWSER)
    return None


def path_of_visitor(*, visitor: Visitor) -> str:
    """Return the path for the person who uses this browser; empty where it is nobody's that we know."""
    person = find_person(visitor=visitor)
    if person is None:
        return ""
    public_id = Profile.objects.values_list("public_id", flat=True).get(pk=person.profile_id)
    return _path(public_id, salt=BROWSER)


def send_link(*, address: str) -> bool:
    """Send a fresh link to the address, if somebody has it; return whether. Whoever asks is told nothing of that."""
    found = find_by_identity(value=address, kind=IdentityKind.EMAIL)
    if not found:
        return False
    profile = found[0]
    to = profile.email or address.strip().lower()
    context = {"url": preferences_url(public_id=profile.public_id, has_rights=True)}
    send_note(to=to, subject=_("Your data with us"), text=render_to_string("marketing/person/link.txt", context))
    return True


def current_choice(*, profile_id: int) -> Choice:
    """Return what is in force now."""
    state = consent_state(profile_id=profile_id)
    mail = state.get(Purpose.MARKETING_EMAIL.value)
    return Choice(
        granted=frozenset(purpose for purpose, row in state.items() if row.granted and purpose != Purpose.OBJECTION),
        objects=_is_granted(state, Purpose.OBJECTION),
        most_mails=None if mail is None else mail.evidence.get("most_mails"),
    )


@transaction.atomic
def choose(
    *, profile_id: int, choice: Choice, texts: Mapping[str, str], at: datetime, reads_mailbox: bool = True
) -> int:
    """Store what changed, as new statements with the words that were shown; return how many.

    `texts` holds what stood beside each purpose. An objection outweighs every yes that is chosen together with it. A
    new yes to e-mail of somebody of whom we do not know that they read the mailbox waits: it is stored as a no.
    """
    Profile.objects.select_for_update().get(pk=profile_id)
    before = current_choice(profile_id=profile_id)
    is_waiting = unconfirmed(profile_id=profile_id) is not None
    wanted = frozenset() if choice.objects else choice.granted
    statements = []
    for purpose in ASKED_PURPOSES:
        granted = purpose.value in (choice.granted if purpose == Purpose.ANALYTICS else wanted)
        is_mail = purpose == Purpose.MARKETING_EMAIL
        is_same = granted == (purpose.value in before.granted)
        if is_mail and is_waiting:
            is_same = False
        waits = is_mail and granted and not reads_mailbox and purpose.value not in before.granted
        if is_same and not (is_mail and granted and choice.most_mails != before.most_mails):
            continue
        statements.append(
            Statement(
                profile_id=profile_id,
                purpose=purpose,
                granted=granted and not waits,
                text_version=TEXT_VERSION,
                text=texts[purpose.value],
                source=SOURCE,
                at=to_micros(at),
                evidence=({"most_mails": choice.most_mails} if is_mail and granted and choice.most_mails else {})
                | ({UNCONFIRMED: True} if waits else {}),
            )
        )
    record_consents(statements=statements)
    if choice.objects != before.objects:
        object_to_marketing(profile_id=profile_id, source=SOURCE, at=to_micros(at), objects=choice.objects)
    gone = [one.purpose for one in statements if not one.granted and one.purpose.value in before.granted]
    store_withdrawals(profile_id=profile_id, purposes=gone, at=at)
    return len(statements) + (choice.objects != before.objects)


def _is_granted(state: Mapping[str, Consent], purpose: Purpose) -> bool:
    row = state.get(purpose.value)
    return row is not None and row.granted
