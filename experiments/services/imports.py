"""Finished experiments from files: stored as Parquet behind the facts port, with a result page."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.utils.text import slugify

from experiments.errors import CannotImport
from experiments.facts.csv_file import (
    Columns,
    CsvProblem,
    FinishedExperiment,
    MetricColumn,
    NumberColumn,
    read_finished_experiment,
)
from experiments.facts.warehouse import dataset_folder, remove_dataset, write_dataset
from experiments.models import Experiment, ExperimentMetric, Metric
from experiments.ports import MetricDefinition
from experiments.reports import ExperimentReport
from experiments.selectors import get_report
from experiments.services.design import ArmSpec, Design, create_finished
from experiments.services.refresh import refresh_experiment

if TYPE_CHECKING:
    import pyarrow as pa
    from django.contrib.auth.models import User

__all__ = ["Columns", "ImportedExperiment", "MetricColumn", "import_finished_experiment"]

WAREHOUSE: Final = "experiments.facts.warehouse.WarehouseFacts"
COVARIATE: Final = "covariate:"
LONGEST_STEM: Final = 40
LONGEST_TITLE: Final = 200
HASH_DIGITS: Final = 12
# The file has no times: everybody is exposed at 0, outcomes follow at 0, the covariate lies before.
EXPOSED_AT: Final = 0
BEFORE: Final = -1


@dataclass(frozen=True, slots=True)
class ImportedExperiment:
    """The experiment's key, its report, and whether this import created it."""

    experiment_key: str
    report: ExperimentReport
    is_new: bool


def import_finished_experiment(
    *,
    path: Path,
    columns: Columns,
    at: datetime,
    weights: Mapping[str, float] | None = None,
    actor: User | None = None,
) -> ImportedExperiment:
    """Import a file as a finished experiment and analyze it; all of it happens or nothing.

    `weights` are the designed shares by arm: of every arm, or of none, which means equal ones.
    The same file with the same columns is one experiment, however often it is imported. No unit
    identifier is stored.
    """
    try:
        data = read_finished_experiment(path, columns)
    except CsvProblem as problem:
        raise CannotImport(str(problem)) from problem
    shares = _shares(data, weights or {}, column=columns.arm)
    reference = _reference(path, columns, shares)
    report = get_report(experiment_key=reference)
    if report is not None:
        if not dataset_folder(reference).exists():
            _write(data, reference)
        return ImportedExperiment(experiment_key=reference, report=report, is_new=False)
    try:
        return _store(data=data, shares=shares, reference=reference, name=path.name, at=at, actor=actor)
    except BaseException:  # an interruption by the keyboard, too, must leave nothing behind
        remove_dataset(reference)
        raise


def _store(
    *,
    data: FinishedExperiment,
    shares: Mapping[str, float],
    reference: str,
    name: str,
    at: datetime,
    actor: User | None,
) -> ImportedExperiment:
    keys = _arm_keys(data.arms)
    _write(data, reference)
    design = Design(
        key=reference,
        name=name[:LONGEST_TITLE],
        arms=tuple(
            ArmSpec(key=keys[arm], name=arm, weight=shares[arm], is_control=arm == data.control) for arm in data.arms
        ),
        metrics=(),
        unit_type="row",
        facts=WAREHOUSE,
        facts_reference=reference,
        plan={"analysis": {"schema": 1, "looks": "single"}},
    )
    with transaction.atomic():
        experiment = create_finished(design=design, started_at=at, stopped_at=at, at=at, actor=actor)
        for index, column in enumerate(data.metrics):
            _add_metric(experiment, column, index=index, covariate=data.covariate)
        refresh_experiment(experiment_id=experiment.pk, at=at)
        report = get_report(experiment_key=reference)
    assert report is not None  # the refresh above stored it or raised
    return ImportedExperiment(experiment_key=reference, report=report, is_new=True)


def _write(data: FinishedExperiment, reference: str) -> None:
    remove_dataset(reference)
    write_dataset(reference, exposures=_exposures(data, _arm_keys(data.arms)), events=_events(data))


def _add_metric(
    experiment: Experiment, column: NumberColumn, *, index: int, covariate: NumberColumn | None
) -> ExperimentMetric:
    """A metric of this file only: it is no current one, so no form offers it."""
    definition = MetricDefinition(
        event_types=(column.name,),
        aggregation="sum",
        window_hours=1,
        lookback_days=1 if covariate else 0,
        scale=column.scale,
        covariate_event_types=(COVARIATE + covariate.name,) if covariate else (),
    )
    metric = Metric(
        key=f"{experiment.key}-{index}",
        name=column.name,
        kind=column.kind,
        unit=Metric.Unit.SHARE if column.kind == "proportion" else Metric.Unit.NUMBER,
        definition=definition.as_json(),
        is_current=False,
    )
    # Not `full_clean`: a proportion of events that exist cannot have a covariate that is a sum. The file's reader has
    # seen to it that a proportion holds nothing but 0 and 1.
    metric.clean_fields()
    metric.save(force_insert=True)
    role = ExperimentMetric.Role.SECONDARY if index else ExperimentMetric.Role.PRIMARY
    return ExperimentMetric.objects.create(experiment=experiment, metric=metric, role=role)


def _shares(data: FinishedExperiment, weights: Mapping[str, float], *, column: str) -> dict[str, float]:
    unknown = sorted(weights.keys() - set(data.arms))
    if unknown:
        raise CannotImport(f"column {column}: no row has the arm {unknown[0]!r} that a weight names")
    missing = [arm for arm in data.arms if arm not in weights]
    if weights and missing:  # "control=0.1" alone could mean a tenth of all, or a tenth of another arm
        raise CannotImport(f"column {column}: give every arm a weight, or none; {missing[0]!r} has none")
    if not all(0 < weight < math.inf for weight in weights.values()):
        raise CannotImport("a weight must be positive")
    shares = {arm: weights.get(arm, 1.0) for arm in data.arms}
    total = sum(shares.values())
    return {arm: share / total for arm, share in shares.items()}


def _reference(path: Path, columns: Columns, shares: Mapping[str, float]) -> str:
    """A name made of the file's content and of what was asked of it."""
    digest = hashlib.sha256(repr((columns, sorted(shares.items()))).encode())
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    stem = slugify(path.name.split(".")[0])[:LONGEST_STEM] or "file"
    return f"{stem}-{digest.hexdigest()[:HASH_DIGITS]}"


def _arm_keys(arms: Sequence[str]) -> dict[str, str]:
    """A slug for every arm; arms whose slugs would be equal get a number."""
    keys: dict[str, str] = {}
    for index, arm in enumerate(arms):
        slug = slugify(arm)[:50] or f"arm-{index}"
        free = (key for number in count(index) if (key := f"{slug}-{number}") not in keys.values())
        keys[arm] = next(free) if slug in keys.values() else slug
    return keys


def _exposures(data: FinishedExperiment, keys: Mapping[str, str]) -> pa.Table:
    import pyarrow as pa

    units_n = len(data.arm_of_unit)
    return pa.table(
        {
            "unit": range(units_n),
            "arm": [keys[arm] for arm in data.arm_of_unit],
            "phase": [1] * units_n,
            "first_at": [EXPOSED_AT] * units_n,
        }
    )


def _events(data: FinishedExperiment) -> pa.Table:
    """One event per number that is not 0: zeros are what a unit without events has anyway."""
    import pyarrow as pa

    parts = [_event_rows(column.values, type_=column.name, at=EXPOSED_AT) for column in data.metrics]
    if data.covariate is not None:
        parts.append(_event_rows(data.covariate.values, type_=COVARIATE + data.covariate.name, at=BEFORE))
    return pa.concat_tables(parts)


def _event_rows(values: Sequence[int], *, type_: str, at: int) -> pa.Table:
    import pyarrow as pa

    units = [unit for unit, value in enumerate(values) if value]
    return pa.table(
        {
            "unit": pa.array(units, type=pa.int64()),
            "type": pa.array([type_] * len(units), type=pa.string()),
            "at": pa.array([at] * len(units), type=pa.int64()),
            "value": pa.array([values[unit] for unit in units], type=pa.int64()),
        }
    )
