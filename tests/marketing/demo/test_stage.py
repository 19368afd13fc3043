from __future__ import annotations

from datetime import UTC, datetime
from statistics import NormalDist

import pytest

from marketing.services.demo.draw import draw_world
from marketing.services.demo.stage import (
    DEFAULT_LIFT,
    PERSONALIZED,
    Ending,
    Season,
    Trial,
    segment_plans,
    trials,
    truth,
)
from marketing.services.demo.world import DAY, WINDOW_DAYS, Effects, Rates

AT = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


def by_slug(slug: str) -> Trial:
    return next(trial for trial in trials(lift=DEFAULT_LIFT) if trial.slug == slug)


def test_trials__of_the_demo__show_every_state_once() -> None:
    plays = trials(lift=DEFAULT_LIFT)
    assert [trial.ending for trial in plays].count(Ending.DRAFT) == 1
    assert [trial.ending for trial in plays].count(Ending.SHIPPED) == 1
    assert [trial.ending for trial in plays].count(Ending.FINISHED) == 1
    assert len([trial for trial in plays if trial.loss]) == 1
    assert len([trial for trial in plays if trial.effects.unsubscribes]) == 1
    assert [trial.slug for trial in plays if trial.season == Season.NEW] == ["first-steps"]
    assert {trial.segment for trial in plays} <= {plan.slug for plan in segment_plans()}
    assert all(sum(arm.percent for arm in trial.arms) == 100 for trial in plays)


@pytest.mark.parametrize(("season", "slug"), [(Season.NOW, "autumn-picks"), (Season.PAST, "welcome-back")])
def test_default_lift__with_5000_people__is_found_with_power_above_99_percent(season: Season, slug: str) -> None:
    drawn = draw_world(seed=1, profiles=5_000, at=AT)
    first = drawn.seasons[season].first
    mature = ((first >= 0) & (first < drawn.end - WINDOW_DAYS * DAY)).sum() / 2  # per arm
    control = Rates().conversion
    treated = control * (1 + by_slug(slug).effects.conversion)
    error = ((control * (1 - control) + treated * (1 - treated)) / mature) ** 0.5
    # 2.8: the half-width of the sequential test at the planned size, in standard errors (wider than 1.96).
    power = NormalDist().cdf((treated - control) / error - 2.8)
    assert power > 0.99


def test_seasons__people__are_addressable_and_newcomers_keep_apart() -> None:
    drawn = draw_world(seed=2, profiles=800, at=AT)
    for season, plan in drawn.seasons.items():
        exposed = plan.first >= 0
        assert exposed.any()
        assert drawn.people.is_addressable[exposed].all()
        assert (drawn.people.is_newcomer[exposed] == (season == Season.NEW)).all()
        assert (plan.first[exposed] >= plan.start).all()
        assert (plan.first[exposed] < plan.end).all()
    past = drawn.seasons[Season.PAST]
    assert past.first.max() < past.end - WINDOW_DAYS * DAY


def test_truth__refunds_change__has_no_figure_for_revenue() -> None:
    assert truth(effects=Effects(conversion=0.4)) == {
        "schema": 1,
        "lifts": {
            "conversion": {PERSONALIZED: 0.4},
            "click_rate": {PERSONALIZED: 0.0},
            "unsubscribe_rate": {PERSONALIZED: 0.0},
            "refund_rate": {PERSONALIZED: pytest.approx(0.4)},
            "revenue": {PERSONALIZED: 0.4},
        },
    }
    harmed = truth(effects=Effects(conversion=0.15, refunds=1.0))["lifts"]
    assert harmed["refund_rate"][PERSONALIZED] == pytest.approx(1.3)
    assert "revenue" not in harmed
