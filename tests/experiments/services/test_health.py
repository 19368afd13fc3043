"""Health before effects: what warns, what blocks, and what is merely told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from experiments.models import Experiment
from experiments.reports import HealthReport
from experiments.services.exposure import microseconds
from experiments.services.health import Traffic, check_health
from experiments.templatetags.experiment_words import WORDS

AT = datetime(2026, 4, 1, tzinfo=UTC)
ARMS = ("control", "treatment")
TRAFFIC = Traffic(
    observed={(1, "control"): 5_010, (1, "treatment"): 4_990},
    weights={(1, "control"): 0.5, (1, "treatment"): 0.5},
    phases=(1,),
    arms=ARMS,
    multi_arm={},
    multi_arm_n=0,
    last_exposure_at=microseconds(AT - timedelta(hours=3)),
)


def check(traffic: Traffic, *, status: str = "running", silent: tuple[str, ...] = ()) -> HealthReport:
    found = check_health(traffic=traffic, experiment=Experiment(status=status), at=AT, silent_metrics=silent)
    assert {message.code for message in found.messages} <= set(WORDS)
    return found


def codes(report: HealthReport) -> list[tuple[str, str]]:
    return [(message.code, message.level) for message in report.messages]


def test_check_health__as_designed__is_healthy() -> None:
    found = check(TRAFFIC)
    assert found.is_healthy
    assert codes(found) == [("srm_fine", "good")]
    assert found.srm.expected == {"control": 5_000.0, "treatment": 5_000.0}
    assert found.phases == ()
    assert found.last_exposure_at == "2026-03-31T21:00:00+00:00"


def test_check_health__shares_off__blocks() -> None:
    found = check(replace(TRAFFIC, observed={(1, "control"): 5_400, (1, "treatment"): 4_600}))
    assert not found.is_healthy
    assert found.srm.is_mismatch
    assert codes(found) == [("srm_mismatch", "bad")]


def test_check_health__shares_off_on_one_look_of_many__only_warns() -> None:
    # 3.9 standard errors: rare for one look, not over all days together.
    counts = {(1, "control"): 5_195, (1, "treatment"): 4_805}
    by_day = np.array([[[2_500, 2_500]], [[5_000, 4_800]]])
    found = check(replace(TRAFFIC, observed=counts, by_day=by_day))
    assert found.is_healthy
    assert codes(found) == [("srm_watch", "warning")]
    assert found.srm.p_value is not None
    assert found.srm.p_value < 0.001
    assert found.srm.any_day_p_value is not None
    assert found.srm.any_day_p_value > 0.001
    assert codes(check(replace(TRAFFIC, observed=counts))) == [("srm_mismatch", "bad")]


def test_check_health__shares_off_once_on_a_day__stay_off() -> None:
    by_day = np.array([[[3_000, 2_000]]])
    found = check(replace(TRAFFIC, observed={(1, "control"): 5_200, (1, "treatment"): 4_800}, by_day=by_day))
    assert not found.is_healthy
    assert found.srm.any_day_p_value is not None
    assert found.srm.any_day_p_value < 1e-9


def test_check_health__weights_changed_between_phases__is_no_mismatch() -> None:
    two = replace(
        TRAFFIC,
        observed={(1, "control"): 500, (1, "treatment"): 500, (2, "control"): 1_800, (2, "treatment"): 200},
        weights={(1, "control"): 0.5, (1, "treatment"): 0.5, (2, "control"): 0.9, (2, "treatment"): 0.1},
        phases=(1, 2),
    )
    found = check(two)
    assert found.is_healthy
    assert found.srm.p_value == 1.0
    assert [phase.phase for phase in found.phases] == [1, 2]
    assert found.srm.expected == {"control": 2_300.0, "treatment": 700.0}


@pytest.mark.parametrize(
    ("count", "code", "level", "healthy"),
    [
        (10, "multi_arm_few", "info", True),
        (90, "multi_arm_many", "warning", True),
        (500, "multi_arm_many", "bad", False),
    ],
)
def test_check_health__people_in_two_arms__weigh_by_their_share(
    count: int, code: str, level: str, healthy: bool
) -> None:
    found = check(replace(TRAFFIC, multi_arm={"control": count, "treatment": count}, multi_arm_n=count))
    assert codes(found)[1] == (code, level)
    assert found.is_healthy is healthy
    assert found.multi_arm_share == pytest.approx(count / (10_000 + count))


def test_check_health__few_units__let_no_share_block() -> None:
    few = replace(TRAFFIC, observed={(1, "control"): 5, (1, "treatment"): 5}, multi_arm={"control": 5}, multi_arm_n=5)
    assert check(few).is_healthy


def test_check_health__nobody_exposed__is_told() -> None:
    empty = replace(TRAFFIC, observed={(1, "control"): 0, (1, "treatment"): 0}, last_exposure_at=None)
    found = check(empty, silent=("Conversion",))
    assert found.is_healthy
    assert codes(found) == [("no_exposures", "info")]
    assert (found.srm.p_value, found.multi_arm_share, found.last_exposure_at) == (None, None, None)


def test_check_health__exposures_stopped__warns_while_running() -> None:
    old = replace(TRAFFIC, last_exposure_at=microseconds(AT - timedelta(days=3)))
    assert ("exposures_stopped", "warning") in codes(check(old))
    assert ("exposures_stopped", "warning") not in codes(check(old, status="stopped"))


def test_check_health__metric_without_an_event__warns() -> None:
    assert ("metric_silent", "warning") in codes(check(TRAFFIC, silent=("Conversion",)))
