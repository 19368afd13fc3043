"""Health before effects: what must be right before an effect may be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from experiments.choices import ExperimentStatus
from experiments.models import Experiment
from experiments.reports import HealthReport, Message, SrmReport
from experiments.services.exposure import microseconds
from experiments.stats.sequential import accumulate_p_values
from experiments.stats.srm import (
    SRM_THRESHOLD,
    SrmResult,
    SrmVerdict,
    sequential_srm_over_phases,
    srm_test,
    srm_test_over_phases,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Share of units seen in two arms. They are left out, and leaving out is no longer random when the
# arms differ in how often people come back; half a percent cannot move a result, two can.
MULTI_ARM_WARNING: Final = 0.005
MULTI_ARM_BLOCK: Final = 0.02
# Spread of the sequential check's alternative (Lindon & Malek 2022): it expects an arm of 50 % to miss
# its share by sqrt(0.25 / 1,000) = 1.6 points, what experiments on thousands of people can show; on
# millions the check then needs a few more in the exponent (half of ln(n / 1,000)) and finds 0.2 points.
CONCENTRATION: Final = 1_000.0
# Below this many units a share of multi-arm units or a silent metric says nothing.
FEWEST_UNITS: Final = 100
# A weekend without visitors is normal for some shops, two days without anybody are worth a look.
SILENCE: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Exposed units by phase and arm beside the design."""

    observed: Mapping[tuple[int, str], int]
    weights: Mapping[tuple[int, str], float]
    phases: tuple[int, ...]
    arms: tuple[str, ...]
    multi_arm: Mapping[str, int]
    multi_arm_n: int
    last_exposure_at: int | None
    # Units by ended day × phase × arm, cumulative; none where the experiment has a single look.
    by_day: NDArray[np.int64] | None = None
    # Erased people whose frozen contributions are among the units.
    frozen_n: int = 0

    @property
    def units_n(self) -> int:
        """Units seen in one arm."""
        return sum(self.observed.values())


def check_health(
    *,
    traffic: Traffic,
    experiment: Experiment,
    at: datetime,
    silent_metrics: Sequence[str],
    further: Sequence[Message] = (),
) -> HealthReport:
    """Sample ratio (by phase and together), units in two arms, missing data, and what else was found (`signs`)."""
    together, each = _sample_ratio(traffic)
    seen_n = traffic.units_n + traffic.multi_arm_n
    share = traffic.multi_arm_n / seen_n if seen_n else None
    messages = [
        *_srm_messages(together),
        *_multi_arm_messages(traffic, share),
        *_silence_messages(traffic, experiment, at, silent_metrics),
        *further,
    ]
    if traffic.frozen_n:
        messages.append(Message("frozen_units", {"count": traffic.frozen_n}))
    return HealthReport(
        is_healthy=all(message.level != "bad" for message in messages),
        srm=together,
        phases=each,
        multi_arm_n=traffic.multi_arm_n,
        multi_arm_share=share,
        last_exposure_at=_moment(traffic.last_exposure_at),
        messages=tuple(messages),
    )


def _sample_ratio(traffic: Traffic) -> tuple[SrmReport, tuple[SrmReport, ...]]:
    """The check over all phases (numbered 0), and each phase's own where there are several.

    While an experiment runs, only the sequential check over all days so far blocks: a chi-square at
    0.001 on every day would stop healthy experiments. The single phases are diagnostics.
    """
    counts = [[traffic.observed[(phase, arm)] for arm in traffic.arms] for phase in traffic.phases]
    weights = [[traffic.weights.get((phase, arm), 0.0) for arm in traffic.arms] for phase in traffic.phases]
    overall = srm_test_over_phases(counts, weights).at()
    expected = [_expected(row, shares) for row, shares in zip(counts, weights, strict=True)]
    together = _srm_report(
        0,
        overall,
        traffic.arms,
        [sum(column) for column in zip(*counts, strict=True)],
        [sum(column) for column in zip(*expected, strict=True)],
    )
    if traffic.by_day is not None:
        together = _on_any_day(together, [*traffic.by_day, counts], weights)
    if len(traffic.phases) == 1:
        return together, ()
    by_phase = srm_test(counts, weights)
    return together, tuple(
        _srm_report(phase, by_phase.at(index), traffic.arms, counts[index], expected[index])
        for index, phase in enumerate(traffic.phases)
    )


def _on_any_day(report: SrmReport, counts: Sequence[Any], weights: Sequence[Sequence[float]]) -> SrmReport:
    """The report with the running minimum of the sequential check over the days and now."""
    looks = sequential_srm_over_phases(counts, weights, concentration=CONCENTRATION)
    found = replace(looks, p_value=accumulate_p_values(looks.p_value)).at(len(counts) - 1)
    return replace(report, any_day_p_value=found.p_value, is_mismatch=found.verdict is SrmVerdict.BLOCKED)


def _expected(counts: Sequence[int], weights: Sequence[float]) -> list[float]:
    total, designed = sum(counts), sum(weights)
    return [total * weight / designed for weight in weights]


def _srm_report(
    phase: int, found: SrmResult, arms: Sequence[str], counts: Sequence[int], expected: Sequence[float]
) -> SrmReport:
    return SrmReport(
        phase=phase,
        p_value=found.p_value,
        observed=dict(zip(arms, counts, strict=True)),
        expected=dict(zip(arms, expected, strict=True)),
        is_mismatch=found.verdict is SrmVerdict.BLOCKED,
    )


def _srm_messages(srm: SrmReport) -> list[Message]:
    if srm.p_value is None:
        return []
    if srm.is_mismatch:
        p_value = srm.p_value if srm.any_day_p_value is None else srm.any_day_p_value
        return [Message("srm_mismatch", {"p_value": p_value}, level="bad")]
    if srm.p_value < SRM_THRESHOLD:
        return [Message("srm_watch", {"p_value": srm.p_value}, level="warning")]
    return [Message("srm_fine", {"p_value": srm.p_value}, level="good")]


def _multi_arm_messages(traffic: Traffic, share: float | None) -> list[Message]:
    if not traffic.multi_arm_n or share is None:
        return []
    parameters = {"count": traffic.multi_arm_n, "share": share}
    if traffic.units_n < FEWEST_UNITS or share < MULTI_ARM_WARNING:
        return [Message("multi_arm_few", parameters, level="info")]
    return [Message("multi_arm_many", parameters, level="bad" if share >= MULTI_ARM_BLOCK else "warning")]


def _silence_messages(
    traffic: Traffic, experiment: Experiment, at: datetime, silent_metrics: Sequence[str]
) -> list[Message]:
    if traffic.last_exposure_at is None:
        return [Message("no_exposures", level="info")]
    messages = []
    is_silent = traffic.last_exposure_at < microseconds(at - SILENCE)
    if experiment.status == ExperimentStatus.RUNNING and is_silent:
        last = _moment(traffic.last_exposure_at)
        messages.append(Message("exposures_stopped", {"at": last}, level="warning"))
    if traffic.units_n >= FEWEST_UNITS:
        messages += [Message("metric_silent", {"metric": name}, level="warning") for name in silent_metrics]
    return messages


def _moment(microsecond: int | None) -> str | None:
    if microsecond is None:
        return None
    return (datetime.fromisoformat("1970-01-01T00:00:00+00:00") + timedelta(microseconds=microsecond)).isoformat()
