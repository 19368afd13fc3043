"""The incremental state of one experiment's totals: stale units are computed anew, everybody else is kept.

A file holds what the expressions gave (one row per unit with its numbers for each metric, in unit order); the
database says which file is the right one, up to when it holds, and which units are stale. A refresh computes only
these from the raw events, by the same expressions as everybody else, and writes a new file. So whatever happens to a
unit — late events, an earlier exposure, a second arm, a merge, a refund, an erasure — the result is that of a full
computation to the bit (a property test), and a lost file costs one full computation, nothing else.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.db import transaction

from experiments.facts.database import DatabaseFacts, column_array
from experiments.facts.expressions import (
    PlannedMetric,
    event_values,
    later_units,
    multi_arm_pairs,
    unit_totals,
)
from experiments.facts.in_code import registered
from experiments.facts.templates import Template
from experiments.models import Experiment, FactsState, StaleUnit
from experiments.ports import Facts
from experiments.services.dirty import delete_stale, spread_marks, state_folder
from experiments.services.totals import UnitTotals, build_totals, load_totals

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

    _Build = Callable[[int, "ibis.Table | None"], ibis.Table]

# With more stale units than this share, one scan of everything is faster than looking each of them up.
MOST_STALE: Final = 0.3
_BATCH: Final = 1_000
_STILL_WRITING: Final = 3_600.0
"""Seconds."""
_UNITS, _PAIRS, _VALUES = "units", "pairs", "values"
# As the expressions order their rows.
_ORDER: Final = {_UNITS: ("unit",), _PAIRS: ("unit", "arm"), _VALUES: ("unit", "number")}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is computed: the arguments of `load_totals`, and what the SQL depends on if it may be kept."""

    facts: DatabaseFacts
    experiment_key: str
    metrics: tuple[PlannedMetric, ...]
    until: int
    shape: Hashable | None

    def tables(self, *, is_kept_only: bool) -> dict[str, pa.Table]:
        """The rows of all expressions, of the units that the facts keep or of everybody."""
        builds: dict[str, _Build] = {_UNITS: self._units, _PAIRS: self._pairs}
        builds |= {one.key: partial(self._values, one) for one in self.metrics if one.definition.per_event}
        return {name: self._rows(name, build, is_kept_only) for name, build in builds.items()}

    def later(self, *, is_kept_only: bool) -> list[str]:
        """Units that stay stale, because what is stored of them reaches beyond `until`."""
        return [str(unit) for unit in self._rows("later", self._later, is_kept_only).column("unit").to_pylist()]

    def sql(self) -> str:
        """The SQL of everybody's totals."""
        if self.shape is None:
            return self.facts.compile(self._units(self.until, None))
        return self._template(_UNITS, self._units, is_kept_only=False).at(self.until)

    def _rows(self, name: str, build: _Build, is_kept_only: bool) -> pa.Table:
        if self.shape is None:
            return self.facts.execute(build(self.until, self.facts.kept_units() if is_kept_only else None))
        template = self._template(name, build, is_kept_only=is_kept_only)
        return self.facts.fetch(template.at(self.until), template.schema)

    def _template(self, name: str, build: _Build, *, is_kept_only: bool) -> Template:
        units = self.facts.kept_units() if is_kept_only else None
        key = (self.shape, self.metrics, name, is_kept_only)
        return self.facts.template(key, lambda until: build(until, units))

    def _units(self, until: int, units: ibis.Table | None) -> ibis.Table:
        return unit_totals(
            self.facts, experiment_key=self.experiment_key, metrics=self.metrics, until=until, units=units
        )

    def _pairs(self, until: int, units: ibis.Table | None) -> ibis.Table:
        return multi_arm_pairs(self.facts.exposures(experiment_key=self.experiment_key, units=units), until=until)

    def _values(self, metric: PlannedMetric, until: int, units: ibis.Table | None) -> ibis.Table:
        return event_values(self.facts, experiment_key=self.experiment_key, metric=metric, until=until, units=units)

    def _later(self, until: int, units: ibis.Table | None) -> ibis.Table:
        return later_units(
            self.facts, experiment_key=self.experiment_key, metrics=self.metrics, until=until, units=units
        )

    def signature(self, arms: Sequence[str], phases: Sequence[int]) -> str:
        """What a kept file must have been computed for."""
        definitions = [(metric.key, metric.definition.as_json()) for metric in self.metrics]
        said = json.dumps([self.experiment_key, definitions, list(arms), list(phases)], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()


def update_totals(
    *,
    facts: Facts,
    experiment: Experiment,
    metrics: Sequence[PlannedMetric],
    arms: Sequence[str],
    phases: Sequence[int],
    until: int,
) -> UnitTotals:
    """The totals as of `until`, equal to those of `load_totals`, with only stale units computed anew.

    One process at a time per experiment (the refresh holds a lock). Facts outside Django's database, which are not
    told what changes, are computed in full.
    """
    read = [name for metric in metrics for name in metric.definition.read_types]
    # Nobody marks the units whose rows in a shop's own tables change.
    is_told = not registered(read)
    if not is_told or not isinstance(facts, DatabaseFacts) or not facts.hears_of_news(experiment_key=experiment.key):
        return load_totals(facts=facts, experiment=experiment, metrics=metrics, arms=arms, phases=phases, until=until)
    shape = facts.shape(experiment_key=experiment.key, event_types=tuple(sorted(set(read))))
    plan = _Plan(facts, experiment.key, tuple(metrics), until, shape)
    # The state is there before anything is read, so that no mark of what is missed can get lost.
    state, _ = FactsState.objects.get_or_create(experiment=experiment)
    spread_marks()
    state.refresh_from_db()
    signature = plan.signature(arms, phases)
    stale = dict(StaleUnit.objects.filter(state=state).order_by("pk").values_list("pk", "unit"))
    named = set(stale.values())
    kept = _read(state.token) if state.signature == signature and state.until <= until else None
    if kept is not None and len(named) <= MOST_STALE * max(1, kept[_UNITS].num_rows):
        if stale:
            plan.facts.keep_stale(state_id=state.pk, last=max(stale))
        tables = _merge(kept, plan.tables(is_kept_only=True), named) if stale else kept
        later = plan.later(is_kept_only=True) if stale else []
        recomputed_n = len(named)
    else:
        tables, later = plan.tables(is_kept_only=False), plan.later(is_kept_only=False)
        recomputed_n = tables[_UNITS].num_rows
    _store(state, tables, signature=signature, until=until, stale=list(stale), later=later, recomputed_n=recomputed_n)
    return build_totals(
        units=tables[_UNITS],
        pairs=tables[_PAIRS],
        values={name: table for name, table in tables.items() if name not in (_UNITS, _PAIRS)},
        metrics=metrics,
        arms=arms,
        phases=phases,
        sql=plan.sql(),
    )


def _merge(kept: Mapping[str, pa.Table], fresh: Mapping[str, pa.Table], stale: set[str]) -> dict[str, pa.Table]:
    """The kept rows of everybody who is not stale, and the fresh rows, in the order of the expressions."""
    import pyarrow as pa
    import pyarrow.compute as pc

    merged = {}
    for name, table in kept.items():
        kind = table.schema.field("unit").type
        is_number = pa.types.is_integer(kind)
        values = column_array(tuple(int(unit) if is_number else unit for unit in sorted(stale)), kind)
        others = table.filter(pc.invert(pc.is_in(table.column("unit"), value_set=values)))
        joined = pa.concat_tables([others, fresh[name]])
        order = [(column, "ascending") for column in _ORDER.get(name, _ORDER[_VALUES])]
        merged[name] = joined.take(pc.sort_indices(joined.select([column for column, _ in order]), order))
    return merged


def _store(
    state: FactsState,
    tables: Mapping[str, pa.Table],
    *,
    signature: str,
    until: int,
    stale: Sequence[int],
    later: Sequence[str],
    recomputed_n: int,
) -> None:
    """Write new files, then say in one transaction that they hold; a crash in between leaves the old ones in force."""
    token = secrets.token_hex(16)
    _write(token, tables)
    with transaction.atomic():
        delete_stale(ids=stale)
        StaleUnit.objects.bulk_create([StaleUnit(state=state, unit=unit) for unit in later], batch_size=_BATCH)
        FactsState.objects.filter(pk=state.pk).update(
            token=token,
            signature=signature,
            until=until,
            units_n=tables[_UNITS].num_rows,
            recomputed_n=recomputed_n,
        )
    for path in state_folder().glob(f"{state.token}.*") if state.token else ():
        path.unlink(missing_ok=True)
    _remove_others(token)


def _path(token: str, name: str) -> Path:
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return state_folder() / f"{token}.{digest}.arrow"


def _write(token: str, tables: Mapping[str, pa.Table]) -> None:
    import pyarrow as pa

    state_folder().mkdir(parents=True, exist_ok=True)
    names = _path(token, "").with_suffix(".json")
    for name, table in tables.items():
        with pa.OSFile(str(_path(token, name)), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    names.write_text(json.dumps(list(tables)))


def _read(token: str) -> dict[str, pa.Table] | None:
    """The tables of a file; none if it is not (all) there, as on another machine."""
    import pyarrow as pa

    if not token:
        return None
    try:
        names = json.loads(_path(token, "").with_suffix(".json").read_text())
        return {name: pa.ipc.open_file(pa.OSFile(str(_path(token, name)))).read_all() for name in names}
    except (OSError, ValueError):  # pyarrow's own errors are among them
        return None


def _remove_others(token: str) -> None:
    """Delete the files that no state names: those replaced, and those of a refresh that was killed.

    Files of the last hour may be those of a refresh that is still writing.
    """
    used = set(FactsState.objects.exclude(token="").values_list("token", flat=True))
    written = _path(token, _UNITS).stat().st_mtime
    for path in state_folder().iterdir():
        if path.name.split(".")[0] not in used and path.stat().st_mtime < written - _STILL_WRITING:
            path.unlink(missing_ok=True)
