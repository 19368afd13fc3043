"""From the pure world to the services: each function says in the product's own terms what the generator drew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from experiments.services.assignment import assign_many
from experiments.services.exposure import ExposureRow, record_many
from marketing.choices import IdentityKind, Purpose, Sensitivity, SourceKind, TraitType
from marketing.models import Source
from marketing.services.consent import Statement, record_consents
from marketing.services.demo.names import SOURCE, UNIT_TYPE
from marketing.services.demo.people import People, Person
from marketing.services.demo.shop import MICRO, Good, Shop
from marketing.services.demo.stage import CONTROL, PERSONALIZED, TRAITS, member_since
from marketing.services.demo.world import DAYS, Events, Kind, microseconds
from marketing.services.ingestion import ingest
from marketing.services.profiles import NewProfile, create_profiles, declare_trait
from marketing.services.sources import ensure_source
from recommender.services.catalogue import ItemRow, upsert_items
from recommender.services.rehearsal import PastRequest, rehearse

CHUNK: Final = 1_000
"""Rows of one transaction: about a tenth of a second, so that the pages stay quick on SQLite meanwhile."""
SLATE_ITEMS: Final = 4  # places of a campaign's slot
PEOPLE_CHUNK: Final = 300  # of people in one transaction, each with four consents
CONSENT_TEXT: Final = "We would like to measure what helps you and show you what fits. You can change this at any time."
NAMES: Final[Mapping[int, str]] = {
    Kind.VIEWED: "Product Viewed",
    Kind.SEARCHED: "Products Searched",
    Kind.ADDED: "Product Added",
    Kind.ORDERED: "Order Completed",
    Kind.REFUNDED: "Order Refunded",
    Kind.CLICKED: "Recommendation Clicked",
    Kind.UNSUBSCRIBED: "Email Unsubscribed",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """The slate a person saw: (item, category) by place."""

    recommendation_id: str
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Click:
    """What the clicks of one trial carry."""

    experiment_key: str
    campaign: str
    arm_of: Mapping[int, str]  # person → arm
    shown: Mapping[int, Shown] = field(default_factory=dict)  # person → slate


def store_catalogue(*, shop: Shop, at: datetime) -> None:
    """Put the goods into the catalogue."""
    upsert_items(items=[_item(good, at) for good in shop.goods], at=at)


def declare_traits() -> None:
    """Declare what the shop knows of its people."""
    for key, name, type_, sensitivity, allowed in TRAITS:
        declare_trait(
            key=key,
            name=name,
            type_=TraitType(type_),
            sensitivity=Sensitivity(sensitivity),
            allowed_values=allowed,
            is_demo=True,
        )


def store_people(*, people: People, at: datetime, prefix: str) -> Iterator[list[int]]:
    """Create the profiles with consents, a chunk at a time; yields their ids."""
    joined = at - timedelta(days=DAYS + 1)
    for begin in range(0, len(people.persons), PEOPLE_CHUNK):
        chunk = people.persons[begin : begin + PEOPLE_CHUNK]
        newcomers = people.is_newcomer[begin : begin + PEOPLE_CHUNK]
        rows = [
            _profile(person, since=member_since(is_newcomer=bool(new), at=at, number=person.number), prefix=prefix)
            for person, new in zip(chunk, newcomers, strict=True)
        ]
        ids = create_profiles(rows=rows, at=joined, is_demo=True)
        stated = microseconds(joined)
        record_consents(
            statements=[
                Statement(
                    profile_id=profile_id,
                    purpose=Purpose(purpose),
                    granted=granted,
                    text_version="demo-1",
                    text=CONSENT_TEXT,
                    source=SOURCE,
                    at=stated,
                )
                for profile_id, person in zip(ids, chunk, strict=True)
                for purpose, granted in person.consents
            ]
        )
        yield ids


def demo_source(*, at: datetime) -> Source:
    """Return the source of the demo's events."""
    return ensure_source(name=SOURCE, kind=SourceKind.DEMO, at=at)


def store_events(
    *,
    events: Events,
    shop: Shop,
    profile_ids: Sequence[int],
    prefix: str,
    at: datetime,
    clicks: Sequence[Click] = (),
) -> Iterator[int]:
    """Send the events through the ingestion service; yields how many went with each chunk."""
    source = demo_source(at=at)
    for begin in range(0, len(events), CHUNK):
        chunk = events[begin : begin + CHUNK].tolist()
        messages = [
            _message(row, number=begin + offset, shop=shop, profile_ids=profile_ids, prefix=prefix, clicks=clicks)
            for offset, row in enumerate(chunk)
        ]
        result = ingest(messages=messages, received_at=at, source=source)
        if result.rejected:
            raise RuntimeError(f"The demo's own event was refused: {result.rejected[0][1]}")
        yield len(chunk)


@dataclass(frozen=True, slots=True)
class Arms:
    """Who is in an experiment, and who of them gets the personalized arm; people held out get what the control gets."""

    is_in: NDArray[np.bool_]
    personalized: NDArray[np.bool_]


def assign_arms(*, experiment_key: str, profile_ids: Sequence[int], at: datetime) -> Arms:
    """Assign people as the campaign page would."""
    units = [str(profile_id) for profile_id in profile_ids]
    assignments = assign_many(experiment_key=experiment_key, unit_type=UNIT_TYPE, unit_ids=units, attributes={}, at=at)
    arms = np.array([assignments[row].arm_key for row in range(len(units))], dtype=object)
    is_in = assignments.is_in
    return Arms(is_in=is_in, personalized=is_in & (arms == PERSONALIZED))


def store_exposures(
    *,
    experiment_key: str,
    profile_ids: Sequence[int],
    exposed_at: NDArray[np.int64],
    personalized: NDArray[np.bool_],
) -> None:
    """Record the exposures as the campaign page would have."""
    rows = [
        ExposureRow(
            experiment_key=experiment_key,
            unit_type=UNIT_TYPE,
            unit_id=str(profile_id),
            arm_key=PERSONALIZED if is_personalized else CONTROL,
            phase=1,
            at=moment,
            source=SOURCE,
            basis={"schema": 1, "consents": ["analytics", "personalization"]},
        )
        for profile_id, moment, is_personalized in zip(
            profile_ids, exposed_at.tolist(), personalized.tolist(), strict=True
        )
    ]
    result = record_many(rows=rows)
    if result.rejected:
        raise RuntimeError(f"An exposure of the demo was refused: {result.rejected[0].reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One launched trial and the people who met it."""

    experiment_key: str
    campaign: str
    strategies: Mapping[str, str]  # arm → strategy
    units: Sequence[int]
    persons: Sequence[int]
    exposed_at: NDArray[np.int64]
    arms: Arms


def store_slates(*, stage: Stage, seed: str) -> dict[int, Shown]:
    """Store what everybody in the experiment was shown when they were exposed; return it by person."""
    shown: dict[int, Shown] = {}
    for arm, strategy in stage.strategies.items():
        is_shown = stage.arms.is_in & (stage.arms.personalized == (arm == PERSONALIZED))
        chosen = np.flatnonzero(is_shown).tolist()
        person_of = {str(stage.units[row]): int(stage.persons[row]) for row in chosen}
        slates = rehearse(
            requests=[PastRequest(str(stage.units[row]), int(stage.exposed_at[row])) for row in chosen],
            k=SLATE_ITEMS,
            strategy=strategy,
            context={"campaign": stage.campaign, "arm": arm, "experiment": stage.experiment_key},
            held_by=stage.experiment_key,
            seed=seed,
        )
        for slate in slates:
            items = tuple((item.item_id, item.category) for item in slate.items)
            shown[person_of[slate.user_id]] = Shown(str(slate.recommendation_id), items)
    return shown


def _item(good: Good, at: datetime) -> ItemRow:
    return ItemRow(
        item_id=good.item_id,
        title=good.title,
        category=good.category,
        brand=good.brand,
        tags=good.tags,
        text=good.text,
        price=good.price,
        currency=settings.REPORTING_CURRENCY,
        image=f"img/demo/{good.shelf}.svg",
        published_at=at - timedelta(days=good.age_days),
        is_demo=True,
    )


def _profile(person: Person, *, since: date, prefix: str) -> NewProfile:
    return NewProfile(
        identities=(
            (IdentityKind.USER_ID, f"{prefix}-{person.number}"),
            (IdentityKind.EMAIL, person.email),
        ),
        traits={
            "email": person.email,
            "country": person.country,
            "language": person.language,
            "timezone": person.timezone,
            "birth_year": person.birth_year,
            "first_name": person.first_name,
            "last_name": person.last_name,
            "loyalty_tier": person.tier,
            "member_since": since.isoformat(),
        },
    )


def _message(
    row: tuple[int, ...],
    *,
    number: int,
    shop: Shop,
    profile_ids: Sequence[int],
    prefix: str,
    clicks: Sequence[Click],
) -> dict[str, Any]:
    at, person, kind, item, value, order, trial, position = row
    good = shop.goods[item] if item >= 0 else None
    properties = _properties(kind, good=good, value=value, order=f"{prefix}-{order}")
    if trial >= 0:
        properties |= _click(clicks[trial], person=person, position=position)
    return {
        "type": "track",
        "messageId": f"{prefix}-{number}",
        "timestamp": at,
        "profileId": profile_ids[person],
        "event": NAMES[kind],
        "properties": properties,
    }


def _properties(kind: int, *, good: Good | None, value: int, order: str) -> dict[str, Any]:
    if good is None:
        return {}
    if kind == Kind.SEARCHED:
        return {"query": good.title.rsplit(" ", maxsplit=1)[-1]}
    properties: dict[str, Any] = {"product_id": good.item_id, "category": good.category}
    if kind in {Kind.ORDERED, Kind.REFUNDED}:
        properties |= {"order_id": order, "revenue": value / MICRO, "currency": settings.REPORTING_CURRENCY}
    return properties


def _click(click: Click, *, person: int, position: int) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "experiment": click.experiment_key,
        "campaign": click.campaign,
        "arm": click.arm_of[person],
        "position": position,
    }
    slate = click.shown.get(person)
    if slate is not None and position < len(slate.items):
        item_id, category = slate.items[position]
        properties |= {"recommendation_id": slate.recommendation_id, "product_id": item_id, "category": category}
    return properties
