"""What people do on campaign pages and in the demo shop, stored as events through the one ingestion service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

from marketing.choices import IdentityKind, Purpose, SourceKind
from marketing.errors import UnknownVisitor
from marketing.models import Link
from marketing.segmentation.clock import to_micros
from marketing.selectors.campaigns import ArmConfig
from marketing.selectors.consent import consent_state
from marketing.services.audience import Person, Visitor, find_person
from marketing.services.campaigns import is_safe_target
from marketing.services.consent import Statement, record_consents
from marketing.services.experience import Experience
from marketing.services.ingestion import ingest
from marketing.services.profiles import create_profile
from marketing.services.sources import ensure_source
from recommender.reports import SlateItem
from recommender.selectors import get_item, item_titles, reason_text

SOURCE: Final = "campaign-pages"
CLICK: Final = "Recommendation Clicked"
SUSPECT_CLICK: Final = "Recommendation Click Suspected"
"""A click by a bot, a prefetch or a HEAD request: kept, under a name that no metric of people reads."""
VIEW: Final = "Product Viewed"
ORDER: Final = "Order Completed"
WITHDRAWN: Final = "Consent Withdrawn"
CLICK_SALT: Final = "marketing.click"
SIGNAL: Final = "sec-gpc"
SIGNAL_VERSION: Final = "gpc-1"
SIGNAL_TEXT: Final = "Sec-GPC: 1 (do not sell or share my data)"
CONSENT_TEXT_VERSION: Final = "shop-2026-11"
CONSENT_PURPOSES: Final = (Purpose.ANALYTICS, Purpose.PERSONALIZATION)
MICRO: Final = 1_000_000
WHO_LENGTH: Final = 20
"""80 bits: nobody finds a second person with the same hash by trying."""


@dataclass(frozen=True, slots=True)
class Click:
    """What a link carries: enough to store the click, and a target that is only named, never spelled out."""

    campaign: str
    arm: str
    experiment: str
    who: str
    """A keyed hash of the person who was shown the link: anybody can read a token, nobody can read a person in it."""
    recommendation_id: str
    item: str
    link_id: int | None
    position: int


@dataclass(frozen=True, slots=True)
class ShownItem:
    """One recommended item on the page, with its signed link."""

    item: SlateItem
    token: str
    reason: str
    """Why it is recommended, in words."""


def shown_items(*, experience: Experience) -> list[ShownItem]:
    """Return the items of a slot with their links."""
    recommendation = experience.recommendation
    if recommendation is None:
        return []
    named = {item_id for item in recommendation.items for item_id in item.reason.item_ids}
    titles = item_titles(item_ids=sorted(named)) if named else {}
    return [
        ShownItem(
            item=item,
            reason=reason_text(reason=item.reason, titles=titles),
            token=_token(
                experience,
                item=item.item_id,
                position=item.position,
                recommendation_id=str(recommendation.recommendation_id),
            ),
        )
        for item in recommendation.items
    ]


def button_token(*, experience: Experience) -> str:
    """Return the signed link of the creative's button; empty where it has none."""
    arm: ArmConfig = experience.arm
    return _token(experience, link_id=arm.link_id) if arm.link_id is not None else ""


def read_token(*, token: str) -> Click:
    """Return what a link carries; `signing.BadSignature` for anything that we did not sign."""
    return Click(**signing.loads(token, salt=CLICK_SALT))


def target_of(*, click: Click) -> str | None:
    """Return where the click leads: looked up, and None when the target no longer exists."""
    if click.link_id is not None:
        return Link.objects.filter(pk=click.link_id).values_list("url", flat=True).first()
    item = get_item(item_id=click.item)
    if item is None:
        return None
    return item.url if is_safe_target(item.url) else reverse("marketing:shop-item", args=[item.item_id])


def record_click(*, click: Click, visitor: Visitor, at: datetime) -> bool:
    """Store the click of the person to whom the link was shown; a suspect one under another name."""
    person = find_person(visitor=visitor)
    if person is None or not _may_measure(person) or not _was_shown_to(click, person):
        return False
    properties = {
        "campaign": click.campaign,
        "arm": click.arm,
        "experiment": click.experiment,
        "recommendation_id": click.recommendation_id,
        "position": click.position,
        "product_id": click.item,
        "suspicion": visitor.suspicion,
    }
    store_event(
        SUSPECT_CLICK if visitor.suspicion else CLICK,
        profile_id=person.profile_id,
        properties={name: value for name, value in properties.items() if value not in {"", None}},
        at=at,
    )
    return True


def record_view(*, item_id: str, visitor: Visitor, at: datetime) -> bool:
    """Store that a person with consent looked at an item."""
    person = None if visitor.suspicion else find_person(visitor=visitor)
    if person is None or not _may_measure(person):
        return False
    store_event(VIEW, profile_id=person.profile_id, properties={"product_id": item_id}, at=at)
    return True


def record_order(*, item_id: str, visitor: Visitor, at: datetime) -> str:
    """Store an order of one item and return its number."""
    person = find_person(visitor=visitor)
    item = get_item(item_id=item_id)
    if person is None or item is None:
        raise UnknownVisitor("An order needs a person whom we may recognize and an item of the catalogue.")
    order_id = uuid4().hex
    properties = {
        "order_id": order_id,
        "product_id": item_id,
        "currency": item.currency or settings.REPORTING_CURRENCY,
        "revenue": (item.price or 0) / MICRO,
    }
    store_event(ORDER, profile_id=person.profile_id, properties=properties, at=at)
    return order_id


@transaction.atomic
def choose_consent(*, visitor: Visitor, purposes: frozenset[str], text: str, at: datetime) -> str:
    """Store what the visitor chose and return the anonymous id for the cookie; empty when nothing was allowed.

    Somebody who allows nothing and whom we do not know leaves no trace at all.
    """
    person = find_person(visitor=visitor, purposes=[purpose.value for purpose in CONSENT_PURPOSES])
    if person is None and not purposes:
        return ""
    anonymous_id = visitor.anonymous_id
    if person is None:
        anonymous_id = uuid4().hex
        profile_id = create_profile(identities=[(IdentityKind.ANONYMOUS, anonymous_id)], traits={}, at=at).pk
    else:
        profile_id = person.profile_id
    record_consents(
        statements=[
            Statement(
                profile_id=profile_id,
                purpose=purpose,
                granted=purpose in purposes,
                text_version=CONSENT_TEXT_VERSION,
                text=text,
                source=SOURCE,
                at=to_micros(at),
            )
            for purpose in CONSENT_PURPOSES
        ]
    )
    if person is not None:
        gone = [purpose for purpose in CONSENT_PURPOSES if purpose in person.purposes and purpose not in purposes]
        store_withdrawals(profile_id=profile_id, purposes=gone, at=at)
    return anonymous_id if purposes else ""


@transaction.atomic
def honor_signal(*, visitor: Visitor, at: datetime) -> bool:
    """Write down that a browser we know asks for privacy, once: nothing is concluded from its person's data any more.

    Whoever never agreed to be recognized is not looked up, and leaves nothing. The signal is an opt-out of sale and
    sharing (CCPA); what the person allowed by hand for other channels stays.
    """
    if not visitor.opts_out or not visitor.anonymous_id:
        return False
    person = find_person(visitor=replace(visitor, opts_out=False))
    if person is None:
        return False
    newest = consent_state(profile_id=person.profile_id).get(Purpose.PROFILING.value)
    if newest is not None and not newest.granted:
        return False
    record_consents(
        statements=[
            Statement(
                profile_id=person.profile_id,
                purpose=Purpose.PROFILING,
                granted=False,
                text_version=SIGNAL_VERSION,
                text=SIGNAL_TEXT,
                source=SIGNAL,
                at=to_micros(at),
            )
        ]
    )
    return True


def store_withdrawals(*, profile_id: int, purposes: Iterable[str], at: datetime) -> None:
    """Store that consents which were in force were withdrawn: metrics compare by arm how often that happens."""
    for purpose in purposes:
        store_event(WITHDRAWN, profile_id=profile_id, properties={"purpose": str(purpose)}, at=at)


def _may_measure(person: Person) -> bool:
    return Purpose.ANALYTICS in person.purposes


def _was_shown_to(click: Click, person: Person) -> bool:
    """Tell whether the link is this person's, shown under the present profile or one merged into it."""
    return any(constant_time_compare(_who(unit), click.who) for unit in (str(person.profile_id), *person.aliases))


def _who(unit_id: str) -> str:
    return salted_hmac("marketing.click.who", unit_id, algorithm="sha256").hexdigest()[:WHO_LENGTH]


def _token(
    experience: Experience,
    *,
    item: str = "",
    link_id: int | None = None,
    position: int = 0,
    recommendation_id: str = "",
) -> str:
    in_arm = experience.outside is None
    click = Click(
        campaign=experience.campaign.slug,
        arm=experience.arm.key if in_arm else "",
        experiment=experience.campaign.experiment_key if experience.is_exposed else "",
        who=_who(str(experience.person.profile_id)) if experience.person and in_arm else "",
        recommendation_id=recommendation_id,
        item=item,
        link_id=link_id,
        position=position,
    )
    return signing.dumps(asdict(click), salt=CLICK_SALT, compress=True)


def store_event(
    event: str, *, profile_id: int, properties: Mapping[str, Any], at: datetime, message_id: str = ""
) -> None:
    """Send one event of the house through the ingestion service; one that has an id of its own is stored once."""
    message = {
        "type": "track",
        "event": event,
        "messageId": message_id or uuid4().hex,
        "timestamp": at.isoformat(),
        "profileId": profile_id,
        "properties": dict(properties),
    }
    source = ensure_source(name=SOURCE, kind=SourceKind.INTERNAL, at=at)
    ingest(messages=[message], received_at=at, source=source)
