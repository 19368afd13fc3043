"""The second part of the demo world: what its campaigns caused, and what the team did then.

It needs nothing of what the first part had in memory, and another process can go on with it wherever one was ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from experiments.services.decision import decide
from experiments.services.lifecycle import get_experiment
from experiments.services.refresh import refresh_experiment
from marketing.choices import CampaignStatus
from marketing.models import Campaign
from marketing.services.demo import stage
from marketing.services.demo.meter import REFRESH_WEIGHT, Meter, Report
from marketing.services.demo.names import Step
from marketing.services.demo.stage import Ending, Trial
from marketing.services.lifecycle import finish


def read_results(*, at: datetime, report: Report, done: int, total: int) -> None:
    """Compute every result, oldest season first; `done` and `total` go on from the first part's progress."""
    meter = Meter(report=report, total=total, done=done)
    meter.begin(Step.RESULTS)
    plays = stage.trials(lift=stage.DEFAULT_LIFT)  # who did what; the effects lie in what people did
    for season in stage.SEASON_DAYS:
        for trial in plays:
            if trial.season == season and trial.ending != Ending.DRAFT:
                _end(trial, at=at)
                meter.advance(REFRESH_WEIGHT)


def _end(trial: Trial, *, at: datetime) -> None:
    """Compute the result, and act on it where the team has and no earlier attempt did."""
    campaign = Campaign.objects.get(slug=trial.slug)
    assert campaign.launched_at is not None
    experiment = get_experiment(campaign.experiment_key)
    first_day, last_day = stage.SEASON_DAYS[trial.season]
    end = campaign.launched_at + timedelta(days=first_day - last_day)
    if trial.ending == Ending.SHIPPED and experiment.decided_at is None:
        refresh_experiment(experiment_id=experiment.pk, at=end)
        decide(
            experiment_key=experiment.key,
            outcome="ship",
            arm_key=stage.PERSONALIZED,
            reason="More orders, and nobody complained. We keep it.",
            holdback=0.05,
            at=end,
        )
    elif trial.ending == Ending.FINISHED and campaign.status != CampaignStatus.FINISHED:
        finish(campaign_id=campaign.pk, at=end, message="The planned four weeks are over.")
    refresh_experiment(experiment_id=experiment.pk, at=at)
