"""What people do in the demo shop: visits, views, baskets, orders, and how they answer to an arm. Pure.

The truth is the generator's parameter. A person orders within a week after the exposure with probability
`base · appetite · Π (1 + lift · is_personalized)` over the trials that share the exposure. The product makes each
trial's relative effect on conversion exactly its `lift`, however many trials run at once; while a trial waits for its
outcome there are no other orders of that person that could dilute it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from marketing.services.demo.people import People
from marketing.services.demo.shop import Shop

SECOND: Final = 1_000_000  # µs
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
DAYS: Final = 90
NEWCOMER_DAYS: Final = 12  # newcomers have been known for no longer
WINDOW_DAYS: Final = 7.0  # an answer comes within the built-in metrics' window
TASTE_SHARPNESS: Final = 1.1  # how much taste moves demand away from popularity
VIEWS_MORE: Final = 2.2  # views of a visit after the first, on average
SEARCH_RATE: Final = 0.22
CART_RATE: Final = 0.13
ORDER_RATE: Final = 0.4  # of filled baskets outside trials
REFUND_RATE: Final = 0.05
REFUND_DAYS: Final = (1.0, 5.0)
ANSWER_DAYS: Final = 1.8  # mean delay of an order after the exposure
WEEKDAYS: Final = (1.0, 0.95, 0.95, 1.0, 1.05, 1.2, 1.35)  # Monday to Sunday
# People and rows whose shares over all goods are in memory at once: a few megabytes.
BLOCK_PEOPLE: Final = 500
BLOCK_ROWS: Final = 2_000


class Kind(IntEnum):
    """What happened."""

    VIEWED = 0
    SEARCHED = 1
    ADDED = 2
    ORDERED = 3
    REFUNDED = 4
    CLICKED = 5
    UNSUBSCRIBED = 6


EVENT: Final = np.dtype(
    [
        ("at", "i8"),  # µs
        ("person", "i4"),
        ("kind", "i1"),
        ("item", "i2"),  # −1: none
        ("value", "i8"),  # micro-units
        ("order", "i8"),  # number of the order; −1: none
        ("trial", "i1"),  # of a click; −1: none
        ("position", "i1"),  # of the clicked item in the slate
    ]
)
Events = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Effects:
    """How an arm other than the control changes behaviour, relative to the control: the truth of a trial."""

    conversion: float = 0.0
    clicks: float = 0.0
    refunds: float = 0.0
    unsubscribes: float = 0.0


@dataclass(frozen=True, slots=True)
class Rates:
    """What the control does, before a person's appetite."""

    conversion: float = 0.2
    clicks: float = 0.25
    refunds: float = 0.06
    unsubscribes: float = 0.03


@dataclass(frozen=True, slots=True)
class Visits:
    """Visits sorted by person and time."""

    person: NDArray[np.int64]
    at: NDArray[np.int64]


def microseconds(at: datetime) -> int:
    """Return µs since the epoch."""
    return round(at.timestamp()) * SECOND


def draw_visits(*, rng: np.random.Generator, people: People, at: datetime, days: int = DAYS) -> Visits:
    """Draw everybody's visits in the `days` before `at`, with each person's hour and the rhythm of the week."""
    person = np.repeat(np.arange(len(people.persons)), 1 + rng.poisson(people.visits))
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    ago = np.arange(days, -1, -1)
    weights = np.array([WEEKDAYS[(midnight - timedelta(days=int(back))).weekday()] for back in ago])
    day = ago[np.searchsorted(np.cumsum(weights / weights.sum()), rng.random(len(person)))]
    newcomer = people.is_newcomer[person]
    day = np.where(newcomer, np.minimum(day, rng.integers(0, NEWCOMER_DAYS, len(person))), day)
    hour = (people.hour[person] + rng.normal(0.0, 2.0, len(person))) % 24
    moment = microseconds(midnight) - day * DAY + np.round(hour * HOUR).astype(np.int64)
    # Nothing of the hour before `at`: the visit's own events need some minutes.
    moment = np.where(moment >= microseconds(at) - HOUR, moment - DAY, moment)
    order = np.lexsort((moment, person))
    return Visits(person=person[order], at=moment[order])


def first_visit(*, visits: Visits, people: int, start: int, end: int) -> NDArray[np.int64]:
    """Return each person's first visit in [start, end), or −1."""
    first = np.full(people, np.iinfo(np.int64).max)
    inside = (visits.at >= start) & (visits.at < end)
    np.minimum.at(first, visits.person[inside], visits.at[inside])
    return np.where(first == np.iinfo(np.int64).max, -1, first)


def choice_shares(*, shop: Shop, tastes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return people × goods, rows sum to 1: popularity times exp(sharpness · taste · loading)."""
    scores = TASTE_SHARPNESS * tastes @ shop.loadings.T + np.log(shop.popularity)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def choose_goods(
    *, rng: np.random.Generator, shop: Shop, tastes: NDArray[np.float64], person: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return one good per row of `person`."""
    chosen = np.zeros(len(person), dtype=np.int64)
    draws = rng.random(len(person))
    by_person = np.argsort(person, kind="stable")
    bounds = np.searchsorted(person[by_person], np.arange(0, len(tastes) + BLOCK_PEOPLE, BLOCK_PEOPLE))
    for block, (low, high) in enumerate(pairwise(bounds)):
        first = block * BLOCK_PEOPLE
        cumulative = np.cumsum(choice_shares(shop=shop, tastes=tastes[first : first + BLOCK_PEOPLE]), axis=1)
        for begin in range(low, high, BLOCK_ROWS):
            rows = by_person[begin : min(begin + BLOCK_ROWS, high)]
            chosen[rows] = (cumulative[person[rows] - first] < draws[rows, None]).sum(axis=1)
    return np.minimum(chosen, len(shop.goods) - 1)


def browse(*, rng: np.random.Generator, shop: Shop, people: People, visits: Visits) -> Events:
    """Return what people look at, search for and put into the basket, sorted by time."""
    per_visit = 1 + rng.poisson(VIEWS_MORE, len(visits.at))
    visit = np.repeat(np.arange(len(visits.at)), per_visit)
    step = np.arange(len(visit)) - np.repeat(np.cumsum(per_visit) - per_visit, per_visit)
    views = _blank(len(visit), kind=Kind.VIEWED)
    views["person"] = visits.person[visit]
    views["at"] = visits.at[visit] + step * 70 * SECOND + rng.integers(5, 60, len(visit)) * SECOND
    views["item"] = choose_goods(rng=rng, shop=shop, tastes=people.tastes, person=views["person"].astype(np.int64))
    searching = (step == 0) & (rng.random(len(visit)) < SEARCH_RATE)
    searches = views[searching].copy()
    searches["kind"], searches["at"] = Kind.SEARCHED, searches["at"] - 3 * SECOND
    added = views[rng.random(len(visit)) < CART_RATE].copy()
    added["kind"], added["at"] = Kind.ADDED, added["at"] + 20 * SECOND
    return _sorted(np.concatenate([views, searches, added]))


def order_outside_trials(
    *, rng: np.random.Generator, shop: Shop, events: Events, quiet: list[tuple[NDArray[np.int64], int]], end: int
) -> Events:
    """Return the orders (and refunds) out of filled baskets, none in a person's quiet time.

    `quiet` has pairs (begin per person or −1, end): from the exposure on, the trial alone decides about orders.
    """
    baskets = events[events["kind"] == Kind.ADDED]
    bought = baskets[rng.random(len(baskets)) < ORDER_RATE].copy()
    bought["kind"] = Kind.ORDERED
    bought["at"] += rng.integers(60, 1500, len(bought)) * SECOND
    keep = bought["at"] < end
    for begin, until in quiet:
        starts = begin[bought["person"]]
        keep &= ~((starts >= 0) & (bought["at"] >= starts) & (bought["at"] < until))
    bought = bought[keep]
    bought["value"] = _prices(shop)[bought["item"]]
    bought["order"] = np.arange(len(bought))
    refunds = _refunds(rng=rng, orders=bought, probability=np.full(len(bought), REFUND_RATE), end=end)
    for begin, until in quiet:
        starts = begin[refunds["person"]]
        refunds = refunds[~((starts >= 0) & (refunds["at"] >= starts) & (refunds["at"] < until))]
    return _sorted(np.concatenate([bought, refunds]))


def answer(
    *,
    rng: np.random.Generator,
    shop: Shop,
    people: People,
    exposed: NDArray[np.int64],
    exposed_at: NDArray[np.int64],
    personalized: NDArray[np.bool_],
    effects: tuple[Effects, ...],
    rates: Rates,
    end: int,
    first_order: int,
) -> Events:
    """Return how the `exposed` people answer to the trials that share their exposure.

    `personalized` is people × trials; events at or after `end` have not happened yet.
    """
    treated = personalized.astype(float)

    def factor(name: str) -> NDArray[np.float64]:
        lifts = np.array([getattr(effect, name) for effect in effects])
        return np.asarray(np.prod(1.0 + treated * lifts, axis=1))

    ordering = rng.random(len(exposed)) < rates.conversion * people.appetite[exposed] * factor("conversion")
    delay = -ANSWER_DAYS * np.log1p(-rng.random(len(exposed)) * -np.expm1(-WINDOW_DAYS * 0.98 / ANSWER_DAYS))
    orders = _blank(int(ordering.sum()), kind=Kind.ORDERED)
    orders["person"] = exposed[ordering]
    orders["at"] = exposed_at[ordering] + 5 * 60 * SECOND + np.round(delay[ordering] * DAY).astype(np.int64)
    orders["item"] = choose_goods(rng=rng, shop=shop, tastes=people.tastes, person=exposed[ordering])
    orders["value"] = _prices(shop)[orders["item"]]
    orders["order"] = first_order + np.arange(len(orders))
    refunds = _refunds(rng=rng, orders=orders, probability=rates.refunds * factor("refunds")[ordering], end=end)
    leaving = rng.random(len(exposed)) < rates.unsubscribes * factor("unsubscribes")
    leavers = _blank(int(leaving.sum()), kind=Kind.UNSUBSCRIBED)
    leavers["person"] = exposed[leaving]
    leavers["at"] = exposed_at[leaving] + rng.integers(600, 2 * 86_400, len(leavers)) * SECOND
    clicks = [
        _clicks(
            rng=rng,
            shop=shop,
            people=people,
            exposed=exposed,
            exposed_at=exposed_at,
            probability=rates.clicks * (1.0 + treated[:, trial] * effect.clicks),
            trial=trial,
        )
        for trial, effect in enumerate(effects)
    ]
    happened = np.concatenate([orders[orders["at"] < end], refunds, leavers, *clicks])
    return _sorted(happened[happened["at"] < end])


def _clicks(
    *,
    rng: np.random.Generator,
    shop: Shop,
    people: People,
    exposed: NDArray[np.int64],
    exposed_at: NDArray[np.int64],
    probability: NDArray[np.float64],
    trial: int,
) -> Events:
    clicking = rng.random(len(exposed)) < probability
    clicks = _blank(int(clicking.sum()), kind=Kind.CLICKED)
    clicks["person"] = exposed[clicking]
    clicks["at"] = exposed_at[clicking] + rng.integers(4, 90, len(clicks)) * SECOND
    clicks["item"] = choose_goods(rng=rng, shop=shop, tastes=people.tastes, person=exposed[clicking])
    clicks["trial"] = trial
    clicks["position"] = rng.choice(4, len(clicks), p=(0.4, 0.27, 0.19, 0.14))
    seen = clicks.copy()
    seen["kind"], seen["trial"], seen["at"] = Kind.VIEWED, -1, seen["at"] + SECOND
    return np.concatenate([clicks, seen])


def _refunds(*, rng: np.random.Generator, orders: Events, probability: NDArray[np.float64], end: int) -> Events:
    refunds = orders[rng.random(len(orders)) < probability].copy()
    refunds["kind"] = Kind.REFUNDED
    refunds["at"] += np.round(rng.uniform(*REFUND_DAYS, len(refunds)) * DAY).astype(np.int64)
    return refunds[refunds["at"] < end]


def _prices(shop: Shop) -> NDArray[np.int64]:
    return np.array([good.price for good in shop.goods], dtype=np.int64)


def _blank(rows: int, *, kind: Kind) -> Events:
    events = np.zeros(rows, dtype=EVENT)
    events["kind"] = kind
    for name in ("item", "order", "trial"):
        events[name] = -1
    return events


def _sorted(events: Events) -> Events:
    return events[np.argsort(events["at"], kind="stable")]
