"""Signs of trouble beside the sample ratio: late data, strayed exposures, bots, metrics that dry up, biased starts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from experiments.bucketing.allocation import arm_table
from experiments.bucketing.hashing import fnv1a32
from experiments.bucketing.vectorized import bucket_numbers
from experiments.choices import ExperimentStatus
from experiments.models import Experiment, Exposure
from experiments.ports import Facts
from experiments.reports import Level, Message
from experiments.services.analysis_run import Run
from experiments.services.exposure import microseconds
from experiments.services.metric_reports import Measured
from experiments.stats.estimates import compare
from experiments.stats.mean import mean_estimate

# Nothing at all from any source for a day, while people are taken in: the pipe is broken or far behind.
DATA_DELAY: Final = timedelta(days=1)
# Newest exposures whose arm is checked against the hash; a client that assigns wrongly shows in a few hundred.
CHECKED: Final = 20_000
# A merged person keeps the arm of one of two identities, so a little is normal; one in a hundred is a wrong client, or
# somebody else's assignment. That does not bias by itself, so it warns; the sample ratio and the start tell the rest.
STRAYED_WARNING: Final = 0.01
# Bots are left out before they are exposed; where they are this frequent, some will pass for people.
BOT_WARNING: Final = 0.2
# Below this many units a share says nothing.
FEWEST_UNITS: Final = 100
# Days at the end that are held against the days before, and events that these would have had by the rate before.
RECENT_DAYS: Final = 2
EXPECTED_EVENTS: Final = 20
# Pre-exposure bias: the arms differed before they could have. Over a thousand experiments one alarm is chance.
BIAS_WARNING: Final = 0.01
BIAS_BLOCK: Final = 0.0001


@dataclass(frozen=True, slots=True)
class Signs:
    """What the facts and the exposures tell of themselves."""

    last_event_at: int | None = None
    checked_n: int = 0
    strayed_n: int = 0
    people_n: int = 0
    bots_n: int = 0


def read_signs(run: Run, watermark: Mapping[str, int], *, facts: Facts) -> Signs:
    """Look at the newest exposures and at what the source counts; a finished experiment from a file has neither."""
    if run.plan.is_single_look:
        return Signs()
    checked_n, strayed_n = _strayed(run)
    count_bots = getattr(facts, "bots_left_out", None)
    return Signs(
        last_event_at=watermark.get("last_event_at"),
        checked_n=checked_n,
        strayed_n=strayed_n,
        people_n=run.totals.units_n + run.totals.multi_arm_n,
        bots_n=0 if count_bots is None else count_bots(experiment_key=run.experiment.key),
    )


def sign_messages(signs: Signs, experiment: Experiment, at: datetime) -> Iterator[Message]:
    """What of the signs is worth a sentence."""
    is_running = experiment.status == ExperimentStatus.RUNNING
    if is_running and signs.last_event_at is not None and signs.last_event_at < microseconds(at - DATA_DELAY):
        last = datetime.fromtimestamp(signs.last_event_at / 1_000_000, tz=UTC)
        yield Message("data_delayed", {"at": last.isoformat()}, level="warning")
    if signs.checked_n >= FEWEST_UNITS and signs.strayed_n / signs.checked_n >= STRAYED_WARNING:
        share = signs.strayed_n / signs.checked_n
        yield Message("exposures_strayed", {"count": signs.strayed_n, "share": share}, level="warning")
    seen = signs.people_n + signs.bots_n
    if seen >= FEWEST_UNITS and signs.bots_n / seen >= BOT_WARNING:
        yield Message("bots_many", {"count": signs.bots_n, "share": signs.bots_n / seen}, level="warning")


def cell_messages(run: Run, measured: Sequence[Measured]) -> Iterator[Message]:
    """Metrics that stopped arriving, and arms that differed before anybody was exposed."""
    if run.plan.is_single_look:
        return
    for use, one in zip(run.uses, measured, strict=True):
        if _has_dried_up(one):
            yield Message("metric_stopped", {"metric": use.metric.name, "days": RECENT_DAYS}, level="warning")
        p_value = _bias(run, one)
        if p_value is not None and p_value < BIAS_WARNING:
            level: Level = "bad" if p_value < BIAS_BLOCK else "warning"
            yield Message("biased_start", {"metric": use.metric.name, "p_value": p_value}, level=level)


def _strayed(run: Run) -> tuple[int, int]:
    """Exposures checked, and those whose arm is not the one that the hash gives in their phase."""
    weights = {number: tuple(run.weights.get((number, arm.key), 0.0) for arm in run.arms) for number in run.phases}
    place_of = {arm.pk: place for place, arm in enumerate(run.arms)}
    rows = Exposure.objects.filter(experiment=run.experiment, first_at__lt=run.until).order_by("-pk")
    newest = list(rows.values_list("unit_id", "phase__number", "arm_id")[:CHECKED])
    strayed = 0
    for number in {phase for _, phase, _ in newest}:
        mine = [(unit, place_of[arm]) for unit, phase, arm in newest if phase == number]
        if not math.isclose(sum(weights[number]), 1.0, abs_tol=1e-9):
            continue
        # Full coverage: a smaller one covers a part of each arm's range and moves nobody.
        table = np.frombuffer(arm_table(weights=weights[number], coverage=1.0), dtype=np.uint8)
        buckets = bucket_numbers(seed_state=fnv1a32(run.experiment.seed), unit_ids=[unit for unit, _ in mine])
        strayed += int((table[buckets] != np.array([arm for _, arm in mine])).sum())
    return len(newest), strayed


def _has_dried_up(measured: Measured) -> bool:
    """No event among the windows that closed in the last days, where the days before promise many."""
    daily = measured.cells.daily()
    units, events = daily.aggregates.count.sum(axis=(0, 1)), daily.nonzero.sum(axis=(0, 1))
    before, recent = slice(0, -RECENT_DAYS), slice(-RECENT_DAYS, None)
    if units.size <= RECENT_DAYS or not units[before].sum() or events[recent].sum():
        return False
    rate = events[before].sum() / units[before].sum()
    return bool(rate * units[recent].sum() >= EXPECTED_EVENTS)


def _bias(run: Run, measured: Measured) -> float | None:
    """The smallest p-value over the treatments, times their number, of a difference before the exposure."""
    if not measured.cells.has_covariate:
        return None
    cells = measured.cells.mature().aggregates.total(axis=0)
    p_values = []
    for arm in run.treatments:
        found = compare(mean_estimate(cells[run.control], "x"), mean_estimate(cells[arm], "x")).at()
        if found.p_value is not None:
            p_values.append(found.p_value)
    return min(1.0, min(p_values) * len(p_values)) if p_values else None
