"""One message in Segment's format, checked and taken apart. Nothing here touches the database."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from marketing.choices import IdentityKind, SourceKind
from marketing.segmentation.clock import EPOCH, MICROSECOND

MICRO: Final = 1_000_000
MAX_MESSAGE_BYTES: Final = 32 * 1024  # Segment's own limit
MAX_ID: Final = 200
MAX_IDENTITY: Final = 255
MAX_NAME: Final = 100
LONGEST_AGENT: Final = 500
MAX_INT64: Final = 2**63 - 1
# A client's clock may run ahead of ours by this much; later than that is not skew but nonsense.
FUTURE_TOLERANCE: Final = timedelta(hours=1)

EXPOSURE_EVENT: Final = "Experiment Viewed"
REFUND_EVENT: Final = "Order Refunded"
ORDER_EVENT: Final = "Order Completed"
_NAMED: Final = {"page": "Page Viewed", "screen": "Screen Viewed", "group": "Group Joined"}
_VALUE_KEYS: Final = ("revenue", "total", "value")
_COLUMN_KEYS: Final = frozenset(("product_id", "sku", "order_id", "recommendation_id", "currency"))
_PEELED: Final = _COLUMN_KEYS.union(_VALUE_KEYS, ("products",))
"""Properties that may be more than a property."""
# A frozenset: `.values` builds a list at each look, for each of millions of messages.
_IDENTITY_KINDS: Final = frozenset(IdentityKind.values)
_INSIDE: Final = (SourceKind.INTERNAL, SourceKind.DEMO)

IdentityKey = tuple[str, str]
_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
# Only what JSON itself knows: what it would make of anything else is not what was sent.
_PLAIN: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


class BadMessage(ValueError):
    """The message cannot be stored; the text says why."""


@dataclass(slots=True)
class Message:
    """What a good message says. `event` is empty for identify and alias."""

    message_id: str
    at: int
    event: str = ""
    identity: IdentityKey | None = None
    profile_id: int | None = None
    also: tuple[IdentityKey, ...] = ()
    """Further identities of the same person, to be joined with the first."""
    is_alias: bool = False
    item: str | None = None
    amount: Decimal | float | None = None
    currency: str = ""
    order_id: str = ""
    recommendation_id: str = ""
    user_agent: str = ""
    """Of an exposure: what the browser calls itself."""
    group_id: str = ""
    """The account or household that the message names."""
    props: dict[str, Any] = field(default_factory=dict)
    props_json: str = "{}"
    traits: Mapping[str, Any] | None = None


def parse(message: Any, *, received_at: datetime, kind: str) -> Message:
    """Return the message taken apart; `BadMessage` says what is wrong with it."""
    if type(message) is not dict and not isinstance(message, Mapping):
        raise BadMessage("a message must be an object")
    type_ = message.get("type")
    message_id = _text(message.get("messageId"), name="messageId", longest=MAX_ID)
    if not message_id:
        raise BadMessage("messageId is missing")
    parsed = Message(message_id=message_id, at=_moment(message, received_at))
    _identify(parsed, message, kind)
    if type_ == "track":
        parsed.event = _text(message.get("event"), name="event", longest=MAX_NAME)
        if not parsed.event:
            raise BadMessage("event is missing")
        _properties(parsed, _mapping(message, "properties"))
        if parsed.event == EXPOSURE_EVENT:
            _surroundings(parsed, message)
    elif type_ in _NAMED:
        parsed.event = _NAMED[type_]
        _properties(parsed, {**_mapping(message, "properties"), **_named(message)})
    elif type_ == "identify":
        parsed.traits = _checked_traits(_mapping(message, "traits"))
    elif type_ == "alias":
        previous = _text(message.get("previousId"), name="previousId", longest=MAX_IDENTITY)
        if not previous:
            raise BadMessage("previousId is missing")
        parsed.also = ((IdentityKind.ANONYMOUS, previous),)
        parsed.is_alias = True
    else:
        raise BadMessage(f"type must be track, page, screen, identify, alias or group, got {type_!r:.40}")
    return parsed


def _named(message: Mapping[str, Any]) -> dict[str, Any]:
    """What a page, screen or group message says beside its properties; a group's kind is a trait of it."""
    extra = {key: message[key] for key in ("name", "category", "groupId") if message.get(key)}
    group_type = _mapping(message, "traits").get("type") if message["type"] == "group" else None
    return extra | ({"group_type": group_type} if isinstance(group_type, str) and group_type else {})


def _identify(parsed: Message, message: Mapping[str, Any], kind: str) -> None:
    user = _text(message.get("userId"), name="userId", longest=MAX_IDENTITY)
    visitor = _text(message.get("anonymousId"), name="anonymousId", longest=MAX_IDENTITY)
    context = message.get("context")
    found: list[IdentityKey] = []
    if user:
        found.append((IdentityKind.USER_ID, user))
    if type(context) is dict and kind != SourceKind.BROWSER and ("identity" in context or "identities" in context):
        found += _other_identities(context)
    if visitor:
        found.append((IdentityKind.ANONYMOUS, visitor))
    if found:
        parsed.identity = found[0]
        parsed.also = tuple(found[1:])
    elif kind in _INSIDE and type(message.get("profileId")) is int:
        parsed.profile_id = message["profileId"]
    else:
        raise BadMessage("neither userId nor anonymousId")


def _other_identities(context: Mapping[str, Any]) -> list[IdentityKey]:
    """The identities in `context`, from servers only: a browser could name anybody's address there."""
    given = context.get("identities", [])
    listed = [
        *(given if isinstance(given, list) else [given]),
        *([context["identity"]] if "identity" in context else []),
    ]
    found = []
    for one in listed:
        if not isinstance(one, Mapping):
            raise BadMessage("context.identity needs a known kind and a value")
        value = _text(one.get("value"), name="identity", longest=MAX_IDENTITY).strip()
        if one.get("kind") not in _IDENTITY_KINDS or not value:
            raise BadMessage("context.identity needs a known kind and a value")
        found.append((str(one["kind"]), normalized(one["kind"], value)))
    return found


def normalized(kind: str, value: str) -> str:
    """Return the value as it is kept: addresses in lower case, everything without outer blanks."""
    value = value.strip()
    return value.lower() if kind == IdentityKind.EMAIL else value


def _moment(message: Mapping[str, Any], received_at: datetime) -> int:
    given = message.get("timestamp")
    at = received_at if given is None or given == "" else moment(given)
    sent = message.get("sentAt")
    if sent and given:
        # The client's clock is as wrong when it sends as when it stamps.
        try:
            at += received_at - moment(sent)
        except OverflowError as error:
            raise BadMessage("timestamp is not a date") from error
    if at > received_at + FUTURE_TOLERANCE:
        raise BadMessage("timestamp lies in the future")
    micros = (at - EPOCH) // MICROSECOND
    if micros < 0:
        raise BadMessage("timestamp lies before 1970")
    return micros


def moment(given: Any) -> datetime:
    """Return the moment of an ISO 8601 text or of a number of seconds, milli- or microseconds since 1970."""
    try:
        if isinstance(given, str):
            at = datetime.fromisoformat(given)
            return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        if isinstance(given, int | float) and not isinstance(given, bool):
            size = abs(given)
            divisor = 1 if size < 1e11 else 1_000 if size < 1e14 else 1_000_000
            return EPOCH + timedelta(microseconds=round(given * (MICRO // divisor)))
    except (ValueError, OverflowError) as error:
        raise BadMessage("timestamp is not a date") from error
    raise BadMessage("timestamp is not a date")


def _surroundings(parsed: Message, message: Mapping[str, Any]) -> None:
    """What an exposure needs of the context: who saw it, and for which account."""
    context = message.get("context")
    given: Mapping[str, Any] = context if isinstance(context, Mapping) else {}
    agent = given.get("userAgent")
    parsed.user_agent = agent[:LONGEST_AGENT] if isinstance(agent, str) else ""
    group = parsed.props.get("group_id") or given.get("groupId")
    parsed.group_id = _text(group, name="groupId", longest=MAX_ID)
    if parsed.group_id and parsed.props.get("group_id") != parsed.group_id:
        # Whoever saw it for a group belongs to it: the facts read that from the event.
        parsed.props = {**parsed.props, "group_id": parsed.group_id}
        parsed.props_json = storable_json(parsed.props)


def _properties(parsed: Message, given: Mapping[str, Any]) -> None:
    if _PEELED.isdisjoint(given):
        parsed.props = dict(given)
        parsed.props_json = storable_json(parsed.props)
        return
    parsed.item = _text(_item(given), name="product_id", longest=MAX_IDENTITY) or None
    if "order_id" in given:
        parsed.order_id = _text(given["order_id"], name="order_id", longest=MAX_NAME)
    if "recommendation_id" in given:
        parsed.recommendation_id = _text(given["recommendation_id"], name="recommendation_id", longest=36)
    if "currency" in given:
        parsed.currency = _text(given["currency"], name="currency", longest=3).upper()
    used = None
    for key in _VALUE_KEYS:
        if given.get(key) not in (None, ""):
            used = key
            parsed.amount = amount(given[key])
            break
    parsed.props = {key: value for key, value in given.items() if key not in _COLUMN_KEYS and key != used}
    parsed.props_json = storable_json(parsed.props)


def _item(given: Mapping[str, Any]) -> Any:
    """The product that an event is about; of an order with one product, that one."""
    item = given.get("product_id") or given.get("sku")
    if item or "products" not in given:
        return item
    products = given["products"]
    only = products[0] if isinstance(products, list) and len(products) == 1 else None
    return only.get("product_id") or only.get("sku") if isinstance(only, Mapping) else None


def amount(given: Any) -> Decimal | float:
    """Return a finite number from a JSON number or its text."""
    if isinstance(given, str):
        try:
            number = Decimal(given.strip())
        except InvalidOperation as error:
            raise BadMessage("the value is not a number") from error
        if not number.is_finite():
            raise BadMessage("the value is not finite")
        return number
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise BadMessage("the value is not a number")
    if not math.isfinite(given):
        raise BadMessage("the value is not finite")
    return Decimal(given) if isinstance(given, int) else given


def to_micro(number: Decimal | float, *, rate: Decimal | None = None) -> int:
    """Return the amount in millionths, converted at `rate`; half a millionth goes to the even side."""
    exact = number if isinstance(number, Decimal) else Decimal(repr(number))
    scaled = exact * MICRO * (1 if rate is None else rate)
    if abs(scaled) > MAX_INT64:
        raise BadMessage("the value is too large")
    return round(scaled)


def storable_json(value: Any) -> str:
    """Return the value as JSON that every supported database can keep."""
    if not value:
        return "{}"
    try:
        raw = orjson.dumps(value, option=_PLAIN)
    except TypeError:
        return _strictly_encoded(value)
    # It writes NaN as null, so that a null is looked at again.
    if b"null" in raw or b"\\u0000" in raw or len(raw) > MAX_MESSAGE_BYTES:
        return _strictly_encoded(value)
    return raw.decode()


def _strictly_encoded(value: Any) -> str:
    """The slow way, which says what is wrong."""
    try:
        text = _encode(value)
    except (ValueError, TypeError) as error:
        raise BadMessage("the properties are not JSON") from error
    except RecursionError as error:
        raise BadMessage("the properties are nested too deeply") from error
    if "\\u0000" in text and "\\u0000" in text.replace("\\\\", ""):
        raise BadMessage("the properties contain a NUL character")
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise BadMessage("the properties contain half a surrogate pair") from error
    if size > MAX_MESSAGE_BYTES:
        raise BadMessage("the message is larger than 32 KB")
    return text


def _text(value: Any, *, name: str, longest: int) -> str:
    if value is None:
        return ""
    if type(value) is str and len(value) <= longest and value.isascii() and "\x00" not in value:
        return value  # nearly every value: the checks below only find out what is wrong with the others
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if value.bit_length() <= 64 else "?" * (longest + 1)
    if not isinstance(value, str):
        raise BadMessage(f"{name} must be a text")
    if len(value) > longest:
        raise BadMessage(f"{name} is longer than {longest} characters")
    if "\x00" in value:
        raise BadMessage(f"{name} contains a NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadMessage(f"{name} contains half a surrogate pair") from error
    return value


def _mapping(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = message.get(name)
    if value is None:
        return {}
    if type(value) is not dict and not isinstance(value, Mapping):
        raise BadMessage(f"{name} must be an object")
    return value


def _checked_traits(traits: Mapping[str, Any]) -> Mapping[str, Any]:
    storable_json(traits)
    return traits
