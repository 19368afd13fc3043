from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from marketing.services.demo.people import People, build_people
from marketing.services.demo.shop import SHELVES, Shop, build_shop
from marketing.services.demo.world import (
    DAY,
    DAYS,
    NEWCOMER_DAYS,
    WINDOW_DAYS,
    Effects,
    Events,
    Kind,
    Rates,
    answer,
    browse,
    choose_goods,
    draw_visits,
    first_visit,
    microseconds,
    order_outside_trials,
)

AT = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
END = microseconds(AT)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return build_shop(rng=np.random.default_rng(3))


@pytest.fixture(scope="module")
def people() -> People:
    return build_people(rng=np.random.default_rng(4), number=600)


def answers(
    shop: Shop, people: People, *, personalized: np.ndarray, effects: tuple[Effects, ...], seed: int = 9, end: int = END
) -> Events:
    exposed = np.arange(len(personalized)) % len(people.persons)
    return answer(
        rng=np.random.default_rng(seed),
        shop=shop,
        people=people,
        exposed=exposed,
        exposed_at=np.full(len(exposed), END - 20 * DAY),
        personalized=personalized,
        effects=effects,
        rates=Rates(),
        end=end,
        first_order=1_000,
    )


def test_shop__built__has_300_goods_with_ids_of_their_own(shop: Shop) -> None:
    assert len(shop.goods) == len({good.item_id for good in shop.goods}) == 300
    assert len({(good.title, good.category) for good in shop.goods}) == 300
    assert {good.shelf for good in shop.goods} == {shelf.slug for shelf in SHELVES}
    assert shop.popularity.sum() == pytest.approx(1.0)
    assert min(good.price for good in shop.goods) > 0


def test_world__same_seed__is_the_same(shop: Shop) -> None:
    worlds = []
    for _ in range(2):
        rng = np.random.default_rng(7)
        crowd = build_people(rng=rng, number=50)
        worlds.append(
            (crowd.persons, browse(rng=rng, shop=shop, people=crowd, visits=draw_visits(rng=rng, people=crowd, at=AT)))
        )
    assert worlds[0][0] == worlds[1][0]
    assert np.array_equal(worlds[0][1], worlds[1][1])


def test_people__built__have_addresses_that_nobody_owns(people: People) -> None:
    addresses = [person.email for person in people.persons]
    assert len(set(addresses)) == len(addresses)
    assert all(address.isascii() and address.endswith("@example.org") for address in addresses)
    assert np.allclose(people.tastes.sum(axis=1), 1.0)
    assert people.appetite.min() >= 0.4
    assert people.appetite.max() <= 1.8


def test_visits__drawn__lie_in_the_period_and_newcomers_came_lately(people: People) -> None:
    visits = draw_visits(rng=np.random.default_rng(5), people=people, at=AT)
    assert visits.at.max() < END
    assert visits.at.min() >= END - (DAYS + 2) * DAY
    newcomers = visits.at[people.is_newcomer[visits.person]]
    assert newcomers.min() >= END - (NEWCOMER_DAYS + 2) * DAY
    assert set(visits.person) == set(range(600))
    assert (np.diff(visits.person) >= 0).all()


def test_first_visit__outside_the_period__is_missing() -> None:
    from marketing.services.demo.world import Visits

    visits = Visits(person=np.array([0, 0, 1, 2]), at=np.array([5, 9, 30, 10]))
    assert first_visit(visits=visits, people=4, start=6, end=30).tolist() == [9, -1, 10, -1]


def test_goods__chosen__follow_taste(shop: Shop) -> None:
    tastes = np.eye(6)
    chosen = choose_goods(rng=np.random.default_rng(2), shop=shop, tastes=tastes, person=np.repeat(np.arange(6), 2_000))
    for taste in range(6):
        mine = shop.loadings[chosen[taste * 2_000 : (taste + 1) * 2_000], taste].mean()
        assert mine > shop.loadings[:, taste] @ shop.popularity + 0.3


def test_orders_outside_trials__quiet_time__has_none(shop: Shop, people: People) -> None:
    rng = np.random.default_rng(6)
    visits = draw_visits(rng=rng, people=people, at=AT)
    events = browse(rng=rng, shop=shop, people=people, visits=visits)
    begin = np.where(np.arange(600) % 2 == 0, END - 60 * DAY, -1)
    until = END - 20 * DAY
    orders = order_outside_trials(rng=rng, shop=shop, events=events, quiet=[(begin, until)], end=END)
    inside = (orders["at"] >= END - 60 * DAY) & (orders["at"] < until)
    assert set(orders["kind"]) == {Kind.ORDERED, Kind.REFUNDED}
    assert (orders["person"][inside] % 2 == 1).all()
    assert inside.any()
    assert orders["at"].max() < END


def test_answer__lift__is_the_ratio_of_the_conversion_rates(shop: Shop, people: People) -> None:
    number = 200_000
    personalized = np.random.default_rng(1).random((number, 2)) < 0.5
    events = answers(
        shop, people, personalized=personalized, effects=(Effects(conversion=0.4), Effects(conversion=-0.2))
    )
    # The order number counts people who ordered: recover who from the same draw.
    rng = np.random.default_rng(9)
    rate = 0.2 * people.appetite[np.arange(number) % 600]
    rate = rate * (1 + 0.4 * personalized[:, 0]) * (1 - 0.2 * personalized[:, 1])
    ordered = rng.random(number) < rate
    assert (events["kind"] == Kind.ORDERED).sum() == ordered.sum()
    for trial, lift in ((0, 0.4), (1, -0.2)):
        arm = personalized[:, trial]
        ratio = ordered[arm].mean() / ordered[~arm].mean()
        # Delta method; 4 standard errors.
        error = ratio * np.sqrt(sum((1 - ordered[a].mean()) / ordered[a].sum() for a in (arm, ~arm)))
        assert ratio == pytest.approx(1 + lift, abs=4 * error)


def test_answer__orders__come_within_the_window_and_cost_the_price(shop: Shop, people: People) -> None:
    events = answers(shop, people, personalized=np.zeros((5_000, 1), bool), effects=(Effects(),))
    orders = events[events["kind"] == Kind.ORDERED]
    delay = orders["at"] - (END - 20 * DAY)
    assert delay.min() > 0
    assert delay.max() < WINDOW_DAYS * DAY
    assert np.array_equal(orders["value"], [shop.goods[item].price for item in orders["item"]])
    assert len(set(orders["order"])) == len(orders)
    assert orders["order"].min() == 1_000
    refunds = events[events["kind"] == Kind.REFUNDED]
    assert set(refunds["order"]) <= set(orders["order"])


def test_answer__end_before_the_window_closes__keeps_only_what_happened(shop: Shop, people: People) -> None:
    end = END - 18 * DAY
    events = answers(shop, people, personalized=np.zeros((5_000, 1), bool), effects=(Effects(),), end=end)
    assert events["at"].max() < end
    assert (events["kind"] == Kind.ORDERED).any()


@pytest.mark.parametrize(
    ("kind", "effects"),
    [
        (Kind.CLICKED, Effects(clicks=0.5)),
        (Kind.REFUNDED, Effects(refunds=2.0)),
        (Kind.UNSUBSCRIBED, Effects(unsubscribes=2.0)),
    ],
)
def test_answer__effect_on_one_kind__moves_that_kind(shop: Shop, people: People, kind: Kind, effects: Effects) -> None:
    counts = [
        int((answers(shop, people, personalized=np.full((20_000, 1), arm), effects=(effects,))["kind"] == kind).sum())
        for arm in (False, True)
    ]
    assert counts[1] > 1.3 * counts[0]


def test_clicks__each__is_followed_by_the_view_of_the_same_good(shop: Shop, people: People) -> None:
    events = answers(shop, people, personalized=np.zeros((2_000, 2), bool), effects=(Effects(), Effects()))
    clicks, views = (events[events["kind"] == kind] for kind in (Kind.CLICKED, Kind.VIEWED))
    assert sorted(zip(clicks["person"], clicks["item"], strict=True)) == sorted(
        zip(views["person"], views["item"], strict=True)
    )
    assert set(clicks["trial"]) == {0, 1}
    assert set(views["trial"]) == {-1}
