"""Surveys: a metric over everybody who is here, and over a demo experiment, before an experiment uses it.

The expressions are those of the analysis; only the exposures are others: everybody known at a moment, exposed then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db.models import F, Q
from django.utils.module_loading import import_string

from experiments.facts.expressions import PlannedMetric, event_values, unit_totals
from experiments.models import Experiment, Metric, MetricSurvey
from experiments.ports import Facts
from experiments.selectors.metrics import SURVEY_SCHEMA, HistoryPoint, Survey, TrialArm
from experiments.services.exposure import microseconds
from experiments.services.totals import column_of

if TYPE_CHECKING:
    import ibis
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

WEEKS: Final = 12
WEEK: Final = timedelta(days=7)
LONGEST_ERROR: Final = 500
EVERYBODY: Final = "everybody"


class PopulationFacts:
    """Everybody known at one moment, as if exposed then to the only arm."""

    def __init__(self, facts: Facts, *, at: int) -> None:
        self.facts = facts
        self.at = at
        self.events = facts.events
        self.population = facts.population
        self.compile = facts.compile
        self.execute = facts.execute

    def exposures(self, *, experiment_key: str, units: ibis.Table | None = None) -> ibis.Table:
        """The whole population, exposed at the moment."""
        import ibis

        known = self.facts.population(at=self.at)
        if units is not None:
            known = known.filter(known.unit.isin(units.unit))
        return known.mutate(
            arm=ibis.literal(EVERYBODY), phase=ibis.literal(1, "int64"), first_at=ibis.literal(self.at, "int64")
        )


def ask_for_survey(*, metric_id: int, at: datetime) -> None:
    """Say that a survey is wanted; the worker, or the schedule after it, makes it."""
    MetricSurvey.objects.update_or_create(metric_id=metric_id, defaults={"asked_at": at})


def waiting_ids() -> list[int]:
    """Metrics whose survey was asked for and has not come."""
    rows = MetricSurvey.objects.filter(Q(done_at=None) | Q(done_at__lt=F("asked_at")))
    return list(rows.order_by("asked_at", "pk").values_list("metric_id", flat=True))


def make_survey(*, metric_id: int, at: datetime) -> bool:
    """Compute and store the survey of a metric; False if the metric is gone."""
    metric = Metric.objects.filter(pk=metric_id).first()
    if metric is None:
        return False
    survey = survey_metric(metric=metric, at=at)
    report = {"schema": SURVEY_SCHEMA, **dataclasses.asdict(survey)}
    MetricSurvey.objects.update_or_create(
        metric=metric, defaults={"done_at": at, "report": report, "error": ""}, create_defaults={
            "asked_at": at, "done_at": at, "report": report,
        },
    )  # fmt: skip
    return True


def record_survey_failure(*, metric_id: int, at: datetime, error: Exception) -> None:
    """Keep why there is no survey, beside the last good one."""
    text = f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
    MetricSurvey.objects.filter(metric=metric_id).update(done_at=at, error=text)


def survey_metric(*, metric: Metric, at: datetime) -> Survey:
    """The metric over everybody in the last weeks whose windows have closed, and over the demo experiment."""
    facts: Facts = import_string(settings.EXPERIMENTS_FACTS)(reference="")
    planned = PlannedMetric(0, metric.key, metric.decoded())
    until = microseconds(at)
    history: list[HistoryPoint] = []
    table = None
    for moment in _moments(planned, at):
        view = PopulationFacts(facts, at=microseconds(moment))
        numbers = _Numbers(view, planned, experiment_key=EVERYBODY, until=until)
        table = numbers.table
        history.append(HistoryPoint(day=moment.date().isoformat(), **numbers.summary()))
    sql = facts.compile(
        unit_totals(PopulationFacts(facts, at=until), experiment_key=EVERYBODY, metrics=[planned], until=until)
    )
    trial_experiment, trial = _trial(facts, planned, until)
    return Survey(
        sql=sql,
        history=tuple(history),
        standard_deviation=None if table is None else _deviation(table, planned),
        variance_saved=None if table is None else _variance_saved(table, planned),
        trial_experiment=trial_experiment,
        trial=trial,
    )


def _moments(planned: PlannedMetric, at: datetime) -> list[datetime]:
    """The last weeks' moments whose windows have closed, oldest first, at midnight UTC."""
    last = at - timedelta(microseconds=planned.closes_after)
    midnight = datetime(last.year, last.month, last.day, tzinfo=UTC)
    return [midnight - WEEK * number for number in reversed(range(WEEKS))]


def _trial(facts: Facts, planned: PlannedMetric, until: int) -> tuple[str, tuple[TrialArm, ...]]:
    """The newest experiment of the demo world by arm; nothing where there is no demo world."""
    experiment = Experiment.objects.filter(is_demo=True).exclude(started_at=None).order_by("-started_at").first()
    if experiment is None:
        return "", ()
    numbers = _Numbers(facts, planned, experiment_key=experiment.key, until=until)
    arms = experiment.arms.order_by("position").values_list("key", "name")
    return experiment.key, tuple(TrialArm(arm=name, **numbers.summary(arm=key)) for key, name in arms)


class _Numbers:
    """One metric's per-unit totals, and what they come to."""

    def __init__(self, facts: Facts, planned: PlannedMetric, *, experiment_key: str, until: int) -> None:
        self.planned = planned
        self.table = facts.execute(unit_totals(facts, experiment_key=experiment_key, metrics=[planned], until=until))
        self.arms: Sequence[str] = self.table.column("arm").to_pylist()
        self.values: pa.Table | None = None
        if planned.definition.per_event:
            self.values = facts.execute(event_values(facts, experiment_key=experiment_key, metric=planned, until=until))

    def summary(self, *, arm: str | None = None) -> dict[str, Any]:
        """How many units, how many with a number, and the metric's value."""
        import numpy as np

        chosen = np.array([arm is None or name == arm for name in self.arms], dtype=bool)
        totals = column_of(self.table, self.planned.total)[chosen]
        return {
            "units_n": int(chosen.sum()),
            "nonzero_n": int(np.count_nonzero(totals)),
            "value": self._value(totals, chosen),
        }

    def _value(self, totals: NDArray[np.int64], chosen: NDArray[np.bool_]) -> float | None:
        import numpy as np

        definition = self.planned.definition
        if definition.denominator is not None:
            per = column_of(self.table, self.planned.per)[chosen]
            divisor = int(per.sum()) / definition.denominator_scale
            return float(totals.sum() / definition.scale / divisor) if divisor else None
        if definition.quantile is not None:
            numbers = totals
            if self.values is not None:
                units = set(np.array(self.table.column("unit").to_pylist())[chosen].tolist())
                mine = [unit in units for unit in self.values.column("unit").to_pylist()]
                numbers = column_of(self.values, "number")[np.array(mine, dtype=bool)]
            return float(np.quantile(numbers, definition.quantile)) / definition.scale if numbers.size else None
        return float(totals.mean()) / definition.scale if totals.size else None


def _deviation(table: pa.Table, planned: PlannedMetric) -> float | None:
    """The standard deviation over units, of a ratio that of its linearization (Deng et al. 2018)."""
    import numpy as np

    totals = column_of(table, planned.total) / planned.definition.scale
    if totals.size < 2:
        return None
    if planned.definition.denominator is not None:
        per = column_of(table, planned.per) / planned.definition.denominator_scale
        if not per.any():
            return None
        totals = (totals - totals.sum() / per.sum() * per) / per.mean()
    return float(np.std(totals, ddof=1))


def _variance_saved(table: pa.Table, planned: PlannedMetric) -> float | None:
    """The share of the variance that the covariate explains: the squared correlation (Deng et al. 2013)."""
    import numpy as np

    if planned.before not in table.column_names or table.num_rows < 2:
        return None
    y = column_of(table, planned.total).astype(np.float64)
    x = column_of(table, planned.before).astype(np.float64)
    if not np.ptp(y) or not np.ptp(x):
        return None
    return float(np.corrcoef(x, y)[0, 1] ** 2)
