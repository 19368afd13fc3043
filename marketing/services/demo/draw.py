"""Everything about the demo world that chance decides before the first row is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from marketing.services.demo import stage, world
from marketing.services.demo.people import People, build_people
from marketing.services.demo.shop import Shop, build_shop
from marketing.services.demo.stage import Season
from marketing.services.demo.world import DAY, WINDOW_DAYS, Events, microseconds


@dataclass(frozen=True, slots=True)
class SeasonPlan:
    """Who meets the campaigns of a season, and when; `first` has one entry per person, −1 for nobody."""

    start: int
    end: int
    first: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DemoWorld:
    """Everything that was drawn before the first row is written."""

    seed: int
    at: datetime
    shop: Shop
    people: People
    seasons: Mapping[Season, SeasonPlan]
    events: Events
    answers_rng: Mapping[Season, np.random.Generator]
    stage_rng: np.random.Generator
    profile_ids: list[int] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Now, in µs."""
        return microseconds(self.at)


def draw_world(*, seed: int, profiles: int, at: datetime) -> DemoWorld:
    """Draw the shop, its people, their visits and what they do outside trials. Pure."""
    shop_rng, people_rng, visits_rng, browse_rng, stage_rng, *season_rngs = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5 + len(stage.SEASON_DAYS))
    )
    shop = build_shop(rng=shop_rng)
    people = build_people(rng=people_rng, number=profiles)
    visits = world.draw_visits(rng=visits_rng, people=people, at=at)
    end = microseconds(at)
    seasons = {season: _season(visits=visits, people=people, season=season, at=at) for season in stage.SEASON_DAYS}
    browsing = world.browse(rng=browse_rng, shop=shop, people=people, visits=visits)
    orders = world.order_outside_trials(
        rng=browse_rng,
        shop=shop,
        events=browsing,
        quiet=[(plan.first, plan.end) for plan in seasons.values()],
        end=end,
    )
    events = np.concatenate([browsing[browsing["at"] < end], orders])
    return DemoWorld(
        seed=seed,
        at=at,
        shop=shop,
        people=people,
        seasons=seasons,
        events=events[np.argsort(events["at"], kind="stable")],
        answers_rng=dict(zip(stage.SEASON_DAYS, season_rngs, strict=True)),
        stage_rng=stage_rng,
    )


def _season(*, visits: world.Visits, people: People, season: Season, at: datetime) -> SeasonPlan:
    first_day, end_day = stage.SEASON_DAYS[season]
    now = microseconds(at)
    start, end = now - round(first_day * DAY), now - round(end_day * DAY)
    # A finished season takes nobody in whose window would still be open at its end.
    last = end if season != Season.PAST else end - round(WINDOW_DAYS * DAY)
    first = world.first_visit(visits=visits, people=len(people.persons), start=start, end=last)
    takes_part = people.is_addressable & (people.is_newcomer == (season == Season.NEW))
    return SeasonPlan(start=start, end=end, first=np.where(takes_part, first, -1))
