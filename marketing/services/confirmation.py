"""Double opt-in: a yes to marketing e-mail counts once its person has shown that the mailbox is theirs.

Until then it is stored as a no, with the mark that it waits; nothing that asks for consent needs to know of it. The
link confirms that one statement and no other: it dies with any later word, with another address, and after a week.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from marketing.channels.note import send_note
from marketing.choices import Purpose
from marketing.models import Consent, ConsentText, Profile
from marketing.segmentation.clock import to_micros
from marketing.selectors.consent import UNCONFIRMED, unconfirmed
from marketing.services.consent import Statement, record_consent
from marketing.services.sending.suppression import address_hash

SALT: Final = "marketing.person.confirm"
SOURCE: Final = "confirmation"
KEPT: Final = timedelta(days=7)


def send_question(*, profile_id: int) -> bool:
    """Send the link that confirms, if somebody waits for it and has an address; return whether."""
    profile = Profile.objects.filter(pk=profile_id).first()
    asked = unconfirmed(profile_id=profile_id)
    if profile is None or asked is None or not profile.email:
        return False
    token = signing.dumps([profile.public_id.hex, asked.pk, address_hash(profile.email)], salt=SALT)
    url = settings.PUBLIC_URL.rstrip("/") + reverse("marketing:me-confirm", args=[token])
    text = render_to_string("marketing/person/confirm.txt", {"url": url})
    send_note(to=profile.email, subject=_("Please confirm: may we write to you?"), text=text)
    return True


def may_confirm(*, token: str) -> bool:
    """Tell whether the link still confirms something."""
    return _asked(token) is not None


@transaction.atomic
def confirm_email(*, token: str, at: datetime) -> bool:
    """Record the confirmed yes; False where the link confirms nothing (any more)."""
    asked = _asked(token)
    if asked is None:
        return False
    # The row is locked, so that two posts at once write one yes.
    Profile.objects.select_for_update().get(pk=asked.profile_id)
    if _asked(token) is None:
        return False
    words = ConsentText.objects.values_list("text", flat=True).get(sha256=asked.text_sha256)
    evidence = {name: value for name, value in asked.evidence.items() if name != UNCONFIRMED}
    record_consent(
        statement=Statement(
            profile_id=asked.profile_id,
            purpose=Purpose.MARKETING_EMAIL,
            granted=True,
            text_version=asked.text_version,
            text=words,
            source=SOURCE,
            at=max(to_micros(at), asked.at + 1),
            evidence=evidence | {"confirms": asked.pk},
        )
    )
    return True


def _asked(token: str) -> Consent | None:
    try:
        hexadecimal, statement_id, address = signing.loads(token, salt=SALT, max_age=KEPT)
        public_id = uuid.UUID(hexadecimal)
    except (signing.BadSignature, ValueError, TypeError, AttributeError):
        return None
    profile = Profile.objects.filter(public_id=public_id, merged_into__isnull=True).first()
    if profile is None or not constant_time_compare(address_hash(profile.email), address):
        return None
    waiting = unconfirmed(profile_id=profile.pk)
    return waiting if waiting is not None and waiting.pk == statement_id else None
