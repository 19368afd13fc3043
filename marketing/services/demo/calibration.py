"""Does the whole pipeline keep its promises? Many small worlds whose truth is known, each analyzed like any experiment.

A world goes all the way: people → events through the ingestion service → assignment → exposures → facts → analysis →
stored report. It is rolled back afterwards, so nothing of it stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Final

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from experiments.reports import Bounds, ComparisonReport
from experiments.selectors import get_report
from experiments.services.design import ArmSpec, Design, MetricSpec, create_experiment
from experiments.services.lifecycle import start
from experiments.services.metrics import ensure_builtin_metrics
from experiments.services.refresh import refresh_experiment
from marketing.choices import IdentityKind
from marketing.services.demo import people as crowd
from marketing.services.demo import writer
from marketing.services.demo.people import People, build_people
from marketing.services.demo.shop import Shop, build_shop
from marketing.services.demo.stage import CONTROL, PERSONALIZED
from marketing.services.demo.world import (
    DAY,
    WINDOW_DAYS,
    Effects,
    Events,
    Kind,
    Rates,
    answer,
    choice_shares,
    microseconds,
)
from marketing.services.profiles import NewProfile, create_profiles

PEOPLE: Final = 600
LIFT: Final = 0.3
DAYS: Final = 14  # of exposures, followed by a window so that every outcome counts
METRICS: Final = ("conversion", "revenue", "average_order_value")
EARLIER_ORDERS: Final = 0.25  # per person before the exposure: what the covariate adjusts for
RATES: Final = Rates(refunds=0.0, unsubscribes=0.0)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one world's report said about one metric, beside the truth. `None`: the report gave no interval."""

    metric: str
    lift: float
    covers_effect: bool | None
    covers_lift: bool | None
    is_significant: bool | None
    always_valid_excludes_zero: bool | None


@dataclass(frozen=True, slots=True)
class Share:
    """A share over worlds with its Monte Carlo error (the standard error of a binomial proportion)."""

    name: str
    metric: str
    hits: int
    worlds: int

    @property
    def value(self) -> float | None:
        """Return the share; None without a single world."""
        return self.hits / self.worlds if self.worlds else None

    @property
    def error(self) -> float | None:
        """Return the Monte Carlo error."""
        value = self.value
        return None if value is None else math.sqrt(value * (1.0 - value) / self.worlds)


def run_worlds(*, worlds: int, seed: int, profiles: int, at: datetime, lift: float = LIFT) -> Iterator[list[Finding]]:
    """Simulate and analyze `worlds` worlds; every second one has no lift. Yields the findings of each."""
    children = np.random.SeedSequence(seed).spawn(worlds)
    for number, child in enumerate(children):
        yield run_world(
            rng=np.random.default_rng(child), profiles=profiles, at=at, lift=lift if number % 2 == 0 else 0.0
        )


def run_world(*, rng: np.random.Generator, profiles: int, at: datetime, lift: float) -> list[Finding]:
    """Simulate one world through the services, read its report, and roll everything back."""
    shop = build_shop(rng=rng)
    people = build_people(rng=rng, number=profiles)
    mark = rng.bytes(8).hex()
    with transaction.atomic():
        key = _play(rng=rng, shop=shop, people=people, at=at, lift=lift, mark=mark)
        report = get_report(experiment_key=key)
        transaction.set_rollback(True)
    if report is None:
        raise RuntimeError("The analysis stored no report.")
    base = RATES.conversion * mean_appetite()
    prices = _mean_price(shop, people)
    # More orders of the same goods: what an order is worth does not change, in any world.
    truths = {
        "conversion": (base * lift, lift),
        "revenue": (base * lift * prices, lift),
        "average_order_value": (0.0, 0.0),
    }
    return [
        _finding(metric.key, metric.comparisons[0], effect=truths[metric.key][0], lift=truths[metric.key][1])
        for metric in report.metrics
        if metric.key in METRICS
    ]


def _play(*, rng: np.random.Generator, shop: Shop, people: People, at: datetime, lift: float, mark: str) -> str:
    begin = at - timedelta(days=DAYS + WINDOW_DAYS + 1)
    ensure_builtin_metrics()
    rows = [NewProfile(identities=((IdentityKind.USER_ID, f"{mark}-{person.number}"),)) for person in people.persons]
    ids = create_profiles(rows=rows, at=begin, is_demo=True)
    experiment = create_experiment(design=_design(mark=mark, profiles=len(ids)), at=begin)
    start(experiment_key=experiment.key, at=begin)
    arms = writer.assign_arms(experiment_key=experiment.key, profile_ids=ids, at=begin)
    exposed = np.flatnonzero(arms.is_in)  # an installation may hold people out
    personalized = arms.personalized[exposed]
    exposed_at = microseconds(begin) + rng.integers(1, DAYS * DAY, len(exposed))
    writer.store_exposures(
        experiment_key=experiment.key,
        profile_ids=[ids[person] for person in exposed],
        exposed_at=exposed_at,
        personalized=personalized,
    )
    answers = answer(
        rng=rng,
        shop=shop,
        people=people,
        exposed=exposed,
        exposed_at=exposed_at,
        personalized=personalized[:, None],
        effects=(Effects(conversion=lift),),
        rates=RATES,
        end=microseconds(at),
        first_order=len(ids),
    )
    earlier = _earlier_orders(rng=rng, answers=answers, people=people, exposed=exposed, exposed_at=exposed_at)
    click = writer.Click(
        experiment_key=experiment.key,
        campaign=mark,
        arm_of=dict(zip(exposed.tolist(), np.where(personalized, PERSONALIZED, CONTROL).tolist(), strict=True)),
    )
    for _ in writer.store_events(
        events=np.concatenate([earlier, answers]), shop=shop, profile_ids=ids, prefix=mark, at=at, clicks=[click]
    ):
        pass
    refresh_experiment(experiment_id=experiment.pk, at=at)
    return experiment.key


def _design(*, mark: str, profiles: int) -> Design:
    return Design(
        key=f"calibration-{mark}",
        name="Calibration",
        arms=(
            ArmSpec(key=CONTROL, name=CONTROL, weight=0.5, is_control=True),
            ArmSpec(key=PERSONALIZED, name=PERSONALIZED, weight=0.5),
        ),
        metrics=tuple(
            MetricSpec(key=metric, role="primary" if position == 0 else "secondary")
            for position, metric in enumerate(METRICS)
        ),
        mde=LIFT,
        planned_size=profiles,
        planned_days=DAYS,
        seed=mark,
    )


def _earlier_orders(
    *,
    rng: np.random.Generator,
    answers: Events,
    people: People,
    exposed: NDArray[np.int64],
    exposed_at: NDArray[np.int64],
) -> Events:
    """Return orders of the fortnight before the exposure, more of them from people with more appetite."""
    ordering = np.flatnonzero(rng.random(len(exposed)) < EARLIER_ORDERS * people.appetite[exposed])
    orders = np.zeros(len(ordering), dtype=answers.dtype)
    orders["kind"], orders["person"], orders["trial"] = Kind.ORDERED, exposed[ordering], -1
    orders["at"] = exposed_at[ordering] - rng.integers(1, 13 * DAY, len(ordering))
    orders["item"] = rng.integers(0, 300, len(ordering))
    orders["value"] = 50_000_000
    orders["order"] = np.arange(len(ordering))
    return orders


def mean_appetite() -> float:
    """Return the expectation of a person's appetite: a log-normal variable cut off at both ends."""
    mu, sigma = crowd.APPETITE_LOG_MEAN, crowd.APPETITE_LOG_SIGMA
    lower, upper = crowd.APPETITE_BOUNDS
    normal = NormalDist()
    low, high = ((math.log(bound) - mu) / sigma for bound in (lower, upper))
    inside = math.exp(mu + sigma**2 / 2) * (normal.cdf(high - sigma) - normal.cdf(low - sigma))
    return lower * normal.cdf(low) + inside + upper * (1.0 - normal.cdf(high))


def _mean_price(shop: Shop, people: People) -> float:
    """Return the expected price of an order in units, over the tastes of this world's people."""
    prices = np.array([good.price for good in shop.goods]) / 1e6
    return float((choice_shares(shop=shop, tastes=people.tastes) @ prices).mean())


def _finding(metric: str, comparison: ComparisonReport, *, effect: float, lift: float) -> Finding:
    estimate = comparison.deciding
    always = comparison.always_valid.lift_ci
    return Finding(
        metric=metric,
        lift=lift,
        covers_effect=_covers(estimate.effect_ci, effect),
        covers_lift=_covers(estimate.lift_ci, lift),
        is_significant=None if estimate.p_value is None else estimate.p_value < 0.05,
        always_valid_excludes_zero=None if always is None else not _covers(always, 0.0),
    )


def _covers(bounds: Bounds | None, truth: float) -> bool | None:
    if bounds is None:
        return None
    return (bounds.lower is None or bounds.lower <= truth) and (bounds.upper is None or truth <= bounds.upper)


def summarize(findings: Sequence[Finding]) -> list[Share]:
    """Return the shares that calibration is about, for each metric."""
    shares: list[Share] = []
    for metric in dict.fromkeys(finding.metric for finding in findings):
        mine = [finding for finding in findings if finding.metric == metric]
        still = [finding for finding in mine if finding.lift == 0.0]
        shares += [
            _share("coverage of the effect", metric, (one.covers_effect for one in mine)),
            _share("coverage of the lift", metric, (one.covers_lift for one in mine)),
            _share("significant without an effect", metric, (one.is_significant for one in still)),
            _share(
                "always-valid interval excludes zero without an effect",
                metric,
                (one.always_valid_excludes_zero for one in still),
            ),
        ]
    return shares


def _share(name: str, metric: str, flags: Iterable[bool | None]) -> Share:
    known = [flag for flag in flags if flag is not None]
    return Share(name=name, metric=metric, hits=sum(known), worlds=len(known))
