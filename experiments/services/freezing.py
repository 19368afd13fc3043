"""Erasure without losing what was measured: a person's contribution to planned metrics is frozen, then the person goes.

Freezing happens before the exposures are deleted. What stays has a random token, no key, no dimension, and a time that
was moved as far as no stored result changes: to the end of the interval between two moments at which somebody looked,
and on to the neighboring interval where fewer than five people of the arm share it and no snapshot lies between.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db.models import Count, Q

from experiments.facts.database import DatabaseFacts
from experiments.facts.expressions import DAY, PlannedMetric, event_values, multi_arm_pairs, unit_totals
from experiments.models import Experiment, FrozenUnit, Phase, Snapshot
from experiments.ports import Facts
from experiments.services.exposure import microseconds
from experiments.services.facts import load_facts
from experiments.services.planned import planned_metrics
from experiments.services.totals import EventValues, MetricColumns, UnitTotals, ended_days

if TYPE_CHECKING:
    import ibis

# Total, before, per, per before, and the single values of events.
ALL_TIME: Final = 2**62
FEWEST_IN_A_CELL: Final = 5
"""People; a time that fewer share could tell of one of them."""
NOTHING: Final = (0, 0, 0, 0, ())


def column_keys(experiment: Experiment) -> dict[str, str]:
    """Under which name a frozen unit keeps its number of each metric: a new version is another metric."""
    versions = experiment.metrics.values_list("metric__key", "metric__version")
    return {key: f"{key}/{version}" for key, version in versions}


def with_frozen(
    totals: UnitTotals,
    *,
    experiment: Experiment,
    metrics: Sequence[PlannedMetric],
    arms: Sequence[str],
    phases: Sequence[int],
    until: int,
) -> UnitTotals:
    """The totals with those of erased people behind them, as they stood when the people went."""
    import numpy as np

    rows = FrozenUnit.objects.filter(experiment=experiment, first_at__lt=until).select_related("phase")
    frozen = list(rows.order_by("token"))
    if not frozen:
        return totals
    clean = [row for row in frozen if len(row.arms) == 1]
    doubled = [row for row in frozen if len(row.arms) > 1]
    keys = column_keys(experiment)

    def after(column: Any, numbers: Sequence[int]) -> Any:
        return np.concatenate([column, np.array(numbers, dtype=np.int64)])

    def numbers_of(key: str, place: int) -> list[int]:
        # A metric that was planned after the erasure knows nothing of these people: they count as zero, and are told.
        return [int(row.totals.get(keys[key], NOTHING)[place]) for row in clean]

    columns = tuple(
        MetricColumns(
            totals=after(column.totals, numbers_of(key, 0)),
            before=None if column.before is None else after(column.before, numbers_of(key, 1)),
            per=None if column.per is None else after(column.per, numbers_of(key, 2)),
            per_before=None if column.per_before is None else after(column.per_before, numbers_of(key, 3)),
            events=None if column.events is None else _with_events(column.events, clean, keys[key], totals.units_n),
        )
        for key, column in zip((metric.key for metric in metrics), totals.metrics, strict=True)
    )
    seen = Counter(totals.multi_arm)
    for row in doubled:
        seen.update(row.arms)
    return replace(
        totals,
        arm=after(totals.arm, [list(arms).index(row.arms[0]) for row in clean]),
        phase=after(totals.phase, [list(phases).index(row.phase.number) for row in clean]),
        first_at=after(totals.first_at, [row.first_at for row in clean]),
        metrics=columns,
        multi_arm=dict(seen),
        multi_arm_n=totals.multi_arm_n + len(doubled),
        frozen_n=len(frozen),
    )


def _with_events(events: EventValues, frozen: Sequence[FrozenUnit], key: str, first: int) -> EventValues:
    """The values of events with those of frozen units, whose rows begin at `first`."""
    import numpy as np

    values = [list(row.totals.get(key, NOTHING)[4]) for row in frozen]
    units = np.repeat(np.arange(first, first + len(frozen)), [len(one) for one in values])
    numbers = np.array([number for one in values for number in one], dtype=np.int64)
    return EventValues(unit=np.concatenate([events.unit, units]), values=np.concatenate([events.values, numbers]))


def freeze(*, facts_unit: str, owners: Sequence[tuple[str, str]]) -> int:
    """Keep what one person contributed to every experiment they were exposed in; return how many rows that made.

    Everything that is stored of them counts: what comes later does not. `facts_unit` is the person as the facts name
    units, `owners` are the (unit type, unit id) of the exposures. Nothing is deleted here: `services.privacy.forget`
    does that next, in the same transaction.
    """
    mine = Q()
    for unit_type, unit_id in owners:
        mine |= Q(exposures__unit_type=unit_type, exposures__unit_id=unit_id)
    exposed = Experiment.objects.filter(mine, started_at__isnull=False, facts="").distinct() if owners else ()
    return sum(_freeze_in(experiment, facts_unit) for experiment in exposed)


def _freeze_in(experiment: Experiment, facts_unit: str) -> int:
    facts = load_facts(experiment=experiment)
    metrics = planned_metrics(experiment)[1]
    units = _only(facts, experiment, facts_unit)
    plan: dict[str, Any] = {"experiment_key": experiment.key, "until": ALL_TIME, "units": units}
    rows = facts.execute(unit_totals(facts, metrics=metrics, **plan)).to_pylist()
    values = {
        metric.key: facts.execute(event_values(facts, metric=metric, **plan)).column("number").to_pylist()
        for metric in metrics
        if metric.definition.per_event
    }
    pairs = facts.execute(
        multi_arm_pairs(facts.exposures(experiment_key=experiment.key, units=units), until=ALL_TIME)
    ).to_pylist()
    phases = dict(Phase.objects.filter(experiment=experiment).values_list("number", "pk"))
    keys = column_keys(experiment)
    frozen = [
        FrozenUnit(
            experiment=experiment,
            phase_id=phases[row["phase"]],
            arms=[row["arm"]],
            first_at=_coarse(int(row["first_at"]), _cuts(experiment, metrics, int(row["first_at"]))),
            totals={keys[metric.key]: _numbers(row, metric, values.get(metric.key)) for metric in metrics},
        )
        for row in rows
    ]
    if pairs:
        arms = sorted(pair["arm"] for pair in pairs)
        frozen.append(FrozenUnit(experiment=experiment, phase_id=min(phases.values()), arms=arms, first_at=0))
    FrozenUnit.objects.bulk_create(frozen)
    for row in frozen:
        if len(row.arms) == 1:
            _merge_cells(row, _snapshot_cuts(experiment, metrics))
    return len(frozen)


def _only(facts: Facts, experiment: Experiment, unit: str) -> ibis.Table:
    """The person's unit as a table of the facts."""
    if isinstance(facts, DatabaseFacts):
        facts.keep_unit(unit=unit)
        return facts.kept_units()
    exposures = facts.exposures(experiment_key=experiment.key)
    named = int(unit) if exposures.schema()["unit"].is_integer() else unit
    return exposures.filter(exposures.unit == named).select("unit").distinct()


def _numbers(row: dict[str, Any], metric: PlannedMetric, values: list[int] | None) -> list[Any]:
    """Total, before, and of a ratio what it divides by, as the facts gave them; of a quantile of events its values."""
    names = (metric.total, metric.before, metric.per, metric.per_before)
    return [*(int(row.get(name) or 0) for name in names), values or []]


def _cuts(experiment: Experiment, metrics: Sequence[PlannedMetric], first_at: int) -> list[int]:
    """The moments between which a first exposure may be moved without changing a stored result.

    Those at which somebody looked (snapshots, and ends of days up to the last of them), and the same before each
    window's length; besides the end of the exposure's own day.
    """
    looked = [microseconds(at) for at in Snapshot.objects.filter(experiment=experiment).values_list("at", flat=True)]
    own_day = first_at + 2 * DAY  # long enough for the longest day of the year
    last = max([own_day, *looked])
    _, ends = ended_days(first_at=first_at, until=last, time_zone=settings.REPORTING_TIME_ZONE)
    moments = {*ends, *looked}
    return sorted(moments | {moment - metric.closes_after for moment in moments for metric in metrics})


def _snapshot_cuts(experiment: Experiment, metrics: Sequence[PlannedMetric]) -> list[int]:
    """The moments that stored snapshots depend on: theirs, and those at which a window closed for the last time."""
    moments = [microseconds(at) for at in Snapshot.objects.filter(experiment=experiment).values_list("at", flat=True)]
    return sorted({*moments, *(moment - metric.closes_after for moment in moments for metric in metrics)})


def _merge_cells(row: FrozenUnit, cuts: Sequence[int]) -> None:
    """Move a cell (phase, arm, time) of too few frozen people together with its neighbor, and so on.

    Only between two cuts: on their two sides people count differently in a stored snapshot. Days are no cuts here,
    since looks are stored and not computed again; the sample ratio by day may move. Fewer people than a cell needs
    between two cuts stay as few, in one cell.
    """
    place = bisect.bisect_left(cuts, row.first_at)
    if place < len(cuts) and cuts[place] == row.first_at:
        return
    mine = FrozenUnit.objects.filter(experiment_id=row.experiment_id, phase_id=row.phase_id, arms=row.arms)
    if place:
        mine = mine.filter(first_at__gt=cuts[place - 1])
    if place < len(cuts):
        mine = mine.filter(first_at__lt=cuts[place])
    counted = mine.values("first_at").annotate(n=Count("pk")).order_by("first_at")
    cells = [(cell["first_at"], cell["n"]) for cell in counted]
    own = next(index for index, (first_at, _) in enumerate(cells) if first_at == row.first_at)
    while cells[own][1] < FEWEST_IN_A_CELL and len(cells) > 1:
        earlier = own if own + 1 < len(cells) else own - 1
        (before, few), (after, more) = cells[earlier : earlier + 2]
        mine.filter(first_at=before).update(first_at=after)
        cells[earlier : earlier + 2] = [(after, few + more)]
        own = earlier


def _coarse(first_at: int, cuts: Sequence[int]) -> int:
    """The latest time on the same side of every cut.

    An exposure counts strictly before a moment, a window that closes at the moment counts: the last microsecond before
    the next cut keeps both, unless the time is a cut itself, which stays.
    """
    place = bisect.bisect_left(cuts, first_at)
    if place == len(cuts) or cuts[place] == first_at:
        return first_at
    return cuts[place] - 1
