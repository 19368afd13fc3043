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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from experiments.models import Experiment, FactsState, StaleUnit
from experiments.ports import Facts
from experiments.services.dirty import delete_stale, spread_marks, state_folder
from experiments.services.totals import UnitTotals, build_totals, load_totals

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

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
    """What is computed: the arguments of `load_totals`."""

    facts: DatabaseFacts
    experiment_key: str
    metrics: Sequence[PlannedMetric]
    until: int

    def tables(self, units: ibis.Table | None = None) -> dict[str, pa.Table]:
        """The rows of all expressions, of these units or of everybody."""
        facts, key, until = self.facts, self.experiment_key, self.until
        expressions = {
            _UNITS: unit_totals(facts, experiment_key=key, metrics=self.metrics, until=until, units=units),
            _PAIRS: multi_arm_pairs(facts.exposures(experiment_key=key), until=until, units=units),
        }
        for metric in self.metrics:
            if metric.definition.per_event:
                expressions[metric.key] = event_values(
                    facts, experiment_key=key, metric=metric, until=until, units=units
                )
        return {name: facts.execute(expression) for name, expression in expressions.items()}

    def later(self, units: ibis.Table | None = None) -> list[str]:
        """Units that stay stale, because what is stored of them reaches beyond `until`."""
        expression = later_units(
            self.facts, experiment_key=self.experiment_key, metrics=self.metrics, until=self.until, units=units
        )
        return [str(unit) for unit in self.facts.execute(expression).column("unit").to_pylist()]

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
    plan = _Plan(facts, experiment.key, metrics, until)
    # The state is there before anything is read, so that no mark of what is missed can get lost.
    state, _ = FactsState.objects.get_or_create(experiment=experiment)
    spread_marks()
    state.refresh_from_db()
    signature = plan.signature(arms, phases)
    stale = dict(StaleUnit.objects.filter(state=state).order_by("pk").values_list("pk", "unit"))
    kept = _read(state.token) if state.signature == signature and state.until <= until else None
    if kept is not None and len(set(stale.values())) <= MOST_STALE * max(1, kept[_UNITS].num_rows):
        units = plan.facts.stale_units(state_id=state.pk, last=max(stale, default=0))
        tables = _merge(kept, plan.tables(units), set(stale.values())) if stale else kept
        later = plan.later(units) if stale else []
        recomputed_n = len(set(stale.values()))
    else:
        tables, later = plan.tables(), plan.later()
        recomputed_n = tables[_UNITS].num_rows
    _store(state, tables, signature=signature, until=until, stale=list(stale), later=later, recomputed_n=recomputed_n)
    sql = facts.compile(unit_totals(facts, experiment_key=experiment.key, metrics=metrics, until=until))
    return build_totals(
        units=tables[_UNITS],
        pairs=tables[_PAIRS],
        values={name: table for name, table in tables.items() if name not in (_UNITS, _PAIRS)},
        metrics=metrics,
        arms=arms,
        phases=phases,
        sql=sql,
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
        order = [(column, "ascending") for column in _ORDER.get(name, _ORDER[_VALUES])]
        merged[name] = pa.concat_tables([others, fresh[name]]).sort_by(order)
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
