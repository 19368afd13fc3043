"""The sufficient statistics of a run in one file, so that a result can be computed again when the events are gone.

Arrays as .npz without pickle, the rest as JSON inside it. A quantile has no sufficient statistics: it is replayed from
the events only.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from experiments.services.estimation import Cells
from experiments.services.health import Traffic
from experiments.services.metric_reports import Measured
from experiments.services.signs import Signs
from experiments.stats.aggregates import Aggregates

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE_SCHEMA: Final = 1
_ARRAYS: Final = ("count", "weight", "weight_squares", "sums", "products")


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that the report's numbers are made from, after the facts have been read."""

    measured: tuple[Measured, ...]
    traffic: Traffic
    silent_metrics: tuple[str, ...]
    signs: Signs


def encode_inputs(inputs: Inputs, *, days: Sequence[date]) -> bytes:
    """The file's content."""
    arrays: dict[str, NDArray[Any]] = {}
    metrics = [
        {
            "is_adjusted": one.is_adjusted,
            "cells": _put(arrays, f"{index}", one.cells),
            "uncapped": None if one.uncapped is None else _put(arrays, f"{index}u", one.uncapped),
        }
        for index, one in enumerate(inputs.measured)
    ]
    traffic = inputs.traffic
    if traffic.by_day is not None:
        arrays["by_day"] = traffic.by_day
    said = {
        "schema": FILE_SCHEMA,
        "days": [day.isoformat() for day in days],
        "metrics": metrics,
        "traffic": {
            "observed": [[phase, arm, n] for (phase, arm), n in traffic.observed.items()],
            "multi_arm": dict(traffic.multi_arm),
            "multi_arm_n": traffic.multi_arm_n,
            "last_exposure_at": traffic.last_exposure_at,
            "frozen_n": traffic.frozen_n,
        },
        "silent_metrics": list(inputs.silent_metrics),
        "signs": dataclasses.asdict(inputs.signs),
    }
    arrays["said"] = np.frombuffer(json.dumps(said).encode(), dtype=np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def decode_inputs(
    content: bytes, *, weights: Mapping[tuple[int, str], float], phases: tuple[int, ...], arms: tuple[str, ...]
) -> tuple[Inputs, list[date]]:
    """What `encode_inputs` wrote, with the design that it belongs to; ValueError for another schema."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        said = json.loads(arrays["said"].tobytes())
        if said["schema"] != FILE_SCHEMA:
            message = f"no decoder for aggregates of schema {said['schema']!r}"
            raise ValueError(message)
        traffic = said["traffic"]
        inputs = Inputs(
            measured=tuple(
                Measured(
                    cells=_get(arrays, f"{index}", one["cells"]),
                    uncapped=None if one["uncapped"] is None else _get(arrays, f"{index}u", one["uncapped"]),
                    is_adjusted=one["is_adjusted"],
                )
                for index, one in enumerate(said["metrics"])
            ),
            traffic=Traffic(
                observed={(phase, arm): n for phase, arm, n in traffic["observed"]},
                weights=weights,
                phases=phases,
                arms=arms,
                multi_arm=traffic["multi_arm"],
                multi_arm_n=traffic["multi_arm_n"],
                last_exposure_at=traffic["last_exposure_at"],
                by_day=arrays.get("by_day"),
                frozen_n=traffic["frozen_n"],
            ),
            silent_metrics=tuple(said["silent_metrics"]),
            signs=Signs(**said["signs"]),
        )
        return inputs, [date.fromisoformat(day) for day in said["days"]]


def _put(arrays: dict[str, NDArray[Any]], name: str, cells: Cells) -> dict[str, Any]:
    for part in _ARRAYS:
        arrays[f"{name}_{part}"] = getattr(cells.aggregates, part)
    arrays[f"{name}_shift"], arrays[f"{name}_nonzero"] = cells.aggregates.shift, cells.nonzero
    arrays[f"{name}_totals"] = cells.sums
    return {
        "kind": cells.kind,
        "columns": list(cells.aggregates.columns),
        "has_covariate": cells.has_covariate,
        "cap": cells.cap,
    }


def _get(arrays: Any, name: str, said: Mapping[str, Any]) -> Cells:
    return Cells(
        kind=said["kind"],
        aggregates=Aggregates(
            columns=tuple(said["columns"]),
            shift=arrays[f"{name}_shift"],
            **{part: arrays[f"{name}_{part}"] for part in _ARRAYS},
        ),
        nonzero=arrays[f"{name}_nonzero"],
        sums=arrays[f"{name}_totals"],
        has_covariate=said["has_covariate"],
        cap=said["cap"],
    )
