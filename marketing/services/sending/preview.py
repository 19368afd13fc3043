"""A message before anybody gets it: as one person would get it, and sent to the marketer alone. Nothing is counted."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from marketing.channels import Channel, Fate, Mail
from marketing.channels.email import EmailChannel
from marketing.creatives.templates import BadTemplate
from marketing.errors import CannotSendTest
from marketing.models import Campaign, Profile
from marketing.selectors.campaigns import ArmConfig, arm_config, arms_of
from marketing.services.campaigns import log_change
from marketing.services.experience import recommendation_for
from marketing.services.sending.rendering import Letter, Recipient, missing_names, render
from marketing.services.sending.traits import template_traits

NOBODY: Final = 0
"""The delivery that a preview's links name. There is none: a click is nobody's, and an unsubscribe changes nothing."""
STRANGER: Final = "somebody@example.org"
MARK: Final = "X-Holdout-Test"


@dataclass(frozen=True, slots=True)
class MailPreview:
    """How one arm's message looks; `mail` is None where it cannot be made, and `problem` says why."""

    mail: Mail | None
    problem: str
    missing: tuple[str, ...]
    """What the words name and this person does not have."""


def preview_mail(*, campaign: Campaign, arm_key: str, profile: Profile | None, at: datetime) -> MailPreview:
    """Return an arm's message as a person (or a stranger) would get it; the silent control has none."""
    arm = next((arm_config(row) for row in arms_of(campaign=campaign) if row.key == arm_key), None)
    if arm is None or (arm.is_control and not arm.subject):
        return MailPreview(None, _("This arm gets no message."), ())
    if campaign.sender is None:
        return MailPreview(None, _("Choose the sender: the law asks for a name and a postal address."), ())
    letter = _letter(campaign, arm, profile, at=at)
    try:
        return MailPreview(render(letter), "", tuple(missing_names(letter)))
    except BadTemplate as error:
        return MailPreview(None, str(error), ())


def send_test(
    *,
    campaign: Campaign,
    arm_key: str,
    profile: Profile | None,
    actor: User,
    at: datetime,
    channel: Callable[[], Channel] = EmailChannel,
) -> str:
    """Send an arm's message to the actor's own address and to nobody else, marked as a test; return the address."""
    if not actor.email:
        raise CannotSendTest(_("Your account has no e-mail address. Ask an operator to enter it."))
    preview = preview_mail(campaign=campaign, arm_key=arm_key, profile=profile, at=at)
    if preview.mail is None:
        raise CannotSendTest(preview.problem)
    one = channel()
    try:
        outcome = one.send(_as_test(preview.mail, actor.email))
    finally:
        one.close()
    if outcome.fate is not Fate.ACCEPTED:
        said = f"{outcome.code} {outcome.text}".strip()
        raise CannotSendTest(_("The mail server did not take it: %(said)s") % {"said": said or outcome.fate.value})
    log_change(campaign=campaign, transition="test_send", at=at, actor=actor, message=f"{arm_key} → {actor.email}")
    return actor.email


def _as_test(mail: Mail, address: str) -> Mail:
    host = mail.message_id.rpartition("@")[2].rstrip(">")
    return replace(
        mail,
        recipient=address,
        subject=_("[Test] %(subject)s") % {"subject": mail.subject},
        message_id=f"<test.{secrets.token_hex(12)}@{host}>",
        return_path="",
        key="",
        headers={**mail.headers, MARK: "1"},
    )


def _letter(campaign: Campaign, arm: ArmConfig, profile: Profile | None, *, at: datetime) -> Letter:
    assert campaign.sender is not None  # the caller looked
    user_id = "" if profile is None else str(profile.pk)
    language = profile.language if profile is not None else ""
    traits = template_traits(profiles=[profile])[profile.pk] if profile is not None else {}
    return Letter(
        delivery_id=NOBODY,
        campaign_slug=campaign.slug,
        campaign_name=campaign.name,
        sender=campaign.sender,
        arm=arm,
        recipient=Recipient(
            email=profile.email if profile is not None and profile.email else STRANGER,
            language=language,
            traits=traits,
        ),
        recommendation=recommendation_for(
            arm, user_id=user_id, context={}, at=at, held_by=campaign.experiment_key, is_logged=False
        ),
    )
