"""Random people and random rules about them."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from marketing.choices import DeliveryStatus, MergeReason, Purpose, TraitType
from marketing.models import Campaign, Delivery, Profile
from marketing.services.identity import merge
from marketing.services.membership import refresh_segment
from marketing.services.profiles import create_profile, declare_trait
from tests.factories.marketing import NOW, give_consent, make_segment, send, track

EVENTS = ("Product Viewed", "Order Completed", "Products Searched", "Never Seen")
TEXTS = ("DE", "AT", "de", "x", "ß", "𝒳y", "a_b", "a%b", "5", "true")
NUMBERS = (0, 1, 2, 5, -3, 1.5, 1980, 2000, 9_007_199_254_740_992)
DAYS = (1, 2.5, 10, 30)
CAMPAIGNS = ("spring", "summer")
PEOPLE = 40


def make_world(seed: int) -> None:  # noqa: C901 - one draw after another
    """People with and without everything, drawn at random."""
    rng = random.Random(seed)
    for key, type_ in (("plan", TraitType.TEXT), ("visits", TraitType.NUMBER)):
        declare_trait(key=key, name=key, type_=type_)
    declare_trait(key="vip", name="vip", type_=TraitType.BOOLEAN)
    declare_trait(key="joined", name="joined", type_=TraitType.DATE)

    def maybe(value: Any) -> Any:
        return value if rng.random() < 0.6 else None

    profiles = [
        create_profile(
            identities=[("user_id", f"u{number}")],
            traits={
                "country": maybe(rng.choice(("DE", "AT", "FR"))),
                "email": maybe(f"p{number}@example.org"),
                "language": maybe(rng.choice(("de", "en-US"))),
                "birth_year": maybe(rng.choice((1980, 1990, 2000))),
                "plan": maybe(rng.choice(TEXTS)),
                "visits": maybe(rng.choice(NUMBERS)),
                "vip": maybe(rng.choice((True, False))),
                "joined": maybe((NOW - timedelta(days=rng.randrange(40))).date().isoformat()),
            },
            at=NOW - timedelta(days=50),
        )
        for number in range(PEOPLE)
    ]
    properties: tuple[Any, ...] = (*TEXTS, *NUMBERS[:-1], True, False, None, [1], {"a": 1})
    for number in range(PEOPLE):
        messages = [
            track(
                rng.choice(EVENTS[:-1]),
                user=f"u{number}",
                at=NOW - timedelta(days=rng.choice((0, 1, 2.5, 5, 20, 40))),
                product_id=maybe(rng.choice(TEXTS)),
                revenue=maybe(rng.choice((0, 1, 2.5, 5))),
                order_id=maybe(rng.choice(TEXTS)),
                **{"color": rng.choice(properties), "a.b c": rng.choice(properties)},
            )
            for _ in range(rng.choice((0, 0, 1, 3, 8)))
        ]
        send(*messages)
    for profile in profiles:
        for purpose in Purpose:
            for days in (9, 3):
                if rng.random() < 0.5:
                    at = NOW - timedelta(days=days)
                    give_consent(profile, purpose, granted=rng.random() < 0.5, at=at)
    for slug in CAMPAIGNS:
        campaign = Campaign.objects.create(slug=slug, name=slug, created_at=NOW)
        for profile in profiles:
            if rng.random() < 0.4:
                deliver(profile, campaign, days=rng.choice((0.5, 2.5, 20)), status=rng.choice(tuple(DeliveryStatus)))
    merge(winner_id=profiles[0].pk, loser_id=profiles[1].pk, reason=MergeReason.MANUAL, at=NOW)
    roots: dict[str, dict[str, Any]] = {
        "viewers": {"event": "Product Viewed", "op": "gte", "n": 1},
        "germans": {"trait": "country", "op": "eq", "value": "DE"},
    }
    for slug, root in roots.items():
        refresh_segment(segment_id=make_segment(root, slug=slug).pk, at=NOW)


def deliver(profile: Profile, campaign: Campaign, *, days: float = 0, status: str = DeliveryStatus.SENT) -> Delivery:
    """A message that came to this state so many days ago."""
    at = NOW - timedelta(days=days)
    return Delivery.objects.create(
        campaign=campaign, profile=profile, arm_key="treatment", status=status, status_at=at, send_at=at
    )


TEXT = st.sampled_from((*TEXTS, "FR", "en-US", "p3@example.org", "p"))
NUMBER = st.sampled_from((*NUMBERS, 1990))
COMPARE = st.sampled_from(("eq", "ne", "gt", "gte", "lt", "lte"))
SETS = st.sampled_from(("in", "not_in"))
PRESENCE = st.sampled_from(("is_set", "is_not_set"))
AGO = st.sampled_from(("within_days", "not_within_days"))
DATES = st.integers(0, 45).map(lambda days: (NOW - timedelta(days=days)).date().isoformat())


def _trait(keys: tuple[str, ...], ops: st.SearchStrategy[str], values: st.SearchStrategy[Any]) -> Any:
    return st.fixed_dictionaries({"trait": st.sampled_from(keys), "op": ops, "value": values})


TEXT_KEYS = ("country", "email", "language", "timezone", "plan")
NUMBER_KEYS = ("birth_year", "visits", "orders_n")
TRAITS = st.one_of(
    _trait(TEXT_KEYS, st.sampled_from(("eq", "ne", "contains", "starts_with")), TEXT),
    _trait(TEXT_KEYS, SETS, st.lists(TEXT, min_size=1, max_size=3)),
    _trait((*NUMBER_KEYS, "revenue"), COMPARE, NUMBER.filter(lambda n: abs(n) < 1e9)),
    _trait(NUMBER_KEYS, SETS, st.lists(NUMBER.filter(lambda n: abs(n) < 1e9), min_size=1, max_size=3)),
    _trait(("vip", "marketing_ok"), st.sampled_from(("eq", "ne")), st.booleans()),
    _trait(("joined",), COMPARE, DATES),
    _trait(("joined", "last_seen_at", "first_seen_at"), AGO, st.sampled_from((0, *DAYS))),
    st.fixed_dictionaries(
        {
            "trait": st.sampled_from((*TEXT_KEYS, "birth_year", "visits", "vip", "joined", "last_seen_at")),
            "op": PRESENCE,
        }
    ),
)
PROPERTY = st.sampled_from(("color", "a.b c", "missing"))
FILTERS = st.one_of(
    st.fixed_dictionaries({"property": st.sampled_from(("value", "revenue")), "op": COMPARE, "value": NUMBER}),
    st.fixed_dictionaries(
        {
            "property": st.sampled_from(("product_id", "sku", "order_id", "currency", "color", "a.b c")),
            "op": st.sampled_from(("eq", "ne", "contains", "starts_with")),
            "value": TEXT,
        }
    ),
    st.fixed_dictionaries({"property": PROPERTY, "op": SETS, "value": st.lists(TEXT, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"property": PROPERTY, "op": st.sampled_from(("eq", "ne")), "value": st.booleans()}),
    st.fixed_dictionaries({"property": PROPERTY, "op": COMPARE, "value": NUMBER}),
    st.fixed_dictionaries({"property": PROPERTY, "op": SETS, "value": st.lists(NUMBER, min_size=1, max_size=3)}),
)
COUNTS = st.fixed_dictionaries(
    {
        "event": st.sampled_from(EVENTS),
        "op": st.sampled_from(("eq", "gt", "gte", "lt", "lte")),
        "n": st.sampled_from((0, 1, 2, 2.5, 5)),
        "measure": st.sampled_from(("count", "sum")),
    },
    optional={
        "days": st.sampled_from((5, *DAYS[1:])),
        "until_days": st.sampled_from((1, 2)),
        "where": st.lists(FILTERS, min_size=1, max_size=2),
    },
)
TIMES: st.SearchStrategy[Any] = st.one_of(
    *(
        st.fixed_dictionaries(
            {end: st.sampled_from(EVENTS), "op": AGO, "value": st.sampled_from((0.5, *DAYS))},
            optional={"where": st.lists(FILTERS, min_size=1, max_size=2)},
        )
        for end in ("first", "last")
    )
)
SENT = st.fixed_dictionaries({"sent": st.sampled_from(CAMPAIGNS)}, optional={"days": st.sampled_from(DAYS)})
LEAVES = st.one_of(
    TRAITS,
    TRAITS,
    COUNTS,
    COUNTS,
    TIMES,
    SENT,
    st.sampled_from(({"in_segment": "viewers"}, {"in_segment": "germans"})),
    st.sampled_from(Purpose.values).map(lambda purpose: {"consent": purpose}),
    st.sampled_from((0, 10, 55.5, 100)).map(lambda percent: {"sample": {"salt": "s", "percent": percent}}),
)
RULES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda nodes: {"all": nodes}),
        st.lists(inner, max_size=3).map(lambda nodes: {"any": nodes}),
        inner.map(lambda node: {"not": node}),
    ),
    max_leaves=6,
)
