"""Replaying a stored result: the same computation again, compared with what was stored.

From the facts as they are now, for as long as events are kept; afterwards, or on demand, from the sufficient statistics
that the snapshot holds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from experiments.errors import ExperimentsError
from experiments.models import Snapshot
from experiments.reports import ExperimentReport, SrmReport, decode_report
from experiments.services.aggregates_file import decode_inputs
from experiments.services.analysis import ENGINE_VERSION, analyze, conclude, design_of, prepare_run
from experiments.services.totals import UnitTotals

MOST_DIFFERENCES: Final = 20
# Erased people's contributions are added in another order than theirs were: sums of floats differ in the last digits.
TOLERANCE: Final = 1e-9


class CannotReplay(ExperimentsError):
    """There is no such snapshot, or it holds no result."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What came out; `differences` name the places of the report, with the old and the new value."""

    experiment_key: str
    is_same_facts: bool
    is_same_engine: bool
    differences: tuple[str, ...]
    # People erased since: their identities are gone, their contributions are not.
    erased_n: int = 0

    @property
    def is_equal(self) -> bool:
        """Whether the stored result was found again."""
        return not self.differences and (self.is_same_facts or self.erased_n > 0)


def replay_snapshot(*, snapshot_id: int, from_aggregates: bool = False) -> Replay:
    """Compute a snapshot again as of its time; nothing is written.

    Facts and numbers are compared: people, health and every metric. Verdict and plan are not, because they also
    depend on the state of the experiment, which moves on. From aggregates, quantiles, breakdowns and days since
    exposure are not compared: they need single events.
    """
    snapshot = Snapshot.objects.select_related("experiment").filter(pk=snapshot_id).first()
    if snapshot is None or snapshot.report is None:
        raise CannotReplay(f"Snapshot {snapshot_id} does not exist or holds no result.")
    stored = decode_report(snapshot.report)
    if from_aggregates:
        found, fingerprint, frozen_n = _from_aggregates(snapshot), snapshot.fingerprint, stored.plan.frozen_n
    else:
        analysis = analyze(experiment=snapshot.experiment, at=snapshot.at)
        found, fingerprint = analysis.report, analysis.fingerprint
        frozen_n = analysis.row_counts["frozen_units"]
    erased_n = max(0, frozen_n - stored.plan.frozen_n)
    numbers = (_numbers(one, is_aggregated=from_aggregates, is_erased=bool(erased_n)) for one in (stored, found))
    differences = list(_differences("", *numbers, tolerance=TOLERANCE if erased_n else 0.0))
    return Replay(
        experiment_key=snapshot.experiment.key,
        is_same_facts=snapshot.fingerprint == fingerprint,
        is_same_engine=snapshot.engine_version == ENGINE_VERSION,
        differences=tuple(differences[:MOST_DIFFERENCES]),
        erased_n=erased_n,
    )


def _from_aggregates(snapshot: Snapshot) -> ExperimentReport:
    if not snapshot.aggregates:
        raise CannotReplay(f"Snapshot {snapshot.pk} was stored before aggregates were kept.")
    experiment, at = snapshot.experiment, snapshot.at
    arms, phases, weights = design_of(experiment)
    inputs, days = decode_inputs(
        bytes(snapshot.aggregates), weights=weights, phases=phases, arms=tuple(arm.key for arm in arms)
    )
    nothing = np.zeros(0, dtype=np.int64)
    totals = UnitTotals(nothing, nothing, nothing, (), {}, 0, snapshot.fingerprint, snapshot.sql)
    run = prepare_run(experiment, at, totals=totals, days=days)
    return conclude(run, inputs, at=at, new_looks=[], novelty={}, breakdowns=())


def _numbers(report: ExperimentReport, *, is_aggregated: bool, is_erased: bool) -> dict[str, Any]:
    """What is compared. Single days and groups of erased people are not: only planned numbers are frozen."""
    health = report.health
    metrics = [
        dataclasses.replace(
            metric,
            comparisons=tuple(
                dataclasses.replace(one, novelty=None, daily=() if is_erased else one.daily)
                for one in metric.comparisons
            ),
        )
        if is_aggregated or is_erased
        else metric
        for metric in report.metrics
        if not (is_aggregated and metric.kind == "quantile")
    ]
    return {
        "arms": [dataclasses.asdict(arm) for arm in report.arms],
        "srm": _sample_ratio(health.srm, is_erased=is_erased),
        "phases": [_sample_ratio(phase, is_erased=is_erased) for phase in health.phases],
        "multi_arm_n": health.multi_arm_n,
        "metrics": [dataclasses.asdict(metric) for metric in metrics],
        "breakdowns": []
        if is_aggregated or is_erased
        else [dataclasses.asdict(breakdown) for breakdown in report.breakdowns],
    }


def _sample_ratio(srm: SrmReport, *, is_erased: bool) -> dict[str, Any]:
    """The check of one phase; the days of frozen people are coarse, so that over days it is not the same."""
    return dataclasses.asdict(dataclasses.replace(srm, any_day_p_value=None) if is_erased else srm)


def _differences(place: str, stored: Any, found: Any, *, tolerance: float) -> Iterator[str]:
    """Where two nested values differ, depth first; numbers may differ by the relative tolerance."""
    if isinstance(stored, dict) and isinstance(found, dict) and stored.keys() == found.keys():
        for name in stored:
            inner = f"{place}.{name}" if place else name
            yield from _differences(inner, stored[name], found[name], tolerance=tolerance)
    elif isinstance(stored, list | tuple) and isinstance(found, list | tuple) and len(stored) == len(found):
        for index, (one, other) in enumerate(zip(stored, found, strict=True)):
            yield from _differences(f"{place}[{index}]", one, other, tolerance=tolerance)
    elif isinstance(stored, float) and isinstance(found, float) and tolerance:
        if not math.isclose(stored, found, rel_tol=tolerance, abs_tol=tolerance):
            yield f"{place}: {stored!r} is now {found!r}"
    elif stored != found:
        yield f"{place}: {stored!r} is now {found!r}"
