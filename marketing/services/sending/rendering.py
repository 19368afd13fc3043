"""One finished message for one person: Liquid in the marketer's words, our frame around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import formataddr, parseaddr
from typing import Any, Final

from django.conf import settings

from marketing.channels import Mail
from marketing.creatives import html, templates
from marketing.models import Sender
from marketing.selectors.campaigns import ArmConfig
from marketing.services.sending import frames
from marketing.services.sending.tokens import MailClick, click_url, message_key, unsubscribe_url
from recommender.reports import Recommendation

PERSON: Final = ("first_name", "language", "country")
KNOWN: Final = ("person", "items", "campaign.name", "sender.name")
"""What a template may name; `person.…` are the traits that are not protected."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom the message is for; `traits` are the ones that templates may use."""

    email: str
    language: str
    traits: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Letter:
    """Everything a message is made of."""

    delivery_id: int
    campaign_slug: str
    campaign_name: str
    sender: Sender
    arm: ArmConfig
    recipient: Recipient
    recommendation: Recommendation | None


def render(letter: Letter) -> Mail:
    """Return the finished message; `templates.BadTemplate` where the marketer's words cannot be filled in."""
    context = _context(letter)
    arm = letter.arm.in_language(letter.recipient.language)
    subject = " ".join(templates.render(source=arm.subject, is_html=False, context=context).split())
    if not subject:
        raise templates.BadTemplate("The subject is empty.")
    # Cleaned after it was filled in, too: a value may stand where an address belongs.
    body = html.clean(templates.render(source=arm.body, is_html=True, context=context))
    leave, button_url = unsubscribe_url(letter.delivery_id), _button(letter)
    as_html, as_text = frames.fill(
        shape=frames.shape_of(
            language=letter.recipient.language or settings.LANGUAGE_CODE,
            words_in=_language(letter.recipient.language),
            sender=letter.sender,
            button_text=arm.button_text if button_url else "",
            items=context["items"],
        ),
        headline=templates.render(source=arm.headline, is_html=False, context=context),
        body=body,
        body_text=html.text_of(body),
        items=context["items"],
        button_url=button_url,
        unsubscribe_url=leave,
    )
    if leave not in as_html or leave not in as_text:
        raise templates.BadTemplate("The link to unsubscribe is missing.")
    host = parseaddr(letter.sender.email)[1].rpartition("@")[2]
    return Mail(
        sender=formataddr((letter.sender.name, letter.sender.email)),
        recipient=letter.recipient.email,
        subject=subject,
        text=as_text,
        html=as_html,
        message_id=message_id(letter.delivery_id, host),
        reply_to=letter.sender.reply_to,
        return_path=letter.sender.return_path,
        key=message_key(letter.delivery_id),
        headers={
            "List-Unsubscribe": f"<{leave}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "List-Id": f"<{letter.campaign_slug}.{host}>",
        },
    )


def missing_names(letter: Letter) -> list[str]:
    """Return what the words name and this person does not have: it is empty in the message."""
    arm, context = letter.arm.in_language(letter.recipient.language), _context(letter)
    found: set[str] = set()
    for source, is_html in ((arm.subject, False), (arm.headline, False), (arm.body, True)):
        found.update(templates.named(source=source, is_html=is_html))
    return sorted(path for path in found if path.startswith("person.") and not _value_of(path, context))


def _value_of(path: str, context: Mapping[str, Any]) -> Any:
    value: Any = context
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def message_id(delivery_id: int, host: str) -> str:
    """Return the Message-ID of a delivery: the same at each attempt, so that a second copy is known as one."""
    return f"<{message_key(delivery_id)}@{host}>"


def unknown_names(*, subject: str, headline: str, body: str) -> Sequence[str]:
    """Return what the words name that no message has; `templates.BadTemplate` where they cannot be read."""
    found: set[str] = set()
    for source, is_html in ((subject, False), (headline, False), (body, True)):
        found.update(templates.check(source=source, is_html=is_html, known=KNOWN))
    return sorted(found)


def _context(letter: Letter) -> dict[str, Any]:
    items = letter.recommendation.items if letter.recommendation is not None else ()
    recommendation_id = str(letter.recommendation.recommendation_id) if letter.recommendation is not None else ""
    return {
        "person": dict(letter.recipient.traits),
        "campaign": {"name": letter.campaign_name},
        "sender": {"name": letter.sender.name},
        "items": [
            {
                "title": item.title,
                "category": item.category,
                "price": None if item.price is None else item.price / 1_000_000,
                "currency": item.currency,
                "image": _absolute(item.image),
                "url": click_url(MailClick(letter.delivery_id, 0, item.item_id, item.position, recommendation_id)),
            }
            for item in items
        ],
    }


def _button(letter: Letter) -> str:
    if letter.arm.link_id is None or not letter.arm.button_text:
        return ""
    return click_url(MailClick(letter.delivery_id, letter.arm.link_id, "", 0, ""))


def _absolute(path: str) -> str:
    if not path or path.startswith(("https://", "http://")):
        return path
    return settings.PUBLIC_URL.rstrip("/") + "/" + path.lstrip("/")


def _language(language: str) -> str:
    short = language.replace("_", "-").partition("-")[0].lower()
    return short if short in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
