"""The weekly digest, for people without an account: invited, confirmed, sent once a week, ended with one click.

Somebody who may see experiments invites an address; nothing is sent to it but the invitation until its owner confirms.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from experiments.channels import mail
from experiments.errors import InvalidDesign, Reason
from experiments.models import DigestSubscription
from experiments.models.alert import new_nonce
from experiments.selectors.alerts import get_digest

logger = logging.getLogger(__name__)

Purpose = Literal["confirm", "unsubscribe"]
# How long an invitation may be answered; an unsubscribe link works for ever.
INVITATION: Final = timedelta(days=30)
HOUR_OF_SENDING: Final = 7
"""On Mondays, in the reporting time zone: before people plan their week."""


def invite(*, address: str, at: datetime, language: str = "en", actor: User | None = None) -> DigestSubscription:
    """Ask an address whether it wants the digest; a second invitation, or one after the end, starts anew.

    Raises `InvalidDesign`. The mail is sent by `send_invitations`.
    """
    try:
        validate_email(address)
    except ValidationError:
        text = _("“%(address)s” is no e-mail address.") % {"address": address}
        raise InvalidDesign([Reason("address", text)]) from None
    if language not in dict(settings.LANGUAGES):
        language = settings.LANGUAGE_CODE
    known = DigestSubscription.objects.filter(address__iexact=address).first()
    if known is not None and known.confirmed_at is not None and known.ended_at is None:
        text = _("“%(address)s” reads the digest already.") % {"address": address}
        raise InvalidDesign([Reason("address_known", text)])
    fresh: dict[str, Any] = {
        "nonce": new_nonce(),
        "language": language,
        "created_at": at,
        "invited_by": actor,
        "invitation_sent_at": None,
        "confirmed_at": None,
        "ended_at": None,
    }
    subscription, _created = DigestSubscription.objects.update_or_create(
        address=known.address if known else address, defaults=fresh
    )
    return subscription


def token_of(subscription: DigestSubscription, purpose: Purpose) -> str:
    """What a link carries; a new invitation makes the links of an older one void."""
    return signing.dumps([subscription.pk, subscription.nonce], salt=f"experiments.digest.{purpose}")


def subscription_of(*, token: str, purpose: Purpose) -> DigestSubscription | None:
    """Whose link this is; none for one that is forged, too old or void."""
    longest = INVITATION if purpose == "confirm" else None
    try:
        pk, nonce = signing.loads(token, salt=f"experiments.digest.{purpose}", max_age=longest)
    except signing.BadSignature:
        return None
    return DigestSubscription.objects.filter(pk=pk, nonce=nonce).first()


def confirm(*, token: str, at: datetime) -> bool:
    """Begin to send the digest; whether the link was good and the reader has not left since."""
    found = subscription_of(token=token, purpose="confirm")
    if found is None or found.ended_at is not None:
        return False
    DigestSubscription.objects.filter(pk=found.pk, confirmed_at=None).update(confirmed_at=at)
    return True


def unsubscribe(*, token: str, at: datetime) -> bool:
    """Send nothing more; whether the link was good. Twice does no harm."""
    found = subscription_of(token=token, purpose="unsubscribe")
    if found is None:
        return False
    DigestSubscription.objects.filter(pk=found.pk, ended_at=None).update(ended_at=at)
    return True


def send_invitations(*, at: datetime) -> int:
    """Send the invitations that wait; one that fails waits for the next run."""
    waiting = DigestSubscription.objects.filter(invitation_sent_at=None, ended_at=None, confirmed_at=None)
    sent = 0
    for subscription in waiting.order_by("pk"):
        unsent = DigestSubscription.objects.filter(pk=subscription.pk, nonce=subscription.nonce)
        if not unsent.filter(invitation_sent_at=None).update(invitation_sent_at=at):
            continue
        if _send(subscription, "invitation", {"confirm_url": _url(subscription, "confirm")}):
            sent += 1
        else:
            unsent.update(invitation_sent_at=None)
    return sent


def send_digests(*, at: datetime) -> int:
    """Send the digest of the week to everybody who has not got it; before Monday morning nobody gets one."""
    local = at.astimezone(ZoneInfo(settings.REPORTING_TIME_ZONE))
    if local.weekday() == 0 and local.hour < HOUR_OF_SENDING:
        return 0
    year, number, _day = local.isocalendar()
    week = f"{year}-W{number:02d}"
    monday = (local - timedelta(days=local.weekday())).replace(hour=HOUR_OF_SENDING, minute=0, second=0, microsecond=0)
    # Somebody who confirms in the middle of a week gets the next one.
    readers = DigestSubscription.objects.filter(ended_at=None, confirmed_at__lt=monday).exclude(last_week=week)
    context = {"digest": get_digest(at=at)} if readers.exists() else {}
    sent = 0
    for subscription in readers.order_by("pk"):
        mine = DigestSubscription.objects.filter(pk=subscription.pk)
        if not mine.filter(~Q(last_week=week), ended_at=None).update(last_week=week):
            continue
        if _send(subscription, "digest", context):
            sent += 1
        else:
            mine.filter(last_week=week).update(last_week=subscription.last_week)
    return sent


def _send(subscription: DigestSubscription, name: str, context: dict[str, Any]) -> bool:
    unsubscribe_url = _url(subscription, "unsubscribe")
    context = {**context, "unsubscribe_url": unsubscribe_url, "site_url": settings.PUBLIC_URL}
    with translation.override(subscription.language):
        subject = render_to_string(f"experiments/mail/{name}_subject.txt", context)
        text = render_to_string(f"experiments/mail/{name}.txt", context)
    headers = {"List-Unsubscribe": f"<{unsubscribe_url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    try:
        mail.send(to=subscription.address, subject=subject, text=text, headers=headers)
    except OSError:
        logger.warning("the %s for reader %s could not be sent", name, subscription.pk, exc_info=True)
        return False
    return True


def _url(subscription: DigestSubscription, purpose: Purpose) -> str:
    path = reverse(f"experiments:digest-{purpose}", kwargs={"token": token_of(subscription, purpose)})
    return f"{settings.PUBLIC_URL}{path}"
