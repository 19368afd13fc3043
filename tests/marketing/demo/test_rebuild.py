from __future__ import annotations

from datetime import timedelta

import pytest

from experiments.selectors import get_report
from experiments.services.holdout import held_out_units, set_holdout
from marketing.models import Campaign, ChangeLog, Event, Profile, Segment
from marketing.services.demo import seed, stage, writer
from marketing.services.demo.draw import draw_world
from marketing.services.demo.results import read_results
from marketing.services.demo.stage import Season
from recommender.errors import TrainingInProgress
from tests.marketing.demo.conftest import AT, build, ignore

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("few_campaigns")]


def test_seed__again__replaces_the_world_and_duplicates_nothing() -> None:
    counts = []
    for _ in range(2):
        build(profiles=60)
        counts.append(
            (Profile.objects.count(), Event.objects.count(), Campaign.objects.count(), Segment.objects.count())
        )
    assert counts[0][0] == counts[1][0] == 60
    # Answers depend on the arms, the arms on the new people's keys: a few events more or less.
    assert counts[1][1] == pytest.approx(counts[0][1], rel=0.05)
    assert counts[0][2:] == counts[1][2:]


def test_seed__interrupted__completes_at_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(**_kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(seed, "train", die)
        with pytest.raises(KeyboardInterrupt):
            build(profiles=60)
    assert Profile.objects.count() == 60
    build(profiles=60)
    assert Profile.objects.count() == 60
    assert Campaign.objects.count() == len(stage.trials(lift=0.5))


def test_seed__progress__only_grows_and_ends_near_the_total() -> None:
    seen: list[tuple[str, int, int]] = []
    build(seed=2, profiles=60, report=lambda step, done, total: seen.append((step, done, total)))
    done = [entry[1] for entry in seen]
    assert done == sorted(done)
    assert done[-1] > 0.8 * seen[-1][2]
    assert all(entry[1] <= entry[2] for entry in seen)
    assert len({entry[0] for entry in seen}) == 9


def test_read_results__again__decides_and_finishes_nothing_twice() -> None:
    build(profiles=60)
    campaigns = list(Campaign.objects.order_by("pk").values("status", "finished_at"))
    changes = ChangeLog.objects.count()
    read_results(at=AT, report=ignore, done=0, total=1)
    assert list(Campaign.objects.order_by("pk").values("status", "finished_at")) == campaigns
    assert ChangeLog.objects.count() == changes


def test_seed__event_refused__says_so() -> None:
    drawn = draw_world(seed=1, profiles=20, at=AT)
    chunks = writer.store_events(events=drawn.events[:5], shop=drawn.shop, profile_ids=[-1] * 20, prefix="x", at=AT)
    with pytest.raises(RuntimeError, match="there is no such profile"):
        next(chunks)


def test_seed__holdout_in_force__exposes_nobody_who_is_held_out() -> None:
    set_holdout(share=0.3, at=AT - timedelta(days=100))
    drawn = build(profiles=60)
    units = [str(pk) for pk in drawn.profile_ids]
    held_out = held_out_units(unit_type="profile", unit_ids=units, at=AT)
    report = get_report(experiment_key="campaign-autumn-picks")
    assert held_out
    assert report is not None
    exposed = {str(pk) for pk, at in zip(drawn.profile_ids, drawn.seasons[Season.NOW].first, strict=True) if at >= 0}
    assert report.exposed_n == len(exposed - held_out) < len(exposed)


def test_seed__schedule_trains_at_the_same_time__goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(**_options: object) -> None:
        raise TrainingInProgress

    monkeypatch.setattr(seed, "train", busy)
    build(profiles=60)
    assert Campaign.objects.count() == len(stage.trials(lift=0.5))
