"""Messages become events, people, traits and exposures, each exactly once."""

from __future__ import annotations

import gc
import json
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from marketing.choices import IdentityKind, SourceKind, TraitType
from marketing.models import (
    Activity,
    DeadLetter,
    Event,
    EventType,
    ExchangeRate,
    Identity,
    Profile,
    ProfileTrait,
)
from marketing.segmentation.clock import to_micros
from marketing.services import ingestion
from marketing.services.bulk import uncollected
from marketing.services.messages import BadMessage, storable_json
from marketing.services.profiles import declare_trait
from tests.factories.marketing import NOW, make_profile, make_source, send, track

pytestmark = pytest.mark.django_db


def test_ingest__track__stores_the_event_once_with_its_columns() -> None:
    message = track(
        "Order Completed",
        user="u1",
        message_id="m1",
        order_id="o1",
        revenue=19.99,
        currency="EUR",
        product_id="p1",
        recommendation_id="r1",
        color="blue",
    )

    first, second = send(message), send(message)

    assert (first.accepted, first.duplicates) == (1, 0)
    assert (second.accepted, second.duplicates) == (0, 1)
    event = Event.objects.select_related("type", "identity").get()
    assert (event.type.name, event.item, event.order_id, event.recommendation_id) == (
        "Order Completed",
        "p1",
        "o1",
        "r1",
    )
    assert (event.value, event.currency, event.props) == (19_990_000, "EUR", {"color": "blue"})
    assert event.at == to_micros(NOW)
    assert str(event.identity) == "user_id:u1"
    assert event.profile_id == event.identity.profile_id


def test_ingest__repetition_inside_a_batch__counts_as_duplicate() -> None:
    result = send(*(track("Page Viewed", user="u1", message_id="same") for _ in range(3)))

    assert (result.accepted, result.duplicates, Event.objects.count()) == (1, 2, 1)


def test_ingest__same_message_id_of_two_sources__is_two_events() -> None:
    send(track("Page Viewed", user="u1", message_id="m1"), source=make_source("one"))
    send(track("Page Viewed", user="u1", message_id="m1"), source=make_source("two"))

    assert Event.objects.count() == 2


def test_ingest__orders_and_a_refund__activity_and_profile_add_up() -> None:
    early, late = NOW - timedelta(days=3), NOW - timedelta(days=1)
    send(
        track("Order Completed", user="u1", at=late, revenue="10.50"),
        track("Order Completed", user="u1", at=early, revenue=20),
        track("Order Refunded", user="u1", at=NOW, total=5),
        track("Product Viewed", user="u1", at=NOW, product_id="p1"),
    )
    repeated = track("Order Completed", user="u1", at=early - timedelta(days=1), revenue=1, message_id="again")
    send(repeated)
    send(repeated)

    profile = Profile.objects.get()
    assert (profile.orders_n, profile.revenue) == (3, 26_500_000)
    assert profile.first_seen_at == to_micros(early - timedelta(days=1))
    assert profile.last_seen_at == to_micros(NOW)
    orders = Activity.objects.get(type__name="Order Completed")
    assert (orders.n, orders.total, orders.last_at) == (3, 31_500_000, to_micros(late))
    assert Activity.objects.get(type__name="Order Refunded").total == -5_000_000


def test_ingest__one_product_in_the_order__is_its_item() -> None:
    send(
        track("Order Completed", user="u1", message_id="one", products=[{"sku": "p1"}]),
        track("Order Completed", user="u1", message_id="two", products=[{"sku": "p1"}, {"sku": "p2"}]),
    )

    assert Event.objects.get(message_id="one").item == "p1"
    assert Event.objects.get(message_id="two").item is None


def test_ingest__page_screen_and_group__are_events_by_their_names() -> None:
    base = {"userId": "u1", "timestamp": NOW.isoformat()}
    send(
        {**base, "type": "page", "messageId": "1", "name": "Home", "properties": {"path": "/"}},
        {**base, "type": "screen", "messageId": "2", "name": "Start"},
        {**base, "type": "group", "messageId": "3", "groupId": "g1"},
    )

    names = dict(Event.objects.values_list("message_id", "type__name"))
    assert names == {"1": "Page Viewed", "2": "Screen Viewed", "3": "Group Joined"}
    assert Event.objects.get(message_id="1").props == {"path": "/", "name": "Home"}
    assert Event.objects.get(message_id="3").props == {"groupId": "g1"}


BAD_MESSAGES = {
    "not an object": "a message must be an object",
    "no id": "messageId is missing",
    "no person": "neither userId nor anonymousId",
    "unknown type": "type must be track",
    "no event": "event is missing",
    "no previous id": "previousId is missing",
    "future": "timestamp lies in the future",
    "before 1970": "timestamp lies before 1970",
    "year 1": "timestamp lies before 1970",
    "no date": "timestamp is not a date",
    "date is a list": "timestamp is not a date",
    "date overflows": "timestamp is not a date",
    "sent at the end of time": "timestamp is not a date",
    "NUL in the event": "event contains a NUL character",
    "NUL in the properties": "the properties contain a NUL character",
    "surrogate in the user id": "userId contains half a surrogate pair",
    "surrogate in the properties": "the properties contain half a surrogate pair",
    "long id": "messageId is longer than 200 characters",
    "huge number as id": "messageId is longer than 200 characters",
    "list as user id": "userId must be a text",
    "large": "the message is larger than 32 KB",
    "infinite": "the value is not finite",
    "infinite text": "the value is not finite",
    "not a number": "the value is not a number",
    "true as value": "the value is not a number",
    "list as value": "the value is not a number",
    "too large": "the value is too large",
    "NaN inside": "the properties are not JSON",
    "deep": "the properties are nested too deeply",
    "properties are a list": "properties must be an object",
    "unknown identity": "context.identity needs a known kind and a value",
}


def _bad_message(name: str) -> object:
    good = track("Order Completed", user="u1", message_id="bad")
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    props = {
        "NUL in the properties": {"a": "x\x00"},
        "surrogate in the properties": {"a": "\ud800"},
        "large": {"a": "x" * 33_000},
        "infinite": {"revenue": float("inf")},
        "infinite text": {"revenue": "Infinity"},
        "not a number": {"revenue": "12,5"},
        "true as value": {"revenue": True},
        "list as value": {"revenue": [1]},
        "too large": {"revenue": 1e300},
        "NaN inside": {"a": float("nan")},
        "deep": {"a": deep},
        "properties are a list": [1],
    }
    changes: dict[str, dict[str, object]] = {
        "no id": {"messageId": None},
        "no person": {"userId": ""},
        "unknown type": {"type": "dance"},
        "no event": {"event": ""},
        "no previous id": {"type": "alias"},
        "future": {"timestamp": (NOW + timedelta(hours=2)).isoformat()},
        "before 1970": {"timestamp": "1969-12-31T23:59:59Z"},
        "year 1": {"timestamp": "0001-01-01T00:00:00Z"},
        "no date": {"timestamp": "yesterday"},
        "date is a list": {"timestamp": [1]},
        "date overflows": {"timestamp": 1e300},
        "sent at the end of time": {"timestamp": "0001-01-01T00:00:00Z", "sentAt": "9999-12-31T00:00:00Z"},
        "NUL in the event": {"event": "a\x00b"},
        "surrogate in the user id": {"userId": "\udfff"},
        "long id": {"messageId": "x" * 201},
        "huge number as id": {"messageId": 10**5000},
        "list as user id": {"userId": [1]},
        "unknown identity": {"userId": None, "context": {"identity": {"kind": "shoe", "value": "42"}}},
    }
    if name == "not an object":
        return [1, 2]
    return {**good, "properties": props.get(name, {}), **changes.get(name, {})}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_ingest__bad_message__is_buried_and_stops_nobody(name: str) -> None:
    result = send(track("Page Viewed", user="u1", message_id="good"), _bad_message(name))

    assert result.accepted == 1
    ((index, reason),) = result.rejected
    assert index == 1
    assert reason.startswith(BAD_MESSAGES[name])
    letter = DeadLetter.objects.get()
    assert letter.reason == reason
    assert json.loads(letter.payload) if len(letter.payload) < ingestion.LONGEST_PAYLOAD else letter.payload.isascii()


def test_ingest__rejected_not_kept__leaves_no_dead_letter() -> None:
    ingestion.ingest(messages=[{}], received_at=NOW, source=make_source(), keep_rejected=False)

    assert not DeadLetter.objects.exists()


def test_ingest__wrong_client_clock__is_corrected_by_the_time_of_sending() -> None:
    client = NOW + timedelta(days=400)
    send({**track("Page Viewed", user="u1", at=client - timedelta(seconds=5)), "sentAt": client.isoformat()})

    assert Event.objects.get().at == to_micros(NOW - timedelta(seconds=5))


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(1_790_000_000, 0), (1_790_000_000_000, 0), (1_790_000_000_000_000, 0), (1_790_000_000.5, 0.5)],
)
def test_ingest__number_as_timestamp__is_seconds_milli_or_microseconds(given: float, seconds: float) -> None:
    send({**track("Page Viewed", user="u1"), "timestamp": given})

    assert Event.objects.get().at == 1_790_000_000_000_000 + round(seconds * 1e6)


def test_ingest__no_timestamp__is_the_moment_of_arrival() -> None:
    send({**track("Page Viewed", user="u1"), "timestamp": None})

    assert Event.objects.get().at == to_micros(NOW)


def test_ingest__foreign_currency__converts_at_the_days_rate_or_is_held_out() -> None:
    ExchangeRate.objects.create(currency="USD", day=date(2026, 11, 24), rate=Decimal("0.9"))
    result = send(
        track("Order Completed", user="u1", message_id="usd", revenue=10, currency="usd"),
        track("Order Completed", user="u1", message_id="gbp", revenue=10, currency="GBP", note="x"),
        track("Order Completed", user="u1", message_id="old", revenue=1, currency="USD", at=NOW - timedelta(days=2)),
    )

    assert result.unconverted == 2
    assert Event.objects.get(message_id="usd").value == 9_000_000
    held_out = Event.objects.get(message_id="gbp")
    assert held_out.value is None
    assert held_out.props == {"note": "x", "unconverted": "10"}
    assert Profile.objects.get().revenue == 9_000_000


def test_ingest__identify__sets_typed_and_declared_traits_and_counts_the_rest() -> None:
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT, allowed_values=["free", "pro"])
    declare_trait(key="visits", name="Visits", type_=TraitType.NUMBER)
    declare_trait(key="vip", name="VIP", type_=TraitType.BOOLEAN)
    declare_trait(key="joined", name="Joined", type_=TraitType.DATE)
    traits = {
        "email": " Ann@Example.ORG ",
        "address": {"country": "de", "city": "Berlin"},
        "locale": "de_DE",
        "timezone": "Europe/Berlin",
        "birthYear": "1980",
        "plan": "pro",
        "visits": 3,
        "vip": "yes",
        "joined": "1970-01-11",
        "shoe_size": 42,
        "nothing": None,
    }
    result = send({"type": "identify", "messageId": "1", "userId": "u1", "traits": traits})

    profile = Profile.objects.get()
    assert (profile.email, profile.country, profile.language) == ("ann@example.org", "DE", "de-DE")
    assert (profile.timezone, profile.birth_year) == ("Europe/Berlin", 1980)
    values = {row.definition.key: (row.number, row.text) for row in ProfileTrait.objects.select_related("definition")}
    assert values == {"plan": (None, "pro"), "visits": (3.0, None), "vip": (1.0, None), "joined": (10.0, None)}
    assert result.traits_ignored == {"shoe_size": 1}
    assert result.accepted == 1
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("email", "no address"),
        ("country", "Germany"),
        ("language", "1"),
        ("timezone", "Mars Base"),
        ("birth_year", 12),
        ("birth_year", True),
        ("plan", "gold"),
        ("plan", [1]),
        ("plan", True),
        ("visits", "many"),
        ("visits", float("1e308") * 10),
        ("vip", "perhaps"),
        ("joined", "soon"),
    ],
)
def test_ingest__value_that_does_not_fit__is_left_out_and_counted(key: str, value: object) -> None:
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT, allowed_values=["free", "pro"])
    declare_trait(key="visits", name="Visits", type_=TraitType.NUMBER)
    declare_trait(key="vip", name="VIP", type_=TraitType.BOOLEAN)
    declare_trait(key="joined", name="Joined", type_=TraitType.DATE)
    result = send({"type": "identify", "messageId": "1", "userId": "u1", "traits": {key: value}})

    assert result.traits_ignored == ({key: 1} if value != float("inf") else {})
    assert result.rejected == ([] if value != float("inf") else [(0, "the properties are not JSON")])
    assert not ProfileTrait.objects.exists()


def test_ingest__older_statement_of_a_trait__fills_blanks_only() -> None:
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT)

    def identify(at_days_ago: int, **traits: str) -> dict[str, object]:
        at = NOW - timedelta(days=at_days_ago)
        return {"type": "identify", "messageId": "x", "userId": "u1", "timestamp": at.isoformat(), "traits": traits}

    send(identify(1, country="DE", plan="new"))
    send(identify(2, country="AT", language="de", plan="old"))

    profile = Profile.objects.get()
    assert (profile.country, profile.language) == ("DE", "de")
    assert ProfileTrait.objects.get().text == "new"


def test_ingest__profile_by_number__only_from_inside() -> None:
    profile = make_profile(user_id="u1")
    message = {"type": "track", "messageId": "1", "event": "Page Viewed", "profileId": profile.pk}

    outside = send(message, source=make_source("web", SourceKind.BROWSER))
    inside = send(message, source=make_source("pages", SourceKind.INTERNAL))
    nobody = send({**message, "messageId": "2", "profileId": 10**12}, source=make_source("pages", SourceKind.INTERNAL))
    trait = send(
        {"type": "identify", "messageId": "3", "profileId": 10**12, "traits": {}},
        source=make_source("pages", SourceKind.INTERNAL),
    )

    assert outside.rejected == [(0, "neither userId nor anonymousId")]
    assert inside.accepted == 1
    assert Event.objects.get().profile == profile
    assert nobody.rejected == trait.rejected == [(0, "there is no such profile")]


def test_ingest__identity_in_the_context__is_taken_from_servers_only() -> None:
    message = {
        "type": "track",
        "messageId": "1",
        "event": "Page Viewed",
        "context": {"identity": {"kind": "email", "value": "Ann@Example.org"}},
    }

    assert send(message, source=make_source("web", SourceKind.BROWSER)).rejected
    assert send(message, source=make_source("shop")).accepted == 1
    assert Identity.objects.get().value == "ann@example.org"


def test_ingest__too_many_kinds_of_events__are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingestion, "MAX_EVENT_TYPES", 2)
    result = send(*(track(name, user="u1") for name in ("a", "b", "c", "a")))

    assert result.accepted == 3
    assert result.rejected == [(2, "more than 2 kinds of events")]
    assert EventType.objects.count() == 2


def test_ingest__experiment_viewed_of_an_unknown_experiment__is_kept_and_counted() -> None:
    result = send(track("Experiment Viewed", user="u1", experiment_id="nothing", variation_id="1", phase="x"))

    assert result.accepted == 1
    assert result.exposures == 0
    assert result.exposures_rejected == {"unknown_experiment": 1}


def test_ingest__numbers_as_ids__are_texts() -> None:
    send({"type": "track", "messageId": 7, "event": "Page Viewed", "userId": 42})

    assert Identity.objects.get().value == "42"


def test_ingest__a_batch__costs_a_fixed_number_of_queries(django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]  # a fixture of pytest-django
    source = make_source()
    messages = [track("Order Completed", user=f"u{n % 50}", revenue=1) for n in range(500)]
    with django_assert_max_num_queries(40):
        send(*messages, source=source)


def test_ingest__anonymous_messages__share_a_profile() -> None:
    send(track("Page Viewed", visitor="v1"), track("Page Viewed", visitor="v1"), track("Page Viewed", visitor="v2"))

    assert Profile.objects.count() == 2
    assert set(Identity.objects.values_list("kind", flat=True)) == {IdentityKind.ANONYMOUS}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": 1, "b": [1.5, True, None, "é😀"], "c": {"d": "\x7f\n"}},
        {"big": 2**70, "float": 1e300, "text": "null"},
        {"escaped": "\\u0000"},
    ],
)
def test_storable_json__whatever_json_is__comes_back_the_same(value: dict[str, object]) -> None:
    assert json.loads(storable_json(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), NOW, {1, 2}])
def test_storable_json__no_json__is_refused_wherever_it_stands(value: object) -> None:
    with pytest.raises(BadMessage, match="not JSON"):
        storable_json({"a": [None, {"b": value}]})


def test_uncollected__nested__the_collector_is_as_before() -> None:
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


if connection.vendor == "postgresql":

    def test_migrations__tables_that_each_event_changes__have_room_in_their_pages() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT relname FROM pg_class WHERE 'fillfactor=70' = ANY (reloptions) ORDER BY relname")
            found = [name for (name,) in cursor.fetchall()]
        assert found == ["marketing_activity", "marketing_profile", "marketing_profilenews"]
