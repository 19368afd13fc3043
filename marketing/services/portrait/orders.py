"""The traits of people who ordered: scores against everybody, and models fitted to everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from marketing.portrait.behavior import DAY, MICRO, Texts, localized
from marketing.portrait.btyd import BgNbd, GammaGamma, fit_bg_nbd, fit_gamma_gamma
from marketing.portrait.recipes import Orders
from marketing.portrait.scores import GROUPS, PRICE_LEVELS, QUINTILES, bounds, groups, score
from marketing.services.messages import ORDER_EVENT, REFUND_EVENT
from marketing.services.portrait.reading import COUNTED, streamed

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SCHEMA: Final = 1
MOST_FITTED: Final = 20_000
"""Buyers that the models are fitted to: those of the first sample buckets. The standard errors of the parameters are
below 3 % then, and more buyers only cost time."""
_DIGITS: Final = 2


@dataclass(frozen=True, slots=True)
class Buyers:
    """Everybody who ordered and is counted, in the order of their keys; amounts in millionths, moments in µs."""

    people: Ints
    orders: Ints
    first_at: Ints
    last_at: Ints
    gross: Ints
    net: Ints
    bucket: Ints

    @property
    def mean_order(self) -> Floats:
        """What an order was worth on average, before refunds, in whole units."""
        value: Floats = self.gross / self.orders / MICRO
        return value

    def timing(self, at: int) -> tuple[Floats, Floats, Floats]:
        """Return the repeats, when the last one was, and how long ago the first order was: x, t_x, age in days."""
        age = np.maximum(self.last_at, at) - self.first_at
        return (self.orders - 1).astype(np.float64), (self.last_at - self.first_at) / DAY, age / DAY


def read_buyers(*, types: Mapping[str, int]) -> Buyers:
    """Return everybody who ordered, from the summaries: one row a buyer, however many orders."""
    rows: list[list[int]] = [[] for _ in range(6)]
    order, refund = types.get(ORDER_EVENT), types.get(REFUND_EVENT)
    sql = (
        "SELECT a.profile_id, a.n, a.first_at, a.last_at, a.total, p.sample_bucket FROM marketing_activity a "  # noqa: S608
        f"JOIN marketing_profile p ON p.id = a.profile_id WHERE a.type_id = %s AND a.n > 0 AND {COUNTED} "
        "ORDER BY a.profile_id"
    )
    _read(sql, [order], rows)
    people, n, first, last, gross, bucket = (np.array(one, dtype=np.int64) for one in rows)
    back: list[list[int]] = [[], []]
    _read("SELECT a.profile_id, a.total FROM marketing_activity a WHERE a.type_id = %s", [refund], back)
    ids, totals = (np.array(one, dtype=np.int64) for one in back)
    net = gross.copy()
    if people.size and ids.size:
        places = np.searchsorted(people, ids)
        known = people[np.minimum(places, people.size - 1)] == ids
        net[places[known]] += totals[known]
    return Buyers(people, n, first, last, gross, net, bucket)


def _read(sql: str, params: Sequence[Any], columns: Sequence[list[int]]) -> None:
    with streamed(sql, params) as lists:
        for rows in lists:
            for place, values in enumerate(zip(*rows, strict=True)):
                columns[place].extend(values)


@dataclass(frozen=True, slots=True)
class Parameters:
    """What holds for everybody in one calculation."""

    recency: Floats
    frequency: Floats
    money: Floats
    prices: Floats
    bg_nbd: BgNbd | None
    gamma_gamma: GammaGamma | None
    buyers_n: int
    correlation: float | None
    """Between how often and for how much people order, of those who came back: gamma-gamma assumes none."""

    def as_json(self) -> dict[str, Any]:
        """Return the parameters as they are kept (schema 1)."""
        model, money = self.bg_nbd, self.gamma_gamma
        return {
            "schema": SCHEMA,
            "bounds": {
                name: [None if np.isinf(one) else float(one) for one in getattr(self, name)]
                for name in ("recency", "frequency", "money", "prices")
            },
            "bg_nbd": None if model is None else {"r": model.r, "alpha": model.alpha, "a": model.a, "b": model.b},
            "gamma_gamma": None if money is None else {"p": money.p, "q": money.q, "v": money.v},
            "buyers_n": self.buyers_n,
            "correlation": self.correlation,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Parameters:
        """Return kept parameters."""
        if data.get("schema") != SCHEMA:
            raise ValueError(f"parameters of schema {SCHEMA} are known, got {data.get('schema')!r}")
        limits = {
            name: np.array([np.inf if one is None else one for one in values], dtype=np.float64)
            for name, values in data["bounds"].items()
        }
        model, money = data["bg_nbd"], data["gamma_gamma"]
        return cls(
            **limits,
            bg_nbd=None if model is None else BgNbd(**model),
            gamma_gamma=None if money is None else GammaGamma(**money),
            buyers_n=data["buyers_n"],
            correlation=data["correlation"],
        )


def fit(*, buyers: Buyers, at: int) -> Parameters:
    """Return the bounds of the scores and the fitted models, of everybody."""
    mean = buyers.mean_order
    x, t_x, age = buyers.timing(at)
    sample = _sample(buyers.bucket)
    paid = sample & (mean > 0)
    again = (buyers.orders > 1) & (mean > 0)
    varied = again.sum() > 2 and np.ptp(buyers.orders[again]) > 0 and np.ptp(mean[again]) > 0
    return Parameters(
        recency=bounds(buyers.last_at.astype(np.float64), parts=QUINTILES),
        frequency=bounds(buyers.orders.astype(np.float64), parts=QUINTILES),
        money=bounds(buyers.net.astype(np.float64), parts=QUINTILES),
        prices=bounds(mean, parts=len(PRICE_LEVELS)),
        bg_nbd=fit_bg_nbd(x=x[sample], t_x=t_x[sample], age=age[sample]),
        gamma_gamma=fit_gamma_gamma(n=buyers.orders[paid].astype(np.float64), mean=mean[paid]),
        buyers_n=int(buyers.people.size),
        correlation=round(float(np.corrcoef(buyers.orders[again], mean[again])[0, 1]), 4) if varied else None,
    )


def _sample(bucket: Ints) -> NDArray[np.bool_]:
    """The buyers of the first sample buckets, as many whole buckets as fit; one at least."""
    below = np.cumsum(np.bincount(bucket, minlength=1))
    last = max(0, int(np.searchsorted(below, MOST_FITTED, side="right")) - 1)
    filled = int(np.argmax(below > 0)) if bucket.size else 0
    return bucket <= max(last, filled)


def values(
    *, recipes: Mapping[int, Orders], buyers: Buyers, parameters: Parameters, at: int
) -> dict[int, Floats | Texts]:
    """Return the traits of the buyers by the key of their definition."""
    made = _Values(buyers, parameters, at)
    return {definition: made.of(recipe) for definition, recipe in recipes.items()}


@dataclass(frozen=True, slots=True)
class _Values:
    buyers: Buyers
    parameters: Parameters
    at: int

    def of(self, recipe: Orders) -> Floats | Texts:
        buyers = self.buyers
        match recipe.give:
            case "average_order_value":
                return np.round(buyers.mean_order, _DIGITS)
            case "lifetime_value":
                return np.round(buyers.net / MICRO, _DIGITS) + 0.0
            case "last_order":
                local = localized(buyers.last_at, ZoneInfo(settings.REPORTING_TIME_ZONE))
                return (local // DAY).astype(np.float64)
            case "price_level":
                return Texts(score(buyers.mean_order, self.parameters.prices) - 1, PRICE_LEVELS)
            case "rfm_group":
                place = groups(*(self._score(name) for name in ("recency", "frequency", "money")))
                return Texts(place, [name for name, *_ in GROUPS])
            case "rfm_recency" | "rfm_frequency" | "rfm_monetary":
                name = recipe.give.removeprefix("rfm_").replace("monetary", "money")
                return self._score(name).astype(np.float64)
            case _:
                return self._predicted(recipe)

    def _score(self, name: str) -> Ints:
        column = {"recency": self.buyers.last_at, "frequency": self.buyers.orders, "money": self.buyers.net}[name]
        return score(column.astype(np.float64), getattr(self.parameters, name))

    def _predicted(self, recipe: Orders) -> Floats:
        model, money = self.parameters.bg_nbd, self.parameters.gamma_gamma
        nothing = np.full(self.buyers.people.size, np.nan)
        if model is None:
            return nothing
        x, t_x, age = self.buyers.timing(self.at)
        if recipe.give == "churn_risk":
            return np.round(1.0 - model.alive(x, t_x, age), _DIGITS) + 0.0
        orders = model.expected(x, t_x, age, float(recipe.horizon))
        if recipe.give == "predicted_orders":
            return np.round(orders, _DIGITS) + 0.0
        if money is None:
            return nothing
        mean = self.buyers.mean_order
        found = np.round(orders * money.mean_value(self.buyers.orders.astype(np.float64), mean), _DIGITS)
        return np.where(mean > 0, found + 0.0, np.nan)
