"""From a row of a file to a message: which column is which field."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from marketing.choices import IdentityKind
from marketing.errors import CannotImport
from marketing.services.messages import normalized

# Field → the identity it states, in the order of trust.
IDENTITY_FIELDS: Final = {
    "user_id": IdentityKind.USER_ID.value,
    "crm": IdentityKind.CRM.value,
    "email": IdentityKind.EMAIL.value,
    "anonymous_id": IdentityKind.ANONYMOUS.value,
    "device": IdentityKind.DEVICE.value,
}
EVENT_FIELDS: Final = ("event", "timestamp", "message_id")
SKIP: Final = "-"
CONSENT: Final = "consent_"  # `consent_<purpose>`, `consent_at`, `consent_text_version`
# What other systems call these fields; a column is recognised by its name in lower case without blanks.
KNOWN_NAMES: Final = {
    "userid": "user_id",
    "user_id": "user_id",
    "customer_id": "user_id",
    "customerid": "user_id",
    "crm": "crm",
    "crm_id": "crm",
    "email": "email",
    "e-mail": "email",
    "email_address": "email",
    "anonymousid": "anonymous_id",
    "anonymous_id": "anonymous_id",
    "visitor_id": "anonymous_id",
    "device_id": "device",
    "event": "event",
    "event_name": "event",
    "event_type": "event",
    "timestamp": "timestamp",
    "time": "timestamp",
    "at": "timestamp",
    "created_at": "timestamp",
    "messageid": "message_id",
    "message_id": "message_id",
}
MOST_COLUMNS: Final = 10_000  # JSON lines may have other names in each row: what is remembered has an end
EPOCH_DIGITS: Final = 9  # a number of at least so many digits is seconds since 1970; 20261124 is a day


@dataclass(frozen=True, slots=True)
class RowMapping:
    """How to read the rows of a file. `renamed` has column → field where the names differ."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    event: str = ""
    """The event's name, in a file whose rows are all the same kind of event."""
    time_zone: str = "UTC"
    """Of times that do not name their own."""
    _fields: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    """Columns whose fields have been looked up."""

    def as_json(self) -> dict[str, Any]:
        return {"renamed": dict(sorted(self.renamed.items())), "event": self.event, "time_zone": self.time_zone}

    def field_of(self, column: str) -> str:
        """Return the field that a column is; a column of another name is a property or a trait of that name."""
        known = self._fields.get(column)
        if known is None:
            given = self.renamed.get(column)
            known = given if given is not None else KNOWN_NAMES.get(column.strip().lower().replace(" ", "_"), column)
            if len(self._fields) < MOST_COLUMNS:
                self._fields[column] = known
        return known


def read_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """Return `column=field` arguments as a mapping."""
    renamed = {}
    for pair in pairs:
        column, sign, name = pair.partition("=")
        if not sign or not column.strip() or not name.strip():
            raise CannotImport(f"--map needs column=field, got {pair!r}")
        renamed[column.strip()] = name.strip()
    return renamed


def check_columns(columns: Sequence[str], mapping: RowMapping, *, is_events: bool) -> None:
    """Raise `CannotImport` if the file cannot be read with this mapping."""
    unknown = sorted(set(mapping.renamed) - set(columns))
    if unknown:
        raise CannotImport(f"there is no column {', '.join(unknown)}; the file has {', '.join(columns)}")
    fields = [mapping.field_of(column) for column in columns]
    twice = sorted({one for one in fields if one != SKIP and fields.count(one) > 1})
    if twice:
        raise CannotImport(f"more than one column is {', '.join(twice)}: name the right one with --map column=field")
    if not set(fields) & IDENTITY_FIELDS.keys():
        raise CannotImport(f"no column says who: map one to {', '.join(IDENTITY_FIELDS)}")
    if is_events and "event" not in fields and not mapping.event:
        raise CannotImport("no column says what happened: map one to event, or name it with --event")


def event_message(row: Mapping[str, Any], mapping: RowMapping, *, message_id: str) -> dict[str, Any]:
    """Return a row of an event file as a message; a row in Segment's own format stays what it is."""
    if "type" in row and ("event" in row or row["type"] != "track") and not mapping.renamed:
        return {"messageId": message_id, **row}
    fields = _fields(row, mapping)
    properties = fields.pop("properties", None)
    message = {
        "type": "track",
        "messageId": fields.pop("message_id", None) or message_id,
        "event": fields.pop("event", None) or mapping.event,
        "timestamp": moment_text(fields.pop("timestamp", None), mapping),
        "userId": fields.pop("user_id", None),
        "anonymousId": fields.pop("anonymous_id", None),
    }
    others = _identities(fields)
    if others:
        message["context"] = {"identities": others}
    message["properties"] = {**fields, **properties} if isinstance(properties, Mapping) else fields
    return message


def profile_message(row: Mapping[str, Any], mapping: RowMapping, *, message_id: str, at: datetime) -> dict[str, Any]:
    """Return a row of a profile file as an `identify` message; an address is an identity and a trait."""
    fields = _fields(row, mapping)
    for name in EVENT_FIELDS[2:]:
        fields.pop(name, None)
    email = fields.get("email")
    stated = moment_text(fields.pop("timestamp", None), mapping)
    identities = _identities(fields)
    fields = {name: value for name, value in fields.items() if not name.startswith(CONSENT)}
    nested = fields.pop("traits", None)
    traits = {**fields, **nested} if isinstance(nested, Mapping) else fields
    return {
        "type": "identify",
        "messageId": message_id,
        "timestamp": stated or at.isoformat(),
        "context": {"identities": identities},
        "traits": {**traits, "email": email} if email else traits,
    }


def trait_columns(columns: Collection[str], mapping: RowMapping) -> list[str]:
    """Return the names that a profile file's columns have as traits."""
    fields = [mapping.field_of(column) for column in columns]
    known = {*IDENTITY_FIELDS, *EVENT_FIELDS, SKIP}
    return [one for one in fields if one not in known and not one.startswith(CONSENT)]


def first_identity(row: Mapping[str, Any], mapping: RowMapping) -> tuple[str, str] | None:
    """Return the identity that a row is resolved by: the most trusted one that it has."""
    listed = _identities(_fields(row, mapping))
    return (listed[0]["kind"], normalized(listed[0]["kind"], str(listed[0]["value"]))) if listed else None


def consent_fields(row: Mapping[str, Any], mapping: RowMapping) -> dict[str, Any]:
    """Return what a row says about consent: purpose (or `at`, `text_version`) → value; blanks say nothing."""
    fields = _fields(row, mapping)
    return {name.removeprefix(CONSENT): value for name, value in fields.items() if name.startswith(CONSENT)}


def _fields(row: Mapping[str, Any], mapping: RowMapping) -> dict[str, Any]:
    return {
        name: value
        for column, value in row.items()
        if value not in ("", None) and (name := mapping.field_of(column)) != SKIP
    }


def _identities(fields: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"kind": kind, "value": fields.pop(name)} for name, kind in IDENTITY_FIELDS.items() if name in fields]


def moment_text(value: Any, mapping: RowMapping) -> Any:
    """Return a time as `ingest` reads it: numbers as numbers, a time without a zone in the file's zone."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lstrip("-").replace(".", "", 1).isdigit() and len(text.partition(".")[0]) >= EPOCH_DIGITS:
        return float(text) if "." in text else int(text)
    if mapping.time_zone == "UTC":
        return text
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text  # `ingest` says what is wrong with it
    return at.replace(tzinfo=ZoneInfo(mapping.time_zone)).isoformat() if at.tzinfo is None else text
