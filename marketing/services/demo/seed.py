"""The first part of the demo world, in the order in which a real team would have got there: all but the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from experiments.services.metrics import ensure_builtin_metrics
from marketing.services.campaigns import CampaignDraft, create_campaign
from marketing.services.demo import stage, world, writer
from marketing.services.demo.draw import DemoWorld, SeasonPlan, draw_world
from marketing.services.demo.meter import REFRESH_WEIGHT, SLATES_WEIGHT, TRAINING_WEIGHT, Meter, Report
from marketing.services.demo.names import Step
from marketing.services.demo.removal import remove_demo_world
from marketing.services.demo.stage import Ending, Season, Trial
from marketing.services.demo.world import Events, Rates
from marketing.services.lifecycle import launch
from marketing.services.membership import refresh_segment
from marketing.services.segments import create_segment
from recommender.errors import TrainingInProgress
from recommender.services.strategies import ensure_default_strategies
from recommender.services.training import train

STRATEGIES: Final = ("popularity", "item-knn", "user-knn", "content")
EVENTS_PER_PERSON: Final = 40  # a guess for the first moments, before the world is drawn


def play_demo(*, seed: int, profiles: int, at: datetime, lift: float, report: Report) -> DemoWorld:
    """Make everything but the results. What an earlier, interrupted attempt left behind is removed first."""
    meter = Meter(report=report, total=profiles * EVENTS_PER_PERSON)
    meter.begin(Step.CLEAR)
    remove_demo_world()
    drawn = draw_world(seed=seed, profiles=profiles, at=at)
    plays = stage.trials(lift=lift)
    played = sum(trial.ending != Ending.DRAFT for trial in plays)
    meter.total = len(drawn.events) + profiles + len(STRATEGIES) * TRAINING_WEIGHT
    meter.total += played * (SLATES_WEIGHT + REFRESH_WEIGHT)
    ensure_builtin_metrics()
    ensure_default_strategies(at=at)
    meter.begin(Step.STOCK)
    writer.store_catalogue(shop=drawn.shop, at=at)
    writer.declare_traits()
    meter.begin(Step.PEOPLE)
    for ids in writer.store_people(people=drawn.people, at=at, prefix=f"demo{seed}"):
        drawn.profile_ids.extend(ids)
        meter.advance(len(ids))
    meter.begin(Step.VISITS)
    _store(drawn, drawn.events, prefix=f"demo{seed}-shop", meter=meter)
    meter.begin(Step.SEGMENTS)
    segments = _build_segments(at=at)
    for slug in STRATEGIES:
        meter.begin(Step.TRAINING)
        # The schedule may have been faster: the visits are there, so that model is as good.
        with suppress(TrainingInProgress):
            train(slug=slug, at=at, seed=seed)
        meter.advance(TRAINING_WEIGHT)
    for season in stage.SEASON_DAYS:
        _play_season(drawn, season=season, plays=plays, segments=segments, meter=meter)
    for trial in plays:
        if trial.ending == Ending.DRAFT:
            _draft(trial, segments=segments, at=at)
    for segment_id in segments.values():
        refresh_segment(segment_id=segment_id, at=at)
    return drawn


def _store(drawn: DemoWorld, events: Events, *, prefix: str, meter: Meter, clicks: Sequence[writer.Click] = ()) -> None:
    chunks = writer.store_events(
        events=events, shop=drawn.shop, profile_ids=drawn.profile_ids, prefix=prefix, at=drawn.at, clicks=clicks
    )
    for rows in chunks:
        meter.advance(rows)


def _build_segments(*, at: datetime) -> dict[str, int]:
    ids = {}
    for plan in stage.segment_plans():
        segment = create_segment(
            slug=plan.slug,
            name=plan.name,
            description=plan.description,
            rule=dict(plan.rule),
            at=at - timedelta(days=world.DAYS),
            is_demo=True,
        )
        refresh_segment(segment_id=segment.pk, at=at)
        ids[plan.slug] = segment.pk
    return ids


def _draft(trial: Trial, *, segments: Mapping[str, int], at: datetime) -> int:
    draft = CampaignDraft(
        slug=trial.slug,
        name=trial.name,
        goal_metric=trial.goal,
        arms=trial.arms,
        segment_id=segments[trial.segment],
        guardrail_metrics=trial.guardrails,
        baseline=stage.BASELINE,
        mde=stage.MDE,
        people_per_day=stage.PEOPLE_PER_DAY,
        is_demo=True,
    )
    return create_campaign(draft=draft, at=at).pk


@dataclass(frozen=True, slots=True)
class Met:
    """A launched trial, who of the season's people got which arm, and what they were shown."""

    trial: Trial
    experiment_key: str
    arms: writer.Arms
    shown: Mapping[int, writer.Shown]

    def clicks(self, persons: Sequence[int]) -> writer.Click:
        """What a click on this campaign says, by person."""
        names = np.where(self.arms.personalized, stage.PERSONALIZED, stage.CONTROL)
        return writer.Click(
            experiment_key=self.experiment_key,
            campaign=self.trial.slug,
            arm_of=dict(zip(persons, names, strict=True)),
            shown=self.shown,
        )


def _play_season(
    drawn: DemoWorld, *, season: Season, plays: Sequence[Trial], segments: Mapping[str, int], meter: Meter
) -> None:
    """Launch the season's campaigns, and let people meet them and answer."""
    plan = drawn.seasons[season]
    exposed = np.flatnonzero(plan.first >= 0)
    met = [
        _meet(drawn, trial, plan=plan, exposed=exposed, segments=segments, meter=meter)
        for trial in plays
        if trial.season == season
    ]
    answers = world.answer(
        rng=drawn.answers_rng[season],
        shop=drawn.shop,
        people=drawn.people,
        exposed=exposed,
        exposed_at=plan.first[exposed],
        personalized=np.stack([one.arms.personalized for one in met], axis=1),
        effects=tuple(one.trial.effects for one in met),
        rates=Rates(),
        end=drawn.end,
        first_order=(1 + list(Season).index(season)) * 10_000_000,
    )
    clicks = [one.clicks(exposed.tolist()) for one in met]
    _store(drawn, answers, prefix=f"demo{drawn.seed}-{season}", meter=meter, clicks=clicks)


def _meet(
    drawn: DemoWorld,
    trial: Trial,
    *,
    plan: SeasonPlan,
    exposed: NDArray[np.int64],
    segments: Mapping[str, int],
    meter: Meter,
) -> Met:
    """Launch a campaign, and let the season's people meet it."""
    meter.begin(Step.CAMPAIGNS)
    start = drawn.at - timedelta(microseconds=drawn.end - plan.start)
    units = [drawn.profile_ids[person] for person in exposed]
    campaign = launch(
        campaign_id=_draft(trial, segments=segments, at=start - timedelta(days=1)),
        at=start,
        demo_truth=stage.truth(effects=trial.effects),
        seed=drawn.stage_rng.bytes(8).hex(),
    )
    arms = writer.assign_arms(experiment_key=campaign.experiment_key, profile_ids=units, at=start)
    is_lost = arms.personalized & (drawn.stage_rng.random(len(exposed)) < trial.loss)
    is_logged = arms.is_in & ~is_lost
    writer.store_exposures(
        experiment_key=campaign.experiment_key,
        profile_ids=[unit for unit, logged in zip(units, is_logged, strict=True) if logged],
        exposed_at=plan.first[exposed][is_logged],
        personalized=arms.personalized[is_logged],
    )
    meter.begin(Step.SLATES)
    stage_of = writer.Stage(
        experiment_key=campaign.experiment_key,
        campaign=trial.slug,
        strategies={arm.key: arm.strategy for arm in trial.arms},
        units=units,
        persons=exposed.tolist(),
        exposed_at=plan.first[exposed],
        arms=arms,
    )
    shown = writer.store_slates(stage=stage_of, seed=f"demo{drawn.seed}")
    meter.advance(SLATES_WEIGHT)
    return Met(trial, campaign.experiment_key, arms, shown)
