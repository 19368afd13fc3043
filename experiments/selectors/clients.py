"""Experiments as clients see them: which unit they name, what their software can evaluate, and what it cannot."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Max
from django.utils.translation import gettext_lazy as _

from experiments.choices import ExperimentStatus
from experiments.errors import Reason
from experiments.models import ChangeLog, Experiment
from experiments.selectors.config import (
    ExperimentConfig,
    HoldoutConfig,
    LayerConfig,
    PhaseConfig,
    get_config,
    list_configs,
)
from experiments.targeting.clients import to_condition
from experiments.targeting.tree import attributes_of, values_of

INTERNAL_UNIT_TYPE: Final = "profile"
"""Numbers of our own: no client knows them, so an experiment on them is not served to clients."""
CONSENT: Final = "consent"
"""The attribute that must be `true` before a client's unit is randomized."""
SEGMENTS: Final = "segments"
SERVER_ATTRIBUTES: Final = frozenset({SEGMENTS})
"""What only the server knows of a unit; a rule that reads it cannot be evaluated inside a client."""
HASH_VERSION: Final = 2
_HASH_ATTRIBUTES: Final = {"user_id": "id", "anonymous": "anonymousId"}


@dataclass(frozen=True, slots=True)
class ClientFeature:
    """One experiment in GrowthBook's form; `rule` is None where every client gets its code's default."""

    key: str
    rule: Mapping[str, Any] | None


def hash_attribute(unit_type: str) -> str:
    """The name under which a client's attributes carry the unit's id."""
    return _HASH_ATTRIBUTES.get(unit_type, unit_type)


def is_for_clients(config: ExperimentConfig) -> bool:
    """Whether clients can name the experiment's units."""
    return config.unit_type != INTERNAL_UNIT_TYPE


def why_left_out(config: ExperimentConfig, *, at: datetime) -> Reason | None:
    """Why clients cannot evaluate the experiment by themselves; None if they can."""
    if not is_for_clients(config):
        return Reason("profiles", _("It randomizes profiles, whose numbers no client knows."))
    if SERVER_ATTRIBUTES.intersection(attributes_of(config.phases[-1].rule)):
        return Reason("segments", _("Its rule reads segments, which only the server knows."))
    if (config.shipped is not None or config.is_live) and not _can_tell_prerequisites(config, at=at):
        return Reason(
            "prerequisite", _("It requires an arm of another experiment that clients cannot tell from its other arms.")
        )
    if config.shipped is not None or not config.is_live:
        return None
    if config.is_paused:
        return Reason(
            "paused", _("While it is paused, only people seen before keep their arm; clients do not know who.")
        )
    if config.phases[-1].number > 1:
        return Reason("phases", _("People seen in an earlier phase keep their arm; clients do not know who."))
    if any(holdout.starts_at > config.started_at for holdout in _in_force(config, at)):
        return Reason("holdout", _("A holdout began after its start: people seen before it keep their arm."))
    return None


def needs_consent(config: ExperimentConfig) -> bool:
    """Whether the answer for a unit is random, its own or that of an experiment it requires."""
    if config.shipped is None and config.is_live:
        return True
    configs = list_configs()
    return any(needs_consent(configs[item.key]) for item in config.prerequisites if item.key in configs)


def segments_in_rules() -> frozenset[str]:
    """The segments that the rules of experiments for clients name."""
    return frozenset(
        str(value)
        for config in list_configs().values()
        if SEGMENTS in config.reads
        for phase in config.phases
        for value in values_of(phase.rule, SEGMENTS)
    )


def list_features(configs: Mapping[str, ExperimentConfig], *, at: datetime) -> Iterator[ClientFeature]:
    """Every experiment that clients can evaluate, by key; archived ones only while something of them is served."""
    for key in sorted(configs):
        config = configs[key]
        if why_left_out(config, at=at) is not None:
            continue
        if config.shipped is not None:
            yield ClientFeature(key, _shipped_rule(config, at))
        elif config.is_live and config.phases[-1].started_at <= at:
            yield ClientFeature(key, _split_rule(config, at))
        elif config.status != ExperimentStatus.ARCHIVED:
            yield ClientFeature(key, None)


def left_out_reason(*, experiment_key: str, at: datetime) -> Reason | None:
    """For the experiment's page: why it is not in the clients' payload; None for a draft and where it is in."""
    config = get_config(experiment_key=experiment_key)
    return None if config is None else why_left_out(config, at=at)


def unit_types(*, experiment_keys: Collection[str]) -> dict[str, str]:
    """What each of these experiments randomizes, in one query; unknown keys are left out."""
    return dict(Experiment.objects.filter(key__in=experiment_keys).values_list("key", "unit_type"))


def last_change_at() -> datetime | None:
    """When anything about any experiment or holdout was last changed."""
    latest: datetime | None = ChangeLog.objects.aggregate(latest=Max("at"))["latest"]
    return latest


def _split_rule(config: ExperimentConfig, at: datetime) -> dict[str, Any]:
    phase = config.phases[-1]
    attribute = hash_attribute(config.unit_type)
    filters = [_holdout_filter(holdout, attribute) for holdout in _in_force(config, at)]
    if config.layer is not None:
        filters.append(_layer_filter(config.layer, attribute))
    rule = {
        "key": config.key,
        "name": config.name,
        "hashAttribute": attribute,
        "hashVersion": HASH_VERSION,
        "seed": config.seed,
        "variations": [arm.payload for arm in config.arms],
        "weights": list(phase.weights),
        "coverage": phase.coverage,
        "meta": [{"key": arm.key} for arm in config.arms],
        "phase": str(phase.number),
        "condition": _condition(phase, needs_consent=True),
        **_parents(config),
    }
    return rule | ({"filters": filters} if filters else {})


def _shipped_rule(config: ExperimentConfig, at: datetime) -> dict[str, Any]:
    shipped = config.shipped
    assert shipped is not None
    attribute = hash_attribute(config.unit_type)
    filters = [_holdout_filter(holdout, attribute) for holdout in _in_force(config, at)]
    if shipped.holdback:
        filters.append(_filter(f"{config.seed}:holdback", attribute, shipped.holdback, 1.0))
    rule = {
        "force": shipped.arm.payload,
        "condition": _condition(config.phases[-1], needs_consent=False),
        **_parents(config),
        # Covers everybody, and demands an id as the server does.
        "hashAttribute": attribute,
        "hashVersion": HASH_VERSION,
        "seed": config.seed,
        "coverage": 1.0,
    }
    return rule | ({"filters": filters} if filters else {})


def _can_tell_prerequisites(config: ExperimentConfig, *, at: datetime) -> bool:
    """Whether clients know each required experiment, and the required arm by what it serves."""
    configs = list_configs()
    needed = [(configs.get(item.key), item.arm_key) for item in config.prerequisites]
    return all(
        required is not None and why_left_out(required, at=at) is None and _is_told_by_value(required, arm_key)
        for required, arm_key in needed
    )


def _is_told_by_value(config: ExperimentConfig, arm_key: str) -> bool:
    """Whether no other arm serves what this one serves; an empty object or list matches anything."""
    wanted = [arm.payload for arm in config.arms if arm.key == arm_key]
    others = [arm.payload for arm in config.arms if arm.key != arm_key]
    if not wanted or wanted[0] in ({}, []) or wanted[0] in others:
        return False
    return not isinstance(wanted[0], dict) or not all(name.startswith("$") for name in wanted[0])


def _parents(config: ExperimentConfig) -> dict[str, Any]:
    """The prerequisites in the payload's words: the value that another feature must have."""
    conditions = []
    for needed in config.prerequisites:
        required = list_configs()[needed.key]
        value = next(arm.payload for arm in required.arms if arm.key == needed.arm_key)
        # Objects are compared whole; $eq would compare their identity in JavaScript.
        wanted = value if isinstance(value, dict | list) else {"$eq": value}
        conditions.append({"id": needed.key, "condition": {"value": wanted}})
    return {"parentConditions": conditions} if conditions else {}


def _condition(phase: PhaseConfig, *, needs_consent: bool) -> dict[str, Any]:
    targeting = to_condition(phase.rule)
    if not needs_consent:
        return targeting
    return {"$and": [{CONSENT: True}, targeting]} if targeting else {CONSENT: True}


def _in_force(config: ExperimentConfig, at: datetime) -> list[HoldoutConfig]:
    return [holdout for holdout in config.holdouts if holdout.is_in_force(at)]


def _holdout_filter(holdout: HoldoutConfig, attribute: str) -> dict[str, Any]:
    return _filter(holdout.seed, attribute, holdout.share, 1.0)


def _layer_filter(layer: LayerConfig, attribute: str) -> dict[str, Any]:
    return _filter(layer.seed, attribute, layer.lower, layer.upper)


def _filter(seed: str, attribute: str, lower: float, upper: float) -> dict[str, Any]:
    return {"seed": seed, "attribute": attribute, "hashVersion": HASH_VERSION, "ranges": [[lower, upper]]}
