"""Own formulas over the traits of some people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketing.portrait.arithmetic import evaluate
from marketing.services.portrait.numbers import SYSTEM_NUMBERS
from marketing.services.portrait.plan import Plan
from marketing.services.portrait.reading import Some, streamed
from marketing.services.portrait.storing import Changes, Stamp, compare, read_stored

Floats = NDArray[np.float64]


def calculate(*, plan: Plan, people: NDArray[np.int64], some: Some, stamp: Stamp) -> Changes:
    """Return what differs in the formulas of these people."""
    named = {name for one in plan.formulas.values() for name in one.formula.names}
    inputs = {name: plan.ids_by_key[name] for name in named if name in plan.ids_by_key}
    stored = read_stored(some=some, definitions=sorted({*inputs.values(), *plan.formulas}))
    columns: dict[str, Floats] = {name: np.full(people.size, np.nan) for name in named}
    for name, definition in inputs.items():
        if definition in plan.formulas or definition not in stored:
            continue
        places, values, _ = stored[definition].places(people)
        if not any(isinstance(value, str) for value in values):
            columns[name][places] = values
    columns |= _system(named - inputs.keys(), people, some)
    made: dict[int, Any] = {}
    keys: Mapping[int, str] = {pk: key for key, pk in plan.ids_by_key.items()}
    for definition, one in plan.formulas.items():
        made[definition] = columns[keys[definition]] = evaluate(one.formula, columns=columns, size=people.size)
    return compare(
        people=people, columns=made, stored={pk: stored[pk] for pk in plan.formulas if pk in stored}, stamp=stamp
    )


def _system(names: set[str], people: NDArray[np.int64], some: Some) -> dict[str, Floats]:
    wanted = sorted(names & SYSTEM_NUMBERS.keys())
    if not wanted:
        return {}
    where, params = some.among("p.id")
    found = {name: np.full(people.size, np.nan) for name in wanted}
    with streamed(f"SELECT p.id, {', '.join(wanted)} FROM marketing_profile p WHERE {where}", params) as lists:  # noqa: S608
        for rows in lists:
            ids, *values = zip(*rows, strict=True)
            places = np.searchsorted(people, np.array(ids, dtype=np.int64))
            known = np.zeros(len(ids), dtype=bool)
            if people.size:
                known = people[np.minimum(places, people.size - 1)] == np.array(ids)
            for name, column in zip(wanted, values, strict=True):
                numbers = np.array([np.nan if one is None else one for one in column], dtype=np.float64)
                found[name][places[known]] = numbers[known] / SYSTEM_NUMBERS[name]
    return found
