"""Units with news. Whoever changes events, exposures or whose they are says so here, in the same transaction."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from experiments.choices import ExperimentStatus
from experiments.models import DirtyUnit, FactsState, StaleUnit

FOLDER: Final = "states"
# Results of other experiments no longer change, so that they need no state.
CHANGING: Final = (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED, ExperimentStatus.STOPPED)


def mark_dirty(*, units: Iterable[str]) -> None:
    """Remember that these units (as the facts name them) have to be computed anew.

    Rows are only added here and only deleted by `spread_marks`, so that writers never wait for each other.
    """
    rows = sorted(set(units))
    if not rows:
        return
    table = DirtyUnit._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (unit, claim) SELECT value, '' FROM {_each()}",  # noqa: S608 - constants
            [json.dumps(rows)],
        )


@transaction.atomic
def spread_marks() -> None:
    """Give every mark to every state. A mark that is committed meanwhile has no claim and waits for the next time."""
    FactsState.objects.exclude(experiment__status__in=CHANGING).delete()
    claim = secrets.token_hex(16)
    if not DirtyUnit.objects.filter(claim="").update(claim=claim):
        return
    stale, state, dirty = (model._meta.db_table for model in (StaleUnit, FactsState, DirtyUnit))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {stale} (state_id, unit) "  # noqa: S608 - names of tables
            f"SELECT s.id, u.unit FROM {state} s CROSS JOIN (SELECT DISTINCT unit FROM {dirty} WHERE claim = %s) u",
            [claim],
        )
    DirtyUnit.objects.filter(claim=claim).delete()


def delete_stale(*, ids: Sequence[int]) -> None:
    """Delete exactly these rows: another one with a smaller number may be committed only now."""
    table = StaleUnit._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT CAST(value AS bigint) FROM {_each()})",  # noqa: S608 - constants
            [json.dumps(list(ids))],
        )


def drop_states(*, experiment_ids: Sequence[int]) -> None:
    """Forget what was computed for these experiments, at once: somebody in it asked to be forgotten."""
    rows = FactsState.objects.filter(experiment__in=experiment_ids)
    for token in rows.exclude(token="").values_list("token", flat=True):
        for path in state_folder().glob(f"{token}.*"):
            path.unlink(missing_ok=True)
    StaleUnit.objects.filter(state__in=rows).delete()
    rows.update(token="")


def state_folder() -> Path:
    """Where the files of the states lie."""
    return Path(settings.DATA_DIR) / FOLDER


def _each() -> str:
    """A JSON list of the parameters as rows with a column `value`."""
    return "json_array_elements_text(%s::json)" if connection.vendor == "postgresql" else "json_each(%s)"
