"""What is wrong with the words of a draft, in words: advice that stops nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from marketing.choices import CampaignKind
from marketing.creatives.lint import MOST_BYTES, lint
from marketing.models import Sender
from marketing.services.campaigns import CampaignDraft
from marketing.services.domain_words import say_findings

SAID: Final[dict[str, str | Promise]] = {
    "shouting": gettext_lazy("The subject is all capitals: filters take that for spam."),
    "exclamation": gettext_lazy("The subject has several exclamation marks: filters take that for spam."),
    "long_subject": gettext_lazy("The subject has %(detail)s characters; mailboxes cut it off after about 60."),
    "spam_word": gettext_lazy("Filters know “%(detail)s” from spam."),
    "no_alt": gettext_lazy("Pictures without a text for people who do not see them: %(detail)s."),
    "plain_http": gettext_lazy("This link is not encrypted: %(detail)s."),
    "too_large": gettext_lazy("The message has %(detail)s kB; Gmail cuts it off at 102, with the link to unsubscribe."),
}


@dataclass(frozen=True, slots=True)
class Advice:
    """One sentence about one arm, or about the sender of all."""

    arm: str
    text: str


def advise(*, draft: CampaignDraft) -> list[Advice]:
    """Return what a mailbox or a reader would mind about a draft's messages; nothing for pages."""
    if draft.kind == CampaignKind.PAGE:
        return []
    found = [
        (name, finding)
        for arm in draft.arms
        for name, subject, headline, body in (
            (arm.name, arm.subject, arm.headline, arm.body),
            *((f"{arm.name} ({one.language})", one.subject, one.headline, one.body) for one in arm.translations),
        )
        for finding in lint(subject=subject, headline=headline, body=body)
    ]
    words = [Advice(arm=arm, text=str(SAID[finding.code]) % {"detail": finding.detail}) for arm, finding in found]
    return words + _about_sender(draft.sender_id)


def _about_sender(sender_id: int | None) -> list[Advice]:
    """Say what the DNS last told about the sender's domain."""
    sender = None if sender_id is None else Sender.objects.filter(pk=sender_id).first()
    if sender is None:
        return []
    return [Advice(arm=sender.name, text=text) for text in say_findings(findings=sender.domain_findings)]


def advise_on_size(*, arm: str, html: str) -> list[Advice]:
    """Return what is to be said about a finished message's size."""
    size = len(html.encode())
    if size <= MOST_BYTES:
        return []
    return [Advice(arm=arm, text=_(str(SAID["too_large"])) % {"detail": size // 1024})]
