"""The one way in: messages in Segment's format become events, people, traits and exposures, each exactly once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from experiments.services.dirty import mark_dirty
from experiments.services.exposure import record_many
from marketing.models import DeadLetter, Event, EventType, Source
from marketing.services import traits
from marketing.services.archive import archived_messages
from marketing.services.bulk import insert_new, uncollected
from marketing.services.changes import mark_changed
from marketing.services.messages import (
    EXPOSURE_EVENT,
    ORDER_EVENT,
    REFUND_EVENT,
    BadMessage,
    Message,
    parse,
    storable_json,
    to_micro,
)
from marketing.services.money import Rates
from marketing.services.reported import exposure_rows
from marketing.services.resolution import People, Person, resolve
from marketing.services.summaries import Fact, add_facts
from marketing.services.tombstones import erased

MAX_EVENT_TYPES: Final = 2_000  # names are interned for ever: a client that sends ids as names must not fill the table
LONGEST_PAYLOAD: Final = 64 * 1024
EVENT_COLUMNS: Final = (
    "source_id",
    "message_id",
    "identity_id",
    "profile_id",
    "type_id",
    "at",
    "item",
    "value",
    "currency",
    "order_id",
    "recommendation_id",
    "props",
)


@dataclass(slots=True)
class IngestResult:
    """What became of a batch. `rejected` holds (index, reason) pairs, `erased` indexes; everything else are counts."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)
    erased: list[int] = field(default_factory=list)
    """About people who were erased after it happened: not stored, and kept nowhere."""
    unconverted: int = 0
    profiles_created: int = 0
    profiles_merged: int = 0
    exposures: int = 0
    exposures_rejected: Counter[str] = field(default_factory=Counter)
    traits_ignored: Counter[str] = field(default_factory=Counter)


@uncollected()
def ingest(
    *, messages: Sequence[Any], received_at: datetime | Sequence[datetime], source: Source, keep_rejected: bool = True
) -> IngestResult:
    """Store a batch in one transaction (the caller's, if there is one).

    A bad message never stops the others: it is reported, and kept as a dead letter unless `keep_rejected` is off.
    The work is set-based; memory is bounded by the batch, so callers send up to about 10,000 messages at a time.
    `received_at` is one moment for all messages or one for each.
    """
    result = IngestResult()
    if not messages:
        return result
    moments = [received_at] * len(messages) if isinstance(received_at, datetime) else received_at
    latest = max(moments)
    good: list[tuple[int, Message]] = []
    for index, (message, moment) in enumerate(zip(messages, moments, strict=True)):
        try:
            good.append((index, parse(message, received_at=moment, kind=source.kind)))
        except BadMessage as error:
            result.rejected.append((index, str(error)))
    with transaction.atomic():
        types = _intern(good, result)
        good = _without_repetitions(good, result)
        good = _without_erased(good, result, source)
        people = resolve(messages=[message for _, message in good], source_kind=source.kind, at=latest)
        result.profiles_created, result.profiles_merged = people.created, people.merged
        rates = Rates(message for _, message in good)
        batch = _Batch(people=people, types=types, source=source, rates=rates, result=result)
        _store_events(good, batch)
        _store_traits(good, batch)
        if keep_rejected:
            _bury(messages, result, source, latest)
    result.rejected.sort()
    result.erased.sort()
    return result


def _intern(good: list[tuple[int, Message]], result: IngestResult) -> dict[str, int]:
    """Return name → id of the events' types, made if new; with too many names the messages are rejected."""
    names = {message.event for _, message in good if message.event}
    known = dict(EventType.objects.filter(name__in=names).values_list("name", "pk"))
    missing = sorted(names - known.keys())
    if missing:
        room = max(0, MAX_EVENT_TYPES - EventType.objects.count())
        known |= insert_new(model=EventType, columns=("name",), rows=[(name,) for name in missing[:room]], key="name")
        # Another process may have been faster with one of them.
        known |= dict(EventType.objects.filter(name__in=missing).values_list("name", "pk"))
        if names - known.keys():
            refused = [index for index, message in good if message.event and message.event not in known]
            result.rejected += [(index, f"more than {MAX_EVENT_TYPES} kinds of events") for index in refused]
            good[:] = [pair for pair in good if not pair[1].event or pair[1].event in known]
    return known


def _without_repetitions(good: list[tuple[int, Message]], result: IngestResult) -> list[tuple[int, Message]]:
    unique: dict[str, tuple[int, Message]] = {}
    for pair in good:
        unique.setdefault(pair[1].message_id, pair)
    result.duplicates += len(good) - len(unique)
    return list(unique.values())


def _without_erased(good: list[tuple[int, Message]], result: IngestResult, source: Source) -> list[tuple[int, Message]]:
    gone = erased(messages=[message for _, message in good], source_kind=source.kind)
    result.erased += [good[place][0] for place in gone]
    return [pair for place, pair in enumerate(good) if place not in gone]


@dataclass(frozen=True, slots=True)
class _Batch:
    """What turning messages into rows needs to know."""

    people: People
    types: Mapping[str, int]
    source: Source
    rates: Rates
    result: IngestResult

    def row(self, message: Message) -> tuple[Any, ...]:
        """Return the values of `EVENT_COLUMNS`."""
        person = self.person(message)
        value = None
        props = message.props_json
        if message.amount is not None:
            if self.rates.is_known(message):
                value = to_micro(message.amount, rate=self.rates.of(message))
                if message.event == REFUND_EVENT:
                    value = -abs(value)
            else:
                # Held out: no sum counts it, and it can be found and converted once the rate is there.
                props = storable_json({**message.props, "unconverted": str(message.amount)})
                self.result.unconverted += 1
        return (
            self.source.pk,
            message.message_id,
            person.identity_id,
            person.profile_id,
            self.types[message.event],
            message.at,
            message.item,
            value,
            message.currency,
            message.order_id,
            message.recommendation_id,
            props,
        )

    def person(self, message: Message) -> Person:
        person = self.people.of(message)
        if person is None:
            raise BadMessage("there is no such profile")
        return person


def _store_events(good: Sequence[tuple[int, Message]], batch: _Batch) -> None:
    result = batch.result
    rows: dict[str, tuple[Any, ...]] = {}
    for index, message in good:
        if not message.event:
            continue
        try:
            rows[message.message_id] = batch.row(message)
        except BadMessage as error:
            result.rejected.append((index, str(error)))
    for known in archived_messages(source=batch.source, message_ids=rows):
        result.duplicates += 1
        del rows[known]
    new = insert_new(model=Event, columns=EVENT_COLUMNS, rows=list(rows.values()), key="message_id")
    result.duplicates += len(rows) - len(new)
    result.accepted += len(new)
    # Columns 3, 4, 5 and 7 of a row are profile, type, moment and value.
    facts: list[Fact] = [(row[3], row[4], row[5], row[7]) for key, row in rows.items() if key in new]
    profiles = {fact[0] for fact in facts}
    mark_dirty(units=map(str, profiles))
    mark_changed(profile_ids=profiles)
    if facts:
        add_facts(facts=facts, order_type=batch.types.get(ORDER_EVENT), refund_type=batch.types.get(REFUND_EVENT))
    exposed = [message for _, message in good if message.event == EXPOSURE_EVENT and message.message_id in new]
    if exposed:
        _store_exposures(exposed, batch)


def _store_exposures(exposed: Sequence[Message], batch: _Batch) -> None:
    rows, left_out = exposure_rows(messages=exposed, people=batch.people, source=batch.source)
    recorded = record_many(rows=rows)
    batch.result.exposures += recorded.accepted
    batch.result.exposures_rejected.update(left_out)
    batch.result.exposures_rejected.update(row.reason for row in recorded.rejected)


def _store_traits(good: Sequence[tuple[int, Message]], batch: _Batch) -> None:
    statements = []
    for index, message in good:
        if message.event:
            continue
        try:
            person = batch.person(message)
        except BadMessage as error:
            batch.result.rejected.append((index, str(error)))
            continue
        batch.result.accepted += 1
        if message.traits:
            statements.append(traits.Statement(person.profile_id, message.at, message.traits))
    batch.result.traits_ignored.update(traits.apply(statements=statements, source_id=batch.source.pk))


def _bury(messages: Sequence[Any], result: IngestResult, source: Source, at: datetime) -> None:
    DeadLetter.objects.bulk_create(
        DeadLetter(source=source, payload=_payload(messages[index]), reason=reason[:200], at=at)
        for index, reason in result.rejected
    )


def _payload(message: Any) -> str:
    """The message as text that every database can keep: ASCII, so neither NUL nor half a surrogate pair is in it."""
    try:
        text = json.dumps(message)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(f"not JSON: {type(message).__name__}")
    return text[:LONGEST_PAYLOAD]
