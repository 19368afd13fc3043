"""Holdouts: opening a version closes the one before, so that any past day can be told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from experiments.bucketing.allocation import in_range
from experiments.bucketing.hashing import bucket_number
from experiments.errors import InvalidDesign, Reason
from experiments.models import ChangeLog, Holdout, Layer
from experiments.models.experiment import new_seed
from experiments.selectors.config import HoldoutConfig, clear_config_cache, list_holdouts

OBJECT_TYPE = "holdout"
SNAPSHOT_SCHEMA = 1


@transaction.atomic
def set_holdout(
    *,
    share: float,
    at: datetime,
    actor: User | None = None,
    message: str = "",
    layer_key: str = "",
    unit_type: str = "profile",
    is_redrawn: bool = False,
) -> Holdout:
    """Hold out a share of the units from `at` on; without a layer from everything.

    The salt stays, so that a larger share keeps whoever was held out and a smaller one lets some go; `is_redrawn` draws
    other people. Share 0 ends the holdout. Units exposed before keep their arm where they were exposed.
    Raises `InvalidDesign`.
    """
    layer = Layer.objects.filter(key=layer_key).first() if layer_key else None
    known = Holdout.objects.of(layer_id=None if layer is None else layer.pk, unit_type=unit_type)
    last = known.select_for_update().order_by("-number").first()
    reasons = []
    if layer_key and layer is None:
        reasons.append(Reason("layer_unknown", _("There is no layer “%(key)s”.") % {"key": layer_key}))
    if not 0.0 <= share < 1.0:
        reasons.append(Reason("share", _("The share must be at least 0 and below 100 %.")))
    if last is not None and at <= last.starts_at:
        reasons.append(Reason("time", _("A version can only start after the one before it.")))
    if reasons:
        raise InvalidDesign(reasons)
    known.open().update(ends_at=at)
    holdout = Holdout.objects.create(
        layer=layer,
        unit_type=unit_type,
        number=1 if last is None else last.number + 1,
        share=share,
        seed=new_seed() if last is None or is_redrawn else last.seed,
        starts_at=at,
    )
    ChangeLog.objects.create(
        object_type=OBJECT_TYPE,
        object_id=holdout.pk,
        transition="set",
        actor=actor,
        at=at,
        message=message,
        snapshot={
            "schema": SNAPSHOT_SCHEMA,
            "layer": layer_key,
            "unit_type": unit_type,
            "number": holdout.number,
            "share": share,
            "seed": holdout.seed,
        },
    )
    clear_config_cache()
    transaction.on_commit(clear_config_cache)
    return holdout


def is_held_out(*, unit_type: str, unit_id: str, at: datetime, layer_key: str = "") -> bool:
    """Whether a unit is, or was, held out at a time: globally, or in the layer if one is named."""
    return any(_holds(holdout, unit_id) for holdout in _in_force(unit_type=unit_type, at=at, layer_key=layer_key))


def held_out_units(*, unit_type: str, unit_ids: Sequence[str], at: datetime, layer_key: str = "") -> set[str]:
    """Those of the units that are, or were, held out at a time."""
    from experiments.bucketing.vectorized import bucket_numbers

    held_out: set[str] = set()
    for holdout in _in_force(unit_type=unit_type, at=at, layer_key=layer_key):
        numbers = bucket_numbers(seed_state=holdout.seed_state, unit_ids=unit_ids)
        held_out.update(
            unit_id
            for unit_id, number in zip(unit_ids, numbers.tolist(), strict=True)
            if in_range(number=number, lower=0.0, upper=holdout.share)
        )
    return held_out


def _in_force(*, unit_type: str, at: datetime, layer_key: str) -> list[HoldoutConfig]:
    return [
        holdout
        for holdout in list_holdouts()
        if holdout.unit_type == unit_type and holdout.layer_key in ("", layer_key) and holdout.is_in_force(at)
    ]


def _holds(holdout: HoldoutConfig, unit_id: str) -> bool:
    number = bucket_number(seed_state=holdout.seed_state, unit_id=unit_id)
    return in_range(number=number, lower=0.0, upper=holdout.share)
