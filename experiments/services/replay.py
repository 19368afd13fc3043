"""Replaying a stored result: the same computation on the facts as they are now, compared with what was stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from experiments.errors import ExperimentsError
from experiments.models import Snapshot
from experiments.reports import ExperimentReport, decode_report
from experiments.services.analysis import ENGINE_VERSION, analyze

MOST_DIFFERENCES: Final = 20


class CannotReplay(ExperimentsError):
    """There is no such snapshot, or it holds no result."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What came out; `differences` name the places of the report, with the old and the new value."""

    experiment_key: str
    is_same_facts: bool
    is_same_engine: bool
    differences: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether the stored result was found again."""
        return self.is_same_facts and not self.differences


def replay_snapshot(*, snapshot_id: int) -> Replay:
    """Compute a snapshot again as of its time; nothing is written.

    Facts and numbers are compared: people, health and every metric. Verdict and plan are not, because they also
    depend on the state of the experiment, which moves on.
    """
    snapshot = Snapshot.objects.select_related("experiment").filter(pk=snapshot_id).first()
    if snapshot is None or snapshot.report is None:
        raise CannotReplay(f"Snapshot {snapshot_id} does not exist or holds no result.")
    analysis = analyze(experiment=snapshot.experiment, at=snapshot.at)
    stored, found = _numbers(decode_report(snapshot.report)), _numbers(analysis.report)
    differences = list(_differences("", stored, found))
    return Replay(
        experiment_key=snapshot.experiment.key,
        is_same_facts=snapshot.fingerprint == analysis.fingerprint,
        is_same_engine=snapshot.engine_version == ENGINE_VERSION,
        differences=tuple(differences[:MOST_DIFFERENCES]),
    )


def _numbers(report: ExperimentReport) -> dict[str, Any]:
    health = report.health
    return {
        "arms": [dataclasses.asdict(arm) for arm in report.arms],
        "srm": dataclasses.asdict(health.srm),
        "phases": [dataclasses.asdict(phase) for phase in health.phases],
        "multi_arm_n": health.multi_arm_n,
        "metrics": [dataclasses.asdict(metric) for metric in report.metrics],
    }


def _differences(place: str, stored: Any, found: Any) -> Iterator[str]:
    """Where two nested values differ, depth first."""
    if isinstance(stored, dict) and isinstance(found, dict) and stored.keys() == found.keys():
        for name in stored:
            yield from _differences(f"{place}.{name}" if place else name, stored[name], found[name])
    elif isinstance(stored, list | tuple) and isinstance(found, list | tuple) and len(stored) == len(found):
        for index, (one, other) in enumerate(zip(stored, found, strict=True)):
            yield from _differences(f"{place}[{index}]", one, other)
    elif stored != found:
        yield f"{place}: {stored!r} is now {found!r}"
